//! The options of IPv4 headers that arrive: what is noted in them, and what becomes of those that contradict themselves.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::ids::SocketId;
use crate::stack::ip_options::IpOptions;
use crate::stack::random::Random;
use crate::stack::udp::UdpOptions;
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
