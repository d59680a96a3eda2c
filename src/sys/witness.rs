//! Whether somebody still has a file open, told to who has not.

use super::owned::OwnedFd;
use super::wait::{Set, borrow, no_event};
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, BorrowedFd, RawFd};
use rustix::io::Errno;

/// Events of one look.
const MANY: usize = 64;

/// An epoll set keeps nobody's file open, and forgets it once the last descriptor is closed, whoever had that (epoll(7)).
/// It can be asked of files that have hung up: for these it always has an event. Whoever has the set can ask, of what was
/// entered by other processes, too.
#[derive(Default)]
pub struct Witnesses(Option<Set>);

impl From<OwnedFd> for Witnesses {
    /// The set of another process.
    fn from(set: OwnedFd) -> Self {
        Self(Some(Set::from(set)))
    }
}

impl Witnesses {
    /// The set, if there is one.
    pub fn set(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// Knows the file of `fd` as `token` from now on.
    ///
    /// # Errors
    /// What epoll_create(2) and epoll_ctl(2) say.
    pub fn enter(&mut self, fd: RawFd, token: u64) -> Result<(), Errno> {
        let set = match &mut self.0 {
            Some(set) => set,
            none => none.insert(Set::new()?),
        };
        match set.add(borrow(fd), token, EventFlags::empty()) {
            Err(Errno::EXIST) => Ok(()),
            added => added,
        }
    }

    /// Whether a file that was entered, and has hung up, is open.
    pub fn is_open(&self, token: u64) -> bool {
        let Some(set) = &self.0 else { return false };
        let mut events = [no_event(); MANY];
        let mut first = None;
        loop {
            // What was told goes to the end of the kernel's list.
            let count = set.ready(&mut events);
            for event in &events[..count] {
                let other = event.data.u64();
                if other == token {
                    return true;
                }
                if first == Some(other) {
                    return false;
                }
                first = first.or(Some(other));
            }
            if count < events.len() {
                return false;
            }
        }
    }
}
