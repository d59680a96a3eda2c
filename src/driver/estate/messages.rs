//! A will as a message, and what goes with the copy of an end.
//!
//! A will is a letter, eight bytes of the engine's id, then the settings as `NAME=value`, each ended by a zero byte.
//! What comes with it is the memory file, the packet socket, the vault's end and that of the copies'
//! queue, in this order.

use core::fmt::Write;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::control::ephemeral::Protocol;
use crate::control::settings::{Address, Loopback, Settings};
use crate::control::stand_in::Ends;
use crate::driver::endpoint::EndpointId;
use crate::driver::errors::{ErrorQueue, News};
use crate::driver::guests::Guest;
use crate::stack::error::Error;
use crate::stack::ids::{Kind, SocketId};

/// Bytes of the longest.
pub(super) const LONGEST: usize = 4096;

/// Takes a will back: there is nothing to leave.
pub(super) const REVOCATION: &[u8] = b"r";

/// Asks to be told, by the end of the connection, when those are seen to who have died so far.
pub(super) const QUESTION: &[u8] = b"?";

/// An executor has given back the ports that it can.
pub(super) const STARTED: &[u8] = b"s";

/// What a will begins with.
const FIRST: u8 = b'w';

/// What a will says besides what it leaves.
pub(super) struct Text {
    /// What other processes know the engine by.
    pub(super) engine: u64,
    /// The settings that matter to a stack that opens no connection.
    pub(super) settings: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Text {
    /// Of the engine that has these settings and drives `interface`.
    pub(super) fn of(engine: u64, settings: &Settings, interface: &str) -> Self {
        let mut texts = vec![("INTERFACE", interface.to_owned())];
        if let Address::Own(addresses) = &settings.address {
            let mut list = String::new();
            for (at, cidr) in addresses.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(list, "{comma}{}/{}", cidr.address, cidr.prefix_len);
            }
            texts.push(("ADDRESS", list));
        }
        if let Some(gateway) = settings.gateway {
            texts.push(("GATEWAY", gateway.to_string()));
        }
        if settings.loopback == Loopback::Stack {
            texts.push(("LOOPBACK", "stack".to_owned()));
        }
        if let Some(impair) = &settings.impair {
            texts.push(("IMPAIR", impair.clone()));
        }
        let named = |(name, value): (&str, String)| {
            (format!("SIDESTACK_{name}").into_bytes(), value.into_bytes())
        };
        Self {
            engine,
            settings: texts.into_iter().map(named).collect(),
        }
    }

    /// The message; `None`: it would be too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut message = vec![FIRST];
        message.extend(self.engine.to_ne_bytes());
        for (name, value) in &self.settings {
            message.extend([name.as_slice(), b"=", value, b"\0"].concat());
        }
        (message.len() <= LONGEST).then_some(message)
    }

    /// Reads a message; `None`: it is none.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (engine, rest) = message.strip_prefix(&[FIRST])?.split_first_chunk()?;
        let lines = rest
            .split(|&byte| byte == 0)
            .filter(|line| !line.is_empty());
        let pair = |line: &[u8]| {
            let at = line.iter().position(|&byte| byte == b'=')?;
            Some((line[..at].to_vec(), line[at + 1..].to_vec()))
        };
        Some(Self {
            engine: u64::from_ne_bytes(*engine),
            settings: lines.map(pair).collect::<Option<_>>()?,
        })
    }
}

/// What is said with what lies in the queue of copies.
pub(super) enum Legacy {
    /// An end of a pair.
    End(EndOf),
    /// The program's end of the pair that has taken the place of this one's.
    Program(EndpointId),
    /// The end of a fork's lifeline, with its number.
    Lifeline(u32),
    /// The file in which forked processes announce what they use.
    Announced,
    /// The packet socket that has succeeded the one that came with the will.
    Successor,
    /// The witnesses of who else has an end's other one.
    Witnesses,
    /// What stands for a connection on a port that was given back.
    StandIn(Ends),
    /// What others are connected to who have such a port.
    Name(u16),
}

/// What there is to know of an end.
pub(super) struct EndOf {
    /// The name that other processes know it by.
    pub(super) endpoint: EndpointId,
    pub(super) left: Left,
    pub(super) guest: Option<Guest>,
    /// A witness knows of its other end, by its name.
    pub(super) witnessed: bool,
    /// What others are yet to be told.
    pub(super) news: News,
    /// The upper layer's.
    pub(super) text: Vec<u8>,
    /// Its error queue.
    pub(super) queue: Vec<u8>,
}

/// What it is the end of.
#[derive(Clone, Copy)]
pub(super) enum Left {
    /// A socket that lies in the memory file.
    Socket(SocketId),
    /// One that does not: a UDP socket, or one of TCP's that has not come farther than bind(2). It was bound to this.
    Bound(Protocol, SocketAddrV4),
    /// A connection that has ended by an error, or an attempt that has failed.
    Ended(Past),
    /// One that has another pair by now, of this endpoint.
    Succeeded(EndpointId),
}

/// What a connection was that has ended.
#[derive(Clone, Copy)]
pub(super) struct Past {
    /// Its addresses, here and there.
    pub(super) ends: Ends,
    /// Whether its handshake was completed.
    pub(super) opened: bool,
}

impl EndOf {
    fn words(&self) -> [u32; Legacy::WORDS] {
        let [kind, a, b, c, d] = self.left.encode();
        let EndpointId { index, generation } = self.endpoint;
        let mut flags = 0;
        if self.guest.is_some() {
            flags |= IS_GUEST;
        }
        if self.witnessed {
            flags |= IS_WITNESSED;
        }
        let user = self.guest.map_or(0, |guest| guest.user);
        if let Some(byte) = self.news.urgent {
            flags |= IS_URGED | u32::from(byte) << URGENT_BYTE;
        }
        let error = self
            .news
            .error
            .map_or(0, |error| u32::from(error.number()) + 1);
        [kind, index, generation, a, b, c, d, flags, user, error]
    }
}

const LIFELINE: u32 = 0;
const CONNECTION: u32 = 1;
const LISTENER: u32 = 2;
const BOUND: u32 = 3;
const DATAGRAM: u32 = 4;
const SUCCESSOR: u32 = 5;
const STAND_IN: u32 = 6;
const NAME: u32 = 7;
const WITNESSES: u32 = 8;
const ENDED: u32 = 9;
const FAILED: u32 = 10;
const ANNOUNCED: u32 = 11;
const SUCCEEDED: u32 = 12;
const PROGRAM: u32 = 13;

/// What else there is of an end.
const IS_GUEST: u32 = 1;
const IS_WITNESSED: u32 = 2;
const IS_URGED: u32 = 4;
/// Where the urgent byte is in the flags.
const URGENT_BYTE: u32 = 8;

impl Left {
    /// What kind of thing it is, and four words about it.
    fn encode(self) -> [u32; 5] {
        match self {
            Self::Socket(socket) => {
                let kind = match socket.kind {
                    Kind::Listener => LISTENER,
                    _ => CONNECTION,
                };
                [kind, socket.index, socket.generation, 0, 0]
            }
            Self::Bound(protocol, local) => {
                let kind = match protocol {
                    Protocol::Tcp => BOUND,
                    Protocol::Udp => DATAGRAM,
                };
                [kind, local.ip().to_bits(), u32::from(local.port()), 0, 0]
            }
            Self::Ended(Past { ends, opened }) => {
                let [a, b, c, d] = words_of(&ends);
                [if opened { ENDED } else { FAILED }, a, b, c, d]
            }
            Self::Succeeded(EndpointId { index, generation }) => {
                [SUCCEEDED, index, generation, 0, 0]
            }
        }
    }

    fn decode([kind, first, second, third, fourth]: [u32; 5]) -> Self {
        let socket = |kind| SocketId {
            kind,
            index: first,
            generation: second,
        };
        let local = address(first, second);
        match kind {
            ENDED | FAILED => Self::Ended(Past {
                ends: (local, address(third, fourth)),
                opened: kind == ENDED,
            }),
            SUCCEEDED => Self::Succeeded(EndpointId {
                index: first,
                generation: second,
            }),
            BOUND => Self::Bound(Protocol::Tcp, local),
            DATAGRAM => Self::Bound(Protocol::Udp, local),
            LISTENER => Self::Socket(socket(Kind::Listener)),
            _ => Self::Socket(socket(Kind::Connection)),
        }
    }
}

fn words_of((local, remote): &Ends) -> [u32; 4] {
    let words = |end: &SocketAddrV4| [end.ip().to_bits(), u32::from(end.port())];
    let ([a, b], [c, d]) = (words(local), words(remote));
    [a, b, c, d]
}

fn address(ip: u32, port: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits(ip), port as u16)
}

impl Legacy {
    /// Words of what is said of each, and its bytes with the lengths of the text and of the error queue, and a cookie;
    /// numbers are in the machine's byte order.
    const WORDS: usize = 10;
    const HEAD: usize = Self::WORDS * 4 + 4 + 4 + 8;
    /// Bytes of the upper layer's text, at most.
    const TEXT: usize = 1024;
    /// Bytes of the longest.
    pub(super) const LONGEST: usize = Self::HEAD + Self::TEXT + ErrorQueue::LONGEST;

    /// Whether it is of a UDP socket.
    pub(super) fn is_of_datagrams(&self) -> bool {
        matches!(self, Self::End(end) if matches!(end.left, Left::Bound(Protocol::Udp, _)))
    }

    /// As part of a message. A text that is too long is left out.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut words = [0; Self::WORDS];
        let (mut cookie, mut text, mut queue) = (0, &[][..], &[][..]);
        match self {
            Self::Name(port) => words[..2].copy_from_slice(&[NAME, u32::from(*port)]),
            Self::Lifeline(number) => words[..2].copy_from_slice(&[LIFELINE, *number]),
            Self::Announced => words[0] = ANNOUNCED,
            Self::Program(EndpointId { index, generation }) => {
                words[..3].copy_from_slice(&[PROGRAM, *index, *generation]);
            }
            Self::Successor => words[0] = SUCCESSOR,
            Self::Witnesses => words[0] = WITNESSES,
            Self::StandIn(ends) => {
                words[0] = STAND_IN;
                words[1..5].copy_from_slice(&words_of(ends));
            }
            Self::End(end) => {
                words = end.words();
                cookie = end.guest.map_or(0, |guest| guest.cookie);
                if end.text.len() <= Self::TEXT {
                    text = &end.text;
                }
                queue = &end.queue;
            }
        }
        let mut bytes = words.map(u32::to_ne_bytes).concat();
        bytes.extend((text.len() as u32).to_ne_bytes());
        bytes.extend((queue.len() as u32).to_ne_bytes());
        bytes.extend(cookie.to_ne_bytes());
        bytes.extend(text);
        bytes.extend(queue);
        bytes
    }

    /// Reads the first of several, which is taken off. `None`: it is none.
    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(Self::HEAD)?;
        let (words, cookie) = head.split_last_chunk()?;
        let mut words = words.chunks_exact(4).map(|word| match *word {
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
            _ => 0,
        });
        let mut next = || words.next().unwrap_or(0);
        let (kind, index, generation) = (next(), next(), next());
        let (first, second) = (next(), next());
        let left = Left::decode([kind, first, second, next(), next()]);
        let (flags, user, error) = (next(), next(), next());
        let (text_len, queue_len) = (next(), next());
        let (text, rest) = rest.split_at_checked(text_len as usize)?;
        let (queue, rest) = rest.split_at_checked(queue_len as usize)?;
        *bytes = rest;
        match kind {
            LIFELINE => return Some(Self::Lifeline(index)),
            ANNOUNCED => return Some(Self::Announced),
            PROGRAM => return Some(Self::Program(EndpointId { index, generation })),
            SUCCESSOR => return Some(Self::Successor),
            WITNESSES => return Some(Self::Witnesses),
            NAME => return Some(Self::Name(index as u16)),
            STAND_IN => {
                let ends = (address(index, generation), address(first, second));
                return Some(Self::StandIn(ends));
            }
            _ => {}
        }
        let cookie = u64::from_ne_bytes(*cookie);
        Some(Self::End(EndOf {
            endpoint: EndpointId { index, generation },
            left,
            guest: (flags & IS_GUEST != 0).then_some(Guest {
                user,
                cookie,
                low_ports: false,
            }),
            witnessed: flags & IS_WITNESSED != 0,
            news: News {
                error: error
                    .checked_sub(1)
                    .map(|error| Error::from_number(error as u8)),
                urgent: (flags & IS_URGED != 0).then_some((flags >> URGENT_BYTE) as u8),
            },
            text: text.to_vec(),
            queue: queue.to_vec(),
        }))
    }
}
