//! The memory file: the one region that holds a stack's connections and every queued byte.
//!
//! The file is a memfd mapped shared, far larger than what is ever used: pages come into being
//! when a chunk is first touched. It is a file, and not plain memory, so that a stack can change
//! hands: who holds the descriptor holds the bytes.
//!
//! 1. A region is mapped once and never unmapped: the slice is `'static` because the stack that
//!    reads it may be given up by a forked child at any moment, with its mapping left behind.
//! 2. The mapping is not inherited across fork (MADV_DONTFORK), but by one process that takes the
//!    stack over ([`inherited`]): two processes never write it.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};

use crate::sys::descriptor;

/// Sizes to try, in bytes, largest first: address space may be limited (RLIMIT_AS).
const SIZES: [usize; 3] = [1 << 31, 1 << 28, 1 << 24];

/// The mapping, for [`inherited`].
static START: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// Runs `fork`, whose child has the mapping too: the stack is the child's from then on. Nothing is
/// done if that cannot be.
pub fn inherited(fork: impl FnOnce() -> bool) -> bool {
    let start = START.load(Ordering::Relaxed) as *mut c_void;
    let size = SIZE.load(Ordering::Relaxed);
    // SAFETY: the mapping is never undone (invariant 1); the advice changes nothing in this process.
    let advise = |advice| unsafe { madvise(start, size, advice) };
    if advise(Advice::LinuxDoFork).is_err() {
        return false;
    }
    let forked = fork();
    // A failure would leave the mapping to later children, who do not touch it.
    let _ = advise(Advice::LinuxDontFork);
    forked
}

/// The memory file and its one mapping.
pub struct Region {
    /// Kept so that the bytes can be handed over; the mapping alone would keep them alive.
    file: OwnedFd,
    bytes: &'static mut [u8],
}

impl Region {
    /// Makes the file and maps it.
    pub fn new() -> Result<Self, Errno> {
        let file = memfd_create("sidestack", MemfdFlags::CLOEXEC).and_then(descriptor::high)?;
        let mut last = Errno::NOMEM;
        for size in SIZES {
            match map(&file, size) {
                Ok(bytes) => return Ok(Self { file, bytes }),
                Err(errno) => last = errno,
            }
        }
        Err(last)
    }

    /// The file's keeper and the mapped bytes.
    pub fn into_parts(self) -> (OwnedFd, &'static mut [u8]) {
        (self.file, self.bytes)
    }
}

fn map(file: &OwnedFd, size: usize) -> Result<&'static mut [u8], Errno> {
    ftruncate(file, size as u64)?;
    let flags = MapFlags::SHARED | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice, of a file nobody else has.
    let start = unsafe {
        mmap(
            ptr::null_mut(),
            size,
            ProtFlags::READ | ProtFlags::WRITE,
            flags,
            file,
            0,
        )
    }?;
    // SAFETY: the range was mapped just now; the advice changes nothing for this process.
    unsafe { madvise(start, size, Advice::LinuxDontFork) }?;
    START.store(start as usize, Ordering::Relaxed);
    SIZE.store(size, Ordering::Relaxed);
    // SAFETY: invariant 1: `size` bytes, readable and writable, mapped until the process ends;
    // the file is private to this region, so no other reference to the bytes exists.
    Ok(unsafe { core::slice::from_raw_parts_mut(start.cast::<u8>(), size) })
}
