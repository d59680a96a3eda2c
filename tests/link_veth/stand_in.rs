//! What stands for connections on a port that goes back to the kernel.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, connect, shutdown, socket_with, sockopt,
};

use crate::control::lease::{Inet6, KernelAddress, Lease, LeaseOptions};
use crate::control::stand_in::{StandIn, stand_in};
use crate::control::vault::{LeaseCopy, Vault};
use crate::lease::{driven_by, index, without_admin};
use crate::netns::{Namespace, Pair};
use crate::sys::wait::borrow;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LEFT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const SERVER: SocketAddrV4 = SocketAddrV4::new(LEFT, 7000);
const ORPHAN: SocketAddrV4 = SocketAddrV4::new(RIGHT, 5000);
const REUSE: LeaseOptions = LeaseOptions {
    reuse_address: true,
    reuse_port: false,
    owner: None,
    free_bind: false,
    port_range: 0,
    interface: None,
};

/// How an attempt to connect from a port of the right side ends, within half a second.
fn attempt(from: &Namespace, local: SocketAddrV4) -> Result<(), Errno> {
    from.run(|| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let client = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&client, true)?;
        bind(&client, &local)?;
        assert_eq!(connect(&client, &SERVER), Err(Errno::INPROGRESS));
        let mut fds = [PollFd::new(&client, PollFlags::OUT)];
        let half = Timespec {
            tv_sec: 0,
            tv_nsec: 500_000_000,
        };
        match poll(&mut fds, Some(&half))? {
            0 => Err(Errno::TIMEDOUT),
            _ => sockopt::socket_error(&client)?,
        }
    })
}

/// A process that another test starts has copies of this one's sockets for a moment.
fn soon(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "the stand-in is gone");
        sleep(Duration::from_millis(5));
    }
}

/// What a dead process's leases leave in its vault.
fn copies(mut lease: Lease) -> Vec<Lease> {
    let vault = Arc::new(Vault::new().expect("vault"));
    vault.fill([&mut lease].into_iter()).expect("fill");
    let end = vault.end().try_clone_to_owned().expect("end");
    vault.forsake();
    let copies = LeaseCopy::all(&end.into()).into_iter();
    copies
        .map(|copy| copy.into_lease().expect("lease"))
        .collect()
}

/// Those of one that listens.
fn listening(
    pair: &Pair,
    address: KernelAddress,
    options: &LeaseOptions,
    admin: bool,
) -> Vec<Lease> {
    let driven = index(&pair.left);
    pair.left.run(|| {
        let mut lease = Lease::tcp(address, options).expect("lease");
        match admin {
            true => lease.listen_dropped(driven_by(driven), 16),
            false => without_admin(|| lease.listen_dropped(driven_by(driven), 16)),
        }
        .expect("listen");
        copies(lease)
    })
}

fn stands_in(pair: &Pair, address: KernelAddress, options: &LeaseOptions, admin: bool) -> StandIn {
    let copies = listening(pair, address, options, admin);
    pair.left.run(|| {
        let sockets: Vec<_> = copies.iter().map(Lease::fd).collect();
        let made = stand_in(&sockets, [(SERVER, ORPHAN)].into_iter());
        let (ends, stand_in) = made.expect("stand-in").remove(0);
        assert_eq!(ends, (SERVER, ORPHAN));
        copies.into_iter().for_each(Lease::give_back);
        stand_in
    })
}

fn gives_the_port_back(address: KernelAddress, admin: bool) {
    let pair = Pair::new();
    let stand_in = stands_in(&pair, address, &REUSE, admin);
    let any = SocketAddr::from((ANY, SERVER.port()));
    // std's listeners have SO_REUSEADDR.
    let next = pair.left.run(|| TcpListener::bind(any)).expect("listen");
    assert_eq!(attempt(&pair.right, ORPHAN), Err(Errno::TIMEDOUT));
    let other = SocketAddrV4::new(RIGHT, 5001);
    assert_eq!(attempt(&pair.right, other), Ok(()));
    let _ = shutdown(borrow(next.as_raw_fd()), Shutdown::Both);
    drop(next);
    // A lease can be had, too, with what silences it.
    let copies = listening(&pair, address, &REUSE, admin);
    copies.into_iter().for_each(Lease::give_back);
    drop(stand_in);
    soon(|| attempt(&pair.right, ORPHAN) == Err(Errno::CONNREFUSED));
}

#[test]
fn a_port_goes_back_while_connections_go_on() {
    gives_the_port_back(SocketAddrV4::new(ANY, SERVER.port()).into(), true);
}

#[test]
fn so_it_does_without_the_right_to_filter() {
    gives_the_port_back(SocketAddrV4::new(ANY, SERVER.port()).into(), false);
}

#[test]
fn so_does_one_of_both_families() {
    let address = KernelAddress {
        local: SocketAddrV4::new(ANY, SERVER.port()),
        inet6: Some(Inet6::Both),
    };
    gives_the_port_back(address, true);
}

#[test]
fn who_does_not_share_the_address_keeps_the_port() {
    let pair = Pair::new();
    let address = SocketAddrV4::new(ANY, SERVER.port()).into();
    let stand_in = stands_in(&pair, address, &LeaseOptions::default(), true);
    let any = SocketAddr::from((ANY, SERVER.port()));
    let refused = pair.left.run(|| TcpListener::bind(any));
    assert_eq!(
        refused.map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::AddrInUse)
    );
    drop(stand_in);
    soon(|| pair.left.run(|| TcpListener::bind(any)).is_ok());
}
