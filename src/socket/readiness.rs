//! poll(2), select(2) and epoll(7): whoever waits, drives.
//!
//! The readiness itself is the kernel's: it comes from the pairs. These calls only see to it that
//! the stack moves while they wait.

use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;

use super::beyond::Events;
use super::urgent::show_mark;
use super::waiting::deadline;
use super::{Registration, abroad, beyond, edges, sets, sleeper, table, watched};
use crate::driver::{self, Collector, EndpointId, Interruption, Wait, Watcher, wait};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{SignalMask, entry, poll_for};

/// What poll(2) calls room to send.
const WRITABLE: i16 = libc::POLLOUT | libc::POLLWRNORM;
/// And something to receive.
const READABLE: i16 = libc::POLLIN | libc::POLLRDNORM;

/// ppoll(2) on descriptors of which at least one is ours. `None`: make the call.
pub fn poll(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
) -> Option<Result<usize, Errno>> {
    if !abroad::is_any(fds) {
        return poll_here(fds, timeout, mask);
    }
    Some(abroad::poll(fds, timeout, |fds, timeout| {
        poll_here(fds, timeout, mask).unwrap_or_else(|| sleeper::poll_beside(fds, timeout, mask))
    }))
}

/// The same of sockets of this process's stack. `None`: it has none.
fn poll_here(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
) -> Option<Result<usize, Errno>> {
    let mut engine = driver::lock()?;
    let poll = engine.begin_polling(fds.iter().filter_map(in_no_set));
    let until = deadline(timeout);
    if timeout == Some(Duration::ZERO) || engine.is_behind() {
        engine.glance_for(Some(poll), None);
    }
    if timeout == Some(Duration::ZERO) {
        return Some(look(&mut engine, fds, poll));
    }
    let mut watched = fds.to_vec();
    beyond::ask_for_possible(&mut watched);
    let mut request = Wait {
        deadline: until,
        fds: &mut watched,
        collector: Some(poll),
        mask,
        ..Wait::default()
    };
    let outcome = wait(&mut engine, &mut request, None, |engine, _| {
        match look(engine, fds, poll) {
            Ok(0) => None,
            result => Some(result),
        }
    });
    Some(match outcome {
        Ok(result) => result,
        Err(Interruption::TimedOut) => look(&mut engine, fds, poll),
        Err(Interruption::Signal { .. } | Interruption::Cancelled) => Err(Errno::INTR),
    })
}

/// The endpoint of one of our sockets that is asked for something to receive, and that no epoll set has.
fn in_no_set(polled: &libc::pollfd) -> Option<EndpointId> {
    if polled.events & READABLE == 0 || !table::is_ours(polled.fd) {
        return None;
    }
    let socket = table::get(polled.fd)?;
    let state = socket.state();
    state.endpoint.filter(|_| state.registrations.is_empty())
}

/// What is ready now, with what only we know about our sockets.
fn look(
    engine: &mut driver::Engine,
    fds: &mut [libc::pollfd],
    poll: Collector,
) -> Result<usize, Errno> {
    poll_for(fds, Some(Duration::ZERO), None)?;
    for polled in fds.iter_mut() {
        if !table::is_ours(polled.fd) {
            continue;
        }
        let Some(socket) = table::get(polled.fd) else {
            continue;
        };
        let id = socket.state().endpoint;
        if let Some(id) = id {
            if polled.revents & WRITABLE != 0 && engine.hide_little_room(id) {
                polled.revents &= !WRITABLE;
            }
            if polled.events & READABLE != 0 && engine.is_left(id, poll) {
                polled.revents |= polled.events & READABLE;
            }
            show_mark(engine, id, polled);
            beyond::show(engine, &socket, id, polled);
        }
    }
    Ok(fds.iter().filter(|polled| polled.revents != 0).count())
}

/// Waits until the epoll set `set` has something for `events`; how many. `None`: make the call
/// without us.
///
/// `collect` is epoll_wait(2) on the set without waiting.
pub fn epoll_wait(
    set: RawFd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
    mut collect: impl FnMut(&mut [libc::epoll_event]) -> Result<usize, Errno>,
) -> Option<Result<usize, Errno>> {
    let set = sets::name_of(set);
    if !abroad::are_any() {
        return epoll_wait_here(set, events, timeout, mask, &[], &mut collect);
    }
    Some(watched::epoll_wait(
        set,
        events,
        timeout,
        |events, timeout, bells| {
            epoll_wait_here(set, events, timeout, mask, bells, &mut collect)
                .unwrap_or_else(|| watched::epoll_beside(set, events, timeout, mask, bells))
        },
    ))
}

/// The same of sockets of this process's stack. `None`: it has none.
fn epoll_wait_here(
    set: RawFd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
    bells: &[OwnedFd],
    collect: &mut impl FnMut(&mut [libc::epoll_event]) -> Result<usize, Errno>,
) -> Option<Result<usize, Errno>> {
    let mut engine = driver::lock()?;
    engine.begin_collecting(set);
    if timeout == Some(Duration::ZERO) || engine.is_behind() {
        engine.glance_for(Some(Collector::Set(set)), None);
    }
    let mut gather =
        |engine: &mut driver::Engine, always| gather(engine, set, events, collect, always);
    if timeout == Some(Duration::ZERO) {
        return Some(gather(&mut engine, true).unwrap_or(Ok(0)));
    }
    let mut one = [entry(set, libc::POLLIN)];
    let mut many = Vec::new();
    let watched = match bells.is_empty() {
        true => &mut one[..],
        false => {
            many.extend(one.into_iter().chain(abroad::entries(bells)));
            &mut many[..]
        }
    };
    let mut request = Wait {
        deadline: deadline(timeout),
        fds: watched,
        collector: Some(Collector::Set(set)),
        wait_first: true,
        mask,
        ..Wait::default()
    };
    let mut first = true;
    let outcome = wait(&mut engine, &mut request, None, |engine, _| {
        let found = gather(engine, core::mem::replace(&mut first, false));
        found.or_else(|| abroad::has_rung(bells).then_some(Ok(0)))
    });
    Some(match outcome {
        Ok(result) => result,
        Err(Interruption::TimedOut) => gather(&mut engine, true).unwrap_or(Ok(0)),
        Err(Interruption::Signal { .. } | Interruption::Cancelled) => Err(Errno::INTR),
    })
}

/// What there is for the waiter of a set: what only we know, and what the kernel tells, if it has news or is `always` to be
/// asked. `None`: nothing.
fn gather(
    engine: &mut driver::Engine,
    set: RawFd,
    events: &mut [libc::epoll_event],
    collect: &mut impl FnMut(&mut [libc::epoll_event]) -> Result<usize, Errno>,
    always: bool,
) -> Option<Result<usize, Errno>> {
    let mut count = 0;
    while count < events.len()
        && let Some(notice) = engine.poll_notice()
    {
        events[count] = libc::epoll_event {
            events: notice.events,
            u64: notice.data,
        };
        count += 1;
    }
    if (engine.take_kernel_news() || always) && count < events.len() {
        match collect(&mut events[count..]) {
            Ok(more) => count += more,
            Err(errno) if count == 0 => return Some(Err(errno)),
            Err(_) => {}
        }
    }
    let mut found = Events { events, count };
    edges::leave_out_old(engine, set, &mut found);
    beyond::add(engine, set, &mut found);
    (found.count > 0).then_some(Ok(found.count))
}

/// After a successful epoll_ctl(2): notes what must be said again should the descriptor be
/// replaced.
pub fn epoll_changed(set: RawFd, operation: i32, fd: RawFd, event: Option<(u32, u64)>) {
    let Some(socket) = table::get(fd) else { return };
    sets::watches(set);
    let set = sets::name_of(set);
    let mut engine = driver::lock();
    let mut state = socket.state();
    state
        .registrations
        .retain(|held| held.closed || (held.set, held.fd) != (set, fd));
    if operation != libc::EPOLL_CTL_DEL
        && let Some((events, data)) = event
    {
        // Hardly any has more than one.
        state.registrations.reserve_exact(1);
        state.registrations.push(Registration {
            set,
            fd,
            closed: false,
            events,
            data,
            told: None,
            connections: None,
            room: None,
        });
    }
    if state.away.is_some() {
        drop(state);
        drop(engine);
        watched::watch(&socket);
        return watched::watch_edges(&socket);
    }
    if let (Some(engine), Some(id)) = (&mut engine, state.endpoint) {
        edges::note(engine, id, &state);
        let watcher = match state.registrations[..] {
            [
                Registration {
                    set,
                    fd,
                    events,
                    data,
                    ..
                },
            ] => Some(Watcher {
                set,
                fd,
                events,
                data,
            }),
            _ => None,
        };
        engine.set_watcher(id, watcher);
        if event.is_some_and(|(events, _)| events & WRITABLE as u32 != 0) {
            engine.hide_little_room(id);
        }
        if engine
            .endpoints
            .get(id)
            .is_some_and(|held| held.beyond() != 0)
        {
            engine.show_beyond(id);
        }
    }
}

/// After one epoll set was added to another: if it watches ours, so does the other.
pub fn epoll_nested(outer: RawFd, inner: RawFd) {
    if table::is_epoll(inner) {
        sets::watches(outer);
        let inner = sets::name_of(inner);
        // Whoever waits on the outer set sees the inner one through the kernel alone.
        for (_, socket) in table::all() {
            let mut engine = driver::lock();
            let state = socket.state();
            let inside = state.registrations.iter().any(|held| held.set == inner);
            if let (Some(engine), Some(id), true) = (&mut engine, state.endpoint, inside) {
                engine.set_watcher(id, None);
            }
        }
    }
}
