//! Receiving from a connection whose stack is in another process: from the pair that it fills, and from itself what the
//! pair does not give.

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::receive::PEEKED;
use super::sleeper::Sleeper;
use super::waiting::partial;
use super::{Socket, abroad, away, urgent};
use crate::driver::Question;
use crate::sys::user::Buffers;
use crate::sys::wait::poll_now;
use crate::sys::{process, raw};

/// Receives from another process's stack.
pub(super) fn receive(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Option<Result<usize, Errno>> {
    let before = socket.away()?;
    let got = receive_beside(fd, socket, data, flags);
    Some(match got {
        // It was found at an end that was another connection's.
        Err(Errno::AGAIN) if socket.away() != Some(before) => {
            receive_beside(fd, socket, data, flags)
        }
        got => got,
    })
}

/// Receives from the pair that the other process fills. Where the pair ends, the owner knows
/// whether that is the end of the stream or an error.
fn receive_beside(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Result<usize, Errno> {
    let call = Sleeper::to_receive(fd, socket);
    if !away::is_connected(fd, socket) {
        return receive_unconnected(fd, socket, flags);
    }
    if flags & libc::MSG_OOB != 0 {
        return urgent::receive_elsewhere(fd, socket, data, flags);
    }
    if data.len() == 0 && call.waits(flags) && poll_now(fd, libc::POLLIN) == 0 {
        return wait_for_nothing(&call);
    }
    if socket.shows_more() && flags & libc::MSG_PEEK == 0 && data.len() > 0 {
        // The owner may have the urgent mark, which the call passes.
        away::ask(fd, socket, &Question::PassMark);
        abroad::ask(fd, socket);
    }
    let got = if data.len() == 0 {
        look_at_nothing(fd)
    } else if flags & libc::MSG_TRUNC != 0 {
        discard(&call, data.len(), flags)
    } else if abroad::may_queue_errors(socket) && flags & libc::MSG_WAITALL == 0 {
        read_or_err(&call, data, flags)
    } else {
        read(&call, data, flags)
    };
    let fd = call.fd();
    match got {
        // Another thread has given the connection up.
        Ok(0) | Err(Errno::CONNRESET) if call.has_moved() => Err(Errno::PIPE),
        Ok(0) if data.len() == 0 && raw::unread(fd) != Ok(0) => Ok(0),
        Ok(0) => receive_rest(fd, socket, data, flags),
        Err(Errno::CONNRESET) => Err(away::pending_error(fd, socket).unwrap_or(Errno::CONNRESET)),
        got => got,
    }
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

/// As on Linux, who asks for nothing waits for something, and gets none of it, nor an error that comes.
fn wait_for_nothing(call: &Sleeper<'_>) -> Result<usize, Errno> {
    match call.wait_for(libc::POLLIN) {
        Err(Errno::AGAIN) => Ok(0),
        waited => waited.map(|_| 0),
    }
}

/// Without waiting. Nor is the pair's kernel to wait: a look at nothing before an urgent byte keeps it going round until a
/// signal comes.
fn look_at_nothing(fd: RawFd) -> Result<usize, Errno> {
    if poll_now(fd, libc::POLLIN) == 0 {
        return Err(Errno::AGAIN);
    }
    match raw::receive(fd, &[], 0, libc::MSG_PEEK) {
        Err(Errno::AGAIN) => Ok(0),
        looked => looked,
    }
}

/// Reads from the pair. A thread that may be cancelled waits where that is heard.
fn read(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    let fd = call.fd();
    if flags == 0 && process::is_single_threaded() {
        // As in `sending`.
        return raw::read(fd, data.parts());
    }
    let whole = flags & libc::MSG_WAITALL != 0;
    if flags & (libc::MSG_DONTWAIT | libc::MSG_PEEK) == libc::MSG_PEEK {
        return peek(call, data, flags);
    }
    if flags & libc::MSG_DONTWAIT != 0 {
        return raw::receive_waiting(fd, data.parts(), flags);
    }
    let got = Cell::new(0);
    loop {
        let received = raw::receive(
            call.fd(),
            data.parts(),
            got.get(),
            flags & !libc::MSG_WAITALL,
        );
        match received {
            Ok(count) => {
                got.set(got.get() + count);
                if count == 0 || !whole || got.get() >= data.len() || raw::at_mark(call.fd()) {
                    return Ok(got.get());
                }
            }
            Err(Errno::AGAIN) if call.waits(flags) => {
                if let Err(errno) = call.wait_for(libc::POLLIN) {
                    return partial(&got, errno);
                }
            }
            Err(errno) => return partial(&got, errno),
        }
    }
}

/// Peeks at the pair, until there is as much as is waited for, or the stream ends. (Before an urgent byte the pair is
/// readable, and there is nothing to peek at.)
fn peek(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    let state = call.socket().state();
    let enough = match flags & libc::MSG_WAITALL {
        // The next look begins where this one ends (SO_PEEK_OFF).
        _ if state.options.peek_offset >= 0 => 0,
        0 => state.options.receive_low_water.min(data.len()),
        _ => data.len(),
    };
    drop(state);
    loop {
        let fd = call.fd();
        let ended = poll_now(fd, libc::POLLRDHUP) != 0;
        let count = raw::receive_waiting(fd, data.parts(), flags & !libc::MSG_WAITALL)?;
        if count >= enough || ended || raw::at_mark(fd) || !call.waits(flags) {
            return Ok(count);
        }
        // What is there keeps the pair readable.
        if call.pause(Duration::from_nanos(PEEKED)).is_err() {
            return Ok(count);
        }
    }
}

/// The same of a connection whose owner may have an error that does not end it, which comes after what there is to read.
fn read_or_err(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    loop {
        let got = read(call, data, flags | libc::MSG_DONTWAIT);
        if got != Err(Errno::AGAIN) {
            return got;
        }
        let bell = abroad::error_or_bell(call.fd(), call.socket())?;
        if !call.waits(flags) {
            return got;
        }
        call.wait_for_any(libc::POLLIN, bell.as_slice())?;
    }
}

fn discard(call: &Sleeper<'_>, most: usize, flags: i32) -> Result<usize, Errno> {
    if call.waits(flags) {
        call.wait_for(libc::POLLIN)?;
    }
    raw::discard(call.fd(), most, flags & libc::MSG_PEEK)
}
