//! A copy of this process that is nobody's child.
//!
//! It is made by a *middleman*, a child that ends at once. What becomes of that wait(2) does not tell for certain: of a
//! program that ignores SIGCHLD no child leaves a status, and another thread may wait for any child and take it. So
//! the middleman says by a word in memory of both whether it has made the copy.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use syscalls::Sysno;

use super::process::{end, note_id};
use super::signal;

/// Runs `serve` in a process that is nobody's child, in a session of its own; whether it could be
/// made. All signals are to be blocked.
pub fn fork_detached(mut serve: impl FnMut()) -> bool {
    let Ok(made) = Shared::new() else {
        return false;
    };
    // SAFETY: fork(2) copies the calling thread; the copies run only what follows here, and the
    // library's own locks are the caller's.
    let middleman = unsafe { libc::fork() };
    if middleman < 0 {
        return false;
    }
    if middleman == 0 {
        let _ = rustix::process::setsid();
        // SAFETY: as above.
        match unsafe { libc::fork() } {
            0 => {
                drop(made);
                note_id();
                serve();
            }
            copy => made.word().store(copy > 0, Ordering::Release),
        }
        end(0)
    }
    await_end(middleman);
    signal::forget_child();
    made.word().load(Ordering::Acquire)
}

/// Waits until the child has ended, whoever takes its status.
fn await_end(child: i32) {
    // SAFETY: no memory is passed.
    let wait = || unsafe { syscalls::syscall4(Sysno::wait4, child as usize, 0, 0, 0) };
    while wait() == Err(syscalls::Errno::EINTR) {}
}

/// A word that a forked process has, too, false at first.
struct Shared(NonNull<AtomicBool>);

impl Shared {
    fn new() -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                size_of::<AtomicBool>(),
                protection,
                MapFlags::SHARED,
            )
        }?;
        NonNull::new(start.cast()).map(Self).ok_or(Errno::NOMEM)
    }

    fn word(&self) -> &AtomicBool {
        // SAFETY: the mapping is there until it is dropped, aligned to a page, and zero is false.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this process's mapping, which nobody refers to any more.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), size_of::<AtomicBool>()) };
    }
}
