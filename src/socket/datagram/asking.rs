//! Datagrams that another process's stack is asked to send.
//!
//! Most are written to the pair, which is cheap, and cannot be refused. The owner is asked to send what needs more than
//! an address, and what it may refuse: a datagram that is longer than any it has sent for this socket, whose
//! destination may be all hosts of a network or is the host itself, and one that an AF_INET6 socket may not send.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use core::sync::atomic::{AtomicU32, Ordering};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::ancillary::Asked;
use super::opened;
use super::send::send_in;
use crate::driver::{Engine, Question};
use crate::socket::address::Given;
use crate::socket::{Family, Kind, Socket, State, away, options};
use crate::stack::ip_options::IpOptions;
use crate::sys::user::Buffers;

/// A payload so long fits every path, in bytes (RFC 791: 576 with the headers).
const SURE: usize = 548;

/// Hosts, each in a place that follows from its address, that an owner has sent to: they are single ones.
static HOSTS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

/// What a process knows of what it has asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// The owner holds a part back (MSG_MORE).
    holds: bool,
    /// The longest payload it has sent.
    longest: usize,
    /// An option has changed that chooses the path, and the owner has sent nothing to the peer since.
    unrouted: bool,
}

impl Past {
    /// The owner has set an option: it may refuse what it has sent before.
    pub fn forget_lengths(&mut self) {
        self.longest = 0;
    }

    /// Whether the owner holds a part back.
    pub const fn holds(&self) -> bool {
        self.holds
    }

    /// The owner has sent it (UDP_CORK).
    pub fn forget_held(&mut self) {
        self.holds = false;
    }

    /// The owner has no path to the peer (IP_MTU) until it is asked to send something there.
    pub fn forget_path(&mut self) {
        self.unrouted = true;
    }
}

/// Has the owner give the socket a port, if it has none.
pub(super) fn bind(fd: RawFd, socket: &Socket) {
    let is_there = socket.state().local.is_some_and(|local| local.port() != 0);
    if !is_there && away::ask(fd, socket, &Question::Open).is_some() {
        away::refresh(fd, socket);
    }
}

/// Sends by asking, if that is to be asked for. `None`: it is not, or there is no answer.
pub(super) fn send(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    to: Option<Given>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    let is_needed = {
        let state = socket.state();
        is_needed(&state, data.asked(), to, flags, asked)
            || may_be_refused(socket.family(), &state, to)
    };
    if !is_needed {
        return None;
    }
    if data.asked() > usize::from(u16::MAX) {
        return Some(Err(Errno::MSGSIZE));
    }
    if let Err(fault) = data.whole() {
        let urgent = flags & libc::MSG_OOB != 0;
        return Some(Err(if urgent { Errno::OPNOTSUPP } else { fault }));
    }
    let question = Question::Send {
        flags,
        head: [&encode(to)[..], &asked.encode()].concat(),
        payload: data.runs(0).flatten().copied().collect(),
    };
    let answer = away::ask(fd, socket, &question)?;
    let mut state = socket.state();
    if asked.stamping.is_some() || state.options.stamping.stamps().any() {
        // What has left is told of behind the datagrams that wait.
        socket.set_shows_more(true);
    }
    let corks = state.options.cork;
    let past = &mut state.past;
    match &answer {
        Ok(_) => {
            past.holds = corks || flags & libc::MSG_MORE != 0;
            past.longest = past.longest.max(data.len());
            past.unrouted &= to.is_some();
            if let Some(Given::V4(to)) = to {
                place(*to.ip()).store(to.ip().to_bits(), Ordering::Relaxed);
            }
        }
        Err(_) => past.longest = 0,
    }
    Some(answer.map(|_| data.len()))
}

fn is_needed(state: &State, len: usize, to: Option<Given>, flags: i32, asked: &Asked) -> bool {
    const SAID: i32 = libc::MSG_MORE | libc::MSG_ZEROCOPY | libc::MSG_OOB;
    let options = &state.options;
    let says = flags & SAID != 0 || *asked != Asked::default();
    let set = options.cork || options.segment != 0 || options.stamping.stamps().any();
    let to_all = match to {
        Some(Given::V4(to)) => !options.broadcast && may_be_all(*to.ip()),
        _ => false,
    };
    let past = &state.past;
    let finds_path = past.unrouted && to.is_none();
    says || set || past.holds || finds_path || len > past.longest.max(SURE) || to_all
}

/// Whether one goes to the host itself, or is sent by IPv4 where an AF_INET6 socket may not do that.
fn may_be_refused(family: Family, state: &State, to: Option<Given>) -> bool {
    let local = state
        .local
        .map_or(Ipv4Addr::UNSPECIFIED, |local| *local.ip());
    let to = match to {
        Some(Given::V4(to)) => Some(to),
        Some(Given::Unspecified) | None => state.remote,
        Some(Given::V6(_) | Given::AnyV6(_)) => None,
    };
    let is_own = |ip: Ipv4Addr| ip == local || ip.is_loopback() || ip.is_unspecified();
    let to_itself = to.is_some_and(|to| is_own(*to.ip()));
    let by_ipv4 = family == Family::Inet6 && (state.options.v6_only || may_be_all(local));
    to_itself || by_ipv4
}

/// Whether the address may be that of all hosts of a network: no network is so small that its address for all ends otherwise.
fn may_be_all(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    bits & 3 == 3 && place(address).load(Ordering::Relaxed) != bits
}

fn place(address: Ipv4Addr) -> &'static AtomicU32 {
    let [a, b, c, d] = address.octets();
    &HOSTS[usize::from(a ^ b ^ c ^ d)]
}

/// Sends for another process that holds the socket.
pub(in crate::socket) fn answer(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    (flags, head, payload): (i32, &[u8], &[u8]),
) -> Result<(), Errno> {
    let (to, asked) = head.split_first_chunk().ok_or(Errno::INVAL)?;
    let to = decode(to).ok_or(Errno::INVAL)?;
    let asked = Asked::decode(asked).ok_or(Errno::INVAL)?;
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    let is_guest = engine.guest(id).is_some_and(|user| user != 0);
    if is_guest && (asked.mark.is_some() || asked.priority.is_some_and(options::takes_right)) {
        return Err(Errno::PERM);
    }
    if is_guest
        && asked
            .ip_options
            .is_some_and(|options| options.takes_right())
    {
        return Err(Errno::INVAL);
    }
    let data = Buffers::of(payload);
    send_in(engine, socket, state, (&data, to, flags), &asked).map(drop)
}

/// Gives the socket a port for another process that holds it.
pub(in crate::socket) fn answer_bind(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
) -> Result<(), Errno> {
    match socket.kind {
        Kind::Datagram => opened(engine, socket, state).map(drop),
        Kind::Stream => Err(Errno::OPNOTSUPP),
    }
}

/// Bytes of a destination: what it is, the address, the port and the scope.
const DESTINATION: usize = 1 + 16 + 2 + 4;

fn encode(to: Option<Given>) -> [u8; DESTINATION] {
    let (kind, ip, port, scope) = match to {
        None => (0, Ipv6Addr::UNSPECIFIED, 0, 0),
        Some(Given::Unspecified) => (1, Ipv6Addr::UNSPECIFIED, 0, 0),
        Some(Given::V4(to)) => (4, to.ip().to_ipv6_mapped(), to.port(), 0),
        Some(Given::AnyV6(port)) => (5, Ipv6Addr::UNSPECIFIED, port, 0),
        Some(Given::V6(to)) => (6, *to.ip(), to.port(), to.scope_id()),
    };
    let mut bytes = [kind; DESTINATION];
    bytes[1..17].copy_from_slice(&ip.octets());
    bytes[17..19].copy_from_slice(&port.to_ne_bytes());
    bytes[19..].copy_from_slice(&scope.to_ne_bytes());
    bytes
}

/// Reads a destination; `None`: it is none.
fn decode(bytes: &[u8; DESTINATION]) -> Option<Option<Given>> {
    let ip = Ipv6Addr::from(*bytes[1..].first_chunk::<16>()?);
    let port = u16::from_ne_bytes(*bytes[17..].first_chunk()?);
    let scope = u32::from_ne_bytes(*bytes[19..].first_chunk()?);
    Some(match bytes[0] {
        0 => None,
        1 => Some(Given::Unspecified),
        4 => Some(Given::V4(SocketAddrV4::new(ip.to_ipv4_mapped()?, port))),
        5 => Some(Given::AnyV6(port)),
        6 => Some(Given::V6(SocketAddrV6::new(ip, port, 0, scope))),
        _ => return None,
    })
}

impl Asked {
    /// As a question's bytes: each field behind a byte that says whether it is there.
    fn encode(&self) -> Vec<u8> {
        let four = |number: u32| number.to_ne_bytes();
        let (source6, index) = self.route6.source.unzip();
        let fields: [Option<[u8; 4]>; 11] = [
            self.ttl.map(|ttl| four(ttl.into())),
            self.tos.map(|tos| four(tos.into())),
            self.mark.map(four),
            self.priority.map(four),
            self.source.map(|source| source.octets()),
            Some(four(self.interface)),
            self.segment.map(|segment| four(segment.into())),
            self.stamping.map(four),
            self.route6.hop_limit.map(i32::to_ne_bytes),
            self.route6.traffic_class.map(i32::to_ne_bytes),
            index.map(four),
        ];
        let mut bytes = Vec::new();
        for field in fields {
            bytes.push(u8::from(field.is_some()));
            bytes.extend_from_slice(&field.unwrap_or_default());
        }
        bytes.extend_from_slice(&source6.map_or([0; 16], |source| source.octets()));
        if let Some(options) = &self.ip_options {
            bytes.push(1);
            bytes.extend_from_slice(options.as_bytes());
        }
        bytes
    }

    /// Reads them; `None`: they are none.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut field = || {
            let ([is_there, four @ ..], behind) = rest.split_first_chunk::<5>()?;
            rest = behind;
            Some((*is_there != 0).then_some(*four))
        };
        let number = |four: Option<[u8; 4]>| four.map(u32::from_ne_bytes);
        let mut asked = Self {
            ttl: number(field()?).map(|ttl| ttl as u8),
            tos: number(field()?).map(|tos| tos as u8),
            mark: number(field()?),
            priority: number(field()?),
            source: field()?.map(Ipv4Addr::from),
            interface: number(field()?)?,
            segment: number(field()?).map(|segment| segment as u16),
            stamping: number(field()?),
            ..Self::default()
        };
        asked.route6.hop_limit = field()?.map(i32::from_ne_bytes);
        asked.route6.traffic_class = field()?.map(i32::from_ne_bytes);
        let index = number(field()?);
        let (source, rest) = rest.split_first_chunk::<16>()?;
        let source = Ipv6Addr::from(*source);
        asked.route6.source = index.map(|index| (source, index));
        if let Some((_, options)) = rest.split_first() {
            asked.ip_options = Some(IpOptions::to_send(options).ok()?);
        }
        Some(asked)
    }
}
