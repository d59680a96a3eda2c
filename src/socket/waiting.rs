//! What calls that wait have in common: until when, on whose signal again, and with what they end.

use core::cell::Cell;
use core::time::Duration;
use rustix::io::Errno;

use crate::driver::Interruption;
use crate::sys::clock;

/// When a wait of `timeout` that begins now is over, in monotonic nanoseconds; `None`: never.
pub fn deadline(timeout: Option<Duration>) -> Option<u64> {
    let nanoseconds = u64::try_from(timeout?.as_nanos()).unwrap_or(u64::MAX);
    Some(clock::monotonic().saturating_add(nanoseconds))
}

/// How long it is until then.
pub(super) fn left(until: Option<u64>) -> Option<Duration> {
    until.map(|until| Duration::from_nanos(until.saturating_sub(clock::monotonic())))
}

/// After a wait that was cut short, in a call of at most `timeout`: `Ok` to wait on, as SA_RESTART
/// asks of calls without one (signal(7)). EINTR: a signal handler ran. EAGAIN: the time is over.
pub(super) fn resume(interruption: Interruption, timeout: Option<Duration>) -> Result<(), Errno> {
    match interruption {
        Interruption::Signal { restarts: true } if timeout.is_none() => Ok(()),
        // Whoever made the call ends the thread then.
        Interruption::Signal { .. } | Interruption::Cancelled => Err(Errno::INTR),
        Interruption::TimedOut => Err(Errno::AGAIN),
    }
}

/// What was moved counts more than why no more was.
pub(super) fn partial(moved: &Cell<usize>, errno: Errno) -> Result<usize, Errno> {
    match moved.get() {
        0 => Err(errno),
        count => Ok(count),
    }
}
