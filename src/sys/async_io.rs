//! Signals that tell of a descriptor's events (fcntl(2), F_SETOWN, F_SETSIG, O_ASYNC): the kernel sends them.

use rustix::fd::RawFd;
use rustix::io::Errno;
use syscalls::{Sysno, syscall3};

use super::raw::{checked, fcntl};

/// Of linux/fcntl.h; the argument of the first two is an [`Owner`].
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// `struct f_owner_ex`: who is told.
#[repr(C)]
#[derive(Default)]
struct Owner {
    kind: i32,
    number: i32,
}

/// What signals tell of a descriptor's events: to whom, by which signal, and whether at all.
pub struct Signals {
    owner: Owner,
    signal: usize,
    on: bool,
}

impl Signals {
    /// Those that tell of `fd`'s.
    pub fn of(fd: RawFd) -> Self {
        let mut owner = Owner::default();
        let _ = of_owner(fd, F_GETOWN_EX, &mut owner);
        Self {
            owner,
            signal: fcntl(fd, F_GETSIG, 0).unwrap_or(0),
            on: is_on(fd),
        }
    }

    /// The same tell of `fd`'s from now on. The signal says the number that O_ASYNC was set under.
    pub fn tell_of(mut self, fd: RawFd) {
        if self.owner.number != 0 {
            let _ = of_owner(fd, F_SETOWN_EX, &mut self.owner);
        }
        if self.signal != 0 {
            let _ = fcntl(fd, F_SETSIG, self.signal);
        }
        // Last: who is told is known by then.
        if self.on
            && let Ok(flags) = fcntl(fd, libc::F_GETFL, 0)
        {
            let _ = fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC as usize);
        }
    }
}

/// Whether they tell of `fd`'s events, whichever process has asked for that.
pub fn is_on(fd: RawFd) -> bool {
    fcntl(fd, libc::F_GETFL, 0).is_ok_and(|flags| flags & libc::O_ASYNC as usize != 0)
}

fn of_owner(fd: RawFd, command: i32, owner: &mut Owner) -> Result<usize, Errno> {
    let place: *mut Owner = owner;
    // SAFETY: both commands take a `struct f_owner_ex`, which lives across the call.
    checked(unsafe { syscall3(Sysno::fcntl, fd as usize, command as usize, place as usize) })
}
