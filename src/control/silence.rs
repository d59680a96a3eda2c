//! How the kernel is kept from answering what arrives for a leased TCP port.
//!
//! A socket filter on the lease drops it. But on newer kernels (6.18.44, measured) a filter on a TCP
//! socket takes CAP_NET_ADMIN, which most who have CAP_NET_RAW do not have, root in a container
//! among them. So the filter is there from bind(2) on, as servers bind as root and listen as
//! somebody else. For those who never may, an MD5 signature does the same: TCP drops without an
//! answer what is not signed, and nobody knows the key. But a key cannot tell interfaces apart, so
//! a lease whose other clients are to be served gets a *sink* beside it: a second listener on the
//! port, bound to the driven interface, which the kernel prefers for what arrives there. To the
//! kernel, what the host sends to its own address on that interface arrives there, too; so such
//! clients are dropped where a filter would have let them pass. Where there can be no sink, since
//! the process has changed its user since it bound the port, the lease has the signature, and
//! serves no other clients.

use std::net::SocketAddrV4;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::rand::{GetRandomFlags, getrandom};

use super::lease::{drop_filter, is_owned};
use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, filter, option, signature};

/// What drops a lease's arrivals.
#[derive(Debug)]
pub(super) enum Silence {
    Nothing,
    /// Of what arrives on the interface, or of everything.
    Filter(Option<u32>),
    Signature,
    Sink {
        listener: OwnedFd,
        interface: u32,
    },
}

/// The lease to be silenced.
#[derive(Clone, Copy)]
pub(super) struct Listener<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) local: SocketAddrV4,
    pub(super) inet6: bool,
    /// The interface it is bound to.
    pub(super) device: Option<u32>,
    /// Whose it is.
    pub(super) owner: Option<u32>,
}

impl Listener<'_> {
    /// Listens, and drops what arrives on the interface, or everything (`None`).
    ///
    /// # Errors
    /// Those of listen(2); ENOMEM, ENOPROTOOPT: the kernel cannot be kept silent.
    pub(super) fn listen(self, interface: Option<u32>, backlog: i32) -> Result<Silence, Errno> {
        match filter::attach(self.fd, &drop_filter(interface)) {
            Ok(()) => {
                net::listen(self.fd, backlog)?;
                Ok(Silence::Filter(interface))
            }
            Err(Errno::PERM) => self.listen_without_filter(interface, backlog),
            Err(error) => Err(error),
        }
    }

    fn listen_without_filter(self, interface: Option<u32>, backlog: i32) -> Result<Silence, Errno> {
        match interface {
            Some(interface) if self.device != Some(interface) => {
                match self.listen_beside_sink(interface, backlog) {
                    // A sink of another user than the lease's, since the process has changed its own.
                    Err(Errno::ADDRINUSE) => self.listen_signed(backlog),
                    result => result,
                }
            }
            _ => self.listen_signed(backlog),
        }
    }

    /// Drops everything, wherever it comes from.
    fn listen_signed(self, backlog: i32) -> Result<Silence, Errno> {
        signature::require(self.fd, self.inet6, &key()?)?;
        net::listen(self.fd, backlog).inspect_err(|_| {
            Silence::Signature.end(self.fd, self.inet6);
        })?;
        Ok(Silence::Signature)
    }

    /// The kernel has two listeners on a port if both say SO_REUSEPORT while the second binds, and
    /// while each begins to listen. The lease says so no longer than that, if it is not the program's wish.
    fn listen_beside_sink(self, interface: u32, backlog: i32) -> Result<Silence, Errno> {
        let shared = sockopt::socket_reuseport(self.fd)?;
        sockopt::set_socket_reuseport(self.fd, true)?;
        let result = self.sink(interface).and_then(|sink| {
            // Of those that say SO_REUSEPORT the kernel takes the first that will do, which is the youngest. So the
            // sink begins to listen after the lease, which needs a signature until then.
            let signed = self.listen_signed(backlog)?;
            let listens = net::listen(&sink, 0);
            signed.end(self.fd, self.inet6);
            listens?;
            sockopt::set_socket_reuseport(&sink, shared)?;
            Ok(Silence::Sink {
                listener: sink,
                interface,
            })
        });
        sockopt::set_socket_reuseport(self.fd, shared)?;
        result
    }

    /// What takes what arrives for the address on the interface, and drops it, once it listens.
    fn sink(self, interface: u32) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
        let fd = descriptor::high(make)?;
        // If it cannot be, nor could the lease.
        let _ = is_owned(&fd, self.owner);
        let index = i32::try_from(interface).map_err(|_| Errno::NODEV)?;
        option::set_integer(fd.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
        // For it, too, there may be what is left of others on the port.
        sockopt::set_socket_reuseaddr(&fd, sockopt::socket_reuseaddr(self.fd)?)?;
        sockopt::set_socket_reuseport(&fd, true)?;
        sockopt::set_ip_freebind(&fd, true)?;
        signature::require(fd.as_fd(), false, &key()?)?;
        net::bind(&fd, &self.local)?;
        Ok(fd)
    }
}

impl Silence {
    /// Takes off what is on the lease itself.
    pub(super) fn end(self, lease: BorrowedFd<'_>, inet6: bool) {
        // What could be said is that it is gone already, which is what is wanted.
        let _ = match self {
            Self::Filter(_) => filter::detach(lease),
            Self::Signature => signature::require(lease, inet6, &[]),
            Self::Nothing | Self::Sink { .. } => Ok(()),
        };
    }
}

/// One that nobody knows. Were it guessed, the kernel would answer who signs with it, no more.
pub(super) fn key() -> Result<[u8; 16], Errno> {
    let mut key = [0; 16];
    getrandom(&mut key, GetRandomFlags::NONBLOCK)?;
    Ok(key)
}
