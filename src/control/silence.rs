//! How the kernel is kept from answering what arrives for a leased TCP port.
//!
//! A socket filter on the lease drops it. But on newer kernels (6.18.44, measured) a filter on a TCP
//! socket takes CAP_NET_ADMIN, which most who have CAP_NET_RAW do not have, root in a container
//! among them. So the filter is there from bind(2) on, as servers bind as root and listen as
//! somebody else. For those who never may, an MD5 signature does the same: TCP drops without an
//! answer what is not signed, and nobody knows the key. But a key cannot tell interfaces apart, so
//! a lease whose other clients are to be served gets a *sink* beside it: a second listener on the
//! port, bound to the driven interface, which the kernel prefers for what arrives there. (A lease that is bound to it
//! needs none.) Where there can be no
//! sink, since the process has changed its user since it bound the port, the lease has the
//! signature, and serves no other clients.

use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::{self, sockopt};

use super::signing::Signing;
use super::sink::Sink;
use crate::sys::filter::{self, Instruction};

/// Whose packets are the stack's: what arrives on the interface, but for what the host sends there to its own addresses.
#[derive(Clone, Copy, Debug)]
pub struct Driven<'a> {
    /// The interface's index.
    pub interface: u32,
    /// The host's addresses on it.
    pub addresses: &'a [Ipv4Addr],
}

/// What drops a lease's arrivals.
#[derive(Debug)]
pub(super) enum Silence {
    Nothing,
    /// Of what arrives on the interface, or of everything.
    Filter(Option<u32>),
    Signature(Signing),
    Sink(Sink),
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
    pub(super) fn listen(self, driven: Option<Driven<'_>>, backlog: i32) -> Result<Silence, Errno> {
        let interface = driven.map(|driven| driven.interface);
        match filter::attach(self.fd, &drop_filter(interface)) {
            Ok(()) => {
                net::listen(self.fd, backlog)?;
                Ok(Silence::Filter(interface))
            }
            Err(Errno::PERM) => self.listen_without_filter(driven, backlog),
            Err(error) => Err(error),
        }
    }

    fn listen_without_filter(
        self,
        driven: Option<Driven<'_>>,
        backlog: i32,
    ) -> Result<Silence, Errno> {
        match driven {
            Some(driven) if self.device != Some(driven.interface) => {
                match self.listen_beside_sink(driven, backlog) {
                    // A sink of another user than the lease's, since the process has changed its own.
                    Err(Errno::ADDRINUSE) => self.listen_signed(&[], backlog),
                    result => result,
                }
            }
            // It is bound as a sink would be.
            Some(driven) => self.listen_signed(driven.addresses, backlog),
            None => self.listen_signed(&[], backlog),
        }
    }

    /// Drops everything, but for what comes from `admitted`.
    fn listen_signed(self, admitted: &[Ipv4Addr], backlog: i32) -> Result<Silence, Errno> {
        let mut signing = Signing::new(self.inet6);
        let listens = signing
            .admit(self.fd, admitted)
            .and_then(|()| net::listen(self.fd, backlog));
        match listens {
            Ok(()) => Ok(Silence::Signature(signing)),
            Err(errno) => {
                signing.end(self.fd);
                Err(errno)
            }
        }
    }

    /// The kernel has two listeners on a port if both say SO_REUSEPORT while the second binds, and
    /// while each begins to listen. The lease says so no longer than that, if it is not the program's wish.
    fn listen_beside_sink(self, driven: Driven<'_>, backlog: i32) -> Result<Silence, Errno> {
        let shared = sockopt::socket_reuseport(self.fd)?;
        sockopt::set_socket_reuseport(self.fd, true)?;
        let result = Sink::new(&self, driven).and_then(|sink| {
            // Of those that say SO_REUSEPORT the kernel takes the first that will do, which is the youngest. So the
            // sink begins to listen after the lease, which needs a signature until then.
            let signed = self.listen_signed(&[], backlog)?;
            let listens = net::listen(sink.fd(), backlog);
            signed.end(self.fd);
            listens?;
            sockopt::set_socket_reuseport(sink.fd(), shared)?;
            Ok(Silence::Sink(sink))
        });
        sockopt::set_socket_reuseport(self.fd, shared)?;
        result
    }
}

impl Silence {
    /// Takes off what is on the lease itself.
    pub(super) fn end(self, lease: BorrowedFd<'_>) {
        match self {
            // What could be said is that it is gone already, which is what is wanted.
            Self::Filter(_) => drop(filter::detach(lease)),
            Self::Signature(signing) => signing.end(lease),
            Self::Nothing | Self::Sink(_) => {}
        }
    }
}

/// Drops the IPv4 packets that arrive on the interface for this host alone, or everything. (IPv6 is the
/// kernel's, on the driven interface as well. So is multicast, whoever of this host joined the group.
/// And what this host's kernel sends to many, and hears itself, no packet socket does.)
pub(super) fn drop_filter(interface_index: Option<u32>) -> Vec<Instruction> {
    let instruction = |code, jump_true, jump_false, operand| Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    };
    let ret = (libc::BPF_RET | libc::BPF_K) as u16;
    let Some(index) = interface_index else {
        return vec![instruction(ret, 0, 0, 0)];
    };
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let fact = |fact| (libc::SKF_AD_OFF + fact) as u32;
    let (to_many, turned_round) = (libc::PACKET_MULTICAST, libc::PACKET_LOOPBACK);
    vec![
        instruction(load, 0, 0, fact(libc::SKF_AD_PROTOCOL)),
        instruction(equal, 0, 6, libc::ETH_P_IP as u32),
        instruction(load, 0, 0, fact(libc::SKF_AD_IFINDEX)),
        instruction(equal, 0, 4, index),
        instruction(load, 0, 0, fact(libc::SKF_AD_PKTTYPE)),
        instruction(equal, 2, 0, u32::from(to_many)),
        instruction(equal, 1, 0, u32::from(turned_round)),
        instruction(ret, 0, 0, 0),
        instruction(ret, 0, 0, u32::MAX),
    ]
}
