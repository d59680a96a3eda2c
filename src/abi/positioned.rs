//! preadv2(2), pwritev2(2): with position -1 they are readv(2) and writev(2) with flags of their
//! own. With a position a socket has none, and the kernel says so (ESPIPE).

use core::ffi::c_int;

use super::next;
use super::streams::{receive_vector, send_vector};
use crate::socket::table;

/// RWF_NOAPPEND and RWF_NOSIGNAL of linux/fs.h.
const RWF_NOAPPEND: c_int = 0x20;
const RWF_NOSIGNAL: c_int = 0x100;
/// Those that mean nothing of a socket.
const FOR_FILES: c_int =
    libc::RWF_HIPRI | libc::RWF_DSYNC | libc::RWF_SYNC | libc::RWF_APPEND | RWF_NOAPPEND;
const BOTH: c_int = libc::RWF_APPEND | RWF_NOAPPEND;

/// The flags of recv(2) and send(2) that `flags` mean on a socket; `None`: the kernel refuses them.
const fn message_flags(flags: c_int) -> Option<c_int> {
    if flags & BOTH == BOTH || flags & !(FOR_FILES | libc::RWF_NOWAIT | RWF_NOSIGNAL) != 0 {
        return None;
    }
    let at_once = match flags & libc::RWF_NOWAIT {
        0 => 0,
        _ => libc::MSG_DONTWAIT,
    };
    Some(match flags & RWF_NOSIGNAL {
        0 => at_once,
        _ => at_once | libc::MSG_NOSIGNAL,
    })
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
