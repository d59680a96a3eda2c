//! No link at all: for a stack that serves nothing but the host itself.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use super::{Frame, Link, Received, Statistics};
use crate::sys::wake::Bell;

/// A link on which nothing arrives, and that nothing leaves by.
pub struct Nothing {
    /// What stands for its descriptor: it never rings.
    bell: Bell,
}

impl Nothing {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM: there is no descriptor for it.
    pub fn open() -> Result<Self, Errno> {
        Ok(Self { bell: Bell::new()? })
    }
}

impl Link for Nothing {
    fn receive<'a>(&'a mut self, _buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Errno> {
        Ok(None)
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, Errno> {
        Err(Errno::NETDOWN)
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn statistics(&mut self) -> Statistics {
        Statistics::default()
    }
}
