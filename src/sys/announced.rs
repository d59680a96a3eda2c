//! What forked processes announce to the one they were forked from, in memory of both.
//!
//! 1. The memory is never unmapped: a forked process has it for as long as it lives. It is a file's, whose descriptor is
//!    handed to who goes on when the one they were forked from is killed.
//! 2. Any of them may write anything there. All that comes of it is that something is heard too early, too late or for
//!    nothing.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use core::time::Duration;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::thread::futex;

use super::clock;
use super::owned::OwnedFd;
use super::sealed;
use super::wait::timespec;

/// How long who waits sleeps before it looks whether that is in vain.
const LOOK: Duration = Duration::from_millis(10);

/// Lines by which something may be announced.
pub const LINES: usize = 4096;

/// Announcements.
pub struct Announced {
    /// So far.
    count: AtomicU32,
    /// Those that were heard.
    heard: AtomicU32,
    /// Not 0: none need be heard any more.
    ended: AtomicU32,
    /// By which lines any has come.
    by: [AtomicU8; LINES],
}

impl Announced {
    /// None yet, in memory that processes have which are forked from now on.
    pub fn new() -> Result<(&'static Self, OwnedFd), Errno> {
        let file = sealed::unsealed()?;
        sealed::lengthen(&file, size_of::<Self>())?;
        sealed::seal(&file)?;
        Ok((Self::open(&file)?, file))
    }

    /// Those of a file that [`Announced::new`] has made.
    ///
    /// Errors: `INVAL` if it is none, or the system's.
    pub fn open(file: &OwnedFd) -> Result<&'static Self, Errno> {
        let size = size_of::<Self>();
        if sealed::length(file)? != size {
            return Err(Errno::INVAL);
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(ptr::null_mut(), size, access, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast::<Self>()).ok_or(Errno::NOMEM)?;
        // SAFETY: invariant 1, and the file's length is sealed; it begins with a page, any bytes are values, and all of
        // them are atomic.
        Ok(unsafe { start.as_ref() })
    }

    /// How many there were.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Whether any has come by this line, of those that were counted.
    pub fn is_by(&self, line: usize) -> bool {
        self.by[line].load(Ordering::Relaxed) != 0
    }

    /// Another has the line from now on.
    pub fn clear(&self, line: usize) {
        self.by[line].store(0, Ordering::Relaxed);
    }

    /// The first `count` were heard, and all has been done that their announcers wait for.
    pub fn hear(&self, count: u32) {
        self.heard.store(count, Ordering::Release);
        self.wake();
    }

    /// None need be heard any more: all has been done that anybody could wait for.
    pub fn end(&self) {
        self.ended.store(1, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Fails for addresses that are none.
        let _ = futex::wake(&self.heard, futex::Flags::empty(), i32::MAX as u32);
    }

    /// Announces by a line; the announcement, which is to be heard.
    pub fn announce(&self, line: usize) -> Announcement<'_> {
        self.by[line].store(1, Ordering::Relaxed);
        let number = self.count.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        Announcement { to: self, number }
    }
}

/// What was announced.
pub struct Announcement<'a> {
    to: &'a Announced,
    number: u32,
}

impl Announcement<'_> {
    /// Waits until it was heard, at most for `patience`, and no longer once that `is_in_vain`.
    pub fn await_hearing(&self, patience: Duration, is_in_vain: impl Fn() -> bool) {
        let deadline = clock::monotonic().saturating_add(patience.as_nanos() as u64);
        loop {
            let heard = self.to.heard.load(Ordering::Acquire);
            let is_heard = heard.wrapping_sub(self.number).cast_signed() >= 0
                || self.to.ended.load(Ordering::Acquire) != 0;
            if is_heard || clock::monotonic() >= deadline || is_in_vain() {
                return;
            }
            // Another value, a signal: it is looked again in any case.
            let look = Some(&timespec(LOOK));
            let _ = futex::wait(&self.to.heard, futex::Flags::empty(), heard, look);
        }
    }
}
