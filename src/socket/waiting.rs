//! What calls that wait have in common: until when, on whose signal again, and with what they end.

use core::cell::Cell;
use core::sync::atomic::Ordering;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;

use super::{Socket, away};
use crate::driver::{Endpoint, EndpointId, Engine, Interruption};
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

/// Whether a call with these flags waits on a socket of this process's stack. O_NONBLOCK is asked for only where another
/// process may have set it: of a socket that one has, or has had.
pub(super) fn waits(
    engine: &Engine,
    id: EndpointId,
    fd: RawFd,
    socket: &Socket,
    flags: i32,
) -> bool {
    let endpoint = engine.endpoints.get(id);
    let was_shared = endpoint.is_some_and(Endpoint::was_shared);
    if was_shared || socket.named.load(Ordering::Relaxed) {
        return away::waits(fd, flags);
    }
    flags & libc::MSG_DONTWAIT == 0 && !socket.nonblocking()
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
