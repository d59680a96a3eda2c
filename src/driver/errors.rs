//! What a socket has and its pair cannot show; error queues (ip(7), IP_RECVERR; the kernel's
//! msg_zerocopy.rst) are a part of that.
//!
//! A pair has no error but a reset, no error queue, no HUP before it is connected, and for UDP no
//! halves that are shut. `poll` adds these flags to the pair's, and so does `epoll_wait` for the
//! endpoints on the engine's list `beyond`. A UDP socket's pair is besides made readable by a
//! notice, which wakes whoever waits elsewhere; the notice is taken out again, or passed over, when
//! there is nothing left to tell.

mod copied;

use rustix::fd::RawFd;
use std::collections::VecDeque;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use super::envelope::Arrived;
use super::family::Shown;
use super::urgent::Mark;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::reports::{Origin, Report};
use crate::stack::sendings::Sending;
use crate::stack::tcp::{Urgent, ZeroCopies};
use crate::sys::{clock, raw};

/// Most entries of a queue; what comes then is lost, as when Linux finds a receive buffer full.
const MOST: usize = 256;

/// What others who have a socket are yet to be told of it, and its pair does not show: who goes on when this process is
/// killed is to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// An error.
    pub(super) error: Option<Error>,
    /// An urgent byte that was taken out of the pair, and not received.
    pub(super) urgent: Option<u8>,
}

/// One entry of an error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Goes up with each change.
    changes: u32,
}

impl ErrorQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn change(&mut self) {
        self.changes = self.changes.wrapping_add(1).max(1);
    }

    fn push(&mut self, entry: Entry) {
        self.change();
        if self.entries.len() < MOST {
            self.entries.push_back(entry);
        }
    }

    /// One more send with MSG_ZEROCOPY is complete: its bytes were copied.
    fn push_send(&mut self) {
        let number = self.sends;
        self.sends = self.sends.wrapping_add(1);
        self.change();
        match self.entries.back_mut() {
            Some(Entry::Sent(_, last)) => *last = number,
            _ => self.push(Entry::Sent(number, number)),
        }
    }

    /// What the user of `sends` is yet to be told of them.
    fn say_sends(&mut self, sends: ZeroCopies) {
        self.sends = sends.made;
        if sends.told != sends.made {
            self.push(Entry::Sent(sends.told, sends.made.wrapping_sub(1)));
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let oldest = self.entries.pop_front()?;
        self.change();
        Some(oldest)
    }

    fn clear(&mut self) {
        self.change();
        self.entries.clear();
    }

    /// How far sends with MSG_ZEROCOPY are.
    fn zero_copies(&self) -> ZeroCopies {
        let mut sends = self.entries.iter().filter_map(|entry| match entry {
            Entry::Sent(first, _) => Some(*first),
            _ => None,
        });
        ZeroCopies {
            made: self.sends,
            told: sends.next().unwrap_or(self.sends),
        }
    }
}

/// Whether the next message in a datagram socket's pair is a notice.
pub fn has_notice(fd: RawFd) -> bool {
    let mut header = [0; Arrived::LEN];
    let peek = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let count = raw::receive_message(fd, &mut header, &[], peek);
    count == Ok(header.len()) && Arrived::decode(&header).notice
}

impl Endpoint {
    /// What others are yet to be told of it, and as of which change of its error queue.
    pub(super) fn news_as_of(&self) -> (News, u32) {
        (self.untold_news(), self.errors.changes)
    }

    /// What others are yet to be told of it.
    pub(super) fn untold_news(&self) -> News {
        let urgent = match self.mark {
            Mark::Taken(byte) => byte,
            _ => None,
        };
        News {
            error: self.error,
            urgent,
        }
    }

    /// Whether POLLERR is due for other reasons than the connection's end.
    pub(super) fn errs(&self) -> bool {
        let any = self.error.is_some() || !self.errors.entries.is_empty();
        any && !matches!(self.role, Role::Listener(_))
    }

    /// Whether all that is in the pair is notices.
    pub fn has_only_notices(&self) -> bool {
        let notices = self.notices * Arrived::LEN;
        notices > 0 && raw::unread(self.program).is_ok_and(|count| count <= notices)
    }

    /// The flags of poll(2) that the socket has beyond its pair's.
    pub fn beyond(&self) -> i16 {
        let mut flags = if self.errs() { libc::POLLERR } else { 0 };
        if matches!(self.mark, Mark::Taken(Some(_)) | Mark::Lost) {
            flags |= libc::POLLPRI;
        }
        let unconnected = self.role == Role::Undecided;
        let halves = self.datagram || unconnected;
        if unconnected && !self.datagram {
            flags |= libc::POLLHUP;
        }
        if halves && self.read_finished {
            flags |= libc::POLLIN | libc::POLLRDNORM | libc::POLLRDHUP;
        }
        let opening = matches!(self.role, Role::Connecting(_));
        if (halves || opening) && self.read_finished && self.write_finished {
            flags |= libc::POLLHUP;
        }
        if self.failed && matches!(self.role, Role::Connection(_)) {
            flags |= libc::POLLIN | libc::POLLRDNORM | libc::POLLRDHUP | libc::POLLHUP;
        }
        flags
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

    /// An error that was taken is to be told all the same.
    pub fn put_error_back(&mut self, id: EndpointId, error: Error) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.error = Some(error);
        }
        self.notify_of_error(id);
        self.show_beyond(id);
    }

    /// A send with MSG_ZEROCOPY has copied its bytes.
    pub fn sent_zero_copy(&mut self, id: EndpointId) {
        self.push_error(id, ErrorQueue::push_send);
        self.note_zero_copies(id);
        self.notify_of_error(id);
    }

    /// Who goes on when this process is killed is to count on.
    fn note_zero_copies(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get(id)
            && let Some(socket) = endpoint.socket()
        {
            let sends = endpoint.errors.zero_copies();
            self.stack.tcp_note_zero_copies(socket, sends);
        }
    }

    /// Counts on where a process was that is dead.
    pub(super) fn go_on_with_zero_copies(&mut self, id: EndpointId, socket: SocketId) {
        let sends = self.stack.tcp_zero_copies(socket);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.errors.say_sends(sends);
        }
    }

    fn push_error(&mut self, id: EndpointId, push: impl FnOnce(&mut ErrorQueue)) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            push(&mut endpoint.errors);
        }
        self.show_beyond(id);
    }

    /// There is news of what an endpoint has beyond its pair: puts it on the list of those that
    /// have something, and takes off those that have not.
    pub fn show_beyond(&mut self, id: EndpointId) {
        self.say_news_anew();
        if self.endpoints.get(id).is_some_and(Endpoint::says_old_news) {
            self.endpoints.uncopied.push(id);
        }
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.news = endpoint.news.wrapping_add(1);
        }
        self.tell_waiters(id);
        let mut beyond = core::mem::take(&mut self.endpoints.beyond);
        let shows = |id| {
            let held = self.endpoints.get(id);
            held.is_some_and(|held| held.beyond() != 0)
        };
        beyond.retain(|&held| held != id && shows(held));
        if shows(id) {
            beyond.push(id);
        }
        self.endpoints.beyond = beyond;
    }

    /// The oldest entry of the error queue. As on Linux the pending error becomes the next one's.
    pub fn take_error_entry(&mut self, id: EndpointId) -> Option<Entry> {
        let socket = self.endpoints.get(id)?.socket();
        let endpoint = self.endpoints.get_mut(id)?;
        let entry = endpoint.errors.pop()?;
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
        self.note_zero_copies(id);
        self.withdraw(id);
        Some(entry)
    }

    /// A socket has another endpoint: its error queue goes along, and what it has counted.
    pub fn move_errors(&mut self, from: EndpointId, to: EndpointId) {
        let Some(old) = self.endpoints.get_mut(from) else {
            return;
        };
        let errors = core::mem::take(&mut old.errors);
        let is_empty = errors.is_empty();
        if let Some(new) = self.endpoints.get_mut(to) {
            new.errors = errors;
        }
        if !is_empty {
            self.show_beyond(to);
        }
    }

    /// Forgets a socket's queue: IP_RECVERR was turned off.
    pub fn forget_errors(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.errors.clear();
        }
        self.note_zero_copies(id);
        self.withdraw(id);
    }

    /// Takes a notice that has nothing to tell any more out of a pair.
    pub fn withdraw(&mut self, id: EndpointId) {
        let endpoint = self.endpoints.get(id);
        if endpoint.is_some_and(|held| !held.errs() && !held.read_finished) {
            self.take_notice(id);
        }
    }

    /// Takes notices out of a pair if they are the first there.
    pub(super) fn take_notice(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        // In a stream's pair are bytes, which may look like one.
        let keeps_messages = matches!(endpoint.role, Role::Undecided | Role::Datagram(_));
        if !keeps_messages || endpoint.notices == 0 && !endpoint.is_shared() {
            return;
        }
        while has_notice(endpoint.program) {
            let _ = raw::discard(endpoint.program, 1, libc::MSG_DONTWAIT);
            endpoint.notices = 0;
        }
    }

    /// What poll(2) shows beyond the pair.
    pub fn shown(&self, id: EndpointId) -> Shown {
        let Some(endpoint) = self.endpoints.get(id) else {
            return Shown::default();
        };
        let only_notices = !endpoint.read_finished && endpoint.has_only_notices();
        let mut flags = endpoint.beyond();
        if endpoint.read_finished && matches!(self.urgent(id), Urgent::Here(_)) {
            // The pair takes nothing any more.
            flags |= libc::POLLPRI;
        }
        Shown {
            flags,
            news: endpoint.news,
            error: 0,
            only_notices,
            idle: endpoint.role == Role::Undecided,
            over: endpoint.role == Role::Ended,
            marked: matches!(endpoint.mark, Mark::Taken(_)),
            full: false,
        }
    }
}
