//! Sockets that get another pair while other processes have the one they had.
//!
//! A pair that has hung up, or carries another attempt's bytes, is of no use to the next connection. So a socket gets another
//! when a connection is given up, or a listener. Who has the old one has the socket still: its endpoint stays as long as
//! anybody does, with a copy of the program's end of the other, and whoever comes with the old descriptor is given that, and
//! answered for the socket. The old pair hangs up, which has everybody come: at once, or, if somebody asks just now, once
//! he has the other one in its place.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::net::Shutdown;

use super::super::Engine;
use super::super::endpoint::{Endpoint, EndpointId, Role};
use super::super::guests::Guest;
use crate::sys::owned::OwnedFd;
use crate::sys::{descriptor, local};

/// What an old pair's descriptors are to be replaced by.
pub(in crate::driver) struct Successor {
    /// The socket's endpoint.
    pub(super) id: EndpointId,
    /// The program's end.
    pub(super) program: OwnedFd,
}

impl Successor {
    pub(in crate::driver) const fn id(&self) -> EndpointId {
        self.id
    }

    pub(in crate::driver) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// A pair hangs up when this is dropped.
pub(in crate::driver) struct HangsUp(OwnedFd);

impl Drop for HangsUp {
    fn drop(&mut self) {
        // What has ended already has nobody to tell.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}

impl Engine {
    /// The socket that was `old` is `id` from now on, `program` the program's end of its pair. `awaited`: somebody asks just
    /// now, and is to have that in its place before the old pair hangs up.
    pub fn succeed(&mut self, old: EndpointId, id: EndpointId, program: &OwnedFd, awaited: bool) {
        // Without an end nobody would learn that the last descriptor is closed.
        let may_be_held = |held: &Endpoint| held.is_held_elsewhere() && held.end.is_some();
        if !self.endpoints.get(old).is_some_and(may_be_held) {
            return self.forget(old);
        }
        self.hand_on(old, id, program);
        if !awaited {
            drop(self.end_of_old(old));
        }
        let other = (awaited || self.is_only_shut(old)).then(|| descriptor::copy(program.as_fd()));
        let Some(Ok(program)) = other else {
            return self.forget(old);
        };
        if let Some(held) = self.endpoints.get_mut(old) {
            held.successor = Some(Successor { id, program });
            self.endpoints.uncopied.push(old);
        }
    }

    /// The pair of `old`, whose process is dead, leads to that of `id` here, too. It hangs up, if it has not.
    pub(in crate::driver) fn lead_on(&mut self, old: EndpointId, id: EndpointId, program: OwnedFd) {
        drop(self.end_of_old(old));
        if let Some(held) = self.endpoints.get_mut(old) {
            held.successor = Some(Successor { id, program });
        }
    }

    /// What others know of the socket is true of its other pair.
    fn hand_on(&mut self, old: EndpointId, id: EndpointId, program: &OwnedFd) {
        let socket = self.endpoints.get(old).and_then(Endpoint::socket);
        self.endpoints.set_role(old, Role::Ended);
        self.watch_end(old);
        let mut guest = None;
        if let Some(held) = self.endpoints.get_mut(old) {
            held.program = -1;
            held.record = None;
            held.error = None;
            guest = held.guest;
        }
        if let Some(socket) = socket {
            self.ports.forget_if_gone(&mut self.stack, socket);
        }
        if let (Some(guest), Ok(cookie)) = (guest, local::cookie(program)) {
            self.enter_guest(id, Guest { cookie, ..guest });
        }
        self.share(id);
        self.note_holders(id, program.as_raw_fd());
        self.watch_end(id);
    }

    /// An old pair, to hang up.
    fn end_of_old(&self, old: EndpointId) -> Option<HangsUp> {
        let end = self.endpoints.get(old)?.end.as_ref()?;
        descriptor::copy(end.as_fd()).ok().map(HangsUp)
    }

    /// Where the descriptors of `id` lead, if its socket has another pair by now.
    pub(super) fn successor(&self, id: EndpointId) -> Option<&Successor> {
        let successor = |id| self.endpoints.get(id)?.successor.as_ref();
        let mut found = successor(id)?;
        while let Some(next) = successor(found.id) {
            found = next;
        }
        Some(found)
    }

    /// What somebody is to have before the pair of `id` hangs up, if its socket has another by now.
    pub(super) fn replacement(
        &self,
        id: EndpointId,
    ) -> Option<(EndpointId, OwnedFd, Option<HangsUp>)> {
        let Successor { id: to, program } = self.successor(id)?;
        let program = descriptor::copy(program.as_fd()).ok()?;
        Some((*to, program, self.end_of_old(id)))
    }
}
