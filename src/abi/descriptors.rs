//! close(2), dup(2) and their kin, fcntl(2), ioctl(2), fdopen(3), fclose(3).

use core::ffi::{c_char, c_int, c_uint, c_ulong};
use rustix::io::Errno;

use super::border::{answer, fail, read, result, write};
use super::next;
use crate::driver;
use crate::socket::{Kind, Socket, away, lifecycle, queues, sets, table, urgent};
use crate::sys::{descriptor, process};

/// close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn close(fd: c_int) -> c_int {
    if descriptor::is_ours(fd) {
        // Ours, and none of the program's business: to it, the number is not open.
        return fail(Errno::BADF);
    }
    // SAFETY: an integer only.
    let by_kernel = || unsafe { next::CLOSE.get()(fd) };
    if table::is_set(fd) && !process::is_vfork_child() {
        sets::left(fd);
    }
    if !table::is_entered(fd) || process::is_vfork_child() {
        return by_kernel();
    }
    closing(fd, by_kernel)
}

/// Runs `close`, which closes a descriptor of a socket of ours.
fn closing<T>(fd: c_int, close: impl FnOnce() -> T) -> T {
    let closing = lifecycle::closing(fd);
    let outcome = close();
    if let Some(closing) = closing {
        answer(|| {
            lifecycle::closed(closing);
            Ok(0)
        });
    }
    outcome
}

/// close_range(2): ours stay open.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let closes = flags & !(libc::CLOSE_RANGE_UNSHARE as c_int) == 0;
    let closing = if !closes || process::is_vfork_child() {
        Vec::new()
    } else {
        sets::left_range(first, last);
        lifecycle::closing_range(first, last)
    };
    let outcome = close_theirs(first, last, asked_of_kernel(flags));
    answer(|| {
        closing.into_iter().for_each(lifecycle::closed);
        Ok(0)
    });
    outcome
}

/// What a close_range(2) is asked for. Where nobody but the background thread shares the table of descriptors, there is
/// nobody to part from, and the table stays that thread's, too.
fn asked_of_kernel(flags: c_int) -> c_int {
    let unshare = libc::CLOSE_RANGE_UNSHARE as c_int;
    let parts = flags & unshare != 0 && !process::is_vfork_child();
    match parts && driver::is_only_company() {
        true => flags & !unshare,
        false => flags,
    }
}

/// close_range(2) of what is not ours.
fn close_theirs(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let Some(close_range) = next::CLOSE_RANGE.find() else {
        return fail(Errno::NOSYS);
    };
    if first > last {
        // SAFETY: integers only; the kernel refuses.
        return unsafe { close_range(first, last, flags) };
    }
    let mut outcome = 0;
    descriptor::between_ours(first, last, |first, last| {
        // SAFETY: integers only.
        outcome |= unsafe { close_range(first, last, flags) };
    });
    outcome
}

/// closefrom(3): ours stay open.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn closefrom(first: c_int) {
    // SAFETY: integers only.
    unsafe { close_range(first.max(0) as c_uint, c_uint::MAX, 0) };
}

/// Enters what dup(2) and its kin gave, within the program's limit. EMFILE.
fn duplicated(old: c_int, new: c_int) -> c_int {
    if new >= 0 && descriptor::is_beyond_limit(new) {
        // SAFETY: nobody else knows of the number, which was just made.
        unsafe { next::CLOSE.get()(new) };
        return fail(Errno::MFILE);
    }
    let may_be_sets = table::is_set(old) || table::is_set(new);
    if new >= 0 && new != old && may_be_sets && !process::is_vfork_child() {
        sets::left(new);
        if table::is_set(old) {
            sets::duplicated(old, new);
        }
    }
    let concerns_us = || table::get(old).is_some() || table::is_ours(new);
    if new >= 0 && new != old && concerns_us() {
        answer(|| {
            match process::is_vfork_child() {
                // It is for the program that the child executes, and may be all that this will have of the socket.
                true => away::set_out_by(old),
                false => lifecycle::duplicated(old, new),
            }
            Ok(0)
        });
    }
    new
}

/// Before another descriptor takes the number `new`.
fn replacing(old: c_int, new: c_int) {
    if old != new && table::is_ours(new) && !process::is_vfork_child() {
        answer(|| {
            lifecycle::replacing(new);
            Ok(0)
        });
    }
}

/// Whether nothing of the program's can have the number `new`: it is beyond its limit, or ours. (Not so in a child of
/// vfork(2), whose numbers are its own, and which makes of them what the program that it executes is to have.)
fn is_out_of_reach(new: c_int) -> bool {
    descriptor::is_beyond_limit(new) || descriptor::is_ours(new) && !process::is_vfork_child()
}

/// dup(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dup(fd: c_int) -> c_int {
    // SAFETY: an integer only.
    duplicated(fd, unsafe { next::DUP.get()(fd) })
}

/// dup2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dup2(old: c_int, new: c_int) -> c_int {
    if is_out_of_reach(new) {
        return fail(Errno::BADF);
    }
    replacing(old, new);
    // SAFETY: integers only.
    duplicated(old, unsafe { next::DUP2.get()(old, new) })
}

/// dup3(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    if is_out_of_reach(new) {
        return fail(Errno::BADF);
    }
    replacing(old, new);
    // SAFETY: integers only.
    duplicated(old, unsafe { next::DUP3.get()(old, new, flags) })
}

fn after_fcntl(fd: c_int, command: c_int, argument: usize, outcome: c_int) -> c_int {
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => duplicated(fd, outcome),
        libc::F_SETFL if outcome == 0 => {
            if let Some(socket) = table::get(fd) {
                socket.set_nonblocking(argument as c_int & libc::O_NONBLOCK != 0);
                if argument as c_int & libc::O_ASYNC != 0 {
                    lifecycle::signals_events(&socket);
                }
            }
            outcome
        }
        _ => outcome,
    }
}

/// fcntl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    let outcome = unsafe { next::FCNTL.get()(fd, command, argument) };
    after_fcntl(fd, command, argument, outcome)
}

/// fcntl(2), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    let outcome = match next::FCNTL64.find() {
        // SAFETY: the program's own arguments.
        Some(fcntl64) => unsafe { fcntl64(fd, command, argument) },
        // SAFETY: as above; on 64-bit machines the two are one.
        None => unsafe { next::FCNTL.get()(fd, command, argument) },
    };
    after_fcntl(fd, command, argument, outcome)
}

/// ioctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ioctl(fd: c_int, request: c_ulong, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::IOCTL.get()(fd, request, argument) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    let count = match request {
        libc::FIONBIO => {
            // SAFETY: FIONBIO's argument points to an int.
            let wanted = unsafe { read(argument as *const c_int) };
            let outcome = by_kernel();
            if outcome == 0
                && let Ok(wanted) = wanted
            {
                socket.set_nonblocking(wanted != 0);
            }
            return outcome;
        }
        libc::FIOASYNC => {
            lifecycle::signals_events(&socket);
            return by_kernel();
        }
        // Datagrams have neither, and the kernel takes what it does not know for a question about interfaces.
        SIOCATMARK | SIOCOUTQNSD if socket.kind == Kind::Datagram => {
            return of_the_family(&socket, request, argument);
        }
        libc::FIONREAD | libc::TIOCOUTQ | SIOCOUTQNSD => queues::count(fd, &socket, request as u32),
        SIOCATMARK => Some(Ok(usize::from(urgent::is_at_mark(fd, &socket)))),
        SIOCGSTAMP | SIOCGSTAMPNS => {
            let unit = if request == SIOCGSTAMP { 1_000 } else { 1 };
            return answer(|| {
                let at = socket.last_arrival()?;
                let time = [at / 1_000_000_000, at % 1_000_000_000 / unit];
                // SAFETY: the argument points to a struct timeval or timespec.
                unsafe { write(argument as *mut [u64; 2], time) }?;
                Ok(0)
            });
        }
        // What is about routes, interfaces and neighbours any socket of the family can be asked, not a pair.
        SIOC_NETWORK_FIRST..=SIOC_NETWORK_LAST => {
            return of_the_family(&socket, request, argument);
        }
        _ => return by_kernel(),
    };
    answer(|| match count {
        Some(count) => {
            // SAFETY: these requests' argument points to an int.
            unsafe { write(argument as *mut c_int, count? as c_int) }?;
            Ok(0)
        }
        None => result(by_kernel()),
    })
}

/// ioctl(2) of any socket of the family and kind.
fn of_the_family(socket: &Socket, request: c_ulong, argument: usize) -> c_int {
    answer(|| {
        let kernel = crate::socket::create::kernel_socket(socket)?;
        let kernel = rustix::fd::AsRawFd::as_raw_fd(&kernel);
        // SAFETY: the program's own argument, on a socket that knows the request.
        result(unsafe { next::IOCTL.get()(kernel, request, argument) })
    })
}

/// linux/sockios.h.
const SIOCOUTQNSD: c_ulong = queues::UNSENT as c_ulong;
pub(super) const SIOCATMARK: c_ulong = 0x8905;
const SIOCGSTAMP: c_ulong = 0x8906;
const SIOCGSTAMPNS: c_ulong = 0x8907;
/// SIOCADDRT, the first of those, and the last of what protocols and devices call their own.
const SIOC_NETWORK_FIRST: c_ulong = 0x890b;
const SIOC_NETWORK_LAST: c_ulong = 0x89ff;

/// fdopen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fdopen(fd: c_int, mode: *const c_char) -> *mut libc::FILE {
    if let Some(socket) = table::get(fd) {
        lifecycle::written_elsewhere(&socket);
    }
    // SAFETY: the program's own arguments.
    unsafe { next::FDOPEN.get()(fd, mode) }
}

/// Runs `close`, which closes a stream's descriptor where we would not see it.
fn closing_stream<T>(stream: *mut libc::FILE, close: impl FnOnce() -> T) -> T {
    // SAFETY: the program's own stream.
    let fd = unsafe { libc::fileno(stream) };
    match table::is_entered(fd) {
        true => closing(fd, close),
        false => close(),
    }
}

/// fclose(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fclose(stream: *mut libc::FILE) -> c_int {
    // SAFETY: the program's own stream.
    closing_stream(stream, || unsafe { next::FCLOSE.get()(stream) })
}

/// freopen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn freopen(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut libc::FILE,
) -> *mut libc::FILE {
    // SAFETY: the program's own arguments.
    closing_stream(stream, || unsafe {
        next::FREOPEN.get()(path, mode, stream)
    })
}

/// freopen(3), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn freopen64(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut libc::FILE,
) -> *mut libc::FILE {
    // SAFETY: the program's own arguments.
    closing_stream(stream, || unsafe {
        next::FREOPEN64.get()(path, mode, stream)
    })
}
