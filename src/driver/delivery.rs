//! Where received bytes go: the waiting call's own buffer, the pair, or the receive queue.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, RawFd};
use rustix::io::Errno;

use super::endpoint::{Endpoints, Role};
use super::settle::watch;
use crate::stack::ids::SocketId;
use crate::stack::sink::Datagram;
use crate::stack::sink::Sink;
use crate::sys::pair;
use crate::sys::wait::Set;

/// Payloads at least this long, in bytes, go to the pair at once; shorter ones are gathered in
/// the receive queue and passed on together at the end of the pass.
const LONG: usize = 8 * 1024;

/// The buffer of a call that waits for one socket's bytes.
///
/// It is offered to the stack only while the waiting thread itself processes frames.
pub struct Direct<'a> {
    /// Whose bytes it waits for.
    pub socket: SocketId,
    /// Takes bytes; how many were taken.
    pub take: &'a mut dyn FnMut(&[u8]) -> usize,
    /// Takes a datagram whole (cut to the buffer's size).
    pub take_datagram: &'a mut dyn FnMut(&Datagram, &[u8]),
    /// Bytes or datagrams taken so far.
    pub taken: usize,
}

/// The engine's [`Sink`] for one pass.
pub(super) struct Delivery<'a, 'b> {
    pub(super) endpoints: &'a mut Endpoints,
    pub(super) set: &'a Set,
    /// The set whose waiter is told directly, and leaves its bytes in the queue.
    pub(super) collecting: Option<RawFd>,
    /// Nobody waits: a set's sockets may keep their bytes in the queue.
    pub(super) nobody_waits: bool,
    pub(super) direct: Option<&'a mut Direct<'b>>,
}

impl Sink for Delivery<'_, '_> {
    fn deliver(&mut self, id: SocketId, data: &[u8]) -> usize {
        let Some(endpoint_id) = self.endpoints.of_socket(id) else {
            return 0;
        };
        let token = endpoint_id.token();
        let Some(endpoint) = self.endpoints.get_mut(endpoint_id) else {
            return 0;
        };
        if !matches!(endpoint.role, Role::Connection(_)) || endpoint.full {
            return 0;
        }
        let mut taken = 0;
        if let Some(direct) = self.direct.as_deref_mut()
            && direct.socket == id
            && !endpoint.unread
        {
            taken = (direct.take)(data);
            direct.taken += taken;
            if taken == data.len() {
                return taken;
            }
        }
        if let Some(watcher) = endpoint.watcher
            && (self.collecting == Some(watcher.set) || self.nobody_waits)
        {
            return taken;
        }
        if endpoint.low_water > 1 {
            return taken;
        }
        let rest = &data[taken..];
        if rest.len() < LONG {
            return taken;
        }
        let Some(end) = &endpoint.end else {
            return taken;
        };
        match pair::give(end.as_fd(), rest) {
            Ok(given) => {
                endpoint.unread = true;
                endpoint.full = given < rest.len();
                taken += given;
            }
            Err(Errno::AGAIN) => endpoint.full = true,
            Err(_) => {}
        }
        if endpoint.full {
            watch(self.set, endpoint, token, EventFlags::OUT);
        }
        taken
    }

    fn deliver_datagram(&mut self, id: SocketId, datagram: &Datagram, data: &[u8]) -> bool {
        let Some(endpoint) = self
            .endpoints
            .of_socket(id)
            .and_then(|id| self.endpoints.get(id))
        else {
            return false;
        };
        match self.direct.as_deref_mut() {
            Some(direct) if direct.socket == id && direct.taken == 0 && !endpoint.unread => {
                (direct.take_datagram)(datagram, data);
                direct.taken = 1;
                true
            }
            _ => false,
        }
    }
}
