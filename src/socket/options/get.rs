//! getsockopt(2).

use rustix::io::Errno;
use std::sync::Arc;

use super::set::period;
use super::{Congestion, Options, info};
use crate::driver::{self, Engine};
use crate::socket::{Family, Kind, Socket, Stage, State, errno};
use crate::stack::ids::SocketId;

/// Room of the longest name TCP_CONGESTION gives, in bytes.
const CONGESTION_NAME: usize = 16;
/// SO_SNDBUF of a UDP socket that set none, and its SO_RCVBUF, as read back.
const TCP_SEND_DEFAULT: usize = 16_384;
const TCP_RECEIVE_DEFAULT: usize = 131_072;

/// getsockopt(2): the value, of which the caller takes as much as it asked for. `None`: the
/// descriptor is the kernel's by now, make the call on it.
pub fn get(socket: &Arc<Socket>, level: i32, name: i32) -> Option<Result<Vec<u8>, Errno>> {
    let mut engine = driver::lock()?;
    let mut state = socket.state();
    state.endpoint?;
    Some(match (level, socket.kind) {
        (libc::SOL_SOCKET, _) => get_socket(&mut engine, socket, &mut state, name),
        (libc::IPPROTO_TCP, Kind::Stream) => get_tcp(&mut engine, &state, name),
        (libc::IPPROTO_IP, _) => get_ip(&mut engine, &state, name),
        (libc::IPPROTO_IPV6, _) if socket.family == Family::Inet6 => get_ipv6(&state.options, name),
        _ => Err(Errno::OPNOTSUPP),
    })
}

fn int(value: i32) -> Result<Vec<u8>, Errno> {
    Ok(value.to_ne_bytes().to_vec())
}

fn bool_int(value: bool) -> Result<Vec<u8>, Errno> {
    int(i32::from(value))
}

fn get_socket(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    name: i32,
) -> Result<Vec<u8>, Errno> {
    let options = &state.options;
    match name {
        libc::SO_ERROR => int(take_error(engine, state)),
        libc::SO_TYPE => int(match socket.kind {
            Kind::Stream => libc::SOCK_STREAM,
            Kind::Datagram => libc::SOCK_DGRAM,
        }),
        libc::SO_DOMAIN => int(match socket.family {
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
        libc::SO_DONTROUTE => bool_int(options.do_not_route),
        libc::SO_NO_CHECK => bool_int(options.no_check),
        libc::SO_DEBUG => bool_int(options.debug),
        libc::SO_TIMESTAMP => bool_int(options.timestamp),
        libc::SO_SNDBUF => int(send_buffer(engine, socket, options) as i32),
        libc::SO_RCVBUF => int(receive_buffer(engine, socket, options) as i32),
        libc::SO_SNDLOWAT => int(1),
        libc::SO_RCVLOWAT => int(options.receive_low_water as i32),
        libc::SO_PRIORITY => int(options.priority),
        libc::SO_MARK => int(options.mark as i32),
        libc::SO_BUSY_POLL => int(options.busy_poll),
        libc::SO_RXQ_OVFL | libc::SO_ZEROCOPY | libc::SO_TIMESTAMPNS => int(0),
        libc::SO_INCOMING_CPU => int(-1),
        libc::SO_LINGER => Ok(linger(options)),
        libc::SO_RCVTIMEO => Ok(timeval(options.receive_timeout)),
        libc::SO_SNDTIMEO => Ok(timeval(options.send_timeout)),
        libc::SO_BINDTODEVICE => Ok(Vec::new()),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// The pending error as an errno value; it is reported once.
fn take_error(engine: &mut Engine, state: &mut State) -> i32 {
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
    error
        .or(soft)
        .map_or(0, |error| errno::of(error).raw_os_error())
}

fn send_buffer(engine: &Engine, socket: &Socket, options: &Options) -> usize {
    match (options.send_buffer, socket.kind) {
        (Some(set), _) => 2 * set,
        (None, Kind::Stream) => TCP_SEND_DEFAULT.max(engine.limits().tcp_wmem[1]),
        (None, Kind::Datagram) => engine.limits().wmem_default,
    }
}

fn receive_buffer(engine: &Engine, socket: &Socket, options: &Options) -> usize {
    match (options.receive_buffer, socket.kind) {
        (Some(set), _) => 2 * set,
        (None, Kind::Stream) => TCP_RECEIVE_DEFAULT.max(engine.limits().tcp_rmem[1]),
        (None, Kind::Datagram) => engine.limits().rmem_default,
    }
}

fn linger(options: &Options) -> Vec<u8> {
    let mut value = i32::from(options.linger.is_some()).to_ne_bytes().to_vec();
    value.extend_from_slice(&options.linger_seconds.to_ne_bytes());
    value
}

fn timeval(timeout: Option<u64>) -> Vec<u8> {
    let micros = timeout.unwrap_or(0) / 1_000;
    let mut value = (micros / 1_000_000).to_ne_bytes().to_vec();
    value.extend_from_slice(&(micros % 1_000_000).to_ne_bytes());
    value
}

fn connection(engine: &Engine, state: &State) -> Option<SocketId> {
    state
        .endpoint
        .and_then(|id| engine.endpoints.get(id)?.socket())
}

fn get_tcp(engine: &mut Engine, state: &State, name: i32) -> Result<Vec<u8>, Errno> {
    let options = &state.options;
    let status = || connection(engine, state).and_then(|id| engine.stack.tcp_status(id));
    match name {
        libc::TCP_NODELAY => bool_int(options.no_delay),
        libc::TCP_CORK => bool_int(options.cork),
        libc::TCP_QUICKACK => bool_int(options.quick_ack),
        libc::TCP_MAXSEG => int(match status() {
            Some(status) => status.mss as i32,
            None if options.max_segment > 0 => i32::from(options.max_segment),
            None => 536,
        }),
        libc::TCP_KEEPIDLE => int(options.keep_idle),
        libc::TCP_KEEPINTVL => int(options.keep_interval),
        libc::TCP_KEEPCNT => int(options.keep_count),
        libc::TCP_SYNCNT => int(options.syn_count),
        libc::TCP_LINGER2 => int(options.linger2),
        libc::TCP_DEFER_ACCEPT => int((1..=options.defer_accept).map(period).sum()),
        libc::TCP_WINDOW_CLAMP => int(options.window_clamp as i32),
        libc::TCP_USER_TIMEOUT => int(options.user_timeout as i32),
        libc::TCP_NOTSENT_LOWAT => int(options.not_sent_low_water as i32),
        libc::TCP_FASTOPEN | libc::TCP_THIN_LINEAR_TIMEOUTS | libc::TCP_THIN_DUPACK => int(0),
        libc::TCP_CONGESTION => {
            let mut value = match options.congestion {
                Congestion::Cubic => b"cubic".to_vec(),
                Congestion::Reno => b"reno".to_vec(),
            };
            value.resize(CONGESTION_NAME, 0);
            Ok(value)
        }
        libc::TCP_INFO => Ok(info::tcp_info(
            engine,
            connection(engine, state),
            state.stage,
        )),
        _ => Err(Errno::NOPROTOOPT),
    }
}

fn get_ip(engine: &mut Engine, state: &State, name: i32) -> Result<Vec<u8>, Errno> {
    let options = &state.options;
    match name {
        libc::IP_TTL => int(if options.time_to_live < 0 {
            64
        } else {
            options.time_to_live
        }),
        libc::IP_TOS => int(i32::from(options.service)),
        libc::IP_MTU_DISCOVER => int(options.mtu_discover),
        libc::IP_MTU => match state.remote.map(|remote| engine.stack.route(*remote.ip())) {
            Some(crate::stack::routes::RouteDecision::Stack { mtu, .. }) => int(mtu as i32),
            _ => Err(Errno::NOTCONN),
        },
        libc::IP_RECVERR => bool_int(options.receive_errors),
        libc::IP_PKTINFO => bool_int(options.packet_info),
        libc::IP_RECVTTL => bool_int(options.receive_ttl),
        libc::IP_RECVTOS => bool_int(options.receive_tos),
        libc::IP_FREEBIND => bool_int(options.free_bind),
        libc::IP_BIND_ADDRESS_NO_PORT => bool_int(options.bind_no_port),
        libc::IP_MULTICAST_TTL => int(options.multicast_ttl),
        libc::IP_MULTICAST_LOOP => bool_int(options.multicast_loop),
        libc::IP_TRANSPARENT | libc::IP_MINTTL => int(0),
        libc::IP_OPTIONS => Ok(Vec::new()),
        _ => Err(Errno::NOPROTOOPT),
    }
}

fn get_ipv6(options: &Options, name: i32) -> Result<Vec<u8>, Errno> {
    match name {
        libc::IPV6_V6ONLY => bool_int(options.v6_only),
        libc::IPV6_UNICAST_HOPS => int(if options.v6_hops < 0 {
            64
        } else {
            options.v6_hops
        }),
        libc::IPV6_TCLASS => int(options.v6_class),
        libc::IPV6_RECVPKTINFO
        | libc::IPV6_RECVHOPLIMIT
        | libc::IPV6_RECVTCLASS
        | libc::IPV6_RECVERR => int(0),
        _ => Err(Errno::NOPROTOOPT),
    }
}
