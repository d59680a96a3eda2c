//! How much waits in a socket's queues: FIONREAD, SIOCOUTQ, SIOCOUTQNSD (tcp(7), udp(7)).

use rustix::fd::RawFd;
use rustix::io::Errno;

use super::{Kind, Socket, Stage};
use crate::driver::{self, Arrived, Role};
use crate::sys::{clock, raw};

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
        waiting(fd, socket.kind)
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
