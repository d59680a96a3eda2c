//! What a process says of its sockets to who goes on with them when it is killed.
//!
//! Flags, the address that the program chose, then all that was set by setsockopt(2): level, name,
//! length, value. Numbers are in the machine's byte order.

use core::net::SocketAddrV4;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use super::{Family, Kind, Socket, Stage, State, options};
use crate::driver::{EndpointId, Engine, Record, Role};

const INET6: u8 = 1;
const BOUND: u8 = 2;
/// Flags, address and port.
const HEAD: usize = 7;

/// Whether its descriptors may be in another program.
pub(super) fn is_set_out(record: &Record) -> bool {
    let socket = record.downcast_ref::<Socket>();
    socket.is_some_and(|socket| socket.named.load(Ordering::Relaxed))
}

/// What is to be known of a socket, or of those that its listener hands on. `None`: somebody is about
/// to change it.
pub(super) fn describe(record: &Record) -> Option<Vec<u8>> {
    let Some(socket) = record.downcast_ref::<Socket>() else {
        return Some(Vec::new());
    };
    let state = socket.state.try_lock()?;
    let mut flags = 0;
    if socket.family == Family::Inet6 {
        flags |= INET6;
    }
    if state.bound.is_some() {
        flags |= BOUND;
    }
    let mut text = vec![flags];
    text.extend(state.bound.map_or([0; 4], |bound| bound.ip().octets()));
    text.extend(state.bound.map_or(0, |bound| bound.port()).to_ne_bytes());
    for (level, name, value) in state.options.said() {
        text.extend(level.to_ne_bytes());
        text.extend(name.to_ne_bytes());
        text.extend((value.len() as u32).to_ne_bytes());
        text.extend(value);
    }
    Some(text)
}

/// Makes the record of an endpoint, of what was said of it and what the stack knows.
pub(super) fn revive(engine: &mut Engine, id: EndpointId, text: &[u8]) {
    let (head, said) = text
        .split_first_chunk::<HEAD>()
        .unwrap_or((&[0; HEAD], &[]));
    let [flags, a, b, c, d, high, low] = *head;
    let family = match flags & INET6 {
        0 => Family::Inet,
        _ => Family::Inet6,
    };
    let socket = Socket::new(family, Kind::Stream, true, Some(id));
    let mut state = socket.state();
    let port = u16::from_ne_bytes([high, low]);
    state.bound = (flags & BOUND != 0).then(|| SocketAddrV4::new([a, b, c, d].into(), port));
    take_stage(engine, id, &mut state);
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        endpoint.record = Some(socket.clone());
    }
    say(engine, &socket, &mut state, said);
}

fn take_stage(engine: &Engine, id: EndpointId, state: &mut State) {
    let role = engine.endpoints.get(id).map(|endpoint| endpoint.role);
    match role {
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
