//! The `sidestack_*` API: what a program may ask when it knows whom it runs on.
//!
//! For programs that link the library (`pkg-config sidestack`), or look these names up with dlsym(3)
//! to work with and without it. Everything else a program needs is the standard socket calls.

use core::ffi::{c_char, c_int};
use core::mem::size_of;
use rustix::io::Errno;

use crate::socket::report::{self, Statistics};

use super::border::{answer, values};

/// The version as what(1) finds it in the file, from where `sidestack doctor` reads it.
#[used]
static VERSION_MARK: &str = concat!("@(#)libsidestack ", env!("CARGO_PKG_VERSION"), "\0");
/// Bytes of the mark before the version.
const VERSION_START: usize = "@(#)libsidestack ".len();

/// The version of the library, like "0.1.0". Never NULL; lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn sidestack_version() -> *const c_char {
    VERSION_MARK[VERSION_START..].as_ptr().cast()
}

/// Whether this descriptor is a socket of the stack.
///
/// Returns 1 if it is or will be unless its first address says otherwise, 0 if the kernel serves it
/// (or it is no socket), -1 with errno EBADF if it is not open.
#[unsafe(no_mangle)]
pub extern "C" fn sidestack_is_ours(fd: c_int) -> c_int {
    answer(|| report::is_ours(fd).map(c_int::from))
}

/// Why the kernel serves this descriptor.
///
/// Writes a sentence to buffer, cut to size bytes including the NUL that always ends it, and returns
/// its whole length without the NUL, as snprintf(3) does: buffer may be NULL if size is 0. Returns 0
/// and an empty string if the stack serves it, -1 with errno EBADF if it is not open, EFAULT if
/// buffer points nowhere and size is not 0.
///
/// # Safety
///
/// `buffer` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sidestack_why_not(fd: c_int, buffer: *mut c_char, size: usize) -> c_int {
    answer(|| {
        let reason = report::why_not(fd)?.unwrap_or("");
        if size > 0 {
            let count = reason.len().min(size - 1);
            // SAFETY: the caller gives `size` bytes at `buffer`, of which at most those are asked for.
            let bytes = unsafe { values(buffer.cast::<u8>(), count + 1) }?;
            bytes[..count].copy_from_slice(&reason.as_bytes()[..count]);
            bytes[count] = 0;
        }
        Ok(c_int::try_from(reason.len()).unwrap_or(c_int::MAX))
    })
}

/// The counters of this process's stack.
///
/// Fills the first size bytes of out: give sizeof(*out). Fields that the library does not know, being
/// older than the header, are set to 0. Returns 0; -1 with errno EFAULT if out points nowhere, EINVAL
/// if size is no multiple of 8 or is 0. All counters are 0 in a process that has no stack (yet).
///
/// # Safety
///
/// `out` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sidestack_statistics(out: *mut Statistics, size: usize) -> c_int {
    answer(|| {
        if size == 0 || !size.is_multiple_of(size_of::<u64>()) {
            return Err(Errno::INVAL);
        }
        let statistics = report::statistics().bytes();
        let known = size.min(statistics.len());
        // SAFETY: the caller gives `size` bytes at `out`.
        let bytes = unsafe { values(out.cast::<u8>(), size) }?;
        bytes[..known].copy_from_slice(&statistics[..known]);
        bytes[known..].fill(0);
        Ok(0)
    })
}
