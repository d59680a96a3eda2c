//! Memory the program passed us.
//!
//! The kernel answers EFAULT for a bad pointer; touching it here would end the program. So every
//! buffer is checked before it is touched: cheaply where the answer is remembered, else by asking
//! the kernel about its first and last page.

use core::cell::Cell;
use core::marker::PhantomData;
use rustix::io::Errno;
use syscalls::{Sysno, syscall3};

const PAGE: usize = 4096;
/// End of user space on the machines we run on, and beyond it on smaller ones.
const USER_END: usize = 0x7fff_ffff_f000;
/// No program's memory starts below this (vm.mmap_min_addr).
const USER_START: usize = 0x1000;
/// Sets of pages remembered per thread.
const SETS: usize = 64;
/// Pages of one set: two that a loop of calls uses do not drive each other out.
const WAYS: usize = 2;

const MADV_POPULATE_READ: usize = 22;
const MADV_POPULATE_WRITE: usize = 23;

thread_local! {
    /// Pages found usable: address, with the lowest bit set if writable; in each set, the latest first.
    static GOOD: [[Cell<usize>; WAYS]; SETS] =
        const { [const { [const { Cell::new(0) }; WAYS] }; SETS] };
}

/// What the kernel would do with the memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read from it.
    Read,
    /// Write to it.
    Write,
    /// Nothing: the length alone counts.
    None,
}

/// EFAULT unless `len` bytes at `address` look usable.
pub fn check(address: usize, len: usize, access: Access) -> Result<(), Errno> {
    if len == 0 || access == Access::None {
        return Ok(());
    }
    let last = address.checked_add(len - 1).ok_or(Errno::FAULT)?;
    if address < USER_START || last >= USER_END {
        return Err(Errno::FAULT);
    }
    check_page(address & !(PAGE - 1), access)?;
    if last & !(PAGE - 1) != address & !(PAGE - 1) {
        check_page(last & !(PAGE - 1), access)?;
    }
    Ok(())
}

/// The set a page is remembered in: neighbouring pages and pages at like offsets fall apart.
fn set_of(page: usize) -> usize {
    ((page / PAGE) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 48 & (SETS - 1)
}

fn check_page(page: usize, access: Access) -> Result<(), Errno> {
    GOOD.with(|good| {
        let [latest, before] = &good[set_of(page)];
        let is_good = |held: usize| held & !1 == page && (access == Access::Read || held & 1 == 1);
        if is_good(latest.get()) || is_good(before.get()) {
            return Ok(());
        }
        let (advice, mark) = match access {
            Access::Read | Access::None => (MADV_POPULATE_READ, page),
            Access::Write => (MADV_POPULATE_WRITE, page | 1),
        };
        // SAFETY: populating a page changes no contents and fails cleanly where there is none.
        match unsafe { syscall3(Sysno::madvise, page, PAGE, advice) } {
            Err(syscalls::Errno::ENOMEM | syscalls::Errno::EFAULT) => Err(Errno::FAULT),
            // Kernels before 5.14 do not know the advice: taken on trust.
            _ => {
                before.set(latest.replace(mark));
                Ok(())
            }
        }
    })
}

/// Buffers of the program's: what a vectored call reads from or writes to.
///
/// 1. Each non-empty buffer was checked for the access its constructor names.
pub struct Buffers<'a> {
    parts: &'a [libc::iovec],
    len: usize,
    _program: PhantomData<&'a [u8]>,
}

impl<'a> Buffers<'a> {
    /// Checks `parts`. EFAULT: one is not usable; EINVAL: their lengths do not add up.
    ///
    /// # Safety
    /// The buffers must stay valid, and be touched by nobody else, as long as the call the program
    /// made is under way, which the program promises by making it.
    pub unsafe fn new(parts: &'a [libc::iovec], access: Access) -> Result<Self, Errno> {
        let mut len = 0usize;
        for part in parts {
            len = len.checked_add(part.iov_len).ok_or(Errno::INVAL)?;
            if len > isize::MAX as usize {
                return Err(Errno::INVAL);
            }
            check(part.iov_base as usize, part.iov_len, access)?;
        }
        Ok(Self {
            parts,
            len,
            _program: PhantomData,
        })
    }

    /// No buffers.
    pub fn none() -> Self {
        Self {
            parts: &[],
            len: 0,
            _program: PhantomData,
        }
    }

    /// Bytes in all buffers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The program's own description of them.
    pub fn parts(&self) -> &'a [libc::iovec] {
        self.parts
    }

    /// The bytes from `offset` on, run by run.
    pub fn runs(&self, offset: usize) -> impl Iterator<Item = &'a [u8]> {
        let mut skip = offset;
        self.parts.iter().filter_map(move |part| {
            let from = skip.min(part.iov_len);
            skip -= from;
            if from == part.iov_len {
                return None;
            }
            // SAFETY: invariant 1, and the constructor's promise.
            Some(unsafe {
                core::slice::from_raw_parts(
                    part.iov_base.cast::<u8>().add(from),
                    part.iov_len - from,
                )
            })
        })
    }

    /// Copies `data` to the place `offset` bytes into the buffers; how much fitted.
    pub fn put(&self, offset: usize, data: &[u8]) -> usize {
        let mut skip = offset;
        let mut done = 0;
        for part in self.parts {
            let from = skip.min(part.iov_len);
            skip -= from;
            let count = (part.iov_len - from).min(data.len() - done);
            if count > 0 {
                // SAFETY: invariant 1; `data` is ours and cannot overlap the program's buffer.
                unsafe {
                    let to = part.iov_base.cast::<u8>().add(from);
                    core::ptr::copy_nonoverlapping(data[done..].as_ptr(), to, count);
                }
                done += count;
            }
        }
        done
    }
}
