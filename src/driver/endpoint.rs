//! The stack's ends of the pairs.

use core::any::Any;
use core::net::SocketAddrV4;
use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::RawFd;
use rustix::net::sockopt;
use std::sync::Arc;

use super::errors::News;
use super::left::Left;
use super::urgent::Mark;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::sys::owned::OwnedFd;
use crate::sys::witness::Witnesses;

/// An endpoint's name: a place in the engine's table and how often it was reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl EndpointId {
    /// The id as the token of an epoll event; the engine's own tokens have the top bit set.
    pub(super) fn token(self) -> u64 {
        u64::from(self.generation & 0x7fff_ffff) << 32 | u64::from(self.index)
    }
}

/// What serves the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing yet: no address has decided between the kernel and the stack.
    Undecided,
    /// An active open that has not completed.
    Connecting(SocketId),
    /// A connection of the stack.
    Connection(SocketId),
    /// A listener of the stack.
    Listener(SocketId),
    /// A UDP socket of the stack.
    Datagram(SocketId),
    /// The connection has ended by an error; the program may still read what was delivered.
    Ended,
}

/// What the upper layer knows of a socket; the driver only keeps it.
pub type Record = Arc<dyn Any + Send + Sync>;

/// The stack's end of one pair.
pub struct Endpoint {
    /// The end itself; gone once the program could only see an ended connection through it.
    pub end: Option<OwnedFd>,
    /// What serves it.
    pub role: Role,
    /// The program's descriptor, as far as it is known in this process.
    pub program: RawFd,
    /// Calls that sleep in it.
    pub(super) sleepers: u32,
    /// What they keep, if the program has closed the rest.
    pub(super) kept: Option<OwnedFd>,
    /// What the epoll set of the engine watches the end for.
    pub watched: EventFlags,
    /// The pair takes no more bytes for the program until it has read some.
    pub full: bool,
    /// The pair may hold bytes the program has not read.
    pub unread: bool,
    /// Bytes passed to the pair that no call of ours has taken out.
    pub passed: usize,
    /// Where the urgent mark is.
    pub mark: Mark,
    /// Bytes in the pair, towards the stack, that mean nothing: they keep the program's
    /// descriptor from being writable.
    pub filler: usize,
    /// Bytes of the program's may be in the pair behind the filler.
    pub overflow: bool,
    /// Somebody writes to the descriptor where we cannot see it (stdio, another program).
    pub unseen_writers: bool,
    /// Signals may tell of its events (O_ASYNC).
    pub signals: bool,
    /// Forks of this process before the endpoint was made.
    pub(super) born: u32,
    /// Other processes may have it, or had it, otherwise than by a fork.
    pub(super) was_shared: bool,
    /// The program has shut its side down for reading.
    pub read_finished: bool,
    /// Whether other processes still have it can be told once it has hung up.
    pub(super) witnessed: bool,
    /// The end of the stream was passed on to the program.
    pub finished: bool,
    /// Its connection has failed, and the pair will not tell before all of it is read.
    pub failed: bool,
    /// The program's end of the stream was passed on to the stack.
    pub write_finished: bool,
    /// An error that SO_ERROR or the next call will report, once.
    pub error: Option<Error>,
    /// What its last connection has left.
    pub left: Left,
    /// Its error queue.
    pub errors: super::errors::ErrorQueue,
    /// It is a UDP socket's.
    pub datagram: bool,
    /// Its socket is AF_INET6.
    pub inet6: bool,
    /// How often there was news of what the pair does not show.
    pub news: u32,
    /// Notices in the pair, of errors.
    pub notices: usize,
    /// SO_LINGER: how long close(2) waits; zero means reset.
    pub linger: Option<Duration>,
    /// The program found nothing to receive when it looked last.
    pub found_empty: bool,
    /// Something has arrived while nobody waited, and its watcher was not told of it yet.
    pub untold: bool,
    /// Its waiter was told directly of bytes that no call of ours has taken yet.
    pub told: bool,
    /// It is on the engine's list of lagging endpoints.
    pub lags: bool,
    /// The last call of poll(2) that asks us about it.
    pub(super) polled: u64,
    /// Its one plain registration in an epoll set, if it has exactly that.
    pub watcher: Option<super::notice::Watcher>,
    /// Sets whose registrations cannot be renewed here are to be told of each connection that comes.
    pub edges: bool,
    /// Connections in its accept queue as they were told last.
    pub edges_told: u64,
    /// Connections that the kernel has accepted for it.
    pub lent: u64,
    /// It is on its way to the program, which has yet to accept it.
    pub(super) on_its_way: bool,
    /// SO_RCVLOWAT: fewer bytes than these are not worth telling of.
    pub low_water: usize,
    /// Descriptors in flight to the program (listeners).
    pub in_flight: usize,
    /// Its pair may hold a descriptor for the program: one was put there since it was found empty (listeners).
    pub offers: bool,
    /// It may have reached a program that was started beside this one.
    pub(super) set_out: bool,
    /// bind(2) has given its socket an address.
    pub bound: bool,
    /// And the port that was asked for.
    pub keeps_port: bool,
    /// The port of a connection that has ended.
    pub port: Option<super::Lease>,
    /// A copy of the end was made, for who goes on when this process is killed.
    pub(super) copied: bool,
    /// What was said with it, and of which change of the error queue.
    pub(super) copied_news: Option<(News, u32)>,
    /// Its socket has another pair by now.
    pub(super) successor: Option<super::family::Successor>,
    /// Whose it is, if a keeper has made it for somebody.
    pub(super) guest: Option<super::guests::Guest>,
    /// What the upper layer knows of the socket. A connection that another process has accepted has
    /// its listener's, until somebody asks.
    pub record: Option<Record>,
}

/// What a listener's pair carries with each descriptor it hands over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handed {
    /// The connection's endpoint; `None` for a kernel socket accepted on loopback.
    pub endpoint: Option<EndpointId>,
    /// Its addresses, here and there, for a forked child, which cannot ask the engine.
    pub addresses: Option<(SocketAddrV4, SocketAddrV4)>,
}

impl Handed {
    /// Bytes a message has.
    pub const LEN: usize = 21;

    /// The message.
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        if let Some(id) = self.endpoint {
            bytes[0] = 1;
            bytes[1..5].copy_from_slice(&id.index.to_ne_bytes());
            bytes[5..9].copy_from_slice(&id.generation.to_ne_bytes());
        }
        if let Some((local, remote)) = self.addresses {
            for (at, address) in [(9, local), (15, remote)] {
                bytes[at..at + 4].copy_from_slice(&address.ip().octets());
                bytes[at + 4..at + 6].copy_from_slice(&address.port().to_be_bytes());
            }
        }
        bytes
    }

    /// Reads a message back.
    pub fn decode(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|four| four.try_into().ok())
                .map(u32::from_ne_bytes)
        };
        let endpoint = match (bytes.first(), word(1), word(5)) {
            (Some(1), Some(index), Some(generation)) => Some(EndpointId { index, generation }),
            _ => None,
        };
        let address = |at: usize| {
            let &[a, b, c, d, high, low] = bytes.get(at..)?.first_chunk()?;
            let port = u16::from_be_bytes([high, low]);
            (port != 0).then_some(SocketAddrV4::new([a, b, c, d].into(), port))
        };
        Self {
            endpoint,
            addresses: address(9).zip(address(15)),
        }
    }
}

impl Endpoint {
    /// An endpoint for `end`, whose other end is `program`.
    pub fn new(end: OwnedFd, program: RawFd, role: Role) -> Self {
        Self {
            end: Some(end),
            role,
            program,
            sleepers: 0,
            kept: None,
            watched: EventFlags::empty(),
            full: false,
            unread: false,
            passed: 0,
            mark: Mark::None,
            filler: 0,
            overflow: false,
            unseen_writers: false,
            was_shared: false,
            signals: false,
            born: 0,
            read_finished: false,
            witnessed: false,
            finished: false,
            failed: false,
            write_finished: false,
            error: None,
            left: Left::default(),
            errors: super::errors::ErrorQueue::default(),
            datagram: false,
            inet6: false,
            news: 0,
            notices: 0,
            linger: None,
            found_empty: false,
            untold: false,
            told: false,
            lags: false,
            polled: 0,
            watcher: None,
            edges: false,
            edges_told: 0,
            lent: 0,
            on_its_way: false,
            low_water: 1,
            in_flight: 0,
            offers: true,
            set_out: false,
            bound: false,
            keeps_port: false,
            port: None,
            copied: false,
            copied_news: None,
            successor: None,
            guest: None,
            record: None,
        }
    }

    /// A bound of the program's choice for what it does not read, in bytes, counts what waits in the
    /// pair, too.
    pub fn bound_pair(&self, receive_buffer: Option<usize>) {
        if let (Some(bytes), Some(end)) = (receive_buffer, &self.end) {
            // More than was asked for does no harm but to the bound.
            let _ = sockopt::set_socket_send_buffer_size(end, bytes / 4);
        }
    }

    /// Whether another process may have the descriptor.
    pub fn is_held_elsewhere(&self) -> bool {
        self.is_open_elsewhere() || self.is_away()
    }

    /// Whether another program may have it, or this one has it no more.
    pub(super) fn is_away(&self) -> bool {
        self.set_out || self.program < 0
    }

    /// Whether its socket has an address: others than this process may count on it.
    pub(super) fn has_address(&self) -> bool {
        self.role != Role::Undecided || self.bound
    }

    /// The stack's socket behind it.
    pub fn socket(&self) -> Option<SocketId> {
        match self.role {
            Role::Connecting(id)
            | Role::Connection(id)
            | Role::Listener(id)
            | Role::Datagram(id) => Some(id),
            Role::Undecided | Role::Ended => None,
        }
    }
}

/// The table of endpoints.
#[derive(Default)]
pub struct Endpoints {
    slots: Vec<(u32, Option<Endpoint>)>,
    free: Vec<u32>,
    /// Endpoint of each socket of the stack: a table a kind, a place an index.
    by_socket: [Vec<Option<(SocketId, EndpointId)>>; 3],
    /// Forks so far.
    forks: u32,
    /// Those of whose ends copies are to be made.
    pub(super) uncopied: Vec<EndpointId>,
    /// An end was closed whose copy must be, too.
    pub(super) recalled: bool,
    /// Those that show POLLERR, or did when it was last looked.
    pub beyond: Vec<EndpointId>,
    /// Those that epoll sets are to be told of by edges.
    pub edged: Vec<EndpointId>,
    /// Of connections that other processes have: which are open still.
    pub(super) witnesses: Witnesses,
    /// Who goes on when this process is killed has these, too.
    pub(super) witnesses_copied: bool,
    /// For whom a keeper has made some of them.
    pub(super) guests: super::guests::Guests,
}

/// Generations of places that were never used begin here in a table that was restored, so that names
/// which another process has given out fit none of them.
const UNKNOWN: u32 = 1 << 30;
/// Most places that are made for the sake of one restored endpoint's name.
const MOST: usize = 1 << 20;

impl Endpoints {
    /// Whether one more has room.
    pub(super) fn make_room(&mut self) -> bool {
        let mut by_socket = self.by_socket.iter_mut();
        self.slots.try_reserve(1).is_ok() && by_socket.all(|table| table.try_reserve(1).is_ok())
    }

    /// Puts `endpoint` into the table.
    pub fn insert(&mut self, mut endpoint: Endpoint) -> EndpointId {
        endpoint.born = self.forks;
        let socket = endpoint.socket();
        let id = match self.free.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.1 = Some(endpoint);
                EndpointId {
                    index,
                    generation: slot.0,
                }
            }
            None => {
                self.slots.push((0, Some(endpoint)));
                EndpointId {
                    index: (self.slots.len() - 1) as u32,
                    generation: 0,
                }
            }
        };
        if let Some(socket) = socket {
            *self.of_socket_mut(socket) = Some((socket, id));
        }
        id
    }

    /// Puts `endpoint` in the place that it had in another process, behind all that are there. One that
    /// cannot have it is known by another name.
    pub(super) fn insert_at(&mut self, id: EndpointId, endpoint: Endpoint) -> EndpointId {
        let index = id.index as usize;
        if (self.slots.len()..MOST).contains(&index) {
            while self.slots.len() < index {
                self.free.push(self.slots.len() as u32);
                self.slots.push((UNKNOWN, None));
            }
            self.free.push(id.index);
            self.slots.push((id.generation & 0x7fff_ffff, None));
        }
        self.insert(endpoint)
    }

    /// Takes `id` out of the table.
    pub fn remove(&mut self, id: EndpointId) -> Option<Endpoint> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.0 != id.generation {
            return None;
        }
        let endpoint = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1) & 0x7fff_ffff;
        self.free.push(id.index);
        if let Some(guest) = endpoint.guest {
            self.guests.leave(guest);
        }
        if let Some(socket) = endpoint.socket() {
            *self.of_socket_mut(socket) = None;
        }
        Some(endpoint)
    }

    /// Gives `id` another role.
    pub fn set_role(&mut self, id: EndpointId, role: Role) {
        let Some(endpoint) = self.get_mut(id) else {
            return;
        };
        let before = endpoint.socket();
        endpoint.role = role;
        let after = endpoint.socket();
        let shared = endpoint.is_open_elsewhere();
        if before != after {
            if let Some(socket) = before {
                *self.of_socket_mut(socket) = None;
            }
            if let Some(socket) = after {
                *self.of_socket_mut(socket) = Some((socket, id));
                if shared {
                    self.uncopied.push(id);
                }
            }
        }
    }

    /// The endpoint, if `id` is not stale.
    pub fn get(&self, id: EndpointId) -> Option<&Endpoint> {
        let slot = self.slots.get(id.index as usize)?;
        slot.1.as_ref().filter(|_| slot.0 == id.generation)
    }

    /// The endpoint, if `id` is not stale.
    pub fn get_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        let slot = self.slots.get_mut(id.index as usize)?;
        let generation = slot.0;
        slot.1.as_mut().filter(|_| generation == id.generation)
    }

    /// The endpoint that an epoll event of `token` is about.
    pub fn of_token(&self, token: u64) -> Option<EndpointId> {
        let id = EndpointId {
            index: token as u32,
            generation: (token >> 32) as u32,
        };
        self.get(id).map(|_| id)
    }

    /// The endpoint of a socket of the stack.
    pub fn of_socket(&self, socket: SocketId) -> Option<EndpointId> {
        let entry = self.by_socket[socket.kind as usize].get(socket.index as usize)?;
        entry.filter(|(held, _)| *held == socket).map(|(_, id)| id)
    }

    fn of_socket_mut(&mut self, socket: SocketId) -> &mut Option<(SocketId, EndpointId)> {
        let table = &mut self.by_socket[socket.kind as usize];
        let index = socket.index as usize;
        if table.len() <= index {
            table.resize(index + 1, None);
        }
        &mut table[index]
    }

    /// Counts a fork; its number.
    pub(super) fn count_fork(&mut self) -> u32 {
        self.forks += 1;
        self.forks
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// All endpoints.
    pub fn ids(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.all().map(|(id, _)| id)
    }

    /// Those that are such.
    pub(super) fn such(&self, are: impl Fn(&Endpoint) -> bool) -> Vec<EndpointId> {
        let found = self.all().filter(|(_, held)| are(held));
        found.map(|(id, _)| id).collect()
    }

    fn all(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(index, (generation, held))| {
            let generation = *generation;
            Some((EndpointId { index, generation }, held.as_ref()?))
        })
    }
}
