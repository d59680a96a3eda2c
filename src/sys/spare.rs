//! Numbers kept free among the program's own.
//!
//! Where our descriptors lie among the program's numbers (see `descriptor::set_apart`) a socket takes two, and on Linux
//! one. A server that has come to its limit could not be told of a connection, nor be given it where it closes a descriptor
//! that it kept back for this. So a process that listens keeps two numbers by descriptors of ours, which make room when
//! there is no other.

use core::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsRawFd, FromRawFd, RawFd};
use rustix::io::Errno;

use super::descriptor;
use super::owned::OwnedFd;

const NONE: RawFd = -1;

/// What keeps the numbers.
static KEPT: [AtomicI32; 2] = [const { AtomicI32::new(NONE) }; 2];

/// Runs `make`, which makes a descriptor of the program's and one of ours, with the numbers kept if there are no other.
///
/// # Errors
/// Those of `make`.
pub(super) fn with<T>(make: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    match make() {
        Err(Errno::MFILE) if give() => make(),
        made => made,
    }
}

/// Keeps what is not kept, as far as there is room.
pub fn keep() {
    if descriptor::is_apart() || descriptor::floor() == 0 {
        return;
    }
    for kept in &KEPT {
        if kept.load(Ordering::Relaxed) != NONE {
            continue;
        }
        let Ok(fresh) = descriptor::high(|| eventfd(0, EventfdFlags::CLOEXEC)) else {
            return;
        };
        let number = fresh.as_raw_fd();
        // (Else another thread was first, and this one is closed.)
        if kept
            .compare_exchange(NONE, number, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            core::mem::forget(fresh);
        }
    }
}

/// Whether there was something to give.
fn give() -> bool {
    let kept = KEPT.iter().map(|kept| kept.swap(NONE, Ordering::Relaxed));
    let given = kept.filter(|&number| number != NONE);
    given.fold(false, |_, number| {
        // SAFETY: `keep` has left the descriptor to whoever takes it out, which is done once.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
        true
    })
}

/// The descriptors are closed already: of a process that has given up what it had.
pub(super) fn forget() {
    KEPT.iter()
        .for_each(|kept| kept.store(NONE, Ordering::Relaxed));
}
