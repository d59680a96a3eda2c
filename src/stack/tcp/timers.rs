//! Timers: a table of deadlines in each connection, and one heap of connections over them.
//!
//! A connection is in the heap at most once, at or before its earliest deadline. Deadlines that
//! move away, as the retransmission timer's does with every ACK, leave the heap alone: the entry
//! comes up early, finds nothing due and is put back. So an ACK costs O(1), and the heap never
//! holds more entries than there are connections.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::stack::time::Instant;

/// What a connection may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The acknowledgment of a SYN, data or FIN (RFC 6298).
    Retransmit,
    /// An answer to the last of what is in flight (RFC 8985 section 7).
    TailProbe,
    /// What was overtaken to arrive after all (RFC 8985 section 6.2).
    Reordering,
    /// The peer's window to open (RFC 9293 section 3.8.6.1).
    Persist,
    /// Something to carry an ACK (RFC 9293 section 3.8.6.3).
    DelayedAck,
    /// More data, held back by cork or MSG_MORE.
    Cork,
    /// A sign of life from the peer (RFC 9293 section 3.8.4).
    KeepAlive,
    /// The peer's FIN, when nobody is left to read.
    Linger,
    /// The time to send at the rate that is allowed, or a way to the peer.
    Pace,
}

impl Timer {
    pub(super) const ALL: [Self; 9] = [
        Self::Retransmit,
        Self::TailProbe,
        Self::Reordering,
        Self::Persist,
        Self::DelayedAck,
        Self::Cork,
        Self::KeepAlive,
        Self::Linger,
        Self::Pace,
    ];
}

const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// A connection's deadlines.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub(super) struct Deadlines([Instant; Timer::ALL.len()]);

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self([NEVER; Timer::ALL.len()])
    }

    pub(super) const fn arm(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = at;
    }

    pub(super) const fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = NEVER;
    }

    pub(super) const fn stop_all(&mut self) {
        *self = Self::new();
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        let at = self.0[timer as usize];
        (at != NEVER).then_some(at)
    }

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.0[timer as usize] != NEVER
    }

    /// Stops and gives a timer that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = Timer::ALL
            .into_iter()
            .find(|&t| self.0[t as usize] <= now)?;
        self.stop(due);
        Some(due)
    }

    pub(super) fn earliest(&self) -> Option<Instant> {
        let at = self.0.into_iter().min()?;
        (at != NEVER).then_some(at)
    }
}

const ABSENT: u32 = u32::MAX;

/// The heap. Entries are connections' indices in their slab.
#[derive(Default)]
pub(super) struct TimerHeap {
    heap: Vec<(Instant, u32)>,
    /// Where in the heap each index is.
    position: Vec<u32>,
}

impl TimerHeap {
    /// When the first entry comes up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.0)
    }

    /// Whether one more entry has room.
    pub(super) fn make_room(&mut self) -> bool {
        self.heap.try_reserve(1).is_ok()
    }

    /// Makes `index` come up at `at` at the latest.
    pub(super) fn arm(&mut self, index: u32, at: Instant) {
        if self.position.len() <= index as usize {
            self.position.resize(index as usize + 1, ABSENT);
        }
        let mut place = self.position[index as usize];
        if place == ABSENT {
            place = self.heap.len() as u32;
            self.heap.push((at, index));
            self.position[index as usize] = place;
        } else if self.heap[place as usize].0 <= at {
            return;
        }
        self.heap[place as usize].0 = at;
        self.sift_up(place as usize);
    }

    /// The first entry, if it has come up.
    pub(super) fn due(&self, now: Instant) -> Option<u32> {
        let (at, index) = *self.heap.first()?;
        (at <= now).then_some(index)
    }

    /// Takes out an entry that came up.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let index = self.due(now)?;
        self.remove(index);
        Some(index)
    }

    pub(super) fn remove(&mut self, index: u32) {
        let Some(&place) = self.position.get(index as usize) else {
            return;
        };
        if place == ABSENT {
            return;
        }
        self.position[index as usize] = ABSENT;
        self.heap.swap_remove(place as usize);
        if let Some(moved) = self.heap.get(place as usize) {
            self.position[moved.1 as usize] = place;
            self.sift_up(place as usize);
            self.sift_down(place as usize);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.position[self.heap[a].1 as usize] = a as u32;
        self.position[self.heap[b].1 as usize] = b as u32;
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(mut child) = self.heap.get(left).map(|_| left) else {
                break;
            };
            if let Some(right) = self.heap.get(left + 1)
                && right.0 < self.heap[left].0
            {
                child = left + 1;
            }
            if self.heap[place].0 <= self.heap[child].0 {
                break;
            }
            self.swap(place, child);
            place = child;
        }
    }
}
