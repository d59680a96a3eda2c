//! Sending on a connection whose stack is in another process: by the pair, from which that takes it, and by messages where the
//! pair cannot say all.

use core::cell::Cell;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::datagram::Asked;
use super::send::with_signal;
use super::sleeper::Sleeper;
use super::waiting::partial;
use super::{Socket, abroad, away, room};
use crate::driver::{self, Question};
use crate::sys::user::Buffers;
use crate::sys::wait::poll_now;
use crate::sys::{process, raw};

/// What is said of the last byte.
const LAST: i32 = libc::MSG_ZEROCOPY | libc::MSG_OOB;

/// Bytes that a pair has room for if it is writable at all.
const SURE: usize = 64 * 1024;

/// Bytes of a connection's that go with a message.
const MESSAGE: usize = 64 * 1024;

/// Gives bytes to the stack of another process.
pub(super) fn send(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    let before = socket.away()?;
    let mut call = Sleeper::to_send(fd, socket);
    let mut ready = ready_to_send(&call, data.len() > 0, flags);
    if ready == Err(Errno::PIPE) && socket.away() != Some(before) {
        // It was found at an end that was another connection's.
        call = Sleeper::to_send(fd, socket);
        ready = ready_to_send(&call, data.len() > 0, flags);
    }
    Some(match ready {
        Ok(()) => give(&call, data, flags, asked),
        Err(Errno::AGAIN) if data.len() > 0 && socket.state().full => {
            beyond_pair(&call, data, flags, asked)
        }
        Err(errno) => with_signal(Err(errno), flags),
    })
}

/// Waits, as the descriptor says, while the program was told that the send queue has no room. EAGAIN.
pub(super) fn wait_for_room(fd: RawFd, socket: &Arc<Socket>) -> Result<(), Errno> {
    may_send(&Sleeper::to_send(fd, socket), true, 0)
}

/// Waits, if it may, until the pair takes something. Where it is shut, the owner knows whether that is for an error.
fn ready_to_send(call: &Sleeper<'_>, any: bool, flags: i32) -> Result<(), Errno> {
    if away::is_connected(call.fd(), call.socket()) {
        may_send(call, any, flags)
    } else {
        Err(away::pending_error(call.fd(), call.socket()).unwrap_or(Errno::PIPE))
    }
}

/// Gives the bytes to the owner.
fn give(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32, asked: &Asked) -> Result<usize, Errno> {
    let socket = call.socket();
    if data.len() > 0
        && is_more_than_bytes(socket, flags, asked)
        && let Some(given) = give_by_message(call, data, flags, asked)
    {
        return with_signal(given, flags);
    }
    // A program that confines itself may have left itself write(2) and no more (seccomp(2)).
    let plain = flags == 0 && data.len() > 0 && process::is_single_threaded();
    // What a pair refuses: no urgent byte, and what no socket looks at here (MSG_CMSG_COMPAT).
    let flags = match data.len() {
        0 => flags & !(libc::MSG_OOB | i32::MIN),
        _ => flags & !i32::MIN,
    };
    let result = if plain {
        raw::write(call.fd(), data.parts())
    } else {
        write_beside(call, data, flags)
    };
    let may_have_waited = || plain && data.len() > SURE && call.waits(flags);
    room::note_written(socket, result == Ok(data.len()) && !may_have_waited());
    if result == Err(Errno::AGAIN) && !call.waits(flags) {
        return beyond_pair(call, data, flags, asked);
    }
    let fd = call.fd();
    let result = match result {
        Err(errno @ (Errno::PIPE | Errno::CONNRESET)) => {
            Err(away::pending_error(fd, socket).unwrap_or(errno))
        }
        result => result,
    };
    if plain {
        result
    } else {
        with_signal(result, flags)
    }
}

/// The pair takes nothing; the send queue may. EAGAIN: it does not, and the pair is writable once Linux's socket would be.
fn beyond_pair(
    call: &Sleeper<'_>,
    data: &Buffers<'_>,
    flags: i32,
    asked: &Asked,
) -> Result<usize, Errno> {
    let given = give_by_message(call, data, flags, asked);
    with_signal(given.unwrap_or(Err(Errno::AGAIN)), flags)
}

/// Whether the last byte is urgent, waits for more, or is to be told of; or there is a bound (SO_SNDBUF) below what a pair
/// takes.
fn is_more_than_bytes(socket: &Socket, flags: i32, asked: &Asked) -> bool {
    let options = &socket.state().options;
    let tells = flags & libc::MSG_ZEROCOPY != 0 && options.zero_copy;
    let pair = driver::system_limits().wmem_default;
    flags & (libc::MSG_OOB | libc::MSG_MORE) != 0
        || tells
        || options.send_buffer.is_some_and(|half| 2 * half < pair)
        || options.stamping.of_bytes(asked.stamping).any()
}

/// Gives bytes of which the last is more than a byte: where that is in a pair, nobody could say. `None`: there is no owner, and
/// the pair has to do.
fn give_by_message(
    call: &Sleeper<'_>,
    data: &Buffers<'_>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    if asked.stamping.is_some() {
        call.socket().state().asked_for_times = true;
    }
    let sent = Cell::new(0);
    while sent.get() < data.len() {
        let rest = data.runs(sent.get()).flatten().copied();
        let payload: Vec<u8> = rest.take(MESSAGE).collect();
        let is_last = sent.get() + payload.len() == data.len();
        let (flags_now, stamping) = match is_last {
            true => (flags, asked.stamping),
            false => (flags & !LAST | libc::MSG_MORE, Some(0)),
        };
        let question = Question::Give {
            flags: flags_now,
            stamping,
            payload,
        };
        let answer = away::ask(call.fd(), call.socket(), &question);
        let waited = match answer.map(|answer| answer.map(|count| decode(&count))) {
            Some(Ok(count)) => {
                sent.set(sent.get() + count);
                Ok(())
            }
            Some(Err(Errno::AGAIN)) if call.waits(flags) => call.wait_for(libc::POLLOUT),
            Some(Err(errno)) => {
                if errno == Errno::AGAIN {
                    call.socket().state().full = true;
                    room::note_none(call.socket());
                }
                Err(errno)
            }
            None if sent.get() == 0 => return None,
            None => Err(Errno::PIPE),
        };
        if let Err(errno) = waited {
            return Some(partial(&sent, errno));
        }
    }
    Some(Ok(sent.get()))
}

/// How many bytes the owner has taken.
fn decode(answer: &[u8]) -> usize {
    let count = answer.first_chunk().map(|four| u32::from_ne_bytes(*four));
    count.unwrap_or(0) as usize
}

/// Whether the other process takes something, but for lack of room, which is waited for here: as it is shut meanwhile, the
/// kernel has no signal for who sleeps in write(2). It is looked for before, as the kernel has a signal for who writes to a
/// pair that has hung up, and Linux none for a connection that has an error. EAGAIN: it is not connected yet.
fn may_send(call: &Sleeper<'_>, any: bool, flags: i32) -> Result<(), Errno> {
    let (fd, socket) = (call.fd(), call.socket());
    let revents = poll_now(fd, libc::POLLOUT);
    if revents & (libc::POLLHUP | libc::POLLERR) != 0 {
        return Err(away::pending_error(fd, socket).unwrap_or(Errno::PIPE));
    }
    if abroad::may_queue_errors(socket)
        && let Some(errno) = away::pending_error(fd, socket)
    {
        return Err(errno);
    }
    let mut state = socket.state();
    let is_writable = revents & libc::POLLOUT != 0;
    state.opening &= !is_writable;
    state.full &= !is_writable;
    let (opening, full) = (state.opening, state.full);
    drop(state);
    if is_writable || !any && !opening {
        return Ok(());
    }
    room::note_none(socket);
    if !call.waits(flags) {
        return match opening || full {
            true => Err(Errno::AGAIN),
            false => Ok(()),
        };
    }
    match call.wait_for(libc::POLLOUT) {
        Ok(()) => {}
        // Who may open no descriptor may not poll either (RLIMIT_NOFILE): the write waits.
        Err(Errno::INVAL) => return Ok(()),
        // Another thread has given the connection up.
        Err(Errno::PIPE) => return Err(away::pending_error(fd, socket).unwrap_or(Errno::PIPE)),
        Err(errno) => return Err(errno),
    }
    may_send(call, any, libc::MSG_DONTWAIT)
}

/// The same as sendmsg(2). A thread that may be cancelled waits where that is heard.
fn write_beside(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    let direct = flags | libc::MSG_NOSIGNAL;
    if flags & (libc::MSG_DONTWAIT | libc::MSG_OOB) != 0 || data.len() == 0 {
        return raw::send_message(call.fd(), &[], data.parts(), direct);
    }
    let sent = Cell::new(0);
    loop {
        let parts = data.parts_from(sent.get());
        match raw::send_message(call.fd(), &[], &parts, direct | libc::MSG_DONTWAIT) {
            Ok(count) => {
                sent.set(sent.get() + count);
                if sent.get() >= data.len() {
                    return Ok(sent.get());
                }
            }
            Err(Errno::AGAIN) if call.waits(flags) => {
                if let Err(errno) = call.wait_for(libc::POLLOUT) {
                    return partial(&sent, errno);
                }
            }
            Err(errno) => return partial(&sent, errno),
        }
    }
}
