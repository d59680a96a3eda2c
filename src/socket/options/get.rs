//! getsockopt(2).

use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::path::segments_sent;
use super::set::PEEK_OFFSET;
use super::set_tcp::deferral;
use super::{Options, address_form, info, kernel, memory, packet_options};
use crate::control::settings;
use crate::driver::{self, Engine, Left, Question, Role};
use crate::socket::{
    Family, Kind, Socket, Stage, State, address, away, errno, repair, table, watched,
};
use crate::stack::config::Limits;
use crate::stack::ids::SocketId;
use crate::stack::routes::RouteDecision;
use crate::stack::tcp::Congestion;
use crate::sys::wait::poll_now;

/// Room of the longest name TCP_CONGESTION gives, in bytes.
const CONGESTION_NAME: usize = 16;
/// `sizeof(struct ip6_mtuinfo)`.
const MTU_INFO: i32 = 32;
/// Segment size before a connection knows better (RFC 9293 section 3.7.1).
const DEFAULT_SEGMENT: i32 = 536;

/// getsockopt(2) of at most `room` bytes. More than that: it fails with EINVAL, and tells how many there are. `None`: the
/// descriptor is the kernel's by now, make the call on it.
pub fn get(
    fd: RawFd,
    socket: &Arc<Socket>,
    level: i32,
    name: i32,
    room: i32,
) -> Option<Result<Vec<u8>, Errno>> {
    match (level, name) {
        // The pair's is as unique as the socket's would be, in every process.
        (libc::SOL_SOCKET, libc::SO_COOKIE) => return None,
        PEEK_OFFSET if socket.kind == Kind::Stream && !socket.state().is_fresh() => return None,
        PEEK_OFFSET if socket.away().is_some() => {
            let offset = socket.state().options.peek_offset;
            return Some(fit(offset.to_ne_bytes().to_vec(), level, room));
        }
        _ => {}
    }
    if let Some(answer) = away::ask(fd, socket, &Question::Get { level, name, room }) {
        return Some(answer);
    }
    let mut engine = driver::lock();
    let mut state = socket.state();
    let engine = match state.endpoint {
        Some(_) => engine.as_deref_mut(),
        None if (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR) => return None,
        // The owner is gone: there is nothing to ask but what the state remembers.
        None => None,
    };
    Some(get_in(engine, socket, &mut state, (level, name), room))
}

/// getsockopt(2) of a socket that the engine serves.
pub fn get_in(
    mut engine: Option<&mut Engine>,
    socket: &Arc<Socket>,
    state: &mut State,
    (level, name): (i32, i32),
    room: i32,
) -> Result<Vec<u8>, Errno> {
    if room < 0 && matches!(level, libc::SOL_SOCKET | libc::IPPROTO_IP) {
        return Err(Errno::INVAL);
    }
    if (level, name) == (libc::IPPROTO_TCP, libc::TCP_SAVED_SYN) && socket.kind == Kind::Stream {
        return saved_syn(engine, state, room);
    }
    if (level, name) == (libc::SOL_SOCKET, libc::SO_PEERNAME) {
        return peer_name(socket, state, room);
    }
    if socket.kind == Kind::Stream
        && let Some(answer) = repair::get(engine.as_deref_mut(), state, (level, name), room)
    {
        return answer.and_then(|value| fit(value, level, room));
    }
    if packet_options::is_name((level, name)) && socket.kind == Kind::Stream {
        return packet_options::get(engine.as_deref(), socket, state, (level, name), room);
    }
    let ours = match (level, socket.kind) {
        (libc::SOL_SOCKET, _) => get_socket(engine.as_deref_mut(), socket, state, name),
        (libc::IPPROTO_TCP, Kind::Stream) => get_tcp(engine.as_deref(), state, name),
        (libc::IPPROTO_IP, _) => get_ip(engine.as_deref(), state, name),
        (libc::IPPROTO_IPV6, _) if socket.family() == Family::Inet6 => {
            get_inet6(engine.as_deref(), state, name, room)
        }
        _ => None,
    };
    match ours {
        Some(value) => value.and_then(|value| fit(value, level, room)),
        None => kernel::get(socket, &state.options, (level, name), room),
    }
}

/// As much of a value as there is room for.
fn fit(mut value: Vec<u8>, level: i32, room: i32) -> Result<Vec<u8>, Errno> {
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    // The IP level alone gives small numbers as a byte where there is no room for an integer.
    if level == libc::IPPROTO_IP
        && (1..4).contains(&room)
        && let [low, 0, 0, 0] = value[..]
    {
        return Ok(vec![low]);
    }
    value.truncate(room);
    Ok(value)
}

/// SO_PEERNAME: getpeername(2) by another door, which outlives the connection. EINVAL: too little room.
fn peer_name(socket: &Socket, state: &State, room: i32) -> Result<Vec<u8>, Errno> {
    let remote = state.remote.filter(|remote| remote.port() != 0);
    let remote = remote.ok_or(Errno::NOTCONN)?;
    let (bytes, count) = address::write(remote, socket.family());
    match usize::try_from(room) {
        Ok(room) if room <= count => Ok(bytes[..room].to_vec()),
        _ => Err(Errno::INVAL),
    }
}

/// A value, if the option is one of ours.
type Value = Option<Result<Vec<u8>, Errno>>;

fn int(value: i32) -> Value {
    Some(Ok(value.to_ne_bytes().to_vec()))
}

fn bool_int(value: bool) -> Value {
    int(i32::from(value))
}

fn bytes(value: Vec<u8>) -> Value {
    Some(Ok(value))
}

fn get_socket(engine: Option<&mut Engine>, socket: &Socket, state: &mut State, name: i32) -> Value {
    let options = &state.options;
    match name {
        // Who drives is where it comes in.
        libc::SO_INCOMING_CPU if has_heard(engine.as_deref(), socket.kind, state) => {
            int(rustix::thread::sched_getcpu() as i32)
        }
        libc::SO_ERROR => int(engine.map_or(0, |engine| pending_error(engine, state))),
        libc::SO_TYPE => int(match socket.kind {
            Kind::Stream => libc::SOCK_STREAM,
            Kind::Datagram => libc::SOCK_DGRAM,
        }),
        libc::SO_DOMAIN => int(match socket.family() {
            Family::Inet => libc::AF_INET,
            Family::Inet6 => libc::AF_INET6,
        }),
        libc::SO_PROTOCOL => int(match socket.kind {
            Kind::Stream => libc::IPPROTO_TCP,
            Kind::Datagram => libc::IPPROTO_UDP,
        }),
        libc::SO_ACCEPTCONN => bool_int(state.stage == Stage::Listening),
        libc::SO_REUSEADDR => bool_int(options.reuse_address),
        libc::SO_REUSEPORT => bool_int(options.reuse_port),
        libc::SO_KEEPALIVE => bool_int(options.keep_alive),
        libc::SO_BROADCAST => bool_int(options.broadcast),
        libc::SO_OOBINLINE => bool_int(options.urgent_inline),
        libc::SO_PEEK_OFF => int(options.peek_offset),
        libc::SO_TIMESTAMPING => {
            let mut value = options.stamping.flags.to_ne_bytes().to_vec();
            // struct so_timestamping ends with the clock it is bound to.
            value.resize(8, 0);
            bytes(value)
        }
        libc::SO_MARK => int(options.mark.cast_signed()),
        libc::SO_PRIORITY => int(options.priority),
        libc::SO_SNDBUF => int(send_buffer(engine.as_deref(), socket, state) as i32),
        libc::SO_RCVBUF => int(receive_buffer(engine.as_deref(), socket.kind, options) as i32),
        memory::OPTION => bytes(memory::get(
            engine.as_deref(),
            state,
            receive_buffer(engine.as_deref(), socket.kind, options),
            send_buffer(engine.as_deref(), socket, state),
        )),
        libc::SO_RCVLOWAT => int(options.receive_low_water as i32),
        libc::SO_LINGER => bytes(linger(options)),
        libc::SO_RCVTIMEO => bytes(timeval(options.receive_timeout)),
        libc::SO_SNDTIMEO => bytes(timeval(options.send_timeout)),
        _ => None,
    }
}

/// The error a connection has ended with, for a call that reports it before what was received.
pub fn take_error(fd: RawFd, socket: &Socket) -> Option<Errno> {
    if socket.away().is_some() {
        let hung_up = poll_now(fd, 0) & libc::POLLHUP != 0;
        return hung_up.then(|| away::pending_error(fd, socket)).flatten();
    }
    let mut engine = driver::lock()?;
    let id = socket.state().endpoint?;
    let now = engine.now();
    engine.settle(now, id);
    let error = engine.endpoints.get_mut(id)?.take_error()?;
    Some(errno::of(error))
}

/// A call has come upon an error that it does not tell: the next one does.
pub fn put_error_back(fd: RawFd, socket: &Socket, errno: Errno) {
    let question = Question::PutBack {
        errno: errno.raw_os_error(),
    };
    if away::ask(fd, socket, &question).is_some() {
        socket.set_shows_more(true);
        if let Some(socket) = table::entered(socket) {
            watched::watch(&socket);
        }
        return;
    }
    if let Some(mut engine) = driver::lock()
        && let Some(id) = socket.state().endpoint
        && let Some(error) = errno::read(errno)
    {
        engine.put_error_back(id, error);
    }
}

/// The pending error as an errno value; it is reported once.
fn pending_error(engine: &mut Engine, state: &mut State) -> i32 {
    let Some(id) = state.endpoint else { return 0 };
    let socket = engine
        .endpoints
        .get(id)
        .and_then(|endpoint| endpoint.socket());
    let soft = socket.and_then(|socket| match socket.kind {
        crate::stack::ids::Kind::Datagram => engine.stack.udp_take_error(socket),
        _ => engine.stack.tcp_take_soft_error(socket),
    });
    let error = engine
        .endpoints
        .get_mut(id)
        .and_then(|endpoint| endpoint.take_error());
    engine.withdraw(id);
    error
        .or(soft)
        .map_or(0, |error| errno::of(error).raw_os_error())
}

fn send_buffer(engine: Option<&Engine>, socket: &Socket, state: &State) -> usize {
    match (state.options.send_buffer, socket.kind) {
        (Some(set), _) => 2 * set,
        (None, Kind::Stream) => grown_send_buffer(engine, state),
        (None, Kind::Datagram) => limits(engine).wmem_default,
    }
}

/// Segments of the first window that Linux makes room for, twice.
const FIRST_SEGMENTS: usize = 2 * 10;
/// What Linux adds to a segment's payload, before and after its buffer is rounded up.
const HEADERS: usize = 512;
const DESCRIPTOR: usize = 256;

/// What Linux says of a queue that was not set: with the handshake it grows.
fn grown_send_buffer(engine: Option<&Engine>, state: &State) -> usize {
    let [_, usual, most] = limits(engine).tcp_wmem;
    let left = left(engine, state);
    let segment = left.segment as usize;
    let grown = match left.opened {
        true => FIRST_SEGMENTS * ((segment + HEADERS).next_power_of_two() + DESCRIPTOR),
        false => 0,
    };
    usual.max(grown.min(most))
}

/// With the handshake Linux bounds the window: half of the receive buffer is for what segments take besides their text,
/// and another segment may be on its way.
fn window_clamp(engine: Option<&Engine>, state: &State) -> u32 {
    let options = &state.options;
    let left = left(engine, state);
    if options.window_clamp > 0 || state.stage == Stage::Idle || !left.opened {
        return options.window_clamp;
    }
    let half = (receive_buffer(engine, Kind::Stream, options) / 2) as u32;
    let two = 2 * left.announced;
    match half > two {
        true => two.max(half - left.announced),
        false => half,
    }
}

/// What the connection would leave, or the last one has left.
fn left(engine: Option<&Engine>, state: &State) -> Left {
    let endpoint = state.endpoint.and_then(|id| engine?.endpoints.get(id));
    let left = endpoint
        .zip(engine)
        .map(|(endpoint, engine)| endpoint.left(&engine.stack));
    left.unwrap_or_default()
}

fn receive_buffer(engine: Option<&Engine>, kind: Kind, options: &Options) -> usize {
    match (options.receive_buffer, kind) {
        (Some(set), _) => 2 * set,
        (None, Kind::Stream) => limits(engine).tcp_rmem[1],
        (None, Kind::Datagram) => limits(engine).rmem_default,
    }
}

fn limits(engine: Option<&Engine>) -> Limits {
    engine.map_or_else(Limits::default, |engine| *engine.limits())
}

fn linger(options: &Options) -> Vec<u8> {
    let mut value = i32::from(options.linger.is_some()).to_ne_bytes().to_vec();
    value.extend_from_slice(&options.linger_seconds.to_ne_bytes());
    value
}

fn timeval(timeout: Option<Duration>) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    let mut value = timeout.as_secs().to_ne_bytes().to_vec();
    value.extend_from_slice(&u64::from(timeout.subsec_micros()).to_ne_bytes());
    value
}

/// Whether anything has ever come for a TCP socket, or for a UDP socket with a peer.
fn has_heard(engine: Option<&Engine>, kind: Kind, state: &State) -> bool {
    let endpoint = state.endpoint.and_then(|id| engine?.endpoints.get(id));
    match endpoint.map(|endpoint| endpoint.role) {
        Some(Role::Datagram(datagram)) => engine
            .and_then(|engine| engine.stack.udp_status(datagram))
            .is_some_and(|status| status.has_heard),
        Some(Role::Connection(_)) => true,
        Some(Role::Ended) if kind == Kind::Stream => left(engine, state).has_heard(),
        _ => state.has_heard,
    }
}

fn connection(engine: Option<&Engine>, state: &State) -> Option<SocketId> {
    state
        .endpoint
        .and_then(|id| engine?.endpoints.get(id)?.socket())
}

fn get_tcp(engine: Option<&Engine>, state: &State, name: i32) -> Value {
    let options = &state.options;
    let status = || connection(engine, state).and_then(|id| engine?.stack.tcp_status(id));
    match name {
        libc::TCP_NODELAY => bool_int(options.no_delay),
        libc::TCP_CORK => bool_int(options.cork),
        libc::TCP_QUICKACK => bool_int(match state.stage {
            Stage::Idle | Stage::Listening => options.quick_ack.unwrap_or(true),
            _ => !left(engine, state).answered,
        }),
        libc::TCP_MAXSEG => int(match status() {
            Some(status) => status.mss as i32,
            None if options.max_segment > 0 => i32::from(options.max_segment),
            None => match left(engine, state).segment {
                0 => DEFAULT_SEGMENT,
                segment => segment as i32,
            },
        }),
        libc::TCP_KEEPIDLE => int(options.keep_idle),
        libc::TCP_KEEPINTVL => int(options.keep_interval),
        libc::TCP_KEEPCNT => int(options.keep_count),
        libc::TCP_SYNCNT => int(options.syn_count),
        libc::TCP_LINGER2 => int(options.linger2),
        libc::TCP_DEFER_ACCEPT => int(deferral(options.defer_accept)),
        libc::TCP_WINDOW_CLAMP => int(window_clamp(engine, state) as i32),
        libc::TCP_USER_TIMEOUT => int(options.user_timeout as i32),
        libc::TCP_NOTSENT_LOWAT => int(options.not_sent_low_water as i32),
        libc::TCP_CONGESTION => bytes(congestion(engine, options)),
        // Neither cubic nor reno has anything to tell, as on Linux.
        libc::TCP_CC_INFO => bytes(Vec::new()),
        libc::TCP_INFO => bytes(info::tcp_info(
            engine,
            connection(engine, state),
            match state.remote {
                None if state.stage == Stage::Connected => Stage::Idle,
                _ => state.stage,
            },
        )),
        _ => None,
    }
}

/// TCP_SAVED_SYN gives the headers once. They stay as long as there is too little room.
fn saved_syn(engine: Option<&mut Engine>, state: &State, room: i32) -> Result<Vec<u8>, Errno> {
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    let Some(engine) = engine else {
        return Ok(Vec::new());
    };
    let Some(id) = connection(Some(engine), state) else {
        return Ok(Vec::new());
    };
    let headers = engine
        .stack
        .tcp_saved_syn(id)
        .map_or(&[][..], |found| found);
    let headers = headers.to_vec();
    if headers.len() <= room {
        engine.stack.tcp_forget_saved_syn(id);
    }
    Ok(headers)
}

fn congestion(engine: Option<&Engine>, options: &Options) -> Vec<u8> {
    let configured = match engine.map(|engine| engine.settings.congestion) {
        None | Some(settings::Congestion::Cubic) => Congestion::Cubic,
        Some(settings::Congestion::Reno) => Congestion::Reno,
    };
    let mut name = match options.congestion.unwrap_or(configured) {
        Congestion::Cubic => b"cubic".to_vec(),
        Congestion::Reno => b"reno".to_vec(),
    };
    name.resize(CONGESTION_NAME, 0);
    name
}

/// In whose place Linux has what a socket of these kinds has there: its port.
const IP_PROTOCOL: i32 = 52;

fn get_ip(engine: Option<&Engine>, state: &State, name: i32) -> Value {
    let options = &state.options;
    match name {
        libc::IP_TTL if options.time_to_live < 0 => int(64),
        libc::IP_TTL => int(options.time_to_live),
        libc::IP_TOS => int(i32::from(options.service)),
        libc::IP_MTU => Some(path_mtu(engine, state)),
        IP_PROTOCOL => int(i32::from(port(engine, state))),
        libc::IP_MULTICAST_TTL => handshake_ttl(engine, state),
        _ => None,
    }
}

/// The port, which one that has no connection, or whose connection has ended, has only if it was asked for.
fn port(engine: Option<&Engine>, state: &State) -> u16 {
    let endpoint = state
        .endpoint
        .zip(engine)
        .and_then(|(id, engine)| engine.endpoints.get(id));
    let ended = match endpoint.map(|held| held.role) {
        Some(Role::Undecided | Role::Ended) => true,
        Some(Role::Connection(held)) => engine.is_some_and(|engine| engine.is_closed(held)),
        _ => false,
    };
    let name = if ended { state.bound } else { state.name() };
    name.map_or(0, |name| name.port())
}

/// As on Linux, an accepted socket's multicast datagrams, which it has not, would live as long as what
/// completed its handshake.
fn handshake_ttl(engine: Option<&Engine>, state: &State) -> Value {
    let engine = engine?;
    let endpoint = engine.endpoints.get(state.endpoint?)?;
    int(endpoint.left(&engine.stack).handshake?.ttl.into())
}

/// Of an AF_INET6 socket, what depends on its having a peer.
fn get_inet6(engine: Option<&Engine>, state: &State, name: i32, room: i32) -> Value {
    match name {
        libc::IPV6_MTU => Some(path_mtu(engine, state)),
        libc::IPV6_MULTICAST_HOPS => handshake_ttl(engine, state),
        // Likewise, they would leave by the interface that it came by.
        libc::IPV6_MULTICAST_IF => handshake_ttl(engine, state).and_then(|_| {
            let interface = engine.map(Engine::interface_index);
            int(interface?.cast_signed())
        }),
        libc::IPV6_PATHMTU if room < MTU_INFO => Some(Err(Errno::INVAL)),
        // A struct ip6_mtuinfo, with an address that is not told.
        libc::IPV6_PATHMTU => Some(path_mtu(engine, state).map(|mtu| {
            let mut value = vec![0; size_of::<libc::sockaddr_in6>()];
            value.extend(mtu);
            value
        })),
        libc::IPV6_ADDRFORM if address_form::has_peer(engine, state) => int(libc::AF_INET6),
        _ => None,
    }
}

/// ENOTCONN.
fn path_mtu(engine: Option<&Engine>, state: &State) -> Result<Vec<u8>, Errno> {
    let remote = state.remote.ok_or(Errno::NOTCONN)?;
    let sent = |engine| segments_sent(engine, state);
    if state.unrouted.is_some() && state.unrouted == engine.map(sent) {
        return Err(Errno::NOTCONN);
    }
    match engine.map(|engine| engine.stack.route(*remote.ip())) {
        Some(RouteDecision::Stack { mtu, .. }) => Ok((mtu as i32).to_ne_bytes().to_vec()),
        _ => Err(Errno::NOTCONN),
    }
}
