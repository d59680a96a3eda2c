//! Packets to the host itself turn round in the stack.

use std::net::Ipv4Addr;

use crate::stack::address::Ipv4Cidr;
use crate::stack::config::Config;
use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::ports::Protocol;
use crate::stack::routes::{Egress, Route, RouteDecision};
use crate::stack::tcp::{State, TcpOptions};
use crate::stack::udp::UdpOptions;
use crate::support::host::{Host, PEER, US, at, datagram, route};

const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// An address of the host on an interface that is not driven.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// A stack that shares its address, and that 127.0.0.0/8 turns round in.
fn host() -> Host {
    host_with(|_| ())
}

fn host_with(more: impl Fn(&mut Config)) -> Host {
    let region = Box::leak(vec![0; 32 << 20].into_boxed_slice());
    let mut host = Host::with_config(US, region, |config| {
        config.own_address = false;
        config.loopback = true;
        more(config);
    });
    host.stack.set_routes(vec![
        local(LO, 8, LO),
        local(US, 32, US),
        local(OTHER, 32, OTHER),
        route(Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0), Some(PEER)),
    ]);
    host
}

fn local(address: Ipv4Addr, prefix_len: u8, source: Ipv4Addr) -> Route {
    Route {
        source: Some(source),
        egress: Egress::Local,
        ..route(Ipv4Cidr::new(address, prefix_len), None)
    }
}

#[test]
fn sources_are_chosen_as_by_the_kernel() {
    let host = host();
    let way = |to: Ipv4Addr| match host.stack.route(to) {
        RouteDecision::Stack { source, mtu, .. } => Some((source, mtu)),
        _ => None,
    };
    assert_eq!(way(LO), Some((LO, 65_536)));
    assert_eq!(way(Ipv4Addr::new(127, 1, 2, 3)), Some((LO, 65_536)));
    assert_eq!(way(US), Some((US, 65_536)));
    assert_eq!(way(OTHER), Some((OTHER, 65_536)));
    assert_eq!(way(PEER), Some((US, 1500)));
}

#[test]
fn without_it_the_kernel_has_them() {
    let mut host = Host::shared();
    host.stack.set_routes(vec![local(LO, 8, LO)]);
    assert_eq!(host.stack.route(LO), RouteDecision::Kernel);
    assert_eq!(host.stack.route(US), RouteDecision::Kernel);
    assert!(!host.stack.is_local(LO));
}

#[test]
fn only_what_is_listened_on_here_is_delivered_here() {
    let mut host = host();
    let (from, to) = (at(LO, 5000), at(LO, 80));
    let delivers = |host: &Host, protocol| host.stack.delivers(protocol, from, to);
    assert!(!delivers(&host, Protocol::Tcp) && !delivers(&host, Protocol::Udp));
    let any = at(Ipv4Addr::UNSPECIFIED, 80);
    let listener = host.stack.tcp_listen(any, 5, &TcpOptions::default());
    assert!(delivers(&host, Protocol::Tcp) && !delivers(&host, Protocol::Udp));
    host.stack.udp_open(to, &UdpOptions::default()).unwrap();
    assert!(delivers(&host, Protocol::Udp));
    host.stack.tcp_close(host.now, listener.unwrap());
    assert!(!delivers(&host, Protocol::Tcp));
    assert!(host.stack.delivers(Protocol::Tcp, from, at(PEER, 80)));
}

/// Both ends of a connection to oneself, without Nagle's algorithm.
fn connected(host: &mut Host) -> (SocketId, SocketId) {
    let options = TcpOptions {
        nodelay: true,
        ..TcpOptions::default()
    };
    let listener = host.stack.tcp_listen(at(LO, 80), 5, &options).unwrap();
    let client = host
        .stack
        .tcp_connect(host.now, at(LO, 5000), at(LO, 80), &options)
        .unwrap();
    assert!(host.frames().is_empty(), "nothing leaves");
    assert_eq!(
        host.stack.tcp_status(client).unwrap().state,
        State::Established
    );
    let server = host.stack.tcp_accept(listener).unwrap();
    assert_eq!(host.stack.tcp_status(server).unwrap().remote, at(LO, 5000));
    (client, server)
}

/// Sends `data` while it is received; no time passes.
fn carry(host: &mut Host, from: SocketId, to: SocketId, data: &[u8]) {
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < data.len() {
        let rest = core::iter::once(&data[sent..]);
        sent += host
            .stack
            .tcp_send_all(host.now, from, rest, false)
            .unwrap_or(0);
        assert!(host.frames().is_empty());
        let arrived = host.stack.tcp_received(to).to_vec();
        assert!(
            !arrived.is_empty(),
            "all came to rest at {} of {} bytes",
            got.len(),
            data.len()
        );
        host.stack.tcp_consume(host.now, to, arrived.len());
        got.extend(arrived);
    }
    assert!(got == data, "the same bytes");
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

#[test]
fn a_connection_to_oneself_carries_bytes_and_ends() {
    let mut host = host();
    let (client, server) = connected(&mut host);
    carry(&mut host, client, server, &numbered(1 << 20));

    host.stack.tcp_shutdown_write(host.now, client).unwrap();
    host.frames();
    assert!(host.stack.tcp_progress(server).unwrap().fin_received);
    host.stack.tcp_close(host.now, server);
    host.frames();
    assert_eq!(host.stack.tcp_time_wait_len(), 1);
    let fin = host.stack.tcp_progress(client).unwrap();
    assert!(fin.fin_received && !fin.failed);
}

/// A segment of the loopback is longer than a super-packet may be; what is between the two waits for nothing.
#[test]
fn a_message_of_any_length_leaves_at_once() {
    for super_packets in [false, true] {
        let mut host = host_with(|config| config.super_packets = super_packets);
        let (client, server) = connected(&mut host);
        let about_a_segment = 65_300..65_600;
        for len in about_a_segment {
            carry(&mut host, client, server, &numbered(len));
        }
    }
}

#[test]
fn nobody_there_is_heard_at_once() {
    let mut host = host();
    let options = TcpOptions::default();
    let (now, local) = (host.now, at(LO, 5000));
    let client = host
        .stack
        .tcp_connect(now, local, at(LO, 81), &options)
        .unwrap();
    assert!(host.frames().is_empty());
    assert_eq!(
        host.stack.tcp_take_error(client),
        Some(Error::ConnectionRefused)
    );

    let options = UdpOptions::default();
    let sender = host.stack.udp_open(at(LO, 5000), &options).unwrap();
    host.stack.udp_connect(sender, Some(at(LO, 81))).unwrap();
    host.stack
        .udp_send(now, sender, at(LO, 81), &[b"?"])
        .unwrap();
    assert!(host.frames().is_empty());
    assert_eq!(
        host.stack.udp_take_error(sender),
        Some(Error::ConnectionRefused)
    );
}

#[test]
fn datagrams_keep_their_order_and_their_length() {
    let mut host = host();
    let options = UdpOptions::default();
    let receiver = host.stack.udp_open(at(LO, 9), &options).unwrap();
    let sender = host
        .stack
        .udp_open(at(Ipv4Addr::UNSPECIFIED, 7), &options)
        .unwrap();
    let long = vec![b'x'; 65_507];
    for data in [&b"one"[..], &long, b""] {
        host.stack
            .udp_send(host.now, sender, at(LO, 9), &[data])
            .unwrap();
        assert!(host.frames().is_empty());
    }
    assert_eq!(host.stack.udp_front(receiver).unwrap().from, at(LO, 7));
    for data in [&b"one"[..], &long, b""] {
        assert_eq!(host.received(receiver).unwrap(), data);
    }
}

#[test]
fn the_wire_may_not_pretend_to_be_the_host() {
    let mut host = host();
    let id = host
        .stack
        .udp_open(at(LO, 9), &UdpOptions::default())
        .unwrap();
    host.stack.set_port_owned(Protocol::Udp, 9, true);
    host.receive(&datagram(at(PEER, 7), at(LO, 9), b"to loopback"));
    assert_eq!(host.drops(Drop::Ipv4NotOurs), 1);
    host.receive(&datagram(at(LO, 7), at(US, 9), b"from loopback"));
    assert_eq!(host.drops(Drop::Ipv4Martian), 1);
    assert!(host.received(id).is_none());
}

#[test]
fn a_flood_is_turned_round_in_pieces() {
    let mut host = host();
    let options = UdpOptions {
        send_buffer: Some(1 << 30),
        receive_buffer: Some(1 << 30),
        ..UdpOptions::default()
    };
    let id = host.stack.udp_open(at(LO, 9), &options).unwrap();
    for _ in 0..600 {
        host.stack
            .udp_send(host.now, id, at(LO, 9), &[b"me"])
            .unwrap();
    }
    let mut calls = 0;
    while host.stack.udp_status(id).unwrap().queued < 600 {
        assert!(host.frames().is_empty());
        calls += 1;
        assert!(calls < 10);
    }
    assert_eq!(calls, 3);
}

/// Each is acknowledged, and the window field is in units that are longer: rounded, it would never be 0.
#[test]
fn short_messages_that_nobody_reads_fill_the_window() {
    let mut host = host();
    let (client, server) = connected(&mut host);
    let message = [7; 100];
    let mut sent = 0;
    while let Ok(count) =
        host.stack
            .tcp_send_all(host.now, client, core::iter::once(&message[..]), false)
    {
        sent += count;
        host.frames();
        assert!(sent < 64 << 20, "no end");
    }
    let status = host.stack.tcp_status(server).unwrap();
    let (received, bound) = (status.receive_len, status.receive_limit);
    assert!(received <= bound + bound / 4, "{received} of {bound} bytes");
}
