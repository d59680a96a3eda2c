//! Connections on their way from the accept queue, or from the kernel's side of a lease, to the
//! program.

use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, RawFd};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::endpoint::{Endpoint, EndpointId, Handed, Role};
use super::engine::TOKEN_LEASE;
use super::passed::{Passed, count_passed};
use super::ports::Lease;
use super::settle::STREAM_EVENTS;
use super::{Asker, Engine};
use crate::control::ephemeral::Protocol;
use crate::stack::ids::SocketId;
use crate::stack::time::Instant;
use crate::sys::owned::OwnedFd;
use crate::sys::{pair, raw, spare};

/// Connections in a listener's pair at a time: one tells readiness, the rest wait in the accept
/// queue, where they cost no descriptor (the kernel bounds descriptors in flight).
const IN_FLIGHT: usize = 1;

/// UDP's part of a lease token.
const UDP: u64 = 1 << 16;

impl Engine {
    /// Watches an endpoint's end from now on.
    pub fn watch_end(&mut self, id: EndpointId) {
        let also = if self.awaits_taking(id) {
            EventFlags::OUT
        } else {
            EventFlags::empty()
        };
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            super::settle::watch(&self.set, endpoint, id.token(), also);
        }
    }

    /// Whether it matters at once that another process has taken what is in a listener's pair, which shows by room in it:
    /// for the next one in the queue, and for a backlog in which there is no place beside it. Else it is looked for when the
    /// next one comes, and no accept(2) of others wakes who drives.
    fn awaits_taking(&self, id: EndpointId) -> bool {
        let shared = self.endpoints.get(id).filter(|held| held.is_shared());
        let Some(Role::Listener(listener)) = shared.map(|held| held.role) else {
            return false;
        };
        let status = self.stack.tcp_listener_status(listener);
        status.is_some_and(|status| status.queued > 0 || status.backlog == 0)
    }

    /// Watches the kernel's sockets of a lease for loopback clients or datagrams.
    pub fn watch_lease(&mut self, lease: &Lease) {
        let kind = if lease.protocol() == Protocol::Udp {
            UDP
        } else {
            0
        };
        let token = TOKEN_LEASE + (kind | u64::from(lease.port()));
        for kernel in self.ports.unwatched(lease) {
            kernel.tell_of_datagrams();
            // Without it, loopback clients would have to wait for the next one; nothing is lost.
            for socket in kernel.sockets() {
                let _ = self.set.add(socket, token, EventFlags::IN);
            }
        }
    }

    /// A kernel socket of a lease has something.
    pub(super) fn serve_lease(&mut self, token: u64) {
        let port = token as u16;
        if token & UDP == 0 {
            self.accept_from_kernel(port);
        } else {
            self.receive_from_kernel(port);
        }
    }

    fn listener_on(&self, port: u16) -> Option<EndpointId> {
        self.endpoints.ids().find(|&id| {
            let Some(Role::Listener(listener)) = self.endpoints.get(id).map(|held| held.role)
            else {
                return false;
            };
            let status = self.stack.tcp_listener_status(listener);
            status.is_some_and(|status| status.local.port() == port)
        })
    }

    fn accept_from_kernel(&mut self, port: u16) {
        let listener = self.listener_on(port);
        let mut listener = listener.and_then(|id| self.endpoints.get_mut(id));
        for lease in self.ports.kernel_sockets(Protocol::Tcp, port) {
            while let Ok(Some((client, _))) = lease.accept() {
                let Some(held) = listener.as_deref_mut() else {
                    // The lease listens on for what lives on the port. Nobody else does: a reset is
                    // the nearest to being refused.
                    let _ = sockopt::set_socket_linger(&client, Some(Duration::ZERO));
                    continue;
                };
                count_passed(Passed::Loopback);
                let message = Handed::default().encode();
                held.offers = true;
                held.lent += 1;
                if let Some(end) = &held.end {
                    // A full pair: the client is lost as with a full accept queue.
                    let _ = pair::give_descriptor(end, &message, client.as_fd());
                }
                // What is unread from now on need not be what was offered.
                if let Some(listener) = held.socket() {
                    self.stack.tcp_taken(listener);
                }
            }
        }
    }

    /// Another process may have taken what was in a listener's pair: the next one goes there now.
    pub fn offer_again(&mut self, id: EndpointId) {
        if let Some(Role::Listener(listener)) = self.endpoints.get(id).map(|held| held.role) {
            self.offer_connection(id, listener);
        }
    }

    /// Puts the next connection of a listener's accept queue into its pair, if none is there. One for which there is no
    /// descriptor, or that may not be on its way, waits in the queue, until somebody looks again.
    pub(super) fn offer_connection(&mut self, id: EndpointId, listener: SocketId) {
        self.note_if_taken(id, listener);
        self.tell_of_another(id, listener);
        self.offer_next(id, listener);
        let completed = self.completed(listener);
        if let Some(held) = self.endpoints.get_mut(id) {
            held.edges_told = completed;
        }
        self.watch_end(id);
    }

    /// Connections that have come into a listener's accept queue so far.
    fn completed(&self, listener: SocketId) -> u64 {
        let status = self.stack.tcp_listener_status(listener);
        status.map_or(0, |status| status.completed)
    }

    /// Connections that have come to a listener so far, whoever took them in; 0: it is none.
    pub fn connections_come(&self, id: EndpointId) -> u64 {
        let Some(held) = self.endpoints.get(id) else {
            return 0;
        };
        match held.role {
            Role::Listener(listener) => self.completed(listener).wrapping_add(held.lent),
            _ => 0,
        }
    }

    fn offer_next(&mut self, id: EndpointId, listener: SocketId) {
        while self.may_offer(id)
            && let Some(connection) = self.stack.tcp_offer(listener)
        {
            spare::keep();
            let handed = self.hand_over(id, connection);
            // The number that the program's end had meanwhile.
            spare::keep();
            match handed {
                Ok(adopted) => {
                    let now = self.now();
                    self.settle(now, adopted);
                }
                Err(_) => {
                    self.stack.tcp_withdraw(listener);
                    return self.lag(id);
                }
            }
        }
    }

    /// Of a listener that others have, too: whether another process has taken what was in its pair.
    fn note_if_taken(&mut self, id: EndpointId, listener: SocketId) {
        if let Some(held) = self.endpoints.get_mut(id)
            && held.has_lost_offer()
        {
            held.in_flight = 0;
            self.stack.tcp_taken(listener);
        }
    }

    /// Whether a listener's pair is to have another connection. A guest with as many sockets as he may have finds them in
    /// the queue, later.
    fn may_offer(&self, id: EndpointId) -> bool {
        let held = self.endpoints.get(id);
        held.is_some_and(|held| held.end.is_some() && held.in_flight < IN_FLIGHT)
            && self.has_room_for(id)
    }

    /// Puts a connection into a listener's pair; its endpoint.
    fn hand_over(&mut self, id: EndpointId, connection: SocketId) -> Result<EndpointId, Errno> {
        let made = pair::make(false, false, true)?;
        let status = self.stack.tcp_status(connection);
        let adopted = self.enter_connection(connection, made.stack, -1);
        self.announce(id, adopted, &made.program);
        let message = Handed {
            endpoint: Some(adopted),
            addresses: status.map(|status| (status.local, status.remote)),
        }
        .encode();
        let end = self.endpoints.get(id).and_then(|held| held.end.as_ref());
        let given = end.map_or(Err(Errno::PIPE), |end| {
            pair::give_descriptor(end, &message, made.program.as_fd())
        });
        if let Err(errno) = given {
            self.endpoints.remove(adopted);
            if let Some(lease) = self.ports.take_back(connection) {
                self.ports.release(&mut self.stack, lease);
            }
            return Err(errno);
        }
        if let Some(held) = self.endpoints.get_mut(id) {
            held.in_flight += 1;
            held.offers = true;
        }
        Ok(adopted)
    }

    /// What is to be known of a connection before whoever has the listener may have it, by `program`.
    fn announce(&mut self, listener: EndpointId, adopted: EndpointId, program: &OwnedFd) {
        let held = self.endpoints.get(listener);
        let record = held.and_then(|held| held.record.clone());
        let shared = held.is_some_and(Endpoint::is_open_elsewhere);
        if let Some(held) = self.endpoints.get_mut(adopted) {
            held.record = record;
            held.on_its_way = true;
        }
        if let Some(user) = self.guest(listener) {
            let asker = Asker {
                user,
                low_ports: false,
            };
            // There is room; what has no cookie is as good as refused.
            let _ = self.welcome(adopted, asker, program);
        }
        if shared {
            self.note_holders(adopted, program.as_raw_fd());
            self.endpoints.uncopied.push(adopted);
            self.copy_ends();
        }
    }

    /// CLOSE of a listener. What was on its way to the program is reset like all that it has not accepted.
    pub fn close_listener(&mut self, now: Instant, id: EndpointId, listener: SocketId) {
        // Another process may have accepted it.
        let held = self.endpoints.get(id);
        if held.is_some_and(|held| held.is_open_elsewhere() && held.has_taken_all()) {
            self.stack.tcp_taken(listener);
        }
        let offered = self.stack.tcp_offered(listener);
        self.stack.tcp_close(now, listener);
        if let Some(id) = offered.and_then(|offered| self.endpoints.of_socket(offered)) {
            self.forget(id);
        }
    }

    /// Gives a connection back that the program had no number for: it is still the next one.
    pub fn put_back(&mut self, id: EndpointId, handed: &[u8], program: &OwnedFd) {
        let Some(held) = self.endpoints.get_mut(id) else {
            return;
        };
        held.offers = true;
        if let Some(end) = &held.end {
            // A full pair: the connection is closed, which its end tells.
            let _ = pair::give_descriptor(end, handed, program.as_fd());
        }
    }

    /// With one connection in the pair, another makes no new edge there: an edge-triggered watcher
    /// is told by renewing its registration. Several, and those of other processes, wake by whatever changes about the
    /// pair, such as that nothing can be written to it any more.
    fn tell_of_another(&self, id: EndpointId, listener: SocketId) {
        let Some(held) = self.endpoints.get(id).filter(|held| held.in_flight > 0) else {
            return;
        };
        if held.edges
            && self.completed(listener) > held.edges_told
            && let Some(end) = &held.end
        {
            let _ = rustix::net::shutdown(end, rustix::net::Shutdown::Read);
        }
        if let Some(watcher) = held.watcher
            && watcher.is_edge_triggered()
            && self.is_readable(id)
        {
            // The set may be gone by now, and the watcher with it.
            let _ = raw::epoll_renew(watcher.set, watcher.fd, watcher.events, watcher.data);
        }
    }

    /// Makes an endpoint for an accepted connection, and gives it what has come; or leaves that while nobody waits.
    pub fn adopt(&mut self, connection: SocketId, end: OwnedFd, program: RawFd) -> EndpointId {
        let id = self.enter_connection(connection, end, program);
        if self.nobody_waits() && self.is_readable(id) {
            // Who is to receive it asks for it, or watches it first.
            self.leave_untold(id);
        } else {
            let now = self.now();
            self.settle(now, id);
        }
        id
    }

    /// Makes an endpoint for an accepted connection.
    fn enter_connection(
        &mut self,
        connection: SocketId,
        end: OwnedFd,
        program: RawFd,
    ) -> EndpointId {
        let endpoint = Endpoint::new(end, program, Role::Connection(connection));
        let status = self.stack.tcp_status(connection);
        endpoint.bound_pair(status.as_ref().and_then(|status| status.receive_buffer));
        let id = self.endpoints.insert(endpoint);
        if let Some((local, remote)) = status.map(|status| (status.local, status.remote))
            && let Some(lease) = self.ports.share(Protocol::Tcp, local.port())
        {
            self.ports.hold_between(connection, lease, local, remote);
        }
        if let Some(held) = self.endpoints.get_mut(id)
            && let Some(end) = &held.end
            && self.set.add(end, id.token(), STREAM_EVENTS).is_ok()
        {
            held.watched = STREAM_EVENTS;
        }
        id
    }
}

impl Endpoint {
    /// Whether a connection that is said to be in a listener's pair is there no more.
    pub(super) fn has_lost_offer(&self) -> bool {
        self.in_flight > 0
            && self.end.as_ref().is_some_and(pair::is_drained)
            // What is closed lets go of what was not taken: see `close_listener`.
            && !(self.is_open_elsewhere() && self.hung_up())
    }
}
