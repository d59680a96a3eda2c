//! What programs call that were built with _FORTIFY_SOURCE (feature_test_macros(7)): the size of the
//! buffer is checked, then the call is the plain one.

use core::ffi::{c_int, c_void};

use super::{poll, streams};

/// Ends the program as glibc does when a fortified call would overflow its buffer.
fn overflow_if(overflows: bool) {
    if overflows {
        // SAFETY: takes nothing, and does not return.
        unsafe { __chk_fail() };
    }
}

unsafe extern "C" {
    /// glibc's own end for fortified calls.
    fn __chk_fail() -> !;
}

/// recv(2), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __recv_chk(
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
) -> isize {
    overflow_if(len > room);
    // SAFETY: the program's own arguments.
    unsafe { streams::recv(fd, buffer, len, flags) }
}

/// recvfrom(2), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __recvfrom_chk(
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
    from: *mut libc::sockaddr,
    from_len: *mut libc::socklen_t,
) -> isize {
    overflow_if(len > room);
    // SAFETY: the program's own arguments.
    unsafe { streams::recvfrom(fd, buffer, len, flags, from, from_len) }
}

/// read(2), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __read_chk(
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    room: usize,
) -> isize {
    overflow_if(len > room);
    // SAFETY: the program's own arguments.
    unsafe { streams::read(fd, buffer, len) }
}

/// Whether a fortified call names more entries than its array has.
fn overflows(count: libc::nfds_t, room: usize) -> bool {
    room / size_of::<libc::pollfd>() < count as usize
}

/// poll(2), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __poll_chk(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: c_int,
    room: usize,
) -> c_int {
    overflow_if(overflows(count, room));
    // SAFETY: the program's own arguments.
    unsafe { poll::poll(fds, count, timeout) }
}

/// ppoll(2), fortified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __ppoll_chk(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: *const libc::timespec,
    mask: *const libc::sigset_t,
    room: usize,
) -> c_int {
    overflow_if(overflows(count, room));
    // SAFETY: the program's own arguments.
    unsafe { poll::ppoll(fds, count, timeout, mask) }
}
