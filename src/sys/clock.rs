//! The one place that asks what time it is.
//!
//! The clock is read without entering the kernel, by the vDSO (vdso(7)). rustix finds that by what the kernel has told
//! the process. Under valgrind it is not there all the same, which only the C library was told: then the kernel is asked.

use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use syscalls::{Sysno, syscall2};

/// Whether there is a vDSO.
static HAS_VDSO: OnceLock<bool> = OnceLock::new();

/// Nanoseconds since 1970 (CLOCK_REALTIME).
pub fn realtime() -> u64 {
    read(ClockId::Realtime)
}

/// Nanoseconds of CLOCK_MONOTONIC (clock_gettime(2)).
pub fn monotonic() -> u64 {
    read(ClockId::Monotonic)
}

#[inline]
fn read(clock: ClockId) -> u64 {
    // SAFETY: an integer only.
    let find = || unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } != 0;
    if !HAS_VDSO.get_or_init(find) {
        return ask_kernel(clock);
    }
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cold]
fn ask_kernel(clock: ClockId) -> u64 {
    let mut now = [0_u64; 2];
    // SAFETY: the kernel writes a timespec, two 64-bit integers, to `now`, which lives across the call.
    let _ = unsafe {
        syscall2(
            Sysno::clock_gettime,
            clock as usize,
            now.as_mut_ptr() as usize,
        )
    };
    let [seconds, nanoseconds] = now;
    seconds * 1_000_000_000 + nanoseconds
}
