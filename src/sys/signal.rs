//! Signals: masks, what is to be done on them, and what an interrupted call should do.

use super::owned::OwnedFd;
use rustix::fd::{FromRawFd, RawFd};
use rustix::io::Errno;
use syscalls::{Sysno, syscall4};

/// A set of signals as the kernel has it: one bit each.
pub(super) type Set = u64;

/// All signals but the two that are the C library's own (nptl(7)): setuid(2) and its kin wait until each thread of the
/// process has taken the second of them. pthread_create(3) lets them in only for the first thread.
const ALL: Set = !(0b11 << (32 - 1));

fn mask(how: i32, new: Set) -> Set {
    let mut old: Set = 0;
    // SAFETY: the kernel reads and writes one 8-byte set each, both alive across the call.
    let _ = unsafe {
        syscall4(
            Sysno::rt_sigprocmask,
            how as usize,
            &raw const new as usize,
            &raw mut old as usize,
            size_of::<Set>(),
        )
    };
    old
}

/// Blocks the signals of `set` in this thread.
pub(super) fn block(set: Set) {
    mask(libc::SIG_BLOCK, set);
}

/// Lets the signals of `set` in.
pub(super) fn unblock(set: Set) {
    mask(libc::SIG_UNBLOCK, set);
}

/// Runs `work` with every signal of the program's blocked, so that a thread it starts never runs the program's
/// handlers.
pub fn with_all_blocked<T>(work: impl FnOnce() -> T) -> T {
    let old = mask(libc::SIG_SETMASK, ALL);
    let result = work();
    mask(libc::SIG_SETMASK, old);
    result
}

/// Blocks `signals` in the calling thread, and those it starts, and gives a descriptor that is
/// readable when one of them is pending (signalfd(2)).
///
/// # Errors
/// No descriptor is left.
pub fn descriptor_for(signals: &[i32]) -> Result<OwnedFd, Errno> {
    let set: Set = signals
        .iter()
        .fold(0, |set, signal| set | 1 << (signal - 1));
    mask(libc::SIG_BLOCK, set);
    // SAFETY: the kernel reads an 8-byte set, alive across the call.
    let made = unsafe {
        syscall4(
            Sysno::signalfd4,
            usize::MAX,
            &raw const set as usize,
            size_of::<Set>(),
            (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as usize,
        )
    };
    let number = made.map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))?;
    // SAFETY: the kernel has just made the descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}

/// Takes back the SIGCHLD of a child the program does not know of. All signals are blocked.
pub(super) fn forget_child() {
    let set: Set = 1 << (libc::SIGCHLD - 1);
    let none = super::wait::timespec(core::time::Duration::ZERO);
    // SAFETY: the kernel reads an 8-byte set and a timespec, both alive across the call.
    let _ = unsafe {
        syscall4(
            Sysno::rt_sigtimedwait,
            &raw const set as usize,
            0,
            &raw const none as usize,
            size_of::<Set>(),
        )
    };
}

/// Sends SIGPIPE to the calling thread, as a write to a closed connection does (signal(7)).
pub fn raise_broken_pipe() {
    // SAFETY: no memory is passed.
    let _ = unsafe {
        let process = syscalls::syscall0(Sysno::getpid).unwrap_or(0);
        let thread = syscalls::syscall0(Sysno::gettid).unwrap_or(0);
        syscalls::syscall3(Sysno::tgkill, process, thread, libc::SIGPIPE as usize)
    };
}

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Default)]
pub(super) struct Action {
    pub(super) handler: usize,
    pub(super) flags: u64,
    restorer: usize,
    mask: Set,
}

fn rt_sigaction(signal: i32, new: usize, old: usize) -> bool {
    // SAFETY: each is null, or an `Action` that lives across the call; a handler that is set was read
    // from there, or is one for which that is so.
    unsafe {
        syscall4(
            Sysno::rt_sigaction,
            signal as usize,
            new,
            old,
            size_of::<Set>(),
        )
    }
    .is_ok()
}

/// What is done on `signal`.
pub(super) fn action(signal: i32) -> Option<Action> {
    let mut action = Action::default();
    rt_sigaction(signal, 0, &raw mut action as usize).then_some(action)
}

/// Changes it.
pub(super) fn set_action(signal: i32, action: &Action) {
    rt_sigaction(signal, &raw const *action as usize, 0);
}

/// Whether every handler the program has installed asks for interrupted calls to be restarted
/// (SA_RESTART). With handlers of both kinds it cannot be told which one ran: the answer is then
/// no, and the program sees EINTR, which signal(7) allows for in all its programs.
pub fn all_restart() -> bool {
    (1..=64).filter_map(action).all(|action| {
        action.handler <= libc::SIG_IGN || action.flags & libc::SA_RESTART as u64 != 0
    })
}
