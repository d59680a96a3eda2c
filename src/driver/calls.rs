//! What the socket layer asks of the engine besides waiting.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use rustix::io::Errno;

use super::Engine;
use super::convert::stack_protocol;
use super::endpoint::{Endpoint, EndpointId, Role};
use super::seat::Seat;
use crate::control::ephemeral::Protocol;
use crate::control::limits;
use crate::stack::config::Limits;
use crate::stack::ids::SocketId;
use crate::stack::tcp::State;
use crate::stack::tcp::TcpOptions;
use crate::stack::udp::UdpOptions;
use crate::sys::heap;

/// How long, in nanoseconds, frames may wait while the program finds other things to do.
const BEHIND: u64 = 200_000;

impl Engine {
    /// Sees to it that there is memory for one more socket. ENOMEM.
    pub fn make_room(&mut self) -> Result<(), Errno> {
        heap::room()?;
        match self.endpoints.make_room() && self.ports.make_room() {
            true => Ok(()),
            false => Err(Errno::NOMEM),
        }
    }

    /// Whether `address` is one the stack serves.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        self.stack.is_local(address)
    }

    /// Whether a packet from `from` to `to`, which the stack has a route for, is the stack's to
    /// deliver.
    pub fn delivers(&self, protocol: Protocol, from: SocketAddrV4, to: SocketAddrV4) -> bool {
        let stack = &self.stack;
        let may_leave = stack.faces_link(*from.ip()) || stack.is_local(*to.ip());
        may_leave && stack.delivers(stack_protocol(protocol), from, to)
    }

    /// Whether `device` is the driven interface: its name (SO_BINDTODEVICE) or its index
    /// (SO_BINDTOIFINDEX).
    pub fn is_driven(&self, device: &[u8]) -> bool {
        let Some(mirror) = &self.mirror else {
            return false;
        };
        let interface = &mirror.facts().interface;
        let name = device.split(|&byte| byte == 0).next().unwrap_or_default();
        name == interface.name.as_bytes() || device == interface.index.to_ne_bytes()
    }

    /// Has arrivals stamped by the interface from now on: a socket asks when they came.
    pub fn stamp_arrivals(&mut self) {
        self.link.stamp();
    }

    /// Index of the driven interface.
    pub fn interface_index(&self) -> u32 {
        let mirror = self.mirror.as_ref();
        mirror.map_or(0, |mirror| mirror.facts().interface.index)
    }

    /// Frames moved and lost.
    pub fn link_statistics(&mut self) -> crate::link::Statistics {
        self.link.statistics()
    }

    /// The system's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A listener gives Fast Open's cookies: they are the host's, so that whoever listens after it knows them, too.
    pub fn take_fast_open_key(&mut self) {
        if let Some(key) = limits::fast_open_key() {
            self.stack.tcp_set_fast_open_key(key);
        }
    }

    /// Whether a thread of the program drives already.
    pub fn seat_is_taken(&self) -> bool {
        matches!(self.driving.seat, Seat::Thread(_))
    }

    /// Whether the link was not served for so long that a busy program should look at it by the
    /// way.
    pub fn is_behind(&self) -> bool {
        self.time.saturating_sub(self.last.served) > BEHIND
    }

    /// A call that does not wait has found nothing: looks at the link, unless it was served just
    /// now and the program only makes sure that it has taken all (as it must with EPOLLET). Who
    /// asks again at once means it.
    pub fn look_again(&mut self, id: EndpointId) {
        let behind = self.is_behind();
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && (core::mem::replace(&mut endpoint.found_empty, true) || behind)
        {
            self.glance(None);
        }
    }

    /// Connections that have left a listener's accept queue and wait in its pair.
    pub fn in_flight(&self, listener: SocketId) -> u64 {
        let id = self.endpoints.of_socket(listener);
        let held = id.and_then(|id| self.endpoints.get(id));
        held.filter(|held| !held.has_lost_offer())
            .map_or(0, |held| held.in_flight as u64)
    }

    /// Which of a listener's options the youngest connection has that waits to be accepted.
    pub fn newest_edition(&self, id: EndpointId) -> Option<u16> {
        let held = self.endpoints.get(id)?;
        let listener = held.socket()?;
        let queued = self.stack.tcp_newest_edition(listener);
        queued.or_else(|| {
            let offered = self
                .stack
                .tcp_offered(listener)
                .filter(|_| self.in_flight(listener) > 0)?;
            Some(self.stack.tcp_status(offered)?.edition)
        })
    }

    /// A call has received something.
    pub fn found_some(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.found_empty = false;
            endpoint.told = false;
        }
    }

    /// Gives a socket's changed options to the stack.
    pub fn apply(
        &mut self,
        id: EndpointId,
        linger: Option<Duration>,
        low_water: usize,
        tcp: &TcpOptions,
        udp: &UdpOptions,
    ) {
        let now = self.now();
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        endpoint.linger = linger;
        endpoint.low_water = low_water;
        endpoint.bound_pair(tcp.receive_buffer);
        let role = endpoint.role;
        self.say_anew(id);
        match role {
            Role::Datagram(socket) => self.stack.udp_set_options(socket, udp),
            Role::Connecting(socket) | Role::Connection(socket) | Role::Listener(socket) => {
                self.stack.tcp_set_options(now, socket, tcp);
                self.finish_pass();
            }
            Role::Undecided | Role::Ended => {}
        }
    }

    /// TCP_QUICKACK was set, which has a connection do something.
    pub fn quicken(&mut self, id: EndpointId, value: i32) {
        let now = self.now();
        let role = self.endpoints.get(id).map(|endpoint| endpoint.role);
        if let Some(Role::Connecting(socket) | Role::Connection(socket)) = role {
            self.stack.tcp_set_quickack(now, socket, value);
            self.finish_pass();
        }
    }

    /// bind(2) has given a socket an address.
    pub fn note_bound(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.bound = true;
            if endpoint.is_open_elsewhere() {
                self.share_as(id, |_| {});
            }
        }
    }

    /// What is said of a socket with the copy of its end has changed.
    pub fn say_anew(&mut self, id: EndpointId) {
        if self.endpoints.get(id).is_some_and(|held| held.copied) {
            self.endpoints.uncopied.push(id);
        }
    }

    /// Looks at an end now instead of waiting for its event.
    pub fn look_at(&mut self, id: EndpointId) {
        let now = self.now();
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        match endpoint.role {
            Role::Connection(_) => self.take_overflow(now, id),
            Role::Datagram(socket) if !endpoint.hung_up() => self.take_datagrams(id, socket),
            _ if endpoint.hung_up() && !self.is_only_shut(id) => self.close(now, id),
            _ => {}
        }
    }

    /// Whether a connection is over on both sides.
    pub fn is_closed(&self, connection: SocketId) -> bool {
        self.stack
            .tcp_progress(connection)
            .is_none_or(|progress| progress.state == State::Closed)
    }

    /// The program has read from a full pair: there is room for more. Where a waiter of ours asks
    /// for it, that can be put off until somebody else looks.
    pub fn refill(&mut self, id: EndpointId) {
        let endpoint = self.endpoints.get(id);
        if endpoint.is_some_and(|endpoint| endpoint.watcher.is_some() && !endpoint.is_shared()) {
            return self.lag(id);
        }
        let now = self.now();
        self.settle(now, id);
        self.finish_pass();
    }

    /// From now on the descriptor may be used for good where this process does not see it. That is also known to who goes
    /// on when this process is killed.
    pub fn share(&mut self, id: EndpointId) {
        self.share_as(id, |endpoint| endpoint.unseen_writers = true);
        if self.endpoints.get(id).is_some_and(|held| held.lags) {
            let now = self.now();
            self.settle(now, id);
        }
        if self.lacks_copies() {
            self.copy_ends();
        }
    }

    /// From now on signals may tell of the descriptor's events.
    pub fn signal_events(&mut self, id: EndpointId) {
        self.share(id);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.signals = true;
        }
        self.ask_for_room(id);
        self.settle_lagging();
    }

    /// From now on other processes may use all descriptors, which `mark` notes of each endpoint.
    pub(super) fn share_all(&mut self, mark: impl Fn(&mut Endpoint)) {
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            self.share_as(id, &mark);
        }
    }

    fn share_as(&mut self, id: EndpointId, mark: impl Fn(&mut Endpoint)) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            mark(endpoint);
            endpoint.was_shared = true;
        }
        self.leave_to_others(id);
    }

    /// Others may have use of an endpoint, and go on with it when this process is killed.
    pub(super) fn leave_to_others(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get(id) {
            let watched = endpoint.is_watched_for_others();
            if !endpoint.copied {
                self.endpoints.uncopied.push(id);
            }
            if watched {
                self.watch_end(id);
            }
        }
    }
}

impl Endpoint {
    /// Others may accept, or close it, where this process does not see it.
    fn is_watched_for_others(&self) -> bool {
        self.bound || matches!(self.role, Role::Listener(_))
    }

    /// Whether anything is to be done where others may have use of it. Most have that behind them, when there are many.
    pub(super) fn is_to_be_left(&self) -> bool {
        !self.copied || self.is_watched_for_others()
    }
}
