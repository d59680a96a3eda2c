//! The border to C: outcomes, errno, panics, pointers.

use core::panic::AssertUnwindSafe;
use rustix::io::Errno;

use super::next;
use crate::driver::GivenUp;
use crate::sys::cancel;
use crate::sys::user::{Access, check};

/// What C functions return for success and failure.
pub trait Outcome {
    /// The value that says "see errno".
    const FAILED: Self;
}

impl Outcome for i32 {
    const FAILED: Self = -1;
}

impl Outcome for isize {
    const FAILED: Self = -1;
}

impl Outcome for *mut libc::c_void {
    const FAILED: Self = libc::MAP_FAILED;
}

/// Sets errno(3).
fn set_errno(errno: Errno) {
    // SAFETY: the calling thread's errno is always writable.
    unsafe { *libc::__errno_location() = errno.raw_os_error() };
}

/// Reads errno(3).
pub fn errno() -> Errno {
    // SAFETY: the calling thread's errno is always readable.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// Runs `body`: a panic becomes EIO (EINTR if the process failed to become another program
/// meanwhile).
fn caught<T>(body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    cancel::deferred(
        || next::PTHREAD_SETCANCELTYPE.get(),
        || {
            std::panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
                // What panicked has been told by the hook.
                Err(if panic.is::<GivenUp>() {
                    Errno::INTR
                } else {
                    Errno::IO
                })
            })
        },
    )
}

/// Says that a call has failed: sets errno, gives -1.
pub fn fail<T: Outcome>(errno: Errno) -> T {
    set_errno(errno);
    T::FAILED
}

/// Runs the body of an exported function: an error becomes -1 and errno, a panic EIO.
pub fn answer<T: Outcome>(body: impl FnOnce() -> Result<T, Errno>) -> T {
    caught(body).unwrap_or_else(fail)
}

/// The same of a function that may wait, and so is a cancellation point (pthreads(7)): the thread
/// ends here, where nothing of ours is left to drop. `Ok(None)`: the call is made `by_kernel`.
pub fn serve<T: Outcome>(
    by_kernel: impl FnOnce() -> T,
    body: impl FnOnce() -> Result<Option<T>, Errno>,
) -> T {
    cancel::point();
    match caught(body) {
        Ok(Some(value)) => value,
        Ok(None) => by_kernel(),
        Err(errno) => {
            if errno == Errno::INTR {
                cancel::point();
            }
            fail(errno)
        }
    }
}

/// What a call of the next library's gave, as a result.
pub fn result<T: Outcome + PartialEq>(value: T) -> Result<T, Errno> {
    if value == T::FAILED {
        Err(errno())
    } else {
        Ok(value)
    }
}

/// Reads a value the program points to. EFAULT.
///
/// # Safety
/// If the memory is there, it holds a `T` (any bytes are one).
pub unsafe fn read<T: Copy>(pointer: *const T) -> Result<T, Errno> {
    check(pointer as usize, size_of::<T>(), Access::Read)?;
    // SAFETY: checked above; the program keeps it valid for the call, and any bytes are a `T`.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Writes a value where the program points to. EFAULT.
///
/// # Safety
/// If the memory is there, the program means it to be written.
pub unsafe fn write<T>(pointer: *mut T, value: T) -> Result<(), Errno> {
    check(pointer as usize, size_of::<T>(), Access::Write)?;
    // SAFETY: checked above; the program keeps it valid for the call.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}

/// Bytes the program points to. EFAULT.
///
/// # Safety
/// The memory stays valid and unchanged for the call.
pub unsafe fn bytes<'a>(pointer: *const libc::c_void, len: usize) -> Result<&'a [u8], Errno> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer as usize, len, Access::Read)?;
    // SAFETY: checked above, and the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(pointer.cast(), len) })
}

/// Values the program points to, to be read and written. EFAULT.
///
/// # Safety
/// The memory stays valid and untouched by others for the call, and any bytes are a `T`.
pub unsafe fn values<'a, T>(pointer: *mut T, count: usize) -> Result<&'a mut [T], Errno> {
    let len = count.checked_mul(size_of::<T>()).ok_or(Errno::FAULT)?;
    if len == 0 {
        return Ok(&mut []);
    }
    check(pointer as usize, len, Access::Write)?;
    // SAFETY: checked above, and the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer, count) })
}

/// Gives an address out as accept(2), getsockname(2) and recvfrom(2) do: as much as fits, and its
/// whole length.
///
/// # Safety
/// `address` and `len` are what the program passed for it.
pub unsafe fn give_address(
    bytes: &[u8],
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> Result<(), Errno> {
    // SAFETY: the program's pointer to its length.
    let room = unsafe { read(len) }?;
    if (room as i32) < 0 {
        return Err(Errno::INVAL);
    }
    let count = bytes.len().min(room as usize);
    // SAFETY: the program's buffer of `room` bytes.
    let target = unsafe { values(address.cast::<u8>(), count) }?;
    target.copy_from_slice(&bytes[..count]);
    // SAFETY: read above.
    unsafe { write(len, bytes.len() as libc::socklen_t) }
}
