//! The process's limits. A process that has confined itself (seccomp) may be refused them, which rustix takes for
//! impossible: its getrlimit panics.

use core::ptr;

use rustix::process::{Resource, Rlimit};
use syscalls::{Sysno, syscall4};

/// getrlimit(2). What cannot be asked for has no limits: what goes beyond them fails where it is tried.
pub fn of(resource: Resource) -> Rlimit {
    let mut limit = libc::rlimit64 {
        rlim_cur: libc::RLIM64_INFINITY,
        rlim_max: libc::RLIM64_INFINITY,
    };
    // SAFETY: the kernel writes one such structure, which lives across the call, and reads none.
    let _ = unsafe {
        syscall4(
            Sysno::prlimit64,
            0,
            resource as usize,
            ptr::null::<libc::rlimit64>() as usize,
            (&raw mut limit) as usize,
        )
    };
    let limited = |value| (value != libc::RLIM64_INFINITY).then_some(value);
    Rlimit {
        current: limited(limit.rlim_cur),
        maximum: limited(limit.rlim_max),
    }
}
