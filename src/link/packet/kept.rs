//! The packet sockets of a process that gives up the right to open any: for the stack it may come to have, and for the
//! ring that may follow.
//!
//! They admit nothing, are bound to nothing, and lie in a queue ([`Collected`]). Forked processes have that, too. Who
//! takes a socket out first has it alone.

use rustix::fd::AsFd;
use rustix::io::Errno;

use super::open;
use crate::sys::collected::Collected;
use crate::sys::lock::{self, Mutex};
use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, filter};

static KEPT: Mutex<Option<Collected>> = Mutex::new(None);

/// Keeps so many packet sockets, if they can be opened and none is kept.
pub fn keep(count: usize) {
    let mut kept = KEPT.lock();
    if count > 0 && kept.is_none() {
        *kept = make(count).ok();
    }
}

/// Whether any is kept, which another process may have taken.
pub fn is_kept() -> bool {
    KEPT.lock().is_some()
}

/// Lets them go.
pub fn discard() {
    *KEPT.lock() = None;
}

/// Forgets what was closed with everything else of ours.
pub fn forget() {
    core::mem::forget(KEPT.lock().take());
}

/// Frees the lock.
///
/// # Safety
/// The calling thread is the only one of its process, and does not have it.
pub unsafe fn free_lock() {
    // SAFETY: as the caller says.
    unsafe { lock::free(&KEPT) };
}

/// One of the sockets, if there is one left.
pub(super) fn take() -> Option<OwnedFd> {
    KEPT.lock().as_ref()?.take()
}

fn make(count: usize) -> Result<Collected, Errno> {
    let first = open(&filter::NOTHING)?;
    descriptor::set_apart();
    let kept = Collected::new()?;
    kept.put(first.as_fd())?;
    for _ in 1..count {
        kept.put(open(&filter::NOTHING)?.as_fd())?;
    }
    Ok(kept)
}
