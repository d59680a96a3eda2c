//! What is said to a keeper, and what it says.
//!
//! One message each way (SOCK_SEQPACKET). The first byte says what it is, by a letter, which no question
//! of the [`family`](super::super::family)'s begins with; numbers are in the
//! machine's byte order. Whatever does not read as one of these is answered by closing.

use rustix::io::Errno;

use super::super::family::Name;

/// Bytes of the longest message.
pub(super) const LONGEST: usize = 256;

/// What is asked of a keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// May I be served, on the interface of this name? (Empty: on any.) The answer is
    /// [`Reply::Done`], or why not.
    Hello {
        /// SIDESTACK_INTERFACE, as far as the asker has it.
        interface: String,
    },
    /// A socket that is about to get its first address. The answer is [`Reply::Created`] with the
    /// program's descriptor, or [`Reply::Kernel`].
    Create(Create),
}

/// The socket that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// AF_INET6, else AF_INET.
    pub inet6: bool,
    /// SOCK_DGRAM, else SOCK_STREAM.
    pub datagram: bool,
    /// IPV6_V6ONLY.
    pub v6_only: bool,
    /// What it is wanted for.
    pub first: First,
}

/// What gives a socket its first address: whether the stack or the kernel serves it depends on that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// listen(2), or a datagram that could not be sent, to an address the kernel would choose.
    Any,
    /// bind(2) to this address.
    Local(Vec<u8>),
    /// connect(2) or sendto(2) to this address.
    Remote(Vec<u8>),
}

/// A keeper's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes.
    Done,
    /// No. EACCES: the keeper's administrator has not admitted the user. EOPNOTSUPP: it has no stack
    /// of its own. ENODEV: it drives another interface. EMFILE: the user has as many sockets as it may.
    Refused(Errno),
    /// Only the kernel serves that address.
    Kernel,
    /// The socket, whose descriptor comes with the message.
    Created(Name),
}

impl Request {
    /// The port that a socket is wanted for, if it is to be bound to one.
    pub(super) fn bound_port(&self) -> Option<u16> {
        let Self::Create(Create {
            first: First::Local(address),
            ..
        }) = self
        else {
            return None;
        };
        // In `struct sockaddr_in` and `struct sockaddr_in6` alike.
        let port = address.get(2..4)?.try_into().ok()?;
        Some(u16::from_be_bytes(port)).filter(|&port| port != 0)
    }

    /// The message.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello { interface } => [b"h", interface.as_bytes()].concat(),
            Self::Create(wanted) => {
                let (first, address): (u8, &[u8]) = match &wanted.first {
                    First::Any => (0, &[]),
                    First::Local(address) => (1, address),
                    First::Remote(address) => (2, address),
                };
                let flags = [wanted.inet6, wanted.datagram, wanted.v6_only].map(u8::from);
                [b"c", &flags[..], &[first], address].concat()
            }
        }
    }

    /// Reads a message; `None`: it is none.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        Some(match message.split_first()? {
            (b'h', name) => Self::Hello {
                interface: core::str::from_utf8(name).ok()?.to_owned(),
            },
            (b'c', &[inet6, datagram, v6_only, first, ref address @ ..]) => Self::Create(Create {
                inet6: inet6 != 0,
                datagram: datagram != 0,
                v6_only: v6_only != 0,
                first: match first {
                    0 => First::Any,
                    1 => First::Local(address.to_vec()),
                    2 => First::Remote(address.to_vec()),
                    _ => return None,
                },
            }),
            _ => return None,
        })
    }
}

impl Reply {
    /// The message.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Done => b"y".to_vec(),
            Self::Refused(errno) => [b"n", &errno.raw_os_error().to_ne_bytes()[..]].concat(),
            Self::Kernel => b"k".to_vec(),
            Self::Created(name) => [b"s", &name.encode()[..]].concat(),
        }
    }

    /// Reads a message; `None`: it is none.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        Some(match message.split_first()? {
            (b'y', []) => Self::Done,
            (b'n', errno) => match i32::from_ne_bytes(errno.try_into().ok()?) {
                errno @ 1..4096 => Self::Refused(Errno::from_raw_os_error(errno)),
                _ => return None,
            },
            (b'k', []) => Self::Kernel,
            (b's', name) => Self::Created(Name::decode(name.try_into().ok()?)),
            _ => return None,
        })
    }
}
