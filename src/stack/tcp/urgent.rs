//! Urgent data on receipt (RFC 9293 section 3.8.5, RFC 6093).
//!
//! The urgent byte is the one before the urgent pointer. From the pointer's arrival until the user
//! has taken that byte, the connection's bytes are not delivered directly: they go through the
//! receive queue, whose runs end before the urgent byte and again after it, so that the user sees
//! which one it is. As Linux does, only the latest is known: an earlier one that was not taken
//! becomes a byte like any other.

use super::Tcp;
use super::rcv::Rcv;
use crate::stack::ids::SocketId;
use crate::stack::plain::Maybe;
use crate::stack::wire::seq::Seq;

impl Rcv {
    /// A segment that begins at `seq` has this urgent pointer. One that points to what was
    /// received, or not beyond the known one, is old.
    pub(super) fn note_urgent(&mut self, seq: Seq, pointer: u16) {
        let byte = seq + u32::from(pointer.max(1)) - 1;
        let newer = self.urgent.get().is_none_or(|known| byte.is_after(known));
        if newer && !self.fin_received && !byte.is_before(self.nxt) {
            self.urgent = Maybe::some(byte);
        }
    }

    /// How many queued bytes come before the urgent byte, which may not have arrived.
    pub(super) fn urgent_offset(&self) -> Option<usize> {
        let byte = self.urgent.get();
        byte.map(|byte| byte.since(self.front()) as usize)
    }

    /// The sequence number of the first byte in the queue.
    const fn front(&self) -> Seq {
        Seq(self.queue.first_position())
    }

    /// Bytes were taken from the queue: the urgent one may have been among them.
    pub(super) fn pass_urgent(&mut self) {
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
}
