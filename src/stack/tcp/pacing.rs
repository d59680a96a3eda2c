//! SO_MAX_PACING_RATE: data is sent no faster than the user allows, ACKs at any time.
//!
//! After a segment the next one waits for as long as the first takes at that rate. So that little
//! is sent at once, super-packets are as short as a millisecond asks for.

use core::time::Duration;

use super::tcb::Tcb;
use super::timers::Timer;
use crate::stack::time::Instant;

/// As Linux (sk_pacing_shift): super-packets for about a millisecond, of two segments at least.
const SHARE_OF_SECOND: u64 = 1024;
const LEAST_SEGMENTS: u32 = 2;

impl Tcb {
    /// Whether data may be sent now; if not, a timer says when it may.
    pub(super) fn is_in_time(&mut self, now: Instant) -> bool {
        let in_time = self.paced_until <= now;
        if !in_time {
            self.deadlines.arm(Timer::Pace, self.paced_until);
        }
        in_time
    }

    /// `len` bytes are sent now.
    pub(super) fn pace(&mut self, now: Instant, len: u32) {
        let Some(rate @ 1..) = self.options.pacing_rate.get() else {
            return;
        };
        let nanoseconds = u64::from(len) * 1_000_000_000 / rate;
        self.paced_until = self.paced_until.max(now) + Duration::from_nanos(nanoseconds);
    }

    /// Segments that may be sent at once.
    pub(super) fn paced_segments(&self) -> u32 {
        match self.options.pacing_rate.get() {
            None | Some(0) => u32::MAX,
            Some(rate) => {
                let segments = rate / SHARE_OF_SECOND / u64::from(self.snd.mss);
                u32::try_from(segments)
                    .unwrap_or(u32::MAX)
                    .max(LEAST_SEGMENTS)
            }
        }
    }
}
