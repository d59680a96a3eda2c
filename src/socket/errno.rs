//! The stack's errors as Linux's errno values.

use rustix::io::Errno;

use zerocopy::TryFromBytes;

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
        Error::ParameterProblem => Errno::PROTO,
        Error::ConnectionRefused => Errno::CONNREFUSED,
        Error::ConnectionReset => Errno::CONNRESET,
        Error::TimedOut => Errno::TIMEDOUT,
        Error::BrokenPipe => Errno::PIPE,
        Error::NotConnected => Errno::NOTCONN,
        Error::Invalid => Errno::INVAL,
        Error::MessageSize => Errno::MSGSIZE,
        Error::Access => Errno::ACCESS,
        Error::NoBuffers => Errno::NOBUFS,
        Error::WouldBlock => Errno::AGAIN,
        Error::NetworkDown => Errno::NETDOWN,
        Error::Fault => Errno::FAULT,
        Error::Aborted => Errno::CONNABORTED,
    }
}

/// The error that errno(3) has `errno` for, if the stack knows it.
pub fn read(errno: Errno) -> Option<Error> {
    // No call of the stack's own gives this one.
    if errno == Errno::FAULT {
        return Some(Error::Fault);
    }
    let all = (0..=u8::MAX).map_while(|word| Error::try_read_from_bytes(&[word]).ok());
    all.into_iter().find(|&error| of(error) == errno)
}
