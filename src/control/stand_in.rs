//! Keeping the kernel silent about connections on a port that others may listen on.
//!
//! As long as a lease listens, the kernel drops there what is for the stack's connections, and nobody
//! else can listen. When the port is given back, the connections that go on (a dead server's, that
//! wait for their last acknowledgements) must not be answered with a reset by the kernel, nor by
//! whoever listens there next. So each gets a *stand-in*: a kernel socket with the very same ends,
//! which the kernel finds before any listener, and which drops what arrives.
//!
//! ```text
//!   connect(2), put off until there is data to send ──► in the kernel's table, nothing is sent
//!   (TCP_FASTOPEN_CONNECT)
//!   TCP_MD5SIG, with a key that nobody knows ─────────► what arrives is dropped without an answer
//! ```
//!
//! It takes no right. To bind(2) a stand-in is what a connection of the kernel's would be: who has
//! SO_REUSEADDR, as all servers have, gets the port beside it, if the one before had it, too.

use std::net::SocketAddrV4;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::lease::is_owned;
use super::signing::key;
use crate::sys::owned::OwnedFd;
use crate::sys::signature::{self, Peers};
use crate::sys::{descriptor, local, option};

/// Of linux/tcp.h.
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;

/// A kernel socket in the place of a connection; see the module.
#[derive(Debug)]
pub struct StandIn {
    socket: OwnedFd,
}

impl StandIn {
    /// One that a dead process has left.
    pub fn of_copy(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// The socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Both ends of a connection, ours first.
pub type Ends = (SocketAddrV4, SocketAddrV4);

/// A stand-in for each connection of a port that `leases` hold and listen on. They may be closed then.
///
/// # Errors
/// EOPNOTSUPP: net.ipv4.tcp_fastopen does not let clients put off a connection. ENOPROTOOPT: the kernel
/// is built without signatures. EADDRINUSE: the leases are another user's, and cannot be followed.
/// EMFILE and others of socket(2), bind(2) and connect(2).
pub fn stand_in(
    leases: &[BorrowedFd<'_>],
    connections: impl Iterator<Item = Ends>,
) -> Result<Vec<(Ends, StandIn)>, Errno> {
    let Some(lease) = leases.first() else {
        return Err(Errno::INVAL);
    };
    let manner = Manner::of(*lease)?;
    // Beside a listener the kernel lets another socket of its user's bind if both say so.
    for lease in leases {
        sockopt::set_socket_reuseport(lease, true)?;
    }
    let made = connections.map(|ends| Ok((ends, manner.stand_in(ends)?)));
    let made = made.collect();
    for lease in leases {
        sockopt::set_socket_reuseport(lease, manner.reuse_port)?;
    }
    made
}

/// How a lease has its port.
struct Manner {
    reuse_address: bool,
    reuse_port: bool,
    /// Whose it is, if not this process's user's.
    owner: Option<u32>,
}

impl Manner {
    fn of(lease: BorrowedFd<'_>) -> Result<Self, Errno> {
        let owner = fstat(lease)?.st_uid;
        Ok(Self {
            reuse_address: sockopt::socket_reuseaddr(lease)?,
            reuse_port: sockopt::socket_reuseport(lease)?,
            owner: (owner != local::own_user()).then_some(owner),
        })
    }

    fn stand_in(&self, (local, remote): Ends) -> Result<StandIn, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
        let socket = descriptor::high(make)?;
        // If it cannot be, nor could the lease.
        let _ = is_owned(&socket, self.owner);
        let put_off = [libc::TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE];
        for name in put_off {
            option::set_integer(socket.as_fd(), libc::IPPROTO_TCP, name, 1)?;
        }
        signature::require(socket.as_fd(), false, Peers::ALL, &key()?)?;
        // The address may have been taken from the interface.
        sockopt::set_ip_freebind(&socket, true)?;
        sockopt::set_socket_reuseaddr(&socket, self.reuse_address)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        net::bind(&socket, &local)?;
        sockopt::set_socket_reuseport(&socket, self.reuse_port)?;
        // INPROGRESS: the kernel has not put it off, and would soon speak there.
        net::connect(&socket, &remote)?;
        Ok(StandIn { socket })
    }
}
