//! The packet sockets of a process that gives up the right to open any: for the stack it may come to have, and for the
//! ring that may follow.
//!
//! ```text
//!   give ═══ queue: packet sockets ═══► take
//! ```
//!
//! They lie in the queue of a socket pair, admit nothing, and are bound to nothing.
//!
//! 1. Forked processes have the queue, too. Who takes a socket out first has it alone.
//! 2. To close a packet socket takes the kernel some ten milliseconds, in which the last to have it waits: every program
//!    that gives up rights and executes another, as su(1) does. So before that the queue is put into itself
//!    ([`leave`]). Nobody can get at it any more then, and what collects such queues in the kernel closes the sockets,
//!    from Linux 6.9 on without anybody's waiting.

use rustix::fd::AsFd;
use rustix::io::Errno;

use super::open;
use crate::sys::lock::{self, Mutex};
use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, filter, pair, raw};

static KEPT: Mutex<Option<Store>> = Mutex::new(None);

struct Store {
    // In this order they are to be closed: to close the last one is what sets the collector going.
    take: OwnedFd,
    give: OwnedFd,
    /// The process that has made it.
    maker: u32,
    /// The queue is in itself.
    left: bool,
}

/// Keeps so many packet sockets, if they can be opened and none is kept.
pub fn keep(count: usize) {
    let mut kept = KEPT.lock();
    if count > 0 && kept.is_none() {
        *kept = Store::make(count).ok();
    }
}

/// Whether any is kept, which another process may have taken.
pub fn is_kept() -> bool {
    KEPT.lock().is_some()
}

/// The process is about to become another program: see the module.
pub fn leave() {
    if let Some(store) = KEPT.lock().as_mut() {
        store.leave();
    }
}

/// Lets them go.
pub fn discard() {
    leave();
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
    let kept = KEPT.lock();
    let store = kept.as_ref()?;
    let (_, socket) = pair::take_message(&store.take, &mut [0], true).ok()?;
    descriptor::moved(socket?).ok()
}

impl Store {
    fn make(count: usize) -> Result<Self, Errno> {
        let first = open(&filter::NOTHING)?;
        descriptor::set_apart();
        let (give, take) = pair::make_own()?;
        pair::give_descriptor(&give, &[0], first.as_fd())?;
        for _ in 1..count {
            pair::give_descriptor(&give, &[0], open(&filter::NOTHING)?.as_fd())?;
        }
        Ok(Self {
            take,
            give,
            maker: raw::process_id(),
            left: false,
        })
    }

    /// Only once, and not by those that were forked: the queue holds no more than a few.
    fn leave(&mut self) {
        if !self.left && self.maker == raw::process_id() {
            let put = pair::give_descriptor(&self.give, &[0], self.take.as_fd());
            self.left = put.is_ok();
        }
    }
}
