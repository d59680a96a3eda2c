//! What happens to the engine when the process forks or ends.

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::RawFd;

use super::endpoint::Role;
use super::seat::{Interruption, Wait, wait};
use super::{ENGINE, Guard, HOOKS, Hooks, Section, estate, heir, lock, passed, start};
use super::{beds, forks, lifeline};
use crate::link::kept;
use crate::stack::tcp::Counter;
use crate::sys::{cancel, clock, descriptor, handlers, raw};

/// How long the end of the process waits at most for what was accepted by send(2) to be
/// acknowledged, by peers that go on acknowledging.
const FINISH: Duration = Duration::from_secs(10);
/// How long it waits before an heir takes over what is left.
const GRACE: Duration = Duration::from_millis(20);
/// Without an heir: how long it waits for peers from whom nothing is heard.
const SILENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether before_fork has locked the engine, in this thread. (It has not if the fork comes
    /// from a signal handler that interrupted a call of ours.)
    static LOCKED: Cell<bool> = const { Cell::new(false) };
    /// Whose tables it holds.
    static HELD: Cell<Option<&'static Hooks>> = const { Cell::new(None) };
}

/// Keeps other threads from changing the upper layer's tables, until [`release_tables`] in the parent, or
/// [`free_locks`] in the child.
fn hold_tables() {
    let hooks = HOOKS.get().copied();
    if let Some(hooks) = hooks {
        (hooks.hold)();
    }
    HELD.set(hooks);
}

fn release_tables() {
    if let Some(hooks) = HELD.take() {
        // SAFETY: held by hold_tables, in this thread.
        unsafe { (hooks.release)() };
    }
}

/// Makes a copy of the process that finds the upper layer's tables whole.
pub(super) fn with_tables_held<T>(fork: impl FnOnce() -> T) -> T {
    hold_tables();
    let forked = fork();
    release_tables();
    forked
}

/// Has the process's forks told to us: also those of a process without an engine, which may have
/// sockets of other processes.
pub fn watch_forks() {
    crate::sys::process::note_id();
    // SAFETY: the three are plain functions without arguments that never unwind.
    unsafe {
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_parent),
            Some(after_fork_child),
        );
    }
}

/// Before fork(2): run by the C library, or by the hooks of those forks that it does not tell of.
pub extern "C" fn before_fork() {
    if !handlers::enter() {
        // Held across the fork, so that the child finds everything in order.
        let mut slot = ENGINE.lock();
        if let Some(engine) = slot.as_deref_mut() {
            engine.settle_lagging();
            // The child is going to write to the same descriptors, where this process does not see it.
            engine.prepare_lifeline();
        }
        core::mem::forget(slot);
        hold_tables();
        cancel::hold();
        beds::hold();
        LOCKED.set(true);
    }
}

/// After it, in the parent.
pub extern "C" fn after_fork_parent() {
    if !LOCKED.replace(false) {
        return;
    }
    // SAFETY: locked by before_fork, in this thread.
    unsafe {
        beds::release();
        cancel::release();
        release_tables();
        ENGINE.force_unlock();
    }
    handlers::leave();
    if let Some(mut guard) = lock() {
        guard.leave_lifeline();
    }
}

/// After it, in the child.
pub extern "C" fn after_fork_child() {
    if !LOCKED.replace(false) {
        return;
    }
    HELD.set(None);
    // SAFETY: locked by before_fork, in the thread that is this process's only one now.
    unsafe {
        beds::release_in_child();
        cancel::release_in_child();
        ENGINE.force_unlock();
    }
    // SAFETY: this is the process's only thread, and from fork's handler, which no call of ours
    // runs in.
    unsafe { free_locks() };
    crate::sys::process::note_id();
    passed::forget();
    let mut slot = ENGINE.lock();
    if let Some(engine) = slot.as_deref_mut() {
        engine.hold_lifeline();
    }
    let id = give_up(Guard(slot, Section));
    if let Some(hooks) = HOOKS.get() {
        // SAFETY: as above.
        unsafe { (hooks.inherited)(id) };
    }
}

/// Frees the locks that other threads had at the fork, but for the upper layer's.
///
/// # Safety
/// The calling thread is the only one of its process, and has none of them.
pub(super) unsafe fn free_locks() {
    // SAFETY: as the caller says.
    unsafe {
        descriptor::free_lock();
        lifeline::free_lock();
        kept::free_lock();
    }
}

/// Gives the engine up: another process serves it.
pub(super) fn disown(guard: Guard) {
    let id = give_up(guard);
    if let Some(hooks) = HOOKS.get() {
        (hooks.disowned)(id);
    }
}

/// Gives the engine up; its id, or 0 where there is none. Its descriptors are closed here, by their numbers. Its memory is a
/// copy that need not be walked through: what would be undone where it is dropped is another process's.
fn give_up(mut guard: Guard) -> u64 {
    let mut id = 0;
    if let Some(engine) = guard.0.take() {
        id = engine.id;
        estate::note_bell(None);
        engine.will.forsake();
        core::mem::forget(engine);
        descriptor::close_ours_but(&lifeline::held());
        kept::forget();
        forks::forget();
    }
    drop(guard);
    descriptor::leave_region();
    start::forget();
    id
}

/// The process ends, and with it the program's descriptors `numbers`. What other processes hold
/// of them is left to an heir at once; else all is closed. With what then does not end at once goes on
/// the keeper, or an heir; without either, what was sent is delivered as far as peers take it.
pub fn finish(numbers: &[RawFd]) {
    let Some(mut guard) = lock() else { return };
    guard.settle_lagging();
    guard.note_all_holders();
    for &number in numbers {
        let _ = raw::close(number);
    }
    let now = guard.now();
    let ids: Vec<_> = guard.endpoints.ids().collect();
    for &id in &ids {
        guard.look_at(id);
    }
    guard.finish_pass();
    if guard.has_sockets() && heir::bequeath(&mut guard) {
        return disown(guard);
    }
    for id in ids {
        guard.take_overflow(now, id);
        if !matches!(
            guard.endpoints.get(id).map(|endpoint| endpoint.role),
            Some(Role::Undecided)
        ) {
            guard.close(now, id);
        }
    }
    guard.finish_pass();
    if estate::provide(&mut guard) || wait_until_done(&mut guard) {
        return guard.revoke_if_needless();
    }
    if heir::bequeath(&mut guard) {
        return disown(guard);
    }
    let end = clock::monotonic() + FINISH.as_nanos() as u64;
    while wait_until_quiet(&mut guard, end) {}
}

/// Gives connections the moment that most need to end in order, neighbors that were asked the moment to answer, and a keeper
/// that is being looked for the moment to be found; whether that was enough.
fn wait_until_done(guard: &mut Guard) -> bool {
    let mut request = Wait {
        deadline: Some(clock::monotonic() + GRACE.as_nanos() as u64),
        ..Wait::default()
    };
    wait(guard, &mut request, None, |engine, _| {
        engine.may_end().then_some(())
    })
    .is_ok()
}

/// Whether to wait on: a signal handler ran, or a peer was heard from.
fn wait_until_quiet(guard: &mut Guard, end: u64) -> bool {
    let heard = guard.stack.tcp_counters().get(Counter::SegmentsIn);
    let silence = clock::monotonic() + SILENCE.as_nanos() as u64;
    let mut request = Wait {
        deadline: Some(end.min(silence)),
        ..Wait::default()
    };
    let outcome = wait(guard, &mut request, None, |engine, _| {
        engine.stack.tcp_is_quiet().then_some(())
    });
    match outcome {
        Ok(()) => false,
        Err(Interruption::Signal { .. } | Interruption::Cancelled) => true,
        Err(Interruption::TimedOut) => {
            clock::monotonic() < end && guard.stack.tcp_counters().get(Counter::SegmentsIn) != heard
        }
    }
}
