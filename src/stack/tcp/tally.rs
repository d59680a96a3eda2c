//! What is counted of one connection, for TCP_INFO (tcp(7)): plain numbers that nothing depends on.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::segment::SegmentOut;
use crate::stack::plain::Maybe;
use crate::stack::time::Instant;

/// What a sender with data waits for, as far as it is not the network.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(u8)]
pub(super) enum Limit {
    /// It has no data.
    #[default]
    Idle,
    /// Acknowledgments.
    Network,
    /// The peer's window.
    Window,
    /// Its user, whom the full send buffer held up.
    Buffer,
}

/// Counts of a connection since it was opened.
#[derive(Clone, Copy, Debug, Default, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Tally {
    /// Segments received; of those put together below, each.
    pub segments_in: u32,
    /// Segments sent, each as it is on the wire.
    pub segments_out: u32,
    /// Segments received that carried data.
    pub data_segments_in: u32,
    /// Segments sent that carried data, repeated ones included.
    pub data_segments_out: u32,
    /// Sequence numbers acknowledged by the peer.
    pub acked: u64,
    /// Sequence numbers received in order.
    pub received: u64,
    /// Bytes sent, repeated ones included.
    pub sent: u64,
    /// Bytes sent again.
    pub sent_again: u64,
    /// Duplicates of our segments that the peer reported (RFC 2883).
    pub duplicates: u32,
    /// Segments received out of order.
    pub out_of_order: u32,
    /// Times that our segments turned out to have changed their order.
    pub reorderings: u32,
    /// How many segments one of them has come late by, at most.
    pub reordering: u16,
    /// Retransmission timeouts.
    pub timeouts: u16,
    /// Of those, the first in a row.
    pub timeout_recoveries: u16,
    limit: Limit,
    _unused: u8,
    /// How long it took to recover from timeouts, in milliseconds.
    pub timeout_time: u32,
    /// Since when there is a timeout to recover from.
    timed_out_since: Maybe<Instant>,
    /// Bytes acknowledged in the last round trip that was measured, a second.
    pub delivery_rate: u64,
    /// How long there was data to send, in nanoseconds.
    pub busy: u64,
    /// How much of that the peer's window was what held it back.
    pub window_limited: u64,
    /// How much of that there would have been more, had the send buffer been larger.
    pub buffer_limited: u64,
    limited_since: Instant,
    /// `acked` when the segment that is timed was sent.
    acked_before: u64,
}

/// Linux's tcp_max_reordering.
const MOST_REORDERING: u32 = 300;

impl Tally {
    /// Whether there is room to count on.
    pub(super) fn is_sound(&self) -> bool {
        let counts = [self.acked, self.received, self.sent, self.sent_again];
        let times = [self.busy, self.window_limited, self.buffer_limited];
        let small = [self.duplicates, self.out_of_order, self.reorderings];
        counts.iter().chain(&times).all(|&count| count < 1 << 62)
            && small.iter().all(|&count| count < 1 << 31)
    }

    pub(super) fn count_in(&mut self, payload_len: usize, mss: u32) {
        let pieces = (payload_len as u32).div_ceil(mss.max(1));
        self.segments_in = self.segments_in.wrapping_add(pieces.max(1));
        self.data_segments_in = self.data_segments_in.wrapping_add(pieces);
    }

    pub(super) fn count_out(&mut self, out: &SegmentOut) {
        let piece = match out.gso_size {
            0 => out.payload_len.max(1),
            size => usize::from(size),
        };
        let pieces = out.payload_len.div_ceil(piece) as u32;
        self.segments_out = self.segments_out.wrapping_add(pieces.max(1));
        self.data_segments_out = self.data_segments_out.wrapping_add(pieces);
        self.sent += out.payload_len as u64;
    }

    /// From now on `limit` is what the sender waits for.
    pub(super) fn limited_by(&mut self, now: Instant, limit: Limit) {
        if self.limit == limit {
            return;
        }
        *self = self.until(now);
        self.limit = limit;
        self.limited_since = now;
    }

    /// With the times up to now.
    pub(super) fn until(mut self, now: Instant) -> Self {
        let passed = now.since(self.limited_since).as_nanos() as u64;
        match self.limit {
            Limit::Idle => return self,
            Limit::Network => {}
            Limit::Window => self.window_limited += passed,
            Limit::Buffer => self.buffer_limited += passed,
        }
        self.busy += passed;
        self.limited_since = now;
        self
    }

    /// A segment that was sent once has arrived after others that were sent later, up to `distance`
    /// bytes beyond its start.
    pub(super) fn reordered(&mut self, distance: u32, mss: u32) {
        let segments = distance.div_ceil(mss.max(1)).min(MOST_REORDERING);
        self.reordering = self.reordering.max(segments as u16);
        self.reorderings = self.reorderings.saturating_add(1);
    }

    /// The retransmission timer ran out.
    pub(super) fn timed_out(&mut self, now: Instant) {
        self.timeouts = self.timeouts.saturating_add(1);
        if self.timed_out_since.get().is_none() {
            self.timed_out_since = Maybe::some(now);
            self.timeout_recoveries = self.timeout_recoveries.saturating_add(1);
        }
    }

    /// What the timeout held lost has arrived.
    pub(super) fn recovered(&mut self, now: Instant) {
        if let Some(since) = self.timed_out_since.take() {
            let took = u32::try_from(now.since(since).as_millis()).unwrap_or(u32::MAX);
            self.timeout_time = self.timeout_time.saturating_add(took);
        }
    }

    /// A segment is sent whose round trip will be measured.
    pub(super) fn round_trip_begins(&mut self) {
        self.acked_before = self.acked;
    }

    /// It took so long.
    pub(super) fn round_trip_ended(&mut self, took: Duration, mss: u32) {
        let delivered = self.acked.wrapping_sub(self.acked_before);
        // As Linux, which samples packets: less than one says nothing about the path.
        if delivered >= u64::from(mss) || self.delivery_rate == 0 {
            let nanoseconds = (took.as_nanos() as u64).max(1);
            self.delivery_rate = delivered.saturating_mul(1_000_000_000) / nanoseconds;
        }
    }
}
