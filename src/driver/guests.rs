//! Guests: users for whom a keeper makes sockets.
//!
//! 1. A guest's socket is known by its descriptor's SO_COOKIE, which nobody can give to another. Its
//!    name ([`family`](super::family)) only says where to ask: a guest may call his descriptors what
//!    he likes.
//! 2. A connection that a guest's listener accepts is his from the start.
//! 3. How many sockets a user has is counted and bounded. Root's are not.

use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::HashMap;

use super::Engine;
use super::endpoint::{EndpointId, Endpoints};
use crate::sys::local;

/// Sockets a user may have, unless the administrator says otherwise.
const MOST: usize = 4096;

/// Whose a socket is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    /// The user.
    pub(super) user: u32,
    /// The program's descriptor's SO_COOKIE.
    cookie: u64,
}

/// The guests of an engine.
pub(super) struct Guests {
    of_cookie: HashMap<u64, EndpointId>,
    sockets: HashMap<u32, usize>,
    /// Sockets a user may have.
    pub(super) most: usize,
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            of_cookie: HashMap::new(),
            sockets: HashMap::new(),
            most: MOST,
        }
    }
}

impl Guests {
    /// A guest's socket is gone.
    pub(super) fn leave(&mut self, guest: Guest) {
        self.of_cookie.remove(&guest.cookie);
        if let Some(count) = self.sockets.get_mut(&guest.user) {
            *count -= 1;
            if *count == 0 {
                self.sockets.remove(&guest.user);
            }
        }
    }

    /// Whether a user may have one more socket.
    fn has_room(&self, user: u32) -> bool {
        let count = self.sockets.get(&user).copied().unwrap_or(0);
        user == 0 || count < self.most
    }
}

impl Endpoints {
    /// The guest's endpoint whose program's descriptor this is.
    pub(super) fn of_descriptor(&self, fd: impl AsFd) -> Option<EndpointId> {
        if self.guests.of_cookie.is_empty() {
            return None;
        }
        self.guests.of_cookie.get(&local::cookie(fd).ok()?).copied()
    }
}

impl Engine {
    /// Makes `id` a guest's, whose descriptor is `program`. EMFILE: he has as many as he may.
    pub fn welcome(&mut self, id: EndpointId, user: u32, program: impl AsFd) -> Result<(), Errno> {
        let cookie = local::cookie(program)?;
        if !self.endpoints.guests.has_room(user) {
            return Err(Errno::MFILE);
        }
        let endpoint = self.endpoints.get_mut(id).ok_or(Errno::NOTSOCK)?;
        endpoint.guest = Some(Guest { user, cookie });
        endpoint.unseen_writers = true;
        let guests = &mut self.endpoints.guests;
        guests.of_cookie.insert(cookie, id);
        *guests.sockets.entry(user).or_default() += 1;
        Ok(())
    }

    /// The user whose socket it is, if that is a guest.
    pub fn guest(&self, id: EndpointId) -> Option<u32> {
        let endpoint = self.endpoints.get(id)?;
        endpoint.guest.map(|guest| guest.user)
    }

    /// Whether the guest whose socket `id` is may have one more.
    pub(super) fn has_room_for(&self, id: EndpointId) -> bool {
        let user = self.guest(id);
        user.is_none_or(|user| self.endpoints.guests.has_room(user))
    }
}
