//! setsockopt(2).

use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::elsewhere;
use super::set_tcp::set_tcp;
use super::{Options, address_form, kernel, path, stamping};
use crate::driver::{self, Endpoint, Engine, Passed, Reuse, Role, count_passed};
use crate::socket::bind::{Rest, protocol};
use crate::socket::create::hand_over;
use crate::socket::{Family, Kind, Socket, Stage, State, bind, datagram, repair, urgent};
use crate::stack::config::Limits;
use crate::sys::lock::MutexGuard;
use crate::sys::raw;

/// The options that say how long calls wait.
pub(super) const WAITS: [(i32, i32); 2] = [
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
];
/// SO_LINGER and SO_*TIMEO structures, in bytes.
const LINGER: usize = 8;
const TIMEVAL: usize = 16;
/// SO_SNDBUF and SO_RCVBUF never get smaller, in bytes as read back.
pub(super) const LEAST_SEND: usize = 4608;
pub(super) const LEAST_RECEIVE: usize = 2304;
/// SO_RCVTIMEO is rounded up to this, in microseconds (a tick at 250 Hz).
const TICK: u64 = 4_000;
/// What an owner answers whose stack does not have the option, as it does where only the kernel reaches a destination.
pub(in crate::socket) const ONLY_KERNEL: Errno = Errno::NETUNREACH;
/// SO_PEEK_OFF.
pub(super) const PEEK_OFFSET: (i32, i32) = (libc::SOL_SOCKET, libc::SO_PEEK_OFF);

/// setsockopt(2). `None`: the descriptor is the kernel's (by now), make the call on it.
pub fn set(
    fd: RawFd,
    socket: &Arc<Socket>,
    level: i32,
    name: i32,
    value: &[u8],
) -> Option<Result<(), Errno>> {
    let option = (level, name);
    match elsewhere::set(fd, socket, option, value) {
        Some(Ok(Rest::Kernel)) => return None,
        Some(set) => return Some(set.map(|_| ())),
        None => {}
    }
    let engine = driver::lock();
    let mut state = socket.state();
    let (Some(mut engine), Some(id)) = (engine, state.endpoint) else {
        return set_alone(socket, state, option, value);
    };
    if level == libc::IPPROTO_TCP && socket.kind == Kind::Stream && repair::is_name(name) {
        return Some(repair::set(&mut engine, socket, &mut state, name, value));
    }
    if address_form::set(&mut engine, socket, &mut state, option, value) {
        return Some(Ok(()));
    }
    let earlier = waiting_have(&engine, &state);
    let chosen = path::chosen_by(&state.options);
    match set_any(&mut engine, socket, &mut state, option, value) {
        Ok(Rest::Kernel) => return None,
        Ok(Rest::Done) => {}
        Err(errno) => return Some(Err(errno)),
    }
    path::forget_if_changed(&engine, &mut state, chosen, option);
    leave_to_waiting(&mut state, earlier);
    apply(&mut engine, &mut state, option, value);
    let shared = engine
        .endpoints
        .get(id)
        .is_some_and(|held| held.is_open_elsewhere());
    if option == urgent::INLINE {
        urgent::read_inline(fd, value);
    }
    if shared && WAITS.contains(&option) {
        // Others wait on the descriptor.
        let _ = raw::setsockopt(fd, level, name, value);
    }
    Some(Ok(()))
}

/// setsockopt(2) for another process that holds the socket. ENETUNREACH: only the kernel can heed the option. EPERM: a
/// keeper's rights are not its guests'.
pub fn set_in(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    option: (i32, i32),
    value: &[u8],
) -> Result<(), Errno> {
    let guest = state.endpoint.and_then(|id| engine.guest(id));
    let takes_right =
        kernel::needs_right(option, value) || kernel::changes_interface(&state.options, option);
    if guest.is_some_and(|user| user != 0) && takes_right {
        return Err(Errno::PERM);
    }
    if address_form::set(engine, socket, state, option, value) {
        return Ok(());
    }
    let earlier = waiting_have(engine, state);
    let chosen = path::chosen_by(&state.options);
    if !store_in(engine, socket, state, option, value)? {
        return Err(ONLY_KERNEL);
    }
    path::forget_if_changed(engine, state, chosen, option);
    leave_to_waiting(state, earlier);
    apply(engine, state, option, value);
    Ok(())
}

/// The listener's options, if connections that wait to be accepted came under them.
fn waiting_have(engine: &Engine, state: &State) -> Option<Options> {
    let listener = state.endpoint.filter(|_| state.stage == Stage::Listening)?;
    let newest = engine.newest_edition(listener)?;
    (newest == state.options.edition).then(|| state.options.clone())
}

/// An option was set: those connections keep what was set before.
fn leave_to_waiting(state: &mut State, earlier: Option<Options>) {
    if let Some(earlier) = earlier {
        state.options.edition = earlier.edition.wrapping_add(1);
        state.earlier.push_back(earlier);
    }
}

/// Remembers an option that was set, and tells the stack.
fn apply(engine: &mut Engine, state: &mut State, (level, name): (i32, i32), value: &[u8]) {
    state.options.remember(level, name, value);
    if let Some(id) = state.endpoint {
        if stamping::is_name((level, name)) {
            let socket = engine.endpoints.get(id).and_then(Endpoint::socket);
            let places = socket.and_then(|socket| engine.stack.tcp_sent_places(socket));
            let flags = integer(value).unwrap_or(0).cast_unsigned();
            state.options.stamping.set(name, flags, places);
        }
        if (level, name) == (libc::IPPROTO_IP, libc::IP_RECVERR) && !state.options.receive_errors {
            engine.forget_errors(id);
        }
        let reuse = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => {
                Some(Reuse::Address(state.options.reuse_address))
            }
            (libc::SOL_SOCKET, libc::SO_REUSEPORT) => Some(Reuse::Port(state.options.reuse_port)),
            _ => None,
        };
        if let Some(reuse) = reuse {
            let holder = engine.endpoints.get(id);
            let shares = match (&mut state.lease, holder.and_then(Endpoint::socket)) {
                (Some(lease), _) => engine.ports.reuse_bound(lease, reuse),
                (None, Some(holder)) => engine.ports.reuse_held(holder, reuse),
                (None, None) => false,
            };
            state.options.shares_port = shares;
        }
        if (level, name) == (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) {
            engine.take_fast_open_key();
        }
        if state.options.wants_times() {
            engine.stamp_arrivals();
        }
        if (level, name) == (libc::IPPROTO_UDP, kernel::UDP_CORK) && !state.options.cork {
            datagram::push(engine, state);
        }
        engine.apply(
            id,
            state.options.linger,
            state.options.receive_low_water,
            &state.options.tcp(),
            &state.options.udp(),
        );
        if (level, name) == (libc::IPPROTO_TCP, libc::TCP_QUICKACK) {
            engine.quicken(id, integer(value).unwrap_or(0));
        }
        let shares = matches!(reuse, Some(Reuse::Port(_)));
        if let Some(local) = state.local.filter(|local| shares && local.port() != 0) {
            engine.regroup(protocol(state.options.kind), local.port());
        }
    }
}

/// Without an answer from the socket's owner, or before it has one: stored for getsockopt(2). Times to
/// wait count for the descriptor, on which the call is then made.
fn set_alone(
    socket: &Arc<Socket>,
    mut state: MutexGuard<'_, State>,
    option: (i32, i32),
    value: &[u8],
) -> Option<Result<(), Errno>> {
    let state = &mut *state;
    if let Err(errno) = kernel::check_stage(option, value, state.stage) {
        return Some(Err(errno));
    }
    match store(
        socket,
        state,
        option,
        value,
        driver::system_limits(),
        |_| true,
    ) {
        Ok(true) => state.options.note(option, value),
        Ok(false) if state.is_fresh() => {
            count_passed(Passed::Option);
            return hand_over(socket, state).err().map(Err);
        }
        Ok(false) => return Some(Err(Errno::NOPROTOOPT)),
        Err(errno) => return Some(Err(errno)),
    }
    (!WAITS.contains(&option)).then_some(Ok(()))
}

fn set_any(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    option: (i32, i32),
    value: &[u8],
) -> Result<Rest, Errno> {
    match store_in(engine, socket, state, option, value)? {
        true => Ok(Rest::Done),
        false => leave(engine, socket, state, option),
    }
}

/// Stores an option of a socket that the engine serves; false: only the kernel can heed it.
fn store_in(
    engine: &Engine,
    socket: &Socket,
    state: &mut State,
    option: (i32, i32),
    value: &[u8],
) -> Result<bool, Errno> {
    if option == PEEK_OFFSET && socket.kind == Kind::Stream {
        return set_peek_offset(engine, state, value).map(|()| true);
    }
    let is_driven = |device: &[u8]| engine.is_driven(device);
    kernel::check_stage(option, value, stage(engine, state))?;
    store(socket, state, option, value, engine.limits(), is_driven)
}

/// How far a socket has come; one whose connection is over may begin anew.
fn stage(engine: &Engine, state: &State) -> Stage {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    match endpoint.map(|endpoint| endpoint.role) {
        Some(Role::Ended) => Stage::Idle,
        Some(Role::Connection(connection)) if engine.is_closed(connection) => Stage::Idle,
        _ => state.stage,
    }
}

/// Stores an option; false: only the kernel can heed it.
pub(super) fn store(
    socket: &Socket,
    state: &mut State,
    option: (i32, i32),
    value: &[u8],
    limits: &Limits,
    is_driven: impl Fn(&[u8]) -> bool,
) -> Result<bool, Errno> {
    if let Some(result) = set_ours(socket, state, option, value, limits) {
        return result.map(|()| true);
    }
    if option == (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
        && socket.family() == Family::Inet6
        && state.local.is_some_and(|local| local.port() != 0)
    {
        return Err(Errno::INVAL);
    }
    let connects = matches!(state.stage, Stage::Connecting | Stage::Connected);
    if stamping::is_name(option) && socket.kind == Kind::Stream && connects {
        kernel::set(
            socket,
            &state.options,
            option,
            &stamping::without_keys(value),
        )?;
    } else {
        kernel::set(socket, &state.options, option, value)?;
    }
    if kernel::needs_kernel(option, value, is_driven) {
        return Ok(false);
    }
    kernel::note(&mut state.options, option, value)?;
    Ok(true)
}

/// `None`: not one of ours.
fn set_ours(
    socket: &Socket,
    state: &mut State,
    (level, name): (i32, i32),
    value: &[u8],
    limits: &Limits,
) -> Option<Result<(), Errno>> {
    let options = &mut state.options;
    match (level, socket.kind) {
        (libc::SOL_SOCKET, _) => set_socket(options, name, value, limits),
        (libc::IPPROTO_TCP, Kind::Stream) => set_tcp(options, name, value),
        (libc::IPPROTO_IP, _) => set_ip(options, name, value),
        _ => None,
    }
}

/// SO_PEEK_OFF of a connection is the pair's own: what is peeked at is in the pair then.
fn set_peek_offset(engine: &Engine, state: &mut State, value: &[u8]) -> Result<(), Errno> {
    let offset = integer(value)?;
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let program = endpoint.ok_or(Errno::NOPROTOOPT)?.program;
    raw::setsockopt(program, PEEK_OFFSET.0, PEEK_OFFSET.1, value)?;
    state.options.peek_offset = offset;
    Ok(())
}

/// Looks at what a connection has to be received: MSG_PEEK goes on where it would have before.
pub fn without_passing<T>(fd: RawFd, socket: &Socket, look: impl FnOnce() -> T) -> T {
    if socket.state().options.peek_offset < 0 {
        return look();
    }
    let (level, name) = PEEK_OFFSET;
    let offset = raw::getsockopt(fd, level, name, size_of::<i32>() as i32);
    let seen = look();
    if let Ok(offset) = offset {
        let _ = raw::setsockopt(fd, level, name, &offset);
    }
    seen
}

impl Options {
    /// Says to an accepted connection's pair what it has of its listener's.
    pub fn tell_pair(&self, fd: RawFd) {
        if self.urgent_inline {
            urgent::read_inline(fd, &1i32.to_ne_bytes());
        }
        if self.peek_offset >= 0 {
            // A kernel whose pairs know no such thing refused it at the listener.
            let offset = self.peek_offset.to_ne_bytes();
            let _ = raw::setsockopt(fd, PEEK_OFFSET.0, PEEK_OFFSET.1, &offset);
        }
    }
}

/// Lets the kernel serve a socket that got an option only the kernel has. ENOPROTOOPT: it has come
/// too far for that, or the address is not the kernel's.
fn leave(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    option: (i32, i32),
) -> Result<Rest, Errno> {
    let another_device = kernel::DEVICE.contains(&option);
    if state.stage != Stage::Idle || !(another_device || engine.ports.shares_with_kernel()) {
        return Err(Errno::NOPROTOOPT);
    }
    match socket.kind {
        Kind::Stream => bind::to_kernel(engine, socket, state, Passed::Option),
        Kind::Datagram => datagram::leave(engine, socket, state, Passed::Option),
    }
}

pub(in crate::socket) fn integer(value: &[u8]) -> Result<i32, Errno> {
    let four = value
        .get(..4)
        .and_then(|four| four.try_into().ok())
        .ok_or(Errno::INVAL)?;
    Ok(i32::from_ne_bytes(four))
}

pub(super) fn flag(value: &[u8]) -> Result<bool, Errno> {
    integer(value).map(|value| value != 0)
}

pub(super) fn ranged(value: &[u8], range: core::ops::RangeInclusive<i32>) -> Result<i32, Errno> {
    integer(value).and_then(|value| range.contains(&value).then_some(value).ok_or(Errno::INVAL))
}

/// A buffer's size: negative numbers are as large as unsigned ones (socket(7)).
fn buffer(value: &[u8], most: usize) -> Result<usize, Errno> {
    Ok((integer(value)? as u32 as usize).min(most))
}

/// `None`: not one of ours.
fn set_socket(
    options: &mut Options,
    name: i32,
    value: &[u8],
    limits: &Limits,
) -> Option<Result<(), Errno>> {
    let set = |field: &mut bool| flag(value).map(|on| *field = on);
    Some(match name {
        libc::SO_REUSEADDR => {
            if let Some(repair) = &mut options.repair {
                repair.shares = false;
            }
            flag(value).map(|on| options.reuse_address = on)
        }
        libc::SO_REUSEPORT => set(&mut options.reuse_port),
        libc::SO_KEEPALIVE => set(&mut options.keep_alive),
        libc::SO_BROADCAST => set(&mut options.broadcast),
        libc::SO_OOBINLINE => set(&mut options.urgent_inline),
        libc::SO_SNDBUF => buffer(value, limits.wmem_max)
            .map(|size| options.send_buffer = Some(size.max(LEAST_SEND / 2))),
        libc::SO_RCVBUF => buffer(value, limits.rmem_max)
            .map(|size| options.receive_buffer = Some(size.max(LEAST_RECEIVE / 2))),
        libc::SO_RCVLOWAT => set_low_water(options, value, limits),
        libc::SO_LINGER => set_linger(options, value),
        libc::SO_RCVTIMEO => timeout(value).map(|limit| options.receive_timeout = limit),
        libc::SO_SNDTIMEO => timeout(value).map(|limit| options.send_timeout = limit),
        _ => return None,
    })
}

/// A mark a TCP could never reach would block for ever: it is cut to half the receive buffer.
fn set_low_water(options: &mut Options, value: &[u8], limits: &Limits) -> Result<(), Errno> {
    let mark = integer(value)?;
    let mark = usize::try_from(mark).unwrap_or(i32::MAX as usize);
    let most = match (options.kind, options.receive_buffer) {
        (Kind::Datagram, _) => i32::MAX as usize,
        (Kind::Stream, Some(size)) => size,
        (Kind::Stream, None) => limits.tcp_rmem[2] / 2,
    };
    options.receive_low_water = mark.min(most).max(1);
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

/// A `struct timeval`; zero means without end.
fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
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
    let Ok(seconds) = u64::try_from(seconds) else {
        return Ok(Some(Duration::ZERO));
    };
    if seconds == 0 && micros == 0 || seconds >= i64::MAX as u64 / 1_000_000 {
        return Ok(None);
    }
    let rounded = (micros as u64).div_ceil(TICK) * TICK;
    Ok(Some(
        Duration::from_secs(seconds) + Duration::from_micros(rounded),
    ))
}

/// `None`: not one of ours.
fn set_ip(options: &mut Options, name: i32, value: &[u8]) -> Option<Result<(), Errno>> {
    // The IP level alone takes single bytes too, and IP_TOS nothing at all.
    let number = match value {
        [] if name == libc::IP_TOS => Ok(0),
        [byte] | [byte, _] | [byte, _, _] => Ok(i32::from(*byte)),
        _ => integer(value),
    };
    let set = |options: &mut Options, number: i32| match (name, number) {
        (libc::IP_TTL, -1 | 1..=255) => {
            options.time_to_live = number;
            Ok(())
        }
        (libc::IP_TTL, _) => Err(Errno::INVAL),
        _ => {
            // TCP keeps the ECN bits for itself.
            let mask = if options.kind == Kind::Stream { !3 } else { !0 };
            let service = number as u8 & mask;
            if service != options.service {
                options.service = service;
                options.priority = super::priority(service);
            }
            Ok(())
        }
    };
    match name {
        libc::IP_TTL | libc::IP_TOS => Some(number.and_then(|number| set(options, number))),
        _ => None,
    }
}
