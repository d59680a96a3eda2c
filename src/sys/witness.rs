//! Whether somebody still has a file open, told to who has not.

use super::wait::{Set, borrow, no_event};
use rustix::event::epoll::EventFlags;
use rustix::fd::RawFd;
use rustix::io::Errno;

/// Events of one look.
const MANY: usize = 64;

/// An epoll set keeps nobody's file open, and forgets it once the last descriptor is closed, whoever had that (epoll(7)).
/// It can be asked of files that have hung up: for these it always has an event.
#[derive(Default)]
pub struct Witnesses(Option<Set>);

impl Witnesses {
    /// Knows the file of `fd` as `token` from now on.
    ///
    /// # Errors
    /// What epoll_create(2) and epoll_ctl(2) say.
    pub fn enter(&mut self, fd: RawFd, token: u64) -> Result<(), Errno> {
        let set = match &mut self.0 {
            Some(set) => set,
            none => none.insert(Set::new()?),
        };
        set.add(borrow(fd), token, EventFlags::empty())
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
