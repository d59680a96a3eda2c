//! Two stacks on a simulated Ethernet.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::udp::UdpOptions;
use crate::support::host::{Host, PEER, US, at, hardware};
use crate::support::wire::{Impairment, Wire};

fn wire(impairment: Impairment, seed: u64) -> Wire {
    let hosts = [Host::new(US, true, 1 << 20), Host::new(PEER, true, 1 << 20)];
    let mut wire = Wire::new(hosts, impairment, seed);
    wire.pass(Duration::from_secs(1));
    wire
}

#[test]
fn a_datagram_there_and_back() {
    let delay = Duration::from_millis(5);
    let mut wire = wire(
        Impairment {
            delay,
            ..Impairment::default()
        },
        1,
    );
    let [us, peer] = &mut wire.hosts;
    let client = us
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    let server = peer
        .stack
        .udp_open(at(Ipv4Addr::UNSPECIFIED, 7), &UdpOptions::default())
        .unwrap();
    us.stack
        .udp_send(us.now, client, at(PEER, 7), &[b"ping"])
        .unwrap();
    let start = wire.now;
    let answered = wire.run(Duration::from_secs(1), |wire| {
        let [us, peer] = &mut wire.hosts;
        if let Some(datagram) = peer.stack.udp_front(server) {
            let data = peer.received(server).unwrap();
            peer.stack
                .udp_send(peer.now, server, datagram.from, &[&data])
                .unwrap();
        }
        us.received(client).is_some_and(|data| data == b"ping")
    });
    assert!(answered);
    assert_eq!(
        wire.now.since(start),
        4 * delay,
        "one round trip for ARP, one for the datagram"
    );
}

#[test]
fn what_arrives_over_a_bad_wire_is_what_was_sent() {
    for seed in 0..20 {
        let mut wire = wire(Impairment::HARSH, seed);
        let [us, peer] = &mut wire.hosts;
        us.stack.learn_neighbor(us.now, PEER, hardware(PEER));
        let client = us
            .stack
            .udp_open(at(US, 9), &UdpOptions::default())
            .unwrap();
        let server = peer
            .stack
            .udp_open(at(PEER, 7), &UdpOptions::default())
            .unwrap();
        let mut seen = HashSet::new();
        for n in 0..500_u32 {
            let us = &mut wire.hosts[0];
            let body = [n as u8; 300];
            us.stack
                .udp_send(us.now, client, at(PEER, 7), &[&n.to_be_bytes(), &body])
                .unwrap();
            wire.pass(Duration::from_millis(3));
            while let Some(data) = wire.hosts[1].received(server) {
                let n = u32::from_be_bytes(data[..4].try_into().unwrap());
                assert_eq!(data[4..], [n as u8; 300]);
                seen.insert(n);
            }
        }
        assert!((250..450).contains(&seen.len()), "{} arrived", seen.len());
        let peer = &wire.hosts[1];
        let caught = peer.drops(Drop::UdpChecksum) + peer.drops(Drop::Ipv4Checksum);
        assert!(caught > 1, "{caught} corrupted datagrams caught");
    }
}
