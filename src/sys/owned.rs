//! Descriptors that are closed with what owns them.

use core::mem;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};

use super::descriptor;

/// A descriptor of ours. Once it is closed its number is anybody's: see `descriptor::is_ours`.
#[derive(Debug)]
pub struct OwnedFd(rustix::fd::OwnedFd);

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // Before it is closed, since the program may be given the number at once.
        descriptor::forget(self.0.as_raw_fd());
    }
}

impl From<rustix::fd::OwnedFd> for OwnedFd {
    fn from(fd: rustix::fd::OwnedFd) -> Self {
        Self(fd)
    }
}

impl FromRawFd for OwnedFd {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: as the caller says.
        Self(unsafe { rustix::fd::OwnedFd::from_raw_fd(fd) })
    }
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for OwnedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for OwnedFd {
    fn into_raw_fd(self) -> RawFd {
        let fd = self.0.as_raw_fd();
        descriptor::forget(fd);
        mem::forget(self);
        fd
    }
}
