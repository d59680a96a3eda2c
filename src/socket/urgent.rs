//! What a program sees of urgent data: recv(2) with MSG_OOB, SIOCATMARK, POLLPRI, FIONREAD
//! (tcp(7)). Where it is kept, and why, is the driver's `urgent`.

use rustix::fd::RawFd;
use rustix::io::Errno;

use std::sync::Arc;

use super::{Socket, abroad, away, queues};
use crate::driver::{Endpoint, EndpointId, Engine, Mark, Question, Role};
use crate::stack::tcp::Urgent;
use crate::sys::raw;
use crate::sys::user::Buffers;

/// SO_OOBINLINE.
pub(super) const INLINE: (i32, i32) = (libc::SOL_SOCKET, libc::SO_OOBINLINE);

/// Tells the pair of SO_OOBINLINE.
pub(super) fn read_inline(fd: RawFd, value: &[u8]) {
    // It refuses no value that the option's own check has let pass.
    let _ = raw::setsockopt(fd, INLINE.0, INLINE.1, value);
}

/// recv(2) with MSG_OOB: the urgent byte, which can be had once. EINVAL: there is none, or it is
/// read in line. EAGAIN: it was announced and has not come.
pub(super) fn receive(
    engine: &mut Engine,
    id: EndpointId,
    data: &Buffers<'_>,
    flags: i32,
    inline: bool,
) -> Result<usize, Errno> {
    engine.glance(None);
    engine.bring_mark(id);
    let queued = engine.urgent(id);
    let endpoint = engine.endpoints.get_mut(id).ok_or(Errno::INVAL)?;
    let peeks = flags & libc::MSG_PEEK != 0;
    let byte = match (endpoint.mark, queued) {
        _ if matches!(endpoint.role, Role::Listener(_)) => return Err(Errno::NOTCONN),
        _ if inline => return Err(Errno::INVAL),
        (Mark::Lost, _) => return Err(Errno::NOTCONN),
        (Mark::Taken(Some(byte)), _) => {
            if !peeks {
                endpoint.mark = Mark::Taken(None);
            }
            byte
        }
        (Mark::InPair, Urgent::None) => {
            let byte = raw::receive_urgent(endpoint.program, flags & libc::MSG_PEEK)?;
            if !peeks {
                // What is left of it would be readable.
                engine.take_lone_mark(id);
            }
            byte
        }
        (_, Urgent::None) => return Err(Errno::INVAL),
        (_, Urgent::Here(byte)) if endpoint.read_finished => {
            if !peeks && let Some(socket) = endpoint.socket() {
                engine.stack.tcp_take_urgent(socket);
            }
            byte
        }
        _ if endpoint.read_finished => return Ok(0),
        _ => return Err(Errno::AGAIN),
    };
    if flags & libc::MSG_TRUNC != 0 {
        return Ok(data.len().min(1));
    }
    Ok(data.put(0, &[byte]))
}

/// SIOCATMARK, and sockatmark(3).
pub fn is_at_mark(fd: RawFd, socket: &Socket) -> bool {
    let in_pair = || raw::at_mark(fd);
    if socket.away().is_some() && in_pair() {
        return true;
    }
    queues::count(fd, socket, queues::AT_MARK).map_or_else(in_pair, |counted| counted == Ok(1))
}

/// The same of a socket that the engine serves.
pub(super) fn is_at_mark_in(engine: &mut Engine, id: EndpointId, fd: RawFd) -> bool {
    engine.bring_mark(id);
    engine.endpoints.get(id).is_some_and(|held| {
        let waits_beside = |connection| engine.stack.tcp_urgent_offset(connection) == Some(0);
        let connection = held.socket().filter(|_| held.read_finished);
        held.is_at_mark() || connection.is_some_and(waits_beside) && raw::unread(fd) == Ok(0)
    })
}

/// recv(2) with MSG_OOB from another process's stack, which knows where the byte is.
pub(super) fn receive_elsewhere(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Result<usize, Errno> {
    let room = data.len().min(1) as i32;
    let Some(answer) = away::ask(fd, socket, &Question::Receive { flags, room }) else {
        return raw::receive_waiting(fd, data.parts(), flags);
    };
    // Whether it has the mark now.
    abroad::ask(fd, socket);
    answer.map(|byte| match flags & libc::MSG_TRUNC {
        0 => data.put(0, &byte),
        _ => byte.len(),
    })
}

/// Makes what poll(2) says of the pair true of the connection: at its mark it is not readable.
pub(super) fn show_mark(engine: &mut Engine, id: EndpointId, polled: &mut libc::pollfd) {
    let endpoint = engine.endpoints.get(id);
    if endpoint.is_some_and(|held| held.mark == Mark::InPair)
        && hide_lone_mark(polled)
        && polled.revents & libc::POLLPRI == 0
    {
        // Else the pair would go on saying so.
        engine.take_lone_mark(id);
    }
}

/// The same of a pair that has a mark; whether there is nothing else in it.
pub(super) fn hide_lone_mark(polled: &mut libc::pollfd) -> bool {
    let readable = libc::POLLIN | libc::POLLRDNORM;
    let is_lone = polled.revents & readable != 0 && raw::has_nothing_but_mark(polled.fd);
    if is_lone {
        polled.revents &= !readable;
    }
    is_lone
}

/// Whether a pair has nothing but a mark that another process has passed, which it goes on counting.
pub(super) fn is_nothing(endpoint: &Endpoint, fd: RawFd) -> bool {
    endpoint.mark == Mark::InPair && raw::has_nothing_but_mark(fd)
}

/// FIONREAD counts up to the mark. `None`: there is none ahead.
pub(super) fn unread_to_mark(endpoint: &Endpoint, fd: RawFd) -> Option<usize> {
    if endpoint.is_at_mark() {
        return Some(0);
    }
    if endpoint.mark != Mark::InPair {
        return None;
    }
    let all = raw::unread(fd).unwrap_or(0);
    let before = raw::peek_len(fd, all).unwrap_or(0);
    (before < all).then_some(before)
}
