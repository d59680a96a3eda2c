//! Memory the program passed us.
//!
//! The kernel answers EFAULT for a bad pointer; touching it here would end the program. So every
//! buffer is checked before it is touched: cheaply where the answer is remembered, else by asking
//! the kernel about its first and last page.

use core::cell::Cell;
use core::marker::PhantomData;
use rustix::io::Errno;
use std::borrow::Cow;
use syscalls::{Sysno, syscall3, syscall4, syscall6};

const PAGE: usize = 4096;
/// End of user space on the machines we run on, and beyond it on smaller ones.
const USER_END: usize = 0x7fff_ffff_f000;
/// No program's memory starts below this (vm.mmap_min_addr).
const USER_START: usize = 0x1000;
/// Sets of pages remembered per thread.
const SETS: usize = 64;
/// Pages of one set: two that a loop of calls uses do not drive each other out.
const WAYS: usize = 2;
/// Most bytes one call moves (read(2): MAX_RW_COUNT).
pub const MOST_MOVED: usize = 0x7fff_f000;
/// How far a buffer is looked at whose end is not usable: as far as the longest datagram reaches.
const LOOKED_AT: usize = 64 * 1024;

/// Linux moves a connection's bytes piece by piece, at most so many at a time: a piece wholly or not at all.
const BLOCK: usize = 32 * 1024;

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

/// EFAULT: what reaches there is not a program's.
pub fn reachable(address: usize, len: usize) -> Result<(), Errno> {
    let end = address.checked_add(len).filter(|&end| end <= USER_END);
    end.map(drop).ok_or(Errno::FAULT)
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
        let good = match unsafe { syscall3(Sysno::madvise, page, PAGE, advice) } {
            Ok(_) => true,
            Err(syscalls::Errno::ENOMEM | syscalls::Errno::EFAULT) => false,
            // The program may not touch it so, or it is a device's, or the kernel is from before 5.14.
            Err(_) if access == Access::Write => is_writable(page),
            Err(_) => is_readable(page),
        };
        if good {
            before.set(latest.replace(mark));
        }
        good.then_some(()).ok_or(Errno::FAULT)
    })
}

/// Whether the kernel reads there: it does before it finds that what is asked for is nothing.
#[cold]
fn is_readable(page: usize) -> bool {
    const NOTHING: usize = usize::MAX;
    // SAFETY: changes no signal mask.
    let outcome = unsafe { syscall4(Sysno::rt_sigprocmask, NOTHING, page, 0, 8) };
    outcome != Err(syscalls::Errno::EFAULT)
}

/// Whether the kernel writes there: it adds nothing to the first word, as one step (futex(2)).
#[cold]
fn is_writable(page: usize) -> bool {
    const WAKE_OP_PRIVATE: usize = 5 | 128;
    const ADD_NOTHING: usize = 1 << 28;
    // SAFETY: changes nothing; at most it wakes somebody who looks again.
    let outcome = unsafe { syscall6(Sysno::futex, page, WAKE_OP_PRIVATE, 0, 0, page, ADD_NOTHING) };
    outcome != Err(syscalls::Errno::EFAULT)
}

/// How many of the `len` bytes at `address` are usable, from the first on.
fn usable(address: usize, len: usize, access: Access) -> usize {
    if check(address, len, access).is_ok() {
        return len;
    }
    let most = len.min(LOOKED_AT);
    let mut sound = 0;
    while sound < most {
        let Some(here) = address.checked_add(sound) else {
            break;
        };
        let step = (PAGE - here % PAGE).min(most - sound);
        if check(here, step, access).is_err() {
            break;
        }
        sound += step;
    }
    sound
}

/// What `parts` describe from `offset` on.
pub fn behind(parts: &[libc::iovec], offset: usize) -> Vec<libc::iovec> {
    let mut skip = offset;
    let rest = parts.iter().map(|part| {
        let from = skip.min(part.iov_len);
        skip -= from;
        libc::iovec {
            iov_base: (part.iov_base as usize + from) as *mut libc::c_void,
            iov_len: part.iov_len - from,
        }
    });
    rest.collect()
}

/// Buffers of the program's: what a vectored call reads from or writes to.
///
/// 1. Each non-empty part was checked for the access its constructor names: what begins where it may be
///    touched, and does not end so, counts as far as it may be.
pub struct Buffers<'a> {
    parts: Cow<'a, [libc::iovec]>,
    len: usize,
    asked: usize,
    _program: PhantomData<&'a [u8]>,
}

impl<'a> Buffers<'a> {
    /// Checks `parts`. EINVAL: no length is so large; EFAULT: one reaches beyond a program's memory.
    ///
    /// # Safety
    /// The buffers must stay valid, and be touched by nobody else, as long as the call the program
    /// made is under way, which the program promises by making it.
    pub unsafe fn new(parts: &'a [libc::iovec], access: Access) -> Result<Self, Errno> {
        if parts.iter().any(|part| part.iov_len > isize::MAX as usize) {
            return Err(Errno::INVAL);
        }
        for part in parts {
            // A single one counts as far as a call moves bytes.
            let most = if parts.len() == 1 {
                MOST_MOVED
            } else {
                usize::MAX
            };
            reachable(part.iov_base as usize, part.iov_len.min(most))?;
        }
        let asked = parts.iter().map(|part| part.iov_len).sum();
        let mut buffers = Self {
            parts: Cow::Borrowed(parts),
            len: asked,
            asked,
            _program: PhantomData,
        };
        for (at, part) in parts.iter().enumerate() {
            let sound = usable(part.iov_base as usize, part.iov_len, access);
            if sound < part.iov_len {
                buffers.cut(parts, at, sound);
                break;
            }
        }
        Ok(buffers)
    }

    /// Of the part at `at` only `sound` bytes are usable: there the buffers end.
    #[cold]
    fn cut(&mut self, parts: &[libc::iovec], at: usize, sound: usize) {
        let mut kept = parts[..at].to_vec();
        if sound > 0 {
            kept.push(libc::iovec {
                iov_len: sound,
                ..parts[at]
            });
        }
        self.len = kept.iter().map(|part| part.iov_len).sum();
        self.parts = Cow::Owned(kept);
    }

    /// Bytes to read from.
    pub fn of(data: &'a [u8]) -> Self {
        Self::one(data.as_ptr().cast_mut(), data.len())
    }

    /// Bytes to write to.
    pub fn over(data: &'a mut [u8]) -> Self {
        Self::one(data.as_mut_ptr(), data.len())
    }

    fn one(base: *mut u8, len: usize) -> Self {
        Self {
            parts: Cow::Owned(vec![libc::iovec {
                iov_base: base.cast(),
                iov_len: len,
            }]),
            len,
            asked: len,
            _program: PhantomData,
        }
    }

    /// No buffers.
    pub fn none() -> Self {
        Self {
            parts: Cow::Borrowed(&[]),
            len: 0,
            asked: 0,
            _program: PhantomData,
        }
    }

    /// Bytes in all buffers, as far as they are usable.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes in all buffers, as the program says.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// EFAULT: some of what the program speaks of is not usable.
    pub fn whole(&self) -> Result<(), Errno> {
        (self.len == self.asked).then_some(()).ok_or(Errno::FAULT)
    }

    /// The blocks that lie before the memory which is not usable, if some is. EFAULT: there is none.
    pub fn in_blocks(mut self) -> Result<Self, Errno> {
        if self.whole().is_err() {
            let mut room = self.len / BLOCK * BLOCK;
            self.len = room;
            for part in self.parts.to_mut() {
                part.iov_len = part.iov_len.min(room);
                room -= part.iov_len;
            }
        }
        let any = self.len > 0 || self.asked == 0;
        any.then_some(self).ok_or(Errno::FAULT)
    }

    /// A description of what is usable of them.
    pub fn parts(&self) -> &[libc::iovec] {
        &self.parts
    }

    /// The same from `offset` on.
    pub fn parts_from(&self, offset: usize) -> Cow<'_, [libc::iovec]> {
        match offset {
            0 => Cow::Borrowed(&self.parts),
            _ => Cow::Owned(behind(&self.parts, offset)),
        }
    }

    /// The bytes from `offset` on, run by run.
    pub fn runs(&self, offset: usize) -> impl Iterator<Item = &[u8]> {
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
        for part in self.parts.iter() {
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
