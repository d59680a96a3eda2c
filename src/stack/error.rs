//! Why a user call or a connection failed. The socket layer turns these into errno.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::plain::Word;

/// An error of a user call or of a connection. Each is named for the errno Linux reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub enum Error {
    /// EADDRINUSE: the address, or the pair of addresses, is taken.
    AddressInUse,
    /// EADDRNOTAVAIL: not an address of ours, or no such pair is left.
    AddressNotAvailable,
    /// ENETUNREACH: no route, or ICMP network unreachable.
    NetworkUnreachable,
    /// EHOSTUNREACH: no answer to ARP, or ICMP host unreachable, or time exceeded.
    HostUnreachable,
    /// EHOSTDOWN: ICMP destination host unknown.
    HostDown,
    /// ENONET: ICMP source host isolated.
    NoNetwork,
    /// ENOPROTOOPT: ICMP protocol unreachable.
    ProtocolUnreachable,
    /// EOPNOTSUPP: ICMP source route failed.
    NotSupported,
    /// EPROTO: ICMP parameter problem.
    ParameterProblem,
    /// ECONNREFUSED: a reset answered our SYN, or ICMP port unreachable.
    ConnectionRefused,
    /// ECONNRESET: the peer reset the connection.
    ConnectionReset,
    /// ETIMEDOUT: retransmissions, keep-alive probes or the user timeout ran out.
    TimedOut,
    /// EPIPE: the sending side is closed.
    BrokenPipe,
    /// ENOTCONN: not connected.
    NotConnected,
    /// EINVAL: the socket is in a state that does not allow the call, or the handle is stale.
    Invalid,
    /// EMSGSIZE: the datagram is too long.
    MessageSize,
    /// EACCES: broadcast without permission.
    Access,
    /// ENOBUFS: a table or the pool is full.
    NoBuffers,
    /// EAGAIN: nothing to receive, or no room to send.
    WouldBlock,
    /// ENETDOWN: the interface is down.
    NetworkDown,
    /// EFAULT: the program has no such memory.
    Fault,
    /// ECONNABORTED: given up under repair.
    Aborted,
}

impl Error {
    /// The number that stands for it.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What a number stands for, whoever wrote it.
    pub fn from_number(number: u8) -> Self {
        Self::try_read_from_bytes(&[number]).unwrap_or(Self::Invalid)
    }
}

impl Word for Error {
    fn to_word(self) -> u64 {
        u64::from(self.number())
    }
    fn from_word(word: u64) -> Self {
        Self::from_number(word as u8)
    }
}
