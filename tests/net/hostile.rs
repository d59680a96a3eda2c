//! Frames no peer would send: nothing panics, nothing grows without bound.

use crate::ip_options::with_options;
use crate::stack::ethernet::{Checksum, Facts};
use crate::stack::ports::Protocol;
use crate::stack::random::Random;
use crate::stack::sink::NoSink;
use crate::stack::tcp::TcpOptions;
use crate::stack::udp::UdpOptions;
use crate::stack::wire::arp::Operation;
use crate::stack::wire::icmpv4::Kind;
use crate::stack::wire::tcp::{Flags, Options, Repr, Seq};
use crate::stack::wire::{checksum, tcp};
use crate::support::host::{
    Host, PEER, ROUTER, US, arp, at, datagram, hardware, icmp, quote, segment, syn,
};

const ROUNDS: usize = 60_000;
/// A route and times to record.
const ROUTE_AND_TIME: [u8; 24] = [
    1, 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Frames that are right, to be spoilt.
fn seeds(host: &mut Host) -> Vec<Vec<u8>> {
    let options = UdpOptions::default();
    let id = host.stack.udp_open(at(US, 9), &options).unwrap();
    host.stack.udp_connect(id, Some(at(PEER, 7))).unwrap();
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"query"])
        .unwrap();
    let sent = host.frames().remove(0);
    let mut frames = segments(host);
    frames.extend([
        arp(Operation::Request, PEER, US),
        arp(Operation::Reply, ROUTER, US),
        datagram(at(PEER, 7), at(US, 9), b"hello"),
        datagram(at(PEER, 7), at(US, 9), &[9; 1400]),
        with_options(&datagram(at(PEER, 7), at(US, 9), b"hello"), &ROUTE_AND_TIME),
        datagram(at(PEER, 7), at(US, 1), b"closed"),
        icmp(PEER, Kind::EchoRequest, 0, 1, &[8; 64]),
        icmp(PEER, Kind::Unreachable, 3, 0, quote(&sent)),
        icmp(ROUTER, Kind::Unreachable, 4, 1000, quote(&sent)),
        icmp(ROUTER, Kind::TimeExceeded, 0, 0, quote(&sent)),
    ]);
    frames
}

/// Segments of a connection that is established, of one that is tried, and to a listener.
fn segments(host: &mut Host) -> Vec<Vec<u8>> {
    let options = TcpOptions::default();
    host.stack.tcp_listen(at(US, 80), 4, &options).unwrap();
    let (now, stack) = (host.now, &mut host.stack);
    stack
        .tcp_connect(now, at(US, 4000), at(PEER, 80), &options)
        .unwrap();
    let mut header = syn(5000, 80);
    header.options.mss = Some(1460);
    header.options.window_scale = Some(7);
    header.options.sack_permitted = true;
    let first = segment(PEER, US, &header, b"");
    host.receive(&first);
    let answers = host.frames();
    let answer = |port: u16| {
        let parsed = answers
            .iter()
            .map(|frame| tcp::parse(&frame[34..]).unwrap().0);
        let mut fitting = parsed.filter(|header| header.source_port == port);
        fitting.next_back()
    };
    let ours = answer(80).map_or(Seq(0), |header| header.seq + 1);
    let tried = answer(4000).map_or(Seq(0), |header| header.seq + 1);
    let mut header = Repr {
        seq: Seq(1001),
        ack: ours,
        flags: Flags::ACK,
        options: Options::default(),
        ..header
    };
    let ack = segment(PEER, US, &header, b"");
    let data = segment(PEER, US, &header, &[3; 500]);
    header.seq = Seq(2001);
    let late = segment(PEER, US, &header, &[3; 500]);
    header.options.sack.push(ours + 10, ours + 20);
    header.flags = Flags::ACK.with(Flags::FIN);
    let fin = segment(PEER, US, &header, &[3; 500]);
    header.source_port = 80;
    header.destination_port = 4000;
    header.ack = tried;
    header.flags = Flags::ACK.with(Flags::SYN);
    let accepted = segment(PEER, US, &header, b"");
    let frames = vec![first, ack, data, late, fin, accepted];
    frames.into_iter().chain(answers).collect()
}

/// Cuts, lengthens or changes a frame; most of the time the IPv4 checksum is made right again, so
/// that what is wrong gets further in.
fn spoil(random: &mut Random, frame: &mut Vec<u8>) {
    match random.below(4) {
        0 => frame.truncate(random.below(frame.len() + 1)),
        1 => frame.resize(frame.len() + random.below(100), random.next_u64() as u8),
        _ => {}
    }
    for _ in 0..random.below(6) {
        if !frame.is_empty() {
            // The headers are where it hurts.
            let reach = if random.below(4) == 0 {
                frame.len()
            } else {
                frame.len().min(80)
            };
            let byte = random.below(reach);
            frame[byte] = random.next_u64() as u8;
        }
    }
    let header_len = frame.get(14).map_or(0, |byte| usize::from(byte & 15) * 4);
    if random.below(8) > 0 && header_len >= 20 && frame.len() >= 14 + header_len {
        frame[24..26].fill(0);
        let sum = checksum::of(&frame[14..14 + header_len]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
}

fn run(own_address: bool, seed: u64) {
    let mut host = if own_address {
        Host::own()
    } else {
        Host::shared()
    };
    for port in [9, 80, 4000] {
        host.stack.set_port_owned(Protocol::Tcp, port, true);
        host.stack.set_port_owned(Protocol::Udp, port, true);
    }
    let seeds = seeds(&mut host);
    let mut random = Random::new(seed);
    for round in 0..ROUNDS {
        let mut frame = if random.below(10) == 0 {
            let len = random.below(200);
            (0..len).map(|_| random.next_u64() as u8).collect()
        } else {
            seeds[random.below(seeds.len())].clone()
        };
        spoil(&mut random, &mut frame);
        if random.below(4) > 0 && frame.len() >= 6 {
            frame[..6].copy_from_slice(&hardware(US));
        }
        // Half of them as if the link vouched, so that TCP gets to see them, too.
        let checksum = [Checksum::Verify, Checksum::Trusted][random.below(2)];
        host.stack
            .receive_frame(host.now, &frame, Facts::plain(checksum), &mut NoSink);
        if round % 16 == 0 {
            host.now = host.now + core::time::Duration::from_millis(random.below(400) as u64);
            host.stack.receive_timeout(host.now);
        }
        if round % 64 == 0 {
            host.frames();
            host.dirty();
        }
    }
    host.frames();
    let received = host.stack.counters().frames_received - 1;
    assert_eq!(received, ROUNDS as u64);
    let dropped: u64 = crate::stack::counters::Drop::ALL
        .map(|reason| host.drops(reason))
        .iter()
        .sum();
    assert!(dropped > ROUNDS as u64 / 3, "{dropped} dropped");
    let connections = host.stack.tcp_connections().count();
    assert!(connections < 1000, "{connections} connections");
}

#[test]
fn an_own_address_survives() {
    for seed in 0..4 {
        run(true, seed);
    }
}

#[test]
fn a_shared_address_survives() {
    for seed in 0..4 {
        run(false, seed);
    }
}
