//! When what is in flight was last sent (RFC 8985 section 5.2), in stretches that left together.
//!
//! 1. The stretches lie one after the other, from `start` to the last one's end, and none is empty.
//! 2. No two of them that can be told apart by their times left in the same moment: what is sent again leaves a
//!    nanosecond after everything before it, at least. Within a stretch the order is that of the sequence numbers.
//!
//! There are few, so that a connection stays small. When they run out, two neighbors become one, as if all of it had been
//! sent with the later one: that loss is found later, never where there is none.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::ranges::Ranges;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// How many stretches there can be.
const MOST: usize = 32;

/// What was sent together, up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Stretch {
    pub(super) end: Seq,
    /// Held lost, and not sent again since, except where the peer SACKed it.
    pub(super) lost: bool,
    /// Sent more than once.
    pub(super) repeated: bool,
    _unused: [u8; 2],
    /// When it was last sent.
    pub(super) sent_at: Instant,
}

impl Stretch {
    const NONE: Self = Self {
        end: Seq(0),
        lost: false,
        repeated: false,
        _unused: [0; 2],
        sent_at: Instant::from_nanos(0),
    };

    /// Whether the two need not be told apart.
    fn is_like(&self, other: &Self) -> bool {
        self.lost == other.lost
            && self.repeated == other.repeated
            && (self.lost || self.sent_at == other.sent_at)
    }

    /// The two as one, which ends where `right` does.
    fn joined(&self, right: &Self) -> Self {
        Self {
            end: right.end,
            lost: self.lost && right.lost,
            repeated: self.repeated || right.repeated,
            _unused: [0; 2],
            sent_at: self.sent_at.max(right.sent_at),
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Flight {
    stretches: [Stretch; MOST],
    len: u32,
    start: Seq,
    /// When the latest stretch left.
    latest: Instant,
}

impl Flight {
    /// Nothing is in flight yet; what will be begins at `start`.
    pub(super) const fn new(start: Seq) -> Self {
        Self {
            stretches: [Stretch::NONE; MOST],
            len: 0,
            start,
            latest: Instant::from_nanos(0),
        }
    }

    /// Whether this can be said of what lies between `una` and `nxt` at this time.
    pub(super) fn is_sound(&self, una: Seq, nxt: Seq, now: Instant) -> bool {
        let Some(stretches) = self.stretches.get(..self.len as usize) else {
            return false;
        };
        let mut end = self.start;
        let rising = stretches.iter().all(|stretch| {
            let rises = stretch.end != end && stretch.end.is_within(end, nxt);
            end = stretch.end;
            rises && stretch.sent_at <= self.latest
        });
        rising && self.start.is_within(una, nxt) && end == nxt && self.latest <= now
    }

    pub(super) const fn start(&self) -> Seq {
        self.start
    }

    /// The stretches, each with where it starts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Seq, &Stretch)> {
        let starts = self.stretches.iter().map(|stretch| stretch.end);
        let starts = core::iter::once(self.start).chain(starts);
        starts.zip(&self.stretches[..self.len as usize])
    }

    /// The stretch that `seq` lies in.
    pub(super) fn find(&self, seq: Seq) -> Option<(Seq, Stretch)> {
        let found = self.iter().find(|(_, stretch)| stretch.end.is_after(seq));
        found.map(|(start, stretch)| (start, *stretch))
    }

    /// How much of what `wanted` says of is not in `arrived`.
    pub(super) fn missing(&self, arrived: &Ranges, wanted: impl Fn(&Stretch) -> bool) -> u32 {
        let wanted = self.iter().filter(|(_, stretch)| wanted(stretch));
        wanted
            .map(|(start, stretch)| stretch.end.since(start) - arrived.covered(start, stretch.end))
            .sum()
    }

    /// Everything up to `end` was sent for the first time. What leaves within `together` of each other is one stretch.
    pub(super) fn sent(&mut self, end: Seq, now: Instant, together: Duration) {
        let latest = self.latest;
        if let Some(last) = self.stretches[..self.len as usize].last_mut()
            && !last.repeated
            && !last.lost
            && last.sent_at == latest
            && now.since(last.sent_at) <= together
        {
            last.end = end;
            return;
        }
        self.make_room(1);
        self.latest = self.next_moment(now);
        self.stretches[self.len as usize] = Stretch {
            end,
            sent_at: self.latest,
            ..Stretch::NONE
        };
        self.len += 1;
    }

    /// `[start, end)` was sent again, and is no longer held lost.
    pub(super) fn sent_again(&mut self, start: Seq, end: Seq, now: Instant, together: Duration) {
        let before = self
            .iter()
            .find(|(_, stretch)| stretch.end == start)
            .map(|(_, stretch)| *stretch);
        let goes_on = before.is_some_and(|before| {
            before.repeated
                && !before.lost
                && before.sent_at == self.latest
                && now.since(before.sent_at) <= together
        });
        if !goes_on {
            self.latest = self.next_moment(now);
        }
        let sent_at = self.latest;
        self.change(start, end, |stretch| {
            stretch.lost = false;
            stretch.repeated = true;
            stretch.sent_at = sent_at;
        });
    }

    /// `[start, end)` is held lost.
    pub(super) fn lose(&mut self, start: Seq, end: Seq) {
        self.change(start, end, |stretch| stretch.lost = true);
    }

    /// Nothing is held lost any more.
    pub(super) fn lose_nothing(&mut self) {
        for stretch in &mut self.stretches[..self.len as usize] {
            stretch.lost = false;
        }
    }

    /// Everything before `una` has arrived.
    pub(super) fn acknowledged(&mut self, una: Seq) {
        let stretches = &self.stretches[..self.len as usize];
        let gone = stretches.partition_point(|stretch| !stretch.end.is_after(una));
        self.stretches.copy_within(gone..self.len as usize, 0);
        self.len -= gone as u32;
        self.start = self.start.later(una);
    }

    /// Everything up to `nxt` counts as sent at once, since it is not known when it was.
    pub(super) fn forget_times(&mut self, una: Seq, nxt: Seq, now: Instant) {
        *self = Self::new(una);
        if nxt != una {
            self.sent(nxt, now, Duration::ZERO);
        }
    }

    fn next_moment(&self, now: Instant) -> Instant {
        now.max(self.latest + Duration::from_nanos(1))
    }

    /// Changes what lies in `[start, end)`.
    fn change(&mut self, start: Seq, end: Seq, mut change: impl FnMut(&mut Stretch)) {
        self.make_room(2);
        self.split(start);
        self.split(end);
        let mut from = self.start;
        for stretch in &mut self.stretches[..self.len as usize] {
            if !from.is_before(start) && !stretch.end.is_after(end) {
                change(stretch);
            }
            from = stretch.end;
        }
        self.join_alike();
    }

    /// Makes `seq` the end of a stretch.
    fn split(&mut self, seq: Seq) {
        let len = self.len as usize;
        let at = self.stretches[..len].partition_point(|stretch| stretch.end.is_before(seq));
        let inside = self.start.is_before(seq) && at < len && self.stretches[at].end != seq;
        if inside {
            self.stretches.copy_within(at..len, at + 1);
            self.stretches[at].end = seq;
            self.len += 1;
        }
    }

    fn join_alike(&mut self) {
        let mut last = 0;
        for at in 1..self.len as usize {
            let stretch = self.stretches[at];
            if self.stretches[last].is_like(&stretch) {
                self.stretches[last] = self.stretches[last].joined(&stretch);
            } else {
                last += 1;
                self.stretches[last] = stretch;
            }
        }
        self.len = self.len.min(last as u32 + 1);
    }

    /// Joins the neighbors of which that loses the least, until there is room for `count` more.
    fn make_room(&mut self, count: usize) {
        while self.len as usize + count > MOST {
            let len = self.len as usize;
            let loss = |at: &usize| {
                let (left, right) = (&self.stretches[*at], &self.stretches[at + 1]);
                let alike = left.lost == right.lost && left.repeated == right.repeated;
                let (first, second) = (left.sent_at, right.sent_at);
                (!alike, first.max(second).since(first.min(second)))
            };
            let at = (0..len - 1).min_by_key(loss).unwrap_or(0);
            self.stretches[at] = self.stretches[at].joined(&self.stretches[at + 1]);
            self.stretches.copy_within(at + 2..len, at + 1);
            self.len -= 1;
        }
    }
}
