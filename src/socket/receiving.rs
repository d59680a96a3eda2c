//! Receiving from a connection whose stack is in another process: from the pair that it fills, and from itself what the
//! pair does not give.

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;

use super::receive::{PEEKED, waits};
use super::waiting::{deadline, partial, resume};
use super::{Socket, abroad, away};
use crate::driver::{Interruption, Question};
use crate::sys::user::Buffers;
use crate::sys::wait::{entry, poll_now};
use crate::sys::{clock, handlers, process, raw};

/// Receives from the pair that another process's stack fills. Where the pair ends, the owner knows
/// whether that is the end of the stream or an error.
pub(super) fn receive(
    fd: RawFd,
    socket: &Socket,
    data: &Buffers<'_>,
    flags: i32,
) -> Option<Result<usize, Errno>> {
    socket.away()?;
    if !away::is_connected(fd, socket) {
        return Some(receive_unconnected(fd, socket, flags));
    }
    let got = if flags & (libc::MSG_TRUNC | libc::MSG_OOB) == libc::MSG_TRUNC {
        discard(fd, socket, data.len(), flags)
    } else if data.len() == 0 && flags & libc::MSG_OOB == 0 {
        receive_nothing(fd, socket, flags)
    } else if abroad::may_queue_errors(socket) && flags & (libc::MSG_WAITALL | libc::MSG_OOB) == 0 {
        read_or_err(fd, socket, data, flags)
    } else {
        read(fd, socket, data, flags)
    };
    Some(match got {
        Ok(0) if data.len() == 0 && raw::unread(fd) != Ok(0) => Ok(0),
        Ok(0) => receive_rest(fd, socket, data, flags),
        Err(Errno::CONNRESET) => Err(away::pending_error(fd, socket).unwrap_or(Errno::CONNRESET)),
        got => got,
    })
}

/// What a socket gives that has no connection: the error of one that was given up, and the end once it was shut down.
fn receive_unconnected(fd: RawFd, socket: &Socket, flags: i32) -> Result<usize, Errno> {
    if !socket.is_idle() {
        return Err(Errno::NOTCONN);
    }
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::INVAL);
    }
    match away::pending_error(fd, socket) {
        Some(errno) => Err(errno),
        None if abroad::is_shut(fd, socket) => Ok(0),
        None => Err(Errno::NOTCONN),
    }
}

/// The pair has come to its end. The owner has what arrived after a shutdown(2), and knows whether that is the end of the
/// stream or an error.
fn receive_rest(
    fd: RawFd,
    socket: &Socket,
    data: &Buffers<'_>,
    flags: i32,
) -> Result<usize, Errno> {
    if socket.is_over() {
        return Ok(0);
    }
    let room = data.len().min(Question::ROOM) as i32;
    match away::ask(fd, socket, &Question::Receive { flags, room }) {
        // Who asks for nothing has waited for it.
        Some(Err(Errno::AGAIN)) if data.len() == 0 => Ok(0),
        Some(answer) => answer.map(|bytes| data.put(0, &bytes)),
        None => away::pending_error(fd, socket).map_or(Ok(0), Err),
    }
}

/// As on Linux, who asks for nothing waits for something, and gets none of it. The pair's kernel is not to wait: a look
/// at nothing before an urgent byte keeps it going round until a signal comes.
fn receive_nothing(fd: RawFd, socket: &Socket, flags: i32) -> Result<usize, Errno> {
    let waits = waits(socket, flags);
    let patience = match waits {
        true => away::patience(fd, libc::SO_RCVTIMEO),
        false => Some(Duration::ZERO),
    };
    match away::wait_for(fd, libc::POLLIN, patience) {
        Err(Errno::AGAIN) if waits => return Ok(0),
        waited => waited?,
    }
    match raw::receive(fd, &[], 0, libc::MSG_PEEK) {
        Err(Errno::AGAIN) => Ok(0),
        looked => looked,
    }
}

/// Reads from the pair. A thread that may be cancelled waits where that is heard.
fn read(fd: RawFd, socket: &Socket, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    if flags == 0 && process::is_single_threaded() {
        // As in `sending`.
        return raw::read(fd, data.parts());
    }
    let whole = flags & libc::MSG_WAITALL != 0;
    if flags & (libc::MSG_DONTWAIT | libc::MSG_OOB | libc::MSG_PEEK) == libc::MSG_PEEK {
        return peek(fd, socket, data, flags);
    }
    if flags & (libc::MSG_DONTWAIT | libc::MSG_OOB) != 0 {
        return raw::receive_waiting(fd, data.parts(), flags);
    }
    let got = Cell::new(0);
    let mut since = handlers::runs();
    loop {
        match raw::receive(fd, data.parts(), got.get(), flags & !libc::MSG_WAITALL) {
            Ok(count) => {
                got.set(got.get() + count);
                if count == 0 || !whole || got.get() >= data.len() || raw::at_mark(fd) {
                    return Ok(got.get());
                }
            }
            Err(Errno::AGAIN) if away::waits(fd) => {
                let timeout = away::patience(fd, libc::SO_RCVTIMEO);
                // What SIGURG tells of makes the pair readable, too.
                let waited = match handlers::ran(core::mem::replace(&mut since, handlers::runs())) {
                    Some(restarts) => resume(Interruption::Signal { restarts }, timeout),
                    None => away::wait_for(fd, libc::POLLIN, timeout),
                };
                if let Err(errno) = waited {
                    return partial(&got, errno);
                }
            }
            Err(errno) => return partial(&got, errno),
        }
    }
}

/// Peeks at the pair, until there is as much as is waited for, or the stream ends. (Before an urgent byte the pair is
/// readable, and there is nothing to peek at.)
fn peek(fd: RawFd, socket: &Socket, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    let until = deadline(away::patience(fd, libc::SO_RCVTIMEO));
    let state = socket.state();
    let enough = match flags & libc::MSG_WAITALL {
        // The next look begins where this one ends (SO_PEEK_OFF).
        _ if state.options.peek_offset >= 0 => 0,
        0 => state.options.receive_low_water.min(data.len()),
        _ => data.len(),
    };
    drop(state);
    loop {
        let ended = poll_now(fd, libc::POLLRDHUP) != 0;
        let count = raw::receive_waiting(fd, data.parts(), flags & !libc::MSG_WAITALL)?;
        if count >= enough || ended || raw::at_mark(fd) || !waits(socket, flags) {
            return Ok(count);
        }
        let left = until.map_or(u64::MAX, |until| until.saturating_sub(clock::monotonic()));
        // What is there keeps the pair readable.
        let next_look = Duration::from_nanos(left.min(PEEKED));
        let waited = away::wait_for(fd, 0, Some(next_look));
        if waited == Err(Errno::INTR) || left == 0 {
            return Ok(count);
        }
    }
}

/// The same of a connection whose owner may have an error that does not end it, which comes after what there is to read.
fn read_or_err(fd: RawFd, socket: &Socket, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    let until = deadline(away::patience(fd, libc::SO_RCVTIMEO));
    loop {
        let got = read(fd, socket, data, flags | libc::MSG_DONTWAIT);
        if got != Err(Errno::AGAIN) {
            return got;
        }
        let bell = abroad::error_or_bell(fd, socket)?;
        if !waits(socket, flags) {
            return got;
        }
        let mut fds = vec![entry(fd, libc::POLLIN)];
        fds.extend(abroad::entries(bell.as_slice()));
        let left =
            until.map(|until| Duration::from_nanos(until.saturating_sub(clock::monotonic())));
        away::wait_for_any(&mut fds, left)?;
    }
}

fn discard(fd: RawFd, socket: &Socket, most: usize, flags: i32) -> Result<usize, Errno> {
    if waits(socket, flags) {
        away::wait_for(fd, libc::POLLIN, away::patience(fd, libc::SO_RCVTIMEO))?;
    }
    raw::discard(fd, most, flags & libc::MSG_PEEK)
}
