//! connect(2).

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::address::{self, Given};
use super::bind::{Rest, take_port, to_kernel, wish};
use super::completion::complete;
use super::create::renew;
use super::waiting::waits;
use super::way::{Way, decide};
use super::{Family, Kind, Socket, Stage, State, away, connecting, errno};
use crate::control::ephemeral::Protocol;
use crate::driver::{self, Endpoint, EndpointId, Engine, Lease, Passed, Role};
use crate::stack::Stack;
use crate::stack::error::Error;
use crate::sys::{heap, raw};

/// connect(2); `flags`: those of the send(2) that asks for it.
pub fn connect(fd: RawFd, socket: &Arc<Socket>, address: &[u8], flags: i32) -> Result<Rest, Errno> {
    let engine = driver::lock();
    let mut state = socket.state();
    let Some(mut engine) = engine.filter(|_| state.endpoint.is_some()) else {
        drop(state);
        return connecting::connect(fd, socket, address, flags);
    };
    let given = address::read(address, family_of(socket, &state, address));
    if socket.kind == Kind::Datagram {
        return super::datagram::connect(&mut engine, socket, &mut state, given);
    }
    if given == Ok(Given::Unspecified) {
        disconnect(&mut engine, socket, &mut state)?;
        state.note_disconnect();
        engine.wake_all();
        return Ok(Rest::Done);
    }
    let id = state.endpoint;
    // One that is put together stands at once.
    let stands = state.options.is_under_repair();
    let waits = id.is_some_and(|id| stands || waits(&engine, id, fd, socket, flags));
    let fast = flags & libc::MSG_FASTOPEN != 0;
    if fast && !engine.stack.tcp_may_open_fast() {
        return Err(Errno::OPNOTSUPP);
    }
    // As on Linux, what the socket is already decides before what else is wrong with the address.
    if waits && let Some(id) = under_way(&engine, &state) {
        drop(state);
        return complete(&mut engine, fd, socket, id, Errno::ALREADY);
    }
    if let Some(done) = standing(&mut engine, socket, &mut state)? {
        return Ok(done);
    }
    let remote = match given? {
        Given::V4(_) if state.options.v6_only => return Err(Errno::NETUNREACH),
        Given::V4(remote) => remote,
        _ => return to_kernel(&mut engine, socket, &mut state, Passed::Inet6),
    };
    match decide(&engine, Protocol::Tcp, &state, remote)? {
        None => to_kernel(&mut engine, socket, &mut state, Passed::Destination),
        Some(Way { local, remote }) => {
            let id = open(&mut engine, socket, &mut state, local, remote)?;
            if (fast || state.options.fast_open_connect) && hold(&mut engine, &mut state, id) {
                return Ok(Rest::Done);
            }
            if !waits {
                engine.stuff(id);
                engine.finish_pass();
                return Err(Errno::INPROGRESS);
            }
            engine.finish_pass();
            drop(state);
            complete(&mut engine, fd, socket, id, Errno::INPROGRESS)
        }
    }
}

/// Fast Open: the SYN waits for what is sent first, if data may go with it.
fn hold(engine: &mut Engine, state: &mut State, id: EndpointId) -> bool {
    let now = engine.now();
    let connection = engine.endpoints.get(id).and_then(Endpoint::socket);
    let held = connection.is_some_and(|socket| engine.stack.tcp_hold_syn(now, socket));
    if held {
        state.connect_unconfirmed = false;
    }
    held
}

/// The family in which an address given to a socket is read: AF_INET6's UDP sockets take AF_INET's
/// addresses, too.
pub(super) fn family_of(socket: &Socket, state: &State, address: &[u8]) -> Family {
    match socket.kind {
        Kind::Datagram if address::is_v4(address) && !state.options.v6_only => Family::Inet,
        _ => socket.family(),
    }
}

/// Begins an active open, for a caller that does not wait here. EINPROGRESS, unless the SYN waits for what is sent first.
pub(super) fn begin(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    remote: SocketAddrV4,
    fast: bool,
) -> Result<(), Errno> {
    if fast && !engine.stack.tcp_may_open_fast() {
        return Err(Errno::OPNOTSUPP);
    }
    let way = decide(engine, Protocol::Tcp, state, remote)?;
    let Way { local, remote } = way.ok_or(Errno::NETUNREACH)?;
    let id = open(engine, socket, state, local, remote)?;
    if (fast || state.options.fast_open_connect) && hold(engine, state, id) {
        return Ok(());
    }
    engine.stuff(id);
    Err(Errno::INPROGRESS)
}

/// An attempt that has begun and not ended yet: a further connect(2) that may wait waits for its end.
fn under_way(engine: &Engine, state: &State) -> Option<EndpointId> {
    let id = state.endpoint?;
    match engine.endpoints.get(id)?.role {
        Role::Connecting(connection) if !engine.stack.tcp_holds_syn(connection) => Some(id),
        _ => None,
    }
}

/// What connect(2) of a TCP socket answers by what that is already; `None`: it may begin.
pub(super) fn standing(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
) -> Result<Option<Rest>, Errno> {
    match state.stage {
        Stage::Listening | Stage::Connected => Err(Errno::ISCONN),
        Stage::Disconnecting => Err(Errno::INVAL),
        Stage::Connecting => again(engine, socket, state),
        Stage::Idle => Ok(None),
    }
}

/// A second connect(2) on the same socket: what it answers, or `None` to start anew.
fn again(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
) -> Result<Option<Rest>, Errno> {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get_mut(id));
    match endpoint.map(|endpoint| (endpoint.role, endpoint.take_error())) {
        Some((Role::Connecting(connection), _)) => {
            Err(match engine.stack.tcp_holds_syn(connection) {
                true => Errno::ISCONN,
                false => Errno::ALREADY,
            })
        }
        Some((Role::Connection(_), _)) if state.connect_unconfirmed => {
            state.connect_unconfirmed = false;
            state.stage = Stage::Connected;
            Ok(Some(Rest::Done))
        }
        Some((Role::Connection(_), _)) => Err(Errno::ISCONN),
        Some((_, Some(error))) => {
            restart(engine, socket, state, None)?;
            Err(errno::of(error))
        }
        // The error was told before (SO_ERROR): this call says that it is over, the next begins.
        _ => {
            restart(engine, socket, state, None)?;
            Err(Errno::CONNABORTED)
        }
    }
}

/// Makes the socket one that may connect again, and has `error` to report.
pub(super) fn restart(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    error: Option<Error>,
) -> Result<(), Errno> {
    let before = state.endpoint.and_then(|id| engine.endpoints.get_mut(id));
    let (left, kept, has_heard) = before.map_or_else(Default::default, |endpoint| {
        let has_heard = match endpoint.role {
            Role::Connection(_) => true,
            Role::Ended => endpoint.left.has_heard(),
            _ => false,
        };
        (endpoint.left.behind(), endpoint.port.take(), has_heard)
    });
    state.has_heard |= has_heard;
    renew(engine, socket, state)?;
    state.options.leave_connection();
    state.stage = Stage::Idle;
    state.remote = None;
    let ip = state
        .bound
        .map_or(Ipv4Addr::UNSPECIFIED, |bound| *bound.ip());
    state.former = state.local.map(|local| SocketAddrV4::new(ip, local.port()));
    // It may have been bound anew since.
    let port = state.lease.as_ref().map(Lease::port);
    state.local = state.bound;
    if let (Some(local), Some(port)) = (&mut state.local, port) {
        local.set_port(port);
    }
    if let Some(id) = state.endpoint
        && let Some(endpoint) = engine.endpoints.get_mut(id)
    {
        endpoint.error = error;
        endpoint.left = left;
        engine.show_beyond(id);
    }
    if kept.is_some() {
        state.lease = kept;
    } else {
        keep_port(engine, socket, state);
    }
    Ok(())
}

/// The port that was asked for stays the socket's, as on Linux. (Another may have taken it since the connection ended.)
fn keep_port(engine: &mut Engine, socket: &Socket, state: &mut State) {
    if let Some(bound) = state.bound.filter(|bound| bound.port() != 0) {
        let shared = engine.ports.share(Protocol::Tcp, bound.port());
        state.lease = shared.or_else(|| take_port(engine, socket, state, bound).ok());
    }
}

/// connect(2) with AF_UNSPEC, and shutdown(2) of an attempt to connect: gives up the connection, if
/// any. As on Linux, one that was alive leaves ECONNRESET to report.
pub(super) fn disconnect(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
) -> Result<(), Errno> {
    let now = engine.now();
    let id = state.endpoint.ok_or(Errno::NETDOWN)?;
    engine.settle(now, id);
    engine.note_left(id);
    let Some(endpoint) = engine.endpoints.get_mut(id) else {
        return Ok(());
    };
    let (role, error) = (endpoint.role, endpoint.error);
    let error = match role {
        Role::Undecided | Role::Datagram(_) => {
            endpoint.read_finished = false;
            endpoint.write_finished = false;
            endpoint.left = endpoint.left.behind();
            engine.show_beyond(id);
            return Ok(());
        }
        Role::Listener(listener) => {
            engine.close_listener(now, id, listener);
            error
        }
        Role::Connection(connection) if engine.is_closed(connection) => error,
        Role::Connecting(connection) | Role::Connection(connection) => {
            engine.stack.tcp_abort(now, connection);
            match state.options.is_under_repair() {
                true => Some(Error::Aborted),
                false => Some(Error::ConnectionReset),
            }
        }
        Role::Ended => error,
    };
    // Who sleeps in the pair is told once another is in its place, not by its end.
    restart(engine, socket, state, error)?;
    engine.finish_pass();
    Ok(())
}

/// OPEN: the port, the connection, the endpoint's new role.
fn open(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    ip: Ipv4Addr,
    remote: SocketAddrV4,
) -> Result<EndpointId, Errno> {
    if remote.ip().is_broadcast() || remote.ip().is_multicast() {
        return Err(Errno::NETUNREACH);
    }
    let id = state.endpoint.ok_or(Errno::NETDOWN)?;
    heap::room()?;
    let lease = client_port(engine, socket, state, ip, remote)?;
    let local = SocketAddrV4::new(ip, lease.port());
    let now = engine.now();
    // Within the host, nothing arrives that the kernel would answer.
    let silenced = match engine.stack.is_local(*remote.ip()) {
        true => Ok(()),
        false => engine.ports.silence(&lease),
    };
    let opened = silenced.and_then(|()| {
        let options = state.options.tcp();
        let opened = match state.options.repair.as_deref() {
            Some(repair) if repair.on => {
                let ends = [local, remote];
                engine.stack.tcp_resume(now, ends, repair.places, &options)
            }
            _ => engine.stack.tcp_connect(now, local, remote, &options),
        };
        opened.map_err(errno::of)
    });
    let connection = match opened {
        Ok(connection) => connection,
        Err(errno) => {
            engine.ports.release(&mut engine.stack, lease);
            return Err(errno);
        }
    };
    engine.ports.hold_between(connection, lease, local, remote);
    engine.refilter();
    engine.endpoints.set_role(id, Role::Connecting(connection));
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.error = None;
        if endpoint.read_finished {
            // It was shut down before it was connected, which Linux remembers.
            let _ = raw::shutdown(endpoint.program, libc::SHUT_RD);
            engine.stack.tcp_shutdown_read(connection);
            engine.show_beyond(id);
        }
    }
    engine.watch_end(id);
    state.local = Some(local);
    state.remote = Some(remote);
    state.stage = Stage::Connecting;
    state.connect_unconfirmed = true;
    // In a forked process.
    state.opening = true;
    Ok(id)
}

fn client_port(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    ip: Ipv4Addr,
    remote: SocketAddrV4,
) -> Result<Lease, Errno> {
    if let Some(lease) = state.lease.take() {
        return Ok(lease);
    }
    if let Some(bound) = state.bound
        && bound.port() != 0
    {
        // It was the port of an attempt that has failed.
        return take_port(engine, socket, state, bound);
    }
    if state.options.port_range != 0 {
        // The pooled ports are of the host's range.
        let any = SocketAddrV4::new(ip, 0);
        return take_port(engine, socket, state, any).map_err(|errno| match errno {
            Errno::ADDRINUSE => Errno::ADDRNOTAVAIL,
            errno => errno,
        });
    }
    let wish = wish(engine, socket, state);
    let is_free = |stack: &Stack, port| stack.tcp_tuple_free(SocketAddrV4::new(ip, port), remote);
    engine
        .ports
        .ephemeral(&mut engine.stack, Protocol::Tcp, ip, &wish, is_free)
}

/// The peer's address; `None`: not connected (any more).
pub fn peer(fd: RawFd, socket: &Socket) -> Option<SocketAddrV4> {
    away::refresh(fd, socket);
    let engine = driver::lock();
    let state = socket.state();
    match engine {
        Some(engine) if state.endpoint.is_some() => peer_in(&engine, socket, &state),
        _ => state.remote,
    }
}

/// The same of a socket that the engine serves.
pub(super) fn peer_in(engine: &Engine, socket: &Socket, state: &State) -> Option<SocketAddrV4> {
    let remote = state.remote?;
    if socket.kind == Kind::Datagram {
        return Some(remote);
    }
    match engine.endpoints.get(state.endpoint?)?.role {
        Role::Connection(connection) if !engine.is_closed(connection) => Some(remote),
        _ => None,
    }
}
