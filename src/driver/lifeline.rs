//! Lifelines: how a process learns that no forked one has its sockets any more.
//!
//! After fork(2) the child may use every socket that existed, where this process does not see it,
//! so these have no short cuts. The child holds the write end of a pipe, its *lifeline*, as does
//! whatever it forks; when the last of them has ended or executed another program, the pipe hangs
//! up, and the sockets are this process's alone again: once all events are served that came before, since the pairs' tell
//! what they have written, if anything.
//!
//! 1. A socket that goes farther than that (the child passes it on, or keeps it across execve(2)) is
//!    shared for good: the child has its owner told (`Question::Share`).
//! 2. A lifeline is inherited by a program that is executed where no hook sees it.
//! 3. It also shows who may ask the parent for sockets of its stack (see the [`keeper`](super::keeper)).
//! 4. Where no lifeline can be made, what existed at the fork is shared for good.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use rustix::fs::fstat;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Engine;
use super::endpoint::Role;
use super::engine::TOKEN_LIFELINE;
use crate::sys::descriptor;
use crate::sys::local;
use crate::sys::lock::{self, Mutex};
use crate::sys::owned::OwnedFd;

/// Forked processes that are watched at a time, where our descriptors do not lie among the program's
/// own numbers, and where they do.
const MOST: usize = 4096;
const MOST_AMONG: usize = 64;

/// The lifelines this process holds, the newest last.
static HELD: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// The lifeline of a process this one was forked from.
struct Line {
    parent: Parent,
    fd: OwnedFd,
}

/// A process this one was forked from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent {
    /// Its engine.
    pub(super) engine: u64,
    /// Its user, as far as this process knows.
    pub(super) user: u32,
    /// What shows that this process descends from it.
    pub(super) lifeline: RawFd,
}

/// The lifelines this process watches.
#[derive(Default)]
pub(super) struct Lifelines {
    /// The child's end, across a fork.
    fresh: Option<OwnedFd>,
    /// Of each fork whose processes live: its number, and the read end.
    living: Vec<(u32, OwnedFd)>,
    /// One has ended, and what existed then still counts as shared.
    ended: bool,
    /// The last fork that cannot be watched.
    endless: u32,
    /// Forks of whose lifelines no copy was made for who goes on when this process is killed.
    pub(super) uncopied: Vec<u32>,
}

impl Lifelines {
    /// All that are watched.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.living.iter().map(|&(number, _)| number).collect()
    }

    /// The end of a lifeline that is watched.
    pub(super) fn end_of(&self, number: u32) -> Option<BorrowedFd<'_>> {
        let mut living = self.living.iter();
        living
            .find(|held| held.0 == number)
            .map(|held| held.1.as_fd())
    }

    /// Forks whose processes live, as far as that is known.
    pub(super) fn len(&self) -> usize {
        self.living.len()
    }
}

/// The numbers of the lifelines this process holds.
pub(super) fn held() -> Vec<RawFd> {
    HELD.lock().iter().map(|line| line.fd.as_raw_fd()).collect()
}

/// Those this process was forked from, the nearest first.
pub(super) fn parents() -> Vec<Parent> {
    HELD.lock().iter().rev().map(|line| line.parent).collect()
}

/// Lets them go: this process has nothing of the program's.
pub(super) fn release() {
    HELD.lock().clear();
}

/// This process is about to become another program, or is its vfork(2) child that is: lifelines
/// end here if all that goes on is `shared` for good (invariant 1).
pub fn end_at_exec(shared: bool) {
    let flags = match shared {
        true => rustix::io::FdFlags::CLOEXEC,
        false => rustix::io::FdFlags::empty(),
    };
    for line in HELD.lock().iter() {
        // Of a descriptor that is open: it cannot fail.
        let _ = rustix::io::fcntl_setfd(&line.fd, flags);
    }
}

/// Whether this process was forked from one that watches it.
pub fn is_held() -> bool {
    !HELD.lock().is_empty()
}

/// Frees the lock.
///
/// # Safety
/// The calling thread is the only one of its process, and does not have it.
pub(super) unsafe fn free_lock() {
    // SAFETY: as the caller says.
    unsafe { lock::free(&HELD) };
}

impl Engine {
    /// Before a fork: what exists is shared until the lifeline ends, which it soon does if none comes of it. Whoever goes
    /// on when this process is killed knows of that before the child is there.
    pub(super) fn prepare_lifeline(&mut self) {
        if self.endpoints.is_empty() {
            return;
        }
        let number = self.endpoints.count_fork();
        if let Some((read, write)) = self.make_line()
            && self.watch_line(number, read)
        {
            self.lifelines.fresh = Some(write);
            self.lifelines.uncopied.push(number);
        } else {
            self.lifelines.endless = number;
        }
        self.share_all(|endpoint| endpoint.forked = true);
        self.copy_ends();
    }

    /// Both ends of another lifeline; `None`: there can be none.
    fn make_line(&self) -> Option<(OwnedFd, OwnedFd)> {
        let most = match descriptor::is_apart() {
            true => MOST,
            false => MOST_AMONG,
        };
        if self.lifelines.living.len() >= most {
            return None;
        }
        let make = || pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (read, write) = descriptor::with_room(make).ok()?;
        Some((
            descriptor::moved(read).ok()?,
            descriptor::moved(write).ok()?,
        ))
    }

    /// After it, in the child: the engine is about to be given up, the lifeline is kept.
    pub(super) fn hold_lifeline(&mut self) {
        if let Some(write) = self.lifelines.fresh.take()
            && rustix::io::fcntl_setfd(&write, rustix::io::FdFlags::empty()).is_ok()
        {
            let parent = Parent {
                engine: self.id,
                user: local::own_user(),
                lifeline: write.as_raw_fd(),
            };
            HELD.lock().push(Line { parent, fd: write });
        }
    }

    /// Whether `fd` is the lifeline of a process forked from this one.
    pub(super) fn is_lifeline(&self, fd: &OwnedFd) -> bool {
        let Ok(shown) = fstat(fd) else { return false };
        // Both ends of a pipe are one file.
        self.lifelines.living.iter().any(|(_, read)| {
            fstat(read).is_ok_and(|held| (held.st_dev, held.st_ino) == (shown.st_dev, shown.st_ino))
        })
    }

    /// After it, in the parent: the child alone holds the lifeline.
    pub(super) fn leave_lifeline(&mut self) {
        self.lifelines.fresh = None;
    }

    /// Watches a lifeline, which may be that of another process's fork; whether that can be.
    pub(super) fn watch_line(&mut self, number: u32, read: OwnedFd) -> bool {
        let token = TOKEN_LIFELINE + u64::from(number);
        let watched = self.set.add(&read, token, EventFlags::HUP).is_ok();
        if watched {
            self.lifelines.living.push((number, read));
        }
        watched
    }

    /// The lifeline of a fork has ended.
    pub(super) fn serve_lifeline(&mut self, number: u32) {
        let living = &mut self.lifelines.living;
        if let Some(at) = living.iter().position(|&(held, _)| held == number) {
            let (_, read) = living.swap_remove(at);
            self.set.remove(&read);
            self.lifelines.ended = true;
        }
    }

    /// All events of the ends were served. Where a lifeline's was among them, so were those of whatever its processes had
    /// written before: what existed at that fork and at no later one whose processes live is this process's alone.
    pub(super) fn end_sharing(&mut self) {
        if !core::mem::take(&mut self.lifelines.ended) {
            return;
        }
        let living = &self.lifelines.living;
        let newest = living.iter().map(|&(held, _)| held).max();
        let newest = newest.unwrap_or(0).max(self.lifelines.endless);
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            let Some(endpoint) = self.endpoints.get_mut(id) else {
                continue;
            };
            if !endpoint.forked || endpoint.born < newest {
                continue;
            }
            endpoint.forked = false;
            match endpoint.role {
                Role::Datagram(socket) => self.take_datagrams(id, socket),
                Role::Listener(socket) => {
                    self.offer_connection(id, socket);
                    self.watch_end(id);
                }
                // What they have written is taken once there is a connection.
                Role::Connecting(_) => endpoint.overflow = true,
                Role::Connection(_) | Role::Undecided | Role::Ended => {}
            }
        }
    }
}
