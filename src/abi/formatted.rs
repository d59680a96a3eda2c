//! dprintf(3): the text is made by the C library, and written by our write(2).

use core::ffi::{c_char, c_int};
use core::ptr;

use super::variadic::{VaList, forward};
use super::{next, streams};
use crate::socket::table;

unsafe extern "C" {
    fn vasprintf(text: *mut *mut c_char, format: *const c_char, arguments: *mut VaList) -> c_int;
    /// With _FORTIFY_SOURCE: %n only in formats that cannot be written to.
    fn __vasprintf_chk(
        text: *mut *mut c_char,
        flag: c_int,
        format: *const c_char,
        arguments: *mut VaList,
    ) -> c_int;
}

/// Writes all that `format` makes to a socket of ours.
fn print(fd: c_int, format: impl FnOnce(*mut *mut c_char) -> c_int) -> c_int {
    let mut text = ptr::null_mut();
    let len = format(&raw mut text);
    if len < 0 {
        return -1;
    }
    let mut written = 0;
    while written < len as usize {
        // SAFETY: `text` has `len` bytes.
        let count = unsafe { streams::write(fd, text.add(written).cast(), len as usize - written) };
        if count < 0 {
            break;
        }
        written += count as usize;
    }
    // SAFETY: allocated by vasprintf(3).
    unsafe { libc::free(text.cast()) };
    if written < len as usize { -1 } else { len }
}

/// vdprintf(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn vdprintf(
    fd: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    if table::get(fd).is_none() {
        // SAFETY: the program's own arguments.
        return unsafe { next::VDPRINTF.get()(fd, format, arguments) };
    }
    // SAFETY: the program's own arguments.
    print(fd, |text| unsafe { vasprintf(text, format, arguments) })
}

/// vdprintf(3), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __vdprintf_chk(
    fd: c_int,
    flag: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    if table::get(fd).is_none() {
        // SAFETY: the program's own arguments.
        return unsafe { next::VDPRINTF_CHK.get()(fd, flag, format, arguments) };
    }
    // SAFETY: the program's own arguments.
    print(fd, |text| unsafe {
        __vasprintf_chk(text, flag, format, arguments)
    })
}

/// dprintf(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dprintf(_fd: c_int, _format: *const c_char) -> c_int {
    forward!(2, vdprintf)
}

/// dprintf(3), fortified.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __dprintf_chk(
    _fd: c_int,
    _flag: c_int,
    _format: *const c_char,
) -> c_int {
    forward!(3, __vdprintf_chk)
}
