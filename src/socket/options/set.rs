//! setsockopt(2).

use core::time::Duration;
use rustix::io::Errno;
use std::sync::Arc;

use super::{Congestion, Options};
use crate::driver;
use crate::socket::{Family, Kind, Socket, Stage};

/// SO_LINGER and SO_*TIMEO structures, in bytes.
const LINGER: usize = 8;
const TIMEVAL: usize = 16;
/// SO_SNDBUF and SO_RCVBUF never get smaller, in bytes as read back.
pub(super) const LEAST_SEND: usize = 4608;
pub(super) const LEAST_RECEIVE: usize = 2304;
/// SO_RCVTIMEO is rounded up to this, in microseconds (a tick at 250 Hz).
const TICK: u64 = 4_000;

/// setsockopt(2). `None`: the descriptor is the kernel's by now, make the call on it.
pub fn set(socket: &Arc<Socket>, level: i32, name: i32, value: &[u8]) -> Option<Result<(), Errno>> {
    let mut engine = driver::lock()?;
    let mut state = socket.state();
    let id = state.endpoint?;
    let limits = engine.limits();
    let stage = state.stage;
    let result = match (level, socket.kind) {
        (libc::SOL_SOCKET, _) => set_socket(&mut state.options, name, value, limits),
        (libc::IPPROTO_TCP, Kind::Stream) => set_tcp(&mut state.options, name, value),
        (libc::IPPROTO_IP, _) => set_ip(&mut state.options, name, value),
        (libc::IPPROTO_IPV6, _) if socket.family == Family::Inet6 => {
            set_ipv6(&mut state.options, name, value, stage)
        }
        _ => Err(Errno::NOPROTOOPT),
    };
    if result.is_ok() {
        state.options.remember(level, name, value);
        engine.apply(
            id,
            state.options.linger,
            &state.options.tcp(),
            &state.options.udp(),
        );
    }
    Some(result)
}

fn integer(value: &[u8]) -> Result<i32, Errno> {
    let four = value
        .get(..4)
        .and_then(|four| four.try_into().ok())
        .ok_or(Errno::INVAL)?;
    Ok(i32::from_ne_bytes(four))
}

fn flag(value: &[u8]) -> Result<bool, Errno> {
    integer(value).map(|value| value != 0)
}

fn ranged(value: &[u8], range: core::ops::RangeInclusive<i32>) -> Result<i32, Errno> {
    integer(value).and_then(|value| range.contains(&value).then_some(value).ok_or(Errno::INVAL))
}

/// A buffer's size: negative numbers are as large as unsigned ones (socket(7)).
fn buffer(value: &[u8], most: usize) -> Result<usize, Errno> {
    Ok((integer(value)? as u32 as usize).min(most))
}

fn set_socket(
    options: &mut Options,
    name: i32,
    value: &[u8],
    limits: &crate::stack::config::Limits,
) -> Result<(), Errno> {
    match name {
        libc::SO_LINGER => return set_linger(options, value),
        libc::SO_RCVTIMEO => {
            options.receive_timeout = timeout(value)?;
            return Ok(());
        }
        libc::SO_SNDTIMEO => {
            options.send_timeout = timeout(value)?;
            return Ok(());
        }
        libc::SO_BINDTODEVICE => return Ok(()),
        _ => {}
    }
    let on = flag(value)?;
    match name {
        libc::SO_REUSEADDR => options.reuse_address = on,
        libc::SO_REUSEPORT => options.reuse_port = on,
        libc::SO_KEEPALIVE => options.keep_alive = on,
        libc::SO_BROADCAST => options.broadcast = on,
        libc::SO_OOBINLINE => options.urgent_inline = on,
        libc::SO_DONTROUTE => options.do_not_route = on,
        libc::SO_NO_CHECK => options.no_check = on,
        libc::SO_DEBUG => options.debug = on,
        libc::SO_TIMESTAMP | libc::SO_TIMESTAMPNS => options.timestamp = on,
        libc::SO_SNDBUF | libc::SO_SNDBUFFORCE => {
            options.send_buffer = Some(buffer(value, limits.wmem_max)?.max(LEAST_SEND / 2));
        }
        libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => {
            options.receive_buffer = Some(buffer(value, limits.rmem_max)?.max(LEAST_RECEIVE / 2));
        }
        libc::SO_RCVLOWAT => {
            let mark = integer(value)?;
            options.receive_low_water = if mark < 0 {
                i32::MAX as usize
            } else {
                (mark as usize).max(1)
            };
        }
        libc::SO_PRIORITY => options.priority = integer(value)?,
        libc::SO_MARK => options.mark = integer(value)? as u32,
        libc::SO_BUSY_POLL => options.busy_poll = ranged(value, 0..=i32::MAX)?,
        libc::SO_RXQ_OVFL | libc::SO_INCOMING_CPU | libc::SO_TIMESTAMPING => {}
        libc::SO_ZEROCOPY => {
            ranged(value, 0..=1)?;
        }
        _ => return Err(Errno::NOPROTOOPT),
    }
    Ok(())
}

fn set_linger(options: &mut Options, value: &[u8]) -> Result<(), Errno> {
    if value.len() < LINGER {
        return Err(Errno::INVAL);
    }
    let (on, seconds) = (integer(value)? != 0, integer(&value[4..])?);
    options.linger_seconds = if on { seconds } else { options.linger_seconds };
    options.linger = on.then(|| Duration::from_secs(u64::from(seconds as u32)));
    Ok(())
}

/// A `struct timeval`; zero and negative ones mean without end.
fn timeout(value: &[u8]) -> Result<Option<u64>, Errno> {
    let words = value.get(..TIMEVAL).ok_or(Errno::INVAL)?;
    let word = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&words[at..at + 8]);
        i64::from_ne_bytes(eight)
    };
    let (seconds, micros) = (word(0), word(8));
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::DOM);
    }
    if seconds < 0 {
        return Ok(Some(0));
    }
    let micros = (seconds as u64)
        .saturating_mul(1_000_000)
        .saturating_add(micros as u64);
    let rounded = micros.div_ceil(TICK).saturating_mul(TICK);
    Ok((micros > 0).then_some(rounded.saturating_mul(1_000)))
}

fn set_tcp(options: &mut Options, name: i32, value: &[u8]) -> Result<(), Errno> {
    if name == libc::TCP_CONGESTION {
        options.congestion = congestion(value)?;
        return Ok(());
    }
    let number = integer(value)?;
    match name {
        libc::TCP_NODELAY => options.no_delay = number != 0,
        libc::TCP_CORK => options.cork = number != 0,
        libc::TCP_QUICKACK => options.quick_ack = number != 0,
        libc::TCP_MAXSEG => {
            options.max_segment = match number {
                0 | 88..=32767 => number as u16,
                _ => return Err(Errno::INVAL),
            };
        }
        libc::TCP_KEEPIDLE => options.keep_idle = ranged(value, 1..=32767)?,
        libc::TCP_KEEPINTVL => options.keep_interval = ranged(value, 1..=32767)?,
        libc::TCP_KEEPCNT => options.keep_count = ranged(value, 1..=127)?,
        libc::TCP_SYNCNT => options.syn_count = ranged(value, 1..=127)?,
        libc::TCP_LINGER2 => {
            options.linger2 = match number {
                ..0 => -1,
                0 => 60,
                _ => number.min(120),
            };
        }
        libc::TCP_DEFER_ACCEPT => options.defer_accept = retransmissions(number),
        libc::TCP_WINDOW_CLAMP => {
            options.window_clamp = (number.max(0) as u32).max(1152);
        }
        libc::TCP_USER_TIMEOUT => options.user_timeout = ranged(value, 0..=i32::MAX)? as u32,
        libc::TCP_NOTSENT_LOWAT => options.not_sent_low_water = number as u32,
        libc::TCP_FASTOPEN | libc::TCP_THIN_LINEAR_TIMEOUTS | libc::TCP_THIN_DUPACK => {}
        _ => return Err(Errno::NOPROTOOPT),
    }
    Ok(())
}

fn congestion(value: &[u8]) -> Result<Congestion, Errno> {
    let name = value.split(|&byte| byte == 0).next().unwrap_or(&[]);
    match name {
        b"" => Err(Errno::INVAL),
        b"cubic" => Ok(Congestion::Cubic),
        b"reno" => Ok(Congestion::Reno),
        _ => Err(Errno::NOENT),
    }
}

/// Seconds as a number of SYN-ACK retransmissions, whose intervals double from one second.
fn retransmissions(seconds: i32) -> u8 {
    let mut total = 0;
    let mut count = 0;
    while total < seconds && count < 255 {
        count += 1;
        total += period(count);
    }
    count
}

/// Seconds before the given retransmission, from the one before it.
pub(super) fn period(count: u8) -> i32 {
    1 << (count - 1).min(6)
}

fn set_ip(options: &mut Options, name: i32, value: &[u8]) -> Result<(), Errno> {
    // The IP level alone takes single bytes too.
    let number = match value {
        [] => return Err(Errno::INVAL),
        [byte, ..] if value.len() < 4 => i32::from(*byte),
        _ => integer(value)?,
    };
    let on = number != 0;
    match name {
        libc::IP_TTL => match number {
            -1 | 1..=255 => options.time_to_live = number,
            _ => return Err(Errno::INVAL),
        },
        libc::IP_TOS => {
            // TCP keeps the ECN bits for itself.
            let mask = if options.kind == Kind::Stream { !3 } else { !0 };
            options.service = number as u8 & mask;
        }
        libc::IP_MTU_DISCOVER => match number {
            0..=5 => options.mtu_discover = number,
            _ => return Err(Errno::INVAL),
        },
        libc::IP_RECVERR => options.receive_errors = on,
        libc::IP_PKTINFO => options.packet_info = on,
        libc::IP_RECVTTL => options.receive_ttl = on,
        libc::IP_RECVTOS => options.receive_tos = on,
        libc::IP_FREEBIND => options.free_bind = on,
        libc::IP_BIND_ADDRESS_NO_PORT => options.bind_no_port = on,
        libc::IP_MULTICAST_TTL if options.kind == Kind::Datagram => match number {
            -1 => options.multicast_ttl = 1,
            0..=255 => options.multicast_ttl = number,
            _ => return Err(Errno::INVAL),
        },
        libc::IP_MULTICAST_TTL => return Err(Errno::INVAL),
        libc::IP_MULTICAST_LOOP => options.multicast_loop = on,
        libc::IP_TRANSPARENT | libc::IP_RECVOPTS | libc::IP_RETOPTS | libc::IP_MINTTL => {}
        _ => return Err(Errno::NOPROTOOPT),
    }
    Ok(())
}

fn set_ipv6(options: &mut Options, name: i32, value: &[u8], stage: Stage) -> Result<(), Errno> {
    let number = integer(value)?;
    match name {
        libc::IPV6_V6ONLY if stage != Stage::Idle => return Err(Errno::INVAL),
        libc::IPV6_V6ONLY => options.v6_only = number != 0,
        libc::IPV6_UNICAST_HOPS => match number {
            -1..=255 => options.v6_hops = number,
            _ => return Err(Errno::INVAL),
        },
        libc::IPV6_TCLASS => match number {
            -1..=255 => options.v6_class = number.max(0),
            _ => return Err(Errno::INVAL),
        },
        libc::IPV6_RECVPKTINFO
        | libc::IPV6_RECVHOPLIMIT
        | libc::IPV6_RECVTCLASS
        | libc::IPV6_RECVERR
        | libc::IPV6_MTU_DISCOVER
        | libc::IPV6_DONTFRAG
        | libc::IPV6_FREEBIND
        | libc::IPV6_MULTICAST_HOPS
        | libc::IPV6_MULTICAST_LOOP => {}
        _ => return Err(Errno::NOPROTOOPT),
    }
    Ok(())
}
