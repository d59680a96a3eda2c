//! Where the library's own descriptors live: above the program's descriptor limit, so that they
//! cost the program none of its own and the program's stay small numbers.

use core::sync::atomic::{AtomicU32, Ordering};

use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::io::{self, Errno};

/// The lowest number a descriptor of ours may have; 0 leaves each where the kernel put it.
static LOWEST: AtomicU32 = AtomicU32::new(0);

/// Sets the lowest number for descriptors made from now on.
pub fn set_lowest(number: u32) {
    LOWEST.store(number, Ordering::Relaxed);
}

/// Moves `fd` to a number at or above the lowest allowed one, close-on-exec; the old number is
/// closed.
///
/// # Errors
/// EMFILE: no number is free there. EINVAL: the lowest number is above RLIMIT_NOFILE (fcntl(2),
/// F_DUPFD). `fd` is closed in both cases.
pub fn high(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    let lowest = RawFd::try_from(LOWEST.load(Ordering::Relaxed)).map_err(|_| Errno::INVAL)?;
    if fd.as_raw_fd() >= lowest {
        return Ok(fd);
    }
    io::fcntl_dupfd_cloexec(&fd, lowest)
}
