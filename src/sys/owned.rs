//! Descriptors that are closed with what owns them.

use core::mem::{self, ManuallyDrop};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};

use super::descriptor;

/// A descriptor of ours. Once it is closed its number is anybody's: see `descriptor::is_ours`. A process that gives up its
/// stack closes what is ours by the numbers (`descriptor::close_ours_but`), also what a thread of ours has yet.
#[derive(Debug)]
pub struct OwnedFd {
    fd: ManuallyDrop<rustix::fd::OwnedFd>,
    /// The number is known to be ours, as long as nobody else has closed it.
    marked: bool,
}

impl OwnedFd {
    /// Makes known that the number is ours.
    pub(super) fn mark(&mut self) {
        self.marked = descriptor::mark_ours(self.as_raw_fd());
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // Before it is closed, since the program may be given the number at once.
        let is_ours = descriptor::forget(self.as_raw_fd());
        if is_ours || !self.marked {
            // SAFETY: done once, here.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

impl From<rustix::fd::OwnedFd> for OwnedFd {
    fn from(fd: rustix::fd::OwnedFd) -> Self {
        Self {
            fd: ManuallyDrop::new(fd),
            marked: false,
        }
    }
}

impl FromRawFd for OwnedFd {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: as the caller says.
        unsafe { rustix::fd::OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for OwnedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl IntoRawFd for OwnedFd {
    fn into_raw_fd(self) -> RawFd {
        let fd = self.fd.as_raw_fd();
        descriptor::forget(fd);
        mem::forget(self);
        fd
    }
}
