//! How much waits in a socket's queues: FIONREAD, SIOCOUTQ, SIOCOUTQNSD (tcp(7), udp(7)).

use rustix::fd::RawFd;
use rustix::io::Errno;

use super::{Kind, Socket, Stage};
use crate::driver::{self, Arrived, Role};
use crate::sys::raw;

/// Bytes that can be received; of a UDP socket, those of the next datagram. `None`: ask the
/// descriptor.
pub fn unread(fd: RawFd, socket: &Socket) -> Option<Result<usize, Errno>> {
    let mut engine = driver::lock()?;
    let state = socket.state();
    let id = state.endpoint?;
    if state.stage == Stage::Listening {
        return Some(Err(Errno::INVAL));
    }
    drop(state);
    engine.glance(None);
    let endpoint = engine.endpoints.get(id)?;
    let mut count = if endpoint.unread {
        raw::unread(fd).unwrap_or(0)
    } else {
        0
    };
    match endpoint.role {
        Role::Connection(connection) => count += engine.stack.tcp_receive_len(connection),
        Role::Datagram(_) if count > 0 => count = count.saturating_sub(Arrived::LEN),
        Role::Datagram(datagram) => {
            count = engine
                .stack
                .udp_front(datagram)
                .map_or(0, |front| front.len);
        }
        _ => {}
    }
    Some(Ok(count))
}

/// Bytes sent or to be sent and not acknowledged.
pub fn unacknowledged(socket: &Socket) -> Option<Result<usize, Errno>> {
    outgoing(socket, |status| status.send_len)
}

/// Bytes not sent yet.
pub fn unsent(socket: &Socket) -> Option<Result<usize, Errno>> {
    outgoing(socket, |status| status.send_unsent)
}

fn outgoing(
    socket: &Socket,
    count: impl Fn(&crate::stack::tcp::TcpStatus) -> usize,
) -> Option<Result<usize, Errno>> {
    let engine = driver::lock()?;
    let state = socket.state();
    let id = state.endpoint?;
    if state.stage == Stage::Listening {
        return Some(Err(Errno::INVAL));
    }
    match engine.endpoints.get(id)?.role {
        Role::Connection(connection) if socket.kind == Kind::Stream => Some(Ok(engine
            .stack
            .tcp_status(connection)
            .as_ref()
            .map_or(0, count))),
        _ => Some(Ok(0)),
    }
}
