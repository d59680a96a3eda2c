//! SEGMENT ARRIVES (RFC 9293 section 3.10.7), one file a group of states:
//!
//! - In [`closed`]: no connection (section 3.10.7.1)
//! - In [`listen`]: LISTEN (section 3.10.7.2)
//! - In [`syn_sent`]: SYN-SENT (section 3.10.7.3)
//! - In [`synchronized`]: all others, in eight steps (section 3.10.7.4); the fifth and the seventh
//!   have files of their own, [`ack`] and [`text`]
//!
//! A step gives `Break` when the segment is done with and `Continue` when the next step has it.
//! Steps change the connection and set its marks; what follows from the marks is done once, after
//! the last step, by [`super::Tcp::settle`].

mod ack;
pub(super) mod closed;
pub(super) mod listen;
mod sack;
mod syn_sent;
mod synchronized;
mod text;

use super::counters::Counters;
use super::reply::Replies;
use crate::stack::ids::SocketId;
use crate::stack::passing::Passing;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::{Flags, Repr};

/// Who takes in-order payload before it is queued, as [`Sink::deliver`](crate::stack::sink::Sink).
pub type Deliver<'a> = dyn FnMut(SocketId, &[u8], &mut Passing) -> usize + 'a;

/// What a segment meets besides its connection.
pub(super) struct Arrival<'a> {
    pub(super) now: Instant,
    pub(super) pool: &'a mut Pool,
    pub(super) deliver: &'a mut Deliver<'a>,
    pub(super) replies: &'a mut Replies,
    pub(super) counters: &'a mut Counters,
    /// Whether the listener this connection came from, if any, can take it.
    pub(super) accept_room: bool,
    /// No other stack shares the port.
    pub(super) alone: bool,
}

/// A segment: its header, and what of it is not yet done with.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) repr: &'a Repr,
    /// Sequence number of the first byte, or of the SYN.
    pub(super) seq: Seq,
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) const fn new(repr: &'a Repr, payload: &'a [u8]) -> Self {
        Self {
            repr,
            seq: repr.seq,
            payload,
        }
    }

    pub(super) const fn has(&self, flag: Flags) -> bool {
        self.repr.flags.contains(flag)
    }

    /// Whether it may be what completes a handshake.
    pub(super) const fn is_last_ack(&self) -> bool {
        self.has(Flags::ACK) && !self.has(Flags::SYN) && !self.has(Flags::RST)
    }

    /// SEG.LEN: the sequence numbers it occupies.
    pub(super) fn len(&self) -> u32 {
        let controls = u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN));
        self.payload.len() as u32 + controls
    }

    /// The sequence number after it.
    pub(super) fn end(&self) -> Seq {
        self.seq + self.len()
    }

    /// The sequence number after its text and its FIN, the SYN apart.
    pub(super) fn text_end(&self) -> Seq {
        self.seq + self.payload.len() as u32 + u32::from(self.has(Flags::FIN))
    }
}
