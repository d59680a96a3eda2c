//! RACK (RFC 8985 section 6): what was sent well before something that has arrived, and has not arrived itself, is lost.
//! So are retransmissions. How much before depends on whether the path is known to change the order.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::loss::{DUP_THRESH, Loss, Phase};
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// RFC 8985 section 6.2 step 4: for so many recoveries the window stays as wide as duplicates have made it.
const PERSISTENCE: u8 = 16;
/// Timestamps count milliseconds; nor is a timer worth it for less.
const TICK: Duration = Duration::from_millis(1);
/// Nothing has arrived yet.
const UNKNOWN: u64 = u64::MAX;

/// What arrived that was sent last, and how patient to be.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Rack {
    /// When it was sent.
    sent_at: Instant,
    /// How long it was on its way and back, in nanoseconds, or [`UNKNOWN`].
    rtt: u64,
    /// Its end.
    end: Seq,
    /// Duplicates the peer reports widen the window once a round trip: when this is acknowledged.
    widened: Seq,
    /// The window in quarters of the smallest round-trip time, less one.
    width: u8,
    /// For how many recoveries more it stays so wide.
    persistence: u8,
    _unused: [u8; 6],
}

/// What loss is looked for with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) now: Instant,
    pub(super) mss: u32,
    /// The smallest round-trip time, and the smoothed one.
    pub(super) least: Duration,
    pub(super) smoothed: Duration,
    /// The path is known to change the order.
    pub(super) reordered: bool,
    /// How old the timestamp is that the segment echoes.
    pub(super) echoed: Option<Duration>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Something is lost that was not known to be.
    pub(super) lost: bool,
    /// Something may be by then.
    pub(super) suspected_until: Option<Instant>,
}

impl Rack {
    pub(super) const fn new(first: Seq) -> Self {
        Self {
            sent_at: Instant::from_nanos(0),
            rtt: UNKNOWN,
            end: first,
            widened: first,
            width: 0,
            persistence: 0,
            _unused: [0; 6],
        }
    }

    /// The peer reports a duplicate: what was sent again had arrived. Once a round trip the window is widened by that.
    pub(super) fn duplicate(&mut self, una: Seq, nxt: Seq) {
        if !una.is_before(self.widened) {
            self.widened = nxt;
            self.width = self.width.saturating_add(1);
            self.persistence = PERSISTENCE;
        }
    }

    /// A recovery has ended.
    pub(super) fn recovered(&mut self) {
        match self.persistence {
            0 => self.width = 0,
            _ => self.persistence -= 1,
        }
    }

    /// The oldest unacknowledged data moved to `una`, which marks that lie before must not fall behind.
    pub(super) fn acknowledged(&mut self, una: Seq) {
        self.widened = self.widened.later(una);
    }

    /// Whether what was sent at `sent_at` and ends at `end` was sent after what arrived.
    fn is_before(&self, sent_at: Instant, end: Seq) -> bool {
        self.sent_at < sent_at || (self.sent_at == sent_at && self.end.is_before(end))
    }

    /// Whether what was sent at `sent_at` from `start` on was sent before what arrived: then gives to where.
    fn overtook(&self, start: Seq, end: Seq, sent_at: Instant) -> Option<Seq> {
        match sent_at.cmp(&self.sent_at) {
            core::cmp::Ordering::Less => Some(end),
            core::cmp::Ordering::Equal => {
                Some(end.earlier(self.end)).filter(|to| to.is_after(start))
            }
            core::cmp::Ordering::Greater => None,
        }
    }
}

impl Loss {
    /// `[start, end)` has arrived. Gives whether that is news of something that was sent but once, and is held lost.
    ///
    /// What was sent again, and answered too soon, was answered for the first sending (section 6.2 step 2).
    pub(super) fn arrived(&mut self, start: Seq, end: Seq, sight: &Sight) -> bool {
        let mut needless = false;
        let mut from = self.flight.start().later(start);
        while from.is_before(end) {
            let Some((_, stretch)) = self.flight.find(from) else {
                break;
            };
            let to = stretch.end.earlier(end);
            let news = self.sacked.gap(from, to).is_some();
            needless |= news && stretch.lost && !stretch.repeated;
            let took = sight.now.since(stretch.sent_at);
            let too_soon = took < sight.least || sight.echoed.is_some_and(|age| age > took + TICK);
            if self.rack.is_before(stretch.sent_at, to) && !(stretch.repeated && too_soon) {
                self.rack.sent_at = stretch.sent_at;
                self.rack.end = to;
                self.rack.rtt = took.as_nanos() as u64;
            }
            from = to;
        }
        needless
    }

    /// Section 6.2 step 5.
    pub(super) fn find_lost(&mut self, sight: &Sight) -> Found {
        let window = self.reordering_window(sight);
        let patience = Duration::from_nanos(self.rack.rtt) + window;
        let mut found = Found::default();
        let mut from = self.flight.start();
        while let Some((_, stretch)) = self.flight.find(from) {
            let start = from;
            from = stretch.end;
            let Some(to) = self.rack.overtook(start, stretch.end, stretch.sent_at) else {
                continue;
            };
            if stretch.lost || self.sacked.gap(start, to).is_none() {
                continue;
            }
            let due = stretch.sent_at + patience;
            if window.is_zero() || due <= sight.now {
                self.flight.lose(start, to);
                found.lost = true;
            } else {
                found.suspected_until = found.suspected_until.max(Some(due));
            }
        }
        found
    }

    /// Section 6.3: the retransmission timer ran out. Lost are the oldest segment, and what should have been answered.
    pub(super) fn lose_overdue(&mut self, una: Seq, nxt: Seq, sight: &Sight) {
        let patience = Duration::from_nanos(self.rack.rtt) + self.reordering_window(sight);
        let mut from = una;
        while let Some((_, stretch)) = self.flight.find(from) {
            if self.rack.rtt == UNKNOWN || stretch.sent_at + patience <= sight.now {
                self.flight.lose(from, stretch.end);
            }
            from = stretch.end;
        }
        self.flight.lose(una, (una + sight.mss).earlier(nxt));
    }

    /// Section 6.2 step 4. While nothing shows that the path changes the order, three segments that came through are
    /// enough, and in recovery one is.
    fn reordering_window(&self, sight: &Sight) -> Duration {
        let enough = self.sacked.total() > (DUP_THRESH - 1) * sight.mss;
        let quarters = u32::from(self.rack.width) + 1;
        let window = (sight.least / 4 * quarters).min(sight.smoothed);
        match sight.reordered {
            true => window,
            false if enough || self.phase != Phase::Open => Duration::ZERO,
            false => window.max(TICK),
        }
    }
}
