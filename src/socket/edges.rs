//! Edges that a pair does not make as Linux's sockets do (EPOLLET).
//!
//! Of a listener a set is told of connections that come, once each.
//!
//! A listener's pair has one connection at a time. As the next one takes its place the kernel makes an edge, though a set was
//! told of that before: it is left out of what epoll_wait(2) gives.

use rustix::fd::RawFd;
use std::sync::Arc;

use super::{Socket, State};
use crate::driver::{EndpointId, Engine, Role};

const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;

/// Notes which listeners have registrations that are told of edges.
pub(super) fn note(engine: &mut Engine, id: EndpointId, state: &State) {
    engine.endpoints.edged.retain(|&held| held != id);
    let mut edged = state
        .registrations
        .iter()
        .filter(|held| is_edge_triggered(held));
    if edged.clone().next().is_none() {
        return;
    }
    engine.endpoints.edged.push(id);
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        // Such a one cannot be renewed.
        endpoint.edges |= edged.any(|held| held.events & libc::EPOLLEXCLUSIVE as u32 != 0);
    }
}

/// A disarmed registration tells nothing by itself.
fn is_edge_triggered(held: &super::Registration) -> bool {
    held.events & (libc::EPOLLET | libc::EPOLLONESHOT) as u32 == libc::EPOLLET as u32
}

/// Leaves out of a set's `count` events those of listeners that have no connection the set was not told of. How many stay.
pub(super) fn leave_out_old(
    engine: &mut Engine,
    set: RawFd,
    events: &mut [libc::epoll_event],
    mut count: usize,
) -> usize {
    let edged = core::mem::take(&mut engine.endpoints.edged);
    for &id in &edged {
        let Some((socket, completed)) = listener(engine, id) else {
            continue;
        };
        let mut state = socket.state();
        let held = state.registrations.iter_mut();
        for held in held.filter(|held| held.set == set && is_edge_triggered(held)) {
            let own = |event: &libc::epoll_event| event.u64 == held.data;
            let Some(at) = events[..count].iter().position(own) else {
                continue;
            };
            let is_old = held.connections == Some(completed);
            if is_old && events[at].events & !READABLE == 0 {
                events.copy_within(at + 1..count, at);
                count -= 1;
            }
            held.connections = Some(completed);
        }
    }
    engine.endpoints.edged = edged;
    count
}

/// A listener, and how many connections have come to it.
fn listener(engine: &Engine, id: EndpointId) -> Option<(Arc<Socket>, u64)> {
    let endpoint = engine.endpoints.get(id)?;
    let Role::Listener(listener) = endpoint.role else {
        return None;
    };
    let completed = engine.stack.tcp_listener_status(listener)?.completed;
    let socket = Arc::downcast::<Socket>(endpoint.record.clone()?).ok()?;
    Some((socket, completed.wrapping_add(endpoint.lent)))
}

/// Each datagram that has left makes room, which is an edge on Linux.
pub(super) fn tell_of_room(state: &State) {
    let asks = |held: &&super::Registration| held.events & libc::EPOLLOUT as u32 != 0;
    for held in state
        .registrations
        .iter()
        .filter(asks)
        .filter(|held| is_edge_triggered(held))
    {
        held.renew(held.events);
    }
}
