//! poll(2), ppoll(2).

use core::ffi::c_int;
use core::time::Duration;
use rustix::io::Errno;

use super::border::{read, serve, values};
use super::next;
use crate::socket::{readiness, table};
use crate::sys::wait::SignalMask;

/// Most descriptors a call may name: more than a process can have.
const MOST: libc::nfds_t = 1 << 20;

/// The entries, if one of them is ours.
///
/// # Safety
/// As the program promises for poll(2).
pub(super) unsafe fn with_ours<'a>(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
) -> Option<&'a mut [libc::pollfd]> {
    if count > MOST {
        return None;
    }
    // SAFETY: the caller's promise.
    let fds = unsafe { values(fds, count as usize) }.ok()?;
    fds.iter()
        .any(|polled| table::is_met(polled.fd))
        .then_some(fds)
}

/// poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn poll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: c_int,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::POLL.get()(fds, count, timeout) };
    // SAFETY: the program's own arguments.
    let Some(ours) = (unsafe { with_ours(fds, count) }) else {
        return by_kernel();
    };
    serve(by_kernel, || {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        let ready = readiness::poll(ours, timeout, None).transpose()?;
        Ok(ready.map(|count| count as c_int))
    })
}

/// The first word of a signal set, which is all the kernel has.
///
/// # Safety
/// `mask` is the program's, or null.
pub(super) unsafe fn signal_mask(mask: *const libc::sigset_t) -> Result<Option<SignalMask>, Errno> {
    if mask.is_null() {
        return Ok(None);
    }
    // SAFETY: a sigset_t is longer than its first 64 bits.
    unsafe { read(mask.cast::<SignalMask>()) }.map(Some)
}

/// A timeout the program points to; null means without end. EFAULT, EINVAL.
///
/// # Safety
/// `timeout` is the program's, or null.
pub(super) unsafe fn timeout_of(timeout: *const libc::timespec) -> Result<Option<Duration>, Errno> {
    if timeout.is_null() {
        return Ok(None);
    }
    // SAFETY: the program's own timeout.
    let timespec = unsafe { read(timeout) }?;
    let seconds = u64::try_from(timespec.tv_sec).map_err(|_| Errno::INVAL)?;
    match u32::try_from(timespec.tv_nsec) {
        Ok(nanoseconds @ 0..1_000_000_000) => Ok(Some(Duration::new(seconds, nanoseconds))),
        _ => Err(Errno::INVAL),
    }
}

/// ppoll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ppoll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::PPOLL.get()(fds, count, timeout, mask) };
    // SAFETY: the program's own arguments.
    let Some(ours) = (unsafe { with_ours(fds, count) }) else {
        return by_kernel();
    };
    serve(by_kernel, || {
        // SAFETY: the program's own arguments.
        let (timeout, mask) = unsafe { (timeout_of(timeout)?, signal_mask(mask)?) };
        let ready = readiness::poll(ours, timeout, mask).transpose()?;
        Ok(ready.map(|count| count as c_int))
    })
}
