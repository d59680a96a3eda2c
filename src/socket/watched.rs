//! What epoll(7) tells of sockets whose stack is in another process; see [`abroad`](super::abroad).

use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::{Arc, Weak};

use super::abroad::{
    UNCONNECTED, ask, asked, asks_for_errors, bell, entries, has_rung, is_due, may_queue_errors,
    standing,
};
use super::beyond::{self, Beyond, Events};
use super::sleeper::poll_beside;
use super::waiting::{deadline, left};
use super::{Kind, Registration, Socket, Stage, away, edges, room, table};
use crate::driver::{Question, Shown};
use crate::sys::lock::{self, Mutex};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{SignalMask, entry};
use crate::sys::{handlers, raw};

const HUNG_UP: u32 = libc::EPOLLHUP as u32;
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;
const OUT: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;

/// Those in epoll sets that may have something to be asked for though their pairs do not hang up.
static WATCHED: Mutex<Vec<Weak<Socket>>> = Mutex::new(Vec::new());

/// Makes the list accessible again in a forked child, whoever had it at the fork.
///
/// # Safety
/// The calling thread is the only one of its process, and does not use it now.
pub(super) unsafe fn free() {
    // SAFETY: as the caller says.
    unsafe { lock::free(&WATCHED) };
}

/// A registration of a socket of another process's stack has changed.
pub(super) fn watch(socket: &Arc<Socket>) {
    if !is_to_be_asked(socket) {
        return;
    }
    handlers::section(|| {
        let mut watched = WATCHED.lock();
        watched.retain(|held| {
            held.upgrade()
                .is_some_and(|held| !Arc::ptr_eq(&held, socket))
        });
        watched.push(Arc::downgrade(socket));
    });
}

/// A pair that has a connection has no edge for the next. Its owner makes one, if a set waits for edges: one has the
/// socket now, or it listens now.
pub(super) fn watch_edges(socket: &Socket) {
    let state = socket.state();
    if state.away.is_none() {
        return;
    }
    let edge = |held: &&Registration| held.events & libc::EPOLLET as u32 != 0;
    let held = state.registrations.iter().find(edge);
    let fd = held
        .filter(|_| state.stage == Stage::Listening)
        .and_then(|held| held.number(socket));
    drop(state);
    if let Some(fd) = fd {
        away::ask(fd, socket, &Question::Edges);
    }
}

fn is_to_be_asked(socket: &Socket) -> bool {
    let state = socket.state();
    let unconnected = socket.kind == Kind::Datagram || state.stage == Stage::Idle;
    let asked = unconnected || state.opening || socket.shows_more() || asks_for_errors(&state);
    let asked = asked || edges::is_edged_listener(&state) || room::is_pending(&state);
    state.away.is_some() && asked && !state.registrations.is_empty()
}

fn watched() -> Vec<Arc<Socket>> {
    handlers::section(|| {
        let mut watched = WATCHED.lock();
        watched.retain(|held| held.upgrade().is_some_and(|held| is_to_be_asked(&held)));
        watched.iter().filter_map(Weak::upgrade).collect()
    })
}

/// epoll_wait(2) on a set that may watch such sockets, by `wait`.
pub(super) fn epoll_wait(
    set: RawFd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
    mut wait: impl FnMut(&mut [libc::epoll_event], Option<Duration>, &[OwnedFd]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let until = deadline(timeout);
    loop {
        let watched = watched();
        let mut bells = Vec::new();
        let known: Vec<_> = watched
            .iter()
            .filter_map(|held| known_in(held, set, &mut bells))
            .collect();
        let left = match known.is_empty() {
            true => left(until),
            false => Some(Duration::ZERO),
        };
        let taken = room::all_taken(&watched);
        let count = wait(events, left, &bells)?;
        let mut found = Events { events, count };
        for (socket, shown) in &known {
            tell(socket, set, shown, &mut found);
        }
        let is_known = |held: &Arc<Socket>| known.iter().any(|(known, _)| Arc::ptr_eq(known, held));
        let more = |held: &&Arc<Socket>| {
            // One that is shut has another pair by now: it is among the ends.
            !is_known(held) && !edges::is_edged_listener(&held.state())
        };
        tell_of_more(watched.iter().filter(more), set, &mut found);
        tell_of_ends(set, &mut found);
        for socket in &watched {
            edges::leave_out_old_of(socket, set, &mut found);
        }
        room::leave_out_known(&watched, &taken, set, &mut found);
        if found.count > 0 || left == Some(Duration::ZERO) {
            return Ok(found.count);
        }
    }
}

/// epoll_wait(2) itself, for a process without a stack.
pub(super) fn epoll_beside(
    set: RawFd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
    bells: &[OwnedFd],
) -> Result<usize, Errno> {
    let until = deadline(timeout);
    loop {
        let count = raw::epoll_ready(set, events)?;
        let left = left(until);
        if count > 0 || left == Some(Duration::ZERO) || has_rung(bells) {
            return Ok(count);
        }
        let mut fds = vec![entry(set, libc::POLLIN)];
        fds.extend(entries(bells));
        if poll_beside(&mut fds, left, mask)? == 0 {
            return Ok(0);
        }
    }
}

/// A socket of which the waiter of `set` is to be told what its pair does not show: a stream that is not connected, or one
/// whose owner has more to show. Otherwise there may be a bell for news of it.
fn known_in(
    socket: &Arc<Socket>,
    set: RawFd,
    bells: &mut Vec<OwnedFd>,
) -> Option<(Arc<Socket>, Shown)> {
    let (held, stage) = {
        let state = socket.state();
        let mut held = state.registrations.iter().filter(|held| held.set == set);
        (*held.next()?, state.stage)
    };
    let fd = held.number(socket)?;
    let shown = match socket.kind {
        Kind::Stream if may_queue_errors(socket) => queued(fd, socket, &held, bells),
        // The notice makes an event of what is readable only.
        Kind::Datagram if held.events & READABLE == 0 => queued(fd, socket, &held, bells),
        _ if held.is_told() => None,
        Kind::Stream if stage == Stage::Idle => {
            let shown = ask(fd, socket).unwrap_or(UNCONNECTED);
            shown.idle.then_some(shown)
        }
        Kind::Stream => None,
        Kind::Datagram => {
            let shown = standing(fd, socket);
            shown.filter(|shown| is_due(shown, held.events as i16))
        }
    };
    shown.map(|shown| (socket.clone(), shown))
}

/// What the owner of a socket shows whose pair makes no event of that, if its waiter was not told.
fn queued(
    fd: RawFd,
    socket: &Socket,
    held: &Registration,
    bells: &mut Vec<OwnedFd>,
) -> Option<Shown> {
    let shown = ask(fd, socket)?;
    let is_disarmed = held.events & libc::EPOLLONESHOT as u32 != 0;
    let is_old = held.is_told() && (is_disarmed || held.told == Some(shown.news));
    if is_due(&shown, held.events as i16) && !is_old {
        return Some(shown);
    }
    bells.extend(bell(fd, socket, shown.news));
    None
}

/// Makes the events of a socket's registrations in `set` true of it, of which there is something to tell.
fn tell(socket: &Socket, set: RawFd, shown: &Shown, found: &mut Events<'_>) {
    let mut state = socket.state();
    let beyond = Beyond {
        flags: shown.flags | beyond::exceptional(shown.flags, socket.kind, &state),
        only_notices: shown.only_notices,
        news: shown.news,
        told: false,
    };
    for held in state
        .registrations
        .iter_mut()
        .filter(|held| held.set == set)
    {
        if shown.idle {
            found.mask(held, OUT);
        }
        found.add(socket, held, &beyond);
        if shown.full {
            found.mask(held, !OUT);
        }
    }
}

/// Those of datagram sockets that have an error, or are shut, and of streams that are connecting.
fn tell_of_more<'a>(
    watched: impl Iterator<Item = &'a Arc<Socket>>,
    set: RawFd,
    found: &mut Events<'_>,
) {
    for socket in watched {
        let fd = found.of(socket, set);
        if let Some(shown) = fd.and_then(|fd| asked(fd, socket, false)) {
            tell(socket, set, &shown, found);
        }
    }
}

/// Those of connections that have hung up.
fn tell_of_ends(set: RawFd, found: &mut Events<'_>) {
    if !found.have(HUNG_UP) {
        return;
    }
    for (_, socket) in table::all() {
        if socket.kind != Kind::Stream || socket.is_idle() || socket.away().is_none() {
            continue;
        }
        let fd = found.of(&socket, set);
        let before = socket.away();
        let Some(shown) = fd.and_then(|fd| asked(fd, &socket, true)) else {
            continue;
        };
        let moved = socket.away() != before;
        if moved {
            found.leave_out(&socket, set);
        }
        // Of another pair that has a connection the set tells by itself.
        if shown.idle || !moved {
            tell(&socket, set, &shown, found);
        }
    }
}
