//! Loss recovery (RFC 6675; RFC 6582 where the peer has no SACK; RFC 5681 section 3.1 after a
//! timeout).
//!
//! What was sent is held lost up to `lost_end`, except where the peer SACKed it. Recovery sends it
//! again from the left; `rexmit` is how far it has come:
//!
//! ```text
//!   una      rexmit          lost_end            nxt
//!    │ sent again │ lost, not yet  │ on its way, or   │
//!    │            │ sent again     │ SACKed           │
//! ```
//!
//! "Pipe" is what is thought to be on its way: everything, less what was SACKed, less what is lost
//! and not yet sent again. Before recovery begins, each segment SACKed lets a new one out, which is
//! limited transmit (RFC 3042).

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::ranges::Ranges;
use crate::stack::wire::seq::Seq;

/// RFC 6675 section 2: DupThresh.
const DUP_THRESH: u32 = 3;

/// As many are counted.
const MOST_DUP_ACKS: u16 = 1 << 15;

/// What the sender is doing about loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery, until what was sent before it is acknowledged.
    Recovery,
    /// After a timeout, likewise; the window grows as in slow start.
    Timeout,
}

#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Loss {
    pub(super) phase: Phase,
    /// The next retransmission goes out whatever the window is.
    pub(super) force: bool,
    /// Duplicate ACKs in a row, from a peer without SACK.
    dup_acks: u16,
    /// What the peer SACKed; also with no SACK, where it stays empty.
    pub(super) sacked: Ranges,
    /// Beyond it nothing was ever sent again.
    repeated_end: Seq,
    /// The phase ends when this is acknowledged.
    recovery_point: Seq,
    pub(super) rexmit: Seq,
    pub(super) lost_end: Seq,
    /// `snd.nxt` when something was last sent again: data beyond it was sent later, so when that
    /// arrives and the retransmission has not, the retransmission is lost too.
    rexmit_mark: Seq,
}

impl Loss {
    pub(super) const fn new(iss: Seq) -> Self {
        Self {
            phase: Phase::Open,
            force: false,
            dup_acks: 0,
            sacked: Ranges::new(),
            repeated_end: iss,
            recovery_point: iss,
            rexmit: iss,
            lost_end: iss,
            rexmit_mark: iss,
        }
    }

    /// Whether this can be said of what lies between `una` and `nxt`.
    pub(super) fn is_sound(&self, una: Seq, nxt: Seq) -> bool {
        let marks = [
            self.rexmit,
            self.lost_end,
            self.rexmit_mark,
            self.repeated_end,
        ];
        self.sacked.is_sound(una, nxt)
            && self.dup_acks <= MOST_DUP_ACKS
            && marks.iter().all(|mark| mark.is_within(una, nxt))
    }

    /// Bytes thought to be on their way.
    pub(super) fn pipe(&self, una: Seq, nxt: Seq, mss: u32) -> u32 {
        let flight = nxt.since(una);
        let arrived = self.sacked.total() + u32::from(self.dup_acks) * mss;
        flight.saturating_sub(arrived).saturating_sub(self.lost())
    }

    /// Bytes thought to be lost that were not sent again yet.
    pub(super) fn lost(&self) -> u32 {
        if self.phase == Phase::Open || !self.rexmit.is_before(self.lost_end) {
            return 0;
        }
        self.lost_end.since(self.rexmit) - self.sacked.covered(self.rexmit, self.lost_end)
    }

    /// Bytes sent again that were not acknowledged yet.
    pub(super) fn repeated(&self, una: Seq) -> u32 {
        if self.phase == Phase::Open || !una.is_before(self.rexmit) {
            return 0;
        }
        self.rexmit.since(una) - self.sacked.covered(una, self.rexmit)
    }

    /// Whether anything points to loss.
    pub(super) fn is_suspected(&self) -> bool {
        self.phase != Phase::Open || self.dup_acks > 0 || !self.sacked.is_empty()
    }

    /// A SACK block that lies in what is in flight; gives how much of it is news.
    pub(super) fn sack(&mut self, start: Seq, end: Seq) -> u32 {
        self.sacked.insert(start, end).unwrap_or(0)
    }

    /// How far in `[start, end)`, which has arrived, something comes late that was sent but once:
    /// the bytes from there to the end of what had been SACKed.
    pub(super) fn lateness(&self, start: Seq, end: Seq) -> Option<u32> {
        let highest = self.sacked.as_slice().last()?.1;
        let first = start.later(self.repeated_end);
        let (late, _) = self.sacked.gap(first, end.earlier(highest))?;
        Some(highest.since(late))
    }

    /// An ACK that acknowledges nothing new came from a peer without SACK.
    pub(super) fn duplicate_ack(&mut self) {
        self.dup_acks = self.dup_acks.saturating_add(1).min(MOST_DUP_ACKS);
    }

    /// RFC 6675 section 4, IsLost: where more than two segments' worth beyond it was SACKed.
    /// Gives whether the oldest unacknowledged data is lost.
    pub(super) fn find_lost(&mut self, una: Seq, mss: u32) -> bool {
        if u32::from(self.dup_acks) >= DUP_THRESH {
            return true;
        }
        let threshold = (DUP_THRESH - 1) * mss;
        match self.end_with_beyond(threshold) {
            Some(end) if end.is_after(una) => {
                self.lost_end = self.lost_end.later(end);
                true
            }
            _ => false,
        }
    }

    /// The start of the range from which on more than `count` bytes were SACKed.
    fn end_with_beyond(&self, count: u32) -> Option<Seq> {
        let mut beyond = 0;
        for range in self.sacked.as_slice().iter().rev() {
            beyond += range.1.since(range.0);
            if beyond > count {
                return Some(range.0);
            }
        }
        None
    }

    /// Enters fast recovery.
    pub(super) fn enter_recovery(&mut self, una: Seq, nxt: Seq, mss: u32) {
        self.phase = Phase::Recovery;
        self.recovery_point = nxt;
        self.rexmit = una;
        self.rexmit_mark = nxt;
        self.lost_end = self.lost_end.later(una + mss).earlier(nxt);
        self.force = true;
    }

    /// The retransmission timer ran out: everything not SACKed is lost.
    pub(super) fn enter_timeout(&mut self, una: Seq, nxt: Seq, again: bool) {
        // RFC 2018 section 8: the peer may have thrown away what it SACKed; had it kept the oldest
        // data, or answered the last timeout's retransmission, this one would not have come.
        if again || self.sacked.find(una).is_some() {
            self.sacked.clear();
        }
        self.phase = Phase::Timeout;
        self.recovery_point = nxt;
        self.dup_acks = 0;
        self.rexmit = una;
        self.rexmit_mark = nxt;
        self.lost_end = nxt;
        self.force = true;
    }

    /// Everything in flight was too big for the path and is sent again, cut smaller.
    pub(super) fn resend_all(&mut self, una: Seq, nxt: Seq) {
        if self.phase == Phase::Open {
            self.phase = Phase::Recovery;
            self.recovery_point = nxt;
        }
        self.rexmit = una;
        self.rexmit_mark = nxt;
        self.lost_end = nxt;
        self.force = true;
    }

    /// In recovery: finds retransmissions that are lost as well, and starts over from the left.
    pub(super) fn find_lost_again(&mut self, una: Seq, nxt: Seq, mss: u32) {
        let beyond = self.sacked.covered(self.rexmit_mark, nxt);
        if self.rexmit.is_after(una) && beyond > (DUP_THRESH - 1) * mss {
            self.rexmit = una;
            self.rexmit_mark = nxt;
        }
    }

    /// `una` moved forward by `acked`. Gives whether a phase of recovery ended.
    pub(super) fn acknowledged(
        &mut self,
        una: Seq,
        nxt: Seq,
        acked: u32,
        mss: u32,
        sack: bool,
    ) -> bool {
        self.sacked.remove_before(una);
        self.rexmit = self.rexmit.later(una);
        self.lost_end = self.lost_end.later(una);
        self.rexmit_mark = self.rexmit_mark.later(una);
        self.repeated_end = self.repeated_end.later(una);
        match self.phase {
            Phase::Open => {
                self.dup_acks = 0;
                self.recovery_point = una;
                false
            }
            _ if !una.is_before(self.recovery_point) => {
                self.phase = Phase::Open;
                self.dup_acks = 0;
                self.force = false;
                self.lost_end = una;
                self.rexmit = una;
                true
            }
            Phase::Recovery if !sack => {
                // RFC 6582 section 3.2: a partial acknowledgment shows the next hole.
                self.dup_acks = self
                    .dup_acks
                    .saturating_sub((acked / mss.max(1)).min(MOST_DUP_ACKS.into()) as u16);
                self.rexmit = una;
                self.lost_end = (una + mss).earlier(nxt);
                self.force = true;
                false
            }
            _ => false,
        }
    }

    /// `end` is how far something was just sent again.
    pub(super) fn retransmitted(&mut self, end: Seq, nxt: Seq) {
        self.rexmit = self.rexmit.later(end);
        self.repeated_end = self.repeated_end.later(end);
        self.rexmit_mark = nxt;
        self.force = false;
    }

    /// The next stretch to be sent again.
    pub(super) fn next_hole(&self, una: Seq, nxt: Seq) -> Option<(Seq, Seq)> {
        if self.phase == Phase::Open {
            return None;
        }
        self.sacked
            .gap(self.rexmit.later(una), self.lost_end.earlier(nxt))
    }
}
