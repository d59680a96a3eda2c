//! What happens to the engine when the process forks or ends.

use core::time::Duration;
use parking_lot::MutexGuard;

use super::endpoint::Role;
use super::seat::{Wait, wait};
use super::{ENGINE, Guard, INSIDE, lock, passed, start};
use crate::sys::{clock, descriptor};

/// How long the end of the process waits at most for what was accepted by send(2) to be
/// acknowledged by peers that go on acknowledging.
const FINISH: Duration = Duration::from_secs(10);

/// Has the process's forks and its end told to us.
pub(super) fn hook() {
    // SAFETY: the three are plain functions without arguments that never unwind.
    unsafe {
        libc::pthread_atfork(
            Some(before_fork),
            Some(after_fork_parent),
            Some(after_fork_child),
        );
    }
}

extern "C" fn before_fork() {
    if !INSIDE.replace(true) {
        // Held across the fork, so that the child finds everything in order.
        let mut slot = ENGINE.lock();
        if let Some(engine) = slot.as_deref_mut() {
            engine.settle_lagging();
        }
        core::mem::forget(slot);
    }
}

extern "C" fn after_fork_parent() {
    // SAFETY: locked by before_fork, in this thread.
    unsafe { ENGINE.force_unlock() };
    INSIDE.set(false);
    if let Some(mut guard) = lock() {
        // The child writes to the same descriptors now, where this process does not see it.
        guard.share_writers();
    }
}

extern "C" fn after_fork_child() {
    // SAFETY: locked by before_fork, in the thread that is this process's only one now.
    unsafe { ENGINE.force_unlock() };
    let mut slot: MutexGuard<'_, _> = ENGINE.lock();
    if let Some(engine) = slot.take() {
        // What the engine holds is the parent's. Its descriptors are closed here; its memory is a
        // copy that need not be walked through.
        if descriptor::close_region() {
            core::mem::forget(engine);
        } else {
            drop(engine);
        }
    }
    drop(slot);
    descriptor::restore_limit();
    start::forget();
    passed::forget();
    INSIDE.set(false);
    crate::sys::process::forget_id();
    for hook in super::AFTER_FORK.lock().iter() {
        hook();
    }
}

/// The process ends: its descriptors count as closed, and what it has sent is delivered as far as
/// peers take it.
pub fn finish() {
    let Some(mut guard) = lock() else { return };
    let now = guard.now();
    let ids: Vec<_> = guard.endpoints.ids().collect();
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
    if guard.stack.tcp_is_quiet() {
        return;
    }
    let deadline = clock::monotonic() + FINISH.as_nanos() as u64;
    let mut request = Wait {
        deadline: Some(deadline),
        ..Wait::default()
    };
    while wait_until_quiet(&mut guard, &mut request) {}
}

/// Whether to wait on: a signal handler ran.
fn wait_until_quiet(guard: &mut Guard, request: &mut Wait<'_>) -> bool {
    let outcome = wait(guard, request, None, |engine, _| {
        engine.stack.tcp_is_quiet().then_some(())
    });
    outcome == Err(super::Interruption::Signal)
}
