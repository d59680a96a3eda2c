//! Whom an address on the link belongs to: the cache behind ARP (RFC 826, RFC 1122 section 2.3.2).
//!
//! ```text
//!               first use                     reply
//!    (unknown) ──────────► Incomplete ───────────────────► Reachable ◄──────┐
//!        ▲                    │ three requests, 1 s apart      │ use after  │ reply
//!        │                    ▼                                ▼ 30 s       │
//!        ├──────────────── failed                            Probing ───────┘
//!        └─────────────────────────────────────────────────────┘ three requests, 1 s apart
//! ```
//!
//! While it is being probed a neighbor's address is still used: asking must not stall a
//! connection that works (RFC 1122 section 2.3.2.1, variant of unicast poll).
//!
//! 1. The table is bounded; a new neighbor takes the place of one used least lately among a few
//!    picked at random, so strangers who make us answer cannot crowd out those we talk to.
//! 2. Frames wait only for an `Incomplete` neighbor, a bounded number of bytes each and in all.
//!    What does not fit is dropped, newest first. TCP makes no segments that would not fit.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use super::outbox::Frame;
use super::random::{Keyed, Random};
use super::time::Instant;

/// The most neighbors known at a time, as Linux's gc_thresh3.
const MAX_NEIGHBORS: usize = 1024;
/// Neighbors looked at to find one to give up for a new one.
const EVICTION_SAMPLE: usize = 8;
/// Between two requests about the same neighbor (RFC 1122 section 2.3.2.1: at most one a second).
const RETRANSMIT: Duration = Duration::from_secs(1);
/// Requests before a neighbor is given up, as Linux's mcast_solicit and ucast_solicit.
const MAX_REQUESTS: u8 = 3;
/// How long an answer is relied on, as Linux's base_reachable_time.
const REACHABLE: Duration = Duration::from_secs(30);
/// The most frames that wait for one neighbor: the fragments of the longest datagram, and more.
const MAX_WAITING: usize = 128;
/// The most bytes that wait for one neighbor, as Linux's unres_qlen_bytes.
const MAX_WAITING_BYTES: usize = 212_992;
/// The most bytes that wait for all neighbors.
const MAX_WAITING_BYTES_TOTAL: usize = 4 * 1024 * 1024;

/// A frame that waits for its neighbor's hardware address.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) frame: Frame,
    pub(crate) payload: Box<[u8]>,
}

impl Waiting {
    fn cost(&self) -> usize {
        size_of::<Self>() + self.payload.len()
    }
}

/// A request to send: broadcast, or to the one who is thought to have the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) target: Ipv4Addr,
    pub(crate) hardware: Option<[u8; 6]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete { requests: u8, next: Instant },
    Reachable { until: Instant },
    Probing { requests: u8, next: Instant },
}

#[derive(Debug)]
struct Neighbor {
    address: Ipv4Addr,
    /// Meaningless while `Incomplete`.
    hardware: [u8; 6],
    state: State,
    used: Instant,
    waiting: Vec<Waiting>,
}

impl Neighbor {
    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(Waiting::cost).sum()
    }
}

/// The neighbors.
#[derive(Debug)]
pub(crate) struct Neighbors {
    entries: Vec<Neighbor>,
    /// The place of each address in `entries`.
    places: HashMap<Ipv4Addr, usize, Keyed>,
    requests: VecDeque<Request>,
    waiting_bytes: usize,
    /// Frames that waited for neighbors given up for new ones, since it was last asked.
    evicted: u64,
    /// No timer runs out before; none: no timer runs.
    deadline: Option<Instant>,
}

impl Neighbors {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            entries: Vec::new(),
            places: HashMap::with_hasher(keyed),
            requests: VecDeque::new(),
            waiting_bytes: 0,
            evicted: 0,
            deadline: None,
        }
    }

    /// The hardware address of the neighbor at `address`. None: it was asked for, and frames to it
    /// may [wait](Self::wait).
    pub(crate) fn resolve(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: Ipv4Addr,
    ) -> Option<[u8; 6]> {
        let Some(&place) = self.places.get(&address) else {
            let state = State::Incomplete {
                requests: 1,
                next: now + RETRANSMIT,
            };
            self.insert(now, random, address, [0; 6], state);
            self.request(now, address, None);
            return None;
        };
        let neighbor = &mut self.entries[place];
        neighbor.used = now;
        match neighbor.state {
            State::Incomplete { .. } => None,
            State::Reachable { until } if now >= until => {
                neighbor.state = State::Probing {
                    requests: 1,
                    next: now + RETRANSMIT,
                };
                let hardware = neighbor.hardware;
                self.request(now, address, Some(hardware));
                Some(hardware)
            }
            State::Reachable { .. } | State::Probing { .. } => Some(neighbor.hardware),
        }
    }

    /// Keeps a frame until `address`, which [`resolve`](Self::resolve) did not know, answers. False
    /// if there is no room.
    pub(crate) fn wait(&mut self, address: Ipv4Addr, waiting: Waiting) -> bool {
        let Some(&place) = self.places.get(&address) else {
            return false;
        };
        let neighbor = &mut self.entries[place];
        let cost = waiting.cost();
        // One may be longer than all that wait.
        let first = neighbor.waiting.is_empty();
        if neighbor.waiting.len() >= MAX_WAITING
            || neighbor.waiting_bytes() + cost > MAX_WAITING_BYTES && !first
            || self.waiting_bytes + cost > MAX_WAITING_BYTES_TOTAL
        {
            return false;
        }
        neighbor.waiting.push(waiting);
        self.waiting_bytes += cost;
        true
    }

    /// The longest payload of a segment towards `address` that would not be lost here: while frames wait for its
    /// answer, what has room beside them. None: not even a packet of `mtu` bytes has.
    pub(crate) fn segment_room(&self, address: Ipv4Addr, mtu: usize) -> Option<u32> {
        let unbounded = Some(u32::MAX);
        if !self.has_waiting() {
            return unbounded;
        }
        let Some(&place) = self.places.get(&address) else {
            return unbounded;
        };
        let neighbor = &self.entries[place];
        if !matches!(neighbor.state, State::Incomplete { .. }) {
            return unbounded;
        }
        let own = MAX_WAITING_BYTES.saturating_sub(neighbor.waiting_bytes());
        let all = MAX_WAITING_BYTES_TOTAL.saturating_sub(self.waiting_bytes);
        let room = own.min(all).saturating_sub(size_of::<Waiting>());
        let fits = neighbor.waiting.len() < MAX_WAITING && room >= mtu;
        fits.then(|| u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// Takes in that `address` answered from `hardware`, or that the kernel knows so. Returns the
    /// frames that waited for it.
    pub(crate) fn confirm(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: Ipv4Addr,
        hardware: [u8; 6],
    ) -> Vec<Waiting> {
        let state = State::Reachable {
            until: now + REACHABLE,
        };
        self.set(now, random, address, hardware, state)
    }

    /// Takes in that `address` asked for us from `hardware`: it is there, but whether it hears us
    /// is not known, so it is probed when used. Returns the frames that waited for it.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: Ipv4Addr,
        hardware: [u8; 6],
    ) -> Vec<Waiting> {
        if let Some(&place) = self.places.get(&address) {
            let neighbor = &self.entries[place];
            let complete = !matches!(neighbor.state, State::Incomplete { .. });
            if complete && neighbor.hardware == hardware {
                return Vec::new();
            }
        }
        self.set(
            now,
            random,
            address,
            hardware,
            State::Reachable { until: now },
        )
    }

    /// Whether frames wait for a neighbor's answer.
    pub(crate) const fn has_waiting(&self) -> bool {
        self.waiting_bytes > 0
    }

    /// Whether `address` is in the table, answered or not.
    pub(crate) fn knows(&self, address: Ipv4Addr) -> bool {
        self.places.contains_key(&address)
    }

    fn set(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: Ipv4Addr,
        hardware: [u8; 6],
        state: State,
    ) -> Vec<Waiting> {
        let Some(&place) = self.places.get(&address) else {
            self.insert(now, random, address, hardware, state);
            return Vec::new();
        };
        let neighbor = &mut self.entries[place];
        neighbor.hardware = hardware;
        neighbor.state = state;
        let waiting = core::mem::take(&mut neighbor.waiting);
        self.waiting_bytes -= waiting.iter().map(Waiting::cost).sum::<usize>();
        waiting
    }

    fn insert(
        &mut self,
        now: Instant,
        random: &mut Random,
        address: Ipv4Addr,
        hardware: [u8; 6],
        state: State,
    ) {
        if self.entries.len() >= MAX_NEIGHBORS {
            let sample = (0..EVICTION_SAMPLE).map(|_| random.below(self.entries.len()));
            let victim = sample.min_by_key(|&place| self.entries[place].used);
            let victim = self.remove(victim.unwrap_or(0));
            self.evicted += victim.waiting.len() as u64;
        }
        self.places.insert(address, self.entries.len());
        self.entries.push(Neighbor {
            address,
            hardware,
            state,
            used: now,
            waiting: Vec::new(),
        });
    }

    fn remove(&mut self, place: usize) -> Neighbor {
        let neighbor = self.entries.swap_remove(place);
        self.places.remove(&neighbor.address);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.address, place);
        }
        self.waiting_bytes -= neighbor.waiting_bytes();
        neighbor
    }

    /// How many frames were lost to neighbors given up for new ones since this was last asked.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }

    fn request(&mut self, now: Instant, target: Ipv4Addr, hardware: Option<[u8; 6]>) {
        if self.requests.len() < MAX_NEIGHBORS {
            self.requests.push_back(Request { target, hardware });
        }
        let next = now + RETRANSMIT;
        self.deadline = Some(self.deadline.map_or(next, |deadline| deadline.min(next)));
    }

    /// The next request to send.
    pub(crate) fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// When [`receive_timeout`](Self::receive_timeout) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Asks again those who have not answered, and gives up those who were asked often enough.
    /// Returns the frames that waited for these.
    pub(crate) fn receive_timeout(&mut self, now: Instant) -> Vec<Waiting> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.deadline = None;
        let mut failed = Vec::new();
        let mut place = 0;
        while place < self.entries.len() {
            if self.is_given_up(now, place) {
                failed.append(&mut self.remove(place).waiting);
            } else {
                place += 1;
            }
        }
        failed
    }

    /// Runs the timer of the neighbor at `place`. Returns whether it ran out for the last time.
    fn is_given_up(&mut self, now: Instant, place: usize) -> bool {
        let neighbor = &mut self.entries[place];
        let (requests, next, hardware) = match &mut neighbor.state {
            State::Incomplete { requests, next } => (requests, next, None),
            State::Probing { requests, next } => (requests, next, Some(neighbor.hardware)),
            State::Reachable { .. } => return false,
        };
        if *next > now {
            let next = *next;
            self.deadline = Some(self.deadline.map_or(next, |deadline| deadline.min(next)));
            return false;
        }
        if *requests >= MAX_REQUESTS {
            return true;
        }
        *requests += 1;
        *next = now + RETRANSMIT;
        let target = neighbor.address;
        self.request(now, target, hardware);
        false
    }

    /// Forgets everything: the link went down or changed. Returns how many frames waited.
    pub(crate) fn clear(&mut self) -> usize {
        self.places.clear();
        self.requests.clear();
        self.waiting_bytes = 0;
        self.deadline = None;
        let entries = self.entries.drain(..);
        entries.map(|neighbor| neighbor.waiting.len()).sum()
    }
}
