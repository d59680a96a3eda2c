//! The one place that asks what time it is.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since 1970 (CLOCK_REALTIME).
pub fn realtime() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds of CLOCK_MONOTONIC (clock_gettime(2)).
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
