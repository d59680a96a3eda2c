//! How a process shows another that it may have ports below net.ipv4.ip_unprivileged_port_start (capabilities(7),
//! CAP_NET_BIND_SERVICE).
//!
//! The kernel says of nobody else what he may do, and what /proc says may be of a process that has become another one
//! since. But it lets only who has the right bind a socket to such a port. So the one shows the other a socket that is
//! bound to one of them, at an address of the loopback that nobody uses for anything else, in their network namespace.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, local};

/// The address.
const SHOWN_AT: Ipv4Addr = Ipv4Addr::new(127, 83, 68, 83);
/// How many ports are tried, if others have them on all addresses.
const TRIES: u16 = 16;

/// What shows that this process has the right, below `start`. `None`: it has not.
pub fn show(start: u16) -> Option<OwnedFd> {
    let highest = start.checked_sub(1)?;
    for port in (1..=highest).rev().take(TRIES.into()) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
        let fd = descriptor::high(make).ok()?;
        match net::bind(&fd, &SocketAddrV4::new(SHOWN_AT, port)) {
            Ok(()) => return Some(fd),
            Err(Errno::ADDRINUSE) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Whether this is what [`show`] has made, where this process is.
pub fn is_shown(fd: impl AsFd, start: u16) -> bool {
    let at = |name: SocketAddr| name.ip() == SHOWN_AT && (1..start).contains(&name.port());
    let name = net::getsockname(&fd).and_then(SocketAddr::try_from);
    name.is_ok_and(at) && local::is_of_own_namespace(&fd)
}
