//! IPv4: which packets are taken, and what routes decide.

use std::net::Ipv4Addr;

use crate::stack::address::Ipv4Cidr;
use crate::stack::counters::Drop;
use crate::stack::ethernet::{Checksum, Facts};
use crate::stack::ports::Protocol;
use crate::stack::routes::{Egress, RouteDecision};
use crate::stack::sink::NoSink;
use crate::stack::udp::UdpOptions;
use crate::stack::wire::checksum;
use crate::support::host::{FAR, Host, PEER, ROUTER, US, at, datagram, hardware, route};

/// A host with a UDP socket on port 9, and a datagram that reaches it.
fn listening() -> (Host, crate::stack::ids::SocketId, Vec<u8>) {
    let mut host = Host::own();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    (host, id, datagram(at(PEER, 7), at(US, 9), b"hello"))
}

/// Makes the IPv4 header's checksum right again.
fn resum(frame: &mut [u8]) {
    let header_len = usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..14 + header_len]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn the_links_padding_is_not_the_packets() {
    let (mut host, id, mut frame) = listening();
    frame.resize(60, 0xaa);
    host.receive(&frame);
    assert_eq!(host.received(id).unwrap(), b"hello");
}

#[test]
fn frames_for_others_are_dropped() {
    let (mut host, id, mut frame) = listening();
    frame[..6].copy_from_slice(&hardware(PEER));
    host.receive(&frame);
    frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]);
    host.receive(&frame);
    assert_eq!(host.drops(Drop::EthernetNotOurs), 2);
    assert!(host.received(id).is_none());
}

#[test]
fn truncated_packets_are_counted_as_malformed() {
    let (mut host, id, frame) = listening();
    for len in 0..frame.len() {
        host.receive(&frame[..len]);
    }
    assert_eq!(host.drops(Drop::EthernetMalformed), 14);
    assert_eq!(host.drops(Drop::Ipv4Malformed), frame.len() as u64 - 14);
    assert!(host.received(id).is_none());
}

#[test]
fn headers_that_contradict_themselves_are_dropped() {
    let (mut host, id, frame) = listening();
    let mut count = 0;
    for version_ihl in [0x65, 0x44, 0x40, 0x4f, 0x05] {
        let mut frame = frame.clone();
        frame[14] = version_ihl;
        host.receive(&frame);
        count += 1;
        assert_eq!(host.drops(Drop::Ipv4Malformed), count, "{version_ihl:#x}");
    }
    for total_len in [0, 19, 34, 65_535_u16] {
        let mut frame = frame.clone();
        frame[16..18].copy_from_slice(&total_len.to_be_bytes());
        resum(&mut frame);
        host.receive(&frame);
        count += 1;
        assert_eq!(host.drops(Drop::Ipv4Malformed), count, "{total_len}");
    }
    assert!(host.received(id).is_none());
}

#[test]
fn a_wrong_header_checksum_is_dropped_even_if_the_link_vouches() {
    let (mut host, id, mut frame) = listening();
    frame[14 + 8] -= 1;
    host.receive(&frame);
    host.stack.receive_frame(
        host.now,
        &frame,
        Facts::plain(Checksum::Trusted),
        &mut NoSink,
    );
    assert_eq!(host.drops(Drop::Ipv4Checksum), 2);
    assert!(host.received(id).is_none());
}

/// Class E and 0.0.0.0/8: reserved, but no longer forbidden.
#[test]
fn reserved_sources_are_taken() {
    let (mut host, id, _) = listening();
    for source in [Ipv4Addr::new(240, 0, 0, 1), Ipv4Addr::new(0, 1, 2, 3)] {
        host.receive(&datagram(at(source, 7), at(US, 9), b"hello"));
        assert_eq!(host.received(id).unwrap(), b"hello");
    }
}

#[test]
fn martians_are_dropped() {
    let (mut host, id, _) = listening();
    let martians = [
        Ipv4Addr::new(127, 0, 0, 1),
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(255, 255, 255, 255),
        Ipv4Addr::new(10, 0, 0, 255),
        Ipv4Addr::new(0, 0, 0, 0),
        US,
    ];
    for source in martians {
        host.receive(&datagram(at(source, 7), at(US, 9), b"hello"));
    }
    assert_eq!(host.drops(Drop::Ipv4Martian), martians.len() as u64);
    assert!(host.received(id).is_none());
    assert!(host.sent().is_empty());
}

#[test]
fn other_destinations_are_dropped() {
    let (mut host, _, _) = listening();
    for destination in [
        PEER,
        FAR,
        Ipv4Addr::new(127, 0, 0, 1),
        Ipv4Addr::new(224, 0, 0, 1),
    ] {
        host.receive(&datagram(at(PEER, 7), at(destination, 9), b"hello"));
    }
    assert_eq!(host.drops(Drop::Ipv4NotOurs), 4);
    assert!(host.sent().is_empty());
}

#[test]
fn the_most_specific_route_decides_then_the_metric() {
    let mut host = Host::own();
    let far = |prefix_len| Ipv4Cidr::new(FAR, prefix_len);
    let mut slow = route(far(24), Some(PEER));
    slow.metric = 100;
    let mut fast = route(far(24), Some(ROUTER));
    fast.metric = 10;
    fast.mtu = Some(1400);
    let mut host_route = route(far(32), None);
    host_route.egress = Egress::Unreachable;
    let mut other = route(Ipv4Cidr::new(Ipv4Addr::new(172, 16, 0, 0), 12), None);
    other.egress = Egress::Kernel;
    host.stack.set_routes(vec![slow, host_route, other, fast]);
    assert_eq!(host.stack.route(FAR), RouteDecision::Unreachable);
    let decision = host.stack.route(Ipv4Addr::new(192, 0, 2, 9));
    let expected = RouteDecision::Stack {
        source: US,
        next_hop: ROUTER,
        mtu: 1400,
    };
    assert_eq!(decision, expected);
    let kernel = |address: [u8; 4]| host.stack.route(address.into()) == RouteDecision::Kernel;
    assert!(kernel([172, 20, 0, 1]));
    assert!(kernel([127, 0, 0, 1]));
    assert_eq!(
        host.stack.route(Ipv4Addr::new(8, 8, 8, 8)),
        RouteDecision::Unreachable
    );
}

#[test]
fn ports_are_shared_one_by_one() {
    let mut host = Host::shared();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    let frame = datagram(at(PEER, 7), at(US, 9), b"hello");
    host.receive(&frame);
    assert_eq!(host.drops(Drop::PortNotOwned), 1);
    host.stack.set_port_owned(Protocol::Udp, 9, true);
    host.receive(&frame);
    assert_eq!(host.received(id).unwrap(), b"hello");
    host.stack.set_port_owned(Protocol::Udp, 9, false);
    host.receive(&frame);
    assert_eq!(host.drops(Drop::PortNotOwned), 2);
}
