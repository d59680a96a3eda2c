//! Proof that our functions have the C library's types: each pair is an array of one type, which
//! only compiles if both are.

#![expect(
    clippy::disallowed_methods,
    reason = "the C library's calls are named here, never called"
)]

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

use super::{
    descriptors, epoll, messages, names, poll, positioned, process, programs, select, sockets,
    streams, transfer,
};

type Address = *const libc::sockaddr;
type AddressOut = *mut libc::sockaddr;
type Len = libc::socklen_t;
type Sets = *mut libc::fd_set;

const _: [unsafe extern "C" fn(c_int, c_int, c_int) -> c_int; 2] = [libc::socket, sockets::socket];
const _: [unsafe extern "C" fn(c_int, Address, Len) -> c_int; 2] = [libc::bind, sockets::bind];
const _: [unsafe extern "C" fn(c_int, c_int) -> c_int; 2] = [libc::listen, sockets::listen];
const _: [unsafe extern "C" fn(c_int, AddressOut, *mut Len) -> c_int; 2] =
    [libc::accept, sockets::accept];
const _: [unsafe extern "C" fn(c_int, AddressOut, *mut Len, c_int) -> c_int; 2] =
    [libc::accept4, sockets::accept4];
const _: [unsafe extern "C" fn(c_int, Address, Len) -> c_int; 2] =
    [libc::connect, sockets::connect];
const _: [unsafe extern "C" fn(c_int, c_int) -> c_int; 2] = [libc::shutdown, sockets::shutdown];
const _: [unsafe extern "C" fn(c_int, AddressOut, *mut Len) -> c_int; 2] =
    [libc::getsockname, names::getsockname];
const _: [unsafe extern "C" fn(c_int, AddressOut, *mut Len) -> c_int; 2] =
    [libc::getpeername, names::getpeername];
const _: [unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut Len) -> c_int; 2] =
    [libc::getsockopt, names::getsockopt];
const _: [unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, Len) -> c_int; 2] =
    [libc::setsockopt, names::setsockopt];
const _: [unsafe extern "C" fn(c_int, *const c_void, usize, c_int) -> isize; 2] =
    [libc::send, streams::send];
const _: [unsafe extern "C" fn(c_int, *const c_void, usize, c_int, Address, Len) -> isize; 2] =
    [libc::sendto, streams::sendto];
const _: [unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> isize; 2] =
    [libc::recv, streams::recv];
const _: [unsafe extern "C" fn(c_int, *mut c_void, usize, c_int, AddressOut, *mut Len) -> isize;
    2] = [libc::recvfrom, streams::recvfrom];
const _: [unsafe extern "C" fn(c_int, *mut c_void, usize) -> isize; 2] =
    [libc::read, streams::read];
const _: [unsafe extern "C" fn(c_int, *const c_void, usize) -> isize; 2] =
    [libc::write, streams::write];
const _: [unsafe extern "C" fn(c_int, *const libc::iovec, c_int) -> isize; 2] =
    [libc::readv, streams::readv];
const _: [unsafe extern "C" fn(c_int, *const libc::iovec, c_int) -> isize; 2] =
    [libc::writev, streams::writev];
type Positioned =
    unsafe extern "C" fn(c_int, *const libc::iovec, c_int, libc::off_t, c_int) -> isize;
const _: [Positioned; 2] = [libc::preadv2, positioned::preadv2];
const _: [Positioned; 2] = [libc::pwritev2, positioned::pwritev2];
const _: [Positioned; 2] = [libc::preadv64v2, positioned::preadv64v2];
const _: [Positioned; 2] = [libc::pwritev64v2, positioned::pwritev64v2];
const _: [unsafe extern "C" fn(c_int, *const libc::msghdr, c_int) -> isize; 2] =
    [libc::sendmsg, messages::sendmsg];
const _: [unsafe extern "C" fn(c_int, *mut libc::msghdr, c_int) -> isize; 2] =
    [libc::recvmsg, messages::recvmsg];
const _: [unsafe extern "C" fn(c_int, *mut libc::mmsghdr, c_uint, c_int) -> c_int; 2] =
    [libc::sendmmsg, messages::sendmmsg];
const _: [unsafe extern "C" fn(
    c_int,
    *mut libc::mmsghdr,
    c_uint,
    c_int,
    *mut libc::timespec,
) -> c_int; 2] = [libc::recvmmsg, messages::recvmmsg];
const _: [unsafe extern "C" fn(c_int, c_int, *mut libc::off_t, usize) -> isize; 2] =
    [libc::sendfile, transfer::sendfile];
const _: [unsafe extern "C" fn(c_int, c_int, *mut libc::off64_t, usize) -> isize; 2] =
    [libc::sendfile64, transfer::sendfile64];
const _: [unsafe extern "C" fn(c_int) -> c_int; 2] = [libc::close, descriptors::close];
const _: [unsafe extern "C" fn(c_int) -> c_int; 2] = [libc::dup, descriptors::dup];
const _: [unsafe extern "C" fn(c_int, c_int) -> c_int; 2] = [libc::dup2, descriptors::dup2];
const _: [unsafe extern "C" fn(c_int, c_int, c_int) -> c_int; 2] = [libc::dup3, descriptors::dup3];
const _: [unsafe extern "C" fn(c_uint, c_uint, c_int) -> c_int; 2] =
    [libc::close_range, descriptors::close_range];
const _: [unsafe extern "C" fn(c_int, *const c_char) -> *mut libc::FILE; 2] =
    [libc::fdopen, descriptors::fdopen];
const _: [unsafe extern "C" fn(*mut libc::FILE) -> c_int; 2] = [libc::fclose, descriptors::fclose];
const _: [unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int; 2] =
    [libc::poll, poll::poll];
const _: [unsafe extern "C" fn(
    *mut libc::pollfd,
    libc::nfds_t,
    *const libc::timespec,
    *const libc::sigset_t,
) -> c_int; 2] = [libc::ppoll, poll::ppoll];
const _: [unsafe extern "C" fn(c_int, Sets, Sets, Sets, *mut libc::timeval) -> c_int; 2] =
    [libc::select, select::select];
const _: [unsafe extern "C" fn(
    c_int,
    Sets,
    Sets,
    Sets,
    *const libc::timespec,
    *const libc::sigset_t,
) -> c_int; 2] = [libc::pselect, select::pselect];
const _: [unsafe extern "C" fn(c_int, c_int, c_int, *mut libc::epoll_event) -> c_int; 2] =
    [libc::epoll_ctl, epoll::epoll_ctl];
const _: [unsafe extern "C" fn(c_int, *mut libc::epoll_event, c_int, c_int) -> c_int; 2] =
    [libc::epoll_wait, epoll::epoll_wait];
const _: [unsafe extern "C" fn(
    c_int,
    *mut libc::epoll_event,
    c_int,
    c_int,
    *const libc::sigset_t,
) -> c_int; 2] = [libc::epoll_pwait, epoll::epoll_pwait];
const _: [unsafe extern "C" fn(libc::__rlimit_resource_t, *mut libc::rlimit) -> c_int; 2] =
    [libc::getrlimit, process::getrlimit];
const _: [unsafe extern "C" fn(libc::__rlimit_resource_t, *const libc::rlimit) -> c_int; 2] =
    [libc::setrlimit, process::setrlimit];
const _: [unsafe extern "C" fn(
    c_int,
    *mut libc::loff_t,
    c_int,
    *mut libc::loff_t,
    usize,
    c_uint,
) -> isize; 2] = [libc::splice, transfer::splice];
type Strings = *const *const c_char;
type Spawn = unsafe extern "C" fn(
    *mut libc::pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int;
const _: [unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int; 2] =
    [libc::execve, programs::execve];
const _: [unsafe extern "C" fn(*const c_char, Strings) -> c_int; 2] =
    [libc::execv, programs::execv];
const _: [unsafe extern "C" fn(*const c_char, Strings) -> c_int; 2] =
    [libc::execvp, programs::execvp];
const _: [unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int; 2] =
    [libc::execvpe, programs::execvpe];
const _: [unsafe extern "C" fn(c_int, Strings, Strings) -> c_int; 2] =
    [libc::fexecve, programs::fexecve];
const _: [Spawn; 2] = [libc::posix_spawn, programs::posix_spawn];
const _: [Spawn; 2] = [libc::posix_spawnp, programs::posix_spawnp];
const _: [unsafe extern "C" fn(*const c_char, *const c_char) -> *mut libc::FILE; 2] =
    [libc::popen, programs::popen];
const _: [unsafe extern "C" fn(*const c_char) -> c_int; 2] = [libc::system, programs::system];
const _: [unsafe extern "C" fn(c_int, c_int) -> c_int; 2] = [libc::daemon, programs::daemon];
const _: [unsafe extern "C" fn(c_int) -> c_long; 2] = [libc::sysconf, process::sysconf];
const _: [unsafe extern "C" fn() -> c_int; 2] = [libc::getdtablesize, process::getdtablesize];
const _: [unsafe extern "C" fn(*const c_char, *const c_char, *mut libc::FILE) -> *mut libc::FILE;
    2] = [libc::freopen, descriptors::freopen];
const _: [unsafe extern "C" fn(c_int) -> !; 2] = [libc::_exit, process::_exit];
