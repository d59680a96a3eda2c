//! The way from the command `sidestack keeper` into the library it has loaded.

use core::ffi::{CStr, c_char, c_int};

use crate::control::log;
use crate::driver::keeper::Plan;
use crate::socket::guests;

/// Is the keeper: for the command, which is of the same build, and for nobody else. The words are
/// those of [`Plan::read`]. Returns the process's exit status.
///
/// # Safety
///
/// `words` points to `count` C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sidestack_keeper(words: *const *const c_char, count: usize) -> c_int {
    // SAFETY: the caller's promise.
    let words = (0..count).map(|at| unsafe { CStr::from_ptr(*words.add(at)) }.to_bytes());
    match Plan::read(words) {
        Ok(plan) => guests::keep(plan),
        Err(reason) => {
            log::error(reason);
            1
        }
    }
}
