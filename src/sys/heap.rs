//! The library's heap: the C library's, and a reserve for when that has nothing left.
//!
//! Rust ends the process when an allocation fails, and this is somebody else's process. So:
//!
//! 1. What cannot fail has the [`Reserve`]: what is open goes on (send, receive, wait, close, arriving segments).
//! 2. What makes something that stays (sockets, connections, registrations) asks for [`room`] first, and fails with
//!    ENOMEM from the moment on that an allocation failed until one of [`ENOUGH`] bytes does not. So what was taken from
//!    the reserve is little, and goes back.
//! 3. The reserve has nothing for who wants an eighth of it or more: tables that may grow so large are enlarged with
//!    `try_reserve`, by who asks for room.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicBool, Ordering};
use rustix::io::Errno;
use std::alloc::System;

use super::reserve::Reserve;

/// Bytes that must be had before anything grows again.
const ENOUGH: usize = 256 * 1024;

static RESERVE: Reserve = Reserve::new();
/// An allocation has failed.
static SHORT: AtomicBool = AtomicBool::new(false);

/// See the module.
pub struct Heap;

// SAFETY: both parts give memory for the layout that nobody else has, and where it is from says which of them it goes
// back to.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let pointer = unsafe { System.alloc(layout) };
        if pointer.is_null() {
            return from_reserve(layout);
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if !pointer.is_null() {
            return pointer;
        }
        let pointer = from_reserve(layout);
        if !pointer.is_null() {
            // SAFETY: there is room for the layout.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if RESERVE.has(pointer) {
            RESERVE.free(pointer, layout);
        } else {
            // SAFETY: it is not from the reserve, so it is from there; as the caller promises.
            unsafe { System.dealloc(pointer, layout) };
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !RESERVE.has(pointer) {
            // SAFETY: as in dealloc.
            let moved = unsafe { System.realloc(pointer, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that the size, rounded up, is no more than isize::MAX.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller promises that the size is not zero.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both have room for as much, and are two; the old one is the caller's.
            unsafe {
                moved.copy_from_nonoverlapping(pointer, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
        }
        moved
    }
}

#[cold]
fn from_reserve(layout: Layout) -> *mut u8 {
    SHORT.store(true, Ordering::Relaxed);
    RESERVE.allocate(layout)
}

/// Whether what stays may be made now. ENOMEM.
#[inline]
pub fn room() -> Result<(), Errno> {
    match is_short() {
        true => Err(Errno::NOMEM),
        false => Ok(()),
    }
}

/// Whether there is no memory for what stays.
#[inline]
pub fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed) && is_short_still()
}

#[cold]
fn is_short_still() -> bool {
    let short = !has_enough();
    SHORT.store(short, Ordering::Relaxed);
    short
}

fn has_enough() -> bool {
    const PROBE: Layout = Layout::new::<[u8; ENOUGH]>();
    // SAFETY: the layout is not empty; it goes back as it came.
    unsafe {
        let pointer = System.alloc(PROBE);
        if !pointer.is_null() {
            System.dealloc(pointer, PROBE);
        }
        !pointer.is_null()
    }
}
