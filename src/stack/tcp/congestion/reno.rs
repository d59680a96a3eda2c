//! Reno (RFC 5681): one segment more for each window acknowledged; half after loss.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::Acked;

#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Reno {
    /// Bytes acknowledged that have not yet made the window grow.
    credit: u32,
}

impl Reno {
    pub(super) const fn new() -> Self {
        Self { credit: 0 }
    }

    /// How much the window grows in congestion avoidance: RFC 5681 section 3.1, "during congestion
    /// avoidance, cwnd is incremented by roughly 1 full-sized segment per round-trip time".
    pub(super) fn growth(&mut self, cwnd: u32, mss: u32, acked: &Acked) -> u32 {
        self.credit = self.credit.saturating_add(acked.bytes);
        let windows = self.credit / cwnd.max(1);
        self.credit -= windows * cwnd;
        windows * mss
    }
}
