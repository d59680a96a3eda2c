//! Proof that our functions have the C library's types: what is said of both only compiles if it is true of each.

#![expect(
    clippy::disallowed_methods,
    reason = "the C library's calls are named here, never called"
)]

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

use super::{
    descriptors, epoll, loading, mapping, messages, names, poll, positioned, process, programs,
    rights, select, signals, sockets, streams, transfer,
};

type Address = *const libc::sockaddr;
type AddressOut = *mut libc::sockaddr;
type Len = libc::socklen_t;
type Sets = *mut libc::fd_set;

/// Both functions take and give what is written; ours may be unwound through (see mod.rs).
macro_rules! same {
    ($theirs:path, $ours:path: fn($($argument:ty),* $(,)?) -> $value:ty) => {
        const _: (
            unsafe extern "C" fn($($argument),*) -> $value,
            unsafe extern "C-unwind" fn($($argument),*) -> $value,
        ) = ($theirs, $ours);
    };
}

same!(libc::socket, sockets::socket: fn(c_int, c_int, c_int) -> c_int);
same!(libc::bind, sockets::bind: fn(c_int, Address, Len) -> c_int);
same!(libc::listen, sockets::listen: fn(c_int, c_int) -> c_int);
same!(libc::accept, sockets::accept: fn(c_int, AddressOut, *mut Len) -> c_int);
same!(libc::accept4, sockets::accept4: fn(c_int, AddressOut, *mut Len, c_int) -> c_int);
same!(libc::connect, sockets::connect: fn(c_int, Address, Len) -> c_int);
same!(libc::shutdown, sockets::shutdown: fn(c_int, c_int) -> c_int);
same!(libc::getsockname, names::getsockname: fn(c_int, AddressOut, *mut Len) -> c_int);
same!(libc::getpeername, names::getpeername: fn(c_int, AddressOut, *mut Len) -> c_int);
same!(libc::getsockopt, names::getsockopt: fn(c_int, c_int, c_int, *mut c_void, *mut Len) -> c_int);
same!(libc::setsockopt, names::setsockopt: fn(c_int, c_int, c_int, *const c_void, Len) -> c_int);
same!(libc::send, streams::send: fn(c_int, *const c_void, usize, c_int) -> isize);
same!(libc::sendto, streams::sendto: fn(c_int, *const c_void, usize, c_int, Address, Len) -> isize);
same!(libc::recv, streams::recv: fn(c_int, *mut c_void, usize, c_int) -> isize);
same!(libc::recvfrom, streams::recvfrom: fn(c_int, *mut c_void, usize, c_int, AddressOut, *mut Len) -> isize);
same!(libc::read, streams::read: fn(c_int, *mut c_void, usize) -> isize);
same!(libc::write, streams::write: fn(c_int, *const c_void, usize) -> isize);
same!(libc::readv, streams::readv: fn(c_int, *const libc::iovec, c_int) -> isize);
same!(libc::writev, streams::writev: fn(c_int, *const libc::iovec, c_int) -> isize);
same!(libc::preadv2, positioned::preadv2: fn(c_int, *const libc::iovec, c_int, libc::off_t, c_int) -> isize);
same!(libc::pwritev2, positioned::pwritev2: fn(c_int, *const libc::iovec, c_int, libc::off_t, c_int) -> isize);
same!(libc::preadv64v2, positioned::preadv64v2: fn(c_int, *const libc::iovec, c_int, libc::off_t, c_int) -> isize);
same!(libc::pwritev64v2, positioned::pwritev64v2: fn(c_int, *const libc::iovec, c_int, libc::off_t, c_int) -> isize);
same!(libc::sendmsg, messages::sendmsg: fn(c_int, *const libc::msghdr, c_int) -> isize);
same!(libc::recvmsg, messages::recvmsg: fn(c_int, *mut libc::msghdr, c_int) -> isize);
same!(libc::sendmmsg, messages::sendmmsg: fn(c_int, *mut libc::mmsghdr, c_uint, c_int) -> c_int);
same!(libc::recvmmsg, messages::recvmmsg: fn(
    c_int,
    *mut libc::mmsghdr,
    c_uint,
    c_int,
    *mut libc::timespec,
) -> c_int);
same!(libc::sendfile, transfer::sendfile: fn(c_int, c_int, *mut libc::off_t, usize) -> isize);
same!(libc::sendfile64, transfer::sendfile64: fn(c_int, c_int, *mut libc::off64_t, usize) -> isize);
same!(libc::close, descriptors::close: fn(c_int) -> c_int);
same!(libc::dup, descriptors::dup: fn(c_int) -> c_int);
same!(libc::dup2, descriptors::dup2: fn(c_int, c_int) -> c_int);
same!(libc::dup3, descriptors::dup3: fn(c_int, c_int, c_int) -> c_int);
same!(libc::close_range, descriptors::close_range: fn(c_uint, c_uint, c_int) -> c_int);
same!(libc::fdopen, descriptors::fdopen: fn(c_int, *const c_char) -> *mut libc::FILE);
same!(libc::fclose, descriptors::fclose: fn(*mut libc::FILE) -> c_int);
same!(libc::poll, poll::poll: fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int);
same!(libc::ppoll, poll::ppoll: fn(
    *mut libc::pollfd,
    libc::nfds_t,
    *const libc::timespec,
    *const libc::sigset_t,
) -> c_int);
same!(libc::select, select::select: fn(c_int, Sets, Sets, Sets, *mut libc::timeval) -> c_int);
same!(libc::pselect, select::pselect: fn(
    c_int,
    Sets,
    Sets,
    Sets,
    *const libc::timespec,
    *const libc::sigset_t,
) -> c_int);
same!(libc::epoll_create, epoll::epoll_create: fn(c_int) -> c_int);
same!(libc::epoll_create1, epoll::epoll_create1: fn(c_int) -> c_int);
same!(libc::epoll_ctl, epoll::epoll_ctl: fn(c_int, c_int, c_int, *mut libc::epoll_event) -> c_int);
same!(libc::epoll_wait, epoll::epoll_wait: fn(c_int, *mut libc::epoll_event, c_int, c_int) -> c_int);
same!(libc::epoll_pwait, epoll::epoll_pwait: fn(
    c_int,
    *mut libc::epoll_event,
    c_int,
    c_int,
    *const libc::sigset_t,
) -> c_int);
same!(libc::getrlimit, process::getrlimit: fn(libc::__rlimit_resource_t, *mut libc::rlimit) -> c_int);
same!(libc::setrlimit, process::setrlimit: fn(libc::__rlimit_resource_t, *const libc::rlimit) -> c_int);
same!(libc::splice, transfer::splice: fn(
    c_int,
    *mut libc::loff_t,
    c_int,
    *mut libc::loff_t,
    usize,
    c_uint,
) -> isize);
type Strings = *const *const c_char;
same!(libc::execve, programs::execve: fn(*const c_char, Strings, Strings) -> c_int);
same!(libc::execv, programs::execv: fn(*const c_char, Strings) -> c_int);
same!(libc::execvp, programs::execvp: fn(*const c_char, Strings) -> c_int);
same!(libc::execvpe, programs::execvpe: fn(*const c_char, Strings, Strings) -> c_int);
same!(libc::fexecve, programs::fexecve: fn(c_int, Strings, Strings) -> c_int);
same!(libc::posix_spawn, programs::posix_spawn: fn(
    *mut libc::pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int);
same!(libc::posix_spawnp, programs::posix_spawnp: fn(
    *mut libc::pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int);
same!(libc::popen, programs::popen: fn(*const c_char, *const c_char) -> *mut libc::FILE);
same!(libc::mlockall, process::mlockall: fn(c_int) -> c_int);
same!(libc::perror, process::perror: fn(*const c_char) -> ());
same!(libc::system, programs::system: fn(*const c_char) -> c_int);
same!(libc::daemon, programs::daemon: fn(c_int, c_int) -> c_int);
same!(libc::sysconf, process::sysconf: fn(c_int) -> c_long);
same!(libc::getdtablesize, process::getdtablesize: fn() -> c_int);
same!(libc::freopen, descriptors::freopen: fn(*const c_char, *const c_char, *mut libc::FILE) -> *mut libc::FILE);
same!(libc::chroot, rights::chroot: fn(*const c_char) -> c_int);
same!(libc::setuid, rights::setuid: fn(libc::uid_t) -> c_int);
same!(libc::seteuid, rights::seteuid: fn(libc::uid_t) -> c_int);
same!(libc::setreuid, rights::setreuid: fn(libc::uid_t, libc::uid_t) -> c_int);
same!(libc::setresuid, rights::setresuid: fn(libc::uid_t, libc::uid_t, libc::uid_t) -> c_int);
same!(libc::_exit, process::_exit: fn(c_int) -> !);
same!(libc::sigaction, signals::sigaction: fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int);
same!(libc::signal, signals::signal: fn(c_int, libc::sighandler_t) -> libc::sighandler_t);
same!(libc::mmap, mapping::mmap: fn(*mut c_void, usize, c_int, c_int, c_int, libc::off_t) -> *mut c_void);
same!(libc::mmap64, mapping::mmap64: fn(*mut c_void, usize, c_int, c_int, c_int, libc::off64_t) -> *mut c_void);
same!(libc::dlopen, loading::dlopen: fn(*const c_char, c_int) -> *mut c_void);
