//! Who waits for news of a socket that its pair cannot tell.
//!
//! The question is answered when there is news: then the asker looks again. A connection that is closed instead says the
//! same, so whoever waits may be dismissed at any time, and is when there are too many.

use super::super::Engine;
use super::super::door::surplus;
use super::super::endpoint::EndpointId;
use super::questions::encode;
use crate::sys::owned::OwnedFd;
use crate::sys::pair;

/// Those who wait: of one user, and in all. The oldest goes.
const OF_USER: usize = 64;
const IN_ALL: usize = 256;

/// One who waits.
pub(in crate::driver) struct Waiter {
    id: EndpointId,
    user: u32,
    client: OwnedFd,
}

impl Engine {
    /// Tells `client` once there is other news of `id` than `news`.
    pub(super) fn await_news(&mut self, id: EndpointId, news: u32, user: u32, client: OwnedFd) {
        let waiter = Waiter { id, user, client };
        if self.endpoints.get(id).is_none_or(|held| held.news != news) {
            return waiter.tell();
        }
        let waiters = &mut self.doors.waiters;
        let users = waiters.iter().map(|held| held.user);
        if let Some(oldest) = surplus(users, user, OF_USER, IN_ALL) {
            waiters.remove(oldest).tell();
        }
        waiters.push(waiter);
    }

    /// There is news of `id`, or it is gone.
    pub(in crate::driver) fn tell_waiters(&mut self, id: EndpointId) {
        if self.doors.waiters.is_empty() {
            return;
        }
        for waiter in self.doors.waiters.extract_if(.., |held| held.id == id) {
            waiter.tell();
        }
    }
}

impl Waiter {
    fn tell(self) {
        // Who does not take it has gone.
        let _ = pair::give(&self.client, &encode(&Ok(Vec::new())));
    }
}
