//! A link made of queues.

use std::collections::VecDeque;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::link::{Checksum, Frame, Link, Offload, Received, Statistics};

/// What is in `arriving` will be received; what is transmitted goes to `left`, up to `room`.
pub struct Wire {
    pub arriving: VecDeque<(Vec<u8>, Checksum)>,
    pub left: Vec<(Vec<u8>, Option<Offload>)>,
    pub room: usize,
    fd: OwnedFd,
}

impl Wire {
    pub fn new() -> Self {
        Self {
            arriving: VecDeque::new(),
            left: Vec::new(),
            room: usize::MAX,
            fd: eventfd(0, EventfdFlags::CLOEXEC).expect("eventfd"),
        }
    }
}

impl Link for Wire {
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, Errno> {
        let Some((frame, checksum)) = self.arriving.pop_front() else {
            return Ok(None);
        };
        buffer[..frame.len()].copy_from_slice(&frame);
        Ok(Some(Received {
            len: frame.len(),
            checksum,
            gso_size: 0,
            stamp: 0,
        }))
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        let count = frames.len().min(self.room - self.left.len());
        for frame in &frames[..count] {
            let mut bytes = Vec::new();
            frame.copy_to(&mut bytes);
            self.left.push((bytes, frame.offload));
        }
        Ok(count)
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn statistics(&mut self) -> Statistics {
        Statistics::default()
    }
}
