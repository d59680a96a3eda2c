//! The packet socket of a process that gives up the right to open one before it has a stack.
//!
//! ```text
//!   give ═══ queue: the packet socket ═══► take
//! ```
//!
//! It lies in the queue of a socket pair, admits nothing, and is bound to nothing.
//!
//! 1. Forked processes have the queue, too. Who takes the socket out first has it alone.
//! 2. To close a packet socket takes the kernel some ten milliseconds, in which the last to have it waits: every program
//!    that gives up rights and executes another, as su(1) does. So before that the queue is put into itself
//!    ([`leave`]). Nobody can get at it any more then, and what collects such queues in the kernel closes the socket,
//!    from Linux 6.9 on without anybody's waiting.

use rustix::fd::AsFd;
use rustix::io::Errno;

use super::open_unbound;
use crate::sys::lock::Mutex;
use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, filter, pair, raw};

static KEPT: Mutex<Option<Reserve>> = Mutex::new(None);

struct Reserve {
    // In this order they are to be closed: to close the last one is what sets the collector going.
    take: OwnedFd,
    give: OwnedFd,
    /// The process that has made it.
    maker: u32,
    /// The queue is in itself.
    left: bool,
}

/// Keeps a packet socket, if one can be opened and none is kept.
pub fn keep() {
    let mut kept = KEPT.lock();
    if kept.is_none() {
        *kept = Reserve::make().ok();
    }
}

/// Whether one is kept, which another process may have taken.
pub fn is_kept() -> bool {
    KEPT.lock().is_some()
}

/// The process is about to end, or to become another program: see the module.
pub fn leave() {
    if let Some(reserve) = KEPT.lock().as_mut() {
        reserve.leave();
    }
}

/// Lets it go.
pub fn discard() {
    leave();
    *KEPT.lock() = None;
}

/// The socket, if nobody has taken it.
pub(super) fn take() -> Option<OwnedFd> {
    let reserve = KEPT.lock().take()?;
    let (_, socket) = pair::take_message(&reserve.take, &mut [0], true).ok()?;
    descriptor::moved(socket?).ok()
}

impl Reserve {
    fn make() -> Result<Self, Errno> {
        let socket = open_unbound(&filter::NOTHING)?;
        descriptor::set_apart();
        let (give, take) = pair::make_own()?;
        pair::give_descriptor(&give, &[0], socket.as_fd())?;
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
