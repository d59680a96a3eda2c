//! sigaction(2), signal(2) and their kin: the C library's. Afterwards the handler is put in our hands (see
//! [`handlers`]), and the program reads back what it has set.

use core::ffi::c_int;

use super::next;
use crate::sys::{handlers, process};

/// Takes a handler over that was just set. What a vfork(2) child sets is its own, while our notes are
/// its parent's.
fn adopt(signal: c_int) {
    if !process::is_vfork_child() {
        handlers::section(|| handlers::adopt(signal));
    }
}

/// sigaction(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let before = handlers::theirs(signal);
    // SAFETY: the program's own arguments.
    let outcome = unsafe { next::SIGACTION.get()(signal, new, old) };
    if outcome != 0 {
        return outcome;
    }
    if !old.is_null() {
        // SAFETY: the C library has just written it.
        let old = unsafe { &mut *old };
        if let Some((handler, flags)) = before.of(old.sa_sigaction) {
            old.sa_sigaction = handler;
            old.sa_flags = flags;
        }
    }
    if !new.is_null() {
        adopt(signal);
    }
    outcome
}

/// signal(2), by the name of it that the program uses.
///
/// # Safety
/// As the program promises for signal(2).
unsafe fn set(
    signal: c_int,
    handler: libc::sighandler_t,
    by: &next::Next<next::Signal>,
) -> libc::sighandler_t {
    let before = handlers::theirs(signal);
    // SAFETY: the program's own arguments.
    let old = unsafe { by.get()(signal, handler) };
    if old == libc::SIG_ERR {
        return old;
    }
    adopt(signal);
    before.of(old).map_or(old, |(handler, _)| handler)
}

/// signal(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn signal(
    signal: c_int,
    handler: libc::sighandler_t,
) -> libc::sighandler_t {
    // SAFETY: the program's own arguments.
    unsafe { set(signal, handler, &next::SIGNAL) }
}

/// signal(2) as BSD has it.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn bsd_signal(
    signal: c_int,
    handler: libc::sighandler_t,
) -> libc::sighandler_t {
    // SAFETY: the program's own arguments.
    unsafe { set(signal, handler, &next::BSD_SIGNAL) }
}

/// signal(2), by another name.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ssignal(
    signal: c_int,
    handler: libc::sighandler_t,
) -> libc::sighandler_t {
    // SAFETY: the program's own arguments.
    unsafe { set(signal, handler, &next::SSIGNAL) }
}

/// signal(2) as System V has it.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sysv_signal(
    signal: c_int,
    handler: libc::sighandler_t,
) -> libc::sighandler_t {
    // SAFETY: the program's own arguments.
    unsafe { set(signal, handler, &next::SYSV_SIGNAL) }
}

/// siginterrupt(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int {
    // SAFETY: integers only.
    let outcome = unsafe { next::SIGINTERRUPT.get()(signal, interrupts) };
    adopt(signal);
    outcome
}
