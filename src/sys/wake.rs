//! Waking a thread that polls.

use super::owned::OwnedFd;
use core::time::Duration;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::{Errno, read, write};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::descriptor;
use super::wait::timespec;

/// A bell: readable from the ring until it is silenced (eventfd(2)).
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    pub fn new() -> Result<Self, Errno> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        descriptor::high(|| eventfd(0, flags)).map(Self)
    }

    /// Makes it readable. That it is so already is as good.
    pub fn ring(&self) {
        ring(self.as_fd());
    }

    /// Makes it unreadable.
    pub fn silence(&self) {
        let mut count = [0; 8];
        let _ = read(&self.0, &mut count);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The same of a bell that another process, whose descriptors this one has copies of, calls its own.
pub fn ring(bell: BorrowedFd<'_>) {
    let _ = write(bell, &1u64.to_ne_bytes());
}

/// A timer: readable once its time has come (timerfd_create(2)).
pub struct Timer(OwnedFd);

impl Timer {
    /// A timer that is not running.
    pub fn new() -> Result<Self, Errno> {
        descriptor::high(|| timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC))
            .map(Self)
    }

    /// Starts it.
    pub fn start(&self, after: Duration) {
        let none = timespec(Duration::ZERO);
        let when = Itimerspec {
            it_interval: none,
            it_value: timespec(after),
        };
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &when);
    }

    /// Starts it, to run out at `at` nanoseconds of the monotonic clock.
    pub fn start_at(&self, at: u64) {
        let when = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(Duration::from_nanos(at.max(1))),
        };
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &when);
    }

    /// Sleeps until it has run out.
    pub fn sleep(&self) {
        let mut count = [0; 8];
        let _ = read(&self.0, &mut count);
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
