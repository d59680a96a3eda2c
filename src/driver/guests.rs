//! Guests: users for whom a keeper makes sockets.
//!
//! 1. A guest's socket is known by its descriptor's SO_COOKIE, which nobody can give to another. Its
//!    name ([`family`](super::family)) only says where to ask: a guest may call his descriptors what
//!    he likes.
//! 2. A connection that a guest's listener accepts is his from the start.
//! 3. How many sockets a user has is counted and bounded, and so is the memory of their queues
//!    ([`Engine::ration`]). Root's are not.

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};

use super::Engine;
use super::endpoint::{EndpointId, Endpoints};
use crate::stack::ids::SocketId;
use crate::sys::local;

/// Sockets a user may have, unless the administrator says otherwise.
const MOST: usize = 4096;

/// What part of all memory the queues of one user may take: one in so many.
const SHARE: usize = 4;
/// What each buffer of a user who has more is bounded to, in bytes.
const RATION: usize = 16 * 1024;
/// How often memory is counted while there is little of it, in nanoseconds.
const RATIONING: u64 = 50_000_000;

/// Who asks for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The user.
    pub user: u32,
    /// He has shown that he may have ports below ip_unprivileged_port_start.
    pub low_ports: bool,
}

/// Whose a socket is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    /// The user.
    pub(super) user: u32,
    /// The program's descriptor's SO_COOKIE.
    pub(super) cookie: u64,
    /// As [`Asker`] has it.
    pub(super) low_ports: bool,
}

/// The guests of an engine.
pub(super) struct Guests {
    of_cookie: HashMap<u64, EndpointId>,
    sockets: HashMap<u32, usize>,
    /// Sockets a user may have.
    pub(super) most: usize,
    /// Users who had more memory than their share when it was counted last.
    sated: HashSet<u32>,
    /// When that was, in monotonic nanoseconds.
    counted_at: u64,
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            of_cookie: HashMap::new(),
            sockets: HashMap::new(),
            most: MOST,
            sated: HashSet::new(),
            counted_at: 0,
        }
    }
}

impl Guests {
    /// A guest has a socket.
    pub(super) fn enter(&mut self, id: EndpointId, guest: Guest) {
        self.of_cookie.insert(guest.cookie, id);
        *self.sockets.entry(guest.user).or_default() += 1;
    }

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

    /// Whether a user has any socket.
    pub(super) fn has(&self, user: u32) -> bool {
        self.sockets.contains_key(&user)
    }

    /// Whether a user may have one more socket. EMFILE: he has as many as he may; ENOBUFS: they have
    /// more memory than their share.
    fn check_room(&self, user: u32) -> Result<(), Errno> {
        let count = self.sockets.get(&user).copied().unwrap_or(0);
        if user == 0 {
            Ok(())
        } else if count >= self.most {
            Err(Errno::MFILE)
        } else if self.sated.contains(&user) {
            Err(Errno::NOBUFS)
        } else {
            Ok(())
        }
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
    /// Makes `id` a guest's, whose descriptor is `program`. EMFILE, ENOBUFS: he has as much as he may.
    pub fn welcome(
        &mut self,
        id: EndpointId,
        asker: Asker,
        program: impl AsFd,
    ) -> Result<(), Errno> {
        let Asker { user, low_ports } = asker;
        let cookie = local::cookie(program.as_fd())?;
        self.endpoints.guests.check_room(user)?;
        let guest = Guest {
            user,
            cookie,
            low_ports,
        };
        self.endpoints.get(id).ok_or(Errno::NOTSOCK)?;
        self.share(id);
        self.note_holders(id, program.as_fd().as_raw_fd());
        self.enter_guest(id, guest);
        Ok(())
    }

    /// A guest's socket is `id` from now on.
    pub(super) fn enter_guest(&mut self, id: EndpointId, guest: Guest) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.guest = Some(guest);
            self.endpoints.guests.enter(id, guest);
        }
    }

    /// The user whose socket it is, if that is a guest.
    pub fn guest(&self, id: EndpointId) -> Option<u32> {
        let endpoint = self.endpoints.get(id)?;
        endpoint.guest.map(|guest| guest.user)
    }

    /// Whether ports below ip_unprivileged_port_start are for somebody else to have.
    pub fn is_unprivileged(&self, id: EndpointId) -> bool {
        let guest = self.endpoints.get(id).and_then(|endpoint| endpoint.guest);
        guest.is_some_and(|guest| guest.user != 0 && !guest.low_ports)
    }

    /// Whether the guest whose socket `id` is may have one more.
    pub(super) fn has_room_for(&self, id: EndpointId) -> bool {
        let user = self.guest(id);
        user.is_none_or(|user| self.endpoints.guests.check_room(user).is_ok())
    }

    /// Sees to it that no guest takes more memory than his share: the buffers of one who has are made
    /// small, and he gets no new sockets until he has less.
    pub(super) fn ration(&mut self) {
        let share = self.stack.pool_size() / SHARE;
        let guests = &mut self.endpoints.guests;
        if self.stack.pool_used() <= share {
            guests.sated.clear();
            return;
        }
        if self.time.saturating_sub(guests.counted_at) < RATIONING {
            return;
        }
        guests.counted_at = self.time;
        let sockets = self.guests_sockets();
        let mut memory: HashMap<u32, usize> = HashMap::new();
        for &(user, socket) in &sockets {
            *memory.entry(user).or_default() += self.stack.memory_of(socket);
        }
        let sated = memory
            .into_iter()
            .filter(|&(user, held)| user != 0 && held > share);
        let sated: HashSet<u32> = sated.map(|(user, _)| user).collect();
        let now = self.now();
        for (_, socket) in sockets.into_iter().filter(|(user, _)| sated.contains(user)) {
            self.stack.ration(now, socket, RATION);
        }
        self.endpoints.guests.sated = sated;
        self.finish_pass();
    }

    fn guests_sockets(&self) -> Vec<(u32, SocketId)> {
        let endpoints = self.endpoints.ids().filter_map(|id| self.endpoints.get(id));
        endpoints
            .filter_map(|endpoint| Some((endpoint.guest?.user, endpoint.socket()?)))
            .collect()
    }
}
