//! How endpoints end: by an error of their connection, or since the program has closed its last descriptor.

use rustix::fd::AsRawFd;

use super::Engine;
use super::HOOKS;
use super::endpoint::{Endpoint, EndpointId, Role};
use super::urgent::Mark;
use crate::stack::error::Error;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::time::Instant;
use crate::sys::wait::borrow;
use crate::sys::{pair, raw};

impl Engine {
    /// The connection is over by an error, and has bytes that the pair does not take yet: of the error they are told now.
    pub(super) fn fail_with_unread(&mut self, id: EndpointId, socket: SocketId) {
        let error = self.stack.tcp_take_error(socket);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.failed = true;
            endpoint.error = error;
            self.show_beyond(id);
        }
    }

    /// The connection is over by an error (the stack's, unless `error` names one): the program's
    /// descriptor gets the flags of a reset connection by losing its other end with something
    /// unread in it. Where only other processes hold the descriptor, and where others may connect it again, it hangs up,
    /// and who asks learns of the error. (Of
    /// one that nobody is a witness of it reads as ended, and who writes finds it reset.)
    pub(super) fn end_connection(
        &mut self,
        id: EndpointId,
        socket: SocketId,
        error: Option<Error>,
    ) {
        let error = self.stack.tcp_take_error(socket).or(error);
        let is_attempt = |held: &Endpoint| matches!(held.role, Role::Connecting(_));
        let attempt = self.endpoints.get(id).is_some_and(is_attempt);
        if attempt {
            // It may connect again, in whichever process.
            self.note_if_held(id);
        }
        let held = self.endpoints.get(id);
        let elsewhere = held.is_some_and(|held| held.program < 0);
        let hangs_up = held.is_some_and(|held| held.witnessed);
        if attempt && elsewhere && !hangs_up {
            // Nothing is lost with the filler; who waits to write is to ask.
            let _ = self.unstuff(id);
        }
        self.note_left(id);
        self.endpoints.set_role(id, Role::Ended);
        let mut recalled = false;
        let lost_urgent = self.stack.tcp_has_lost_urgent(socket);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            if lost_urgent {
                endpoint.mark = Mark::Lost;
            }
            endpoint.error = error;
            endpoint.leave_unread();
            if hangs_up {
                endpoint.hang_up();
            } else if error.is_some() && (endpoint.program >= 0 || endpoint.has_unread_end()) {
                recalled = endpoint.is_copy_in_use();
                endpoint.end = None;
            } else if error.is_some()
                && let Some(end) = &endpoint.end
            {
                let _ = pair::finish(end);
            } else if let Some(end) = &endpoint.end {
                let _ = rustix::net::shutdown(end, rustix::net::Shutdown::Both);
            }
        }
        self.endpoints.recalled |= recalled;
        let held = self.endpoints.get(id);
        if held.is_some_and(|held| held.error.is_some() && (hangs_up || held.write_finished)) {
            // A pair that is shut for writing, or hangs up, has no error.
            self.show_beyond(id);
        }
        if let Some(endpoint) = self.endpoints.get_mut(id).filter(|held| held.keeps_port) {
            endpoint.port = self.ports.take_back(socket);
        }
        let now = self.now();
        self.stack.tcp_close(now, socket);
        self.ports.forget_if_gone(&mut self.stack, socket);
        let held = self.endpoints.get(id);
        if held.is_some_and(|held| held.end.is_none() && held.program < 0) {
            // Nothing more can be heard of it.
            self.forget(id);
        }
    }

    /// The endpoint's descriptor of the program's was another process's, at hand for a question only.
    pub fn end_loan(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        endpoint.program = -1;
        if endpoint.end.is_none() {
            // The connection has ended meanwhile: nothing more can be heard of it.
            self.forget(id);
        }
    }

    /// Before a connection goes: what it leaves.
    pub fn note_left(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.left = endpoint.left(&self.stack);
        }
    }

    /// The program has accepted a connection that was over before: now its pair can tell of the error.
    pub fn tell_of_end(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && endpoint.role == Role::Ended
            && endpoint.error.is_some()
        {
            endpoint.leave_unread();
            let recalled = endpoint.is_copy_in_use();
            endpoint.end = None;
            self.endpoints.recalled |= recalled;
        }
    }

    /// Passes a reset on to a pair for which that had to wait until a descriptor of the program's
    /// is at hand; whether it was one. The pair then tells of it alone.
    pub fn pass_reset(&mut self, id: EndpointId) -> bool {
        match self.endpoints.get(id) {
            Some(endpoint)
                if endpoint.role == Role::Ended
                    && endpoint.error == Some(Error::ConnectionReset)
                    && !endpoint.hung_up() =>
            {
                let _ = pair::give(borrow(endpoint.program), &[0]);
                self.forget(id);
                // Before anybody is told, no copy of the end may be left.
                self.copy_ends();
                true
            }
            _ => false,
        }
    }

    /// CLOSE: the program has closed its last descriptor.
    pub fn close(&mut self, now: Instant, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        // One whose connection has ended may have been bound anew.
        if let (Role::Undecided | Role::Ended, Some(record)) =
            (endpoint.role, endpoint.record.clone())
        {
            if let Some(hooks) = HOOKS.get() {
                (hooks.closed)(self, id, &record);
            }
            return self.forget(id);
        }
        match endpoint.socket() {
            Some(socket) if socket.kind == Kind::Datagram => {
                // What other processes have written is sent before.
                self.take_datagrams(id, socket);
                self.stack.udp_close(socket);
            }
            Some(socket) if socket.kind == Kind::Listener => self.close_listener(now, id, socket),
            // An urgent byte that was not read past is unread data, though the pair has it no more.
            Some(socket) if matches!(endpoint.mark, Mark::Taken(_)) => {
                self.stack.tcp_abort(now, socket);
            }
            Some(socket) => self.stack.tcp_close(now, socket),
            None => {}
        }
        self.forget(id);
    }

    /// Drops an endpoint whose socket goes on without it, or is gone.
    pub fn forget(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.remove(id) else {
            return;
        };
        self.endpoints.recalled |= endpoint.is_copy_in_use();
        self.tell_waiters(id);
        if let Some(socket) = endpoint.socket() {
            self.ports.forget_if_gone(&mut self.stack, socket);
        }
        if let Some(port) = endpoint.port {
            self.ports.release(&mut self.stack, port);
        }
    }
}

impl Endpoint {
    /// Ends the pair in both directions, then makes it writable.
    fn hang_up(&mut self) {
        self.filler = 0;
        if let Some(end) = &self.end {
            let _ = rustix::net::shutdown(end, rustix::net::Shutdown::Both);
            while raw::discard(end.as_raw_fd(), usize::MAX, 0).is_ok_and(|count| count > 0) {}
        }
    }

    /// Puts something that nobody will read into an end that is to be closed, so that the program's is a reset one.
    fn leave_unread(&self) {
        if self.error.is_some() && self.filler == 0 && self.program >= 0 {
            let _ = pair::give(borrow(self.program), &[0]);
        }
    }

    /// Whether closing the end now makes the program's one a reset one: something in it is unread.
    pub(super) fn has_unread_end(&self) -> bool {
        self.end
            .as_ref()
            .is_some_and(|end| raw::unread(end.as_raw_fd()) != Ok(0))
    }
}
