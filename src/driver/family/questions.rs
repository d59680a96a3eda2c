//! Questions and answers as messages.
//!
//! A question is four words and bytes: what is asked, up to three numbers, and an address or an
//! option's value. An answer is an errno value (0: success) and bytes. Words are 32 bits, in the
//! machine's byte order.

use core::net::SocketAddrV4;
use rustix::io::Errno;

use super::super::endpoint::EndpointId;
use super::{LONGEST, LONGEST_QUESTION, Name};

/// Which call of connect(2) it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// One that knows of no attempt.
    First = 0,
    /// One after an attempt of which nobody was told yet that it has succeeded.
    Again = 1,
    /// One that has begun an attempt, and waited for its end.
    Waited = 2,
    /// The first one, by a call that sends (MSG_FASTOPEN).
    Fast = 3,
}

/// What is asked of the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What the socket is, and its addresses: a [`Description`].
    Describe,
    /// getsockopt(2) of at most `room` bytes.
    Get { level: i32, name: i32, room: i32 },
    /// setsockopt(2).
    Set {
        level: i32,
        name: i32,
        value: Vec<u8>,
    },
    /// shutdown(2).
    Shutdown { how: i32 },
    /// bind(2). ENETUNREACH: only the kernel could serve the address.
    Bind { address: Vec<u8> },
    /// connect(2), without waiting.
    Connect { address: Vec<u8>, call: Connecting },
    /// listen(2).
    Listen { backlog: i32 },
    /// These sockets go to a program that is not forked from the owner: their descriptors are used for good where the owner
    /// does not see it. What is shown is not one of them, but the lifeline of who asks.
    Share { endpoints: Vec<EndpointId> },
    /// ioctl(2) of a request that counts bytes: an integer.
    Count { request: u32 },
    /// What poll(2) shows that the pair does not: [`Shown`].
    Show,
    /// A call that sends has failed: a datagram socket has a port by then.
    Open,
    /// To be told once there is other news of what it shows than that. The answer comes then, and says nothing.
    Await { news: u32 },
    /// recv(2) with MSG_ERRQUEUE, of at most `room` bytes.
    ErrorEntry { room: i32 },
    /// sendmsg(2) of a datagram: whom it is for and what is asked for it, and the payload.
    Send {
        flags: i32,
        head: Vec<u8>,
        payload: Vec<u8>,
    },
    /// send(2) on a connection, without waiting, of bytes of which the last is urgent, waits for more, or is to be told of:
    /// how many are taken, as a word. EAGAIN: the pair is writable once there is room. Of no bytes: whether there is any.
    Give {
        flags: i32,
        stamping: Option<u32>,
        payload: Vec<u8>,
    },
    /// recv(2) of at most `room` bytes from a connection, without waiting: where the pair gives no more.
    Receive { flags: i32, room: i32 },
    /// A call receives: if the owner has the urgent mark, that is passed.
    PassMark,
    /// A call has come upon this error, and has not told it: the next one is to.
    PutBack { errno: i32 },
    /// A set watches the listener for news only (EPOLLET): it is to be told of each connection that comes. How many have
    /// come, in eight bytes.
    Edges,
    /// The descriptor is about to be closed, and close(2) to wait, if it was the last, until all is acknowledged or given
    /// up. Who asks says by the end of his side that he has closed it; the owner's ends when he need not wait any more.
    Linger,
}

/// What the owner says: bytes, or an errno value.
pub type Answer = Result<Vec<u8>, Errno>;

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The family given to socket(2) was AF_INET6.
    pub inet6: bool,
    /// SOCK_DGRAM, else SOCK_STREAM.
    pub datagram: bool,
    /// It listens.
    pub listening: bool,
    /// It is connected, or was.
    pub connected: bool,
    /// An address of its own.
    pub local: Option<SocketAddrV4>,
    /// The peer it has now.
    pub remote: Option<SocketAddrV4>,
    /// One that it has given up, and that getsockname(2) tells as long as it has no other.
    pub former: Option<SocketAddrV4>,
}

/// What a socket shows to poll(2) beyond its pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The flags.
    pub flags: i16,
    /// How often there was news of them.
    pub news: u32,
    /// The pending error, as errno; 0: none.
    pub error: i32,
    /// All that makes the pair readable is the notice of it.
    pub only_notices: bool,
    /// It is not connected, and does not listen: the pair means nothing.
    pub idle: bool,
    /// Its connection is over: but for the error, if there is one, nothing changes any more.
    pub over: bool,
    /// The owner has the urgent mark, which is just before the next byte, and not in the pair any more.
    pub marked: bool,
    /// It has no room, whatever the pair says.
    pub full: bool,
}

const WORDS: usize = 16;

impl Question {
    /// Bytes that an answer has room for.
    pub const ROOM: usize = LONGEST - size_of::<i32>() - Name::LEN;

    /// Sockets that one question has room for.
    pub(super) const SOCKETS: usize = (LONGEST_QUESTION - WORDS) / EndpointId::LEN;

    /// The message.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut behind: &[u8] = &[];
        let listed: Vec<u8>;
        let (what, numbers, bytes): (u32, [i32; 3], &[u8]) = match self {
            Self::Describe => (1, [0; 3], &[]),
            Self::Get { level, name, room } => (2, [*level, *name, *room], &[]),
            Self::Set { level, name, value } => (3, [*level, *name, 0], value),
            Self::Shutdown { how } => (4, [*how, 0, 0], &[]),
            Self::Connect { address, call } => (5, [*call as i32, 0, 0], address),
            Self::Listen { backlog } => (6, [*backlog, 0, 0], &[]),
            Self::Share { endpoints } => {
                listed = endpoints.iter().flat_map(|id| id.encode()).collect();
                (8, [0; 3], &listed)
            }
            Self::Bind { address } => (9, [0; 3], address),
            Self::Count { request } => (7, [request.cast_signed(), 0, 0], &[]),
            Self::ErrorEntry { room } => (10, [*room, 0, 0], &[]),
            Self::Send {
                flags,
                head,
                payload,
            } => {
                behind = payload;
                (11, [*flags, head.len() as i32, 0], head)
            }
            Self::Give {
                flags,
                stamping,
                payload,
            } => {
                let asked = stamping.unwrap_or(0).cast_signed();
                let asks = i32::from(stamping.is_some());
                (12, [*flags, asks, asked], payload)
            }
            Self::Show => (13, [0; 3], &[]),
            Self::Open => (14, [0; 3], &[]),
            Self::Linger => (15, [0; 3], &[]),
            Self::Receive { flags, room } => (16, [*flags, *room, 0], &[]),
            Self::PutBack { errno } => (17, [*errno, 0, 0], &[]),
            Self::Edges => (18, [0; 3], &[]),
            Self::Await { news } => (19, [news.cast_signed(), 0, 0], &[]),
            Self::PassMark => (20, [0; 3], &[]),
        };
        let mut message = what.to_ne_bytes().to_vec();
        for number in numbers {
            message.extend_from_slice(&number.to_ne_bytes());
        }
        message.extend_from_slice(bytes);
        message.extend_from_slice(behind);
        message
    }

    /// Reads a message; `None`: it is none.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (words, bytes) = message.split_at_checked(WORDS)?;
        let word = |at: usize| {
            words[4 * at..]
                .first_chunk()
                .map(|four| i32::from_ne_bytes(*four))
        };
        let (a, b, c) = (word(1)?, word(2)?, word(3)?);
        Some(match word(0)? {
            1 => Self::Describe,
            2 => Self::Get {
                level: a,
                name: b,
                room: c,
            },
            3 => Self::Set {
                level: a,
                name: b,
                value: bytes.to_vec(),
            },
            4 => Self::Shutdown { how: a },
            5 => Self::Connect {
                address: bytes.to_vec(),
                call: match a {
                    0 => Connecting::First,
                    1 => Connecting::Again,
                    2 => Connecting::Waited,
                    _ => Connecting::Fast,
                },
            },
            6 => Self::Listen { backlog: a },
            7 => Self::Count {
                request: a.cast_unsigned(),
            },
            8 => {
                let (listed, rest) = bytes.as_chunks();
                let endpoints = listed.iter().map(EndpointId::decode).collect();
                rest.is_empty().then_some(Self::Share { endpoints })?
            }
            9 => Self::Bind {
                address: bytes.to_vec(),
            },
            10 => Self::ErrorEntry { room: a },
            11 => {
                let (head, payload) = bytes.split_at_checked(usize::try_from(b).ok()?)?;
                Self::Send {
                    flags: a,
                    head: head.to_vec(),
                    payload: payload.to_vec(),
                }
            }
            12 => Self::Give {
                flags: a,
                stamping: (b != 0).then_some(c.cast_unsigned()),
                payload: bytes.to_vec(),
            },
            13 => Self::Show,
            14 => Self::Open,
            15 => Self::Linger,
            16 => Self::Receive { flags: a, room: b },
            17 => Self::PutBack { errno: a },
            18 => Self::Edges,
            19 => Self::Await {
                news: a.cast_unsigned(),
            },
            20 => Self::PassMark,
            _ => return None,
        })
    }
}

/// An answer's message.
pub(super) fn encode(answer: &Answer) -> Vec<u8> {
    let (errno, bytes): (i32, &[u8]) = match answer {
        Ok(bytes) => (0, bytes),
        Err(errno) => (errno.raw_os_error(), &[]),
    };
    [&errno.to_ne_bytes(), bytes].concat()
}

/// The message of an answer that comes with another descriptor, which goes by `name`.
pub(super) fn encode_renewed(answer: &Answer, name: Name) -> Vec<u8> {
    [&name.encode()[..], &encode(answer)].concat()
}

/// Reads it back; `None`: it is none.
pub(super) fn decode_renewed(message: &[u8]) -> Option<(Answer, Name)> {
    let (name, answer) = message.split_first_chunk()?;
    Some((decode(answer)?, Name::decode(name)))
}

/// Reads an answer's message; `None`: it is none.
pub(super) fn decode(message: &[u8]) -> Option<Answer> {
    let (errno, bytes) = message.split_first_chunk()?;
    Some(match i32::from_ne_bytes(*errno) {
        0 => Ok(bytes.to_vec()),
        errno @ 1..4096 => Err(Errno::from_raw_os_error(errno)),
        _ => return None,
    })
}

impl Description {
    const LEN: usize = 22;

    /// As an answer's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let flags = [
            self.inet6,
            self.datagram,
            self.listening,
            self.connected,
            self.local.is_some(),
            self.remote.is_some(),
            self.former.is_some(),
        ];
        let bits = flags
            .iter()
            .rev()
            .fold(0, |bits, &flag| bits << 1 | u8::from(flag));
        let mut bytes = vec![bits, 0, 0, 0];
        for address in [self.local, self.remote, self.former] {
            bytes.extend_from_slice(&address.map_or([0; 4], |held| held.ip().octets()));
            bytes.extend_from_slice(&address.map_or(0, |held| held.port()).to_ne_bytes());
        }
        bytes
    }

    /// Reads an answer's bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let flag = |at: u8| bytes[0] >> at & 1 == 1;
        let address = |at: usize| {
            let ip = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            let port = u16::from_ne_bytes([bytes[at + 4], bytes[at + 5]]);
            SocketAddrV4::new(ip.into(), port)
        };
        Some(Self {
            inet6: flag(0),
            datagram: flag(1),
            listening: flag(2),
            connected: flag(3),
            local: flag(4).then(|| address(4)),
            remote: flag(5).then(|| address(10)),
            former: flag(6).then(|| address(16)),
        })
    }
}

impl Shown {
    /// As an answer's bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = self.news.to_ne_bytes().to_vec();
        bytes.extend(self.error.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        let more = [
            self.only_notices,
            self.idle,
            self.over,
            self.marked,
            self.full,
        ];
        bytes.extend(more.map(u8::from));
        bytes
    }

    /// Reads an answer's bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (news, bytes) = bytes.split_first_chunk()?;
        let (error, bytes) = bytes.split_first_chunk()?;
        let (flags, bytes) = bytes.split_first_chunk()?;
        let &[only_notices, idle, over, marked, full] = bytes else {
            return None;
        };
        Some(Self {
            news: u32::from_ne_bytes(*news),
            error: i32::from_ne_bytes(*error),
            flags: i16::from_ne_bytes(*flags),
            only_notices: only_notices != 0,
            idle: idle != 0,
            over: over != 0,
            marked: marked != 0,
            full: full != 0,
        })
    }
}
