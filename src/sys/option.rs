//! Socket options rustix has no words for.

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use syscalls::{Sysno, syscall};

/// `setsockopt` of an integer option.
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_integer(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> Result<(), Errno> {
    // SAFETY: `value` is an i32 that lives across the call, and every kernel option taking a
    // pointer copies at most the length given here from it.
    unsafe { set_bytes(fd, level, name, (&raw const value).cast(), size_of::<i32>()) }
}

/// `setsockopt` of any option.
///
/// # Safety
/// `value` is readable for `length` bytes and holds what the option's manual asks for, including
/// what its own pointers point to.
///
/// # Errors
/// What setsockopt(2) says.
pub(super) unsafe fn set_bytes(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: *const u8,
    length: usize,
) -> Result<(), Errno> {
    // SAFETY: the caller vouches for the memory; the kernel only reads it.
    let result = unsafe {
        syscall!(
            Sysno::setsockopt,
            fd.as_raw_fd(),
            level,
            name,
            value,
            length
        )
    };
    result.map(drop).map_err(errno)
}

/// `getsockopt` of an integer option.
///
/// # Errors
/// What getsockopt(2) says.
pub fn integer(fd: BorrowedFd<'_>, level: i32, name: i32) -> Result<i32, Errno> {
    let mut value = 0;
    // SAFETY: an integer may have any value.
    unsafe { get(fd, level, name, &mut value) }.map(|_| value)
}

/// `getsockopt` into `value`; returns how many bytes the kernel wrote.
///
/// # Safety
/// Any bytes the kernel writes for this option are a valid `T`.
///
/// # Errors
/// What getsockopt(2) says.
pub(super) unsafe fn get<T>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut T,
) -> Result<usize, Errno> {
    let mut length = size_of::<T>() as u32;
    // SAFETY: `value` and `length` are exclusive references that live across the call; the kernel
    // writes at most `length` bytes to `value`, and the caller vouches that they are a valid `T`.
    let result = unsafe {
        syscall!(
            Sysno::getsockopt,
            fd.as_raw_fd(),
            level,
            name,
            core::ptr::from_mut(value),
            &raw mut length
        )
    };
    result.map(|_| length as usize).map_err(errno)
}

/// The same error in rustix's type.
fn errno(errno: syscalls::Errno) -> Errno {
    Errno::from_raw_os_error(errno.into_raw())
}
