use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::control::cutoff::CutOff;
use crate::control::ephemeral::{EphemeralPorts, Protocol};
use crate::control::lease::{Driven, Inet6, KernelAddress, Lease, LeaseOptions};
use crate::control::limits::PortRange;
use crate::control::mirror::Mirror;
use crate::netns::{Namespace, Pair};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LEFT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const SHORT: Duration = Duration::from_millis(500);

pub(crate) fn index(namespace: &Namespace) -> u32 {
    let mirror = namespace.run(|| Mirror::open(None)).expect("mirror");
    mirror.facts().interface.index
}

fn connect(from: &Namespace, to: Ipv4Addr, port: u16) -> Result<TcpStream, ErrorKind> {
    let address = SocketAddr::from((to, port));
    from.run(|| TcpStream::connect_timeout(&address, SHORT))
        .map_err(|error| error.kind())
}

/// What comes within the socket's time; a machine that was halted meanwhile asks once more.
fn answer(socket: &UdpSocket) -> Result<usize, ErrorKind> {
    loop {
        match socket.recv(&mut [0; 8]).map_err(|error| error.kind()) {
            Err(ErrorKind::Interrupted) => {}
            result => return result,
        }
    }
}

/// That interface, on which the host is `LEFT`.
pub(crate) fn driven_by(interface: u32) -> Option<Driven<'static>> {
    let addresses = &[LEFT];
    Some(Driven {
        interface,
        addresses,
    })
}

/// Runs `inside` as somebody who has CAP_NET_RAW and lacks CAP_NET_ADMIN would.
pub(crate) fn without_admin<T>(inside: impl FnOnce() -> T) -> T {
    let mut sets = capabilities(None).expect("capabilities");
    sets.effective.remove(CapabilitySet::NET_ADMIN);
    // Of this thread only, which ends here.
    set_capabilities(None, sets).expect("fewer are always allowed");
    inside()
}

#[test]
fn a_listening_lease_is_silent_on_the_driven_interface_only() {
    listens_silently(|lease: &mut Lease, driven| lease.listen_dropped(driven, 16));
}

#[test]
fn a_listening_lease_is_silent_without_the_right_to_filter() {
    listens_silently(|lease: &mut Lease, driven| {
        without_admin(|| {
            lease.listen_dropped(driven, 1)?;
            lease.listen_dropped(driven, 16)
        })
    });
}

#[test]
fn a_lease_without_that_right_follows_the_hosts_addresses() {
    listens_silently(|lease: &mut Lease, driven| {
        let before = driven.map(|driven| Driven {
            addresses: &[ELSEWHERE],
            ..driven
        });
        without_admin(|| lease.listen_dropped(before, 16))?;
        lease.set_addresses(&[LEFT]);
        Ok(())
    });
}

fn listens_silently(listen: impl Fn(&mut Lease, Option<Driven<'_>>) -> Result<(), Errno> + Sync) {
    let pair = Pair::new();
    let driven = index(&pair.left);
    let options = LeaseOptions::default();
    let mut lease = pair
        .left
        .run(|| Lease::tcp(SocketAddrV4::new(ANY, 0), &options))
        .expect("lease");
    let port = lease.port();
    // Bound only: the kernel refuses.
    let refused = Err(ErrorKind::ConnectionRefused);
    assert_eq!(connect(&pair.right, LEFT, port).map(drop), refused);

    pair.left
        .run(|| listen(&mut lease, driven_by(driven)))
        .expect("listen");
    assert_eq!(
        connect(&pair.right, LEFT, port).map(drop),
        Err(ErrorKind::TimedOut)
    );
    assert!(lease.accept().expect("accept").is_none());
    assert_eq!(
        pair.left
            .run(|| Lease::tcp(SocketAddrV4::new(ANY, port), &options))
            .map(drop),
        Err(Errno::ADDRINUSE)
    );
    for to in [Ipv4Addr::LOCALHOST, LEFT] {
        let mut client = connect(&pair.left, to, port).expect("loopback");
        let (fd, peer) = lease.accept().expect("accept").expect("a client");
        assert_eq!(peer, client.local_addr().expect("address"));
        client.write_all(b"ping").expect("write");
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(&fd, &mut buffer), Ok(4));
        rustix::io::write(&fd, b"pong").expect("write");
        drop(fd);
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("read");
        assert_eq!(answer, "pong");
    }
}

#[test]
fn the_kernel_grants_or_refuses() {
    let pair = Pair::new();
    pair.left.run(|| {
        let taken = TcpListener::bind((ANY, 7000)).expect("listener");
        let options = LeaseOptions::default();
        let lease = |address, port| Lease::tcp(SocketAddrV4::new(address, port), &options);
        assert_eq!(lease(ANY, 7000).map(drop), Err(Errno::ADDRINUSE));
        let foreign = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(lease(foreign, 7001).map(drop), Err(Errno::ADDRNOTAVAIL));
        let held = lease(ANY, 7001).expect("lease");
        assert_eq!(
            TcpListener::bind((ANY, 7001))
                .map_err(|error| error.kind())
                .map(drop),
            Err(ErrorKind::AddrInUse)
        );
        drop(held);
        TcpListener::bind((ANY, 7001)).expect("given back");
        drop(taken);
    });
}

#[test]
fn a_udp_lease_is_silent_on_the_driven_interface_only() {
    let pair = Pair::new();
    let driven = index(&pair.left);
    let options = LeaseOptions::default();
    let mut lease = pair
        .left
        .run(|| Lease::udp(SocketAddrV4::new(ANY, 0), &options))
        .expect("lease");
    lease.drop_arrivals(Some(driven)).expect("filter");
    let port = lease.port();
    let send = |from: &Namespace, to, port| {
        let socket = from.run(|| UdpSocket::bind((ANY, 0))).expect("socket");
        socket.connect((to, port)).expect("connect");
        socket.send(b"hello").expect("send");
        socket.set_read_timeout(Some(SHORT)).expect("timeout");
        answer(&socket)
    };
    let refused = Err(ErrorKind::ConnectionRefused);
    // On a busy machine the first answer may take longer than the wait.
    assert!((0..5).any(|_| send(&pair.right, LEFT, port.wrapping_add(1)) == refused));
    assert_eq!(send(&pair.right, LEFT, port), Err(ErrorKind::WouldBlock));
    let mut buffer = [0; 8];
    let nothing = rustix::net::recv(lease.fd(), &mut buffer, RecvFlags::empty());
    assert_eq!(nothing.map(|(_, length)| length), Err(Errno::AGAIN));
    assert_eq!(send(&pair.left, LEFT, port), Err(ErrorKind::WouldBlock));
    let (_, length) = rustix::net::recv(lease.fd(), &mut buffer, RecvFlags::empty()).expect("recv");
    assert_eq!(&buffer[..length], b"hello");
}

#[test]
fn a_lease_can_become_the_programs_descriptor() {
    becomes_the_programs(|lease| lease.listen_dropped(None, 4));
}

#[test]
fn so_can_one_that_was_silenced_without_a_filter() {
    becomes_the_programs(|lease| without_admin(|| lease.listen_dropped(None, 4)));
}

fn becomes_the_programs(listen: impl Fn(&mut Lease) -> Result<(), Errno> + Sync) {
    let pair = Pair::new();
    let options = LeaseOptions::default();
    let mut lease = pair
        .left
        .run(|| Lease::tcp(SocketAddrV4::new(ANY, 7100), &options))
        .expect("lease");
    pair.left.run(|| listen(&mut lease)).expect("listen");
    assert_eq!(
        connect(&pair.right, LEFT, 7100).map(drop),
        Err(ErrorKind::TimedOut)
    );
    let fd = lease.into_fd();
    connect(&pair.right, LEFT, 7100).expect("nothing is dropped any more");
    drop(fd);
}

fn ephemeral(index: u32, first: u16, last: u16) -> EphemeralPorts {
    let reserved = [PortRange {
        first: first + 1,
        last: first + 2,
    }];
    let cut_off = Arc::new(CutOff::new(index, &[LEFT]));
    EphemeralPorts::new(
        Some(index),
        PortRange { first, last },
        &reserved,
        42,
        cut_off,
    )
}

#[test]
fn ephemeral_ports_are_silent_and_local() {
    let pair = Pair::new();
    let mut ports = ephemeral(index(&pair.left), 40_000, 40_999);
    let mut acquire = || pair.left.run(|| ports.acquire(Protocol::Tcp, |_| true));
    let port = acquire().expect("port");
    assert_eq!(
        connect(&pair.right, LEFT, port).map(drop),
        Err(ErrorKind::TimedOut)
    );
    // Elsewhere the port looks free.
    let refused = Err(ErrorKind::ConnectionRefused);
    assert_eq!(
        connect(&pair.left, Ipv4Addr::LOCALHOST, port).map(drop),
        refused
    );
    // The kernel counts its own packets to an interface's address as that interface's.
    let silent = Err(ErrorKind::TimedOut);
    assert_eq!(connect(&pair.left, LEFT, port).map(drop), silent);
    // But nobody else gets it.
    let bind = pair.left.run(|| TcpListener::bind((ANY, port)));
    assert_eq!(
        bind.map_err(|error| error.kind()).map(drop),
        Err(ErrorKind::AddrInUse)
    );

    let port = pair
        .left
        .run(|| ports.acquire(Protocol::Udp, |_| true))
        .expect("port");
    let peer = pair
        .right
        .run(|| UdpSocket::bind((ANY, 0)))
        .expect("socket");
    peer.connect((LEFT, port)).expect("connect");
    peer.send(b"hello").expect("send");
    peer.set_read_timeout(Some(SHORT)).expect("timeout");
    assert_eq!(answer(&peer), Err(ErrorKind::WouldBlock));
}

#[test]
fn ephemeral_ports_are_reused_and_run_out() {
    let pair = Pair::new();
    let driven = index(&pair.left);
    pair.left.run(|| {
        let taken = TcpListener::bind((ANY, 40_010)).expect("listener");
        let mut ports = ephemeral(driven, 40_000, 40_099);
        // To different peers one port is enough.
        let first = ports.acquire(Protocol::Tcp, |_| true).expect("port");
        assert_eq!(first % 2, 0, "connect takes even ports first");
        assert_eq!(ports.acquire(Protocol::Tcp, |_| true), Ok(first));
        assert_eq!(ports.blocks(Protocol::Tcp).count(), 1);
        // To the same peer each connection needs its own.
        let mut used = HashSet::from([first]);
        while let Ok(port) = ports.acquire(Protocol::Tcp, |port| !used.contains(&port)) {
            assert!((40_000..=40_099).contains(&port));
            assert!(used.insert(port));
        }
        // All but the two reserved ones and the listener's.
        assert_eq!(used.len(), 97);
        assert_eq!(ports.changes(), 2);
        let none = ports.acquire(Protocol::Tcp, |port| !used.contains(&port));
        assert_eq!(none, Err(Errno::ADDRNOTAVAIL));
        // One that is given back is found, among all that are not free.
        used.remove(&40_050);
        ports.release(Protocol::Tcp, 40_050);
        let found = ports.acquire(Protocol::Tcp, |port| !used.contains(&port));
        assert_eq!(found, Ok(40_050));
        drop(taken);
    });
}

#[test]
fn unused_ephemeral_ports_go_back_to_the_kernel() {
    let pair = Pair::new();
    let driven = index(&pair.left);
    pair.left.run(|| {
        let mut ports = ephemeral(driven, 40_000, 40_999);
        let mut used = HashSet::new();
        for _ in 0..600 {
            let port = ports
                .acquire(Protocol::Udp, |port| !used.contains(&port))
                .expect("port");
            used.insert(port);
        }
        used.iter()
            .for_each(|&port| ports.release(Protocol::Udp, port));
        let kept = used
            .iter()
            .filter(|&&port| ports.is_leased(Protocol::Udp, port))
            .count();
        assert_eq!(kept, 256);
        // Once more than it was acquired: ignored.
        used.iter()
            .for_each(|&port| ports.release(Protocol::Udp, port));
        let again = ports.acquire(Protocol::Udp, |_| true).expect("port");
        assert!(ports.is_leased(Protocol::Udp, again));
    });
}

#[test]
fn acquiring_leased_ports_is_cheap() {
    let pair = Pair::new();
    let driven = index(&pair.left);
    pair.left.run(|| {
        let mut ports = ephemeral(driven, 40_000, 44_000);
        let mut used = HashSet::new();
        for _ in 0..500 {
            let port = ports
                .acquire(Protocol::Tcp, |port| !used.contains(&port))
                .expect("port");
            used.insert(port);
        }
        let asked = std::cell::Cell::new(0);
        for _ in 0..1000 {
            let port = ports
                .acquire(Protocol::Tcp, |_| {
                    asked.set(asked.get() + 1);
                    true
                })
                .expect("port");
            ports.release(Protocol::Tcp, port);
        }
        assert_eq!(asked.get(), 1000);
    });
}

#[test]
fn who_has_many_ephemeral_ports_seldom_needs_another_filter() {
    let pair = Pair::new();
    let driven = index(&pair.left);
    pair.left.run(|| {
        let mut ports = ephemeral(driven, 40_000, 49_999);
        let mut used = HashSet::new();
        let mut filters = HashSet::new();
        for _ in 0..4000 {
            let port = ports
                .acquire(Protocol::Tcp, |port| !used.contains(&port))
                .expect("port");
            used.insert(port);
            filters.insert(ports.changes());
            assert!(ports.blocks(Protocol::Tcp).any(|block| block == port / 64));
        }
        let blocks = ports.blocks(Protocol::Tcp).count();
        assert!(blocks >= 4000 / 64);
        assert!(filters.len() * 3 < blocks, "{} filters", filters.len());
    });
}

#[test]
fn an_inet6_lease_leaves_ipv6_to_the_kernel() {
    let pair = Pair::new();
    pair.left.ip("address add fd77::1/64 dev va nodad");
    pair.right.ip("address add fd77::2/64 dev vb nodad");
    let driven = index(&pair.left);
    let lease = |inet6| {
        let address = KernelAddress {
            local: SocketAddrV4::new(ANY, 7200),
            inet6: Some(inet6),
        };
        // Connections of the first lease linger in TIME_WAIT.
        let options = LeaseOptions {
            reuse_address: true,
            ..LeaseOptions::default()
        };
        let bind = || Lease::tcp(address, &options);
        let mut lease = pair.left.run(bind).expect("lease");
        lease.listen_dropped(driven_by(driven), 16).expect("listen");
        lease
    };
    let try_connect = |from: &Namespace, to: &str| {
        let address = SocketAddr::new(to.parse().expect("address"), 7200);
        from.run(|| TcpStream::connect_timeout(&address, SHORT))
            .map_err(|error| error.kind())
    };
    let both = lease(Inet6::Both);
    assert_eq!(both.local(), SocketAddrV4::new(ANY, 7200));
    assert_eq!(
        try_connect(&pair.right, "10.77.0.1").map(drop),
        Err(ErrorKind::TimedOut)
    );
    for (from, to) in [
        (&pair.right, "fd77::1"),
        (&pair.left, "::1"),
        (&pair.left, "127.0.0.1"),
    ] {
        let client = try_connect(from, to).expect(to);
        let (_, peer) = both.accept().expect("accept").expect("a client");
        assert_eq!(peer.port(), client.local_addr().expect("address").port());
        assert!(peer.is_ipv6());
    }
    drop(both);
    let only = lease(Inet6::Only);
    let refused = Err(ErrorKind::ConnectionRefused);
    assert_eq!(try_connect(&pair.left, "127.0.0.1").map(drop), refused);
    try_connect(&pair.left, "::1").expect("IPv6");
    drop(only);
}
