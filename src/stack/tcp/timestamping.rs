//! Timestamps and PAWS (RFC 7323 sections 3 to 5).

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::stack::time::Instant;
use crate::stack::wire::tcp::Timestamps;

/// A connection's timestamps.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Timestamping {
    pub(super) enabled: bool,
    pub(super) _unused: [u8; 7],
    /// Added to the clock in what is sent.
    pub(super) offset: u32,
    /// TS.Recent.
    pub(super) recent: u32,
    /// When TS.Recent was taken.
    pub(super) recent_at: Instant,
}

impl Timestamping {
    /// Those of a connection that begins, until the peer is known to have none.
    pub(super) const fn new(now: Instant, offset: u32) -> Self {
        Self {
            enabled: true,
            _unused: [0; 7],
            offset,
            recent: 0,
            recent_at: now,
        }
    }

    /// TSval of a segment sent now.
    pub(super) const fn value(&self, now: Instant) -> u32 {
        now.as_millis_wrapping().wrapping_add(self.offset)
    }

    /// The option of a segment sent now.
    pub(super) fn option(&self, now: Instant) -> Option<Timestamps> {
        self.enabled.then(|| Timestamps {
            value: self.value(now),
            echo: self.recent,
        })
    }

    /// How long ago the timestamp that is echoed was sent, in whole milliseconds; what is absurd
    /// counts as none.
    pub(super) fn elapsed_since(&self, echo: u32, now: Instant) -> Duration {
        const ABSURD: u32 = 1 << 20;
        match self.value(now).wrapping_sub(echo) {
            elapsed if elapsed < ABSURD => Duration::from_millis(u64::from(elapsed)),
            _ => Duration::ZERO,
        }
    }

    /// Whether `echo` is a timestamp that was sent since `first`, or none at all.
    pub(super) fn is_ours(&self, echo: u32, first: Instant, now: Instant) -> bool {
        let latest = self.value(now);
        echo == 0 || latest.wrapping_sub(echo) <= latest.wrapping_sub(self.value(first))
    }

    /// RFC 7323 section 5.3 R1 and section 5.5: whether `value` is older than TS.Recent, unless
    /// that is itself too old to say, or, as on Linux, there is none.
    pub(super) fn is_old(&self, value: u32, now: Instant) -> bool {
        const OUTDATED: Duration = Duration::from_secs(24 * 24 * 3600);
        let is_before = self.recent != 0 && (value.wrapping_sub(self.recent) as i32) < 0;
        is_before && now.since(self.recent_at) < OUTDATED
    }
}
