//! A memory file in which anything may stand: who adopts it neither fails nor confuses connections.

use std::ops::Range;
use std::time::Duration;

use crate::stack::passing::Road;
use crate::stack::random::Random;
use crate::stack::tcp::{RECORDS, TcpOptions};
use crate::stack::transmit::Transmit;
use crate::stack::wire::tcp::{Flags, Repr};
use crate::support::host::{Host, PEER, US, at, hardware, segment};
use crate::support::region::Region;
use crate::tcp::{SERVER, header, repr};

const LEN: usize = 288 << 10;
/// Places of a table's first page.
const PAGE: usize = 16;
/// What the peers' ports begin with.
const PORT: u16 = 5000;

/// Where in the file something stands: the header, the road, the first page of each table, the links.
fn used() -> Vec<Range<usize>> {
    let mut start = 40;
    let mut used = vec![24..start, start..start + size_of::<Road>()];
    start += size_of::<Road>();
    for (share, record) in [4, 32, 64].into_iter().zip(RECORDS) {
        used.push(start..start + (PAGE * record).min(LEN / share));
        start += LEN / share / 8 * 8;
    }
    used.push(start..start + 100);
    used
}

/// A memory file of a busy stack: connections with bytes both ways, in order and out of order, some
/// waiting to be accepted, one closing, one in TIME-WAIT.
fn image() -> Vec<u8> {
    let (region, bytes) = Region::new(LEN);
    let mut host = Host::with_config(US, bytes, |_| {});
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    host.frames();
    let listener = host
        .stack
        .tcp_listen(SERVER, 8, &TcpOptions::default())
        .unwrap();
    for number in 0..6 {
        let from = |mut repr: Repr| {
            repr.source_port = PORT + number;
            repr
        };
        let mut syn = repr(Flags::SYN, 1000, 0);
        syn.options.sack_permitted = true;
        host.receive(&segment(PEER, US, &from(syn), b""));
        let next = header(&host.frames()[0]).seq.0 + 1;
        let data = [number as u8; 300];
        for seq in [1001, 1301, 2001] {
            let text = from(repr(Flags::ACK, seq, next));
            host.receive(&segment(PEER, US, &text, &data));
        }
        if number >= 4 {
            continue;
        }
        let id = host.stack.tcp_accept(listener).unwrap();
        host.stack
            .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(&[7; 20_000]), false)
            .unwrap();
        host.frames();
        if number >= 2 {
            host.stack.tcp_consume(host.now, id, 600);
            host.stack.tcp_close(host.now, id);
        }
        if number == 3 {
            let fin = from(repr(Flags::ACK.with(Flags::FIN), 1601, next + 20_001));
            host.receive(&segment(PEER, US, &fin, b""));
        }
    }
    host.frames();
    region.again().to_vec()
}

/// Spoils a few places.
fn spoil(bytes: &mut [u8], random: &mut Random) {
    let used = used();
    for _ in 0..1 + random.below(6) {
        let place = |random: &mut Random| {
            let range = used[random.below(used.len())].clone();
            range.start + random.below(range.len() - 8)
        };
        let to = place(random);
        match random.below(4) {
            0 => bytes[to] ^= 1 << random.below(8),
            1 => bytes[to] = random.below(256) as u8,
            2 => bytes[to..to + 8].copy_from_slice(&random.next_u64().to_ne_bytes()),
            // What stands somewhere else: the index of another's chunk, say.
            _ => {
                let from = place(random) & !3;
                bytes.copy_within(from..from + 4, to & !3);
            }
        }
    }
}

/// No byte belongs to two connections.
fn check_owners(host: &mut Host) {
    let mut owned: Vec<(Range<usize>, u16, bool)> = Vec::new();
    let mut own = |bytes: &[u8], port: u16, sent: bool| {
        let start = bytes.as_ptr() as usize;
        let range = start..start + bytes.len();
        for (other, owner, theirs) in &owned {
            let apart = range.end <= other.start || other.end <= range.start;
            assert!(apart || (port, sent) == (*owner, *theirs));
        }
        owned.push((range, port, sent));
    };
    for id in host.stack.tcp_connections() {
        let port = host.stack.tcp_status(id).unwrap().remote.port();
        own(host.stack.tcp_received(id), port, false);
    }
    let mut out = Transmit::default();
    while host.stack.poll_transmit(host.now, &mut out) {
        if out.spans.as_slice().is_empty() {
            continue;
        }
        let port = header(&out.header).destination_port;
        for &span in out.spans.as_slice() {
            own(host.stack.bytes(span), port, true);
        }
    }
}

/// The peers go on talking, and time passes.
fn exercise(host: &mut Host, random: &mut Random) {
    for _ in 0..10 {
        let connections: Vec<_> = host.stack.tcp_connections().collect();
        for id in connections {
            let Some(status) = host.stack.tcp_status(id) else {
                continue;
            };
            let near = |number: u32, random: &mut Random| {
                number
                    .wrapping_add(random.below(2000) as u32)
                    .wrapping_sub(500)
            };
            let flags = Flags(random.below(64) as u16);
            let mut repr = repr(
                flags,
                near(status.rcv_nxt, random),
                near(status.snd_una, random),
            );
            repr.source_port = status.remote.port();
            repr.destination_port = status.local.port();
            let length = random.below(500);
            host.receive(&segment(PEER, US, &repr, &vec![0; length]));
            host.stack.tcp_consume(host.now, id, random.below(400));
            let _ =
                host.stack
                    .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(&[1; 100]), false);
        }
        host.dirty();
        host.frames();
        host.advance(Duration::from_millis(random.below(3000) as u64));
    }
}

#[test]
fn whatever_stands_in_the_file() {
    let image = image();
    let (region, _) = Region::new(LEN);
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let bytes = region.again();
        bytes.copy_from_slice(&image);
        if seed > 0 {
            spoil(bytes, &mut random);
        }
        let now = crate::stack::time::Instant::from_nanos(1_000_000_000_000);
        let (mut host, restored) = Host::restored(US, bytes, now);
        assert!(seed > 0 || restored.reset == 0 && restored.connections.len() == 6);
        host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
        check_owners(&mut host);
        exercise(&mut host, &mut random);
        host.stack.tcp_reset_all_but(host.now, |_| false);
        host.stack.tcp_close_all_but(host.now, |_| false);
        host.frames();
        host.advance(Duration::from_secs(600));
        let rest = host
            .stack
            .tcp_connect(host.now, at(US, 9), at(PEER, 9), &TcpOptions::default());
        assert!(rest.is_ok(), "seed {seed}");
        host.frames();
        assert!(host.stack.pool_used() <= LEN, "seed {seed}");
    }
}
