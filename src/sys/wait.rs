//! Waiting for descriptors.

use super::owned::OwnedFd;
use core::time::Duration;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, RawFd};
use rustix::io::Errno;
#[cfg(target_arch = "x86_64")]
use syscalls::syscall3;
use syscalls::{Sysno, syscall5};

use super::{descriptor, handlers};

/// A set of signals as the kernel has it: one bit each.
pub type SignalMask = u64;

/// ppoll(2) for at most `timeout` (`None`: without end), with `mask` in force meanwhile. How many
/// descriptors are ready.
pub fn poll_for(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<&SignalMask>,
) -> Result<usize, Errno> {
    let mut timespec = timeout.map(timespec);
    let timespec = timespec
        .as_mut()
        .map_or(core::ptr::null_mut(), |spec| &raw mut *spec);
    let mask = mask.map_or(core::ptr::null(), |mask| &raw const *mask);
    // SAFETY: the kernel reads and writes `fds.len()` pollfds, a timespec and an 8-byte mask, all
    // alive across the call or null.
    let result = unsafe {
        syscall5(
            Sysno::ppoll,
            fds.as_mut_ptr() as usize,
            fds.len(),
            timespec as usize,
            mask as usize,
            size_of::<SignalMask>(),
        )
    };
    result.map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))
}

/// The same for a thread that is [`asleep`](handlers::asleep): it does not sleep if a handler has run since.
pub fn poll_asleep(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<&SignalMask>,
) -> Result<usize, Errno> {
    handlers::polling(fds.as_mut_ptr(), || poll_for(fds, timeout, mask))
}

/// What `fd` has of `events` now, and of what is always told; by the call that poll(3) makes, which a program that
/// confines itself leaves itself with write(2) (seccomp(2)).
pub fn poll_now(fd: RawFd, events: i16) -> i16 {
    let mut fds = [entry(fd, events)];
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel reads and writes one pollfd, which lives across the call.
    let _ = unsafe { syscall3(Sysno::poll, fds.as_mut_ptr() as usize, fds.len(), 0) };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = poll_for(&mut fds, Some(Duration::ZERO), None);
    fds[0].revents
}

/// An entry for [`poll_for`].
pub fn entry(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// The same span of time as the kernel writes it.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// An epoll set of our own.
pub struct Set(OwnedFd);

impl Set {
    /// An empty set.
    pub fn new() -> Result<Self, Errno> {
        descriptor::high(|| epoll::create(epoll::CreateFlags::CLOEXEC)).map(Self)
    }

    /// Watches `source`; `token` comes back with its events.
    pub fn add(
        &self,
        source: impl AsFd,
        token: u64,
        flags: epoll::EventFlags,
    ) -> Result<(), Errno> {
        epoll::add(&self.0, source, epoll::EventData::new_u64(token), flags)
    }

    /// Watches `source` for other events from now on.
    pub fn modify(
        &self,
        source: impl AsFd,
        token: u64,
        flags: epoll::EventFlags,
    ) -> Result<(), Errno> {
        epoll::modify(&self.0, source, epoll::EventData::new_u64(token), flags)
    }

    /// Watches `source` no more.
    pub fn remove(&self, source: impl AsFd) {
        // Only what is not watched cannot be removed.
        let _ = epoll::delete(&self.0, source);
    }

    /// Collects what is ready now, without waiting.
    pub fn ready(&self, events: &mut [epoll::Event]) -> usize {
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        epoll::wait(&self.0, events, Some(&none)).unwrap_or(0)
    }
}

impl From<OwnedFd> for Set {
    /// One that another process has made.
    fn from(set: OwnedFd) -> Self {
        Self(set)
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// An empty event, to make arrays of.
pub fn no_event() -> epoll::Event {
    epoll::Event {
        flags: epoll::EventFlags::empty(),
        data: epoll::EventData::new_u64(0),
    }
}

/// Borrows a number the program owns.
pub fn borrow(fd: RawFd) -> rustix::fd::BorrowedFd<'static> {
    // SAFETY: the number is only handed to system calls, which check it; it is never closed
    // through this value. -1 is the one number a BorrowedFd may not hold.
    unsafe { rustix::fd::BorrowedFd::borrow_raw(if fd < 0 { i32::MAX } else { fd }) }
}
