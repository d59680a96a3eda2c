//! The stack's errors as Linux's errno values.

use rustix::io::Errno;

use crate::stack::error::Error;

/// The errno that errno(3) has for `error`.
pub fn of(error: Error) -> Errno {
    match error {
        Error::AddressInUse => Errno::ADDRINUSE,
        Error::AddressNotAvailable => Errno::ADDRNOTAVAIL,
        Error::NetworkUnreachable => Errno::NETUNREACH,
        Error::HostUnreachable => Errno::HOSTUNREACH,
        Error::HostDown => Errno::HOSTDOWN,
        Error::NoNetwork => Errno::NONET,
        Error::ProtocolUnreachable => Errno::NOPROTOOPT,
        Error::NotSupported => Errno::OPNOTSUPP,
        Error::ProtocolError => Errno::PROTO,
        Error::ConnectionRefused => Errno::CONNREFUSED,
        Error::ConnectionReset => Errno::CONNRESET,
        Error::TimedOut => Errno::TIMEDOUT,
        Error::BrokenPipe => Errno::PIPE,
        Error::NotConnected => Errno::NOTCONN,
        Error::AlreadyConnected => Errno::ISCONN,
        Error::Invalid => Errno::INVAL,
        Error::MessageSize => Errno::MSGSIZE,
        Error::DestinationRequired => Errno::DESTADDRREQ,
        Error::Access => Errno::ACCESS,
        Error::NoBuffers => Errno::NOBUFS,
        Error::WouldBlock => Errno::AGAIN,
        Error::NetworkDown => Errno::NETDOWN,
    }
}
