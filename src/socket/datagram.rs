//! UDP sockets: connect, send, receive.

use core::cell::Cell;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::address::Given;
use super::bind::{Rest, take_port, to_kernel};
use super::readiness::deadline;
use super::{Socket, State, connect, errno};
use crate::control::ephemeral::Protocol;
use crate::driver::{
    self, DATAGRAM_HEADER, Direct, EndpointId, Engine, Guard, Interruption, Lease, Passed, Role,
    Wait, read_datagram_header, wait,
};
use crate::stack::ids::SocketId;
use crate::sys::user::Buffers;
use crate::sys::wait::entry;
use crate::sys::{raw, signal};

/// Longest UDP payload over IPv4, in bytes (RFC 768, RFC 791).
const LONGEST: usize = 65_507;

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its whole length in bytes, which may be more than was copied.
    pub len: usize,
    /// Bytes copied.
    pub copied: usize,
    /// Who sent it.
    pub from: SocketAddrV4,
}

/// Opens the stack's socket for a leased port.
pub fn open(
    engine: &mut Engine,
    _socket: &Socket,
    state: &mut State,
    id: EndpointId,
    lease: Lease,
) -> Result<SocketId, Errno> {
    let local = state
        .local
        .unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, lease.port()));
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
            Ok(datagram)
        }
        Err(errno) => {
            let engine = &mut *engine;
            engine.ports.release(&mut engine.stack, lease);
            Err(errno)
        }
    }
}

/// The stack's socket, opened on an ephemeral port if the program bound none.
fn opened(engine: &mut Engine, socket: &Socket, state: &mut State) -> Result<SocketId, Errno> {
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
    state.local = Some(SocketAddrV4::new(ip, lease.port()));
    open(engine, socket, state, id, lease)
}

/// connect(2): sets or, with AF_UNSPEC, clears the peer.
pub fn connect(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    given: Given,
) -> Result<Rest, Errno> {
    let remote = match given {
        Given::V4(remote) => remote,
        Given::Unspecified => return disconnect(engine, state),
        Given::V6 | Given::AnyV6(_) => return leave(engine, socket, state, Passed::Inet6),
    };
    if remote.ip().is_broadcast() && !state.options.broadcast {
        return Err(Errno::ACCESS);
    }
    let Some(source) = connect::decide(engine, state, remote)? else {
        return leave(engine, socket, state, Passed::Destination);
    };
    let datagram = opened(engine, socket, state)?;
    let port = state.local.map_or(0, |local| local.port());
    let local = SocketAddrV4::new(source, port);
    engine.stack.udp_set_local(datagram, local);
    engine
        .stack
        .udp_connect(datagram, Some(remote))
        .map_err(errno::of)?;
    state.local = Some(local);
    state.remote = Some(remote);
    Ok(Rest::Done)
}

/// connect(2) with AF_UNSPEC: no peer any more, and of the address only what the program bound.
fn disconnect(engine: &mut Engine, state: &mut State) -> Result<Rest, Errno> {
    let (Some(id), Some(_)) = (state.endpoint, state.remote.take()) else {
        return Ok(Rest::Done);
    };
    let Some(Role::Datagram(datagram)) = engine.endpoints.get(id).map(|endpoint| endpoint.role)
    else {
        return Ok(Rest::Done);
    };
    let bound = state.bound.filter(|bound| bound.port() != 0);
    if let Some(bound) = bound {
        engine
            .stack
            .udp_connect(datagram, None)
            .map_err(errno::of)?;
        engine.stack.udp_set_local(datagram, bound);
    } else {
        engine.endpoints.set_role(id, Role::Undecided);
        engine.stack.udp_close(datagram);
        if let Some(lease) = engine.ports.take_back(datagram) {
            engine.ports.release(&mut engine.stack, lease);
        }
    }
    state.local = state.bound;
    Ok(Rest::Done)
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

/// Sends one datagram to `to`, or to the connected peer. `None`: the descriptor is the kernel's,
/// make the call on it.
pub fn send(
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    to: Option<Given>,
    flags: i32,
) -> Option<Result<usize, Errno>> {
    let mut engine = driver::lock()?;
    let mut state = socket.state();
    state.endpoint?;
    let result = send_locked(&mut engine, socket, &mut state, data, to, flags);
    match result {
        Ok(Some(count)) => Some(Ok(count)),
        Ok(None) => None,
        Err(errno) => Some(Err(errno)),
    }
}

fn send_locked(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    data: &Buffers<'_>,
    to: Option<Given>,
    flags: i32,
) -> Result<Option<usize>, Errno> {
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    let to = match to {
        Some(Given::V4(to)) => to,
        Some(Given::AnyV6(_) | Given::V6) => {
            return leave(engine, socket, state, Passed::Inet6).map(|_| None);
        }
        Some(Given::Unspecified) | None => state.remote.ok_or(Errno::DESTADDRREQ)?,
    };
    if data.len() > LONGEST {
        return Err(Errno::MSGSIZE);
    }
    if to.port() == 0 {
        return Err(Errno::INVAL);
    }
    if let Some(error) = pending_error(engine, state) {
        return Err(error);
    }
    if to.ip().is_broadcast() && !state.options.broadcast {
        return Err(Errno::ACCESS);
    }
    if connect::decide(engine, state, to)?.is_none() {
        return send_by_kernel(engine, socket, state, data, to);
    }
    let datagram = opened(engine, socket, state)?;
    let mut slices: [&[u8]; 16] = [&[]; 16];
    let mut count = 0;
    let gathered: Vec<u8>;
    for run in data.runs(0) {
        if count < slices.len() {
            slices[count] = run;
        }
        count += 1;
    }
    let slices = if count <= slices.len() {
        &slices[..count]
    } else {
        gathered = data.runs(0).flatten().copied().collect();
        slices[0] = &gathered;
        &slices[..1]
    };
    let now = engine.now();
    engine
        .stack
        .udp_send(now, datagram, to, slices)
        .map_err(errno::of)?;
    engine.finish_pass();
    Ok(Some(data.len()))
}

fn pending_error(engine: &mut Engine, state: &State) -> Option<Errno> {
    let endpoint = engine.endpoints.get_mut(state.endpoint?)?;
    let held = endpoint.take_error();
    let Role::Datagram(datagram) = endpoint.role else {
        return None;
    };
    held.or_else(|| engine.stack.udp_take_error(datagram))
        .map(errno::of)
}

/// A destination that is the kernel's: by the kernel socket that holds our port, so that the
/// answer finds us; a socket without a port goes over to the kernel altogether.
fn send_by_kernel(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    data: &Buffers<'_>,
    to: SocketAddrV4,
) -> Result<Option<usize>, Errno> {
    let Some(port) = state.local.map(|local| local.port()) else {
        return to_kernel(engine, socket, state, Passed::Destination).map(|_| None);
    };
    driver::count_passed(Passed::Datagram);
    let payload: Vec<u8> = data.runs(0).flatten().copied().collect();
    match engine.ports.kernel_sockets(Protocol::Udp, port).first() {
        Some(lease) => rustix::net::sendto(
            lease.fd(),
            &payload,
            rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL,
            &to,
        )
        .map(Some),
        None => Err(Errno::NETUNREACH),
    }
}

/// Receives one datagram. `None`: the descriptor works by itself, make the call on it.
pub fn receive(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Option<Result<Received, Errno>> {
    let mut engine = driver::lock()?;
    let state = socket.state();
    let id = state.endpoint?;
    let timeout = state.options.receive_timeout;
    drop(state);
    let waits = !socket.nonblocking() && flags & libc::MSG_DONTWAIT == 0;
    let call = Call {
        fd,
        id,
        waits,
        timeout,
        data,
        flags,
    };
    Some(call.run(&mut engine))
}

struct Call<'a, 'b> {
    fd: RawFd,
    id: EndpointId,
    waits: bool,
    timeout: Option<Duration>,
    data: &'a Buffers<'b>,
    flags: i32,
}

impl Call<'_, '_> {
    fn run(&self, engine: &mut Guard) -> Result<Received, Errno> {
        if self.flags & libc::MSG_ERRQUEUE != 0 {
            return Err(Errno::AGAIN);
        }
        if let Some(result) = self.attempt(engine) {
            return result;
        }
        if !self.waits {
            engine.glance(None);
            return self.attempt(engine).unwrap_or(Err(Errno::AGAIN));
        }
        self.wait(engine)
    }

    fn wait(&self, engine: &mut Guard) -> Result<Received, Errno> {
        let deadline = deadline(self.timeout);
        let taken = Cell::new(None);
        let mut take = |datagram: &crate::stack::sink::Datagram, bytes: &[u8]| {
            let copied = self.data.put(0, bytes);
            taken.set(Some(Received {
                len: bytes.len(),
                copied,
                from: datagram.from,
            }));
        };
        let socket = engine
            .endpoints
            .get(self.id)
            .and_then(|endpoint| endpoint.socket());
        let peeks = self.flags & libc::MSG_PEEK != 0;
        let mut none = |_: &[u8]| 0;
        let mut direct = socket.filter(|_| !peeks).map(|socket| Direct {
            socket,
            take: &mut none,
            take_datagram: &mut take,
            taken: 0,
        });
        loop {
            let mut fds = [entry(self.fd, libc::POLLIN)];
            let mut request = Wait {
                deadline,
                fds: &mut fds,
                stack_only: true,
                ..Wait::default()
            };
            let outcome = wait(engine, &mut request, direct.as_mut(), |engine, _| {
                taken.take().map(Ok).or_else(|| self.attempt(engine))
            });
            match outcome {
                Ok(result) => return result,
                Err(Interruption::Signal) if self.timeout.is_none() && signal::all_restart() => {}
                Err(Interruption::Signal) => return Err(Errno::INTR),
                Err(Interruption::TimedOut) => return Err(Errno::AGAIN),
            }
        }
    }

    /// The oldest datagram: from the pair first, then from the socket's queue.
    fn attempt(&self, engine: &mut Engine) -> Option<Result<Received, Errno>> {
        let endpoint = engine.endpoints.get_mut(self.id)?;
        if let Some(error) = endpoint.take_error() {
            return Some(Err(errno::of(error)));
        }
        if endpoint.unread {
            let mut header = [0; DATAGRAM_HEADER];
            match raw::receive_message(self.fd, &mut header, self.data.parts(), self.flags) {
                Ok(count) if count >= header.len() => {
                    let len = count - header.len();
                    if endpoint.full {
                        engine.refill(self.id);
                    }
                    let from = read_datagram_header(&header);
                    return Some(Ok(Received {
                        len,
                        copied: len.min(self.data.len()),
                        from,
                    }));
                }
                _ => endpoint.unread = false,
            }
        }
        let Role::Datagram(datagram) = endpoint.role else {
            return (endpoint.read_finished && self.waits).then(|| Ok(self.nothing()));
        };
        if let Some(front) = engine.stack.udp_front(datagram) {
            let mut payload = vec![0; front.len.min(self.data.len())];
            engine.stack.udp_peek(datagram, &mut payload);
            let copied = self.data.put(0, &payload);
            if self.flags & libc::MSG_PEEK == 0 {
                engine.stack.udp_receive(datagram, &mut []);
            }
            return Some(Ok(Received {
                len: front.len,
                copied,
                from: front.from,
            }));
        }
        if let Some(error) = engine.stack.udp_take_error(datagram) {
            return Some(Err(errno::of(error)));
        }
        let shut = engine
            .endpoints
            .get(self.id)
            .is_some_and(|endpoint| endpoint.read_finished);
        // Who does not wait is told to (EAGAIN), as on Linux.
        (shut && self.waits).then(|| Ok(self.nothing()))
    }

    /// What a socket that is shut down for reading gives.
    fn nothing(&self) -> Received {
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Received {
            len: 0,
            copied: 0,
            from,
        }
    }
}
