//! A call on a socket whose stack is in another process, as far as it sleeps.
//!
//! As on Linux, how long it waits, and whether at all, is what holds when it begins to; and it goes on with its socket when
//! another thread closes the number it was given (see the driver's `beds`).

use core::cell::{Cell, OnceCell, RefCell};
use core::time::Duration;
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::waiting::{deadline, left, resume};
use super::{Socket, abroad, away, table};
use crate::driver::beds::Bed;
use crate::driver::{Interruption, Name};
use crate::sys::handlers::{self, Runs};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{SignalMask, entry};
use crate::sys::{cancel, signal};

/// The call.
pub(super) struct Sleeper<'a> {
    socket: &'a Arc<Socket>,
    /// The socket's name when the call began.
    name: Option<Name>,
    fd: Cell<RawFd>,
    bed: RefCell<Bed>,
    /// What the number was, once it is lost.
    kept: Cell<Option<OwnedFd>>,
    waits: OnceCell<bool>,
    until: OnceCell<Option<u64>>,
    /// The handlers that had run when it was last asked what they mean for the call.
    since: Cell<Runs>,
    /// SO_RCVTIMEO or SO_SNDTIMEO.
    limit: i32,
}

impl<'a> Sleeper<'a> {
    /// One that receives.
    pub(super) fn to_receive(fd: RawFd, socket: &'a Arc<Socket>) -> Self {
        Self::new(fd, socket, libc::SO_RCVTIMEO)
    }

    /// One that sends, or connects.
    pub(super) fn to_send(fd: RawFd, socket: &'a Arc<Socket>) -> Self {
        Self::new(fd, socket, libc::SO_SNDTIMEO)
    }

    fn new(fd: RawFd, socket: &'a Arc<Socket>, limit: i32) -> Self {
        let name = socket.away();
        Self {
            socket,
            name,
            fd: Cell::new(fd),
            bed: RefCell::new(Bed::new(name.map(|name| (fd, name)))),
            kept: Cell::new(None),
            waits: OnceCell::new(),
            until: OnceCell::new(),
            since: Cell::new(handlers::runs()),
            limit,
        }
    }

    /// The same call where the socket has another pair by now. `None`: another thread has closed it meanwhile.
    pub(super) fn anew(&self) -> Option<Self> {
        let fd = match table::holds(self.fd(), self.socket) {
            true => self.fd(),
            false => table::number_of(self.socket)?,
        };
        Some(Self {
            waits: self.waits.clone(),
            until: self.until.clone(),
            since: self.since.clone(),
            ..Self::new(fd, self.socket, self.limit)
        })
    }

    /// The socket.
    pub(super) fn socket(&self) -> &'a Arc<Socket> {
        self.socket
    }

    /// Its descriptor.
    pub(super) fn fd(&self) -> RawFd {
        self.fd.get()
    }

    /// Whether the call waits, with these flags, as the descriptor says, whichever process has said so.
    pub(super) fn waits(&self, flags: i32) -> bool {
        let may_wait = || *self.waits.get_or_init(|| away::waits(self.fd(), 0));
        flags & libc::MSG_DONTWAIT == 0 && may_wait()
    }

    /// Whether it waits for so long and no longer: then no signal restarts it.
    fn is_limited(&self) -> bool {
        self.until().is_some()
    }

    fn until(&self) -> Option<u64> {
        let until = || deadline(away::patience(self.fd(), self.limit));
        *self.until.get_or_init(until)
    }

    /// Whether signal handlers have run in the call, and if so, whether all of these restart calls.
    fn interruption(&self) -> Option<bool> {
        handlers::ran(self.since.replace(handlers::runs()))
    }

    /// After signal handlers have run: `Ok` to wait on.
    fn resume(&self, restarts: bool) -> Result<(), Errno> {
        let limit = self.is_limited().then_some(Duration::ZERO);
        resume(Interruption::Signal { restarts }, limit)
    }

    /// Waits until the descriptor has `events`. EAGAIN: the time is over; EINTR; EPIPE: the socket has another pair; EBADF:
    /// another thread has closed it before.
    pub(super) fn wait_for(&self, events: i16) -> Result<(), Errno> {
        self.wait_for_any(events, &[])
    }

    /// The same until it has, or one of the bells rings.
    pub(super) fn wait_for_any(&self, events: i16, bells: &[OwnedFd]) -> Result<(), Errno> {
        loop {
            let mut fds = [entry(self.fd(), events)]
                .into_iter()
                .chain(abroad::entries(bells))
                .collect::<Vec<_>>();
            // Between two of the call's waits.
            if let Some(restarts) = self.interruption() {
                self.resume(restarts)?;
            }
            match self.sleep(&mut fds, left(self.until()))? {
                Ok(0) => return Err(Errno::AGAIN),
                Ok(_) if fds.iter().any(|polled| polled.revents != 0) => return Ok(()),
                Ok(_) => {}
                Err(Errno::INTR) => match cancel::called() {
                    None => {
                        self.resume(self.interruption().unwrap_or_else(signal::all_restart))?;
                    }
                    Some(true) => return Err(Errno::INTR),
                    Some(false) => {}
                },
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sleeps for so long at most, or until the pair hangs up. EAGAIN: the call's time is over; EINTR, EPIPE, EBADF.
    pub(super) fn pause(&self, most: Duration) -> Result<(), Errno> {
        let left = left(self.until()).unwrap_or(most);
        if left.is_zero() {
            return Err(Errno::AGAIN);
        }
        let mut fds = [entry(self.fd(), 0)];
        match self.sleep(&mut fds, Some(left.min(most)))? {
            Err(Errno::INTR) if cancel::called() == Some(false) => Ok(()),
            slept => slept.map(drop),
        }
    }

    /// Sleeps once; how many descriptors are ready, or another thread's bell.
    fn sleep(
        &self,
        fds: &mut [libc::pollfd],
        left: Option<Duration>,
    ) -> Result<Result<usize, Errno>, Errno> {
        let mut bed = self.bed.borrow_mut();
        let mut woken = bed.sleep(|| self.is_in_place(), fds, left, None);
        if let Some(kept) = woken.kept.take() {
            woken.there = true;
            self.fd.set(kept.as_raw_fd());
            self.kept.set(Some(kept));
            // It was looked for under the number as well.
            fds.iter_mut().for_each(|polled| polled.revents = 0);
        }
        if woken.moved || self.has_moved() {
            return Err(Errno::PIPE);
        }
        if !woken.there {
            return Err(Errno::BADF);
        }
        Ok(woken.ready.map(|count| count + usize::from(woken.rung)))
    }

    /// Whether the socket has another pair since the call began.
    pub(super) fn has_moved(&self) -> bool {
        self.socket.away() != self.name
    }

    fn has_number(&self) -> bool {
        let kept = self.kept.take();
        let is_kept = kept.is_some();
        self.kept.set(kept);
        is_kept || table::holds(self.fd(), self.socket)
    }

    fn is_in_place(&self) -> bool {
        self.has_number() && !self.has_moved()
    }
}

/// poll(2) itself, for a process without a stack. 0 before the time is over: another thread has changed something.
pub(super) fn poll_beside(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
) -> Result<usize, Errno> {
    let until = deadline(timeout);
    let mut bed = Bed::new(None);
    loop {
        let woken = bed.sleep(|| true, fds, left(until), mask.as_ref());
        match woken.ready {
            Ok(_) if woken.rung => {
                fds.iter_mut().for_each(|polled| polled.revents = 0);
                return Ok(0);
            }
            Err(Errno::INTR) if cancel::called() == Some(false) => {}
            result => return result,
        }
    }
}
