//! Reassembly: fragments become the datagram that was cut, and cost no more than they may.

use std::ops::Range;
use std::time::Duration;

use crate::stack::counters::Drop;
use crate::stack::ethernet::{Checksum, Facts};
use crate::stack::ids::SocketId;
use crate::stack::ports::Protocol;
use crate::stack::sink::NoSink;
use crate::stack::tcp::TcpOptions;
use crate::stack::udp::UdpOptions;
use crate::stack::wire::checksum::Sum;
use crate::stack::wire::icmpv4::Kind;
use crate::stack::wire::{ethernet, ipv4};
use crate::support::host::{
    Host, PEER, US, at, datagram, hardware, icmp, packet, quote, segment, summarize, syn,
};

/// Of the fragments in these tests, in bytes of payload.
const PIECE: usize = 16;
/// How long fragments wait.
const LIFETIME: Duration = Duration::from_secs(30);

/// The bytes `range` of the payload of the packet in `frame`, as a fragment.
fn fragment(frame: &[u8], range: Range<usize>, more_fragments: bool) -> Vec<u8> {
    let (mut ip, header_len) = ipv4::parse(&frame[ethernet::HEADER_LEN..]).expect("a packet");
    let payload = ethernet::HEADER_LEN + header_len;
    ip.fragment_offset = range.start as u16;
    ip.more_fragments = more_fragments;
    ip.payload_len = range.len() as u16;
    let mut bytes = frame[..payload].to_vec();
    ip.rewrite(&mut bytes[ethernet::HEADER_LEN..]);
    bytes.extend_from_slice(&frame[payload + range.start..payload + range.end]);
    bytes
}

/// The packet in `frame` in pieces of `len` bytes.
fn cut(frame: &[u8], len: usize) -> Vec<Vec<u8>> {
    let whole = frame.len() - ethernet::HEADER_LEN - ipv4::HEADER_LEN;
    let piece = |start| fragment(frame, start..whole.min(start + len), start + len < whole);
    (0..whole).step_by(len).map(piece).collect()
}

/// The same packet with another identification.
fn with_id(frame: &[u8], id: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (mut ip, _) = ipv4::parse(&frame[ethernet::HEADER_LEN..]).expect("a packet");
    ip.id = id;
    ip.rewrite(&mut frame[ethernet::HEADER_LEN..][..ipv4::HEADER_LEN]);
    frame
}

fn with_tos(frame: &[u8], tos: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (mut ip, _) = ipv4::parse(&frame[ethernet::HEADER_LEN..]).expect("a packet");
    ip.tos = tos;
    ip.rewrite(&mut frame[ethernet::HEADER_LEN..][..ipv4::HEADER_LEN]);
    frame
}

const DATA: &[u8] = b"forty bytes of data, in some more pieces";

/// A host with a UDP socket on port 9, and three pieces of a datagram that reaches it.
fn listening() -> (Host, SocketId, Vec<u8>, [Vec<u8>; 3]) {
    let mut host = Host::own();
    let options = UdpOptions::default();
    let id = host.stack.udp_open(at(US, 9), &options).unwrap();
    let frame = datagram(at(PEER, 7), at(US, 9), DATA);
    let pieces = cut(&frame, PIECE).try_into().expect("three pieces");
    (host, id, frame, pieces)
}

/// What is sent when the time of the pieces that came last is up.
fn expire(host: &mut Host) -> Vec<Vec<u8>> {
    let due = host.now + LIFETIME;
    assert_eq!(host.stack.next_deadline(), Some(due));
    host.now = due;
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    host.stack.receive_timeout(host.now);
    host.frames()
}

fn reassembled(host: &Host) -> u64 {
    host.stack.counters().ipv4_reassembled
}

#[test]
fn pieces_in_any_order_are_the_datagram() {
    let (mut host, id, _, pieces) = listening();
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in orders {
        for piece in order {
            assert!(host.received(id).is_none());
            host.receive(&pieces[piece]);
        }
        assert_eq!(host.received(id).unwrap(), DATA, "{order:?}");
    }
    assert_eq!(reassembled(&host), 6);
    assert_eq!(host.stack.next_deadline(), None);
}

#[test]
fn the_longest_datagram_comes_in_pieces() {
    let (mut host, id, _, _) = listening();
    let data: Vec<u8> = (0..65_507_u32).map(|n| (n * n) as u8).collect();
    for piece in cut(&datagram(at(PEER, 7), at(US, 9), &data), 1480) {
        host.receive(&piece);
    }
    assert_eq!(host.received(id).unwrap(), data);
}

#[test]
fn datagrams_are_told_apart() {
    let (mut host, id, frame, pieces) = listening();
    let other = cut(&with_id(&frame, 8), PIECE);
    for piece in [
        &pieces[0], &other[0], &other[1], &pieces[2], &other[2], &pieces[1],
    ] {
        host.receive(piece);
    }
    assert_eq!(host.received(id).unwrap(), DATA);
    assert_eq!(host.received(id).unwrap(), DATA);
    assert_eq!(reassembled(&host), 2);
}

#[test]
fn segments_come_in_pieces() {
    let mut host = Host::shared();
    host.stack.set_port_owned(Protocol::Tcp, 80, true);
    let options = TcpOptions::default();
    host.stack.tcp_listen(at(US, 80), 4, &options).unwrap();
    for piece in cut(&segment(PEER, US, &syn(5000, 80), b""), 8) {
        assert!(host.sent().is_empty());
        host.receive(&piece);
    }
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn echo_requests_come_in_pieces() {
    let mut host = Host::own();
    for piece in cut(&icmp(PEER, Kind::EchoRequest, 0, 1, &[7; 100]), 40) {
        host.receive(&piece);
    }
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][42..], [7; 100]);
}

#[test]
fn echo_beyond_the_mtu_is_answered_in_pieces() {
    let mut host = Host::own();
    let data: Vec<u8> = (0..4000_u32).map(|n| (n * n) as u8).collect();
    let request = icmp(PEER, Kind::EchoRequest, 0, 1, &data);
    for piece in cut(&request, 1480) {
        host.receive(&piece);
    }
    let frames = host.frames();
    assert_eq!(frames.len(), 3);
    let replies = frames.iter().map(|frame| &frame[34..]);
    let reply = replies.collect::<Vec<_>>().concat();
    assert_eq!(reply[8..], data);
    assert_eq!(Sum::default().add(&reply).finish(), 0);
}

/// Who has verified a piece has not seen the rest.
#[test]
fn the_sum_of_all_is_verified() {
    let (mut host, id, frame, _) = listening();
    let mut frame = frame;
    *frame.last_mut().unwrap() ^= 1;
    for piece in cut(&frame, PIECE) {
        let facts = Facts::plain(Checksum::Trusted);
        host.stack
            .receive_frame(host.now, &piece, facts, &mut NoSink);
    }
    assert_eq!(reassembled(&host), 1);
    assert_eq!(host.drops(Drop::UdpChecksum), 1);
    assert!(host.received(id).is_none());
}

#[test]
fn a_piece_that_comes_twice_is_nothing() {
    let (mut host, id, _, pieces) = listening();
    for piece in [0, 0, 2, 2, 0, 1] {
        host.receive(&pieces[piece]);
    }
    assert_eq!(host.received(id).unwrap(), DATA);
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), 0);
}

#[test]
fn a_piece_within_what_came_is_nothing() {
    let (mut host, id, frame, pieces) = listening();
    host.receive(&pieces[0]);
    host.receive(&pieces[1]);
    for range in [8..16, 8..24, 16..32, 0..32] {
        host.receive(&fragment(&frame, range, true));
    }
    host.receive(&pieces[2]);
    assert_eq!(host.received(id).unwrap(), DATA);
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), 0);
}

/// One that was not said to be the last, and comes again, may be.
#[test]
fn the_last_may_come_twice() {
    for is_last_first in [false, true] {
        let (mut host, id, frame, pieces) = listening();
        for more in [!is_last_first, is_last_first] {
            let end = frame.len() - ethernet::HEADER_LEN - ipv4::HEADER_LEN;
            host.receive(&fragment(&frame, 32..end, more));
        }
        host.receive(&pieces[0]);
        host.receive(&pieces[1]);
        assert_eq!(host.received(id).unwrap(), DATA);
    }
}

#[test]
fn an_overlap_drops_the_datagram() {
    let overlaps = [(24..40, true), (24..48, false)];
    for (range, more) in overlaps {
        let (mut host, id, frame, pieces) = listening();
        host.receive(&pieces[0]);
        host.receive(&fragment(&frame, 16..32, true));
        host.receive(&fragment(&frame, range.clone(), more));
        assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), 1, "{range:?}");
        host.receive(&pieces[2]);
        assert!(host.received(id).is_none(), "{range:?}");
    }
}

#[test]
fn pieces_that_contradict_each_other_drop_the_datagram() {
    let (mut host, id, frame, _) = listening();
    // The last ends before others, there is more behind it, there are two of it.
    let contradictions = [
        [(32..48, true), (16..24, false)],
        [(16..24, false), (32..48, true)],
        [(16..24, false), (32..48, false)],
    ];
    for (count, pieces) in (1..).zip(contradictions) {
        for (range, more) in pieces {
            host.receive(&fragment(&frame, range, more));
        }
        assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), count);
        assert_eq!(host.stack.next_deadline(), None);
    }
    assert!(host.received(id).is_none());
}

#[test]
fn lengths_no_datagram_has_are_refused() {
    let (mut host, _, _, _) = listening();
    let frame = packet(PEER, US, ipv4::UDP, &[0; 64]);
    let at_offset = |offset: u16, len: usize, more: bool| {
        let mut piece = fragment(&frame, 0..len, more);
        let (mut ip, _) = ipv4::parse(&piece[ethernet::HEADER_LEN..]).expect("a packet");
        ip.fragment_offset = offset;
        ip.rewrite(&mut piece[ethernet::HEADER_LEN..][..ipv4::HEADER_LEN]);
        piece
    };
    let hostile = [
        at_offset(0, 0, true),
        at_offset(8, 0, false),
        at_offset(0, 9, true),
        at_offset(16, 15, true),
        at_offset(65_528, 8, false),
        at_offset(65_512, 4, false),
        at_offset(65_480, 64, true),
    ];
    for (count, piece) in (1..).zip(hostile) {
        host.receive(&piece);
        assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), count);
        assert_eq!(host.stack.next_deadline(), None);
    }
    host.receive(&at_offset(65_512, 3, false));
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), 7);
}

#[test]
fn a_hole_is_waited_for_and_then_told() {
    let (mut host, id, _, pieces) = listening();
    host.receive(&pieces[2]);
    host.receive(&pieces[0]);
    host.stack.receive_timeout(host.now);
    let told = expire(&mut host).remove(0);
    let said = summarize(&told);
    assert_eq!(said, "IP 10.0.0.1 > 10.0.0.2: ICMP type 11, code 1");
    assert_eq!(told[42..], pieces[0][ethernet::HEADER_LEN..]);
    assert_eq!(host.drops(Drop::Ipv4ReassemblyExpired), 1);
    host.receive(&pieces[1]);
    assert!(host.received(id).is_none());
    // Nobody is told of a datagram whose first piece did not come.
    assert!(expire(&mut host).is_empty());
    assert_eq!(host.drops(Drop::Ipv4ReassemblyHeadless), 1);
    assert_eq!(host.stack.next_deadline(), None);
}

#[test]
fn at_a_shared_address_the_kernel_tells() {
    let mut host = Host::shared();
    let frame = datagram(at(PEER, 7), at(US, 9), DATA);
    host.receive(&cut(&frame, PIECE)[0]);
    assert!(expire(&mut host).is_empty());
    assert_eq!(host.drops(Drop::Ipv4ReassemblyExpired), 1);
}

#[test]
fn there_is_no_error_about_an_error() {
    let (mut host, _, frame, _) = listening();
    let error = icmp(PEER, Kind::Unreachable, 3, 0, quote(&frame));
    host.receive(&cut(&error, PIECE)[0]);
    assert!(expire(&mut host).is_empty());
    assert_eq!(host.drops(Drop::Ipv4ReassemblyExpired), 1);
}

/// RFC 3168 section 5.3.
#[test]
fn congestion_that_one_piece_met_is_the_datagrams() {
    let (mut host, id, _, pieces) = listening();
    let mut tos = |codepoints: [u8; 3]| {
        for (piece, tos) in pieces.iter().zip(codepoints) {
            host.receive(&with_tos(piece, tos));
        }
        let received = host.stack.udp_receive(id, &mut [0; 64]);
        received.map(|datagram| datagram.tos)
    };
    assert_eq!(tos([0, 0, 0]), Some(0));
    assert_eq!(tos([2, 2, 2]), Some(2));
    assert_eq!(tos([2, 3, 2]), Some(3));
    assert_eq!(tos([0, 3, 0]), None);
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFailed), 1);
}

/// A flood costs no more than it may; who comes last is still served, and errors are few.
#[test]
fn a_flood_of_datagrams_is_bounded() {
    let (mut host, id, frame, pieces) = listening();
    for n in 8..=u16::MAX {
        host.receive(&cut(&with_id(&frame, n), PIECE)[usize::from(n % 2)]);
    }
    for piece in &pieces {
        host.receive(piece);
    }
    assert_eq!(host.received(id).unwrap(), DATA);
    let told = expire(&mut host).len() as u64;
    assert_eq!(told, 50);
    let expired = host.drops(Drop::Ipv4ReassemblyExpired);
    assert_eq!(told + host.drops(Drop::IcmpRateLimited), expired);
    let held = expired + host.drops(Drop::Ipv4ReassemblyHeadless);
    // Each costs as much as two empty UDP datagrams that wait.
    assert!(held > 0 && held * 2 * 768 <= 4 << 20, "{held}");
    let all = u64::from(u16::MAX) - 7;
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFull) + held, all);
}

#[test]
fn a_flood_of_pieces_is_bounded() {
    let (mut host, _, _, _) = listening();
    let frame = packet(PEER, US, ipv4::UDP, &[0; 65_512]);
    for start in (0..65_512).step_by(8) {
        host.receive(&fragment(&frame, start..start + 8, true));
    }
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFull), 1);
}

#[test]
fn no_memory_means_no_reassembly() {
    let region = Box::leak(vec![0; 1 << 20].into_boxed_slice());
    let mut host = Host::with_config(US, region, |config| config.limits.fragment_memory = 0);
    for piece in cut(&datagram(at(PEER, 7), at(US, 9), DATA), PIECE) {
        host.receive(&piece);
    }
    assert_eq!(host.drops(Drop::Ipv4ReassemblyFull), 3);
    assert_eq!(reassembled(&host), 0);
}
