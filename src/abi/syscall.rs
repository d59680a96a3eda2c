//! syscall(2): a number that stands for a call of ours is that call; all others enter the kernel
//! from here, for the price of two jumps by table (futexes come this way).
//!
//! What the kernel takes in another form than the C library's function does (the sizes of signal
//! sets, positions in two words) is taken in that form.

use core::ffi::{c_int, c_long, c_uint};
use core::ptr::with_exposed_provenance_mut as at;
use rustix::io::Errno;

use super::border::{fail, read, write};
use super::{
    descriptors, epoll, mapping, messages, names, poll, positioned, process, programs, rights,
    select, sockets, streams, transfer,
};
use crate::socket::waiting::deadline;
use crate::sys::wait::SignalMask;

/// The arguments after the number. Who passes fewer leaves what is there by chance.
type Arguments = [usize; 6];

/// syscall(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let arguments = [a, b, c, d, e, f];
    // SAFETY: the program's own arguments.
    unsafe {
        on_sockets(number, arguments)
            .or_else(|| on_descriptors(number, arguments))
            .unwrap_or_else(|| by_kernel(number, arguments))
    }
}

/// Enters the kernel.
///
/// # Safety
/// As the program promises for the call.
unsafe fn by_kernel(number: c_long, [a, b, c, d, e, f]: Arguments) -> c_long {
    // SAFETY: the caller's promise.
    let value = unsafe { syscalls::raw::syscall6(number as usize, a, b, c, d, e, f) } as isize;
    if (-4095..0).contains(&value) {
        return c_long::from(fail::<c_int>(Errno::from_raw_os_error(-value as i32)));
    }
    value as c_long
}

/// Calls on sockets, and those that move bytes.
///
/// # Safety
/// As the program promises for the call.
unsafe fn on_sockets(number: c_long, [a, b, c, d, e, f]: Arguments) -> Option<c_long> {
    let (fd, len, flags) = (a as c_int, c, d as c_int);
    // SAFETY: the caller's promise, for each.
    let value = unsafe {
        match number {
            libc::SYS_socket => sockets::socket(fd, b as c_int, c as c_int) as c_long,
            libc::SYS_bind => sockets::bind(fd, at(b), c as c_uint) as c_long,
            libc::SYS_listen => sockets::listen(fd, b as c_int) as c_long,
            libc::SYS_accept => sockets::accept(fd, at(b), at(c)) as c_long,
            libc::SYS_accept4 => sockets::accept4(fd, at(b), at(c), flags) as c_long,
            libc::SYS_connect => sockets::connect(fd, at(b), c as c_uint) as c_long,
            libc::SYS_shutdown => sockets::shutdown(fd, b as c_int) as c_long,
            libc::SYS_getsockname => names::getsockname(fd, at(b), at(c)) as c_long,
            libc::SYS_getpeername => names::getpeername(fd, at(b), at(c)) as c_long,
            libc::SYS_getsockopt => {
                names::getsockopt(fd, b as c_int, c as c_int, at(d), at(e)) as c_long
            }
            libc::SYS_setsockopt => {
                names::setsockopt(fd, b as c_int, c as c_int, at(d), e as c_uint) as c_long
            }
            libc::SYS_read => streams::read(fd, at(b), len) as c_long,
            libc::SYS_readv => streams::readv(fd, at(b), c as c_int) as c_long,
            libc::SYS_write => streams::write(fd, at(b), len) as c_long,
            libc::SYS_writev => streams::writev(fd, at(b), c as c_int) as c_long,
            // Positions come in two words, of which the second counts on 32-bit machines.
            libc::SYS_preadv2 => {
                positioned::preadv2(fd, at(b), c as c_int, d as i64, f as c_int) as c_long
            }
            libc::SYS_pwritev2 => {
                positioned::pwritev2(fd, at(b), c as c_int, d as i64, f as c_int) as c_long
            }
            libc::SYS_recvfrom => streams::recvfrom(fd, at(b), len, flags, at(e), at(f)) as c_long,
            libc::SYS_sendto => {
                streams::sendto(fd, at(b), len, flags, at(e), f as c_uint) as c_long
            }
            libc::SYS_recvmsg => messages::recvmsg(fd, at(b), c as c_int) as c_long,
            libc::SYS_sendmsg => messages::sendmsg(fd, at(b), c as c_int) as c_long,
            libc::SYS_recvmmsg => {
                messages::recvmmsg(fd, at(b), c as c_uint, flags, at(e)) as c_long
            }
            libc::SYS_sendmmsg => messages::sendmmsg(fd, at(b), c as c_uint, flags) as c_long,
            libc::SYS_mmap => {
                let mapped = mapping::mmap(at(a), b, c as c_int, flags, e as c_int, f as i64);
                mapped.expose_provenance() as c_long
            }
            libc::SYS_sendfile => transfer::sendfile(fd, b as c_int, at(c), d) as c_long,
            libc::SYS_splice => {
                transfer::splice(fd, at(b), c as c_int, at(d), e, f as c_uint) as c_long
            }
            _ => return None,
        }
    };
    Some(value)
}

/// Bytes of a set of signals that we take as the C library's functions do.
const MASK: usize = size_of::<SignalMask>();

/// The set of signals that pselect6(2) is given, with its size; `None`: the kernel is to judge that.
///
/// # Safety
/// As the program promises for the call.
unsafe fn mask_at(place: usize) -> Option<usize> {
    if place == 0 {
        return Some(0);
    }
    // SAFETY: the caller's promise.
    match unsafe { read(at::<[usize; 2]>(place)) } {
        Ok([mask, size]) if mask == 0 || size == MASK => Some(mask),
        _ => None,
    }
}

/// Makes a call that waits for so long at most. As the kernel does, and the C library does not, it leaves there how much of
/// the time was left, if it can.
///
/// # Safety
/// As the program promises for the call.
unsafe fn leaving_rest(timeout: *mut libc::timespec, call: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the caller's promise.
    let limit = unsafe { poll::timeout_of(timeout) };
    let until = deadline(limit.ok().flatten());
    let value = call();
    if let Some(until) = until {
        // SAFETY: as above.
        let _ = unsafe { write(timeout, messages::left_until(until)) };
    }
    value
}

/// What comes before a call by which rights may be given up.
///
/// # Safety
/// As the program promises for the call.
unsafe fn give_up_rights(number: c_long, a: usize, b: usize) {
    match number {
        libc::SYS_chroot => rights::before_root(),
        libc::SYS_setuid => rights::before_user(a as libc::uid_t),
        // SAFETY: the caller's promise.
        libc::SYS_capset => unsafe { rights::before_capabilities(at(b)) },
        _ => rights::before_user(b as libc::uid_t),
    }
}

/// Calls on descriptors of any sort, waiting, and the life of processes.
///
/// # Safety
/// As the program promises for the call.
unsafe fn on_descriptors(number: c_long, [a, b, c, d, e, f]: Arguments) -> Option<c_long> {
    let fd = a as c_int;
    // SAFETY: the caller's promise, for each.
    let value = unsafe {
        match number {
            libc::SYS_close => descriptors::close(fd),
            libc::SYS_close_range => descriptors::close_range(a as u32, b as u32, c as c_int),
            libc::SYS_dup => descriptors::dup(fd),
            libc::SYS_dup3 => descriptors::dup3(fd, b as c_int, c as c_int),
            libc::SYS_fcntl => descriptors::fcntl(fd, b as c_int, c),
            libc::SYS_ioctl => descriptors::ioctl(fd, b as u64, c),
            libc::SYS_epoll_create1 => epoll::epoll_create1(fd),
            libc::SYS_epoll_ctl => epoll::epoll_ctl(fd, b as c_int, c as c_int, at(d)),
            libc::SYS_epoll_pwait if e == 0 || f == MASK => {
                epoll::epoll_pwait(fd, at(b), c as c_int, d as c_int, at(e))
            }
            libc::SYS_epoll_pwait2 if e == 0 || f == MASK => {
                epoll::epoll_pwait2(fd, at(b), c as c_int, at(d), at(e))
            }
            libc::SYS_ppoll
                if (d == 0 || e == MASK) && poll::with_ours(at(a), b as u64).is_some() =>
            {
                leaving_rest(at(c), || poll::ppoll(at(a), b as u64, at(c), at(d)))
            }
            libc::SYS_pselect6 => {
                let mask = at(mask_at(f)?);
                leaving_rest(at(e), || {
                    select::pselect(fd, at(b), at(c), at(d), at(e), mask)
                })
            }
            libc::SYS_mlockall => process::mlockall(a as c_int),
            libc::SYS_prlimit64 => process::prlimit64(a as c_int, b as u32, at(c), at(d)),
            libc::SYS_chroot
            | libc::SYS_setuid
            | libc::SYS_setreuid
            | libc::SYS_setresuid
            | libc::SYS_capset => {
                give_up_rights(number, a, b);
                return None;
            }
            libc::SYS_execve => programs::execve(at(a), at(b), at(c)),
            libc::SYS_execveat => programs::execveat(fd, at(b), at(c), at(d), e as c_int),
            libc::SYS_exit_group => process::_exit(fd),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_dup2 => descriptors::dup2(fd, b as c_int),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => poll::poll(at(a), b as u64, c as c_int),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_select => select::select(fd, at(b), at(c), at(d), at(e)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_create => epoll::epoll_create(fd),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => epoll::epoll_wait(fd, at(b), c as c_int, d as c_int),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_getrlimit => process::getrlimit(a as u32, at(b)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_setrlimit => process::setrlimit(a as u32, at(b)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_fork => programs::forked(|| by_kernel(number, [a, b, c, d, e, f]) as c_int),
            libc::SYS_clone if a & libc::CLONE_VM as usize == 0 => {
                programs::forked(|| by_kernel(number, [a, b, c, d, e, f]) as c_int)
            }
            _ => return None,
        }
    };
    Some(value as c_long)
}
