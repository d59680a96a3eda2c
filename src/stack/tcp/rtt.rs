//! The round-trip time and the retransmission timeout (RFC 6298).

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::stack::plain::Maybe;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// Before the first measurement.
pub(super) const INITIAL_RTO: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The least margin above the smoothed round-trip time, Linux's TCP_RTO_MIN.
const MIN_MARGIN: Duration = Duration::from_millis(200);
/// Linux's TCP_RTO_MAX.
pub(super) const MAX_RTO: Duration = Duration::from_secs(120);

/// No round trip takes so long: eleven days, in nanoseconds.
pub(super) const ABSURD: u64 = 1_000_000_000_000_000;

/// The estimator.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Rtt {
    /// Smoothed round-trip time in nanoseconds; 0 before the first measurement.
    srtt: u64,
    /// Its variation in nanoseconds.
    rttvar: u64,
    /// The smallest measured, in nanoseconds.
    min: u64,
    /// How many times the timeout has doubled since the last acknowledgment of new data.
    pub(super) backoff: u8,
    _unused: [u8; 3],
    /// The end of the segment being timed. Never one sent twice (Karn).
    timed_end: Seq,
    /// When it was sent; none: none is timed.
    timed: Maybe<Instant>,
    /// When something was last sent again.
    retransmitted_at: Instant,
}

impl Rtt {
    pub(super) const fn new() -> Self {
        Self {
            srtt: 0,
            rttvar: 0,
            min: u64::MAX,
            backoff: 0,
            _unused: [0; 3],
            timed_end: Seq(0),
            timed: Maybe::NONE,
            retransmitted_at: Instant::from_nanos(0),
        }
    }

    /// Whether these can have been measured.
    pub(super) const fn is_sound(&self) -> bool {
        self.srtt <= ABSURD && self.rttvar <= ABSURD
    }

    /// Smoothed round-trip time; `None` before the first measurement.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        (self.srtt != 0).then(|| Duration::from_nanos(self.srtt))
    }

    /// Variation of the round-trip time.
    pub(super) const fn variation(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The smallest measured.
    pub(super) fn minimum(&self) -> Option<Duration> {
        (self.min != u64::MAX).then(|| Duration::from_nanos(self.min))
    }

    /// What leaves within so long of each other counts as sent together.
    pub(super) const fn together(&self) -> Duration {
        Duration::from_nanos(self.srtt / 8)
    }

    /// The timeout without backoff.
    pub(super) fn base_rto(&self) -> Duration {
        match self.smoothed() {
            None => INITIAL_RTO,
            Some(smoothed) => (smoothed + MIN_MARGIN.max(4 * self.variation())).min(MAX_RTO),
        }
    }

    /// The timeout now in force: doubled for each time it ran out (RFC 6298 section 5.5).
    pub(super) fn rto(&self) -> Duration {
        (self.base_rto() * (1 << self.backoff.min(16))).min(MAX_RTO)
    }

    /// A segment that ends at `end` was sent for the first time. Gives whether it is timed.
    pub(super) fn sent(&mut self, end: Seq, now: Instant) -> bool {
        let timed = self.timed.get().is_none();
        if timed {
            self.timed_end = end;
            self.timed = Maybe::some(now);
        }
        timed
    }

    /// Whether the ACK of the segment being timed is half a round trip away, or less.
    pub(super) fn ack_is_near(&self, now: Instant) -> bool {
        let waited = |sent| now.since(sent).as_nanos() as u64;
        self.timed
            .get()
            .is_some_and(|timed| 2 * waited(timed) >= self.srtt)
    }

    /// Something was sent again: an ACK would not tell which of the two it answers.
    pub(super) const fn retransmitted(&mut self, now: Instant) {
        self.timed = Maybe::NONE;
        self.retransmitted_at = now;
    }

    /// An ACK echoed a timestamp that is `elapsed` old. It measures if that is from no earlier than
    /// the last retransmission. If it is from earlier, the ACK of the original may have been lost,
    /// and what looks like one round trip may be a timeout long.
    ///
    /// The echo is in whole milliseconds: it may seem one older than it is, less than one cannot be
    /// told from one, and it says nothing of the smallest.
    pub(super) fn echoed(&mut self, elapsed: Duration, now: Instant) {
        if elapsed <= now.since(self.retransmitted_at) + MILLISECOND {
            self.smooth(elapsed.max(MILLISECOND));
        }
    }

    /// The end of the segment being timed was acknowledged or passed: measures, and gives how long
    /// that took.
    pub(super) fn acknowledged(&mut self, ack: Seq, now: Instant) -> Option<Duration> {
        let sent = self
            .timed
            .get()
            .filter(|_| !ack.is_before(self.timed_end))?;
        self.timed = Maybe::NONE;
        let took = now.since(sent);
        self.min = self.min.min(took.as_nanos() as u64);
        self.smooth(took);
        Some(took)
    }

    /// One measurement (RFC 6298 section 2.2 and 2.3).
    fn smooth(&mut self, rtt: Duration) {
        let rtt = (rtt.as_nanos() as u64).max(1);
        if self.srtt == 0 {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            self.rttvar = (3 * self.rttvar + self.srtt.abs_diff(rtt)) / 4;
            self.srtt = (7 * self.srtt + rtt) / 8;
        }
    }
}
