//! accept(2) and accept4(2).

use core::cell::Cell;
use core::net::SocketAddrV4;
use rustix::fd::{AsRawFd, IntoRawFd, RawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::create::{admit, may_have};
use super::sleeper::Sleeper;
use super::waiting::{deadline, resume, waits};
use super::{Family, Kind, Socket, Stage, away, edges, lifecycle, options, table};
use crate::driver::{self, Caller, EndpointId, Engine, Guard, Name, Role, Wait, wait};
use crate::stack::ids::SocketId;
use crate::sys::owned::OwnedFd;
use crate::sys::pair::{self, Received};
use crate::sys::raw;
use crate::sys::wait::borrow;
use crate::sys::{descriptor, heap};

/// A socket that was accepted.
pub struct Accepted {
    /// Its descriptor.
    pub fd: RawFd,
    /// Its peer, unless it is a kernel socket (see [`kernel_peer`]).
    pub peer: Option<SocketAddrV4>,
}

/// Flags of accept4(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// SOCK_NONBLOCK.
    pub nonblocking: bool,
    /// SOCK_CLOEXEC.
    pub close_on_exec: bool,
}

/// The peer of a kernel socket that was accepted. (getpeername(2) does not know it any more of one that was reset since.)
pub fn kernel_peer(fd: RawFd, family: Family) -> Result<Vec<u8>, Errno> {
    let name = |room: usize| raw::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERNAME, room as i32);
    let inet = || name(size_of::<libc::sockaddr_in>());
    match family {
        Family::Inet => inet(),
        Family::Inet6 => name(size_of::<libc::sockaddr_in6>()).or_else(|_| inet()),
    }
}

/// accept4(2) on a listener of ours. `None`: not ours to serve.
pub fn accept(fd: RawFd, socket: &Arc<Socket>, flags: Flags) -> Option<Result<Accepted, Errno>> {
    // Before it waits, as Linux makes the new socket's file.
    if let Err(errno) = heap::room() {
        return Some(Err(errno));
    }
    let engine = driver::lock();
    let endpoint = socket.state().endpoint;
    if let (Some(mut engine), Some(id)) = (engine, endpoint) {
        return Some(accept_from(&mut engine, fd, socket, id, flags));
    }
    // Without the lock, which an engine of this process's own needs meanwhile.
    Some(accept_beside(fd, socket, flags))
}

fn accept_from(
    engine: &mut Guard,
    fd: RawFd,
    socket: &Arc<Socket>,
    id: EndpointId,
    flags: Flags,
) -> Result<Accepted, Errno> {
    if socket.kind == Kind::Datagram {
        return refuse(fd, Errno::OPNOTSUPP);
    }
    let state = socket.state();
    let timeout = state.options.receive_timeout;
    let stage = state.stage;
    drop(state);
    if stage != Stage::Listening {
        return refuse(fd, Errno::INVAL);
    }
    if let Some(accepted) = take(engine, fd, socket, id, flags) {
        engine.found_some(id);
        return accepted;
    }
    engine.look_again(id);
    if let Some(accepted) = take(engine, fd, socket, id, flags) {
        return accepted;
    }
    has_number_left(fd)?;
    if !waits(engine, id, fd, socket, 0) {
        return Err(Errno::AGAIN);
    }
    let deadline = deadline(timeout);
    let fd = Cell::new(fd);
    let listener = engine.endpoints.get(id).and_then(|held| held.socket());
    loop {
        let mut request = Wait {
            deadline,
            caller: Some(Caller {
                id,
                fd: &fd,
                events: libc::POLLIN,
            }),
            own: listener,
            ..Wait::default()
        };
        let outcome = wait(engine, &mut request, None, |engine, _| {
            if let Some(held) = engine.endpoints.get(id) {
                table::follow(&fd, socket, held.program);
            }
            take(engine, fd.get(), socket, id, flags)
        });
        match outcome {
            Ok(accepted) => return accepted,
            Err(interruption) => resume(interruption, timeout)?,
        }
    }
}

/// Accepts from another process's stack.
fn accept_beside(fd: RawFd, listener: &Arc<Socket>, flags: Flags) -> Result<Accepted, Errno> {
    if listener.kind == Kind::Datagram {
        return refuse(fd, Errno::OPNOTSUPP);
    }
    let before = listener.away();
    match accept_from_pair(fd, listener, flags) {
        Err(Errno::INVAL) => {}
        accepted => return accepted,
    }
    // It may have been shut down, and listen again.
    away::refresh(fd, listener);
    match listener.away() == before {
        true => Err(Errno::INVAL),
        false => accept_from_pair(fd, listener, flags),
    }
}

/// Accepts from the pair that the other process fills.
fn accept_from_pair(fd: RawFd, listener: &Arc<Socket>, flags: Flags) -> Result<Accepted, Errno> {
    if listener.state().stage != Stage::Listening {
        away::refresh(fd, listener);
    }
    if listener.state().stage != Stage::Listening {
        return refuse(fd, Errno::INVAL);
    }
    let call = Sleeper::to_receive(fd, listener);
    while listener.state().stage == Stage::Listening {
        has_number_left(call.fd())?;
        match pair::take_descriptor(borrow(call.fd()), flags.close_on_exec) {
            Ok(Received {
                descriptor: Some(program),
                handed,
            }) => return enter_beside(listener, &handed, program, flags),
            // It was shut down elsewhere.
            Ok(_) | Err(Errno::CONNRESET) => return Err(Errno::INVAL),
            Err(Errno::AGAIN) if call.waits(0) => match call.wait_for(libc::POLLIN) {
                // Another thread has shut it down.
                Err(Errno::PIPE) => break,
                waited => waited?,
            },
            // The next one is offered once the owner has seen that the last one was taken.
            Err(Errno::AGAIN) if core::mem::take(&mut listener.state().took) => {
                away::refresh(call.fd(), listener);
            }
            Err(errno) if listener.state().stage == Stage::Listening => {
                edges::found_none(&mut listener.state());
                return Err(errno);
            }
            // Another thread has put another socket under the number.
            Err(_) => {}
        }
    }
    // Another thread has shut it down.
    Err(Errno::INVAL)
}

/// What the socket cannot do, `errno` says. EMFILE: Linux looks for a number before.
fn refuse<T>(fd: RawFd, errno: Errno) -> Result<T, Errno> {
    has_number_left(fd).and(Err(errno))
}

/// Whether there is a number for a connection: what comes without one is lost. EMFILE.
fn has_number_left(listener: RawFd) -> Result<(), Errno> {
    if is_last_number_free() {
        return Ok(());
    }
    let spare = rustix::io::fcntl_dupfd_cloexec(borrow(listener), 0)?;
    match may_have(&OwnedFd::from(spare)) {
        true => Ok(()),
        false => Err(Errno::MFILE),
    }
}

/// Whether the last number that the program may have is free, as with most programs, who never come that far.
fn is_last_number_free() -> bool {
    let limit = descriptor::program_limit().filter(|_| descriptor::is_apart());
    let last = limit.and_then(|limit| RawFd::try_from(limit.soft.checked_sub(1)?).ok());
    last.is_some_and(|last| table::can_hold(last) && raw::fcntl(last, libc::F_GETFD, 0).is_err())
}

/// Enters a connection whose stack is in another process.
fn enter_beside(
    listener: &Socket,
    handed: &[u8],
    program: OwnedFd,
    flags: Flags,
) -> Result<Accepted, Errno> {
    let handed = driver::Handed::decode(handed);
    let names = handed.addresses;
    listener.state().took = true;
    rustix::io::ioctl_fionbio(&program, flags.nonblocking)?;
    let fd = admit(program)?;
    if let Some((local, remote)) = names {
        let socket = Socket::new(listener.family(), Kind::Stream, flags.nonblocking, None);
        let mut state = socket.state();
        let owner = listener.away().zip(handed.endpoint);
        state.away = owner.map(|(listener, endpoint)| Name {
            endpoint,
            ..listener
        });
        state.stage = Stage::Connected;
        state.local = Some(local);
        state.remote = Some(remote);
        state.bound = Some(local);
        state.options = listener.state().options.inherited();
        state.options.limit_waits(fd);
        drop(state);
        options::tell_pair_of(fd, &socket);
        table::insert(fd, socket);
    }
    Ok(Accepted {
        fd,
        peer: names.map(|(_, remote)| remote),
    })
}

/// The next connection, if there is one: first those in the listener's pair, then the queue.
fn take(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Arc<Socket>,
    id: EndpointId,
    flags: Flags,
) -> Option<Result<Accepted, Errno>> {
    if engine
        .endpoints
        .get(id)
        .is_some_and(|held| held.program < 0)
    {
        // Another thread has closed it: the number may be somebody else's by now.
        return Some(Err(Errno::BADF));
    }
    take_from_pair(engine, fd, socket, id, flags)
        .or_else(|| take_from_queue(engine, socket, id, flags))
}

/// The connection in the listener's pair. `None`: there is none.
fn take_from_pair(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Socket,
    id: EndpointId,
    flags: Flags,
) -> Option<Result<Accepted, Errno>> {
    if !engine.endpoints.get(id).is_some_and(|held| held.offers) {
        return None;
    }
    if !descriptor::is_apart()
        && let Err(errno) = has_number_left(fd)
    {
        return Some(Err(errno));
    }
    let taken = pair::take_descriptor(borrow(fd), flags.close_on_exec);
    if let (Err(Errno::AGAIN), Some(listener)) = (&taken, engine.endpoints.get_mut(id)) {
        listener.offers = false;
    }
    let Received { descriptor, handed } = taken.ok()?;
    let Some(program) = descriptor else {
        // End of the stream: another thread has shut the listener down.
        return Some(Err(Errno::INVAL));
    };
    if !may_have(&program) {
        engine.put_back(id, &handed, &program);
        return Some(Err(Errno::MFILE));
    }
    if let Some(listener) = engine.endpoints.get_mut(id) {
        listener.in_flight = listener.in_flight.saturating_sub(1);
        if let Some(listener) = listener.socket() {
            engine.stack.tcp_taken(listener);
        }
    }
    let handed = driver::Handed::decode(&handed);
    engine.leave_rest(id);
    Some(enter(engine, socket, handed, program, flags))
}

/// The next connection in the stack's accept queue. `None`: there is none.
fn take_from_queue(
    engine: &mut Engine,
    socket: &Socket,
    id: EndpointId,
    flags: Flags,
) -> Option<Result<Accepted, Errno>> {
    let Some(Role::Listener(listener)) = engine.endpoints.get(id).map(|endpoint| endpoint.role)
    else {
        return Some(Err(Errno::INVAL));
    };
    let status = engine.stack.tcp_listener_status(listener)?;
    if status.queued == 0 {
        return None;
    }
    // Before anything is taken from the queue: without a number for it, it stays there.
    let made = engine.make_room();
    let made = made.and_then(|()| pair::make(false, flags.nonblocking, flags.close_on_exec));
    let made = made.and_then(|pair| match may_have(&pair.program) {
        true => Ok(pair),
        false => Err(Errno::MFILE),
    });
    let accepted = match made {
        Ok(pair) => {
            let connection = engine.stack.tcp_accept(listener)?;
            Ok(adopt(engine, socket, connection, pair, flags))
        }
        Err(errno) => Err(errno),
    };
    // Should more be queued, the next one to look at the descriptor must find it readable.
    engine.leave_rest(id);
    Some(accepted)
}

/// Enters a connection straight from the accept queue.
fn adopt(
    engine: &mut Engine,
    listener: &Socket,
    connection: SocketId,
    pair: pair::Pair,
    flags: Flags,
) -> Accepted {
    let fd = pair.program.into_raw_fd();
    lifecycle::displaced(engine, fd);
    // One that was reset meanwhile has names only now.
    let names = names_of(engine, connection);
    let id = engine.adopt(connection, pair.stack, fd);
    Accepted {
        fd,
        peer: name(engine, listener, (id, names), fd, flags),
    }
}

/// Enters a connection that came through the listener's pair.
fn enter(
    engine: &mut Engine,
    listener: &Socket,
    handed: driver::Handed,
    program: OwnedFd,
    flags: Flags,
) -> Result<Accepted, Errno> {
    if flags.nonblocking {
        rustix::io::ioctl_fionbio(&program, true)?;
    }
    let Some(id) = handed.endpoint else {
        let fd = program.into_raw_fd();
        return Ok(Accepted { fd, peer: None });
    };
    let fd = program.as_raw_fd();
    lifecycle::displaced(engine, fd);
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.program = fd;
    }
    engine.tell_of_end(id);
    let fd = admit(program)?;
    let peer = name(engine, listener, (id, handed.addresses), fd, flags);
    engine.arrived(id);
    Ok(Accepted { fd, peer })
}

/// A connection's addresses, here and there.
type Names = Option<(SocketAddrV4, SocketAddrV4)>;

fn names_of(engine: &Engine, connection: SocketId) -> Names {
    let status = engine.stack.tcp_status(connection);
    status.map(|status| (status.local, status.remote))
}

/// Enters the descriptor in the table; the peer's address.
fn name(
    engine: &mut Engine,
    listener: &Socket,
    (id, names): (EndpointId, Names),
    fd: RawFd,
    flags: Flags,
) -> Option<SocketAddrV4> {
    let socket = inherit(engine, listener, id, flags.nonblocking);
    let mut state = socket.state();
    if let Some((local, remote)) = names {
        state.local = Some(local);
        state.remote = Some(remote);
    }
    let remote = state.remote;
    state.options.tell_pair(fd);
    drop(state);
    table::insert(fd, socket);
    remote
}

/// The socket of an accepted connection, with what it takes over from its listener.
pub(super) fn inherit(
    engine: &mut Engine,
    listener: &Socket,
    id: EndpointId,
    nonblocking: bool,
) -> Arc<Socket> {
    let socket = Socket::new(listener.family(), Kind::Stream, nonblocking, Some(id));
    // It may have ended before anybody asked.
    let endpoint = engine.endpoints.get(id);
    let left = endpoint.map(|endpoint| endpoint.left(&engine.stack));
    let left = left.unwrap_or_default();
    let mut parent = listener.state();
    let edition = left.ends.map_or(parent.options.edition, |_| left.edition);
    let (mut inherited, bound) = (parent.inheritance(edition), parent.bound);
    drop(parent);
    let mut state = socket.state();
    state.stage = Stage::Connected;
    state.local = left.ends.map(|(local, _)| local);
    state.remote = left.ends.map(|(_, remote)| remote);
    state.bound = bound;
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.linger = inherited.linger;
        endpoint.low_water = inherited.receive_low_water;
        endpoint.record = Some(socket.clone());
    }
    let shut = core::mem::take(&mut inherited.shut);
    state.options = inherited;
    drop(state);
    engine.shut_before(id, shut);
    socket
}
