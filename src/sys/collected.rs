//! Descriptors that nobody waits for when they are closed.
//!
//! ```text
//!   give ──► take ═══ queue: take itself, copies of the descriptors
//! ```
//!
//! To close the last descriptor of some files takes the kernel long: a packet socket ten milliseconds and more, in which
//! whoever closes it waits, and whoever waits for a process to end. So copies lie in a queue that lies in itself. Once the
//! process has neither end of it any more, however it lost them, nobody can get at it, and what collects such queues in the
//! kernel (unix(7), SCM_RIGHTS) closes all that is in it: from Linux 6.9 on in a thread of its own, before that in the
//! one that closed the ends.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::{descriptor, pair};

/// What the messages in the queue say.
const ITSELF: &[u8] = b"q";
const COPY: &[u8] = b"c";

/// See the module.
#[derive(Debug)]
pub struct Collected {
    // In this order they are to be closed: it is the end of a socket that is in no queue that sets the collector going.
    take: OwnedFd,
    give: OwnedFd,
}

impl Collected {
    /// Nothing but the queue.
    ///
    /// # Errors
    /// Those of socketpair(2). ETOOMANYREFS: the user has too many descriptors in queues.
    pub fn new() -> Result<Self, Errno> {
        let (give, take) = pair::make_own()?;
        pair::give_descriptor(&give, ITSELF, take.as_fd())?;
        Ok(Self { take, give })
    }

    /// Puts a copy of `fd` in.
    ///
    /// # Errors
    /// As [`Self::new`], and EAGAIN: there is no room for as many.
    pub fn put(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        pair::give_descriptor(&self.give, COPY, fd).map(drop)
    }

    /// Takes one of the copies out, the first that was put in. Of several processes that have the queue one gets it.
    pub fn take(&self) -> Option<OwnedFd> {
        let mut rounds = 0;
        while rounds < 2 {
            let mut says = [0];
            let (_, taken) = pair::take_message(&self.take, &mut says, true).ok()?;
            if says != ITSELF {
                return descriptor::moved(taken?).ok();
            }
            pair::give_descriptor(&self.give, ITSELF, self.take.as_fd()).ok()?;
            rounds += 1;
        }
        None
    }
}
