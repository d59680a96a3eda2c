//! Error queues (ip(7), IP_RECVERR; the kernel's msg_zerocopy.rst): what recvmsg(2) with MSG_ERRQUEUE
//! gives, and how a descriptor tells that there is something.
//!
//! A pair has no error queue, so its descriptor cannot show POLLERR. `poll` and `epoll_wait` add it
//! for the endpoints on the engine's list `erring`. A UDP socket's pair is besides made readable by
//! a notice, which wakes whoever waits elsewhere; the notice is taken out again, or passed over,
//! when there is nothing left to tell.

use std::collections::VecDeque;

use super::Engine;
use super::datagrams::Arrived;
use super::endpoint::{Endpoint, EndpointId, Role};
use crate::stack::error::Error;
use crate::stack::reports::{Origin, Report};
use crate::stack::sendings::Sending;
use crate::sys::{clock, raw};

/// Most entries of a queue; what comes then is lost, as when Linux finds a receive buffer full.
const MOST: usize = 256;

/// One entry of an error queue.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Of IP_RECVERR.
    Report(Report),
    /// Sends with MSG_ZEROCOPY, counted from 0, from the first to the last, are complete.
    Sent(u32, u32),
    /// Something sent has come so far at that time, in nanoseconds since 1970 (SO_TIMESTAMPING).
    Stamped(Sending, u64),
}

impl Entry {
    /// The error the socket has while this is the oldest entry: ICMP's.
    fn pending(&self) -> Option<Error> {
        match self {
            Self::Report(report) if report.origin != Origin::Local => Some(report.error),
            _ => None,
        }
    }
}

/// A socket's error queue.
#[derive(Debug, Default)]
pub struct ErrorQueue {
    entries: VecDeque<Entry>,
    /// Sends with MSG_ZEROCOPY so far.
    sends: u32,
    /// An edge-triggered waiter was told of what is there.
    told: bool,
}

impl ErrorQueue {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn push(&mut self, entry: Entry) {
        self.told = false;
        if self.entries.len() < MOST {
            self.entries.push_back(entry);
        }
    }

    /// One more send with MSG_ZEROCOPY is complete: its bytes were copied.
    fn push_send(&mut self) {
        let number = self.sends;
        self.sends = self.sends.wrapping_add(1);
        self.told = false;
        match self.entries.back_mut() {
            Some(Entry::Sent(_, last)) => *last = number,
            _ => self.push(Entry::Sent(number, number)),
        }
    }
}

impl Endpoint {
    /// Whether POLLERR is due for other reasons than the connection's end.
    fn errs(&self) -> bool {
        // The pair of a connection that has ended tells of the error itself.
        let goes_on = matches!(self.role, Role::Datagram(_) | Role::Connection(_));
        let pending = goes_on && self.error.is_some();
        pending || !self.errors.entries.is_empty()
    }
}

impl Engine {
    /// Takes the stack's reports to their sockets' queues.
    pub(super) fn take_reports(&mut self) {
        while let Some((socket, report)) = self.stack.poll_report() {
            if let Some(id) = self.endpoints.of_socket(socket) {
                self.push_error(id, |queue| queue.push(Entry::Report(report)));
                self.notify_of_error(id);
            }
        }
    }

    /// Tells of what was sent just now, or acknowledged.
    pub(super) fn take_sendings(&mut self) {
        while let Some(sending) = self.stack.poll_sending() {
            if let Some(id) = self.endpoints.of_socket(sending.socket) {
                let entry = Entry::Stamped(sending, clock::realtime());
                self.push_error(id, |queue| queue.push(entry));
                self.notify_of_error(id);
            }
        }
    }

    /// Wakes who waits for a datagram socket elsewhere. (A connection's pair can tell of bytes only.)
    fn notify_of_error(&mut self, id: EndpointId) {
        let datagram = |held: &Endpoint| matches!(held.role, Role::Datagram(_));
        if self.endpoints.get(id).is_some_and(datagram) {
            self.notify(id);
        }
    }

    /// A send with MSG_ZEROCOPY has copied its bytes.
    pub fn sent_zero_copy(&mut self, id: EndpointId) {
        self.push_error(id, ErrorQueue::push_send);
        self.notify_of_error(id);
    }

    fn push_error(&mut self, id: EndpointId, push: impl FnOnce(&mut ErrorQueue)) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            push(&mut endpoint.errors);
        }
        self.err(id);
    }

    /// Puts an endpoint on the list of those that show POLLERR, and takes off those that do not.
    pub(super) fn err(&mut self, id: EndpointId) {
        let errs = |id| self.endpoints.get(id).is_some_and(Endpoint::errs);
        self.erring.retain(|&held| held != id && errs(held));
        self.erring.push(id);
    }

    /// The oldest entry of the error queue. As on Linux the pending error becomes the next one's.
    pub fn take_error_entry(&mut self, id: EndpointId) -> Option<Entry> {
        let socket = self.endpoints.get(id)?.socket();
        let endpoint = self.endpoints.get_mut(id)?;
        let entry = endpoint.errors.entries.pop_front()?;
        let next = endpoint.errors.entries.front().and_then(Entry::pending);
        if next.is_some() || entry.pending().is_some() {
            endpoint.take_error();
            endpoint.error = next;
            if let Some(socket) = socket
                && matches!(endpoint.role, Role::Datagram(_))
            {
                self.stack.udp_take_error(socket);
            }
        }
        self.withdraw(id);
        Some(entry)
    }

    /// A socket has another endpoint: its error queue goes along.
    pub fn move_errors(&mut self, from: EndpointId, to: EndpointId) {
        let Some(old) = self.endpoints.get_mut(from) else {
            return;
        };
        let errors = core::mem::take(&mut old.errors);
        if let Some(new) = self.endpoints.get_mut(to).filter(|_| !errors.is_empty()) {
            new.errors = errors;
            self.err(to);
        }
    }

    /// Forgets a socket's queue: IP_RECVERR was turned off.
    pub fn forget_errors(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.errors.entries.clear();
        }
        self.withdraw(id);
    }

    /// Takes a notice that has nothing to tell any more out of a pair.
    pub fn withdraw(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        if endpoint.errs() || endpoint.notices == 0 || endpoint.read_finished {
            return;
        }
        let mut header = [0; Arrived::LEN];
        let peek = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let first = raw::receive_message(endpoint.program, &mut header, &[], peek);
        if first == Ok(header.len()) && Arrived::decode(&header).notice {
            let _ = raw::discard(endpoint.program, 1, libc::MSG_DONTWAIT);
            endpoint.notices = 0;
        }
    }

    /// Whether poll(2) shows an error, and whether what makes the descriptor readable is but the
    /// notice of it.
    pub fn error_shown(&mut self, id: EndpointId) -> (bool, bool) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return (false, false);
        };
        let notices = endpoint.notices * Arrived::LEN;
        let only_notices = notices > 0
            && !endpoint.read_finished
            && raw::unread(endpoint.program).is_ok_and(|count| count <= notices);
        (endpoint.errs(), only_notices)
    }

    /// Makes events of a set's waiter tell of errors: the first `count` of `events` are the
    /// kernel's. Gives how many there are then.
    pub fn add_errors(
        &mut self,
        set: rustix::fd::RawFd,
        events: &mut [libc::epoll_event],
        mut count: usize,
    ) -> usize {
        let mut erring = core::mem::take(&mut self.erring);
        erring.retain(|&id| {
            let (errs, only_notices) = self.error_shown(id);
            let Some(endpoint) = self.endpoints.get_mut(id) else {
                return false;
            };
            let Some(watcher) = endpoint.watcher.filter(|watcher| watcher.set == set) else {
                return errs;
            };
            let known = events[..count]
                .iter()
                .position(|event| event.u64 == watcher.data);
            let news = errs && !(watcher.is_edge_triggered() && endpoint.errors.told);
            if let Some(at) = known {
                if only_notices {
                    events[at].events &= !(libc::EPOLLIN as u32);
                }
                if news {
                    events[at].events |= libc::EPOLLERR as u32;
                }
                if events[at].events == 0 {
                    events.copy_within(at + 1..count, at);
                    count -= 1;
                }
            } else if news && count < events.len() {
                events[count] = libc::epoll_event {
                    events: libc::EPOLLERR as u32,
                    u64: watcher.data,
                };
                count += 1;
            }
            endpoint.errors.told |= news;
            errs
        });
        self.erring = erring;
        count
    }
}
