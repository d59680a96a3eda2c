//! Edges of room to send (EPOLLOUT, EPOLLET) where another process's stack serves a connection.
//!
//! On Linux there is one when the connection has begun, and when it has room after a call or a set has found none. A pair
//! makes one whenever its owner has taken what was written. Of these a set's waiter is told of the first, and of the first
//! after no room was found; the others are left out, if they say nothing but that, and what is shut is as it was.
//!
//! So those are remembered ([`watched`](super::watched)) of which an edge is yet to be told, and those to which was written,
//! until that is taken.

use rustix::fd::RawFd;
use std::sync::Arc;

use super::beyond::Events;
use super::{Kind, Registration, Socket, Stage, State, watched};
use crate::sys::raw;
use crate::sys::wait::poll_now;

const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;
/// How a registration is told of edges, and no more than one at a time.
const ONCE: u32 = libc::EPOLLONESHOT as u32;
const EDGE: u32 = libc::EPOLLET as u32;

/// Whether there may be an edge that is not as it comes.
pub(super) fn is_pending(state: &State) -> bool {
    let told = |held: &Registration| held.room.is_some();
    let mut asking = state.registrations.iter().filter(|held| asks(held));
    is_open(state) && asking.any(|held| state.written || !told(held))
}

/// A call has written to a connection; `whole`: it has not found that there was too little room.
pub(super) fn note_written(socket: &Arc<Socket>, whole: bool) {
    let mut state = socket.state();
    if !state.registrations.iter().any(asks) {
        return;
    }
    let news = !state.written || !whole;
    state.written = true;
    if !whole {
        await_room(&mut state);
    }
    drop(state);
    if news {
        watched::watch(socket);
    }
}

/// A call has found no room in a connection.
pub(super) fn note_none(socket: &Arc<Socket>) {
    let mut state = socket.state();
    if state.registrations.iter().any(asks) {
        await_room(&mut state);
        drop(state);
        watched::watch(socket);
    }
}

/// What comes next is news to all sets.
fn await_room(state: &mut State) {
    for held in &mut state.registrations {
        held.room = None;
    }
}

fn asks(held: &Registration) -> bool {
    held.events & WRITABLE != 0 && held.events & (EDGE | ONCE) == EDGE
}

fn is_open(state: &State) -> bool {
    state.away.is_some() && state.stage == Stage::Connected && !state.opening
}

/// Those of `sockets` of which all that was written is taken: they make no more edges.
pub(super) fn all_taken(sockets: &[Arc<Socket>]) -> Vec<Arc<Socket>> {
    let is_taken = |socket: &&Arc<Socket>| {
        let state = socket.state();
        let mut numbers = state.registrations.iter();
        let fd = numbers.find_map(|held| held.number(socket));
        let written = state.written;
        drop(state);
        written && fd.is_none_or(|fd| raw::unsent(fd) == Ok(0))
    };
    sockets.iter().filter(is_taken).cloned().collect()
}

/// Leaves out of a set's events those that tell of nothing but room of which its waiter knows. Of some of the sockets all
/// was `taken` before.
pub(super) fn leave_out_known(
    sockets: &[Arc<Socket>],
    taken: &[Arc<Socket>],
    set: RawFd,
    found: &mut Events<'_>,
) {
    // Sockets may have one value.
    let mut news = Vec::new();
    let mut known = Vec::new();
    for socket in sockets.iter().filter(|held| held.kind == Kind::Stream) {
        let mut state = socket.state();
        let written = state.written;
        if !is_open(&state) {
            continue;
        }
        for held in &mut state.registrations {
            if held.set != set || !asks(held) {
                continue;
            }
            let Some(events) = found.events_of(held) else {
                continue;
            };
            let shut = held.number(socket).map(|fd| poll_now(fd, libc::POLLRDHUP));
            let is_known = written && held.room.is_some() && held.room == shut;
            held.room = shut.filter(|_| events & WRITABLE != 0);
            match is_known {
                true => known.push(*held),
                false => news.push(held.data),
            }
        }
    }
    for held in known.iter().filter(|held| !news.contains(&held.data)) {
        found.leave_out_mere(held, WRITABLE);
    }
    for socket in taken {
        socket.state().written = false;
    }
}
