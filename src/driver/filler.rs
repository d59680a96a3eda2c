//! Filler: bytes that mean nothing, which keep the program's descriptor from being writable.
//!
//! How many there are is noted in the memory file, as is how many are on their way there or back: who goes on with the
//! pair when this process is killed has to throw them away, too.

use rustix::io::IoSlice;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use crate::stack::passing::{ROAD, Way};
use crate::sys::wait::borrow;
use crate::sys::{async_io, pair};

/// Filler that makes a program's end unwritable: more than a quarter of its send buffer.
pub(super) const FILLER: usize = 64 * 1024;

static FILLING: [u8; FILLER] = [0; FILLER];

impl Engine {
    /// Keeps the program's descriptor from being writable.
    pub fn stuff(&mut self, id: EndpointId) {
        let endpoint = self.endpoints.get(id);
        if endpoint.is_some_and(|endpoint| endpoint.filler == 0) {
            self.put_filler(id);
            self.ask_for_room(id);
        }
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
        let parts = [IoSlice::new(&FILLING)];
        let given = pair::give_noted(borrow(endpoint.program), &parts, &mut road.head);
        endpoint.filler += given.unwrap_or(0);
        if let Some(connection) = connection {
            self.stack.tcp_note_filler(connection, endpoint.filler);
            self.stack.tcp_end_passing(connection);
        }
        given.is_ok()
    }

    /// Takes the filler out again.
    pub fn unstuff(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        let connection = endpoint.socket();
        let Some(end) = &endpoint.end else { return };
        let road = &mut *self.road;
        while endpoint.filler > 0 {
            if let Some(connection) = connection {
                self.stack
                    .tcp_begin_passing(connection, Way::Emptying, road);
            }
            let most = endpoint.filler.min(ROAD);
            match pair::take_noted(end, &mut road.bytes[..most], &mut road.head) {
                Ok(count) if count > 0 => endpoint.filler -= count,
                _ => endpoint.filler = 0,
            }
            if let Some(connection) = connection {
                self.stack.tcp_note_filler(connection, endpoint.filler);
                self.stack.tcp_end_passing(connection);
            }
        }
    }
}
