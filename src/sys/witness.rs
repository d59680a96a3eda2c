//! Whether somebody still has a file open, told to who has not.

use super::wait::{Set, borrow, no_event};
use rustix::event::epoll::EventFlags;
use rustix::fd::RawFd;
use rustix::io::Errno;

/// An epoll set keeps nobody's file open, and forgets it once the last descriptor is closed, whoever had that (epoll(7)).
pub struct Witness(Set);

impl Witness {
    /// Of the file of `fd`, which is to be readable from now on: a socket that was shut down for reading is.
    ///
    /// # Errors
    /// What epoll_create(2) and epoll_ctl(2) say.
    pub fn of(fd: RawFd) -> Result<Self, Errno> {
        let set = Set::new()?;
        set.add(borrow(fd), 0, EventFlags::IN)?;
        Ok(Self(set))
    }

    /// Whether the file is open.
    pub fn is_open(&self) -> bool {
        self.0.ready(&mut [no_event()]) > 0
    }
}
