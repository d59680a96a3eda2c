//! mmap(2): connections are mapped to be received from (TCP_ZEROCOPY_RECEIVE).
//!
//! Allocators call it, too, before anything is initialized, and while dlsym(3) runs. So memory that is no file's is had from
//! the kernel at once.

use core::ffi::{c_int, c_void};
use core::ptr;
use rustix::io::Errno;

use super::border::fail;
use super::next;
use crate::socket::{Kind, table};
use crate::sys::mapping::Wanted;

/// mmap(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mmap(
    address: *mut c_void,
    len: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    let wanted = Wanted {
        address: address as usize,
        len,
        protection,
        flags,
        offset,
    };
    if fd < 0 || flags & libc::MAP_ANONYMOUS != 0 {
        // SAFETY: the program's own arguments.
        return given(unsafe { wanted.map(fd) });
    }
    // Not looked at for the first time here: who maps a connection has had it from a call of ours.
    let ours = table::is_ours(fd).then(|| table::get(fd)).flatten();
    if ours.is_some_and(|socket| socket.kind == Kind::Stream) {
        // SAFETY: the program's own arguments.
        return given(unsafe { wanted.map_connection() });
    }
    // SAFETY: the program's own arguments.
    unsafe { next::MMAP.get()(address, len, protection, flags, fd, offset) }
}

/// mmap(2), by its other name.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mmap64(
    address: *mut c_void,
    len: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: libc::off64_t,
) -> *mut c_void {
    // SAFETY: the program's own arguments.
    unsafe { mmap(address, len, protection, flags, fd, offset) }
}

/// What mmap(2) gives for it.
fn given(mapped: Result<usize, Errno>) -> *mut c_void {
    mapped.map_or_else(fail, ptr::with_exposed_provenance_mut)
}
