//! TCP (RFC 9293).
//!
//! ```text
//!   receive_segment ─► table ─► arrives/ ─┐                 ┌─► poll_segment
//!   receive_timeout ─► timers ─► timeouts ┼─► Tcb + marks ─► settle ─► timers
//!   connect, send … ─► user ──────────────┘                 └─► poll_dirty
//! ```
//!
//! The folder reads like RFC 9293 section 3.10: [`user`] has the calls OPEN to ABORT, [`status`]
//! STATUS, [`arrives`] SEGMENT ARRIVES state by state, [`timeouts`] the timeouts. [`output`]
//! decides what is sent and when, [`emit`] writes it. A connection is a [`tcb::Tcb`] with its
//! halves [`snd`] and [`rcv`], its round-trip times [`rtt`], its losses [`loss`], found by [`rack`], probed
//! for by [`tail`] and taken back by [`undo`], and its window [`congestion`].
//!
//! 1. An event (segment, timeout, call, ICMP error) changes one connection and leaves marks on it.
//!    [`Tcp::settle`] runs once after each and alone keeps tables, timers and lists in step.
//! 2. A tuple is in the table if and only if a connection that is not closed, or remains in
//!    TIME-WAIT, have it.
//! 3. A connection stays in its place until nobody owns it and it is closed: so what was received
//!    before a reset can be read after it.
//! 4. No path from a segment allocates, once the tables have grown to the number of connections.
//! 5. What grows on a peer's account has a bound: half-open connections (see [`cookies`]), TIME-WAIT,
//!    ranges out of order, replies, queues.
//!
//! What it does not do: authentication (RFC 5925), ECN, multipath. COMPLIANCE.md has it RFC by RFC.

mod arrives;
mod config;
mod congestion;
mod cookies;
mod counters;
mod emit;
pub mod fast_open;
mod flight;
pub mod handshake;
mod icmp;
mod isn;
mod kept;
mod listener;
mod loss;
mod lull;
mod offered;
mod output;
mod pacing;
mod passive;
mod progress;
mod rack;
mod ranges;
mod rations;
mod rcv;
mod repair;
mod reply;
mod restore;
mod rtt;
mod saved_syn;
mod segment;
mod sendings;
mod settle;
mod sharing;
mod snd;
mod status;
mod table;
mod tail;
mod tally;
mod tcb;
mod time_wait;
mod timeouts;
mod timers;
mod timestamping;
mod undo;
mod urgent;
mod user;
mod zero_copy;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::ControlFlow;
use std::collections::{BTreeSet, VecDeque};

pub use self::arrives::Deliver;
pub use self::config::{Config, TcpOptions};
pub use self::congestion::Congestion;
pub(super) use self::cookies::Cookies;
pub use self::counters::{Counter, Counters};
pub use self::icmp::IcmpError;
pub(super) use self::isn::Secret;
pub use self::progress::Progress;
pub use self::repair::{Agreed, Places, Windows};
pub use self::restore::Restored;
pub use self::segment::{IpInfo, LONG_PAYLOAD, PathInfo, SUPER_PAYLOAD, SegmentOut};
pub use self::status::{ListenerStatus, TcpStatus};
pub use self::tcb::State;
pub use self::urgent::Urgent;
pub use self::zero_copy::ZeroCopies;

use self::arrives::{Arrival, Segment};
use self::fast_open::FastOpens;
use self::listener::Listener;
use self::output::Output;
use self::reply::Replies;
use self::saved_syn::SavedSyns;
use self::sendings::Sendings;
use self::table::{Holder, Tables, Tuple};
use self::tcb::{Owner, Tcb};
use self::time_wait::TimeWaits;
use self::timeouts::Timeout;
use self::timers::TimerHeap;
use crate::stack::ids::SocketId;
use crate::stack::layout::Tables as Areas;
use crate::stack::pool::Pool;
use crate::stack::random::Keyed;
use crate::stack::records::Records;
use crate::stack::time::Instant;
use crate::stack::wire::tcp::{Flags, Repr};

/// All connections and listeners.
pub struct Tcp {
    config: Config,
    secret: Secret,
    connections: Records<Tcb>,
    listeners: Records<Listener>,
    time_waits: TimeWaits,
    tables: Tables,
    timers: TimerHeap,
    /// Connections that may have something to send.
    output: VecDeque<u32>,
    /// Connections that had something to send and no way.
    wayless: BTreeSet<u32>,
    /// Connections whose ACK may wait for the user's answer.
    unanswered: Vec<u32>,
    dirty: VecDeque<SocketId>,
    freed: VecDeque<SocketId>,
    replies: Replies,
    cookies: &'static mut Cookies,
    saved_syns: SavedSyns,
    sendings: Sendings,
    fast_opens: FastOpens,
    counters: Counters,
    /// See [`Tcp::set_short`].
    short: bool,
}

impl Tcp {
    /// A TCP without connections, whose tables lie in `areas`.
    pub fn new(config: Config, areas: Areas) -> Self {
        *areas.secret = Secret::new(config.secret);
        *areas.cookies = Cookies::default();
        let secret = *areas.secret;
        let tables = (
            Records::create(areas.connections),
            Records::create(areas.listeners),
            TimeWaits::create(areas.time_waits),
        );
        Self::over(config, secret, areas.cookies, tables)
    }

    fn over(
        mut config: Config,
        secret: Secret,
        cookies: &'static mut Cookies,
        (connections, listeners, time_waits): (Records<Tcb>, Records<Listener>, TimeWaits),
    ) -> Self {
        let limits = &mut config.limits;
        limits.max_connections = limits.max_connections.min(connections.capacity());
        limits.max_time_wait = limits
            .max_time_wait
            .min(time_waits.capacity().saturating_sub(1));
        Self {
            config,
            secret,
            connections,
            listeners,
            time_waits,
            tables: Tables::new(Keyed::new(&config.secret)),
            timers: TimerHeap::default(),
            output: VecDeque::new(),
            wayless: BTreeSet::new(),
            unanswered: Vec::new(),
            dirty: VecDeque::new(),
            freed: VecDeque::new(),
            replies: Replies::default(),
            cookies,
            saved_syns: SavedSyns::default(),
            sendings: Sendings::default(),
            fast_opens: FastOpens::new(config.secret),
            counters: Counters::default(),
            short: false,
        }
    }

    /// There is no memory for what stays, so there are no new connections, until it is said that there is.
    pub const fn set_short(&mut self, short: bool) {
        self.short = short;
    }

    /// Whether one more connection can be had. Counts that it cannot.
    pub(super) fn has_room(&mut self) -> bool {
        let room = !self.short
            && self.connections.len() < self.config.limits.max_connections
            && self.tables.make_room()
            && self.timers.make_room();
        if !room {
            self.counters.count(Counter::TableFull);
        }
        room
    }

    /// What happened so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// SEGMENT ARRIVES (RFC 9293 section 3.10.7). `payload` may be many segments' worth, put
    /// together below. In-order payload is offered to `deliver` while the connection's receive
    /// queue is empty, and queued as far as it is not taken.
    pub fn receive_segment(
        &mut self,
        now: Instant,
        ip: &IpInfo<'_>,
        repr: &Repr,
        payload: &[u8],
        pool: &mut Pool,
        deliver: &mut Deliver<'_>,
    ) {
        self.counters.count(Counter::SegmentsIn);
        let local = SocketAddrV4::new(ip.destination, repr.destination_port);
        let remote = SocketAddrV4::new(ip.source, repr.source_port);
        if !is_unicast(*remote.ip()) || !is_unicast(*local.ip()) {
            self.counters.count(Counter::BadAddress);
            return;
        }
        let segment = Segment::new(repr, payload);
        match self.tables.holder(Tuple::new(local, remote)) {
            Some(Holder::Connection(index)) => {
                self.connection_segment_arrives(now, index, ip, segment, pool, deliver);
            }
            Some(Holder::TimeWait(index)) => {
                self.time_wait_segment_arrives(now, index, ip, &segment, pool);
            }
            None => match self.open_by_cookie(now, ip, &segment) {
                ControlFlow::Break(()) => {}
                ControlFlow::Continue(Some(index)) => {
                    self.connection_segment_arrives(now, index, ip, segment, pool, deliver);
                }
                ControlFlow::Continue(None) => {
                    self.unconnected_segment_arrives(now, ip, &segment, None, pool);
                }
            },
        }
    }

    fn connection_segment_arrives(
        &mut self,
        now: Instant,
        index: u32,
        ip: &IpInfo<'_>,
        mut segment: Segment<'_>,
        pool: &mut Pool,
        deliver: &mut Deliver<'_>,
    ) {
        let accept_room = self.has_accept_room(index);
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        if ip.ttl < tcb.options.min_ttl {
            self.counters.count(Counter::TooFar);
            return;
        }
        tcb.begin_change();
        tcb.note_handshake(ip);
        tcb.tally.count_in(segment.payload.len(), tcb.rcv.mss);
        let mut cx = Arrival {
            now,
            pool,
            deliver,
            replies: &mut self.replies,
            counters: &mut self.counters,
            accept_room,
            alone: ip.answer_unknown,
        };
        // How the steps ended does not matter here: they left their marks.
        let _ = if tcb.state == State::SynSent {
            tcb.syn_sent_segment_arrives(&mut cx, &mut segment)
        } else {
            tcb.synchronized_segment_arrives(&mut cx, &mut segment)
        };
        if tcb.fast.is_asking() && tcb.was_established {
            self.note_syn_answer(now, index, segment.repr);
        }
        self.settle(now, index, pool);
    }

    /// An ICMP error about a segment of ours. Returns whether it was believed: whether it quotes
    /// one that is in flight.
    pub fn receive_icmp_error(&mut self, now: Instant, icmp: &IcmpError, pool: &mut Pool) -> bool {
        let tuple = Tuple::new(icmp.local, icmp.remote);
        let Some(Holder::Connection(index)) = self.tables.holder(tuple) else {
            return false;
        };
        let Some(tcb) = self.connections.get_mut(index) else {
            return false;
        };
        tcb.begin_change();
        let believed = tcb.receive_icmp_error(pool, icmp);
        self.settle(now, index, pool);
        believed
    }

    /// Runs every timer that is due.
    pub fn receive_timeout(&mut self, now: Instant, pool: &mut Pool) {
        while let Some(index) = self.timers.pop_due(now) {
            if let Some(tcb) = self.connections.get_mut(index) {
                tcb.begin_change();
                tcb.run_timers(&mut Timeout {
                    now,
                    pool,
                    counters: &mut self.counters,
                });
                self.settle(now, index, pool);
            }
        }
        while let Some(index) = self.time_waits.pop_due(now, usize::MAX) {
            self.forget_time_wait(index);
        }
        self.replies.receive_timeout(now);
    }

    /// Puts connections back that come up early, since their deadlines have moved away.
    pub fn put_off_timers(&mut self, now: Instant) {
        while let Some(index) = self.timers.due(now) {
            let tcb = self.connections.get(index);
            let earliest = tcb.and_then(|tcb| tcb.deadlines.earliest());
            if earliest.is_some_and(|at| at <= now) {
                break;
            }
            self.timers.remove(index);
            if let Some(at) = earliest {
                self.timers.arm(index, at);
            }
        }
    }

    /// When [`Tcp::receive_timeout`] has something to do; may be early, never late.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.timers.next_deadline(),
            self.time_waits.next_deadline(),
            self.replies.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Fills `out` with the next segment to be sent; false if there is none. `path` tells what is
    /// known about the way to an address; `None` if there is no way, and then what would have gone
    /// there waits for a timer.
    pub fn poll_segment(
        &mut self,
        now: Instant,
        pool: &Pool,
        path: &mut dyn FnMut(Ipv4Addr) -> Option<PathInfo>,
        out: &mut SegmentOut,
    ) -> bool {
        let mut has_way = |remote| path(remote).is_some();
        if self.replies.poll(&mut has_way, out) {
            if let Some(bound) = out.repr.options.mss
                && let Some(path) = path(*out.remote.ip())
            {
                out.repr.options.mss = Some(emit::announced_mss(path.mtu, Some(bound)));
            }
            self.note_sent(out);
            return true;
        }
        while let Some(&index) = self.output.front() {
            if self.poll_connection(now, index, pool, path, out) {
                self.note_sent(out);
                return true;
            }
            self.output.pop_front();
        }
        false
    }

    fn poll_connection(
        &mut self,
        now: Instant,
        index: u32,
        pool: &Pool,
        path: &mut dyn FnMut(Ipv4Addr) -> Option<PathInfo>,
        out: &mut SegmentOut,
    ) -> bool {
        let Some(tcb) = self.connections.get_mut(index) else {
            return false;
        };
        tcb.begin_change();
        let before = tcb.retransmits;
        let sent = if let Some(path) = path(*tcb.remote.get().ip()) {
            let cx = Output {
                now,
                config: &self.config,
                fast_opens: &self.fast_opens,
                mtu: path.mtu,
                longest: path.longest,
                pool,
            };
            tcb.poll(&cx, out)
        } else {
            tcb.wait_for_way(now);
            self.wayless.insert(index);
            false
        };
        if sent {
            self.sendings.look(tcb);
        }
        tcb.marks.output_listed = sent;
        tcb.end_change();
        let again = u64::from(tcb.retransmits.wrapping_sub(before));
        self.counters.add(Counter::Retransmissions, again);
        if let Some(at) = tcb.deadlines.earliest() {
            self.timers.arm(index, at);
        }
        if tcb.marks.dirty {
            self.list_dirty(index);
        }
        sent
    }

    fn note_sent(&mut self, out: &SegmentOut) {
        self.counters.count(Counter::SegmentsOut);
        if out.repr.flags.contains(Flags::RST) {
            self.counters.count(Counter::ResetsOut);
        }
    }

    /// A socket whose outside may have changed.
    pub fn poll_dirty(&mut self) -> Option<SocketId> {
        loop {
            let id = self.dirty.pop_front()?;
            if let Some(tcb) = self.connection_mut(id) {
                tcb.marks.dirty_listed = false;
                return Some(id);
            }
            if let Some(listener) = self.listener_mut(id) {
                listener.dirty_listed = false;
                return Some(id);
            }
        }
    }

    fn connection(&self, id: SocketId) -> Option<&Tcb> {
        self.connections.get(id.index).filter(|tcb| tcb.id == id)
    }

    fn connection_mut(&mut self, id: SocketId) -> Option<&mut Tcb> {
        self.connections
            .get_mut(id.index)
            .filter(|tcb| tcb.id == id)
    }

    fn has_user(&self, id: SocketId) -> bool {
        let tcb = self.connection(id);
        tcb.is_some_and(|tcb| tcb.owner.get() == Owner::User)
    }

    fn listener(&self, id: SocketId) -> Option<&Listener> {
        self.listeners.get(id.index).filter(|l| l.id == id)
    }

    fn listener_mut(&mut self, id: SocketId) -> Option<&mut Listener> {
        self.listeners.get_mut(id.index).filter(|l| l.id == id)
    }
}

/// RFC 9293 section 3.9.2.3, MUST-57 and MUST-63: TCP is between two hosts.
fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_multicast() || address.is_broadcast() || address.is_unspecified())
}

/// Sizes in bytes of what the memory file's tables hold: connections, remains, listeners.
pub const RECORDS: [usize; 3] = [
    size_of::<Tcb>(),
    size_of::<time_wait::Remains>(),
    size_of::<Listener>(),
];
