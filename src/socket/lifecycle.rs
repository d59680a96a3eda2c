//! close(2), shutdown(2), dup(2): what becomes of descriptors.

use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::lingering::Lingering;
use super::{Kind, Socket, Stage, State, away, connect, create, edges, inherited, room, table};
use crate::driver::{self, EndpointId, Engine, Question, Record, Role, Wait, beds, wait};
use crate::stack::ids::SocketId;
use crate::sys::wait::poll_now;
use crate::sys::{clock, raw};

/// Before close(2) of one of ours: what [`closed`] wants to know afterwards.
pub fn closing(fd: RawFd) -> Option<Closing> {
    beds::keep(&(fd..=fd));
    inherited::before_closing(fd..=fd);
    let socket = table::remove(fd)?;
    Some(leaving(fd, socket))
}

/// The same before close_range(2).
pub fn closing_range(first: u32, last: u32) -> Vec<Closing> {
    let number = |number| RawFd::try_from(number).unwrap_or(RawFd::MAX);
    beds::keep(&(number(first)..=number(last)));
    inherited::before_closing(number(first)..=number(last));
    let sockets = table::remove_range(first, last).into_iter();
    sockets.map(|(fd, socket)| leaving(fd, socket)).collect()
}

/// A descriptor that is being closed.
pub struct Closing {
    socket: Arc<Socket>,
    /// Another process's stack has it, and says how long to wait.
    lingering: Option<Lingering>,
}

/// Before a number of a socket's is closed, so that whoever drives knows the end of the last one from
/// a shutdown(2).
fn leaving(fd: RawFd, socket: Arc<Socket>) -> Closing {
    if let Some(mut engine) = driver::lock()
        && let Some(id) = socket.state().endpoint
    {
        engine.keep_for_calls(id, fd);
        engine.lose_number(id, fd, || table::number_of(&socket));
    }
    forget_number(&socket, fd);
    // What calls sleep in is not closed before they end.
    let lingering = match beds::is_kept(fd) {
        true => None,
        false => Lingering::announce(fd, &socket),
    };
    beds::wake();
    Closing { socket, lingering }
}

/// Before dup2(2) puts another descriptor in the place of one of ours.
pub fn replacing(fd: RawFd) {
    beds::keep(&(fd..=fd));
    if let Some(socket) = table::get(fd)
        && let Some(mut engine) = driver::lock()
        && let Some(id) = socket.state().endpoint
    {
        engine.keep_for_calls(id, fd);
    }
}

/// After close(2): if that was the last descriptor, the socket is closed now, and SO_LINGER may
/// make the caller wait.
pub fn closed(closing: Closing) {
    match closing.lingering {
        Some(lingering) => lingering.wait(),
        None => closed_here(&closing.socket),
    }
}

fn closed_here(socket: &Arc<Socket>) {
    let Some(mut engine) = driver::lock() else {
        return;
    };
    let Some(id) = socket.state().endpoint else {
        return;
    };
    let Some(endpoint) = engine.endpoints.get_mut(id) else {
        return;
    };
    let connection = endpoint.socket();
    let linger = endpoint.linger.filter(|linger| !linger.is_zero());
    if !engine.look_whether_closed(id) {
        return;
    }
    if let (Some(linger), Some(connection), Kind::Stream) = (linger, connection, socket.kind) {
        let deadline = clock::monotonic().saturating_add(linger.as_nanos() as u64);
        let mut request = Wait {
            deadline: Some(deadline),
            ..Wait::default()
        };
        // However it ends, close(2) succeeds (socket(7), SO_LINGER).
        let _ = wait(&mut engine, &mut request, None, |engine, _| {
            engine.stack.tcp_all_acknowledged(connection).then_some(())
        });
    }
}

/// The last descriptor of a socket is closed that has not come farther than bind(2), or has come to its end: the port
/// it was to have is free.
pub(super) fn forgotten(engine: &mut Engine, id: EndpointId, record: &Record) {
    let Some(socket) = record.downcast_ref::<Socket>() else {
        return;
    };
    let mut state = socket.state();
    // A connection that another process has accepted has its listener's record.
    if state.endpoint == Some(id)
        && let Some(lease) = state.lease.take()
    {
        let port = lease.port();
        engine.ports.release(&mut engine.stack, lease);
        // It may have been a listener's, which has accepted some.
        engine.ports.leave_to_connections(port);
    }
}

/// The sets in which a socket is by a number that is closed know it on, if it has others.
fn forget_number(socket: &Socket, fd: RawFd) {
    for held in &mut socket.state().registrations {
        held.closed |= held.fd == fd;
    }
}

/// A new socket got the number `fd`: one that is still entered there was closed where we did not see
/// it (by a raw system call).
pub fn displaced(engine: &mut Engine, fd: RawFd) {
    let Some(old) = table::remove(fd) else { return };
    let Some(id) = old.state().endpoint else {
        return;
    };
    engine.lose_number(id, fd, || table::number_of(&old));
    forget_number(&old, fd);
    engine.look_at(id);
}

/// After dup(2) and its kin: `new` is the same socket as `old`.
pub fn duplicated(old: RawFd, new: RawFd) {
    if old == new {
        return;
    }
    let replaced = table::remove(new);
    if let Some(socket) = table::get(old) {
        if new <= libc::STDERR_FILENO {
            // Standard streams are written by stdio, where we do not see it.
            written_elsewhere(&socket);
        }
        table::insert(new, socket);
    }
    if let Some(replaced) = replaced {
        forget_number(&replaced, new);
        beds::wake();
        if let Some(mut engine) = driver::lock()
            && let Some(id) = replaced.state().endpoint
        {
            engine.lose_number(id, new, || table::number_of(&replaced));
        }
        closed_here(&replaced);
    }
}

/// From now on somebody writes to the descriptor where we do not see it, as stdio does (fdopen(3)).
pub fn written_elsewhere(socket: &Arc<Socket>) {
    // Nor is it seen whether that finds room.
    room::note_none(socket);
    let Some(mut engine) = driver::lock() else {
        return;
    };
    // What is said of the socket is read anew.
    let endpoint = socket.state().endpoint;
    if let Some(id) = endpoint {
        engine.share(id);
    }
}

/// From now on signals may tell of the descriptor's events (O_ASYNC): all of them are to reach the
/// pair, since the kernel sends the signals for what happens there.
pub fn signals_events(socket: &Arc<Socket>) {
    if let Some(mut engine) = driver::lock()
        && let Some(id) = socket.state().endpoint
    {
        engine.signal_events(id);
    }
}

/// The descriptor is being passed to another process (SCM_RIGHTS).
pub fn passed_on(fd: RawFd, socket: &Arc<Socket>) {
    create::leave_if_fresh(fd, socket);
    written_elsewhere(socket);
    away::set_out(fd, socket);
    // Its owner counts on this process's end only.
    away::share_farther([&**socket].into_iter());
}

/// Somebody is about to read from a descriptor where we do not see it: what has arrived is put
/// into the pairs.
pub fn read_elsewhere() {
    if let Some(mut engine) = driver::lock() {
        engine.settle_lagging();
        engine.glance(None);
        engine.settle_lagging();
    }
}

/// shutdown(2). `None`: make the call on the descriptor.
pub fn shutdown(fd: RawFd, socket: &Arc<Socket>, how: i32) -> Option<Result<(), Errno>> {
    note_shut_here(socket, how);
    if let Some(answer) = away::ask(fd, socket, &Question::Shutdown { how }) {
        if socket.kind == Kind::Datagram {
            socket.set_shows_more(true);
            wake(socket, how);
        }
        // Nor is an attempt to connect that has succeeded to be confirmed any more.
        socket.state().connect_unconfirmed &= answer.is_err();
        return Some(answer.map(drop));
    }
    if socket.kind == Kind::Stream && socket.away().is_some() && has_hung_up(fd) {
        return Some(Err(Errno::NOTCONN));
    }
    let mut engine = driver::lock()?;
    let mut state = socket.state();
    state.endpoint?;
    let result = shutdown_in(&mut engine, fd, socket, &mut state, how);
    engine.finish_pass();
    engine.wake_all();
    drop((state, engine));
    wake(socket, how);
    Some(result)
}

/// As Linux, which wakes who waits though nothing new is to be seen: an edge (EPOLLET).
fn wake(socket: &Socket, how: i32) {
    if socket.kind == Kind::Datagram && how == libc::SHUT_WR {
        edges::tell_of_room(&socket.state());
    }
}

/// Notes what shutdown(2) means to what this process does. (Without a peer it is an error, and counts all the same.)
fn note_shut_here(socket: &Socket, how: i32) {
    let mut state = socket.state();
    let fresh = state.is_fresh();
    state.reads_no_more |= fresh && matches!(how, libc::SHUT_RD | libc::SHUT_RDWR);
    state.writes_no_more |=
        (fresh || socket.kind == Kind::Datagram) && matches!(how, libc::SHUT_WR | libc::SHUT_RDWR);
}

fn has_hung_up(fd: RawFd) -> bool {
    poll_now(fd, 0) & libc::POLLHUP != 0
}

/// shutdown(2) of a socket that the engine serves.
pub(super) fn shutdown_in(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Arc<Socket>,
    state: &mut State,
    how: i32,
) -> Result<(), Errno> {
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    if !(libc::SHUT_RD..=libc::SHUT_RDWR).contains(&how) {
        return Err(Errno::INVAL);
    }
    let (reads, writes) = (how != libc::SHUT_WR, how != libc::SHUT_RD);
    if state.stage == Stage::Connecting {
        // As on Linux, the attempt has come to an end with this, which no further call confirms, in a forked process either.
        state.connect_unconfirmed = false;
        state.stage = match engine.endpoints.get(id).map(|endpoint| endpoint.role) {
            Some(Role::Connecting(_)) => Stage::Connecting,
            Some(Role::Connection(held)) if !engine.is_closed(held) => Stage::Connected,
            _ => Stage::Disconnecting,
        };
    }
    match engine.endpoints.get(id).map(|endpoint| endpoint.role) {
        Some(Role::Listener(listener)) => {
            if reads {
                end_listener(engine, fd, socket, state, listener);
            }
            Ok(())
        }
        Some(Role::Connecting(_)) => {
            state.options.leave_connection();
            connect::disconnect(engine, socket, state)
        }
        Some(Role::Connection(connection)) if engine.is_closed(connection) => Err(Errno::NOTCONN),
        Some(Role::Connection(connection)) => {
            if reads {
                engine.stack.tcp_shutdown_read(connection);
            }
            shut_connection(engine, fd, id, how);
            Ok(())
        }
        _ => {
            // What arrives later is received all the same: the pair stays open for it.
            if reads && socket.kind == Kind::Datagram {
                engine.notify(id);
            }
            note_shut(engine, id, reads, writes);
            // Linux refuses without a peer, and notes it all the same: a later recv(2) gives 0.
            match (socket.kind, state.remote) {
                (Kind::Datagram, Some(_)) => Ok(()),
                _ => Err(Errno::NOTCONN),
            }
        }
    }
}

/// shutdown(2) of a connection: the pair's, whose end the stack sees.
fn shut_connection(engine: &mut Engine, fd: RawFd, id: EndpointId, how: i32) {
    let (reads, writes) = (how != libc::SHUT_WR, how != libc::SHUT_RD);
    let _ = raw::shutdown(fd, how);
    if writes {
        // Nothing is kept from being writable any more. (Who waits for that wakes to a pair that is shut.)
        let _ = engine.unstuff(id);
    }
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.read_finished |= reads;
        // What was shut before there was a connection has sent no FIN: this does.
        endpoint.write_finished &= !writes;
    }
    if writes {
        engine.make_room_for_last(id);
        engine.look_at(id);
    }
}

/// Notes what is shut where the pair does not: it stays open for what else comes.
fn note_shut(engine: &mut Engine, id: EndpointId, reads: bool, writes: bool) {
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.read_finished |= reads;
        endpoint.write_finished |= writes;
        engine.show_beyond(id);
    }
}

/// Waiting accepts end with EINVAL; listen(2) may start anew.
fn end_listener(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Arc<Socket>,
    state: &mut State,
    listener: SocketId,
) {
    if table::number_of(socket).is_some() {
        // Where it has none, the pair hangs up once another is in its place.
        let _ = raw::shutdown(fd, libc::SHUT_RDWR);
    }
    let now = engine.now();
    let mut error = None;
    if let Some(id) = state.endpoint {
        engine.close_listener(now, id, listener);
        error = engine.endpoints.get(id).and_then(|held| held.error);
        engine.endpoints.set_role(id, Role::Undecided);
    }
    let _ = connect::restart(engine, socket, state, error);
    engine.ports.forget_if_gone(&mut engine.stack, listener);
}
