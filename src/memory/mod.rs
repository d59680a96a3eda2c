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
//! 3. A file is mapped by the process that made it, and by one that takes it over when that one is
//!    dead ([`Region::open`]). Its size is sealed, so what is mapped is there.
//! 4. A core dump does not have it (MADV_DONTDUMP), and a program that locks its memory does not lock it
//!    ([`passed_by`]): either would make it as large as it may become.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munlock};

use crate::sys::owned::OwnedFd;
use crate::sys::sealed;

/// Sizes to try, in bytes, largest first: address space and files may be limited (RLIMIT_AS, RLIMIT_FSIZE).
const SIZES: [usize; 3] = [1 << 31, 1 << 28, 1 << 24];

/// The mapping that was made, for [`inherited`].
static START: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// The program has locked its memory, and may have asked for what it maps from then on to be locked, too.
static MAY_BE_LOCKED: AtomicBool = AtomicBool::new(false);

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

/// Makes `mlockall` (the call of that name) pass the mapping by, which would be filled to its full size. The kernel
/// fills nothing that cannot be accessed.
///
/// # Safety
/// Nobody accesses the mapping meanwhile.
pub unsafe fn passed_by<T>(mlockall: impl FnOnce() -> T) -> T {
    MAY_BE_LOCKED.store(true, Ordering::Relaxed);
    let start = START.load(Ordering::Relaxed) as *mut c_void;
    let size = SIZE.load(Ordering::Relaxed);
    // SAFETY: by the caller's promise.
    if size == 0 || unsafe { mprotect(start, size, MprotectFlags::empty()) }.is_err() {
        return mlockall();
    }
    let outcome = mlockall();
    // SAFETY: the mapping is never undone (invariant 1).
    unsafe { open_unlocked(start, size) }.expect("the mapping can be as it was before");
    outcome
}

/// Lets a mapping be accessed that was not, and that the kernel may have counted as locked.
///
/// # Safety
/// The range is a mapping of ours.
unsafe fn open_unlocked(start: *mut c_void, size: usize) -> Result<(), Errno> {
    // SAFETY: as the caller says; neither changes what is in it.
    unsafe {
        let _ = munlock(start, size);
        mprotect(start, size, MprotectFlags::READ | MprotectFlags::WRITE)
    }
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
        let file = sealed::unsealed()?;
        let mut last = Errno::FBIG;
        for size in SIZES {
            match sealed::lengthen(&file, size).and_then(|()| map(&file, size)) {
                Ok(bytes) => {
                    sealed::seal(&file)?;
                    START.store(bytes.as_ptr() as usize, Ordering::Relaxed);
                    SIZE.store(size, Ordering::Relaxed);
                    return Ok(Self { file, bytes });
                }
                Err(errno) => last = errno,
            }
        }
        Err(last)
    }

    /// Maps the file of another process, which is dead: from now on it is this one's.
    ///
    /// Errors: `INVAL` if it is none that [`Region::new`] made, or the system's.
    pub fn open(file: OwnedFd) -> Result<Self, Errno> {
        // A file that can be cut off would end whoever reads what is no longer there.
        let size = sealed::length(&file)?;
        if !SIZES.contains(&size) {
            return Err(Errno::INVAL);
        }
        let bytes = map(&file, size)?;
        Ok(Self { file, bytes })
    }

    /// The file's keeper and the mapped bytes.
    pub fn into_parts(self) -> (OwnedFd, &'static mut [u8]) {
        (self.file, self.bytes)
    }
}

fn map(file: &OwnedFd, size: usize) -> Result<&'static mut [u8], Errno> {
    let flags = MapFlags::SHARED | MapFlags::NORESERVE;
    let may_be_locked = MAY_BE_LOCKED.load(Ordering::Relaxed);
    let access = match may_be_locked {
        true => ProtFlags::empty(),
        false => ProtFlags::READ | ProtFlags::WRITE,
    };
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { mmap(ptr::null_mut(), size, access, flags, file, 0) }?;
    if may_be_locked {
        // SAFETY: the range was mapped just now.
        unsafe { open_unlocked(start, size) }?;
    }
    // SAFETY: the range was mapped just now; the advice changes nothing for this process.
    let advise = |advice| unsafe { madvise(start, size, advice) };
    advise(Advice::LinuxDontFork)?;
    // Else a core dump would be as long as the file, most of which there has never been.
    let _ = advise(Advice::LinuxDontDump);
    // SAFETY: invariant 1: `size` bytes, readable and writable, mapped until the process ends;
    // invariant 3: nobody else reads or writes them.
    Ok(unsafe { core::slice::from_raw_parts_mut(start.cast::<u8>(), size) })
}
