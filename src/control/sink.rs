//! The listener beside a lease that takes what arrives on the driven interface, and drops it (see `silence`).
//!
//! To the kernel, what the host sends to an address of its own on that interface arrives there, too. So peers at these
//! addresses need no signature: they are the sink's clients, to be accepted beside the lease's. Nobody else can have
//! one of them, since the kernel lets no packet in that says it comes from the host.

use std::net::Ipv4Addr;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::lease::is_owned;
use super::signing::Signing;
use super::silence::{Driven, Listener};
use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, option};

/// A second listener on a lease's port, once it listens.
#[derive(Debug)]
pub(super) struct Sink {
    fd: OwnedFd,
    interface: u32,
    signing: Signing,
}

impl Sink {
    /// Bound as the lease is, on the driven interface. The lease has to say SO_REUSEPORT meanwhile.
    ///
    /// # Errors
    /// Those of bind(2); ENOMEM, ENOPROTOOPT: the kernel cannot be kept silent.
    pub(super) fn new(lease: &Listener<'_>, driven: Driven<'_>) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
        let fd = descriptor::high(make)?;
        // If it cannot be, nor could the lease.
        let _ = is_owned(&fd, lease.owner);
        let index = i32::try_from(driven.interface).map_err(|_| Errno::NODEV)?;
        option::set_integer(fd.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
        // For it, too, there may be what is left of others on the port.
        sockopt::set_socket_reuseaddr(&fd, sockopt::socket_reuseaddr(lease.fd)?)?;
        sockopt::set_socket_reuseport(&fd, true)?;
        sockopt::set_ip_freebind(&fd, true)?;
        let mut sink = Self {
            fd,
            interface: driven.interface,
            signing: Signing::new(false),
        };
        sink.admit(driven.addresses)?;
        net::bind(&sink.fd, &lease.local)?;
        Ok(sink)
    }

    /// Has no peer but those at `addresses` connect (see [`Signing::admit`]).
    ///
    /// # Errors
    /// As there.
    pub(super) fn admit(&mut self, addresses: &[Ipv4Addr]) -> Result<(), Errno> {
        self.signing.admit(self.fd.as_fd(), addresses)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn interface(&self) -> u32 {
        self.interface
    }
}
