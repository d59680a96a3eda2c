//! Other names the C library has for calls of ours, and the small calls that end in one of them
//! where no hook sees it: isfdtype(3), sockatmark(3).

use core::ffi::{c_int, c_long, c_uint, c_void};
use rustix::io::Errno;

use super::border::fail;
use super::next;
use super::{descriptors, messages, poll, process, select, signals, sockets, streams};
use crate::socket::table;

/// read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __read(fd: c_int, buffer: *mut c_void, len: usize) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { streams::read(fd, buffer, len) }
}

/// write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __write(fd: c_int, buffer: *const c_void, len: usize) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { streams::write(fd, buffer, len) }
}

/// send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __send(
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { streams::send(fd, buffer, len, flags) }
}

/// sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __sendmmsg(
    fd: c_int,
    parts: *mut libc::mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { messages::sendmmsg(fd, parts, count, flags) }
}

/// connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __connect(
    fd: c_int,
    address: *const libc::sockaddr,
    len: libc::socklen_t,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { sockets::connect(fd, address, len) }
}

/// poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __poll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: c_int,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { poll::poll(fds, count, timeout) }
}

/// sigaction(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { signals::sigaction(signal, new, old) }
}

/// signal(2) as System V has it.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __sysv_signal(
    signal: c_int,
    handler: libc::sighandler_t,
) -> libc::sighandler_t {
    // SAFETY: the program's own arguments.
    unsafe { signals::sysv_signal(signal, handler) }
}

/// select(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __select(
    count: c_int,
    read: *mut libc::fd_set,
    write: *mut libc::fd_set,
    except: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { select::select(count, read, write, except, timeout) }
}

/// getrlimit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __getrlimit(
    resource: libc::__rlimit_resource_t,
    limit: *mut libc::rlimit,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { process::getrlimit(resource, limit) }
}

/// sysconf(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __sysconf(name: c_int) -> c_long {
    // SAFETY: an integer only.
    unsafe { process::sysconf(name) }
}

/// fcntl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { descriptors::fcntl(fd, command, argument) }
}

/// close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __close(fd: c_int) -> c_int {
    // SAFETY: an integer only.
    unsafe { descriptors::close(fd) }
}

/// dup2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __dup2(old: c_int, new: c_int) -> c_int {
    // SAFETY: integers only.
    unsafe { descriptors::dup2(old, new) }
}

/// sockatmark(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sockatmark(fd: c_int) -> c_int {
    let mut mark: c_int = 0;
    // SAFETY: the request writes one int to `mark`, which lives across the call.
    match unsafe { descriptors::ioctl(fd, descriptors::SIOCATMARK, &raw mut mark as usize) } {
        -1 => -1,
        _ => mark,
    }
}

/// isfdtype(3): a socket of ours is one to the kernel, too.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn isfdtype(fd: c_int, kind: c_int) -> c_int {
    if table::is_ours(fd) {
        return c_int::from(kind as u32 == libc::S_IFSOCK);
    }
    match next::ISFDTYPE.find() {
        // SAFETY: integers only.
        Some(isfdtype) => unsafe { isfdtype(fd, kind) },
        None => fail(Errno::NOSYS),
    }
}
