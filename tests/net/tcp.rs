//! TCP at the border of the stack: whose segments it gets, what goes out as which frame.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::stack::address::Ipv4Cidr;
use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::ethernet::{Checksum, Facts};
use crate::stack::ids::SocketId;
use crate::stack::passing::Passing;
use crate::stack::ports::Protocol;
use crate::stack::routes::RouteDecision;
use crate::stack::sink::{Datagram, NoSink, Sink};
use crate::stack::tcp::{State, TcpOptions};
use crate::stack::transmit::Transmit;
use crate::stack::udp::UdpOptions;
use crate::stack::wire::icmpv4::Kind;
use crate::stack::wire::ipv4;
use crate::stack::wire::tcp::{self, Flags, Options, Repr, Seq};
use crate::support::host::{
    FAR, Host, PEER, ROUTER, US, arp, at, hardware, icmp, packet, quote, route, segment,
};

pub(crate) const CLIENT: SocketAddrV4 = SocketAddrV4::new(PEER, 5000);
pub(crate) const SERVER: SocketAddrV4 = SocketAddrV4::new(US, 80);

pub(crate) fn repr(flags: Flags, seq: u32, ack: u32) -> Repr {
    Repr {
        source_port: CLIENT.port(),
        destination_port: SERVER.port(),
        seq: Seq(seq),
        ack: Seq(ack),
        flags,
        window: 65_535,
        options: Options::default(),
        ..Repr::default()
    }
}

/// What the TCP header of a frame says.
pub(crate) fn header(frame: &[u8]) -> Repr {
    tcp::parse(&frame[34..]).unwrap().0
}

/// A connection from [`CLIENT`], accepted. The peer's next byte is 1001, ours the one returned.
pub(crate) fn accepted(host: &mut Host) -> (SocketId, u32) {
    let options = TcpOptions::default();
    let listener = host.stack.tcp_listen(SERVER, 8, &options).unwrap();
    let mut syn = repr(Flags::SYN, 1000, 0);
    syn.options.mss = Some(1460);
    host.receive(&segment(PEER, US, &syn, b""));
    let answer = header(&host.frames()[0]);
    assert_eq!(answer.flags, Flags::SYN.with(Flags::ACK));
    host.receive(&segment(
        PEER,
        US,
        &repr(Flags::ACK, 1001, answer.seq.0 + 1),
        b"",
    ));
    let id = host.stack.tcp_accept(listener).unwrap();
    (id, answer.seq.0 + 1)
}

#[test]
fn what_comes_when_both_sides_are_shut_is_answered_with_a_reset() {
    let mut host = Host::own();
    let (id, next) = accepted(&mut host);
    host.stack.tcp_shutdown_read(id);
    let data = |byte| segment(PEER, US, &repr(Flags::ACK, byte, next), b"x");
    host.receive(&data(1001));
    assert_eq!(host.stack.tcp_received(id), b"x");
    host.stack.tcp_shutdown_write(host.now, id).unwrap();
    host.frames();
    host.receive(&data(1002));
    let answer = header(&host.frames()[0]);
    assert!(answer.flags.contains(Flags::RST));
    let error = host.stack.tcp_take_error(id);
    assert_eq!(error, Some(Error::ConnectionReset));
}

#[test]
fn a_connection_is_accepted_and_speaks() {
    let mut host = Host::own();
    let (id, next) = accepted(&mut host);
    host.dirty();
    host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b"hello"));
    assert_eq!(host.dirty(), [id]);
    assert_eq!(host.stack.tcp_received(id), b"hello");
    host.stack.tcp_consume(host.now, id, 5);
    host.stack
        .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(b"world"), false)
        .unwrap();
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(header(&frames[0]).ack, Seq(1006));
    assert_eq!(&frames[0][54..], b"world");
    let (ip, _) = ipv4::parse(&frames[0][14..]).unwrap();
    assert!(ip.dont_fragment);
    assert_eq!(ip.ttl, 64);
}

#[test]
fn an_unknown_port_is_reset_only_if_it_is_ours() {
    let mut host = Host::own();
    let syn = segment(PEER, US, &repr(Flags::SYN, 5000, 0), b"");
    host.receive(&syn);
    let reset = header(&host.frames()[0]);
    assert_eq!(reset.flags, Flags::RST.with(Flags::ACK));
    assert_eq!(reset.ack, Seq(5001));
    let mut host = Host::shared();
    host.receive(&syn);
    assert!(host.sent().is_empty());
    assert_eq!(host.drops(Drop::PortNotOwned), 1);
    host.stack.set_port_owned(Protocol::Tcp, 80, true);
    host.receive(&syn);
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn segments_to_all_are_ignored() {
    let mut host = Host::own();
    let syn = repr(Flags::SYN, 5000, 0);
    host.receive(&segment(PEER, Ipv4Addr::new(10, 0, 0, 255), &syn, b""));
    let mut in_broadcast_frame = segment(PEER, US, &syn, b"");
    in_broadcast_frame[..6].fill(0xff);
    host.receive(&in_broadcast_frame);
    assert_eq!(host.drops(Drop::TcpBroadcast), 2);
    assert!(host.sent().is_empty());
}

#[test]
fn checksums_are_verified_unless_the_link_vouches() {
    let mut host = Host::own();
    let mut syn = segment(PEER, US, &repr(Flags::SYN, 5000, 0), b"");
    syn[50] ^= 1;
    host.receive(&syn);
    assert_eq!(host.drops(Drop::TcpChecksum), 1);
    assert!(host.sent().is_empty());
    host.stack
        .receive_frame(host.now, &syn, Facts::plain(Checksum::Trusted), &mut NoSink);
    assert_eq!(host.sent().len(), 1);
    host.receive(&packet(PEER, US, ipv4::TCP, &[0; 19]));
    assert_eq!(host.drops(Drop::TcpMalformed), 1);
}

#[test]
fn no_answer_to_arp_ends_the_attempt_after_three_seconds() {
    let mut host = Host::new(US, true, 1 << 20);
    host.frames();
    let options = TcpOptions::default();
    let id = host
        .stack
        .tcp_connect(host.now, at(US, 4000), at(FAR, 80), &options)
        .unwrap();
    let request = "ARP, Request who-has 10.0.0.254 tell 10.0.0.1";
    assert_eq!(host.sent(), [request]);
    host.advance(Duration::from_millis(2900));
    assert_eq!(host.stack.tcp_status(id).unwrap().state, State::SynSent);
    host.advance(Duration::from_millis(100));
    assert_eq!(host.dirty(), [id]);
    assert_eq!(host.stack.tcp_take_error(id), Some(Error::HostUnreachable));
    assert_eq!(host.stack.tcp_status(id).unwrap().state, State::Closed);
}

#[test]
fn a_syn_waits_for_the_neighbor() {
    let mut host = Host::new(US, true, 1 << 20);
    host.frames();
    let options = TcpOptions::default();
    let connect = host
        .stack
        .tcp_connect(host.now, at(US, 4000), at(FAR, 80), &options);
    assert!(connect.is_ok());
    host.frames();
    host.receive(&arp(crate::stack::wire::arp::Operation::Reply, ROUTER, US));
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][..6], hardware(ROUTER));
    assert_eq!(header(&frames[0]).flags, Flags::SYN);
}

#[test]
fn connecting_where_no_route_leads_is_refused() {
    let mut host = Host::own();
    let mut connect = |remote| {
        let options = TcpOptions::default();
        host.stack
            .tcp_connect(host.now, at(US, 4000), remote, &options)
    };
    for address in [[10, 0, 0, 255], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1]] {
        let refused = connect(at(address.into(), 80));
        assert_eq!(refused, Err(Error::NetworkUnreachable), "{address:?}");
    }
}

#[test]
fn an_icmp_error_ends_an_attempt_if_it_quotes_it() {
    let mut host = Host::own();
    let options = TcpOptions::default();
    let id = host
        .stack
        .tcp_connect(host.now, at(US, 4000), at(PEER, 80), &options)
        .unwrap();
    let syn = host.frames().remove(0);
    let mut forged = quote(&syn).to_vec();
    forged[24] ^= 0x40;
    host.receive(&icmp(PEER, Kind::Unreachable, 3, 0, &forged));
    assert_eq!(host.stack.tcp_take_error(id), None);
    host.receive(&icmp(PEER, Kind::Unreachable, 3, 0, quote(&syn)));
    assert_eq!(
        host.stack.tcp_take_error(id),
        Some(Error::ConnectionRefused)
    );
}

#[test]
fn a_smaller_path_makes_smaller_segments() {
    let mut host = Host::own();
    let (id, _) = accepted(&mut host);
    host.stack
        .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(&[1; 1400]), false)
        .unwrap();
    let frames = host.frames();
    assert_eq!(frames[0].len(), 54 + 1400);
    host.receive(&icmp(ROUTER, Kind::Unreachable, 4, 1000, quote(&frames[0])));
    let frames = host.frames();
    assert_eq!(frames[0].len(), 14 + 1000);
    assert!(frames.iter().all(|frame| frame.len() <= 14 + 1000));
    let RouteDecision::Stack { mtu, .. } = host.stack.route(PEER) else {
        panic!("no route");
    };
    assert_eq!(mtu, 1000, "the next connection knows");
}

#[test]
fn a_forged_smaller_path_is_not_believed() {
    let mut host = Host::own();
    let (id, next) = accepted(&mut host);
    host.stack
        .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(&[1; 1400]), false)
        .unwrap();
    let frame = host.frames().remove(0);
    let mut forged = quote(&frame).to_vec();
    forged[24..28].copy_from_slice(&next.wrapping_sub(5000).to_be_bytes());
    host.receive(&icmp(ROUTER, Kind::Unreachable, 4, 1000, &forged));
    assert!(host.sent().is_empty());
    assert_eq!(host.drops(Drop::IcmpUnmatched), 1);
    let RouteDecision::Stack { mtu, .. } = host.stack.route(PEER) else {
        panic!("no route");
    };
    assert_eq!(mtu, 1500);
}

#[test]
fn a_super_packet_is_cut_as_the_link_would() {
    let mut host = Host::own();
    let (id, next) = accepted(&mut host);
    let data: Vec<u8> = (0..14_000_u32).map(|n| (n / 7) as u8).collect();
    assert_eq!(
        host.stack
            .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(&data), false),
        Ok(14_000)
    );
    let mut out = Transmit::default();
    assert!(host.stack.poll_transmit(host.now, &mut out));
    let gso = out.offload.and_then(|offload| offload.gso).unwrap();
    assert_eq!((gso.size, gso.header_len), (1460, 54));
    let mut seq = next;
    let mut pieces = 0;
    out.complete(&host.stack, |frame| {
        crate::support::host::summarize(frame);
        let header = header(frame);
        assert_eq!(header.seq, Seq(seq));
        let start = (seq - next) as usize;
        assert_eq!(frame[54..], data[start..start + frame.len() - 54]);
        seq += frame.len() as u32 - 54;
        pieces += 1;
        let is_last = seq - next == 14_000;
        assert_eq!(header.flags.contains(Flags::PSH), is_last);
    });
    assert_eq!((seq - next, pieces), (14_000, 10));
    assert!(!host.stack.poll_transmit(host.now, &mut out));
}

/// Takes what it is offered, up to a number of bytes.
struct Limited(Vec<u8>, usize);

impl Sink for Limited {
    fn deliver(&mut self, _: SocketId, data: &[u8], _: &mut Passing) -> usize {
        let taken = data.len().min(self.1 - self.0.len());
        self.0.extend_from_slice(&data[..taken]);
        taken
    }

    fn deliver_datagram(&mut self, _: SocketId, _: &Datagram, _: &[u8]) -> bool {
        false
    }
}

#[test]
fn in_order_data_is_offered_before_it_is_queued() {
    let mut host = Host::own();
    let (id, next) = accepted(&mut host);
    let mut sink = Limited(Vec::new(), 7);
    let first = segment(PEER, US, &repr(Flags::ACK, 1001, next), b"hello");
    let second = segment(PEER, US, &repr(Flags::ACK, 1006, next), b"world");
    host.receive_into(&first, &mut sink);
    host.receive_into(&second, &mut sink);
    assert_eq!(sink.0, b"hellowo");
    assert_eq!(host.stack.tcp_received(id), b"rld");
}

#[test]
fn a_connection_to_ourselves_stays_inside() {
    let mut host = Host::own();
    let options = TcpOptions::default();
    let listener = host.stack.tcp_listen(SERVER, 8, &options).unwrap();
    let client = host
        .stack
        .tcp_connect(host.now, at(US, 4000), SERVER, &options)
        .unwrap();
    assert!(host.sent().is_empty());
    let server = host.stack.tcp_accept(listener).unwrap();
    let data = vec![7; 10_000];
    assert_eq!(
        host.stack
            .tcp_send_all(host.now, client, core::iter::once::<&[u8]>(&data), false),
        Ok(10_000)
    );
    assert!(host.sent().is_empty());
    assert_eq!(host.stack.tcp_receive_len(server), 10_000);
}

#[test]
fn what_had_no_way_leaves_when_there_is_one() {
    let mut host = Host::own();
    let routes = vec![route(Ipv4Cidr::new(US, 24), None)];
    host.stack.set_routes(routes.clone());
    let (id, ours) = accepted(&mut host);
    host.stack.set_routes(Vec::new());
    assert_eq!(
        host.stack
            .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(b"hello"), true),
        Ok(5)
    );
    assert!(host.advance(Duration::from_secs(3)).is_empty());
    // What came in is acknowledged then, too.
    let data = repr(Flags::ACK, 1001, ours);
    host.receive(&segment(PEER, US, &data, b"hi"));
    assert!(host.advance(Duration::from_secs(3)).is_empty());
    host.stack.set_routes(routes);
    let sent = host.advance(Duration::from_secs(1));
    let hello = format!("P. {ours}:{}(5) ack 1003", ours + 5);
    assert!(sent.iter().any(|sent| sent.contains(&hello)), "{sent:?}");
}

#[test]
fn strangers_cannot_crowd_out_a_neighbor_or_fill_the_memory() {
    let mut host = Host::own();
    host.stack.set_addresses(&[Ipv4Cidr::new(US, 8)]);
    host.stack
        .set_routes(vec![route(Ipv4Cidr::new(US, 8), None)]);
    let options = TcpOptions::default();
    let listener = host.stack.tcp_listen(SERVER, 16, &options).unwrap();
    let udp = host
        .stack
        .udp_open(at(US, 9), &UdpOptions::default())
        .unwrap();
    for n in 0..20_000_u32 {
        let stranger = Ipv4Addr::from_bits(0x0a80_0000 + n);
        let syn = segment(stranger, US, &repr(Flags::SYN, n, 0), b"");
        host.receive(&syn);
        if n % 50 == 0 {
            host.now = host.now + Duration::from_millis(1);
            host.frames();
            host.stack
                .udp_send(host.now, udp, at(PEER, 7), &[b"still there?"])
                .unwrap();
            let sent = host.sent();
            assert_eq!(sent, ["IP 10.0.0.1.9 > 10.0.0.2.7: UDP, length 12"], "{n}");
        }
    }
    let half_open = host.stack.tcp_listener_status(listener).unwrap().half_open;
    assert!(half_open <= 4096, "{half_open} half open");
    assert!(host.stack.tcp_connections().count() <= 4096);
}

#[test]
fn a_full_table_refuses_more() {
    let mut host = Host::new(US, true, 256 << 10);
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    let options = TcpOptions::default();
    let mut connect = |port| {
        let (local, remote) = (at(US, port), at(PEER, 80));
        host.stack.tcp_connect(host.now, local, remote, &options)
    };
    let made: Vec<_> = (1000..2000).map_while(|port| connect(port).ok()).collect();
    assert!((16..64).contains(&made.len()), "{}", made.len());
    assert_eq!(connect(3000), Err(Error::NoBuffers));
    host.stack.tcp_close(host.now, made[7]);
    let reused = host
        .stack
        .tcp_connect(host.now, at(US, 3000), at(PEER, 80), &options)
        .unwrap();
    assert_eq!(reused.index, made[7].index);
    assert!(host.stack.tcp_status(made[7]).is_none(), "a stale handle");
}
