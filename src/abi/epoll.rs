//! epoll_create(2), epoll_ctl(2), epoll_wait(2), epoll_pwait(2), epoll_pwait2(2).

use core::ffi::c_int;
use core::time::Duration;
use rustix::io::Errno;

use super::border::{answer, fail, read, serve, values};
use super::next;
use super::poll::{signal_mask, timeout_of};
use crate::socket::{readiness, sets, table};
use crate::sys::wait::SignalMask;
use crate::sys::{heap, raw};

/// Most events the kernel takes room for.
const MOST: usize = i32::MAX as usize / size_of::<libc::epoll_event>();

/// Notes the set that was made: it may be duplicated before it watches anything.
fn made(set: c_int) -> c_int {
    if set >= 0 {
        sets::made(set);
    }
    set
}

/// epoll_create(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_create(size: c_int) -> c_int {
    // SAFETY: an integer only.
    made(unsafe { next::EPOLL_CREATE.get()(size) })
}

/// epoll_create1(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_create1(flags: c_int) -> c_int {
    // SAFETY: an integer only.
    made(unsafe { next::EPOLL_CREATE1.get()(flags) })
}

/// epoll_ctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_ctl(
    set: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut libc::epoll_event,
) -> c_int {
    if operation != libc::EPOLL_CTL_DEL
        && table::is_met(fd)
        && let Err(errno) = heap::room()
    {
        return fail(errno);
    }
    // SAFETY: the program's own arguments.
    let outcome = unsafe { next::EPOLL_CTL.get()(set, operation, fd, event) };
    if outcome == 0 && table::is_epoll(fd) {
        readiness::epoll_nested(set, fd);
    }
    if outcome == 0 && table::is_ours(fd) {
        // SAFETY: the program's own event, which the kernel has just read (or ignored).
        let event = unsafe { read(event) }
            .ok()
            .map(|event| (event.events, event.u64));
        answer(|| {
            readiness::epoll_changed(set, operation, fd, event);
            Ok(0)
        });
    }
    outcome
}

/// Waits on a set that watches sockets of ours.
///
/// # Safety
/// As the program promises for epoll_pwait2(2).
unsafe fn wait(
    set: c_int,
    events: *mut libc::epoll_event,
    most: c_int,
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
    by_kernel: impl Fn() -> c_int,
) -> c_int {
    // What the kernel refuses, it refuses best itself.
    let Ok(room @ 1..=MOST) = usize::try_from(most) else {
        return by_kernel();
    };
    // SAFETY: the program's own array; any bytes are an event.
    let Ok(events) = (unsafe { values(events, room) }) else {
        return by_kernel();
    };
    let collect = |events: &mut [libc::epoll_event]| raw::epoll_ready(set, events);
    serve(by_kernel, || {
        let ready = readiness::epoll_wait(set, events, timeout, mask, collect).transpose()?;
        Ok(ready.map(|count| count as c_int))
    })
}

/// epoll_wait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_wait(
    set: c_int,
    events: *mut libc::epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::EPOLL_WAIT.get()(set, events, most, timeout) };
    if !table::is_epoll(set) {
        return by_kernel();
    }
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    // SAFETY: the program's own arguments.
    unsafe { wait(set, events, most, timeout, None, by_kernel) }
}

/// epoll_pwait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_pwait(
    set: c_int,
    events: *mut libc::epoll_event,
    most: c_int,
    timeout: c_int,
    mask: *const libc::sigset_t,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::EPOLL_PWAIT.get()(set, events, most, timeout, mask) };
    if !table::is_epoll(set) {
        return by_kernel();
    }
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    // SAFETY: the program's own arguments.
    let Ok(mask) = (unsafe { signal_mask(mask) }) else {
        return by_kernel();
    };
    // SAFETY: the program's own arguments.
    unsafe { wait(set, events, most, timeout, mask, by_kernel) }
}

/// epoll_pwait2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_pwait2(
    set: c_int,
    events: *mut libc::epoll_event,
    most: c_int,
    timeout: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> c_int {
    let by_kernel = || match next::EPOLL_PWAIT2.find() {
        // SAFETY: the program's own arguments.
        Some(epoll_pwait2) => unsafe { epoll_pwait2(set, events, most, timeout, mask) },
        None => fail(Errno::NOSYS),
    };
    if !table::is_epoll(set) {
        return by_kernel();
    }
    // SAFETY: the program's own arguments.
    let arguments =
        unsafe { timeout_of(timeout).and_then(|limit| Ok((limit, signal_mask(mask)?))) };
    let Ok((limit, mask)) = arguments else {
        return by_kernel();
    };
    // SAFETY: the program's own arguments.
    unsafe { wait(set, events, most, limit, mask, by_kernel) }
}
