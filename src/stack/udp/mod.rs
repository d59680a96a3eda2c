//! UDP (RFC 768, RFC 1122 section 4.1).
//!
//! ```text
//!   receive_udp ─► the socket that fits best ─► Sink, or its queue ─► udp_receive
//!   udp_send ─► outbox (in fragments, if too long for the path) ─► poll_transmit
//! ```
//!
//! 1. A socket's queue is bounded by its receive buffer, counted as Linux does: with overhead, so
//!    that empty datagrams are not free. What exceeds it is dropped, newest first.
//! 2. An ICMP error is told once, by whichever call comes first; with IP_RECVERR there is a report
//!    about it besides.
//! 3. Ports are leased outside: two sockets may have the same address if the lease allowed it.
//!
//! Not here: multicast.

mod arrives;
mod options;
mod user;

pub use self::options::{PathMtuDiscovery, UdpOptions, UdpStatus};

use core::hash::{BuildHasher, Hash};
use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::{HashMap, VecDeque};

use super::config::Limits;
use super::dirty::Dirty;
use super::error::Error;
use super::ids::{Kind, SocketId};
use super::outbox::Owner;
use super::pool::Pool;
use super::queue::Queue;
use super::random::Keyed;
use super::sink::Datagram;
use super::slab::Slab;

/// What a queued datagram costs besides its payload: about what an sk_buff does.
pub(super) const OVERHEAD: usize = 768;

/// A UDP socket.
#[derive(Debug)]
struct Socket {
    id: SocketId,
    /// As the program bound it; what a dissolved association leaves.
    bound: SocketAddrV4,
    /// As an association made it: never unspecified while there is one.
    local: SocketAddrV4,
    remote: Option<SocketAddrV4>,
    options: UdpOptions,
    receive_buffer: usize,
    send_buffer: usize,
    datagrams: VecDeque<Datagram>,
    /// Their payloads, one behind the other.
    payloads: Queue,
    error: Option<Error>,
    /// Bytes with overhead in the outbox.
    sending: usize,
    /// A call found no room in the send buffer since it was last said that there is some.
    wants_room: bool,
    /// It had a peer when a datagram came.
    has_heard: bool,
    drops: u64,
}

impl Socket {
    fn new(id: SocketId, local: SocketAddrV4, limits: &Limits, options: &UdpOptions) -> Self {
        let mut socket = Self {
            id,
            bound: local,
            local,
            remote: None,
            options: *options,
            receive_buffer: 0,
            send_buffer: 0,
            datagrams: VecDeque::new(),
            payloads: Queue::default(),
            error: None,
            sending: 0,
            wants_room: false,
            has_heard: false,
            drops: 0,
        };
        socket.set_options(limits, options);
        socket
    }

    fn set_options(&mut self, limits: &Limits, options: &UdpOptions) {
        self.options = *options;
        self.receive_buffer = options.receive_buffer.unwrap_or(limits.rmem_default);
        self.send_buffer = options.send_buffer.unwrap_or(limits.wmem_default);
    }

    /// Whether others may have what is sent to its address.
    fn shares(&self) -> bool {
        self.options.reuse_port && self.remote.is_none()
    }

    /// What its queue costs.
    fn charge(&self) -> usize {
        self.payloads.len() + self.datagrams.len() * OVERHEAD
    }

    /// Whether datagrams to the address are for it.
    fn has(&self, address: Ipv4Addr) -> bool {
        self.local.ip().is_unspecified() || *self.local.ip() == address
    }

    /// How well it fits a datagram from `remote` to `local`; none: not at all.
    fn score(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u8> {
        if !self.has(*local.ip()) {
            return None;
        }
        let connected = match self.remote {
            Some(ours) if !hears(ours, remote) => return None,
            ours => ours.is_some(),
        };
        let of_one_family = !self.options.both_families;
        Some(
            u8::from(connected) << 2
                | u8::from(!self.local.ip().is_unspecified()) << 1
                | u8::from(of_one_family),
        )
    }
}

/// Whether a socket whose peer is `peer` hears `remote`. As on Linux, port 0 is any of the host's.
fn hears(peer: SocketAddrV4, remote: SocketAddrV4) -> bool {
    peer == remote || peer.port() == 0 && peer.ip() == remote.ip()
}

/// The UDP sockets.
pub(super) struct Udp {
    sockets: Slab<Socket>,
    /// By local port, oldest first.
    ports: HashMap<u16, Vec<SocketId>, Keyed>,
    dirty: Dirty,
    keyed: Keyed,
}

impl Udp {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self {
            sockets: Slab::new(),
            ports: HashMap::with_hasher(keyed),
            dirty: Dirty::default(),
            keyed,
        }
    }

    pub(super) fn poll_dirty(&mut self) -> Option<SocketId> {
        self.dirty.poll()
    }

    /// Takes in that a frame of `owner` entered the outbox.
    pub(super) fn queued(&mut self, owner: Owner) {
        if let Some(socket) = self.get_mut(owner.id) {
            socket.sending += owner.payload_len + OVERHEAD;
        }
    }

    /// Takes in that a frame of `owner` left the outbox.
    pub(super) fn sent(&mut self, owner: Owner) {
        let Some(socket) = self.get_mut(owner.id) else {
            return;
        };
        socket.sending -= owner.payload_len + OVERHEAD;
        if socket.wants_room && socket.sending < socket.send_buffer {
            socket.wants_room = false;
            self.dirty.mark(owner.id);
        }
    }

    fn with_port(&self, port: u16) -> &[SocketId] {
        self.ports.get(&port).map_or(&[], Vec::as_slice)
    }

    /// The socket that fits a datagram from `remote` to `local` best. Of several, that share a
    /// port the remote's hash picks one; of others the youngest has it, as on Linux.
    fn find(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<SocketId> {
        let score = |id: SocketId| self.get(id)?.score(local, remote);
        let candidates = self.with_port(local.port());
        let best = candidates.iter().filter_map(|&id| score(id)).max()?;
        let fitting = candidates.iter().copied();
        self.choose(fitting.filter(|&id| score(id) == Some(best)), &remote)
    }

    /// Of the sockets without a peer that are bound to all addresses, and for which `fits` holds, the
    /// one that `remote`'s datagrams are for.
    fn find_everywhere(
        &self,
        port: u16,
        remote: &impl Hash,
        fits: impl Fn(SocketId) -> bool,
    ) -> Option<SocketId> {
        let everywhere = |id: &SocketId| {
            let socket = self.get(*id);
            socket.is_some_and(|held| held.local.ip().is_unspecified() && held.remote.is_none())
        };
        let candidates = self.with_port(port).iter().copied().filter(everywhere);
        self.choose(candidates.filter(|&id| fits(id)), remote)
    }

    fn choose(
        &self,
        mut fitting: impl DoubleEndedIterator<Item = SocketId> + Clone,
        remote: &impl Hash,
    ) -> Option<SocketId> {
        let youngest = fitting.clone().next_back()?;
        let count = fitting.clone().count();
        let shared = count > 1 && self.get(youngest)?.options.reuse_port;
        if !shared {
            return Some(youngest);
        }
        fitting.nth(self.keyed.hash_one(remote) as usize % count)
    }

    /// The addresses of sockets without a peer that share a port (SO_REUSEPORT).
    pub(super) fn sharing_sockets(&self, port: u16) -> Vec<Ipv4Addr> {
        let sockets = self.with_port(port).iter().filter_map(|&id| self.get(id));
        sockets
            .filter(|socket| socket.shares())
            .map(|socket| *socket.local.ip())
            .collect()
    }

    /// Whether some socket is there for a datagram from `remote` to `local`.
    pub(super) fn hears(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        self.find(local, remote).is_some()
    }

    /// Whether some socket has the address, whoever its peer is.
    pub(super) fn has_socket(&self, local: SocketAddrV4) -> bool {
        let mut sockets = self
            .with_port(local.port())
            .iter()
            .filter_map(|&id| self.get(id));
        sockets.any(|socket| socket.has(*local.ip()))
    }

    fn get(&self, id: SocketId) -> Option<&Socket> {
        let socket = self.sockets.get(id.index);
        socket.filter(|socket| socket.id == id)
    }

    fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        let socket = self.sockets.get_mut(id.index);
        socket.filter(|socket| socket.id == id)
    }

    fn insert(&mut self, local: SocketAddrV4, limits: &Limits, options: &UdpOptions) -> SocketId {
        let mut id = SocketId {
            kind: Kind::Datagram,
            index: 0,
            generation: 0,
        };
        self.sockets.insert_with(|index, generation| {
            id.index = index;
            id.generation = generation;
            Socket::new(id, local, limits, options)
        });
        self.ports.entry(local.port()).or_default().push(id);
        id
    }

    fn remove(&mut self, pool: &mut Pool, id: SocketId) {
        if let Some(socket) = self.get_mut(id) {
            let port = socket.local.port();
            socket.payloads.clear(pool);
            self.leave_port(id, port);
            self.sockets.remove(id.index);
        }
    }

    fn leave_port(&mut self, id: SocketId, port: u16) {
        if let Some(ids) = self.ports.get_mut(&port) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    fn set_error(&mut self, id: SocketId, error: Error) {
        if let Some(socket) = self.get_mut(id) {
            socket.error = Some(error);
            self.dirty.mark(id);
        }
    }

    /// All sockets, in no order.
    pub(super) fn ids(&self) -> impl Iterator<Item = SocketId> {
        self.sockets.iter().map(|socket| socket.id)
    }

    /// The sockets a datagram to all hosts, to `local`, is for.
    fn find_all(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Vec<SocketId> {
        let fits = |id: &SocketId| {
            let socket = self.get(*id);
            socket.is_some_and(|socket| socket.score(local, remote).is_some())
        };
        let ids = self.with_port(local.port()).iter();
        ids.copied().filter(fits).collect()
    }
}
