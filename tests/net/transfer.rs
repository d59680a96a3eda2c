//! TCP between two stacks on a simulated Ethernet: what arrives is what was sent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::random::Random;
use crate::stack::tcp::{State, TcpOptions};
use crate::support::host::{Host, PEER, US, at};
use crate::support::wire::{Impairment, Wire};

const MIB: usize = 1 << 20;
const REGION_LEN: usize = 32 * MIB;

/// The regions of two hosts, used by one run after the other.
type Regions = [&'static mut [u8]; 2];

fn regions() -> Regions {
    [(); 2].map(|()| &mut *Box::leak(vec![0; REGION_LEN].into_boxed_slice()))
}

/// What is sent: random, so that no byte is mistaken for another.
fn data() -> &'static [u8] {
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    DATA.get_or_init(|| {
        let mut random = Random::new(0);
        let words = (0..10 * MIB / 8).map(|_| random.next_u64());
        words.flat_map(u64::to_le_bytes).collect()
    })
}

/// One end of a connection that sends `data()[..to_send]` and then closes.
struct End {
    host: usize,
    id: SocketId,
    to_send: usize,
    sent: usize,
    received: usize,
    closed: bool,
    error: Option<Error>,
}

impl End {
    fn new(host: usize, id: SocketId, to_send: usize) -> Self {
        Self {
            host,
            id,
            to_send,
            sent: 0,
            received: 0,
            closed: false,
            error: None,
        }
    }

    fn step(&mut self, wire: &mut Wire) {
        let Host { stack, now, .. } = &mut wire.hosts[self.host];
        let status = stack.tcp_status(self.id);
        self.error = self.error.or(status.and_then(|status| status.error));
        let rest = &data()[self.sent..self.to_send];
        self.sent += stack
            .tcp_send_all(*now, self.id, core::iter::once::<&[u8]>(rest), false)
            .unwrap_or(0);
        if self.sent == self.to_send && !self.closed {
            self.closed = stack.tcp_shutdown_write(*now, self.id).is_ok();
        }
        loop {
            let bytes = stack.tcp_received(self.id);
            let len = bytes.len();
            if len == 0 {
                break;
            }
            let expected = &data()[self.received..self.received + len];
            assert!(
                bytes == expected,
                "at {} of host {}",
                self.received,
                self.host
            );
            self.received += len;
            stack.tcp_consume(*now, self.id, len);
        }
    }

    fn has_all(&self, wire: &Wire, expected: usize) -> bool {
        let status = wire.hosts[self.host].stack.tcp_status(self.id);
        let at_end =
            status.is_none_or(|status| status.fin_received || status.state == State::Closed);
        self.received == expected && self.closed && at_end
    }
}

/// Sends `there` bytes from the first host to the second and `back` the other way, closes, and
/// returns how long it took on the wire's clock. The error is that of the first host.
fn transfer(wire: &mut Wire, there: usize, back: usize) -> Result<Duration, Error> {
    // Sixteen losses in a row end a connection on Linux, and among a thousand seeds there are some:
    // here nobody gives up, so that every byte has to arrive.
    let options = TcpOptions {
        user_timeout: Some(Duration::from_secs(100_000)),
        syn_count: 60,
        ..TcpOptions::default()
    };
    let start = wire.now;
    let [us, peer] = &mut wire.hosts;
    let listener = peer.stack.tcp_listen(at(PEER, 80), 8, &options).unwrap();
    let client = us
        .stack
        .tcp_connect(us.now, at(US, 4000), at(PEER, 80), &options)
        .unwrap();
    let mut client = End::new(0, client, there);
    let mut server: Option<End> = None;
    let done = wire.run(Duration::from_secs(100_000), |wire| {
        client.step(wire);
        if client.error.is_some() {
            return true;
        }
        if server.is_none() {
            let accepted = wire.hosts[1].stack.tcp_accept(listener);
            server = accepted.map(|id| End::new(1, id, back));
        }
        let Some(server) = &mut server else {
            return false;
        };
        server.step(wire);
        client.has_all(wire, back) && server.has_all(wire, there)
    });
    assert!(
        done,
        "still waiting after {:?}: {:#?}, {:#?}",
        wire.now.since(start),
        wire.hosts[0].stack.tcp_status(client.id),
        server.map(|server| wire.hosts[1].stack.tcp_status(server.id)),
    );
    let time = wire.now.since(start);
    client.error.map_or(Ok(time), Err)
}

fn wire(regions: Regions, impairment: Impairment, seed: u64) -> Wire {
    let [first, second] = regions;
    let hosts = [(US, first), (PEER, second)].map(|(address, region)| {
        Host::with_config(address, region, |config| {
            config.seed = seed;
            config.secret[0] ^= seed as u8;
            config.super_packets = seed.is_multiple_of(2);
        })
    });
    let mut wire = Wire::new(hosts, impairment, seed);
    // The first SYN must not fail for want of an answer to ARP: that is tested elsewhere.
    for (index, (address, hardware)) in [(PEER, 2), (US, 1)].into_iter().enumerate() {
        let host = &mut wire.hosts[index];
        host.stack
            .learn_neighbor(host.now, address, [2, 0, 10, 0, 0, hardware]);
        host.stack.set_takes_long(seed.is_multiple_of(4));
    }
    wire
}

#[test]
fn a_good_wire_is_used_well() {
    let delay = Duration::from_millis(5);
    let impairment = Impairment {
        delay,
        ..Impairment::default()
    };
    for seed in 0..2 {
        let mut wire = wire(regions(), impairment, seed);
        let time = transfer(&mut wire, 10 * MIB, 0).unwrap();
        assert!(time < 40 * delay, "{time:?}");
        let retransmitted = wire.hosts[0].stack.tcp_counters();
        let retransmitted = retransmitted.get(crate::stack::tcp::Counter::Retransmissions);
        assert_eq!(retransmitted, 0);
    }
}

#[test]
fn both_ways_at_once() {
    for seed in 0..2 {
        let mut wire = wire(regions(), Impairment::HARSH, seed);
        transfer(&mut wire, MIB, MIB).unwrap();
    }
}

/// Ten MiB over a wire that loses a fifth, seed by seed: a few each time the tests run, a thousand
/// with `SEEDS=1000` (as `make test` does).
#[test]
fn ten_mebibytes_over_a_harsh_wire() {
    let seeds = std::env::var("SEEDS").map_or(8, |seeds| seeds.parse().expect("SEEDS: a number"));
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run_seeds(&next, seeds));
        }
    });
}

fn run_seeds(next: &AtomicU64, seeds: u64) {
    let regions = regions().map(core::ptr::from_mut);
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return;
        }
        // SAFETY: leaked, so it lives for ever, and whoever had it was dropped in the last round.
        let again = regions.map(|region| unsafe { &mut *region });
        let mut wire = wire(again, Impairment::HARSH, seed);
        match transfer(&mut wire, 10 * MIB, 0) {
            Ok(time) => println!("seed {seed}: {time:?}, {} frames", wire.frames),
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
        let caught = wire.hosts[1].drops(Drop::TcpChecksum);
        assert!(caught > 0, "seed {seed}: no spoilt segment was caught");
    }
}
