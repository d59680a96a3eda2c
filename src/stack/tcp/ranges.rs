//! A bounded set of ranges of sequence numbers: what arrived out of order, what the peer SACKed.
//!
//! 1. The ranges are sorted, not empty, and neither overlap nor touch.
//! 2. All lie within 2^31 of each other: the callers admit only what lies in a window.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::stack::wire::seq::Seq;

/// How many ranges there can be. Of what does not fit, something may be sent again needlessly.
const MOST: usize = 32;

/// `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Range(pub(super) Seq, pub(super) Seq);

/// See the module.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Ranges {
    ranges: [Range; MOST],
    len: u32,
    /// Sequence numbers in all ranges together.
    total: u32,
}

impl Ranges {
    pub(super) const fn new() -> Self {
        Self {
            ranges: [Range(Seq(0), Seq(0)); MOST],
            len: 0,
            total: 0,
        }
    }

    /// Whether the invariants hold and all ranges lie in `[first, last)`.
    pub(super) fn is_sound(&self, first: Seq, last: Seq) -> bool {
        let Some(ranges) = self.ranges.get(..self.len as usize) else {
            return false;
        };
        let (mut end, mut total) = (first, 0);
        for (index, range) in ranges.iter().enumerate() {
            let touches = index > 0 && range.0 == end;
            let lies_right = range.0.is_within(end, last) && range.1.is_within(range.0, last);
            if touches || !lies_right || range.0 == range.1 {
                return false;
            }
            end = range.1;
            total += range.1.since(range.0);
        }
        total == self.total
    }

    pub(super) fn as_slice(&self) -> &[Range] {
        &self.ranges[..self.len as usize]
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many sequence numbers are in the set.
    pub(super) const fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.total = 0;
    }

    /// Adds `[start, end)`, joining it with what it overlaps or touches; gives how many sequence
    /// numbers are new, or `None` if one more range does not fit.
    pub(super) fn insert(&mut self, start: Seq, end: Seq) -> Option<u32> {
        let len = self.len as usize;
        let first = self.as_slice().partition_point(|r| r.1.is_before(start));
        let after = first + self.as_slice()[first..].partition_point(|r| !r.0.is_after(end));
        if first == after && len == MOST {
            return None;
        }
        let mut joined = Range(start, end);
        let mut known = 0;
        for range in &self.ranges[first..after] {
            joined = Range(joined.0.earlier(range.0), joined.1.later(range.1));
            known += range.1.since(range.0);
        }
        if first == after {
            self.ranges.copy_within(first..len, first + 1);
            self.len += 1;
        } else {
            self.ranges.copy_within(after..len, first + 1);
            self.len -= (after - first - 1) as u32;
        }
        self.ranges[first] = joined;
        let new = joined.1.since(joined.0) - known;
        self.total += new;
        Some(new)
    }

    /// Whether [`Ranges::insert`] would find a place for `[start, end)`.
    pub(super) fn has_room_for(&self, start: Seq, end: Seq) -> bool {
        let touches = |r: &Range| !r.0.is_after(end) && !r.1.is_before(start);
        self.as_slice().len() < MOST || self.as_slice().iter().any(touches)
    }

    /// Removes everything before `seq`.
    pub(super) fn remove_before(&mut self, seq: Seq) {
        let gone = self.as_slice().partition_point(|r| !r.1.is_after(seq));
        for range in &self.ranges[..gone] {
            self.total -= range.1.since(range.0);
        }
        self.ranges.copy_within(gone..self.len as usize, 0);
        self.len -= gone as u32;
        if let Some(range) = self.ranges[..self.len as usize].first_mut()
            && range.0.is_before(seq)
        {
            self.total -= seq.since(range.0);
            range.0 = seq;
        }
    }

    /// The range `seq` lies in.
    pub(super) fn find(&self, seq: Seq) -> Option<(Seq, Seq)> {
        let at = self.as_slice().partition_point(|r| !r.1.is_after(seq));
        let range = *self.as_slice().get(at)?;
        (!range.0.is_after(seq)).then_some((range.0, range.1))
    }

    /// The first gap at or after `from`, ended by the next range or by `limit`; `None` if there is
    /// no gap before `limit`.
    pub(super) fn gap(&self, from: Seq, limit: Seq) -> Option<(Seq, Seq)> {
        let start = self.find(from).map_or(from, |range| range.1);
        if !start.is_before(limit) {
            return None;
        }
        let at = self.as_slice().partition_point(|r| r.0.is_before(start));
        let end = self.as_slice().get(at).map_or(limit, |range| range.0);
        Some((start, end.earlier(limit)))
    }

    /// How many sequence numbers of `[from, to)` are in the set.
    pub(super) fn covered(&self, from: Seq, to: Seq) -> u32 {
        let mut covered = 0;
        for range in self.as_slice() {
            let (start, end) = (range.0.later(from), range.1.earlier(to));
            if start.is_before(end) {
                covered += end.since(start);
            }
        }
        covered
    }
}
