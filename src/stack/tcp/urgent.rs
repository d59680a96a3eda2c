//! Urgent data on receipt (RFC 9293 section 3.8.5, RFC 6093).
//!
//! The urgent byte is the one before the urgent pointer. From the pointer's arrival until the user
//! has taken that byte, the connection's bytes are not delivered directly: they go through the
//! receive queue, whose runs end before the urgent byte and again after it, so that the user sees
//! which one it is. As Linux does, only the latest is known: an earlier one that was not taken
//! becomes a byte like any other. (So the user is told of those it stands at: who does not read in line loses them.)

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::Tcp;
use super::rcv::Rcv;
use crate::stack::ids::SocketId;
use crate::stack::plain::Maybe;
use crate::stack::pool::Pool;
use crate::stack::wire::seq::Seq;

/// What has become of the urgent byte that was announced last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub(super) enum Urgency {
    /// It is to come, or waits in the queue.
    Ahead,
    /// The user has received it by itself: its place in the queue is left.
    Taken,
    /// It came with a segment that was answered by a reset: nobody gets it.
    Lost,
}

/// An urgent byte that the user has not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// There is none.
    None,
    /// It has yet to come.
    Announced,
    /// It waits in the queue.
    Here(u8),
}

impl Rcv {
    /// A segment that begins at `seq` has this urgent pointer. One that points to what was
    /// received, or not beyond the known one, is old.
    pub(super) fn note_urgent(&mut self, seq: Seq, pointer: u16) {
        let byte = seq + u32::from(pointer.max(1)) - 1;
        let newer = self.urgent.get().is_none_or(|known| byte.is_after(known));
        if newer && !self.fin_received && !byte.is_before(self.nxt) {
            self.overtake_urgent();
            self.urgent = Maybe::some(byte);
            self.urgency = Urgency::Ahead;
        }
    }

    /// If the user stands at the urgent byte, it stays one.
    fn overtake_urgent(&mut self) {
        let offset = usize::from(self.overtaken);
        if self.last_offset() == Some(offset) && self.queue.len() > offset {
            self.overtaken = self.overtaken.saturating_add(1);
        }
    }

    /// How many queued bytes come before an urgent byte, which may not have arrived.
    pub(super) fn urgent_offset(&self) -> Option<usize> {
        match self.overtaken {
            0 => self.last_offset(),
            _ => Some(0),
        }
    }

    /// The same of the latest.
    fn last_offset(&self) -> Option<usize> {
        let byte = self.urgent.get();
        byte.map(|byte| byte.since(self.front()) as usize)
    }

    /// A segment's bytes, from `seq` to `end`, are answered by a reset.
    pub(super) fn lose_urgent(&mut self, seq: Seq, end: Seq) {
        let byte = self.urgent.get();
        if byte.is_some_and(|byte| byte.is_within(seq, end - 1)) {
            self.urgency = Urgency::Lost;
        }
    }

    /// The sequence number of the first byte in the queue.
    const fn front(&self) -> Seq {
        Seq(self.queue.first_position())
    }

    /// `count` bytes were taken from the queue: the urgent one may have been among them.
    pub(super) fn pass_urgent(&mut self, count: usize) {
        self.overtaken = (usize::from(self.overtaken)).saturating_sub(count) as u8;
        let front = self.front();
        if self.urgent.get().is_some_and(|byte| byte.is_before(front)) {
            self.urgent = Maybe::NONE;
        }
    }

    /// How much of a run at the queue's front lies on the near side of where it must end.
    pub(super) fn run_to_urgent(&self, run: usize) -> usize {
        match self.urgent_offset() {
            None => run,
            Some(0) => run.min(1),
            Some(offset) => run.min(offset),
        }
    }
}

impl Tcp {
    /// How many bytes come before the urgent one, if there is one that the user has not taken.
    pub fn urgent_offset(&self, id: SocketId) -> Option<usize> {
        self.connection(id)?.rcv.urgent_offset()
    }

    /// The urgent byte that the queue has, or is to have.
    pub fn urgent(&self, id: SocketId, pool: &Pool) -> Urgent {
        let rcv = self.connection(id).map(|tcb| &tcb.rcv);
        let Some(rcv) = rcv.filter(|rcv| rcv.urgency == Urgency::Ahead) else {
            return Urgent::None;
        };
        let mut byte = [0];
        match rcv.last_offset() {
            None => Urgent::None,
            Some(offset) if rcv.queue.peek(pool, offset, &mut byte) == 1 => Urgent::Here(byte[0]),
            Some(_) => Urgent::Announced,
        }
    }

    /// The user has received that byte, whose place in the queue is left.
    pub fn take_urgent(&mut self, id: SocketId) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.rcv.urgency = Urgency::Taken;
        }
    }

    /// Whether it came with what was answered by a reset.
    pub fn has_lost_urgent(&self, id: SocketId) -> bool {
        let connection = self.connection(id);
        connection.is_some_and(|tcb| tcb.rcv.urgency == Urgency::Lost)
    }
}
