//! The kernel: its version and the calls the stack is built on.

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::system::uname;

use super::Finding;
use crate::cli::os_error;

/// The oldest kernel the stack is meant for: Debian 11's, with close_range(2), pidfds and all the
/// packet socket's options.
const OLDEST: (u32, u32) = (5, 10);

pub(super) fn check() -> Vec<Finding> {
    vec![check_version(), check_memfd(), check_proc()]
}

fn check_version() -> Finding {
    let name = uname();
    let release = name.release().to_string_lossy();
    match version(&release) {
        Some(found) if found >= OLDEST => Finding::ok("kernel", format!("Linux {release}")),
        _ => Finding::warn(
            "kernel",
            format!("Linux {release} is older than what the stack is tried on"),
            format!("use {}.{} or newer", OLDEST.0, OLDEST.1),
        ),
    }
}

/// The first two numbers of a release like `6.1.0-28-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn check_memfd() -> Finding {
    match memfd_create("sidestack-doctor", MemfdFlags::CLOEXEC) {
        Ok(_) => Finding::ok("memfd", "memory files can be made"),
        Err(errno) => Finding::fail(
            "memfd",
            format!("memfd_create: {}", os_error(errno)),
            "lift the seccomp filter or the memory limit that forbids it",
        ),
    }
}

fn check_proc() -> Finding {
    if std::path::Path::new("/proc/self/fd").is_dir() {
        return Finding::ok("/proc", "mounted");
    }
    Finding::warn(
        "/proc",
        "not mounted: the kernel's limits are not known, defaults are used",
        "mount -t proc proc /proc",
    )
}
