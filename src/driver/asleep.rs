//! Calls that sleep in a socket, and the descriptor they keep.
//!
//! As on Linux a call goes on with its socket when another thread closes the number meanwhile, or puts something else in
//! its place: the socket is closed when the last such call has ended. So a number that is about to be lost is copied into
//! our region, if calls sleep in its socket, and if it was the last one the copy takes its place ([`Endpoint::program`]).
//! They are woken, and look for another number if theirs is lost.

use rustix::fd::{AsRawFd, RawFd};

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use crate::sys::descriptor;
use crate::sys::wait::borrow;

impl Engine {
    /// A call is about to sleep in the socket.
    pub(super) fn lie_down(&mut self, id: Option<EndpointId>) {
        if let Some(endpoint) = id.and_then(|id| self.endpoints.get_mut(id)) {
            endpoint.sleepers += 1;
        }
    }

    /// It is awake.
    pub(super) fn rise(&mut self, id: Option<EndpointId>) {
        if let Some(endpoint) = id.and_then(|id| self.endpoints.get_mut(id)) {
            endpoint.sleepers -= 1;
        }
    }

    /// The program's descriptor is about to lose the number `fd`: keeps it for calls that sleep.
    pub fn keep_for_calls(&mut self, id: EndpointId, fd: RawFd) {
        self.note_if_held(id);
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && endpoint.program == fd
            && endpoint.sleepers > 0
        {
            // If it fails, they find the socket closed.
            endpoint.kept = descriptor::copy(borrow(fd)).ok();
        }
    }

    /// The program's descriptor loses the number `fd`, and has `other`, if any: the one that is known, perhaps.
    pub fn lose_number(
        &mut self,
        id: EndpointId,
        fd: RawFd,
        other: impl FnOnce() -> Option<RawFd>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        if endpoint.program == fd {
            let kept = endpoint.kept.as_ref().map(AsRawFd::as_raw_fd);
            endpoint.program = other().or(kept).unwrap_or(-1);
        }
        if endpoint.sleepers > 0 {
            // What poll(2) is woken for it looks for under the old number.
            self.driving.beside.wake();
        }
    }

    /// A call that has slept ends: if it was the last one, what was kept for it is closed.
    pub(super) fn let_go(&mut self, id: Option<EndpointId>) {
        if let Some(id) = id
            && let Some(endpoint) = self.endpoints.get_mut(id)
            && endpoint.sleepers == 0
            && let Some(kept) = endpoint.kept.take()
        {
            if endpoint.program == kept.as_raw_fd() {
                endpoint.program = -1;
            }
            drop(kept);
            self.look_whether_closed(id);
        }
    }

    /// A descriptor of the socket was closed: if it was the last one, so is the socket now. Whether it is.
    pub fn look_whether_closed(&mut self, id: EndpointId) -> bool {
        // Another thread's call on the number may keep the pair open for a moment. Nobody watches the end of a fresh one,
        // so it would stay.
        let fresh = |held: &Endpoint| {
            held.role == Role::Undecided && held.program < 0 && !held.is_open_elsewhere()
        };
        if self.endpoints.get(id).is_some_and(fresh) {
            let now = self.now();
            self.close(now, id);
        }
        self.look_at(id);
        let closed = self.endpoints.get(id).is_none();
        if closed {
            self.finish_pass();
        }
        closed
    }
}
