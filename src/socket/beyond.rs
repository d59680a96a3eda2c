//! What poll(2), select(2) and epoll(7) tell of a socket beyond its pair; see the driver's `errors`.

use core::time::Duration;
use rustix::fd::RawFd;
use std::sync::Arc;

use super::{Kind, Registration, Socket, State, table};
use crate::driver::{EndpointId, Engine, Role, Shown};
use crate::sys::wait::{entry, poll_for};

/// What is told whether it was asked for or not.
pub(super) const ALWAYS: i16 = libc::POLLERR | libc::POLLHUP;
const ONCE: u32 = libc::EPOLLONESHOT as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;

/// Takes out of what is asked for what a pair has and the socket never: no TCP socket has POLLWRBAND.
pub(super) fn ask_for_possible(watched: &mut [libc::pollfd]) {
    for entry in watched {
        if entry.events & libc::POLLWRBAND != 0 && kind(entry.fd) == Some(Kind::Stream) {
            entry.events &= !libc::POLLWRBAND;
        }
    }
}

fn kind(fd: RawFd) -> Option<Kind> {
    let socket = table::is_ours(fd).then(|| table::get(fd)).flatten();
    socket.map(|socket| socket.kind)
}

/// Makes what poll(2) says of a pair true of its socket.
pub(super) fn show(engine: &Engine, socket: &Socket, id: EndpointId, polled: &mut libc::pollfd) {
    let shown = Shown {
        full: is_full(engine, id, &socket.state()),
        ..engine.shown(id)
    };
    correct(socket, &shown, polled);
}

/// Whether what a connection that was given up has left unsent leaves no room (TCP_NOTSENT_LOWAT).
pub(super) fn is_full(engine: &Engine, id: EndpointId, state: &State) -> bool {
    left_unsent(engine, id).is_some_and(|unsent| has_no_room(unsent, state))
}

/// What a connection that was given up has left unsent.
fn left_unsent(engine: &Engine, id: EndpointId) -> Option<u32> {
    let endpoint = engine.endpoints.get(id)?;
    (endpoint.role == Role::Undecided && !endpoint.datagram).then_some(endpoint.left.unsent)
}

/// It counts as unsent (TCP_NOTSENT_LOWAT).
fn has_no_room(unsent: u32, state: &State) -> bool {
    let bound = state.options.not_sent_low_water;
    bound > 0 && unsent >= bound.div_ceil(2)
}

/// The same, of what is known to be shown besides.
pub(super) fn correct(socket: &Socket, shown: &Shown, polled: &mut libc::pollfd) {
    if shown.only_notices {
        polled.revents &= !(libc::POLLIN | libc::POLLRDNORM);
    }
    if socket.kind == Kind::Stream {
        polled.revents &= !libc::POLLWRBAND;
    }
    if shown.full {
        polled.revents &= !(libc::POLLOUT | libc::POLLWRNORM);
    }
    polled.revents |= shown.flags & (polled.events | ALWAYS);
    if polled.revents & libc::POLLERR != 0 {
        polled.revents |= exceptional(polled.revents, socket.kind, &socket.state()) & polled.events;
    }
}

/// What an error makes exceptional (SO_SELECT_ERR_QUEUE), which means nothing to TCP.
pub(super) fn exceptional(flags: i16, kind: Kind, state: &State) -> i16 {
    let errs = flags & libc::POLLERR != 0;
    match errs && kind == Kind::Datagram && state.options.select_errors {
        true => libc::POLLPRI,
        false => 0,
    }
}

/// Makes the events of a set's waiter, which the kernel has found, true of the sockets.
pub(super) fn add(engine: &mut Engine, set: RawFd, found: &mut Events<'_>) {
    let mut beyond = core::mem::take(&mut engine.endpoints.beyond);
    beyond.retain(|&id| {
        let Shown {
            flags,
            news,
            only_notices,
            ..
        } = engine.shown(id);
        let Some(endpoint) = engine.endpoints.get(id) else {
            return false;
        };
        let record = endpoint.record.clone();
        let Some(socket) = record.and_then(|record| Arc::downcast::<Socket>(record).ok()) else {
            return false;
        };
        let mut state = socket.state();
        let no_room = is_full(engine, id, &state);
        let flags = flags | exceptional(flags, socket.kind, &state);
        for held in state
            .registrations
            .iter_mut()
            .filter(|held| held.set == set)
        {
            let beyond = Beyond {
                flags,
                only_notices,
                news,
                told: endpoint.told,
            };
            found.add(&socket, held, &beyond);
            if no_room {
                found.mask(held, !WRITABLE);
            }
        }
        flags != 0
    });
    engine.endpoints.beyond = beyond;
}

/// What a socket shows beyond its pair.
pub(super) struct Beyond {
    pub(super) flags: i16,
    pub(super) only_notices: bool,
    pub(super) news: u32,
    /// Its event was made here, of what its pair does not have.
    pub(super) told: bool,
}

/// A set's events.
pub(super) struct Events<'a> {
    pub(super) events: &'a mut [libc::epoll_event],
    pub(super) count: usize,
}

impl Events<'_> {
    /// Whether one of them has one of `flags`.
    pub(super) fn have(&self, flags: u32) -> bool {
        self.events[..self.count]
            .iter()
            .any(|event| event.events & flags != 0)
    }

    /// The number under which `set` watches a socket of which there is an event.
    pub(super) fn of(&self, socket: &Socket, set: RawFd) -> Option<RawFd> {
        let state = socket.state();
        let registered = state.registrations.iter().filter(|held| held.set == set);
        let mut told = registered.filter(|held| self.at(held).is_some());
        told.next().and_then(|held| held.number(socket))
    }

    /// Leaves of a registration's event what is in `flags`.
    pub(super) fn mask(&mut self, held: &Registration, flags: u32) {
        if let Some(at) = self.at(held) {
            self.events[at].events &= flags;
        }
    }

    /// Leaves out what there is of a socket.
    pub(super) fn leave_out(&mut self, socket: &Socket, set: RawFd) {
        for held in socket
            .state()
            .registrations
            .iter()
            .filter(|held| held.set == set)
        {
            if let Some(at) = self.at(held) {
                self.remove(at);
            }
        }
    }

    /// What there is of a registration.
    pub(super) fn events_of(&self, held: &Registration) -> Option<u32> {
        self.at(held).map(|at| self.events[at].events)
    }

    /// Whether there is an event of a registration.
    pub(super) fn has(&self, held: &Registration) -> bool {
        self.at(held).is_some()
    }

    /// Leaves out the event of a registration if it says no more than `flags`.
    pub(super) fn leave_out_mere(&mut self, held: &Registration, flags: u32) {
        if let Some(at) = self.at(held)
            && self.events[at].events & !flags == 0
        {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        self.events.copy_within(at + 1..self.count, at);
        self.count -= 1;
    }

    fn at(&self, held: &Registration) -> Option<usize> {
        let events = &self.events[..self.count];
        events.iter().position(|event| event.u64 == held.data)
    }

    /// Makes the event of a registration true of its socket, or adds one.
    pub(super) fn add(&mut self, socket: &Socket, held: &mut Registration, beyond: &Beyond) {
        let flags = u32::from(beyond.flags.cast_unsigned())
            & (held.events | u32::from(ALWAYS.cast_unsigned()));
        let old = held.told == Some(beyond.news);
        let told_of = old && held.events & EDGE != 0;
        let pair = pair_events(held.number(socket).unwrap_or(-1), held.events);
        // Other sockets may have the same value.
        let known = self
            .at(held)
            .filter(|_| !told_of && (beyond.told || pair != 0));
        if let Some(at) = known {
            if beyond.only_notices {
                self.events[at].events &= !READABLE;
            }
            self.events[at].events |= flags;
            if self.events[at].events == 0 {
                self.remove(at);
            }
        } else if flags == 0
            || old && held.events & EDGE != 0
            || held.told.is_some() && held.events & ONCE != 0
            || self.count == self.events.len()
        {
            return;
        } else {
            // News of one thing is an edge of all that is there.
            let pair = match beyond.only_notices {
                true => pair & !READABLE,
                false => pair,
            };
            self.events[self.count] = libc::epoll_event {
                events: flags | pair,
                u64: held.data,
            };
            self.count += 1;
            if held.events & ONCE != 0 {
                held.renew(ONCE);
            }
        }
        held.told = Some(beyond.news);
    }
}

/// What the pair has of the events that are asked for.
fn pair_events(fd: RawFd, asked: u32) -> u32 {
    let mut polled = [entry(fd, asked as i16)];
    match poll_for(&mut polled, Some(Duration::ZERO), None) {
        Ok(1) => u32::from(polled[0].revents.cast_unsigned()),
        _ => 0,
    }
}
