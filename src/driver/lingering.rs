//! close(2) that waits (SO_LINGER) for a connection whose descriptors other processes have.
//!
//! Only the owner knows whether all is acknowledged, and whether the descriptor was the last one. So who is about to close
//! it asks ([`Question::Linger`](super::Question)), and stays at the desk. By the end of his side he says that he has
//! closed it. If others have the connection still, or everything is acknowledged, his call is over, which the end of the
//! owner's side tells; else when that comes. One that is not to linger (SO_LINGER of 0) is reset by then.

use core::time::Duration;
use rustix::fd::AsRawFd;

use super::Engine;
use super::door::surplus;
use super::endpoint::{Endpoint, EndpointId};
use crate::stack::ids::SocketId;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::poll_now;

/// Those that wait: of one user, and in all. The oldest goes: his close(2) returns early.
const OF_USER: usize = 256;
const IN_ALL: usize = 1024;

/// What a call is to wait for.
#[derive(Clone, Copy)]
pub(super) struct Lingerer {
    id: EndpointId,
    connection: SocketId,
}

/// A call that waits, or has given up.
struct Waiting {
    lingerer: Lingerer,
    user: u32,
    client: OwnedFd,
}

/// The calls, the oldest first.
#[derive(Default)]
pub(super) struct Lingering(Vec<Waiting>);

impl Engine {
    /// Somebody is about to close `id`. `None`: there is nothing to wait for.
    pub(super) fn lingerer(&self, id: EndpointId) -> Option<Lingerer> {
        let connection = self.endpoints.get(id)?.socket()?;
        Some(Lingerer { id, connection })
    }

    /// He has done so: lets him wait as long as there is something to wait for.
    pub(super) fn linger(&mut self, lingerer: Lingerer, user: u32, client: OwnedFd) {
        self.look_at(lingerer.id);
        let held = self.endpoints.get(lingerer.id);
        if held.is_none_or(Endpoint::hung_up) && !self.is_only_shut(lingerer.id) {
            let waiting = &mut self.lingering.0;
            waiting.retain(|held| poll_now(held.client.as_raw_fd(), 0) & libc::POLLHUP == 0);
            let users = waiting.iter().map(|held| held.user);
            if let Some(oldest) = surplus(users, user, OF_USER, IN_ALL) {
                waiting.remove(oldest);
            }
            waiting.push(Waiting {
                lingerer,
                user,
                client,
            });
        }
        self.finish_pass();
    }

    /// Whether a connection that is not to linger was closed: what was written, and is not sent, nobody is to have.
    pub(super) fn is_given_up(&self, id: EndpointId) -> bool {
        let held = self.endpoints.get(id);
        let closed = held.is_some_and(|held| held.linger == Some(Duration::ZERO) && held.hung_up());
        closed && !self.is_only_shut(id)
    }

    /// Lets those go for whom everything is done.
    pub(super) fn end_lingering(&mut self) {
        let (endpoints, stack) = (&self.endpoints, &self.stack);
        self.lingering.0.retain(|held| {
            let Lingerer { id, connection } = held.lingerer;
            endpoints.get(id).is_some() || !stack.tcp_all_acknowledged(connection)
        });
    }
}
