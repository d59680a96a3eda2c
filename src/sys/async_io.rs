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

/// Has signals tell of `new`'s events as they do of `old`'s, whose place it takes.
pub fn move_to(old: RawFd, new: RawFd) {
    let mut owner = Owner::default();
    if of_owner(old, F_GETOWN_EX, &mut owner).is_ok() && owner.number != 0 {
        let _ = of_owner(new, F_SETOWN_EX, &mut owner);
    }
    if let Ok(signal @ 1..) = fcntl(old, F_GETSIG, 0) {
        let _ = fcntl(new, F_SETSIG, signal);
    }
    // Last: who is told is known by then.
    let asynchronous = libc::O_ASYNC as usize;
    if fcntl(old, libc::F_GETFL, 0).is_ok_and(|flags| flags & asynchronous != 0)
        && let Ok(flags) = fcntl(new, libc::F_GETFL, 0)
    {
        let _ = fcntl(new, libc::F_SETFL, flags | asynchronous);
    }
}

fn of_owner(fd: RawFd, command: i32, owner: &mut Owner) -> Result<usize, Errno> {
    let place: *mut Owner = owner;
    // SAFETY: both commands take a `struct f_owner_ex`, which lives across the call.
    checked(unsafe { syscall3(Sysno::fcntl, fd as usize, command as usize, place as usize) })
}
