//! Edges that a pair does not make as Linux's sockets do (EPOLLET).
//!
//! Of a listener a set is told of connections that come, once each.
//!
//! A listener's pair has one connection at a time. As the next one takes its place the kernel makes an edge, though a set was
//! told of that before: it is left out of what epoll_wait(2) gives.

use rustix::fd::RawFd;
use std::sync::Arc;

use super::beyond::Events;
use super::{Registration, Socket, Stage, State, away};
use crate::driver::{EndpointId, Engine, Question, Role};

const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;

/// Notes which listeners have registrations that are told of edges.
pub(super) fn note(engine: &mut Engine, id: EndpointId, state: &State) {
    engine.endpoints.edged.retain(|&held| held != id);
    let edged = state
        .registrations
        .iter()
        .filter(|held| is_edge_triggered(held));
    if edged.clone().next().is_none() {
        return;
    }
    engine.endpoints.edged.push(id);
    if let Some(endpoint) = engine.endpoints.get_mut(id) {
        // One that is exclusive cannot be renewed, and of several the engine knows none.
        let exclusive = |held: &Registration| held.events & libc::EPOLLEXCLUSIVE as u32 != 0;
        endpoint.edges |= state.registrations.len() > 1 || edged.clone().any(exclusive);
    }
}

/// A disarmed registration tells nothing by itself.
fn is_edge_triggered(held: &Registration) -> bool {
    held.events & (libc::EPOLLET | libc::EPOLLONESHOT) as u32 == libc::EPOLLET as u32
}

/// Leaves out of a set's events those of listeners that have no connection the set was not told of.
pub(super) fn leave_out_old(engine: &mut Engine, set: RawFd, found: &mut Events<'_>) {
    let edged = core::mem::take(&mut engine.endpoints.edged);
    for &id in &edged {
        if let Some((socket, come)) = listener(engine, id) {
            leave_out(&mut socket.state(), set, found, come);
        }
    }
    engine.endpoints.edged = edged;
}

/// The same of a listener of another process's stack, which says how many connections have come.
pub(super) fn leave_out_old_of(socket: &Arc<Socket>, set: RawFd, found: &mut Events<'_>) {
    let edged = |held: &&Registration| held.set == set && is_edge_triggered(held);
    let fd = {
        let state = socket.state();
        let mut edged = state.registrations.iter().filter(edged);
        let told = edged.find(|held| found.has(held));
        let told = told.filter(|_| state.stage == Stage::Listening);
        told.and_then(|held| held.number(socket))
    };
    let answer = fd.and_then(|fd| away::ask(fd, socket, &Question::Edges));
    let come = answer.and_then(|answer| Some(u64::from_ne_bytes(*answer.ok()?.first_chunk()?)));
    if let Some(come) = come {
        leave_out(&mut socket.state(), set, found, come);
    }
}

/// Whether a set is told of edges of the listener.
pub(super) fn is_edged_listener(state: &State) -> bool {
    state.stage == Stage::Listening && state.registrations.iter().any(is_edge_triggered)
}

/// accept(2) has found no connection: the next one there is news, though it may have come before, and be offered now only.
pub(super) fn found_none(state: &mut State) {
    for held in &mut state.registrations {
        held.connections = None;
    }
}

fn leave_out(state: &mut State, set: RawFd, found: &mut Events<'_>, come: u64) {
    let held = state.registrations.iter_mut();
    for held in held.filter(|held| held.set == set && is_edge_triggered(held)) {
        if !found.has(held) {
            continue;
        }
        if held.connections == Some(come) {
            found.leave_out_mere(held, READABLE);
        }
        held.connections = Some(come);
    }
}

/// A listener, and how many connections have come to it.
fn listener(engine: &Engine, id: EndpointId) -> Option<(Arc<Socket>, u64)> {
    let endpoint = engine.endpoints.get(id)?;
    if !matches!(endpoint.role, Role::Listener(_)) {
        return None;
    }
    let socket = Arc::downcast::<Socket>(endpoint.record.clone()?).ok()?;
    Some((socket, engine.connections_come(id)))
}

/// Each datagram that has left makes room, which is an edge on Linux. So is shutdown(2).
pub(super) fn tell_of_room(state: &State) {
    let asks = |held: &&Registration| held.events & libc::EPOLLOUT as u32 != 0;
    for held in state
        .registrations
        .iter()
        .filter(asks)
        .filter(|held| is_edge_triggered(held))
    {
        held.renew(held.events);
    }
}
