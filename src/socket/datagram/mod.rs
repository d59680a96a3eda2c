//! UDP sockets: bind, connect, send, receive.
//!
//! A datagram's message in the pair has a header ([`Arrived`](crate::driver::Arrived)), so that
//! its addresses survive the way; where the socket's stack is in another process, the calls speak
//! that format with it.

mod ancillary;
mod applied;
mod asking;
mod fragments;
mod held;
mod peek;
mod receive;
mod send;

pub use ancillary::{
    Asked, Told, check, is_cut, stamp, tell, tell_in, tell_of_connection, tell_of_sent,
};
pub use asking::Past;
pub(super) use asking::{answer, answer_bind};
pub use held::{Held, push};
pub use receive::receive;
pub use send::{check_call, send};

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::address::Given;
use super::bind::{Rest, take_port, to_kernel};
use super::create::claim;
use super::way::{Way, decide};
use super::{Socket, State, errno};
use crate::control::ephemeral::Protocol;
use crate::driver::keeper::First;
use crate::driver::{self, EndpointId, Engine, Lease, Passed, Role};
use crate::stack::ids::SocketId;

/// Opens the stack's socket for a leased port, which it has on the address `ip`.
pub fn open(
    engine: &mut Engine,
    state: &mut State,
    id: EndpointId,
    ip: Ipv4Addr,
    lease: Lease,
) -> Result<SocketId, Errno> {
    let local = SocketAddrV4::new(ip, lease.port());
    let opened = engine.ports.silence(&lease).and_then(|()| {
        engine
            .stack
            .udp_open(local, &state.options.udp())
            .map_err(errno::of)
    });
    match opened {
        Ok(datagram) => {
            engine.watch_lease(&lease);
            engine.ports.hold(datagram, lease);
            engine.endpoints.set_role(id, Role::Datagram(datagram));
            engine.watch_end(id);
            engine.refilter();
            state.local = Some(local);
            regroup(engine, state);
            Ok(datagram)
        }
        Err(errno) => {
            engine.ports.release(&mut engine.stack, lease);
            Err(errno)
        }
    }
}

/// Opens it anew, where its process is dead, with the peer that it had.
pub fn reopen(
    engine: &mut Engine,
    state: &mut State,
    id: EndpointId,
    lease: Lease,
) -> Result<(), Errno> {
    let local = state.local;
    let ip = local.map_or(Ipv4Addr::UNSPECIFIED, |local| *local.ip());
    let datagram = open(engine, state, id, ip, lease)?;
    if let (Some(local), Some(remote)) = (local, state.remote) {
        associate(engine, state, datagram, local, remote)?;
    }
    Ok(())
}

/// Whether a part of a datagram waits for more.
pub fn is_held_back(socket: &Socket) -> bool {
    let state = socket.state();
    state.held.is_some() || state.endpoint.is_none() && state.past.holds()
}

/// Gives it a peer.
fn associate(
    engine: &mut Engine,
    state: &mut State,
    datagram: SocketId,
    local: SocketAddrV4,
    remote: SocketAddrV4,
) -> Result<(), Errno> {
    engine.stack.udp_set_local(datagram, local);
    engine
        .stack
        .udp_connect(datagram, Some(remote))
        .map_err(errno::of)?;
    state.local = Some(local);
    state.remote = Some(remote);
    state.flow = None;
    state.unrouted = None;
    if let Some(held) = &mut state.held {
        held.redirect(remote);
    }
    regroup(engine, state);
    Ok(())
}

/// Whether it has a peer counts where a port is shared (SO_REUSEPORT).
fn regroup(engine: &mut Engine, state: &State) {
    if let Some(local) = state.local.filter(|_| state.options.reuse_port) {
        engine.regroup(Protocol::Udp, local.port());
    }
}

/// The stack's socket, opened on an ephemeral port if the program bound none.
pub(super) fn opened(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
) -> Result<SocketId, Errno> {
    let id = state.endpoint.ok_or(Errno::NETDOWN)?;
    if let Some(Role::Datagram(datagram)) = engine.endpoints.get(id).map(|endpoint| endpoint.role) {
        return Ok(datagram);
    }
    let ip = state
        .bound
        .map_or(Ipv4Addr::UNSPECIFIED, |bound| *bound.ip());
    let lease = match take_port(engine, socket, state, SocketAddrV4::new(ip, 0)) {
        // As on Linux where no ephemeral port is left for a socket that did not ask for one.
        Err(Errno::ADDRINUSE) => return Err(Errno::AGAIN),
        lease => lease?,
    };
    open(engine, state, id, ip, lease)
}

/// A call that sends or connects has failed. As on Linux, the socket has a port by then all the same.
pub fn bind(fd: RawFd, socket: &Arc<Socket>) {
    let has_port = |local: SocketAddrV4| local.port() != 0;
    if socket.state().local.is_some_and(has_port) {
        return;
    }
    // Without a port to have, the call has failed as well.
    if claim(fd, socket, || Some(First::Any)).is_err() {
        return;
    }
    let engine = driver::lock();
    let mut state = socket.state();
    match engine {
        Some(mut engine) if state.endpoint.is_some() => {
            take_a_port(&mut engine, socket, &mut state);
        }
        _ => {
            drop(state);
            asking::bind(fd, socket);
        }
    }
}

/// A call has failed that binds first. Its error is the one to tell.
fn take_a_port(engine: &mut Engine, socket: &Arc<Socket>, state: &mut State) {
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    if !state.options.v6_only || state.local.is_some() {
        let _ = opened(engine, socket, state);
    } else if let Ok(lease) = take_port(engine, socket, state, any) {
        // It hears IPv6 alone.
        state.lease = Some(lease);
        let _ = to_kernel(engine, socket, state, Passed::Inet6);
    }
}

/// connect(2): sets or, with AF_UNSPEC, clears the peer. As on Linux, the socket has a port then, even if
/// that fails.
pub fn connect(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    given: Result<Given, Errno>,
) -> Result<Rest, Errno> {
    let connected = given.and_then(|given| connect_to(engine, socket, state, given));
    if connected.is_err() && given != Ok(Given::Unspecified) {
        take_a_port(engine, socket, state);
    }
    connected
}

fn connect_to(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    given: Given,
) -> Result<Rest, Errno> {
    let remote = match given {
        Given::V4(_) if state.options.v6_only => return Err(Errno::NETUNREACH),
        Given::V4(remote) => remote,
        Given::Unspecified => {
            disconnect(engine, state)?;
            return Ok(Rest::Done);
        }
        Given::V6(_) | Given::AnyV6(_) => return leave(engine, socket, state, Passed::Inet6),
    };
    if remote.ip().is_broadcast() && !state.options.broadcast {
        return Err(Errno::ACCESS);
    }
    let Some(Way { local, remote }) = decide(engine, Protocol::Udp, state, remote)? else {
        return leave(engine, socket, state, Passed::Destination);
    };
    let datagram = opened(engine, socket, state)?;
    let port = state.local.map_or(0, |local| local.port());
    let bound = state.bound.map(|bound| *bound.ip());
    // What means all hosts stays what the socket hears.
    let to_all = bound.filter(|&ip| engine.stack.is_broadcast(ip));
    let local = SocketAddrV4::new(to_all.unwrap_or(local), port);
    associate(engine, state, datagram, local, remote)?;
    if let Some(id) = state.endpoint {
        engine.say_anew(id);
    }
    Ok(Rest::Done)
}

/// connect(2) with AF_UNSPEC: no peer any more, and of the address only what the program bound.
fn disconnect(engine: &mut Engine, state: &mut State) -> Result<(), Errno> {
    state.remote = None;
    let id = state.endpoint.ok_or(Errno::NETDOWN)?;
    let Some(Role::Datagram(datagram)) = engine.endpoints.get(id).map(|endpoint| endpoint.role)
    else {
        return Ok(());
    };
    let bound = state.bound.filter(|bound| bound.port() != 0);
    if let Some(bound) = bound {
        engine
            .stack
            .udp_connect(datagram, None)
            .map_err(errno::of)?;
        engine.stack.udp_set_local(datagram, bound);
        regroup(engine, state);
    } else {
        engine.endpoints.set_role(id, Role::Undecided);
        engine.stack.udp_close(datagram);
        if let Some(lease) = engine.ports.take_back(datagram) {
            engine.ports.release(&mut engine.stack, lease);
        }
    }
    state.local = state.bound;
    engine.say_anew(id);
    Ok(())
}

/// Why nothing can be sent to the connected peer now, whatever it is.
pub fn refusal(socket: &Socket) -> Option<Errno> {
    let mut engine = driver::lock()?;
    let state = socket.state();
    state.endpoint?;
    if state.held.is_some() {
        // It is one more part.
        return None;
    }
    if state.remote.is_none() {
        return Some(Errno::DESTADDRREQ);
    }
    unsendable(&mut engine, &state)
}

/// Why the socket sends nothing, wherever to: an error that is pending, EPIPE.
fn unsendable(engine: &mut Engine, state: &State) -> Option<Errno> {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let shut = endpoint.is_some_and(|endpoint| endpoint.write_finished);
    pending_error(engine, state).or(shut.then_some(Errno::PIPE))
}

/// Lets the kernel serve a socket that may have been opened in the stack already: its port, with
/// the kernel socket that holds it, goes along.
pub(super) fn leave(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    why: Passed,
) -> Result<Rest, Errno> {
    let role = state
        .endpoint
        .and_then(|id| engine.endpoints.get(id))
        .map(|endpoint| endpoint.role);
    if let (Some(Role::Datagram(datagram)), Some(id)) = (role, state.endpoint) {
        state.lease = engine.ports.take_back(datagram);
        engine.stack.udp_close(datagram);
        engine.endpoints.set_role(id, Role::Undecided);
    }
    to_kernel(engine, socket, state, why)
}

/// The error the next call reports, once.
fn pending_error(engine: &mut Engine, state: &State) -> Option<Errno> {
    let endpoint = engine.endpoints.get_mut(state.endpoint?)?;
    let held = endpoint.take_error();
    let error = match endpoint.role {
        Role::Datagram(datagram) => held.or_else(|| engine.stack.udp_take_error(datagram)),
        _ => held,
    };
    if error.is_some() {
        engine.withdraw(state.endpoint?);
    }
    error.map(errno::of)
}
