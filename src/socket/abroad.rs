//! What poll(2), select(2) and epoll(7) tell of sockets whose stack is in another process.
//!
//! Their pairs show it by themselves, but for what a pair has not. There the pair shows that there is something to be
//! asked for, and its owner says what ([`Question::Show`]):
//!
//! | the pair shows | the socket may show |
//! |---|---|
//! | a stream that has hung up | an error (ERR) |
//! | anything, while it is connecting | HUP, once it was shut down on both sides |
//! | a message that is a notice | an error, an error queue, halves that are shut (ERR, RDHUP, HUP) |
//! | anything, once a notice was taken out | the same, until the owner says that it has nothing more to show |
//! | nothing: a stream that is not connected | HUP, and what was shut |
//! | nothing but the urgent byte, to who does not ask for that: the owner takes it | PRI, to who does, until it is passed |
//! | nothing: a connection whose errors are queued (IP_RECVERR and its kin), or that a call has left one | ERR; of which the owner tells who waits |
//!
//! A socket may have another pair by then, which comes with the answer.
//!
//! So what is in order costs no question. A connection that is over without an error is not asked about again. No lock
//! is held while an owner is asked; where this process has a stack, too, that drives in between.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::beyond;
use super::waiting::{deadline, left};
use super::{Kind, Socket, Stage, State, away, room, table, urgent};
use crate::driver::{self, Question, Shown, has_notice};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{entry, poll_now};

const READABLE: i16 = libc::POLLIN | libc::POLLRDNORM;
const WRITABLE: i16 = libc::POLLOUT | libc::POLLWRNORM;

/// What a stream shows that nobody serves.
pub(super) const UNCONNECTED: Shown = idle(libc::POLLHUP);
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
        marked: false,
        full: false,
    }
}

/// Whether this process has ever had such a socket.
static ANY: AtomicBool = AtomicBool::new(false);

/// From now on a socket of another process's stack may be among this one's.
pub(super) fn note_any() {
    ANY.store(true, Ordering::Relaxed);
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

/// Whether one may be among those of this process.
pub(super) fn are_any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// What the owner of `fd` says. `None`: there is none any more, and the pair tells by itself.
pub(super) fn ask(fd: RawFd, socket: &Socket) -> Option<Shown> {
    let shown = Shown::decode(&away::ask(fd, socket, &Question::Show)?.ok()?)?;
    socket.set_shows_more(match socket.kind {
        Kind::Datagram => shown.flags != 0,
        Kind::Stream => shown.error != 0 || shown.marked,
    });
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
            } else if is_opening(polled.fd, &socket) {
                // What was shut before hangs up, though the pair may show nothing of what was asked for.
                *known = ask(polled.fd, &socket).filter(|shown| is_due(shown, polled.events));
                any |= known.is_some();
            }
            if socket.kind == Kind::Stream && polled.events & READABLE != 0 {
                // The pair calls the urgent byte readable, too.
                watched.events |= libc::POLLPRI;
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
        let mut moved = false;
        for ((polled, watched), known) in fds.iter_mut().zip(&watched).zip(known) {
            if watched.fd >= 0 {
                polled.revents = watched.revents;
                moved |= correct(polled, known);
                note_no_room(polled);
            }
        }
        let count = fds.iter().filter(|polled| polled.revents != 0).count();
        if count > 0 || left == Some(Duration::ZERO) {
            return Ok(count);
        }
        if watched.iter().any(|polled| polled.revents != 0) && !has_rung(&bells) && !moved {
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
pub(super) fn is_due(shown: &Shown, events: i16) -> bool {
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

/// Makes what poll(2) says of a pair true of its socket; `known`: what its owner has said. Whether that has another pair,
/// or the mark that was in the pair.
fn correct(polled: &mut libc::pollfd, known: Option<Shown>) -> bool {
    if polled.revents == 0 && known.is_none() {
        return false;
    }
    let mut moved = false;
    if let Some(socket) = foreign(polled.fd) {
        let hung_up = polled.revents & libc::POLLHUP != 0;
        let before = socket.away();
        let shown = hide_mark(&socket, polled).or(known);
        let shown = shown.or_else(|| asked(polled.fd, &socket, hung_up));
        let shown = shown.unwrap_or_default();
        moved = socket.away() != before || shown.marked;
        if moved {
            polled.revents = poll_now(polled.fd, polled.events);
        }
        polled.revents &= polled.events | beyond::ALWAYS | libc::POLLNVAL;
        if shown.idle && socket.kind == Kind::Stream {
            polled.revents = polled.events & WRITABLE;
        }
        beyond::correct(&socket, &shown, polled);
    }
    moved
}

/// Who looks for room to send, and finds none, is told once there is some.
fn note_no_room(polled: &libc::pollfd) {
    if polled.events & WRITABLE != 0
        && polled.revents & WRITABLE == 0
        && let Some(socket) = foreign(polled.fd)
    {
        room::note_none(&socket);
    }
}

/// At its mark a connection is not readable. Who does not ask for the mark has the owner take it, and say what is shown
/// then: the pair would go on telling of it.
fn hide_mark(socket: &Socket, polled: &mut libc::pollfd) -> Option<Shown> {
    let before = polled.revents;
    let has_mark = before & libc::POLLPRI != 0;
    if !has_mark || !urgent::hide_lone_mark(polled) || polled.events & libc::POLLPRI != 0 {
        return None;
    }
    let shown = ask(polled.fd, socket);
    if shown.is_none() {
        polled.revents = before;
    }
    shown
}

/// What the owner says of a socket whose pair shows that there is something to be asked for.
pub(super) fn asked(fd: RawFd, socket: &Socket, hung_up: bool) -> Option<Shown> {
    match socket.kind {
        // It listens no more, and has no connection either.
        Kind::Stream if hung_up && socket.state().stage == Stage::Listening => {
            ask(fd, socket).or(Some(UNCONNECTED))
        }
        Kind::Stream if hung_up && !socket.is_over() => {
            let shown = ask(fd, socket);
            let shows = libc::POLLERR | libc::POLLPRI;
            let over = |shown: Shown| shown.over && shown.flags & shows == 0;
            if shown.is_none_or(over) {
                socket.set_over(true);
            }
            // The owner makes the pair writable as it hangs up, and who is woken by that may have looked before.
            shown.map(|shown| Shown {
                flags: shown.flags | poll_now(fd, WRITABLE) & WRITABLE,
                ..shown
            })
        }
        // One that was shut down on both sides has hung up.
        Kind::Stream if is_opening(fd, socket) => ask(fd, socket),
        Kind::Datagram if has_notice(fd) => ask(fd, socket),
        _ => None,
    }
}

/// What the owner of a datagram socket shows though its pair does not.
pub(super) fn standing(fd: RawFd, socket: &Socket) -> Option<Shown> {
    let shown = socket.shows_more().then(|| ask(fd, socket)).flatten();
    shown.filter(|shown| shown.flags != 0)
}

/// Whether the owner of a connection may have an error, or an error queue, though the connection goes on.
pub(super) fn may_queue_errors(socket: &Socket) -> bool {
    socket.kind == Kind::Stream && (socket.shows_more() || asks_for_errors(&socket.state()))
}

/// Whether connect(2) is under way, as far as this process knows.
fn is_opening(fd: RawFd, socket: &Socket) -> bool {
    let opening = socket.state().opening && poll_now(fd, WRITABLE) == 0;
    socket.state().opening = opening;
    opening
}

pub(super) fn asks_for_errors(state: &State) -> bool {
    let options = &state.options;
    let times = state.asked_for_times || options.stamping.stamps().any();
    let asks = options.receive_errors || options.zero_copy || times;
    // Of an attempt that did not wait, nobody may have looked whether it has succeeded.
    let connects = matches!(state.stage, Stage::Connecting | Stage::Connected);
    asks && connects && state.away.is_some()
}

/// What is readable once the owner of such a connection has other news. `None`: nobody will tell.
pub(super) fn bell(fd: RawFd, socket: &Socket, news: u32) -> Option<OwnedFd> {
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

/// Whether a socket without an address has anything that a fresh one has not, as its owner says.
pub(super) fn has_past(fd: RawFd, socket: &Socket) -> bool {
    let shut = |shown: &Shown| shown.flags & libc::POLLRDHUP != 0;
    socket.away().is_some() && ask(fd, socket).is_some_and(|shown| shown.error != 0 || shut(&shown))
}

/// Whether a socket without a connection was shut down for reading.
pub(super) fn is_shut(fd: RawFd, socket: &Socket) -> bool {
    ask(fd, socket).is_some_and(|shown| shown.flags & libc::POLLRDHUP != 0)
}
