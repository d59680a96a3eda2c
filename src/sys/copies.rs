//! Copies of descriptors in the queue of a socket pair, for whoever goes on when this process is dead.
//!
//! ```text
//!   put ── copies ──► give ═══ queue ═══► take ─┬─ here: taken out again
//!                                               └─ in another process: read after our death
//! ```
//!
//! 1. As long as nobody else reads, what lies in the queue is this process's, which may take it out at
//!    any moment without asking: it has that end, too. Who reads after its death looks, and takes nothing out
//!    ([`look_through`]): he may be killed, too.
//! 2. A queue gives what came first. So what is taken out is the oldest, or all.
//! 3. Each message costs room, however little is in it. Copies that came one by one are put in anew
//!    together before there is none.

use core::sync::atomic::{AtomicUsize, Ordering};

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::owned::OwnedFd;
use super::pair::{self, MOST_DESCRIPTORS};

/// What lies in the queue of a process that is dead, the oldest first: `visit` is given each message and copies
/// of what came with it, until it says that it has seen enough. All stays there for who comes next, should this process
/// be killed. Others may have put anything in.
pub fn look_through(
    end: &OwnedFd,
    message: &mut [u8],
    mut visit: impl FnMut(&[u8], Vec<OwnedFd>) -> bool,
) {
    if pair::look_from_start(end).is_err() {
        return;
    }
    while let Ok((count @ 1.., copied)) = pair::look_at_descriptors(end, message)
        && visit(&message[..count], copied)
    {}
}

/// Takes all out that lies there, and closes it.
pub fn empty(end: &OwnedFd) {
    // What comes with a message that is received without room for it is closed.
    while let Ok(1..) = pair::take(end, &mut [0]) {}
}

/// Messages in the queue from which on it is worth renewing.
const MANY: usize = 128;
/// What the queue shall have room for, in bytes, if the kernel allows it.
const ROOM: usize = 4 << 20;

/// The queue. Whoever uses it has the engine's lock.
#[derive(Debug)]
pub struct Copies {
    give: OwnedFd,
    take: OwnedFd,
    messages: AtomicUsize,
    /// As it was renewed last.
    renewed: AtomicUsize,
}

impl Copies {
    /// An empty queue.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn new() -> Result<Self, Errno> {
        let (give, take) = pair::make_own()?;
        if sockopt::set_socket_send_buffer_size_force(&give, ROOM).is_err() {
            // The most that is allowed to all.
            let _ = sockopt::set_socket_send_buffer_size(&give, ROOM);
        }
        Ok(Self {
            give,
            take,
            messages: AtomicUsize::new(0),
            renewed: AtomicUsize::new(0),
        })
    }

    /// The end for whoever goes on.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.take.as_fd()
    }

    /// Puts copies of at most [`MOST_DESCRIPTORS`] in, with what is to be known of them.
    ///
    /// # Errors
    /// EAGAIN: there is no room. ETOOMANYREFS: the user has too many descriptors in flight. Others of
    /// sendmsg(2).
    pub fn put(&self, text: &[u8], copied: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        debug_assert!(copied.len() <= MOST_DESCRIPTORS);
        pair::give_descriptors(&self.give, text, copied)?;
        self.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether messages have become many since it was renewed.
    pub fn is_worth_renewing(&self) -> bool {
        self.messages() - self.renewed.load(Ordering::Relaxed) > MANY
    }

    /// Has `put_all` put in what is to be there in place of all that is. If there is no room beside
    /// that, it is taken out before, and `put_all` called again.
    ///
    /// # Errors
    /// Those of `put_all`.
    pub fn renew(&self, mut put_all: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
        let before = self.messages();
        let put = match put_all() {
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => {
                self.clear();
                put_all()
            }
            put => {
                self.drop_oldest(before);
                put
            }
        };
        self.renewed.store(self.messages(), Ordering::Relaxed);
        put
    }

    /// Takes everything out.
    pub fn clear(&self) {
        self.drop_oldest(self.messages());
        self.renewed.store(0, Ordering::Relaxed);
    }

    fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    fn drop_oldest(&self, count: usize) {
        for _ in 0..count {
            // What comes with a message that is received without room for it is closed.
            let _ = pair::take(&self.take, &mut [0]);
        }
        self.messages.fetch_sub(count, Ordering::Relaxed);
    }
}
