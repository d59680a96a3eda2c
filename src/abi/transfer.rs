//! sendfile(2), splice(2).

use core::ffi::{c_int, c_uint};
use rustix::io::Errno;
use std::sync::Arc;

use super::border::serve;
use super::next;
use super::streams::{receive_parts, send_parts, sent_or_bound};
use crate::socket::datagram::Asked;
use crate::socket::{Kind, Socket, away, lifecycle, options, receive, send, table, urgent};
use crate::sys::file::{moves_as_sent, read_at};
use crate::sys::raw;
use crate::sys::wait::poll_now;

/// Bytes read from the file at a time.
const PIECE: usize = 128 * 1024;
/// All flags of splice(2) there are.
const ALL_FLAGS: c_uint =
    libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MORE | libc::SPLICE_F_GIFT;
/// Longest UDP payload over IPv4, in bytes (RFC 768, RFC 791), and one more, which is refused.
const LONGEST: usize = 65_508;

/// sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut libc::off_t,
    count: usize,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SENDFILE.get()(to, from, offset, count) };
    let Some(socket) = table::get(to) else {
        // Into a pipe it is the same as splice(2).
        if table::get(from).is_some() && offset.is_null() {
            let none = core::ptr::null_mut();
            // SAFETY: no memory is passed.
            return unsafe { splice(from, none, to, none, count, 0) };
        }
        return by_kernel();
    };
    serve(by_kernel, move || {
        if count > isize::MAX as usize {
            return Err(Errno::INVAL);
        }
        let mut at = match offset.is_null() {
            // SAFETY: the program's own offset.
            false => unsafe { super::border::read(offset) }?,
            // What cannot be sought cannot be spliced from (sendfile(2)).
            true => crate::sys::file::position(from).map_err(|errno| match errno {
                Errno::SPIPE => Errno::INVAL,
                errno => errno,
            })?,
        };
        if at < 0 || at.checked_add_unsigned(count as u64).is_none() {
            return Err(Errno::INVAL);
        }
        let Some(sent) = send_file(to, &socket, from, &mut at, count)? else {
            return Ok(None);
        };
        if offset.is_null() {
            crate::sys::file::seek(from, at)?;
        } else {
            // SAFETY: read above.
            unsafe { super::border::write(offset, at) }?;
        }
        Ok(Some(sent as isize))
    })
}

/// Sends `count` bytes of the file from `at` on, or as many as are taken; how many, with `at` where the next ones are.
/// `None`: the socket is the kernel's by now.
fn send_file(
    to: c_int,
    socket: &Arc<Socket>,
    from: c_int,
    at: &mut libc::off_t,
    count: usize,
) -> Result<Option<usize>, Errno> {
    let moves = count > 0 && moves_as_sent(from, *at)?;
    // A datagram is made of all that was asked for.
    let longest = match socket.kind {
        Kind::Stream => PIECE,
        Kind::Datagram => LONGEST,
    };
    let mut piece = vec![0; longest.min(count)];
    let mut sent = 0;
    while sent < count {
        let most = piece.len().min(count - sent);
        let got = match read_at(from, &mut piece[..most], *at) {
            Ok(0) => break,
            Ok(got) => got,
            // What was sent is told first.
            Err(_) if sent > 0 => break,
            // What has no bytes cannot be spliced from either.
            Err(Errno::ISDIR) => return Err(Errno::INVAL),
            Err(errno) => return Err(errno),
        };
        let part = part(&mut piece, got);
        // SAFETY: a buffer of our own.
        let taken = match unsafe { send_parts(to, socket, &part, None, 0, &Asked::default()) } {
            Ok(Some(taken)) => taken,
            Err(errno) if sent == 0 => return Err(errno),
            Ok(None) if sent == 0 => return Ok(None),
            _ => break,
        };
        sent += taken;
        if moves {
            *at += taken as libc::off_t;
        }
        if taken < got {
            break;
        }
    }
    Ok(Some(sent))
}

/// sendfile(2), for programs built with 64-bit file offsets, which is the same here.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut libc::off64_t,
    count: usize,
) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { sendfile(to, from, offset, count) }
}

/// splice(2): the kernel's, on the pairs, which are brought up to date for it; what a pair cannot
/// give is received and written.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn splice(
    from: c_int,
    from_offset: *mut libc::loff_t,
    to: c_int,
    to_offset: *mut libc::loff_t,
    count: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel =
        || unsafe { next::SPLICE.get()(from, from_offset, to, to_offset, count, flags) };
    let (source, target) = (table::get(from), table::get(to));
    let plain = from_offset.is_null() && to_offset.is_null();
    let moves = plain && (1..=isize::MAX as usize).contains(&count) && flags & !ALL_FLAGS == 0;
    // Whatever else there is to say about the arguments, the kernel says: a pair is a socket, too.
    let (pipe, event) = match (&source, &target) {
        (None, Some(_)) if moves && is_pipe(from, libc::O_WRONLY) => (from, libc::POLLIN),
        (Some(_), None) if moves && is_pipe(to, libc::O_RDONLY) => (to, libc::POLLOUT),
        _ => return by_kernel(),
    };
    serve(by_kernel, move || {
        if !is_awaited(pipe, event, flags) {
            return Ok(None);
        }
        if let Some(target) = &target {
            lifecycle::written_elsewhere(target);
            sent_or_bound(to, target, send::refusal(to, target, 0).map_or(Ok(()), Err))?;
            if target.kind == Kind::Datagram {
                return splice_datagram(from, (to, target), count, flags);
            }
            send::wait_for_room(to, target)?;
            away::tell_patience(to, target);
        }
        if let Some(source) = &source {
            away::tell_patience(from, source);
            lifecycle::read_elsewhere();
            if !receive::is_all_in_pair(from, source) {
                return splice_by_hand(from, source, to, count);
            }
        }
        Ok(None)
    })
}

/// Whether `fd` is a pipe's, and not an end that was opened for the other way only.
fn is_pipe(fd: c_int, other: c_int) -> bool {
    let opened = raw::fcntl(fd, libc::F_GETFL, 0);
    pipe_size(fd).is_ok() && opened.is_ok_and(|flags| flags as c_int & libc::O_ACCMODE != other)
}

/// Whether a pipe has what the call is for, or will be waited for. If not, there is no more to say: nobody is at its other
/// end, or the call does not wait.
fn is_awaited(pipe: c_int, event: i16, flags: c_uint) -> bool {
    let revents = poll_now(pipe, event);
    if revents & (libc::POLLHUP | libc::POLLERR) != 0 {
        return revents & event != 0 && revents & libc::POLLERR == 0;
    }
    revents != 0 || flags & libc::SPLICE_F_NONBLOCK == 0 && away::waits(pipe, 0)
}

/// The size of a pipe. EBADF: it is none.
fn pipe_size(fd: c_int) -> Result<usize, Errno> {
    raw::fcntl(fd, libc::F_GETPIPE_SZ, 0)
}

/// `len` bytes of a buffer of our own.
fn part(piece: &mut [u8], len: usize) -> [libc::iovec; 1] {
    [libc::iovec {
        iov_base: piece.as_mut_ptr().cast(),
        iov_len: len.min(piece.len()),
    }]
}

/// Sends what a pipe has as a datagram.
fn splice_datagram(
    from: c_int,
    (to, target): (c_int, &Arc<Socket>),
    count: usize,
    flags: c_uint,
) -> Result<Option<isize>, Errno> {
    let mut piece = vec![0; count.min(LONGEST)];
    let got = raw::read(from, &part(&mut piece, count))?;
    let more = match flags & libc::SPLICE_F_MORE {
        0 => 0,
        _ => libc::MSG_MORE,
    };
    let part = part(&mut piece, got);
    // SAFETY: a buffer of our own.
    let sent = unsafe { send_parts(to, target, &part, None, more, &Asked::default()) }?;
    // What was taken out of the pipe is not there for the kernel's call any more.
    let sent = sent.map_or_else(|| raw::write(to, &part), Ok)?;
    Ok(Some(sent as isize))
}

/// Receives from a socket what a pipe takes.
fn splice_by_hand(
    from: c_int,
    source: &Arc<Socket>,
    to: c_int,
    count: usize,
) -> Result<Option<isize>, Errno> {
    if urgent::is_at_mark(from, source) {
        // As on Linux, where splice(2) never passes a mark.
        if let Some(errno) = options::take_error(from, source) {
            return Err(errno);
        }
        return if away::waits(from, 0) || poll_now(from, libc::POLLRDHUP) != 0 {
            Ok(Some(0))
        } else {
            Err(Errno::AGAIN)
        };
    }
    let mut piece = vec![0; count.min(pipe_size(to)?)];
    let whole = part(&mut piece, count);
    // SAFETY: a buffer of our own.
    let Some(got) = (unsafe { receive_parts(from, source, &whole, libc::MSG_PEEK) })? else {
        return Ok(None);
    };
    let written = match got.count {
        0 => 0,
        count => raw::write(to, &part(&mut piece, count))?,
    };
    let taken = part(&mut piece, written);
    // SAFETY: a buffer of our own.
    unsafe { receive_parts(from, source, &taken, 0) }?;
    Ok(Some(written as isize))
}
