//! ICMP: echo, errors we send, errors about what we sent.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::reports::Origin;
use crate::stack::routes::RouteDecision;
use crate::stack::udp::{PathMtuDiscovery, UdpOptions};
use crate::stack::wire::icmpv4::Kind;
use crate::support::host::{FAR, Host, PEER, ROUTER, US, at, datagram, icmp, packet, quote};

const ECHO_ID: u32 = 0x0102_0003;

#[test]
fn echo_is_answered_with_the_same_data() {
    let mut host = Host::own();
    let data: Vec<u8> = (0..1400).map(|n| n as u8).collect();
    host.receive(&icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, &data));
    host.receive(&icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, b""));
    let frames = host.frames();
    assert_eq!(frames[0][42..], data);
    assert_eq!(frames.len(), 2);
    host.receive(&icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, b"odd"));
    assert_eq!(
        host.sent(),
        ["IP 10.0.0.1 > 10.0.0.2: ICMP echo reply, id 258, seq 3"]
    );
}

#[test]
fn echo_at_a_shared_address_or_to_all_is_left_alone() {
    let mut host = Host::shared();
    host.receive(&icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, b"ping"));
    assert!(host.sent().is_empty());
    let mut host = Host::own();
    let request = icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, b"ping");
    host.receive(&packet(PEER, Ipv4Addr::BROADCAST, 1, &request[34..]));
    host.receive(&packet(
        PEER,
        Ipv4Addr::new(10, 0, 0, 255),
        1,
        &request[34..],
    ));
    assert!(host.sent().is_empty());
    assert_eq!(host.drops(Drop::IcmpIgnored), 2);
}

#[test]
fn a_flood_is_answered_in_measure() {
    let mut host = Host::own();
    let request = icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, b"ping");
    for _ in 0..3000 {
        host.receive(&request);
    }
    assert_eq!(host.sent().len(), 1000);
    assert_eq!(host.drops(Drop::IcmpRateLimited), 2000);
    host.advance(Duration::from_millis(1));
    for _ in 0..100 {
        host.receive(&request);
    }
    assert_eq!(host.sent().len(), 10);
}

#[test]
fn a_wrong_checksum_or_a_short_message_is_dropped() {
    let mut host = Host::own();
    let mut request = icmp(PEER, Kind::EchoRequest, 0, ECHO_ID, b"ping");
    request[45] ^= 1;
    host.receive(&request);
    assert_eq!(host.drops(Drop::IcmpChecksum), 1);
    host.receive(&packet(PEER, US, 1, &[8, 0, 0, 0]));
    host.receive(&icmp(PEER, Kind::Unreachable, 3, 0, b"too little"));
    assert_eq!(host.drops(Drop::IcmpMalformed), 2);
    assert!(host.sent().is_empty());
}

#[test]
fn a_closed_port_is_unreachable_in_measure() {
    let mut host = Host::own();
    let closed = datagram(at(PEER, 7), at(US, 4), b"closed");
    host.receive(&closed);
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][34..36], [3, 3]);
    assert_eq!(frames[0][42..], closed[14..], "the quote");
    for _ in 0..100 {
        host.receive(&closed);
    }
    assert_eq!(host.sent().len(), 49);
    let to_all = datagram(at(PEER, 7), at(Ipv4Addr::BROADCAST, 4), b"closed");
    host.advance(Duration::from_secs(1));
    host.receive(&to_all);
    let mut in_broadcast_frame = closed.clone();
    in_broadcast_frame[..6].fill(0xff);
    host.receive(&in_broadcast_frame);
    assert!(host.sent().is_empty());
}

#[test]
fn a_protocol_nobody_has_is_unreachable() {
    let mut host = Host::own();
    let sctp = packet(PEER, US, 132, b"sctp");
    host.receive(&sctp);
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][34..36], [3, 2]);
    assert_eq!(frames[0][42..], sctp[14..], "the quote");
    assert_eq!(host.drops(Drop::Ipv4Protocol), 1);
    let mut host = Host::shared();
    host.receive(&sctp);
    assert!(host.sent().is_empty(), "that is the kernel's");
}

#[test]
fn a_long_datagram_is_quoted_in_part() {
    let mut host = Host::own();
    host.receive(&datagram(at(PEER, 7), at(US, 4), &[7; 1400]));
    assert_eq!(host.frames()[0].len(), 14 + 576);
}

#[test]
fn a_closed_port_of_a_shared_address_is_the_kernels() {
    let mut host = Host::shared();
    host.receive(&datagram(at(PEER, 7), at(US, 4), b"closed"));
    assert!(host.sent().is_empty());
}

/// A socket connected to [`FAR`], and a frame it sent.
fn connected(options: &UdpOptions) -> (Host, crate::stack::ids::SocketId, Vec<u8>) {
    let mut host = Host::own();
    host.stack.learn_neighbor(host.now, ROUTER, [2; 6]);
    let id = host.stack.udp_open(at(US, 9), options).unwrap();
    host.stack.udp_connect(id, Some(at(FAR, 53))).unwrap();
    host.stack
        .udp_send(host.now, id, at(FAR, 53), &[b"query"])
        .unwrap();
    let frame = host.frames().remove(0);
    (host, id, frame)
}

#[test]
fn errors_are_told_as_linux_does() {
    let fatal = [
        (Kind::Unreachable, 2, Error::ProtocolUnreachable),
        (Kind::Unreachable, 3, Error::ConnectionRefused),
        (Kind::Unreachable, 4, Error::MessageSize),
        (Kind::Unreachable, 6, Error::NetworkUnreachable),
        (Kind::Unreachable, 7, Error::HostDown),
        (Kind::Unreachable, 8, Error::NoNetwork),
        (Kind::Unreachable, 9, Error::NetworkUnreachable),
        (Kind::Unreachable, 10, Error::HostUnreachable),
        (Kind::Unreachable, 13, Error::HostUnreachable),
        (Kind::ParameterProblem, 0, Error::ParameterProblem),
    ];
    let hidden = [
        (Kind::Unreachable, 0, Error::NetworkUnreachable),
        (Kind::Unreachable, 1, Error::HostUnreachable),
        (Kind::Unreachable, 5, Error::NotSupported),
        (Kind::TimeExceeded, 0, Error::HostUnreachable),
    ];
    for (kind, code, error) in fatal {
        let (mut host, id, frame) = connected(&UdpOptions::default());
        host.receive(&icmp(ROUTER, kind, code, 1400, quote(&frame)));
        assert_eq!(host.dirty(), [id]);
        assert_eq!(
            host.stack.udp_take_error(id),
            Some(error),
            "{kind:?} {code}"
        );
        assert_eq!(host.stack.udp_take_error(id), None);
    }
    for (kind, code, error) in hidden {
        let (mut host, id, frame) = connected(&UdpOptions::default());
        let message = icmp(ROUTER, kind, code, 0, quote(&frame));
        host.receive(&message);
        assert_eq!(host.stack.udp_take_error(id), None, "{kind:?} {code}");
        let options = UdpOptions {
            receive_errors: true,
            ..UdpOptions::default()
        };
        host.stack.udp_set_options(id, &options);
        host.receive(&message);
        assert_eq!(
            host.stack.udp_take_error(id),
            Some(error),
            "{kind:?} {code}"
        );
    }
}

#[test]
fn a_send_tells_the_error_and_sends_nothing() {
    let (mut host, id, frame) = connected(&UdpOptions::default());
    host.receive(&icmp(FAR, Kind::Unreachable, 3, 0, quote(&frame)));
    let sent = host.stack.udp_send(host.now, id, at(FAR, 53), &[b"query"]);
    assert_eq!(sent, Err(Error::ConnectionRefused));
    assert!(host.sent().is_empty());
    host.stack
        .udp_send(host.now, id, at(FAR, 53), &[b"query"])
        .unwrap();
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn errors_that_quote_others_are_not_believed() {
    let (mut host, id, frame) = connected(&UdpOptions::default());
    for byte in [15, 19, 21, 23] {
        let mut quoted = quote(&frame).to_vec();
        quoted[byte] ^= 1;
        host.receive(&icmp(FAR, Kind::Unreachable, 3, 0, &quoted));
    }
    assert_eq!(host.drops(Drop::IcmpUnmatched), 4);
    assert_eq!(host.stack.udp_take_error(id), None);
}

#[test]
fn unconnected_sockets_hear_nothing() {
    let mut host = Host::own();
    let id = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    host.stack
        .udp_send(host.now, id, at(PEER, 53), &[b"query"])
        .unwrap();
    let frame = host.frames().remove(0);
    host.receive(&icmp(PEER, Kind::Unreachable, 3, 0, quote(&frame)));
    assert_eq!(host.stack.udp_take_error(id), None);
    assert!(host.dirty().is_empty());
}

#[test]
fn the_paths_mtu_is_learned_for_ten_minutes() {
    let options = UdpOptions {
        path_mtu_discovery: PathMtuDiscovery::Do,
        ..UdpOptions::default()
    };
    let (mut host, id, frame) = connected(&options);
    let mtu = |host: &Host| match host.stack.route(FAR) {
        RouteDecision::Stack { mtu, .. } => mtu,
        other => panic!("{other:?}"),
    };
    assert_eq!(mtu(&host), 1500);
    host.receive(&icmp(ROUTER, Kind::Unreachable, 4, 1400, quote(&frame)));
    assert_eq!(mtu(&host), 1400);
    host.stack.udp_take_error(id);
    let too_long = host
        .stack
        .udp_send(host.now, id, at(FAR, 53), &[&[0; 1373]]);
    assert_eq!(too_long, Err(Error::MessageSize));
    host.stack
        .udp_send(host.now, id, at(FAR, 53), &[&[0; 1372]])
        .unwrap();
    host.receive(&icmp(ROUTER, Kind::Unreachable, 4, 60, quote(&frame)));
    assert_eq!(mtu(&host), 552, "not believed below");
    host.receive(&icmp(ROUTER, Kind::Unreachable, 4, 1400, quote(&frame)));
    assert_eq!(mtu(&host), 552, "an older message does not raise it");
    host.advance(Duration::from_secs(599));
    assert_eq!(mtu(&host), 552);
    host.advance(Duration::from_secs(2));
    assert_eq!(mtu(&host), 1500);
    assert_eq!(host.stack.next_deadline(), None);
}

#[test]
fn who_asked_is_told_all_about_an_error() {
    let mut host = Host::own();
    let options = UdpOptions {
        receive_errors: true,
        path_mtu_discovery: PathMtuDiscovery::Do,
        ..UdpOptions::default()
    };
    let id = host.stack.udp_open(at(US, 5000), &options).unwrap();
    let sent = datagram(at(US, 5000), at(FAR, 7), b"question");
    let error = icmp(ROUTER, Kind::Unreachable, 1, 0, &sent[14..]);
    host.receive(&error);
    let (told, report) = host.stack.poll_report().unwrap();
    assert_eq!((told, report.error), (id, Error::HostUnreachable));
    assert_eq!(report.destination, at(FAR, 7));
    assert_eq!(report.payload, b"question");
    let origin = Origin::Icmp {
        offender: ROUTER,
        ttl: 61,
        kind: 3,
        code: 1,
    };
    assert_eq!((report.origin, report.mtu), (origin, 0));
    assert_eq!(host.stack.udp_take_error(id), Some(report.error));
    let refused = host
        .stack
        .udp_send(host.now, id, at(PEER, 7), &[&[0; 3000]]);
    assert_eq!(refused, Err(Error::MessageSize));
    let (_, report) = host.stack.poll_report().unwrap();
    assert_eq!((report.origin, report.mtu), (Origin::Local, 1500));
    for _ in 0..1000 {
        host.receive(&error);
    }
    let waiting = core::iter::from_fn(|| host.stack.poll_report()).count();
    assert_eq!(waiting, 256, "a flood is not remembered without end");
}
