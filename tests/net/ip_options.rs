//! The options of IPv4 headers that arrive: what is noted in them, and what becomes of those that contradict themselves.
//! And of those that are sent.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::ip_options::IpOptions;
use crate::stack::random::Random;
use crate::stack::udp::{PathMtuDiscovery, UdpOptions};
use crate::stack::wire::icmpv4::Kind;
use crate::stack::wire::{checksum, ipv4};
use crate::support::host::{Host, PEER, US, at, datagram, icmp, quote};

/// The packet in `frame` with options in its header.
pub(crate) fn with_options(frame: &[u8], options: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.splice(34..34, options.iter().copied());
    frame[14] += options.len() as u8 / 4;
    let total_len = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&total_len.to_be_bytes());
    frame[24..26].fill(0);
    let sum = checksum::of(&frame[14..34 + options.len()]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A host with a UDP socket on port 9, and a datagram that reaches it.
fn listening(mut host: Host) -> (Host, SocketId, Vec<u8>) {
    let local = at(US, 9);
    let id = host.stack.udp_open(local, &UdpOptions::default()).unwrap();
    (host, id, datagram(at(PEER, 7), local, b"hello"))
}

/// What the socket is told of the options that arrive with a datagram, at the time `at`.
fn told(host: &mut Host, id: SocketId, frame: &[u8], at: u64) -> Option<IpOptions> {
    host.receive(frame);
    let options = host.stack.udp_front(id)?.options;
    host.received(id);
    Some(options.at(at))
}

#[test]
fn options_that_ask_for_nothing_are_told_as_they_are() {
    let (mut host, id, frame) = listening(Host::own());
    let of = |host: &mut Host, options: &[u8]| told(host, id, &with_options(&frame, options), 1);
    assert_eq!(told(&mut host, id, &frame, 1), Some(IpOptions::NONE));
    for options in [[1, 1, 1, 1], [148, 4, 0, 0], [94, 4, 7, 7], [1, 1, 0, 0]] {
        assert_eq!(of(&mut host, &options).unwrap().as_bytes(), options);
    }
    let behind_the_end = of(&mut host, &[1, 0, 40, 4]).unwrap();
    assert_eq!(behind_the_end.as_bytes(), [1, 0, 0, 0]);
}

#[test]
fn the_address_and_the_time_are_noted_where_they_belong() {
    let (mut host, id, frame) = listening(Host::own());
    let [a, b, c, d] = US.octets();
    let [e, f, g, h] = PEER.octets();
    // A quarter past one in the morning, of some day.
    let time: u64 = (19_000 * 24 * 3600 + 4500) * 1_000_000_000 + 7_000_000;
    let [w, x, y, z] = 4_500_007_u32.to_be_bytes();
    let cases: [(&[u8], &[u8]); 8] = [
        (&[7, 7, 4, 0, 0, 0, 0, 0], &[7, 7, 8, a, b, c, d, 0]),
        (&[7, 7, 8, 9, 9, 9, 9, 0], &[7, 7, 8, 9, 9, 9, 9, 0]),
        (&[68, 8, 5, 0, 0, 0, 0, 0], &[68, 8, 9, 0, w, x, y, z]),
        (&[68, 8, 9, 16, 9, 9, 9, 9], &[68, 8, 9, 32, 9, 9, 9, 9]),
        (
            &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[68, 12, 13, 1, a, b, c, d, w, x, y, z],
        ),
        (
            &[68, 12, 5, 3, a, b, c, d, 0, 0, 0, 0],
            &[68, 12, 13, 3, a, b, c, d, w, x, y, z],
        ),
        (
            &[68, 12, 5, 3, e, f, g, h, 0, 0, 0, 0],
            &[68, 12, 5, 3, e, f, g, h, 0, 0, 0, 0],
        ),
        (
            &[1, 7, 7, 4, 0, 0, 0, 0, 1, 1, 1, 1],
            &[1, 7, 7, 8, a, b, c, d, 1, 1, 1, 1],
        ),
    ];
    for (sent, expected) in cases {
        let options = told(&mut host, id, &with_options(&frame, sent), time).unwrap();
        assert_eq!(options.as_bytes(), expected, "{sent:?}");
    }
}

#[test]
fn an_answer_carries_what_was_recorded_and_room_for_more() {
    let (mut host, id, frame) = listening(Host::own());
    let sent = [94, 4, 7, 7, 7, 11, 4, 9, 9, 9, 9, 9, 9, 9, 9, 1];
    let options = told(&mut host, id, &with_options(&frame, &sent), 1).unwrap();
    let [a, b, c, d] = US.octets();
    let echoed = options.echoed(US).unwrap();
    assert_eq!(echoed.as_bytes(), [7, 11, 8, a, b, c, d, 0, 0, 0, 0, 0]);
    let half_a_place = [7, 9, 4, 9, 9, 9, 9, 9, 9, 1, 1, 1];
    let options = told(&mut host, id, &with_options(&frame, &half_a_place), 1).unwrap();
    assert_eq!(options.echoed(US), None);
}

/// Options that contradict themselves, and where.
const MALFORMED: [(&[u8], u8); 8] = [
    (&[7, 40, 4, 0], 0),
    (&[1, 7, 1, 4], 1),
    (&[1, 1, 1, 7], 3),
    (&[7, 2, 1, 1], 1),
    (&[1, 7, 7, 3, 0, 0, 0, 0], 3),
    (&[7, 3, 4, 7, 3, 4, 1, 1], 3),
    (&[68, 8, 9, 240, 0, 0, 0, 0], 3),
    (&[148, 3, 0, 1], 1),
];

/// RFC 1122 section 3.2.1.8: options are as long as they say; and 3.2.2.5: who sent others is told.
#[test]
fn options_that_contradict_themselves_are_a_parameter_problem() {
    let (mut host, id, frame) = listening(Host::own());
    for (options, at) in MALFORMED {
        let frame = with_options(&frame, options);
        host.receive(&frame);
        let told = host.frames();
        assert_eq!(told.len(), 1, "{options:?}");
        assert_eq!(told[0][34..36], [12, 0]);
        assert_eq!(told[0][38..42], [20 + at, 0, 0, 0], "{options:?}");
        assert_eq!(told[0][42..], frame[14..], "the quote");
    }
    assert_eq!(host.drops(Drop::Ipv4Malformed), 8);
    assert!(host.received(id).is_none());
    assert_eq!(host.stack.counters().drops(Drop::UdpNoSocket), 0);
}

#[test]
fn at_a_shared_address_the_kernel_tells_of_it() {
    let (mut host, id, frame) = listening(Host::shared());
    host.receive(&with_options(&frame, MALFORMED[0].0));
    assert_eq!(host.drops(Drop::Ipv4Malformed), 1);
    assert!(host.received(id).is_none());
    assert!(host.sent().is_empty());
}

/// RFC 1122 section 3.2.2.
#[test]
fn there_is_no_parameter_problem_where_there_may_be_no_error() {
    let (mut host, _, frame) = listening(Host::own());
    let bad = MALFORMED[0].0;
    let mut later_piece = frame.clone();
    later_piece[21] = 3;
    let sent = datagram(at(US, 9), at(PEER, 7), b"query");
    let of_none = [
        with_options(&later_piece, bad),
        with_options(&datagram(at(PEER, 7), at(Ipv4Addr::BROADCAST, 9), b""), bad),
        with_options(&icmp(PEER, Kind::Unreachable, 3, 0, quote(&sent)), bad),
    ];
    for frame in &of_none {
        host.receive(frame);
    }
    assert_eq!(host.drops(Drop::Ipv4Malformed), 3);
    assert!(host.sent().is_empty());
    for _ in 0..100 {
        host.receive(&with_options(&frame, bad));
    }
    assert_eq!(host.sent().len(), 50, "in measure");
}

/// As Linux: nobody chooses the way of our answers.
#[test]
fn source_routes_are_dropped() {
    let (mut host, id, frame) = listening(Host::own());
    for options in [[131, 3, 4, 0], [137, 3, 4, 0], [1, 131, 3, 4]] {
        host.receive(&with_options(&frame, &options));
    }
    assert_eq!(host.drops(Drop::Ipv4SourceRoute), 3);
    assert!(host.received(id).is_none());
    assert!(host.sent().is_empty());
}

/// RFC 791 section 3.2: the first piece has them all.
#[test]
fn a_datagram_in_pieces_has_the_options_of_the_first() {
    let (mut host, id, _) = listening(Host::own());
    let whole = datagram(at(PEER, 7), at(US, 9), &[3; 24]);
    let payload = 14 + ipv4::HEADER_LEN;
    let piece = |from: usize, to: usize, flags: [u8; 2]| {
        let mut piece = whole[..payload].to_vec();
        piece[17] = (ipv4::HEADER_LEN + to - from) as u8;
        piece[20..22].copy_from_slice(&flags);
        piece.extend_from_slice(&whole[payload + from..payload + to]);
        piece
    };
    host.receive(&with_options(&piece(16, 32, [0, 2]), &[1, 1, 1, 1]));
    host.advance(Duration::from_millis(1));
    let first = with_options(&piece(0, 16, [0x20, 0]), &[7, 7, 4, 0, 0, 0, 0, 1]);
    let options = told(&mut host, id, &first, 1).unwrap();
    let [a, b, c, d] = US.octets();
    assert_eq!(options.as_bytes(), [7, 7, 8, a, b, c, d, 1]);
}

/// Whatever arrives: what is told is as long, and noted once; what is told of it for the answer is no longer.
#[test]
fn any_options_are_bounded() {
    let (mut host, id, frame) = listening(Host::own());
    let mut random = Random::new(7);
    let mut came = 0;
    for _ in 0..200_000 {
        let mut options = vec![0; 4 + 4 * random.below(10)];
        for byte in &mut options {
            *byte = match random.below(6) {
                0 => [7, 68, 68, 131, 137, 148, 134][random.below(7)],
                1 => 0,
                2 => 1,
                3 => random.next_u64() as u8,
                _ => random.below(14) as u8,
            };
        }
        if let Some(told) = told(&mut host, id, &with_options(&frame, &options), u64::MAX) {
            came += 1;
            assert_eq!(told.as_bytes().len(), options.len());
            let echoed = told.echoed(US).unwrap_or(IpOptions::NONE);
            assert!(echoed.as_bytes().len() <= options.len(), "{options:?}");
        }
        host.frames();
    }
    assert!(came > 1000, "{came}");
}

/// A host with a UDP socket on port 9 whose datagrams carry `options`, at the time `at`.
fn sending(options: &[u8], at_time: u64) -> (Host, SocketId) {
    let mut host = Host::own();
    let asked = IpOptions::to_send(options).unwrap();
    let options = UdpOptions {
        ip_options: Some((asked, at_time)),
        ..UdpOptions::default()
    };
    let id = host.stack.udp_open(at(US, 9), &options).unwrap();
    (host, id)
}

/// The header's options and the payload of what is sent, all checksums being right.
fn sent(host: &mut Host, id: SocketId, data: &[u8]) -> Vec<(ipv4::Repr, Vec<u8>, Vec<u8>)> {
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[data])
        .unwrap();
    let packets = host.frames().into_iter().map(|frame| {
        assert!(frame.len() <= 1514);
        let (ip, header_len) = ipv4::parse(&frame[14..]).unwrap();
        assert!(ipv4::checksum_ok(&frame[14..], header_len));
        let options = frame[34..14 + header_len].to_vec();
        (ip, options, frame[14 + header_len..].to_vec())
    });
    packets.collect()
}

fn udp_sum(payload: &[u8]) -> u16 {
    let pseudo = checksum::Sum::pseudo_header(US, PEER, ipv4::UDP, payload.len());
    pseudo.add(payload).finish()
}

#[test]
fn the_header_carries_what_is_asked_for() {
    let [a, b, c, d] = US.octets();
    let [e, f, g, h] = PEER.octets();
    let time = (19_000 * 24 * 3600 + 4500) * 1_000_000_000 + 7_000_000;
    let [w, x, y, z] = 4_500_007_u32.to_be_bytes();
    let cases: [(&[u8], &[u8]); 8] = [
        (&[], &[]),
        (&[148, 4, 0, 0], &[148, 4, 0, 0]),
        (&[7, 7, 4, 0, 0, 0, 0], &[7, 7, 8, a, b, c, d, 0]),
        (&[7, 7, 8, 9, 9, 9, 9], &[7, 7, 8, 9, 9, 9, 9, 0]),
        (&[68, 8, 5, 0, 0, 0, 0, 0], &[68, 8, 9, 0, w, x, y, z]),
        (&[68, 8, 9, 32, 9, 9, 9, 9], &[68, 8, 9, 32, 9, 9, 9, 9]),
        (
            &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[68, 12, 13, 1, a, b, c, d, w, x, y, z],
        ),
        (
            &[68, 12, 5, 3, e, f, g, h, 0, 0, 0, 0],
            &[68, 12, 5, 3, e, f, g, h, 0, 0, 0, 0],
        ),
    ];
    for (asked, expected) in cases {
        let (mut host, id) = sending(asked, time);
        // Short ones travel behind their header, long ones elsewhere.
        for len in [0, 5, 1400] {
            let data = vec![3; len];
            let packets = sent(&mut host, id, &data);
            let [(ip, options, payload)] = &packets[..] else {
                panic!("one packet is expected: {packets:?}");
            };
            assert!(ip.dont_fragment && !ip.is_fragment());
            assert_eq!(options, expected, "{asked:?}");
            assert_eq!(payload[8..], data);
            assert_eq!(udp_sum(payload), 0);
        }
    }
}

/// RFC 791 section 3.1: those with the bit for it are in every fragment, the others in the first.
#[test]
fn later_fragments_carry_the_options_that_are_copied() {
    let (mut host, id) = sending(&[7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 94, 4, 7, 7], 1);
    let [a, b, c, d] = US.octets();
    let first = [7, 7, 8, a, b, c, d, 148, 4, 0, 0, 94, 4, 7, 7, 0];
    let later = [1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 1, 1, 1, 1, 0];
    let data: Vec<u8> = (0..4000_u32).map(|n| (n * n) as u8).collect();
    let mut whole = Vec::new();
    for (ip, options, payload) in sent(&mut host, id, &data) {
        let expected = if whole.is_empty() { first } else { later };
        assert_eq!(options, expected);
        assert_eq!(usize::from(ip.fragment_offset), whole.len());
        whole.extend_from_slice(&payload);
        assert_eq!(ip.more_fragments, whole.len() < 8 + data.len());
    }
    assert_eq!(udp_sum(&whole), 0);
    assert_eq!(whole[8..], data);
}

/// The longest payloads are as much shorter as the options are long.
#[test]
fn options_take_room_from_the_payload() {
    let (mut host, id) = sending(&[148, 4, 0, 0, 148, 4, 0, 0], 1);
    assert_eq!(sent(&mut host, id, &[0; 1464]).len(), 1);
    assert_eq!(sent(&mut host, id, &[0; 1465]).len(), 2);
    sent(&mut host, id, &vec![0; 65_499]);
    let send = |host: &mut Host, len| {
        host.stack
            .udp_send(host.now, id, at(PEER, 7), &[&vec![0; len]])
    };
    assert_eq!(send(&mut host, 65_500), Err(Error::MessageSize));
    let options = UdpOptions {
        ip_options: Some((IpOptions::to_send(&[148, 4, 0, 0]).unwrap(), 1)),
        path_mtu_discovery: PathMtuDiscovery::Do,
        ..UdpOptions::default()
    };
    host.stack.udp_set_options(id, &options);
    assert!(host.stack.udp_is_too_long(&options, PEER, 1469));
    assert_eq!(send(&mut host, 1469), Err(Error::MessageSize));
    assert_eq!(send(&mut host, 1468), Ok(()));
}

#[test]
fn what_the_own_host_hears_has_been_noted_twice() {
    let mut host = Host::own();
    let route = IpOptions::to_send(&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let options = UdpOptions {
        broadcast: true,
        ip_options: Some((route, 1)),
        ..UdpOptions::default()
    };
    let id = host.stack.udp_open(at(US, 9), &options).unwrap();
    let any = at(Ipv4Addr::UNSPECIFIED, 7);
    let hearing = host.stack.udp_open(any, &UdpOptions::default()).unwrap();
    let everybody = at(Ipv4Addr::BROADCAST, 7);
    host.stack
        .udp_send(host.now, id, everybody, &[b"hello"])
        .unwrap();
    let heard = host.stack.udp_front(hearing).unwrap().options;
    let [a, b, c, d] = US.octets();
    assert_eq!(heard.as_bytes(), [7, 11, 12, a, b, c, d, a, b, c, d, 0]);
}

/// What is sent has to be right, and what hosts on the way may not know takes a right.
#[test]
fn options_to_send_are_judged() {
    for (options, _) in MALFORMED {
        assert!(IpOptions::to_send(options).is_err(), "{options:?}");
    }
    let of_anybody: [&[u8]; 7] = [
        &[],
        &[1, 1, 0],
        &[148, 4, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0],
        &[131, 7, 4, 0, 0, 0, 0],
        &[68, 12, 5, 3, 0, 0, 0, 0, 0, 0, 0, 0],
        &[68, 4, 5, 2],
    ];
    let of_few: [&[u8]; 4] = [
        &[94, 4, 7, 7],
        &[1, 136, 4, 0, 1],
        &[68, 8, 5, 2, 0, 0, 0, 0],
        &[148, 4, 0, 0, 134, 2],
    ];
    let takes_right = |options: &[u8]| IpOptions::to_send(options).unwrap().takes_right();
    for options in of_anybody {
        assert!(!takes_right(options), "{options:?}");
    }
    for options in of_few {
        assert!(takes_right(options), "{options:?}");
    }
    assert_eq!(IpOptions::to_send(&[1; 50]).unwrap().as_bytes(), [1; 40]);
}
