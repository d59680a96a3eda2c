//! bind(2) and listen(2).

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::address::{self, Given};
use super::create::{become_kernel, kernel_socket};
use super::served::{go_over, may_go_over};
use super::{Family, Kind, Socket, Stage, State, away, errno, watched};
use crate::control::ephemeral::Protocol;
use crate::control::lease::Inet6;
use crate::driver::{self, Engine, Lease, Passed, Question, Role, Wish};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::borrow;
use crate::sys::{heap, local, spare};

/// What is left to do for a call after we have looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Done,
    /// The kernel serves the descriptor: make the same call on it.
    Kernel,
}

/// The protocol a kind of socket uses.
pub(super) fn protocol(kind: Kind) -> Protocol {
    match kind {
        Kind::Stream => Protocol::Tcp,
        Kind::Datagram => Protocol::Udp,
    }
}

/// How a socket's options ask for a port.
pub(super) fn wish(engine: &Engine, socket: &Socket, state: &State) -> Wish {
    Wish {
        user: state.endpoint.and_then(|id| engine.guest(id)),
        unprivileged: state.endpoint.is_some_and(|id| engine.is_unprivileged(id)),
        reuse_address: state.options.reuse_address,
        reuse_port: state.options.reuse_port,
        forced: state.options.is_under_repair(),
        free_bind: state.options.free_bind,
        port_range: state.options.port_range,
        interface: state.options.on_interface.then(|| engine.interface_index()),
        inet6: match socket.family() {
            Family::Inet => None,
            Family::Inet6 if state.options.v6_only => Some(Inet6::Only),
            Family::Inet6 => Some(Inet6::Both),
        },
    }
}

/// bind(2). A port that is in use may be free as soon as those have looked who go on for its last
/// user.
pub fn bind(fd: RawFd, socket: &Arc<Socket>, address: &[u8]) -> Result<Rest, Errno> {
    match bind_at_once(fd, socket, address) {
        Err(Errno::ADDRINUSE) if await_successors(fd, socket) => bind_at_once(fd, socket, address),
        bound => bound,
    }
}

/// Waits for those who go on for processes that are dead, of the user whose stack serves the socket.
/// Whether it is worth another attempt.
fn await_successors(fd: RawFd, socket: &Socket) -> bool {
    let user = match socket.away() {
        Some(_) => local::peer_user(borrow(fd)),
        None => Ok(local::own_user()),
    };
    user.is_ok_and(|user| driver::await_successors(protocol(socket.kind), user))
}

fn bind_at_once(fd: RawFd, socket: &Arc<Socket>, address: &[u8]) -> Result<Rest, Errno> {
    let question = Question::Bind {
        address: address.to_vec(),
    };
    if let Some(answer) = away::ask(fd, socket, &question) {
        match answer {
            // Only the kernel could.
            Err(Errno::NETUNREACH) if may_go_over(socket) => {
                return go_over(socket).map(|()| Rest::Kernel);
            }
            Err(Errno::NETUNREACH) => return Err(Errno::ADDRNOTAVAIL),
            answer => answer?,
        };
        away::refresh(fd, socket);
        let mut state = socket.state();
        state.bound = state.local;
        return Ok(Rest::Done);
    }
    let Some(mut engine) = driver::lock() else {
        return Ok(Rest::Kernel);
    };
    let mut state = socket.state();
    if state.endpoint.is_none() {
        return Ok(Rest::Kernel);
    }
    match place(&engine, socket, &state, address)? {
        Place::Kernel(why) => to_kernel(&mut engine, socket, &mut state, why),
        Place::Stack(local) => bind_in(&mut engine, socket, &mut state, local).map(|()| Rest::Done),
    }
}

/// Who serves a local address.
pub(super) enum Place {
    /// The stack, which takes it as this.
    Stack(SocketAddrV4),
    /// The kernel.
    Kernel(Passed),
}

/// Who serves a local address. EINVAL: the socket has one.
pub(super) fn place(
    engine: &Engine,
    socket: &Socket,
    state: &State,
    address: &[u8],
) -> Result<Place, Errno> {
    let given = address::read(address, socket.family())?;
    let local = match given {
        // IPv4 alone, by a socket of IPv6's: the stack's are either for both.
        Given::V4(local)
            if local.ip().is_unspecified()
                && socket.family() == Family::Inet6
                && engine.ports.shares_with_kernel() =>
        {
            return Ok(Place::Kernel(Passed::Inet6));
        }
        Given::V4(local) => local,
        Given::AnyV6(port) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port),
        Given::V6(_) => return Ok(Place::Kernel(Passed::Inet6)),
        Given::Unspecified => address::read_wildcard(address, socket.family())?,
    };
    // TCP speaks from another address than that, which the kernel would not leave to the stack.
    let speaks = socket.kind == Kind::Datagram || !engine.ports.shares_with_kernel();
    let to_all = engine.stack.is_broadcast(*local.ip());
    let ours = engine.is_local(*local.ip()) || to_all && speaks;
    let foreign = !ours && !local.ip().is_unspecified();
    // IPv6's sockets are asked first whether they may bind.
    if foreign && (socket.family() == Family::Inet || may_bind(engine, state)) {
        judge(socket, state, *local.ip())?;
    }
    if !may_bind(engine, state) {
        return Err(Errno::INVAL);
    }
    let only_v6 = given == Given::AnyV6(local.port()) && state.options.v6_only;
    Ok(match foreign || only_v6 {
        true => Place::Kernel(Passed::LocalAddress),
        false => Place::Stack(local),
    })
}

/// bind(2) of a socket that the engine serves, to an address of the stack's.
pub(super) fn bind_in(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    local: SocketAddrV4,
) -> Result<(), Errno> {
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    if local.port() == 0 && state.options.bind_no_port {
        state.local = Some(local);
        state.bound = Some(local);
        engine.note_bound(id);
        return Ok(());
    }
    let lease = take_port(engine, socket, state, local)?;
    if socket.kind == Kind::Datagram {
        super::datagram::open(engine, state, id, *local.ip(), lease)?;
    } else {
        state.local = Some(SocketAddrV4::new(*local.ip(), lease.port()));
        state.lease = Some(lease);
    }
    state.bound = Some(local);
    engine.note_bound(id);
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.keeps_port = keeps_port(state);
    }
    Ok(())
}

/// Whether the port stays the socket's once its connection has ended: it was asked for. (Others who share it may have it
/// then, which they could not while it is kept.)
pub(super) fn keeps_port(state: &State) -> bool {
    let asked = state.bound.is_some_and(|bound| bound.port() != 0);
    asked && !state.options.reuse_address && !state.options.reuse_port
}

/// Whether the kernel has the address. EADDRNOTAVAIL. As on Linux, that comes before all else.
fn judge(socket: &Socket, state: &State, ip: Ipv4Addr) -> Result<(), Errno> {
    bound_by_kernel(socket, state, SocketAddrV4::new(ip, 0)).map(drop)
}

/// A kernel socket with the socket's options, bound there.
fn bound_by_kernel(socket: &Socket, state: &State, local: SocketAddrV4) -> Result<OwnedFd, Errno> {
    let kernel = kernel_socket(socket)?;
    state.options.replay(kernel.as_raw_fd());
    rustix::net::bind(&kernel, &address::in_family(local, socket.family()))?;
    Ok(kernel)
}

/// Whether the socket has no port, and no connection: what has ended keeps only a port that was asked
/// for.
fn may_bind(engine: &Engine, state: &State) -> bool {
    let port = |name: Option<SocketAddrV4>| name.map_or(0, |name| name.port());
    let has_kept = port(state.bound) != 0 || state.lease.is_some();
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    match endpoint.map(|endpoint| endpoint.role) {
        Some(Role::Ended) => !has_kept,
        Some(Role::Connection(connection)) => engine.is_closed(connection) && !has_kept,
        _ => state.stage == Stage::Idle && port(state.local) == 0,
    }
}

/// Leases `local`'s port under the socket's options.
pub(super) fn take_port(
    engine: &mut Engine,
    socket: &Socket,
    state: &State,
    local: SocketAddrV4,
) -> Result<Lease, Errno> {
    heap::room()?;
    let wish = wish(engine, socket, state);
    let protocol = protocol(socket.kind);
    let lease = engine
        .ports
        .bind(&mut engine.stack, protocol, local, &wish)?;
    if protocol == Protocol::Tcp && local.port() != 0 {
        engine.look_for_orphans(local.port());
    }
    Ok(lease)
}

/// Lets the kernel serve the socket. A port that was leased for it goes with it, or is shared with those it was shared
/// with; so does a datagram socket's peer.
pub(super) fn to_kernel(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    why: Passed,
) -> Result<Rest, Errno> {
    let kernel = match state.lease.take() {
        Some(lease) => {
            let ip = state
                .local
                .map_or(Ipv4Addr::UNSPECIFIED, |local| *local.ip());
            let bound = SocketAddrV4::new(ip, lease.port());
            match engine.ports.take_kernel_socket(&mut engine.stack, lease) {
                Some(kernel) => kernel,
                None => bound_by_kernel(socket, state, bound)?,
            }
        }
        // Bound to an address without a port (IP_BIND_ADDRESS_NO_PORT), or to none.
        None => match state.bound.filter(|bound| bound.port() == 0) {
            Some(bound) => bound_by_kernel(socket, state, bound)?,
            None => kernel_socket(socket)?,
        },
    };
    if socket.kind == Kind::Datagram
        && let Some(remote) = state.remote
    {
        rustix::net::connect(&kernel, &address::in_family(remote, socket.family()))?;
    }
    become_kernel(engine, socket, state, &kernel)?;
    driver::count_passed(why);
    Ok(Rest::Kernel)
}

/// listen(2).
pub fn listen(fd: RawFd, socket: &Arc<Socket>, backlog: i32) -> Result<Rest, Errno> {
    if let Some(answer) = away::ask(fd, socket, &Question::Listen { backlog }) {
        answer?;
        socket.state().stage = Stage::Listening;
        watched::watch_edges(socket);
        return Ok(Rest::Done);
    }
    let engine = driver::lock();
    let mut state = socket.state();
    match engine {
        Some(mut engine) if state.endpoint.is_some() => {
            // Without an address it listens to all that its family has.
            if state.options.v6_only && state.local.is_none() && state.stage == Stage::Idle {
                return to_kernel(&mut engine, socket, &mut state, Passed::Inet6);
            }
            listen_in(&mut engine, socket, &mut state, backlog).map(|()| Rest::Done)
        }
        _ => Ok(Rest::Kernel),
    }
}

/// listen(2) of a socket that the engine serves.
pub(super) fn listen_in(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    backlog: i32,
) -> Result<(), Errno> {
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    if socket.kind == Kind::Datagram {
        return Err(Errno::OPNOTSUPP);
    }
    // As on Linux, -1 is a large number.
    let backlog = backlog as u32;
    match (
        state.stage,
        engine.endpoints.get(id).map(|endpoint| endpoint.role),
    ) {
        (Stage::Listening, Some(Role::Listener(listener))) => {
            engine.stack.tcp_set_backlog(listener, backlog);
            engine.watch_end(id);
            return Ok(());
        }
        (Stage::Idle, Some(Role::Undecided)) => {}
        _ => return Err(Errno::INVAL),
    }
    heap::room()?;
    let local = state
        .local
        .unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut lease = match state.lease.take() {
        Some(lease) => lease,
        None => take_port(engine, socket, state, local)?,
    };
    let local = SocketAddrV4::new(*local.ip(), lease.port());
    let endpoint = engine.endpoints.get(id);
    state.options.shut = endpoint.map_or((false, false), |endpoint| {
        (endpoint.read_finished, endpoint.write_finished)
    });
    state.options.begin_to_listen();
    let options = state.options.tcp();
    if options.fast_open > 0 {
        engine.take_fast_open_key();
    }
    let listener = match open_listener(engine, &mut lease, local, backlog, &options) {
        Ok(listener) => listener,
        Err(errno) => {
            state.lease = Some(lease);
            return Err(errno);
        }
    };
    engine.watch_lease(&lease);
    engine.ports.hold(listener, lease);
    engine.endpoints.set_role(id, Role::Listener(listener));
    engine.watch_end(id);
    spare::keep();
    // A listener is never writable.
    engine.stuff(id);
    engine.refilter();
    if state.options.reuse_port {
        engine.regroup(Protocol::Tcp, local.port());
    }
    state.local = Some(local);
    state.stage = Stage::Listening;
    Ok(())
}

fn open_listener(
    engine: &mut Engine,
    lease: &mut Lease,
    local: SocketAddrV4,
    backlog: u32,
    options: &crate::stack::tcp::TcpOptions,
) -> Result<crate::stack::ids::SocketId, Errno> {
    engine.ports.listen(lease)?;
    engine
        .stack
        .tcp_listen(local, backlog, options)
        .map_err(errno::of)
}
