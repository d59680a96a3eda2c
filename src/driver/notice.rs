//! Short cut: telling who waits about data without writing it to the pair.
//!
//! A thread that waits in epoll_wait(2) and drives sees arriving data before the kernel does. If
//! the socket is watched by exactly that set, in a plain way, the event is made here and the data
//! stays in the receive queue, from where the following recv(2) takes it. While nobody waits at
//! all, such a socket's bytes are put off in the same way. Whoever looks at the descriptor in
//! another way (another set, a forked child) finds the pair brought up to date first, since
//! everything left behind is on the `lagging` list.
//!
//! A UDP socket's datagrams are left likewise. What else there is to tell of one (an error, the end after a shutdown),
//! its pair tells.
//!
//! What has come before a connection is accepted is left, too, if nobody waits: the program watches the socket, or
//! receives, next.
//!
//! So it is with poll(2) and select(2) of a socket that is in no set: the call asks us, too
//! (`is_left`), where nobody else waits.
//!
//! 1. An endpoint with bytes for the program that its pair does not tell of is on `lagging`, as is
//!    one whose pair has room that was not filled.
//! 2. Who was told and has not received by the time it waits again is told by way of the pair:
//!    it may receive where it is not seen. Not so if edge-triggered: the pair would tell a second
//!    time of the same arrival. An edge-triggered waiter is told of what was put off (`untold`).
//! 3. `lagging` is settled before anybody else can look: by poll(2) and select(2) of others, by a
//!    wait on another set, before fork(2), execve(2), splice(2) and the end of the process, and by who
//!    takes the seat for something else than a set, the background thread among them: a thread that waits on a set
//!    from before it watched a socket, or by a raw system call, is told by the pair alone.
//! 4. A socket that others may use unseen (`is_shared`) has no part in this.
//!
//! What it cannot do: a program that waits edge-triggered by our epoll_wait(2) and receives by a raw
//! system call finds its bytes when the background thread has taken the seat, and not before.

use rustix::fd::RawFd;
use std::collections::VecDeque;

use super::Engine;
use super::endpoint::{EndpointId, Role};
use super::seat::Seat;
use super::urgent::Mark;
use crate::stack::ids::SocketId;
use crate::sys::raw;

/// The one registration of a socket in an epoll set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// The set.
    pub set: RawFd,
    /// The number that it was registered under.
    pub fd: RawFd,
    /// Events asked for.
    pub events: u32,
    /// The program's token.
    pub data: u64,
}

/// Who waits, drives, and asks us besides the kernel what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collector {
    /// The waiter of this epoll set.
    Set(RawFd),
    /// The call of poll(2) or select(2) with this number.
    Poll(u64),
}

/// An event made here.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// Events.
    pub events: u32,
    /// The program's token.
    pub data: u64,
}

/// Registrations with one of these are the kernel's to serve.
const SPECIAL: u32 = (libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;

impl Watcher {
    /// Whether it is told of news only (EPOLLET).
    pub fn is_edge_triggered(&self) -> bool {
        self.events & libc::EPOLLET as u32 != 0
    }

    /// Whether events for it may be made here.
    pub fn is_plain(&self) -> bool {
        self.events & SPECIAL == 0 && self.events & IN != 0
    }
}

/// What was put off or is told directly, for whom.
pub(super) struct ShortCuts {
    /// The socket whose bytes the waiting thread takes itself.
    pub(super) direct: Option<SocketId>,
    /// Who drives and collects events from us.
    pub(super) collecting: Option<Collector>,
    /// Calls of poll(2) so far.
    pub(super) polls: u64,
    /// Endpoints the waiter is to be told of, in the order of their news; all of them lag.
    pub(super) noticed: VecDeque<EndpointId>,
    /// Endpoints whose pairs were not brought up to date.
    pub(super) lagging: Vec<EndpointId>,
    /// Scratch of who looks through them.
    pub(super) kept: Vec<EndpointId>,
    /// Something was passed to a descriptor, or the kernel says so: its sets are worth a look.
    pub(super) kernel_news: bool,
}

impl ShortCuts {
    /// None is taken yet. What the kernel has to say is not known.
    pub(super) fn new() -> Self {
        Self {
            direct: None,
            collecting: None,
            polls: 0,
            noticed: VecDeque::new(),
            lagging: Vec::new(),
            kept: Vec::new(),
            kernel_news: true,
        }
    }
}

impl Engine {
    /// Sets or clears the one watcher of an endpoint.
    pub fn set_watcher(&mut self, id: EndpointId, watcher: Option<Watcher>) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.watcher = watcher.filter(Watcher::is_plain);
        }
    }

    /// The set `old` has another name.
    pub fn rename_set(&mut self, old: RawFd, new: RawFd) {
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            if let Some(watcher) = self
                .endpoints
                .get_mut(id)
                .and_then(|held| held.watcher.as_mut())
                && watcher.set == old
            {
                watcher.set = new;
            }
        }
        if self.short_cuts.collecting == Some(Collector::Set(old)) {
            self.short_cuts.collecting = Some(Collector::Set(new));
        }
    }

    /// Notes that `id` has something for the program, if the waiter may be told directly.
    pub(super) fn notice(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else {
            return false;
        };
        if !endpoint.is_left_to(self.short_cuts.collecting)
            || endpoint.is_shared()
            || !self.is_readable(id)
        {
            return false;
        }
        match (self.short_cuts.collecting, endpoint.watcher) {
            (Some(Collector::Poll(_)), _) => {
                // Others may sleep in the same descriptor.
                let alone = self.driving.beside.is_empty();
                if alone {
                    self.leave_untold(id);
                }
                return alone;
            }
            (_, Some(watcher)) if watcher.is_edge_triggered() => self.tell(id),
            // The kernel goes on telling of what is in the pair.
            _ if self.has_unread_pair(id) => self.lag(id),
            _ => self.tell(id),
        }
        true
    }

    /// The waiter that begins, or drives, is to be told of `id`.
    fn tell(&mut self, id: EndpointId) {
        self.leave_untold(id);
        self.short_cuts.noticed.push_back(id);
    }

    /// Whether bytes for the program are in the pair. It may have read them where it is not seen, so
    /// the descriptor is asked.
    fn has_unread_pair(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return false;
        };
        if endpoint.unread && endpoint.program >= 0 {
            endpoint.unread = raw::unread(endpoint.program) != Ok(0);
            self.note_read(id);
        }
        self.endpoints.get(id).is_some_and(|held| held.unread)
    }

    /// If nothing is in the pair any more, the connection's record is to say so, for who adopts it.
    pub fn note_read(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get(id)
            && let Role::Connection(socket) = endpoint.role
            && (!endpoint.unread || endpoint.passed == 0)
        {
            self.stack.tcp_all_read(socket);
        }
    }

    /// Whether no call of ours waits at all: then who is watched by a set alone may lag until
    /// somebody does.
    pub(super) fn nobody_waits(&self) -> bool {
        let polls = matches!(self.short_cuts.collecting, Some(Collector::Poll(_)));
        self.driving.seat == Seat::Empty && self.driving.beside.is_empty() && !polls
    }

    /// Leaves bytes for `id` in the receive queue if nobody waits for them now.
    pub(super) fn put_off(&mut self, id: EndpointId) -> bool {
        let watched = self
            .endpoints
            .get(id)
            .is_some_and(|endpoint| endpoint.watcher.is_some() && !endpoint.is_shared());
        let off = watched && self.nobody_waits() && self.is_readable(id);
        if off {
            self.leave_untold(id);
        }
        off
    }

    /// accept(2) has taken a connection and left the rest, of which the descriptor does not tell
    /// yet.
    pub fn leave_rest(&mut self, id: EndpointId) {
        self.found_some(id);
        if self.is_readable(id) {
            self.lag(id);
        }
    }

    /// Whether there is something to be received or accepted, and nothing else to tell.
    pub(super) fn is_readable(&self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else {
            return false;
        };
        let low_water = endpoint.low_water.max(1);
        match Some(endpoint.role) {
            // What has a mark is told of by the kernel.
            Some(Role::Connection(_)) if endpoint.mark != Mark::None => false,
            Some(Role::Connection(socket)) => {
                self.stack.tcp_progress(socket).is_some_and(|progress| {
                    let more = progress.is_last() || progress.urgent || progress.troubled;
                    progress.receive_len >= low_water && !more
                })
            }
            Some(Role::Listener(listener)) => self
                .stack
                .tcp_listener_status(listener)
                .is_some_and(|status| status.queued > 0),
            Some(Role::Datagram(socket)) => {
                let more = endpoint.error.is_some() || endpoint.read_finished || endpoint.signals;
                let status = self.stack.udp_status(socket);
                !more && status.is_some_and(|status| status.queued > 0 && status.error.is_none())
            }
            _ => false,
        }
    }

    /// A waiter of `set` begins: what lags and is watched by that set alone it can be told again,
    /// if level-triggered; the rest is settled.
    pub fn begin_collecting(&mut self, set: RawFd) {
        // What the last waiter had no room for lags.
        self.short_cuts.noticed.clear();
        if self.short_cuts.lagging.is_empty() {
            return;
        }
        let mut lagging = core::mem::take(&mut self.short_cuts.lagging);
        let now = self.now();
        for id in lagging.drain(..) {
            let Some(endpoint) = self.endpoints.get_mut(id) else {
                continue;
            };
            endpoint.lags = false;
            let watcher = endpoint.watcher;
            // Told, and no call of ours has received since: perhaps one that we do not see tried.
            let ignored = core::mem::take(&mut endpoint.told);
            let untold = core::mem::take(&mut endpoint.untold);
            match watcher {
                Some(watcher) if watcher.set == set && self.is_readable(id) => {
                    let edge = watcher.is_edge_triggered();
                    if edge && !untold || !edge && !ignored && self.has_unread_pair(id) {
                        self.short_cuts.kept.push(id);
                    } else if ignored && !edge {
                        self.settle(now, id);
                    } else {
                        self.tell(id);
                    }
                }
                _ => self.settle(now, id),
            }
        }
        // The list's memory is used again.
        lagging.append(&mut self.short_cuts.lagging);
        self.short_cuts.lagging = lagging;
        self.lag_on();
        self.finish_pass_for(Some(Collector::Set(set)));
    }

    /// The next event for the waiter: the oldest, as epoll_wait(2) gives them.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        while let Some(id) = self.short_cuts.noticed.pop_front() {
            let Some(endpoint) = self.endpoints.get(id) else {
                continue;
            };
            let (Some(watcher), role) = (endpoint.watcher, endpoint.role) else {
                continue;
            };
            // It may have been noticed twice, or be the kernel's to tell by now.
            if !endpoint.untold || !endpoint.lags || !self.is_readable(id) {
                continue;
            }
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                endpoint.untold = false;
                endpoint.told = true;
            }
            let writable = match role {
                Role::Connection(socket) => {
                    watcher.events & OUT != 0
                        && self
                            .stack
                            .tcp_progress(socket)
                            .is_some_and(|held| held.writable)
                }
                Role::Datagram(socket) => {
                    let status = self.stack.udp_status(socket);
                    watcher.events & OUT != 0 && status.is_some_and(|held| held.send_space > 0)
                }
                _ => false,
            };
            let events = if writable { IN | OUT } else { IN };
            return Some(Notice {
                events,
                data: watcher.data,
            });
        }
        None
    }

    /// Whether the kernel's side of the set may have events besides.
    pub fn take_kernel_news(&mut self) -> bool {
        core::mem::replace(&mut self.short_cuts.kernel_news, false)
    }
}
