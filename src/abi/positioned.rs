//! preadv2(2), pwritev2(2): with position -1 they are readv(2) and writev(2) with flags of their
//! own. With a position a socket has none, and the kernel says so (ESPIPE).

use core::ffi::c_int;

use super::next;
use super::streams::{receive_vector, send_vector};
use crate::socket::table;

/// The flags of recv(2) and send(2) that `flags` mean on a socket; `None`: only the kernel knows.
const fn message_flags(flags: c_int) -> Option<c_int> {
    match flags {
        0 => Some(0),
        libc::RWF_NOWAIT => Some(libc::MSG_DONTWAIT),
        _ => None,
    }
}

/// preadv2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn preadv2(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: libc::off_t,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::PREADV2.get()(fd, parts, count, offset, flags) };
    let (Some(flags), -1, Some(socket)) = (message_flags(flags), offset, table::get(fd)) else {
        return by_kernel();
    };
    // SAFETY: the program's own arguments.
    unsafe { receive_vector(fd, socket, (parts, count), flags, by_kernel) }
}

/// pwritev2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pwritev2(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: libc::off_t,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::PWRITEV2.get()(fd, parts, count, offset, flags) };
    let (Some(flags), -1, Some(socket)) = (message_flags(flags), offset, table::get(fd)) else {
        return by_kernel();
    };
    // SAFETY: the program's own arguments.
    unsafe { send_vector(fd, socket, (parts, count), flags, by_kernel) }
}

/// preadv2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn preadv64v2(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: libc::off64_t,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { preadv2(fd, parts, count, offset, flags) }
}

/// pwritev2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pwritev64v2(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: libc::off64_t,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { pwritev2(fd, parts, count, offset, flags) }
}
