//! Sockets that a process was forked with, as long as it uses none of them.
//!
//! Many forked processes never do: they write a snapshot, or execute a program. So at the fork nothing is done about them:
//! they are what they were in the parent, and not a page is copied for their sake. The first call that asks the
//! [`table`] for one, or for a set that watches any, *takes them over*:
//!
//! 1. their states, which threads may have had at the fork that are not here, are made accessible;
//! 2. their owner is another process ([`away`]);
//! 3. it is told, and gives up its short cuts, before the call goes on.
//!
//! Until then nobody has any socket's state, and there is no engine. What is closed, or not passed on by execve(2), is not
//! used.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rustix::fd::RawFd;

use super::{away, table};
use crate::driver;
use crate::sys::handlers;
use crate::sys::lock::{self, Mutex};

/// There may be some that were not taken over.
static UNUSED: AtomicBool = AtomicBool::new(false);
/// The engine that the process was forked from last; 0: none, or that knows of it already.
static ENGINE: AtomicU64 = AtomicU64::new(0);
/// Held while they are taken over.
static TAKING: Mutex<()> = Mutex::new(());

/// In a forked child: `engine` is the parent's, or 0 if that had none.
///
/// # Safety
/// The calling thread is the only one of its process, and uses no socket now.
pub(super) unsafe fn inherited(engine: u64) {
    // SAFETY: as the caller says.
    unsafe {
        table::free();
        lock::free(&TAKING);
    }
    let unused = UNUSED.swap(true, Ordering::Relaxed);
    if engine != 0 || !unused {
        ENGINE.store(engine, Ordering::Relaxed);
    }
}

/// Before anything else is done with any socket.
#[inline]
pub fn take_over() {
    if UNUSED.load(Ordering::Acquire) {
        take_all_over();
    }
}

#[cold]
fn take_all_over() {
    handlers::section(|| {
        let _taking = TAKING.lock();
        if !UNUSED.load(Ordering::Acquire) {
            return;
        }
        let engine = ENGINE.load(Ordering::Relaxed);
        if engine != 0 {
            driver::announce_use(engine);
        }
        let sockets = table::entries();
        for (_, socket) in &sockets {
            // SAFETY: nobody else has the state: whoever wants it waits for this to end.
            unsafe { socket.free_state() };
        }
        away::owned_elsewhere(engine, sockets);
        UNUSED.store(false, Ordering::Release);
    });
}

/// Before `numbers` are closed, which is a use of those that may wait for it (SO_LINGER).
pub(super) fn before_closing(numbers: RangeInclusive<RawFd>) {
    if !UNUSED.load(Ordering::Acquire) {
        return;
    }
    let lingers = handlers::section(|| {
        let _taking = TAKING.lock();
        let unused = UNUSED.load(Ordering::Acquire);
        unused
            && table::entries_of(numbers).iter().any(|socket| {
                // SAFETY: as in `take_all_over`.
                unsafe { socket.free_state() };
                socket.state().options.linger.is_some()
            })
    });
    if lingers {
        take_over();
    }
}
