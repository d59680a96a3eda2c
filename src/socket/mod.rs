//! What the program sees: descriptors, addresses, options, blocking, errors.
//!
//! ```text
//!   descriptor ──► table ──► Socket ──► endpoint (driver) ──► stack
//!        └───────── or no entry: the kernel's, passed through untouched
//! ```
//!
//! A socket starts undecided: its descriptor is one end of a pair, and nothing is known yet but
//! options. Its first address decides. If the stack serves it, it goes on over the pair. If the
//! kernel does, a real kernel socket takes the descriptor's place and the entry goes.
//!
//! A call gives `None`, or [`bind::Rest::Kernel`], where the descriptor itself is to be asked: it
//! is the kernel's by now, or another process serves it.
//!
//! 1. The table's entry is a help, not the truth: the descriptor may be closed or replaced where
//!    we cannot see it. Whatever is done with a stale entry must be harmless.
//! 2. A socket's state is behind its own lock, taken after the engine's, never before it.
//! 3. In a forked child, from its first call on any ([`inherited`]), and where an heir serves, the entries stay, without
//!    endpoint: the descriptors work by themselves, and their owner is asked for the rest ([`away`], [`answers`]).
//!    So it is with descriptors inherited or received from elsewhere. What the state remembers then
//!    is what was true when it was asked last.
//! 4. A process that a keeper serves has no engine: its fresh sockets are the kernel's ([`served`]),
//!    those with an address the keeper's ([`guests`]), and so as in 3.

mod abroad;
pub mod accept;
pub mod address;
mod answers;
pub mod away;
mod beyond;
pub mod bind;
mod completion;
pub mod connect;
mod connecting;
pub mod create;
pub mod datagram;
mod edges;
mod entries;
pub mod errno;
pub mod error_queue;
pub mod guests;
pub mod inherited;
mod legacy;
pub mod lifecycle;
mod lingering;
pub mod options;
pub mod pages;
pub mod queues;
pub mod readiness;
pub mod receive;
mod receiving;
pub mod repair;
pub mod report;
mod room;
pub mod send;
mod sending;
pub mod served;
pub mod sets;
mod sleeper;
pub mod table;
pub mod urgent;
pub mod waiting;
mod watched;
mod way;

use crate::sys::lock::{self, Mutex, MutexGuard};
use crate::sys::raw;
use core::net::SocketAddrV4;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::driver::{EndpointId, Lease, Name};
use options::Options;

/// The address family the program asked for; the stack itself speaks IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AF_INET.
    Inet,
    /// AF_INET6: IPv4 peers appear as mapped addresses (RFC 4291 section 2.5.5.2).
    Inet6,
}

/// The kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SOCK_STREAM: TCP.
    Stream,
    /// SOCK_DGRAM: UDP.
    Datagram,
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Fresh or bound.
    Idle,
    /// After listen(2).
    Listening,
    /// An active open is under way.
    Connecting,
    /// Connected (or was).
    Connected,
    /// Shut down after an attempt to connect has failed: as on Linux, good for AF_UNSPEC only.
    Disconnecting,
}

/// A socket of the program's that the kernel does not serve (yet).
pub struct Socket {
    /// As given to socket(2).
    pub kind: Kind,
    /// It is AF_INET6, and has not become AF_INET (IPV6_ADDRFORM).
    inet6: AtomicBool,
    /// O_NONBLOCK, as last set where we could see it.
    nonblocking: AtomicBool,
    /// Its descriptors have the name by which other processes know it.
    named: AtomicBool,
    /// It is another process's, and its owner has said that nothing changes about it any more.
    over: AtomicBool,
    /// It is another process's, and its owner may show what the pair does not, any more or yet.
    shows_more: AtomicBool,
    /// When the datagram that was received last arrived, in nanoseconds since 1970; 0: none was.
    arrival: AtomicU64,
    /// Numbers that the table has of it.
    numbers: AtomicU32,
    state: Mutex<State>,
}

/// What changes about a socket.
pub struct State {
    /// The engine's side; `None` if it is in another process (invariant 3).
    pub endpoint: Option<EndpointId>,
    /// Whom to ask then.
    pub away: Option<Name>,
    /// It was made by its owner for this process, so that it is no fresh one, whatever it comes to.
    pub made_away: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Bound or chosen address.
    pub local: Option<SocketAddrV4>,
    /// What of it the program chose by bind(2): the address unless unspecified, the port unless 0.
    pub bound: Option<SocketAddrV4>,
    /// What getsockname(2) says while `local` is nothing: a port that was given up is still told, as on
    /// Linux.
    pub former: Option<SocketAddrV4>,
    /// Something has come for a connection, or an attempt, that was before.
    pub has_heard: bool,
    /// Peer, once there is one.
    pub remote: Option<SocketAddrV4>,
    /// The port, while no connection or listener of the stack holds it.
    pub lease: Option<Lease>,
    /// Everything set by setsockopt(2).
    pub options: Options,
    /// A listener's options as they were when connections came that wait to be accepted, the oldest first.
    pub earlier: VecDeque<Options>,
    /// A connection was accepted from a listener of another process's since none was found there.
    pub took: bool,
    /// It was shut down for reading here before its first address, which counts where another process has it.
    pub reads_no_more: bool,
    /// The same for writing, or a datagram socket at any time.
    pub writes_no_more: bool,
    /// A completed non-blocking connect(2) was not yet confirmed by a second call.
    pub connect_unconfirmed: bool,
    /// connect(2) has begun, and the pair was not seen writable since: where another process's stack serves it, nothing may be
    /// written to it.
    pub opening: bool,
    /// Its owner has said that the send queue is full, and the pair was not seen writable since.
    pub full: bool,
    /// Something was written to it that its owner may not have taken yet, and of which sets are told nothing.
    pub written: bool,
    /// Its owner was asked to tell of what a message sends, and has an error queue then.
    pub asked_for_times: bool,
    /// How often the connection was given up by connect(2) with AF_UNSPEC.
    pub disconnects: u32,
    /// What datagrams another process's stack was asked to send.
    pub past: datagram::Past,
    /// The part of a datagram that UDP_CORK or MSG_MORE holds back.
    pub held: Option<Box<datagram::Held>>,
    /// Where datagrams go that name nobody: to the peer, or where one was held back for since. (Linux notes both in one place.)
    pub flow: Option<SocketAddrV4>,
    /// What is sent next finds the path anew: an option has changed that chooses it. So many segments a connection had sent
    /// before.
    pub unrouted: Option<u32>,
    /// Epoll registrations, kept while the descriptor may have to be replaced.
    pub registrations: Vec<Registration>,
}

/// One epoll_ctl(2) ADD.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The epoll descriptor.
    pub set: RawFd,
    /// The number the socket was registered under.
    pub fd: RawFd,
    /// That is closed, and may be somebody else's by now; the socket has others.
    pub closed: bool,
    /// Events asked for.
    pub events: u32,
    /// The program's token.
    pub data: u64,
    /// Which news of the endpoint's its waiter was told last.
    pub told: Option<u32>,
    /// How many connections of a listener it was told of, if it is told of news only.
    pub connections: Option<u64>,
    /// It was told that another process's connection has room, of which no call has found none since, and what was shut then.
    pub room: Option<i16>,
}

impl Registration {
    /// A number of its socket's: the one it was registered under, if that is its own still.
    fn number(&self, socket: &Socket) -> Option<RawFd> {
        match !self.closed && table::holds(self.fd, socket) {
            true => Some(self.fd),
            false => table::number_of(socket),
        }
    }

    /// Arms it anew, for these events.
    fn renew(&self, events: u32) {
        if !self.closed {
            // The set or the number may be gone by now, and one that is exclusive cannot be renewed.
            let _ = raw::epoll_renew(self.set, self.fd, events, self.data);
        }
    }

    /// Whether its waiter was told, and is not to be again.
    fn is_told(&self) -> bool {
        self.told.is_some() && self.events & (libc::EPOLLET | libc::EPOLLONESHOT) as u32 != 0
    }
}

impl State {
    /// connect(2) with AF_UNSPEC gives the connection up.
    fn note_disconnect(&mut self) {
        self.disconnects = self.disconnects.wrapping_add(1);
        self.options.leave_connection();
    }

    /// What getsockname(2) says.
    pub fn name(&self) -> Option<SocketAddrV4> {
        let held = self.local.filter(|local| local.port() != 0);
        held.or(self.former).or(self.local)
    }

    /// What a connection takes over from its listener: as on Linux, what was set when it came. Those that came
    /// before it are accepted by now.
    fn inheritance(&mut self, edition: u16) -> Options {
        let is_older = |had: &Options| had.edition != edition;
        let past = self.earlier.iter().take_while(|had| is_older(had)).count();
        self.earlier.drain(..past);
        self.earlier.front().unwrap_or(&self.options).inherited()
    }

    /// Whether nobody serves it yet: it has no endpoint here, and no address anywhere.
    pub(super) fn is_fresh(&self) -> bool {
        self.endpoint.is_none()
            && !self.made_away
            && self.stage == Stage::Idle
            && self.local.is_none()
    }
}

impl Socket {
    /// A socket with nothing but its endpoint, if it is this process's stack's.
    pub fn new(
        family: Family,
        kind: Kind,
        nonblocking: bool,
        endpoint: Option<EndpointId>,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            inet6: AtomicBool::new(family == Family::Inet6),
            nonblocking: AtomicBool::new(nonblocking),
            named: AtomicBool::new(false),
            over: AtomicBool::new(false),
            shows_more: AtomicBool::new(false),
            arrival: AtomicU64::new(0),
            numbers: AtomicU32::new(0),
            state: Mutex::new(State {
                endpoint,
                away: None,
                made_away: false,
                stage: Stage::Idle,
                local: None,
                bound: None,
                former: None,
                has_heard: false,
                remote: None,
                lease: None,
                options: Options::new(family, kind),
                earlier: VecDeque::new(),
                took: false,
                reads_no_more: false,
                writes_no_more: false,
                connect_unconfirmed: false,
                opening: false,
                full: false,
                written: false,
                asked_for_times: false,
                disconnects: 0,
                past: datagram::Past::default(),
                held: None,
                flow: None,
                unrouted: None,
                registrations: Vec::new(),
            }),
        })
    }

    /// The state, locked (invariant 2).
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Makes the state accessible again in a forked child, whoever had it at the fork.
    ///
    /// # Safety
    /// No thread of this process has got the state.
    pub unsafe fn free_state(&self) {
        // SAFETY: as the caller says.
        unsafe { lock::free(&self.state) };
    }

    /// As given to socket(2), unless it has become AF_INET since.
    pub fn family(&self) -> Family {
        match self.inet6.load(Ordering::Relaxed) {
            true => Family::Inet6,
            false => Family::Inet,
        }
    }

    /// An AF_INET6 socket becomes one of AF_INET, where it is served or known of.
    fn become_inet(&self, state: &mut State) {
        self.inet6.store(false, Ordering::Relaxed);
        state.options.become_inet();
    }

    /// O_NONBLOCK, as last set where we could see it.
    pub fn nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    /// Whether it neither listens nor has begun to connect.
    pub fn is_idle(&self) -> bool {
        self.state().stage == Stage::Idle
    }

    /// Whether nothing changes about it any more, as its owner has said.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// When the last datagram that was received arrived, in nanoseconds since 1970 (SIOCGSTAMP).
    /// ENOENT: none was.
    pub fn last_arrival(&self) -> Result<u64, Errno> {
        match self.arrival.load(Ordering::Relaxed) {
            0 => Err(Errno::NOENT),
            at => Ok(at),
        }
    }

    /// Notes whether anything can change about it.
    fn set_over(&self, over: bool) {
        self.over.store(over, Ordering::Relaxed);
    }

    /// Whether its owner may show what the pair does not.
    fn shows_more(&self) -> bool {
        self.shows_more.load(Ordering::Relaxed)
    }

    /// Notes whether its owner may show what the pair does not.
    fn set_shows_more(&self, more: bool) {
        self.shows_more.store(more, Ordering::Relaxed);
    }

    /// Notes a change of O_NONBLOCK.
    pub fn set_nonblocking(&self, on: bool) {
        self.nonblocking.store(on, Ordering::Relaxed);
    }
}
