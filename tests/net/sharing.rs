//! Ports that stacks share: what one takes, the others leave, and nobody answers for another.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::stack::counters::Drop;
use crate::stack::ids::SocketId;
use crate::stack::ports::Protocol;
use crate::stack::sharing::{Shared, Sharing};
use crate::stack::tcp::TcpOptions;
use crate::stack::udp::UdpOptions;
use crate::stack::wire::tcp::{self, Flags, Repr, Seq};
use crate::support::host::{Host, PEER, US, at, datagram, segment};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const KEY: [u8; 16] = *b"a key they share";
const PORT: u16 = 80;

/// As many stacks as there are `sockets`, with one of them each.
fn group(sockets: &[Ipv4Addr]) -> Vec<Host> {
    let listed = |own| {
        let each = sockets.iter().enumerate();
        each.map(|(index, &local)| Shared {
            local,
            ours: index == own,
        })
        .collect()
    };
    let member = |own| {
        let mut host = Host::shared();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            host.stack.set_port_owned(protocol, PORT, true);
            let sharing = Sharing::new(&KEY, listed(own));
            host.stack.share_port(protocol, PORT, sharing);
        }
        host
    };
    (0..sockets.len()).map(member).collect()
}

fn listen(host: &mut Host, local: SocketAddrV4) -> SocketId {
    let options = TcpOptions {
        reuse_port: true,
        ..TcpOptions::default()
    };
    host.stack.tcp_listen(local, 1000, &options).unwrap()
}

fn from_peer(port: u16, flags: Flags, seq: u32, ack: u32) -> Vec<u8> {
    let repr = Repr {
        source_port: port,
        destination_port: PORT,
        seq: Seq(seq),
        ack: Seq(ack),
        flags,
        window: 65_535,
        ..Repr::default()
    };
    segment(PEER, US, &repr, b"")
}

/// How many of a hundred SYNs each of the hosts answers. No other segment is answered.
fn answers(hosts: &mut [Host]) -> Vec<usize> {
    let mut counts = vec![0; hosts.len()];
    for port in 1000..1100 {
        for (host, count) in hosts.iter_mut().zip(&mut counts) {
            host.receive(&from_peer(port, Flags::SYN, 5000, 0));
            *count += host.frames().len();
        }
    }
    counts
}

#[test]
fn each_connection_is_taken_by_one() {
    let mut hosts = group(&[ANY, ANY, ANY]);
    for host in &mut hosts {
        listen(host, at(ANY, PORT));
    }
    let counts = answers(&mut hosts);
    assert_eq!(counts.iter().sum::<usize>(), 100, "{counts:?}");
    assert!(counts.iter().all(|&count| count > 10), "{counts:?}");
}

#[test]
fn a_very_address_comes_first() {
    let mut hosts = group(&[ANY, US]);
    listen(&mut hosts[0], at(ANY, PORT));
    listen(&mut hosts[1], at(US, PORT));
    assert_eq!(answers(&mut hosts), [0, 100]);
}

#[test]
fn who_has_no_list_takes_nothing_and_resets_nobody() {
    let mut host = Host::shared();
    host.stack.set_port_owned(Protocol::Tcp, PORT, true);
    host.stack
        .share_port(Protocol::Tcp, PORT, Sharing::unknown());
    listen(&mut host, at(ANY, PORT));
    host.receive(&from_peer(1000, Flags::SYN, 5000, 0));
    host.receive(&from_peer(1000, Flags::ACK, 5001, 77));
    assert!(host.sent().is_empty());
    // A port that is given back and leased again is shared no more.
    host.stack.set_port_owned(Protocol::Tcp, PORT, false);
    host.stack.set_port_owned(Protocol::Tcp, PORT, true);
    host.receive(&from_peer(1000, Flags::ACK, 5001, 77));
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn connections_that_others_have_left_on_a_port_are_not_reset() {
    let mut host = Host::shared();
    host.stack.set_port_owned(Protocol::Tcp, PORT, true);
    host.stack
        .tcp_listen(at(ANY, PORT), 10, &TcpOptions::default())
        .unwrap();
    host.stack.leave_connections(PORT, true);
    host.receive(&from_peer(1000, Flags::ACK, 5001, 77));
    assert!(host.sent().is_empty());
    // New ones are taken all the same.
    host.receive(&from_peer(1001, Flags::SYN, 5000, 0));
    assert_eq!(host.sent().len(), 1);
    host.stack.leave_connections(PORT, false);
    host.receive(&from_peer(1000, Flags::ACK, 5001, 77));
    assert_eq!(host.sent().len(), 1);
}

#[test]
fn who_has_shared_a_port_resets_nobody_there() {
    let mut host = group(&[ANY, ANY]).swap_remove(0);
    listen(&mut host, at(ANY, PORT));
    let alone = vec![Shared {
        local: ANY,
        ours: true,
    }];
    host.stack
        .share_port(Protocol::Tcp, PORT, Sharing::new(&KEY, alone));
    // A connection of the other's may go on without him.
    host.receive(&from_peer(1000, Flags::ACK, 5001, 77));
    assert!(host.sent().is_empty());
    host.receive(&from_peer(1000, Flags::SYN, 5000, 0));
    assert_eq!(host.sent().len(), 1);
}

/// Where lists differ two stacks may answer a SYN. The peer completes one of the handshakes.
#[test]
fn the_one_that_was_too_many_gives_up_without_a_word() {
    let mut host = group(&[ANY, ANY]).swap_remove(0);
    let listener = listen(&mut host, at(ANY, PORT));
    let taken = |host: &mut Host, port: &u16| {
        host.receive(&from_peer(*port, Flags::SYN, 5000, 0));
        !host.frames().is_empty()
    };
    let port = (1000..1100).find(|port| taken(&mut host, port)).unwrap();
    host.receive(&from_peer(port, Flags::ACK, 5001, 12_345));
    assert!(host.sent().is_empty());
    let status = host.stack.tcp_listener_status(listener).unwrap();
    assert_eq!(
        (status.queued, host.stack.tcp_connections().count()),
        (0, 0)
    );
    // It may come back, and be answered and completed then.
    host.receive(&from_peer(port, Flags::SYN, 7000, 0));
    let (answer, _) = tcp::parse(&host.frames()[0][34..]).unwrap();
    host.receive(&from_peer(port, Flags::ACK, 7001, answer.seq.0 + 1));
    assert!(host.stack.tcp_accept(listener).is_some());
}

#[test]
fn each_datagram_is_taken_by_one() {
    let mut hosts = group(&[ANY, ANY]);
    let options = UdpOptions {
        reuse_port: true,
        ..UdpOptions::default()
    };
    let ids: Vec<SocketId> = hosts
        .iter_mut()
        .map(|host| host.stack.udp_open(at(ANY, PORT), &options).unwrap())
        .collect();
    let mut counts = [0, 0];
    for port in 1000..1100 {
        for (member, host) in hosts.iter_mut().enumerate() {
            host.receive(&datagram(at(PEER, port), at(US, PORT), b"x"));
            counts[member] += u64::from(host.received(ids[member]).is_some());
        }
    }
    assert_eq!(counts[0] + counts[1], 100);
    assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
    assert_eq!(hosts[0].drops(Drop::PortNotOwned), counts[1]);
    // With a peer it is that peer's alone, whoever else shares the port.
    hosts[0]
        .stack
        .udp_connect(ids[0], Some(at(PEER, 1000)))
        .unwrap();
    hosts[0].receive(&datagram(at(PEER, 1000), at(US, PORT), b"x"));
    assert!(hosts[0].received(ids[0]).is_some());
}
