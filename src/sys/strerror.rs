//! Errors in the system's words.

use core::ffi::CStr;
use rustix::io::Errno;

/// Bytes of the longest description, by far.
const LONGEST: usize = 128;

/// What strerror(3) says to `errno`.
pub fn of(errno: Errno) -> String {
    let mut buffer = [0; LONGEST];
    // SAFETY: the buffer is writable for the length given and lives across the call.
    let result =
        unsafe { libc::strerror_r(errno.raw_os_error(), buffer.as_mut_ptr(), buffer.len()) };
    if result != 0 {
        return errno.to_string();
    }
    // SAFETY: on success the buffer holds a string that ends in a zero.
    let text = unsafe { CStr::from_ptr(buffer.as_ptr()) };
    text.to_string_lossy().into_owned()
}
