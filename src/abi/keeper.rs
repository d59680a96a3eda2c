//! temporary
use core::ffi::{CStr, c_char, c_int};
use rustix::fd::FromRawFd;

/// temp
///
/// # Safety
///
/// temp
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sidestack_keeper(words: *const *const c_char, count: usize) -> c_int {
    // SAFETY: temp
    let mut words = (0..count).map(|at| unsafe { CStr::from_ptr(*words.add(at)) }.to_bytes());
    let fd = words.find_map(|w| core::str::from_utf8(w.strip_prefix(b"listener=")?).ok()?.parse::<i32>().ok()).unwrap_or(0);
    // SAFETY: temp
    crate::driver::keep(unsafe { rustix::fd::OwnedFd::from_raw_fd(fd) })
}
