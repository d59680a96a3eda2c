//! The wills that a keeper has.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::HashMap;

use super::executor::Estate;
use super::words::{REVOCATION, Text};
use crate::control::log;
use crate::sys::wait::{Set, no_event};
use crate::sys::{pair, process, signal};

/// Most that a keeper takes; each has four descriptors.
const MOST: usize = 8192;
/// Deaths looked at in one go.
const EVENTS: usize = 16;

/// Of living processes, each with the connection that it came by.
pub(in crate::driver) struct Wills {
    set: Set,
    held: HashMap<u64, (OwnedFd, Estate)>,
    /// How many there were.
    count: u64,
    /// A pipe that hangs up when the keeper is gone: the end that executors watch, and ours.
    lifeline: (OwnedFd, OwnedFd),
}

impl Wills {
    /// None yet.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(in crate::driver) fn new() -> Result<Self, Errno> {
        Ok(Self {
            set: Set::new()?,
            held: HashMap::new(),
            count: 0,
            lifeline: pipe_with(PipeFlags::CLOEXEC)?,
        })
    }

    /// Whether any process counts on this one.
    pub(in crate::driver) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes a will, if the message is one and there is room. Whoever is not heard finds the
    /// connection closed.
    pub(in crate::driver) fn receive(
        &mut self,
        connection: OwnedFd,
        message: &[u8],
        descriptors: Vec<OwnedFd>,
    ) {
        let Ok([memory, packets, vault]) = <[OwnedFd; 3]>::try_from(descriptors) else {
            return;
        };
        let Some(text) = Text::decode(message) else {
            return;
        };
        let estate = Estate {
            text,
            memory,
            packets,
            vault,
        };
        let events = EventFlags::IN | EventFlags::RDHUP;
        if self.held.len() < MOST && self.set.add(&connection, self.count, events).is_ok() {
            self.held.insert(self.count, (connection, estate));
            self.count += 1;
        }
    }

    /// Has those executed whose processes are gone.
    pub(in crate::driver) fn serve(&mut self) {
        let mut events = [no_event(); EVENTS];
        let count = self.set.ready(&mut events);
        for event in &events[..count] {
            let Some((connection, estate)) = self.held.remove(&event.data.u64()) else {
                continue;
            };
            self.set.remove(&connection);
            let mut message = [0; REVOCATION.len()];
            match pair::take(&connection, &mut message) {
                Ok(1..) if message == REVOCATION => {}
                _ => self.execute(estate),
            }
        }
    }

    fn execute(&self, estate: Estate) {
        let lifeline = self.lifeline.0.as_raw_fd();
        let mut estate = Some(estate);
        let run = || {
            if let Some(estate) = estate.take() {
                estate.execute(lifeline);
            }
        };
        if !signal::with_all_blocked(|| process::fork_detached(run)) {
            log::warn(format_args!("a process that was killed has left what nobody can go on with"));
        }
    }
}

/// Readable when there is something to serve.
impl AsFd for Wills {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}
