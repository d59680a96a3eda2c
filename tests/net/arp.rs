//! ARP: who is asked, who is answered, what is believed and for how long.

use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::udp::UdpOptions;
use crate::stack::wire::arp::Operation::{Reply, Request};
use crate::support::host::{FAR, Host, PEER, ROUTER, US, arp, at, datagram, frame, hardware};

const SECOND: Duration = Duration::from_secs(1);

fn unsettled() -> Host {
    let mut host = Host::new(US, true, 1 << 20);
    host.frames();
    host
}

#[test]
fn a_new_address_is_announced() {
    let mut host = Host::new(US, true, 1 << 20);
    assert_eq!(host.sent(), ["ARP, Request who-has 10.0.0.1 tell 10.0.0.1"]);
    let mut host = Host::new(US, false, 1 << 20);
    assert!(host.sent().is_empty());
}

#[test]
fn a_datagram_waits_for_the_answer() {
    let mut host = unsettled();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[&[2; 900]])
        .unwrap();
    assert_eq!(host.sent(), ["ARP, Request who-has 10.0.0.2 tell 10.0.0.1"]);
    host.receive(&arp(Reply, PEER, US));
    let frames = host.frames();
    assert_eq!(frames[0][..6], hardware(PEER));
    assert_eq!(&frames[0][42..], b"one");
    assert_eq!(frames[1][42..], [2; 900]);
    assert_eq!(frames.len(), 2);
}

#[test]
fn the_router_is_asked_for_who_is_far() {
    let mut host = unsettled();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.stack
        .udp_send(host.now, id, at(FAR, 7), &[b"one"])
        .unwrap();
    assert_eq!(
        host.sent(),
        ["ARP, Request who-has 10.0.0.254 tell 10.0.0.1"]
    );
    host.receive(&arp(Reply, ROUTER, US));
    assert_eq!(host.sent(), ["IP 10.0.0.1.9 > 192.0.2.7.7: UDP, length 3"]);
}

#[test]
fn silence_is_asked_three_times_and_then_unreachable() {
    let mut host = unsettled();
    let options = UdpOptions {
        receive_errors: true,
        ..UdpOptions::default()
    };
    let id = host.stack.udp_open(at(US, 9), &options).unwrap();
    let start = host.now;
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    let request = "ARP, Request who-has 10.0.0.2 tell 10.0.0.1";
    assert_eq!(host.sent(), [request]);
    assert_eq!(host.advance(SECOND), [request]);
    assert_eq!(host.advance(SECOND), [request]);
    assert_eq!(host.stack.udp_take_error(id), None);
    assert!(host.advance(SECOND).is_empty());
    assert_eq!(host.now.since(start), 3 * SECOND);
    assert_eq!(host.dirty(), [id]);
    assert_eq!(host.stack.udp_take_error(id), Some(Error::HostUnreachable));
    assert_eq!(host.drops(Drop::NeighborUnreachable), 1);
    assert_eq!(host.stack.next_deadline(), None);
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"two"])
        .unwrap();
    assert_eq!(host.sent(), [request]);
}

#[test]
fn an_old_answer_is_used_and_checked_with_a_unicast() {
    let mut host = Host::own();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.advance(29 * SECOND);
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    assert_eq!(host.sent(), ["IP 10.0.0.1.9 > 10.0.0.2.7: UDP, length 3"]);
    host.advance(2 * SECOND);
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    let frames = host.frames();
    assert_eq!(frames.len(), 2);
    assert_eq!(
        frames[0][..6],
        hardware(PEER),
        "the request is for the peer alone"
    );
    host.receive(&arp(Reply, PEER, US));
    assert!(host.advance(25 * SECOND).is_empty());
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn who_does_not_answer_the_check_is_forgotten() {
    let mut host = Host::own();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.advance(31 * SECOND);
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    assert_eq!(host.sent().len(), 2);
    assert_eq!(host.advance(3 * SECOND).len(), 2);
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][..6], [0xff; 6]);
}

#[test]
fn requests_and_probes_for_our_address_are_answered() {
    let mut host = Host::own();
    let reply = "ARP, Reply 10.0.0.1 is-at 02:00:0a:00:00:01";
    host.receive(&arp(Request, PEER, US));
    assert_eq!(host.sent(), [reply]);
    host.receive(&arp(Request, "0.0.0.0".parse().unwrap(), US));
    assert_eq!(host.sent(), [reply]);
    host.receive(&arp(Request, PEER, ROUTER));
    assert!(host.sent().is_empty());
}

#[test]
fn a_shared_address_is_left_to_the_kernel() {
    let mut host = Host::shared();
    host.receive(&arp(Request, PEER, US));
    assert!(host.sent().is_empty());
}

#[test]
fn a_request_to_us_teaches_who_asks() {
    let mut host = unsettled();
    host.receive(&arp(Request, PEER, US));
    host.frames();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    let sent = host.sent();
    assert!(
        sent.contains(&"IP 10.0.0.1.9 > 10.0.0.2.7: UDP, length 3".into()),
        "{sent:?}"
    );
}

#[test]
fn replies_nobody_asked_for_teach_nothing() {
    let mut host = unsettled();
    host.receive(&arp(Reply, PEER, US));
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    assert_eq!(host.sent(), ["ARP, Request who-has 10.0.0.2 tell 10.0.0.1"]);
}

#[test]
fn our_address_is_defended_but_not_without_end() {
    let mut host = Host::own();
    let mut conflict = arp(Request, US, US);
    conflict[6 + 6] = 8;
    conflict[14 + 8 + 5] = 0x66;
    conflict[12..14].copy_from_slice(&[8, 6]);
    host.receive(&conflict);
    assert_eq!(host.sent(), ["ARP, Request who-has 10.0.0.1 tell 10.0.0.1"]);
    host.receive(&conflict);
    assert!(host.sent().is_empty());
    host.advance(11 * SECOND);
    host.receive(&conflict);
    assert_eq!(host.sent().len(), 1);
    assert_eq!(host.drops(Drop::ArpConflict), 3);
}

#[test]
fn the_table_and_what_waits_are_bounded() {
    let mut host = Host::new(US, true, 8 << 20);
    host.stack
        .set_addresses(&[crate::stack::address::Ipv4Cidr::new(US, 8)]);
    host.stack.set_routes(vec![crate::support::host::route(
        crate::stack::address::Ipv4Cidr::new(US, 8),
        None,
    )]);
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    for n in 0..5000_u32 {
        let to = at(std::net::Ipv4Addr::from_bits(0x0a01_0000 + n), 7);
        for _ in 0..3 {
            host.stack
                .udp_send(host.now, id, to, &[&[0; 1000]])
                .unwrap();
        }
    }
    let requests = host.sent().len();
    assert!(requests <= 1025, "{requests} requests wait");
    host.stack.receive_timeout(host.now);
    let lost = host.drops(Drop::NeighborQueueFull);
    assert!(lost >= 3 * (5000 - 1024), "{lost} lost");
    let last = at(std::net::Ipv4Addr::from_bits(0x0a01_0000 + 4999), 7);
    for _ in 0..200 {
        host.stack.udp_send(host.now, id, last, &[b"x"]).unwrap();
    }
    let dropped = host.drops(Drop::NeighborQueueFull) - lost;
    assert_eq!(dropped, 200 - (128 - 3));
}

#[test]
fn malformed_packets_are_counted() {
    let mut host = Host::own();
    let whole = arp(Request, PEER, US);
    for len in 14..whole.len() {
        host.receive(&whole[..len]);
    }
    assert_eq!(host.drops(Drop::ArpMalformed), 28);
    for (byte, value) in [
        (14, 9),
        (16, 9),
        (18, 7),
        (19, 9),
        (21, 9),
        (22, 1),
        (28, 127),
    ] {
        let mut packet = whole.clone();
        packet[byte] = value;
        host.receive(&packet);
    }
    assert_eq!(host.drops(Drop::ArpMalformed), 35);
    assert!(host.sent().is_empty());
    host.receive(&frame(hardware(PEER), 0x86dd, &[0; 40]));
    assert_eq!(host.drops(Drop::EthernetType), 1);
}

#[test]
fn nothing_is_sent_while_the_link_is_down() {
    let mut host = Host::own();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.stack.set_link_up(false);
    let sent = host.stack.udp_send(host.now, id, at(PEER, 7), &[b"one"]);
    assert_eq!(sent, Err(Error::NetworkDown));
    host.receive(&datagram(at(PEER, 7), at(US, 4), b"closed"));
    assert!(host.sent().is_empty());
    assert_eq!(host.drops(Drop::LinkDown), 1);
    host.stack.set_link_up(true);
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"one"])
        .unwrap();
    assert_eq!(host.sent(), ["ARP, Request who-has 10.0.0.2 tell 10.0.0.1"]);
}
