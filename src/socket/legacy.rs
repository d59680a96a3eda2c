//! What a process says of its sockets to who goes on with them when it is killed.
//!
//! Flags, three addresses: what the program chose, what came of it, the peer's; then all that was set by
//! setsockopt(2): level, name, length, value. Numbers are in the machine's byte order.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::Ordering;
use std::sync::Arc;

use super::bind::{protocol, take_port};
use super::{Family, Kind, Socket, Stage, State, datagram, options};
use crate::driver::{Account, EndpointId, Engine, Record, Role};

/// The flag of an AF_INET6 socket, and of each address that there is.
const INET6: u8 = 1;
const ADDRESS: [u8; 3] = [2, 4, 8];
/// Bytes of an address and its port.
const LEN: usize = 6;
/// Flags and addresses.
const HEAD: usize = 1 + ADDRESS.len() * LEN;

/// Whether its descriptors may be in another program.
pub(super) fn is_set_out(record: &Record) -> bool {
    let socket = record.downcast_ref::<Socket>();
    socket.is_some_and(|socket| socket.named.load(Ordering::Relaxed))
}

/// What is to be known of a socket, or of those that its listener hands on. `None`: somebody is about
/// to change it.
pub(super) fn describe(record: &Record) -> Option<Account> {
    let Some(socket) = record.downcast_ref::<Socket>() else {
        return Some(Account::default());
    };
    let state = socket.state.try_lock()?;
    let mut flags = 0;
    if socket.family() == Family::Inet6 {
        flags |= INET6;
    }
    let mut text = vec![0];
    for (flag, name) in ADDRESS
        .into_iter()
        .zip([state.bound, state.local, state.remote])
    {
        if name.is_some() {
            flags |= flag;
        }
        text.extend(name.map_or([0; 4], |name| name.ip().octets()));
        text.extend(name.map_or(0, |name| name.port()).to_ne_bytes());
    }
    text[0] = flags;
    for (level, name, value) in state.options.said() {
        text.extend(level.to_ne_bytes());
        text.extend(name.to_ne_bytes());
        text.extend((value.len() as u32).to_ne_bytes());
        text.extend(value);
    }
    Some(Account {
        text,
        bound: Some((protocol(socket.kind), bound_to(&state))),
    })
}

/// What it holds its port on.
fn bound_to(state: &State) -> SocketAddrV4 {
    let ip = state
        .bound
        .map_or(Ipv4Addr::UNSPECIFIED, |bound| *bound.ip());
    SocketAddrV4::new(ip, state.local.map_or(0, |local| local.port()))
}

/// Makes the record of an endpoint, of what was said of it and what the stack knows.
pub(super) fn revive(engine: &mut Engine, id: EndpointId, text: &[u8]) {
    let (head, said) = text
        .split_first_chunk::<HEAD>()
        .unwrap_or((&[0; HEAD], &[]));
    let Some(endpoint) = engine.endpoints.get_mut(id) else {
        return;
    };
    let family = match head[0] & INET6 {
        0 => Family::Inet,
        _ => Family::Inet6,
    };
    let kind = match endpoint.datagram {
        true => Kind::Datagram,
        false => Kind::Stream,
    };
    endpoint.inet6 = family == Family::Inet6;
    let socket = Socket::new(family, kind, true, Some(id));
    endpoint.record = Some(socket.clone());
    let mut state = socket.state();
    let [bound, local, remote] = names(head);
    state.bound = bound;
    take_stage(engine, id, &mut state);
    say(engine, &socket, &mut state, said);
    if state.stage == Stage::Idle {
        state.local = local;
        state.remote = remote;
        reopen(engine, id, &socket, &mut state);
    }
}

/// The addresses that a text begins with.
fn names(head: &[u8; HEAD]) -> [Option<SocketAddrV4>; 3] {
    let mut names = [None; 3];
    let fields = head[1..].chunks_exact(LEN);
    for ((name, flag), field) in names.iter_mut().zip(ADDRESS).zip(fields) {
        if let &[a, b, c, d, high, low] = field
            && head[0] & flag != 0
        {
            let port = u16::from_ne_bytes([high, low]);
            *name = Some(SocketAddrV4::new([a, b, c, d].into(), port));
        }
    }
    names
}

/// Has the port again of a socket of which nothing lay in the memory file. What cannot be had is another's by now.
fn reopen(engine: &mut Engine, id: EndpointId, socket: &Socket, state: &mut State) {
    let bound = bound_to(state);
    if bound.port() == 0 {
        return;
    }
    let Ok(lease) = take_port(engine, socket, state, bound) else {
        return;
    };
    match socket.kind {
        Kind::Stream => state.lease = Some(lease),
        Kind::Datagram => {
            let _ = datagram::reopen(engine, state, id, lease);
        }
    }
}

fn take_stage(engine: &Engine, id: EndpointId, state: &mut State) {
    let Some(endpoint) = engine.endpoints.get(id) else {
        return;
    };
    let role = Some(endpoint.role);
    match role {
        Some(Role::Ended) => {
            let ends = endpoint.left.ends.unzip();
            (state.local, state.remote) = ends;
            state.stage = match endpoint.left.opened {
                true => Stage::Connected,
                false => Stage::Connecting,
            };
        }
        Some(Role::Listener(listener)) => {
            let status = engine.stack.tcp_listener_status(listener);
            state.local = status.map(|status| status.local);
            state.stage = Stage::Listening;
        }
        Some(Role::Connection(connection) | Role::Connecting(connection)) => {
            let status = engine.stack.tcp_status(connection);
            state.local = status.as_ref().map(|status| status.local);
            state.remote = status.as_ref().map(|status| status.remote);
            state.stage = match role {
                Some(Role::Connecting(_)) => Stage::Connecting,
                _ => Stage::Connected,
            };
        }
        _ => {}
    }
}

/// Sets again what was set. What cannot be set now could not be helped before.
fn say(engine: &mut Engine, socket: &Arc<Socket>, state: &mut State, mut said: &[u8]) {
    while let Some((head, rest)) = said.split_first_chunk::<12>() {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *head;
        let option = (
            i32::from_ne_bytes([a, b, c, d]),
            i32::from_ne_bytes([e, f, g, h]),
        );
        let len = u32::from_ne_bytes([i, j, k, l]) as usize;
        let Some((value, rest)) = rest.split_at_checked(len) else {
            return;
        };
        said = rest;
        let _ = options::set_in(engine, socket, state, option, value);
    }
}
