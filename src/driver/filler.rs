//! Filler: bytes that mean nothing, which keep the program's descriptor from being writable.
//!
//! It is the first in the pair: what other processes have written there goes into the send queue before, whatever bounds
//! that, unless it is so much that it does the same; and what they write behind it waits. Where one has written in between,
//! the filler is found by what it begins with.
//!
//! How many there are is noted in the memory file, as is how many are on their way there or back: who goes on with the
//! pair when this process is killed has to throw them away, too.

use rustix::fd::AsRawFd;
use rustix::io::{Errno, IoSlice};

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use crate::stack::passing::{ROAD, Way};
use crate::sys::wait::borrow;
use crate::sys::{async_io, pair, raw};

/// Filler that makes a program's end unwritable: more than a quarter of its send buffer.
pub(super) const FILLER: usize = 64 * 1024;

static FILLING: [u8; FILLER] = [0; FILLER];

impl Endpoint {
    /// Bytes of the program's in the pair, which the stack has not taken yet.
    pub fn unsent_in_pair(&self) -> usize {
        let end = self.end.as_ref();
        let all = end.map_or(0, |end| raw::unread(end.as_raw_fd()).unwrap_or(0));
        all.saturating_sub(self.filler)
    }
}

impl Engine {
    /// Keeps the program's descriptor from being writable.
    pub fn stuff(&mut self, id: EndpointId) {
        let endpoint = self.endpoints.get(id);
        if endpoint.is_some_and(|endpoint| endpoint.filler == 0) && self.has_emptied(id) {
            self.put_filler(id);
            self.ask_for_room(id);
        }
    }

    /// Takes what others have written into the pair of a connection, if it is writable all the same, or unsent bytes count
    /// (TCP_NOTSENT_LOWAT); whether it is empty then.
    fn has_emptied(&mut self, id: EndpointId) -> bool {
        let unread = |held: &Endpoint| {
            let end = held.end.as_ref();
            end.map_or(0, |end| raw::unread(end.as_raw_fd()).unwrap_or(0))
        };
        let endpoint = self.endpoints.get(id).filter(|held| unread(held) > 0);
        let Some(Role::Connection(connection)) = endpoint.map(|held| held.role) else {
            return true;
        };
        self.stack.tcp_await_room(connection);
        let now = self.now();
        self.take_overflow(now, id);
        let Some(left) = self.endpoints.get(id).map(unread) else {
            return false;
        };
        if left >= FILLER && !self.stack.tcp_bounds_unsent(connection) {
            return false;
        }
        let is_empty = self.pass_all(id, left);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.overflow = !is_empty;
        }
        is_empty
    }

    /// Moves so many bytes from the pair into the send queue, whatever bounds that; whether it had memory for all.
    fn pass_all(&mut self, id: EndpointId, mut left: usize) -> bool {
        let now = self.now();
        while left > 0 {
            let most = left.min(self.stack.tcp_pool_room());
            match self.pass_written(now, id, most) {
                Ok(count @ 1..) => left -= count,
                _ => return false,
            }
        }
        true
    }

    /// As Linux, which does not call a connection writable that has little room, whether that was tried or not: keeps the
    /// program's descriptor from being so, for who asks now. Gives whether it had to.
    pub fn hide_little_room(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else {
            return false;
        };
        let Role::Connection(connection) = endpoint.role else {
            return false;
        };
        let progress = self.stack.tcp_progress(connection);
        if endpoint.write_finished || progress.is_none_or(|held| held.writable) {
            return false;
        }
        self.stack.tcp_await_room(connection);
        self.stuff(id);
        true
    }

    /// If signals tell of events: the kernel sends one for room only after some was asked for in vain.
    pub(super) fn ask_for_room(&mut self, id: EndpointId) {
        // In other processes they may have been asked for unseen.
        let tells = |held: &Endpoint| {
            held.signals || held.is_held_elsewhere() && async_io::is_on(held.program)
        };
        let endpoint = self.endpoints.get(id);
        if endpoint.is_some_and(|held| held.filler > 0 && tells(held)) {
            while self.put_filler(id) {}
        }
    }

    /// Whether there was room for some.
    fn put_filler(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return false;
        };
        if endpoint.program < 0 {
            return false;
        }
        let connection = endpoint.socket();
        let road = &mut *self.road;
        if let Some(connection) = connection {
            self.stack.tcp_begin_passing(connection, Way::Filling, road);
        }
        let begin = self.id.to_ne_bytes();
        let parts = [IoSlice::new(&begin), IoSlice::new(&FILLING[begin.len()..])];
        let given = pair::give_noted(borrow(endpoint.program), &parts, &mut road.head);
        let before = endpoint.filler;
        endpoint.filler += given.unwrap_or(0);
        if let Some(connection) = connection {
            self.stack.tcp_note_filler(connection, endpoint.filler);
            self.stack.tcp_end_passing(connection);
        }
        if given.is_ok() {
            self.bring_forward(id, before);
        }
        given.is_ok()
    }

    /// Filler was put behind `before` bytes of it. What others wrote in between comes first.
    fn bring_forward(&mut self, id: EndpointId, before: usize) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        let (Some(end), Role::Connection(connection)) = (&endpoint.end, endpoint.role) else {
            return;
        };
        let all = raw::unread(end.as_raw_fd()).unwrap_or(0);
        if all == endpoint.filler {
            return;
        }
        let begin = self.id.to_ne_bytes();
        let there = pair::look(end, all).unwrap_or_default();
        let behind = there.get(before..).unwrap_or_default();
        let places = behind.windows(begin.len());
        let written = places.take_while(|place| *place != begin).count();
        if written == 0 || written > behind.len() - begin.len() {
            return;
        }
        let put = endpoint.filler - before;
        endpoint.filler = before;
        self.stack.tcp_note_filler(connection, before);
        let _ = self.unstuff(id);
        self.pass_all(id, written);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.filler = put;
            self.stack.tcp_note_filler(connection, put);
        }
    }

    /// Takes the filler out again. CONNRESET: the program's end is closed, and had something unread. The kernel says so once.
    pub fn unstuff(&mut self, id: EndpointId) -> Result<(), Errno> {
        let is_stuffed = |held: &Endpoint| held.filler > 0 && held.end.is_some();
        while self.endpoints.get(id).is_some_and(is_stuffed) {
            if self.take_filler(id) == Err(Errno::CONNRESET) {
                return Err(Errno::CONNRESET);
            }
        }
        Ok(())
    }

    /// Takes some of it out; how much. Otherwise there is none.
    pub(super) fn take_filler(&mut self, id: EndpointId) -> Result<usize, Errno> {
        let endpoint = self.endpoints.get_mut(id).ok_or(Errno::BADF)?;
        let connection = endpoint.socket();
        let end = endpoint.end.as_ref().ok_or(Errno::BADF)?;
        let road = &mut *self.road;
        if let Some(connection) = connection {
            self.stack
                .tcp_begin_passing(connection, Way::Emptying, road);
        }
        let most = endpoint.filler.min(ROAD);
        let taken = pair::take_noted(end, &mut road.bytes[..most], &mut road.head);
        endpoint.filler = match taken {
            Ok(count @ 1..) => endpoint.filler - count,
            _ => 0,
        };
        if let Some(connection) = connection {
            self.stack.tcp_note_filler(connection, endpoint.filler);
            self.stack.tcp_end_passing(connection);
        }
        taken
    }
}
