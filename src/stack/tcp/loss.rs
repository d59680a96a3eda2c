//! Loss recovery: what of what is in flight is lost, and is sent again from the left.
//!
//! With SACK (RFC 2018) loss is found by time ([`super::rack`], RFC 8985), without by three duplicate ACKs (RFC 6582),
//! and in either case by the retransmission timer (RFC 5681 section 3.1).
//!
//! "Pipe" is what is thought to be on its way (RFC 6675): everything, less what was SACKed, less what is lost and not
//! yet sent again. Before recovery begins, each segment SACKed lets a new one out, which is limited transmit (RFC 3042).

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::flight::{Flight, Stretch};
use super::rack::{Rack, Sight};
use super::ranges::Ranges;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// RFC 6675 section 2, RFC 5681 section 3.2: so many duplicates are a sign of loss.
pub(super) const DUP_THRESH: u32 = 3;

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
    _unused: [u8; 4],
    /// When what is in flight was sent.
    pub(super) flight: Flight,
    pub(super) rack: Rack,
}

impl Loss {
    /// Nothing was lost of what will be sent from `first` on.
    pub(super) const fn new(first: Seq) -> Self {
        Self {
            phase: Phase::Open,
            force: false,
            dup_acks: 0,
            sacked: Ranges::new(),
            repeated_end: first,
            recovery_point: first,
            _unused: [0; 4],
            flight: Flight::new(first),
            rack: Rack::new(first),
        }
    }

    /// Whether this can be said of what lies between `una` and `nxt`.
    pub(super) fn is_sound(&self, una: Seq, nxt: Seq, now: Instant) -> bool {
        self.sacked.is_sound(una, nxt)
            && self.flight.is_sound(una, nxt, now)
            && self.dup_acks <= MOST_DUP_ACKS
            && self.repeated_end.is_within(una, nxt)
    }

    /// Bytes thought to be on their way.
    pub(super) fn pipe(&self, una: Seq, nxt: Seq, mss: u32) -> u32 {
        let flight = nxt.since(una);
        let arrived = self.arrived_beyond(mss);
        flight.saturating_sub(arrived).saturating_sub(self.lost())
    }

    /// Bytes that have arrived beyond what is acknowledged.
    pub(super) fn arrived_beyond(&self, mss: u32) -> u32 {
        self.sacked.total() + u32::from(self.dup_acks) * mss
    }

    /// Bytes thought to be lost that were not sent again yet.
    pub(super) fn lost(&self) -> u32 {
        if self.phase == Phase::Open {
            return 0;
        }
        self.flight.missing(&self.sacked, |stretch| stretch.lost)
    }

    /// Bytes sent again that were not acknowledged yet.
    pub(super) fn repeated(&self) -> u32 {
        let on_its_way = |stretch: &Stretch| stretch.repeated && !stretch.lost;
        self.flight.missing(&self.sacked, on_its_way)
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

    /// Without SACK: finds the oldest segment lost, once, after three duplicate ACKs. Gives whether it did.
    pub(super) fn find_lost_by_duplicates(&mut self, una: Seq, nxt: Seq, mss: u32) -> bool {
        let found = self.phase == Phase::Open && u32::from(self.dup_acks) >= DUP_THRESH;
        if found {
            self.flight.lose(una, (una + mss).earlier(nxt));
        }
        found
    }

    /// Enters fast recovery.
    pub(super) fn enter_recovery(&mut self, nxt: Seq) {
        self.phase = Phase::Recovery;
        self.recovery_point = nxt;
        self.force = true;
    }

    /// The retransmission timer ran out, for the first time or `again`.
    pub(super) fn enter_timeout(&mut self, una: Seq, nxt: Seq, again: bool, sight: &Sight) {
        // RFC 2018 section 8: the peer may have thrown away what it SACKed; had it kept the oldest
        // data, or answered the last timeout's retransmission, this one would not have come.
        if again || self.sacked.find(una).is_some() {
            self.sacked.clear();
        }
        self.phase = Phase::Timeout;
        self.recovery_point = nxt;
        self.dup_acks = 0;
        self.lose_overdue(una, nxt, sight);
        self.force = true;
    }

    /// It is not known what became of what is in flight: all of it is sent again, as after a timeout.
    pub(super) fn lose_all(&mut self, una: Seq, nxt: Seq, now: Instant) {
        self.sacked.clear();
        self.flight.forget_times(una, nxt, now);
        self.phase = Phase::Timeout;
        self.recovery_point = nxt;
        self.flight.lose(una, nxt);
        self.force = true;
    }

    /// Everything in flight was too big for the path and is sent again, cut smaller.
    pub(super) fn resend_all(&mut self, una: Seq, nxt: Seq) {
        if self.phase == Phase::Open {
            self.phase = Phase::Recovery;
            self.recovery_point = nxt;
        }
        self.flight.lose(una, nxt);
        self.force = true;
    }

    /// Nothing is held lost any more.
    pub(super) fn end_phase(&mut self) {
        self.flight.lose_nothing();
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.force = false;
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
        self.flight.acknowledged(una);
        self.rack.acknowledged(una);
        self.repeated_end = self.repeated_end.later(una);
        match self.phase {
            Phase::Open => {
                self.dup_acks = 0;
                self.recovery_point = una;
                false
            }
            _ if !una.is_before(self.recovery_point) => {
                self.end_phase();
                true
            }
            Phase::Recovery if !sack => {
                // RFC 6582 section 3.2: a partial acknowledgment shows the next hole.
                self.dup_acks = self
                    .dup_acks
                    .saturating_sub((acked / mss.max(1)).min(MOST_DUP_ACKS.into()) as u16);
                self.flight.lose(una, (una + mss).earlier(nxt));
                self.force = true;
                false
            }
            _ => false,
        }
    }

    /// `[start, end)` was just sent again.
    pub(super) fn retransmitted(&mut self, start: Seq, end: Seq, now: Instant, together: Duration) {
        self.flight.sent_again(start, end, now, together);
        self.repeated_end = self.repeated_end.later(end);
        self.force = false;
    }

    /// The next stretch to be sent again.
    pub(super) fn next_hole(&self) -> Option<(Seq, Seq)> {
        if self.phase == Phase::Open {
            return None;
        }
        let lost = self.flight.iter().filter(|(_, stretch)| stretch.lost);
        let mut holes = lost.filter_map(|(start, stretch)| self.sacked.gap(start, stretch.end));
        holes.next()
    }
}
