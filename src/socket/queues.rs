//! How much waits in a socket's queues: FIONREAD, SIOCOUTQ, SIOCOUTQNSD (tcp(7), udp(7)).

use rustix::fd::RawFd;
use rustix::io::Errno;

use super::{Kind, Socket, Stage, State, away, urgent};
use crate::driver::{self, Arrived, Endpoint, Engine, Left, Question, Role};
use crate::sys::{clock, raw};

/// FIONREAD, which is SIOCINQ, and TIOCOUTQ, which is SIOCOUTQ (linux/sockios.h).
pub const UNREAD: u32 = libc::FIONREAD as u32;
/// Bytes sent or to be sent and not acknowledged.
pub const UNACKNOWLEDGED: u32 = libc::TIOCOUTQ as u32;
/// SIOCOUTQNSD: bytes not sent yet.
pub const UNSENT: u32 = 0x894b;
/// SIOCATMARK, which counts to one.
pub const AT_MARK: u32 = 0x8905;

/// One of the counts. `None`: ask the descriptor.
pub fn count(fd: RawFd, socket: &Socket, request: u32) -> Option<Result<usize, Errno>> {
    if let Some(answer) = away::ask(fd, socket, &Question::Count { request }) {
        let count = |bytes: Vec<u8>| bytes.first_chunk().map(|four| u32::from_ne_bytes(*four));
        return Some(answer.map(|bytes| count(bytes).unwrap_or(0) as usize));
    }
    let mut engine = driver::lock()?;
    if matches!(request, UNREAD | AT_MARK) {
        engine.glance(None);
    }
    let state = socket.state();
    state.endpoint?;
    Some(count_in(&mut engine, fd, socket, &state, request))
}

/// One of the counts of a socket that the engine serves.
pub(super) fn count_in(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Socket,
    state: &State,
    request: u32,
) -> Result<usize, Errno> {
    if request == AT_MARK {
        let is_at_mark = |id| urgent::is_at_mark_in(engine, id, fd);
        return Ok(usize::from(state.endpoint.is_some_and(is_at_mark)));
    }
    if state.stage == Stage::Listening {
        return Err(Errno::INVAL);
    }
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let endpoint = endpoint.ok_or(Errno::INVAL)?;
    match request {
        UNREAD => {
            let before = match state.options.urgent_inline {
                true => urgent::is_nothing(endpoint, fd).then_some(0),
                false => urgent::unread_to_mark(endpoint, fd),
            };
            let all = || {
                unread(
                    engine,
                    endpoint,
                    fd,
                    socket.kind,
                    state.options.urgent_inline,
                )
            };
            Ok(before.unwrap_or_else(all))
        }
        UNACKNOWLEDGED if socket.kind == Kind::Datagram => Ok(0),
        UNACKNOWLEDGED => Ok(outgoing(engine, endpoint).unacknowledged as usize),
        UNSENT if socket.kind == Kind::Datagram => Err(Errno::NOTTY),
        UNSENT => Ok(outgoing(engine, endpoint).unsent as usize),
        _ => Err(Errno::INVAL),
    }
}

/// Bytes that can be received, up to an urgent one that is not in line; of a UDP socket, those of the next datagram.
fn unread(engine: &Engine, endpoint: &Endpoint, fd: RawFd, kind: Kind, inline: bool) -> usize {
    let mut count = if endpoint.unread {
        waiting(fd, kind)
    } else {
        0
    };
    match endpoint.role {
        Role::Connection(connection) => {
            let queued = engine.stack.tcp_receive_len(connection);
            let mark = engine.stack.tcp_urgent_offset(connection);
            count += mark.filter(|_| !inline).unwrap_or(queued).min(queued);
        }
        _ if endpoint.datagram && count > 0 => count = count.saturating_sub(Arrived::LEN),
        Role::Datagram(datagram) => {
            count = engine
                .stack
                .udp_front(datagram)
                .map_or(0, |front| front.len);
        }
        _ => {}
    }
    count
}

/// Bytes in the pair; of a datagram socket, those of the next message.
fn waiting(fd: RawFd, kind: Kind) -> usize {
    match kind {
        Kind::Stream => raw::unread(fd),
        Kind::Datagram => {
            let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
            raw::receive_message(fd, &mut [0; Arrived::LEN], &[], flags)
        }
    }
    .unwrap_or(0)
}

/// When a connection's data last came, in nanoseconds since 1970.
pub fn arrived_at(socket: &Socket) -> Option<u64> {
    let engine = driver::lock()?;
    let id = socket.state().endpoint?;
    let connection = engine.endpoints.get(id)?.socket()?;
    let at = engine.stack.tcp_status(connection)?.data_received_at?;
    let ago = engine.now().since(at).as_nanos() as u64;
    Some(clock::realtime().saturating_sub(ago))
}

/// What is not acknowledged, and what is not sent, of a connection or of what is left of one.
fn outgoing(engine: &Engine, endpoint: &Endpoint) -> Left {
    let left = endpoint.left(&engine.stack);
    match endpoint.role {
        Role::Connecting(_) => Left::default(),
        Role::Connection(_) => left.and(endpoint.unsent_in_pair()),
        _ => left,
    }
}
