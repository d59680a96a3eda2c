//! dprintf(3): the text is made by the C library, and written by our write(2).

use core::ffi::{c_char, c_int};
use core::{ptr, slice};
use rustix::fd::AsRawFd;

use super::variadic::{VaList, forward};
use super::{next, streams};
use crate::socket::table;
use crate::sys::pair;

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

/// Writes to a socket of ours what the C library `prints` to a descriptor, in the pieces in which it does: each is a
/// datagram. What is too long for a pair to keep is one `text`.
fn print(
    fd: c_int,
    prints: impl FnOnce(c_int) -> c_int,
    text: impl FnOnce(*mut *mut c_char) -> c_int,
) -> c_int {
    let Ok((reader, writer)) = pair::make_own() else {
        return print_whole(fd, text);
    };
    let len = prints(writer.as_raw_fd());
    if len < 0 {
        return print_whole(fd, text);
    }
    let mut piece = vec![0; len as usize];
    while let Ok(count @ 1..) = pair::take(&reader, &mut piece) {
        if !write(fd, &piece[..count]) {
            return -1;
        }
    }
    len
}

fn print_whole(fd: c_int, format: impl FnOnce(*mut *mut c_char) -> c_int) -> c_int {
    let mut text = ptr::null_mut();
    let len = format(&raw mut text);
    if len < 0 {
        return -1;
    }
    // SAFETY: vasprintf(3) has made so many bytes.
    let is_written = write(fd, unsafe {
        slice::from_raw_parts(text.cast(), len as usize)
    });
    // SAFETY: allocated by vasprintf(3).
    unsafe { libc::free(text.cast()) };
    if is_written { len } else { -1 }
}

/// Whether all could be written.
fn write(fd: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: a buffer of our own.
        let count = unsafe { streams::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        let Some(rest) = usize::try_from(count)
            .ok()
            .and_then(|count| bytes.get(count..))
        else {
            return false;
        };
        bytes = rest;
    }
    true
}

/// vdprintf(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn vdprintf(
    fd: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_library = |fd, arguments| unsafe { next::VDPRINTF.get()(fd, format, arguments) };
    if table::get(fd).is_none() {
        return by_library(fd, arguments);
    }
    // SAFETY: the program's own list.
    let mut copy = unsafe { *arguments };
    let prints = |fd| by_library(fd, arguments);
    // SAFETY: the program's own arguments.
    print(fd, prints, |text| unsafe {
        vasprintf(text, format, &raw mut copy)
    })
}

/// vdprintf(3), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __vdprintf_chk(
    fd: c_int,
    flag: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_library =
        |fd, arguments| unsafe { next::VDPRINTF_CHK.get()(fd, flag, format, arguments) };
    if table::get(fd).is_none() {
        return by_library(fd, arguments);
    }
    // SAFETY: the program's own list.
    let mut copy = unsafe { *arguments };
    let prints = |fd| by_library(fd, arguments);
    // SAFETY: the program's own arguments.
    print(fd, prints, |text| unsafe {
        __vasprintf_chk(text, flag, format, &raw mut copy)
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
