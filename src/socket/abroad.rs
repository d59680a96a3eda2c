//! What poll(2), select(2) and epoll(7) tell of sockets whose stack is in another process.
//!
//! Their pairs show it by themselves, but for what a pair has not. There the pair shows that there is something to be
//! asked for, and its owner says what ([`Question::Show`]):
//!
//! | the pair shows | the socket may show |
//! |---|---|
//! | a stream that has hung up | an error (ERR) |
//! | a message that is a notice | an error, an error queue, halves that are shut (ERR, RDHUP, HUP) |
//! | anything, once a notice was taken out | the same, until the owner says that it has nothing more to show |
//! | nothing: a stream that is not connected | HUP, and what was shut |
//! | nothing: a connection whose errors are queued (IP_RECVERR and its kin) | ERR; of which the owner tells who waits |
//!
//! So what is in order costs no question. A connection that is over without an error is not asked about again. No lock
//! is held while an owner is asked; where this process has a stack, too, that drives in between.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use std::sync::{Arc, Weak};

use super::beyond::{self, Beyond, Events};
use super::sleeper::poll_beside;
use super::waiting::{deadline, left};
use super::{Kind, Registration, Socket, Stage, State, away, table, urgent};
use crate::driver::{self, Question, Shown, has_notice};
use crate::sys::lock::{self, Mutex};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{SignalMask, entry, poll_now};
use crate::sys::{handlers, raw};

const HUNG_UP: u32 = libc::EPOLLHUP as u32;
const OUT: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;
const WRITABLE: i16 = libc::POLLOUT | libc::POLLWRNORM;

/// What a stream shows that nobody serves.
const UNCONNECTED: Shown = idle(libc::POLLHUP);
/// The same of datagrams.
const FRESH_DATAGRAM: Shown = idle(libc::POLLWRBAND);

const fn idle(flags: i16) -> Shown {
    Shown {
        flags,
        news: 0,
        error: 0,
        only_notices: false,
        idle: true,
        over: false,
    }
}

/// Whether this process has ever had such a socket.
static ANY: AtomicBool = AtomicBool::new(false);

/// Those in epoll sets that may have something to be asked for though their pairs do not hang up.
static WATCHED: Mutex<Vec<Weak<Socket>>> = Mutex::new(Vec::new());

/// From now on a socket of another process's stack may be among this one's.
pub(super) fn note_any() {
    ANY.store(true, Ordering::Relaxed);
}

/// Makes the list accessible again in a forked child, whoever had it at the fork.
///
/// # Safety
/// The calling thread is the only one of its process, and does not use it now.
pub(super) unsafe fn free() {
    // SAFETY: as the caller says.
    unsafe { lock::free(&WATCHED) };
}

/// The socket under `fd`, if it is one of another process's stack.
fn foreign(fd: RawFd) -> Option<Arc<Socket>> {
    let socket = table::is_ours(fd).then(|| table::get(fd)).flatten()?;
    socket.away().map(|_| socket)
}

/// Whether one of them is.
pub(super) fn is_any(fds: &[libc::pollfd]) -> bool {
    ANY.load(Ordering::Relaxed) && fds.iter().any(|polled| foreign(polled.fd).is_some())
}

/// Whether a set may watch one.
pub(super) fn may_be_in_sets() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// What the owner of `fd` says. `None`: there is none any more, and the pair tells by itself.
fn ask(fd: RawFd, socket: &Socket) -> Option<Shown> {
    let shown = Shown::decode(&away::ask(fd, socket, &Question::Show)?.ok()?)?;
    if socket.kind == Kind::Datagram {
        socket.set_shows_more(shown.flags != 0);
    }
    if !shown.idle && socket.is_idle() {
        // Another process has connected it.
        away::refresh(fd, socket);
    }
    Some(shown)
}

/// poll(2) on descriptors of which one [is such](is_any), by `wait`, which is given those whose pairs mean something.
pub(super) fn poll(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mut wait: impl FnMut(&mut [libc::pollfd], Option<Duration>) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let until = deadline(timeout);
    let mut notices = libc::POLLIN;
    loop {
        let idle = idle_streams(fds);
        let mut watched = fds.to_vec();
        let mut known = vec![None; fds.len()];
        let mut any = false;
        let mut bells = Vec::new();
        for ((polled, watched), known) in fds.iter_mut().zip(&mut watched).zip(&mut known) {
            polled.revents = 0;
            let Some(socket) = foreign(polled.fd) else {
                continue;
            };
            if show_idle(&socket, polled) {
                watched.fd = -1;
                any |= polled.revents != 0;
            } else if socket.kind == Kind::Datagram {
                *known = standing(polled.fd, &socket);
                any |= known.is_some_and(|shown| is_due(&shown, polled.events));
                watched.events |= notices;
            } else if may_queue_errors(&socket)
                && let Some(shown) = ask(polled.fd, &socket)
            {
                if is_due(&shown, polled.events) {
                    *known = Some(shown);
                    any = true;
                } else if timeout != Some(Duration::ZERO) {
                    bells.extend(bell(polled.fd, &socket, shown.news));
                }
            }
        }
        let left = match any {
            true => Some(Duration::ZERO),
            false => left(until),
        };
        watched.extend(entries(&bells));
        wait(&mut watched, left)?;
        if idle_streams(fds) > idle {
            // Another thread has given a connection up: what its pair shows means nothing any more.
            continue;
        }
        for ((polled, watched), known) in fds.iter_mut().zip(&watched).zip(known) {
            if watched.fd >= 0 {
                polled.revents = watched.revents;
                correct(polled, known);
            }
        }
        let count = fds.iter().filter(|polled| polled.revents != 0).count();
        if count > 0 || left == Some(Duration::ZERO) {
            return Ok(count);
        }
        if watched.iter().any(|polled| polled.revents != 0) && !has_rung(&bells) {
            // What has come was no notice, but what nobody has asked for.
            notices = 0;
        }
    }
}

/// How many of them are streams that are not connected.
fn idle_streams(fds: &[libc::pollfd]) -> usize {
    let idle = |socket: &Arc<Socket>| socket.kind == Kind::Stream && socket.is_idle();
    let foreign = fds.iter().filter_map(|polled| foreign(polled.fd));
    foreign.filter(idle).count()
}

/// Whether who asks for `events` is told of something.
fn is_due(shown: &Shown, events: i16) -> bool {
    shown.flags & (events | beyond::ALWAYS) != 0
}

/// What a socket shows that is not connected, or that nobody serves yet; false: it is none.
fn show_idle(socket: &Socket, polled: &mut libc::pollfd) -> bool {
    let fresh = socket.state().is_fresh();
    if !socket.is_idle() || socket.kind == Kind::Datagram && !fresh {
        return false;
    }
    let shown = match (socket.kind, ask(polled.fd, socket)) {
        (Kind::Stream, shown) => shown.unwrap_or(UNCONNECTED),
        (Kind::Datagram, None) => FRESH_DATAGRAM,
        // The pair tells by itself.
        (Kind::Datagram, Some(_)) => return false,
    };
    if shown.idle {
        polled.revents = polled.events & WRITABLE;
        beyond::correct(socket, &shown, polled);
    }
    shown.idle
}

/// Makes what poll(2) says of a pair true of its socket; `known`: what its owner has said.
fn correct(polled: &mut libc::pollfd, known: Option<Shown>) {
    if polled.revents == 0 && known.is_none() {
        return;
    }
    if let Some(socket) = foreign(polled.fd) {
        let hung_up = polled.revents & libc::POLLHUP != 0;
        let shown = known.or_else(|| asked(polled.fd, &socket, hung_up));
        let shown = shown.unwrap_or_default();
        polled.revents &= polled.events | beyond::ALWAYS | libc::POLLNVAL;
        if shown.idle && socket.kind == Kind::Stream {
            polled.revents = polled.events & WRITABLE;
        }
        if polled.revents & libc::POLLPRI != 0 {
            urgent::hide_lone_mark(polled);
        }
        beyond::correct(&socket, &shown, polled);
    }
}

/// What the owner says of a socket whose pair shows that there is something to be asked for.
fn asked(fd: RawFd, socket: &Socket, hung_up: bool) -> Option<Shown> {
    match socket.kind {
        // It listens no more, and has no connection either.
        Kind::Stream if hung_up && socket.state().stage == Stage::Listening => Some(UNCONNECTED),
        Kind::Stream if hung_up && !socket.is_over() => {
            let shown = ask(fd, socket);
            let over = |shown: Shown| shown.over && shown.flags & libc::POLLERR == 0;
            if shown.is_none_or(over) {
                socket.set_over(true);
            }
            // The owner makes the pair writable as it hangs up, and who is woken by that may have looked before.
            shown.map(|shown| Shown {
                flags: shown.flags | poll_now(fd, WRITABLE) & WRITABLE,
                ..shown
            })
        }
        Kind::Datagram if has_notice(fd) => ask(fd, socket),
        _ => None,
    }
}

/// What the owner of a datagram socket shows though its pair does not.
fn standing(fd: RawFd, socket: &Socket) -> Option<Shown> {
    let shown = socket.shows_more().then(|| ask(fd, socket)).flatten();
    shown.filter(|shown| shown.flags != 0)
}

/// Whether the owner of a connection may have an error, or an error queue, though the connection goes on.
pub(super) fn may_queue_errors(socket: &Socket) -> bool {
    socket.kind == Kind::Stream && asks_for_errors(&socket.state())
}

fn asks_for_errors(state: &State) -> bool {
    let options = &state.options;
    let asks = options.receive_errors || options.zero_copy || options.stamping.stamps().any();
    asks && state.stage == Stage::Connected && state.away.is_some()
}

/// What is readable once the owner of such a connection has other news. `None`: nobody will tell.
fn bell(fd: RawFd, socket: &Socket, news: u32) -> Option<OwnedFd> {
    driver::await_news(fd, socket.away()?, news)
}

/// The error of such a connection, once, or else a bell for news of it.
pub(super) fn error_or_bell(fd: RawFd, socket: &Socket) -> Result<Option<OwnedFd>, Errno> {
    match ask(fd, socket) {
        Some(shown) if shown.error != 0 => {
            Err(away::pending_error(fd, socket).unwrap_or(Errno::AGAIN))
        }
        Some(shown) => Ok(bell(fd, socket, shown.news)),
        None => Ok(None),
    }
}

/// Bells among what is waited for.
pub(super) fn entries(bells: &[OwnedFd]) -> impl Iterator<Item = libc::pollfd> {
    bells
        .iter()
        .map(|bell| entry(bell.as_raw_fd(), libc::POLLIN))
}

/// Whether one of the bells has rung.
pub(super) fn has_rung(bells: &[OwnedFd]) -> bool {
    bells
        .iter()
        .any(|bell| poll_now(bell.as_raw_fd(), libc::POLLIN) != 0)
}

/// Whether a socket without a connection was shut down for reading.
pub(super) fn is_shut(fd: RawFd, socket: &Socket) -> bool {
    ask(fd, socket).is_some_and(|shown| shown.flags & libc::POLLRDHUP != 0)
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
        .map(|held| held.fd);
    drop(state);
    if let Some(fd) = fd {
        away::ask(fd, socket, &Question::Edges);
    }
}

fn is_to_be_asked(socket: &Socket) -> bool {
    let state = socket.state();
    let unconnected = socket.kind == Kind::Datagram || state.stage == Stage::Idle;
    let asked = unconnected || asks_for_errors(&state);
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
        let count = wait(events, left, &bells)?;
        let mut found = Events { events, count };
        for (socket, shown) in &known {
            tell(socket, set, shown, &mut found);
        }
        let is_known = |held: &Arc<Socket>| known.iter().any(|(known, _)| Arc::ptr_eq(known, held));
        tell_of_notices(
            watched.iter().filter(|held| !is_known(held)),
            set,
            &mut found,
        );
        tell_of_ends(set, &mut found);
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
    let shown = match socket.kind {
        Kind::Stream if may_queue_errors(socket) => queued(socket, &held, bells),
        _ if held.is_told() => None,
        Kind::Stream if stage == Stage::Idle => {
            let shown = ask(held.fd, socket).unwrap_or(UNCONNECTED);
            shown.idle.then_some(shown)
        }
        Kind::Stream => None,
        Kind::Datagram => {
            // The notice makes an event of what is readable only.
            if held.events & libc::EPOLLIN as u32 == 0 && has_notice(held.fd) {
                socket.set_shows_more(true);
            }
            standing(held.fd, socket).filter(|shown| is_due(shown, held.events as i16))
        }
    };
    shown.map(|shown| (socket.clone(), shown))
}

/// What the owner of a connection whose errors are queued shows, if its waiter was not told.
fn queued(socket: &Socket, held: &Registration, bells: &mut Vec<OwnedFd>) -> Option<Shown> {
    let shown = ask(held.fd, socket)?;
    let is_old = held.is_told() && held.told == Some(shown.news);
    if is_due(&shown, held.events as i16) && !is_old {
        return Some(shown);
    }
    bells.extend(bell(held.fd, socket, shown.news));
    None
}

/// Makes the events of a socket's registrations in `set` true of it, of which there is something to tell.
fn tell(socket: &Socket, set: RawFd, shown: &Shown, found: &mut Events<'_>) {
    let beyond = Beyond {
        flags: shown.flags,
        only_notices: shown.only_notices,
        news: shown.news,
        told: false,
    };
    let mut state = socket.state();
    for held in state
        .registrations
        .iter_mut()
        .filter(|held| held.set == set)
    {
        if shown.idle {
            found.mask(held, OUT);
        }
        found.add(held, &beyond);
    }
}

/// Those of datagram sockets that have an error, or are shut.
fn tell_of_notices<'a>(
    watched: impl Iterator<Item = &'a Arc<Socket>>,
    set: RawFd,
    found: &mut Events<'_>,
) {
    for socket in watched.filter(|held| held.kind == Kind::Datagram) {
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
        if let Some(shown) = fd.and_then(|fd| asked(fd, &socket, true)) {
            tell(&socket, set, &shown, found);
        }
    }
}
