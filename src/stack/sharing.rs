//! Ports that several stacks of one host share (SO_REUSEPORT): who takes what.
//!
//! Every stack sees all that arrives for such a port. Each has the same list of the sockets on it,
//! and of those that fit best the hash of the peer's address chooses one. A stack takes what a socket
//! of its own is chosen for; what belongs to its connections is its own in any case.
//!
//! 1. What is chosen depends on the list, its key and the addresses alone: so stacks with the same
//!    list agree, whatever version they are of.
//! 2. While lists differ, two stacks may take the same SYN, or none. Then the SYN comes again; or the
//!    peer goes on with one of the two, and the other, whose handshake is not the one that is
//!    completed, gives up without a word.
//! 3. What no connection here has is not answered once others have shared the port, whose connections
//!    may go on without a socket, or where such go on from before: it may be theirs.

use core::hash::{BuildHasher, Hasher};
use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::{BTreeSet, HashMap};

use super::Stack;
use super::ports::Protocol;
use super::random::Keyed;

/// The sockets on a port.
#[derive(Clone, Debug)]
pub struct Sharing {
    keyed: Keyed,
    sockets: Vec<Shared>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Its address; unspecified: all.
    pub local: Ipv4Addr,
    /// It is this stack's.
    pub ours: bool,
}

impl Sharing {
    /// A list, that all who share the port have under the same key.
    pub fn new(key: &[u8; 16], sockets: Vec<Shared>) -> Self {
        Self {
            keyed: Keyed::new(key),
            sockets,
        }
    }

    /// Others may have sockets on the port; this stack has none, or is not told yet.
    pub fn unknown() -> Self {
        Self::new(&[0; 16], Vec::new())
    }

    /// Whether no other stack shares the port.
    fn is_alone(&self) -> bool {
        !self.sockets.is_empty() && self.sockets.iter().all(|shared| shared.ours)
    }

    fn takes(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        let exact = self.choose(*local.ip(), local, remote);
        let chosen = exact.or_else(|| self.choose(Ipv4Addr::UNSPECIFIED, local, remote));
        chosen.is_some_and(|shared| shared.ours)
    }

    /// Of the sockets at `address` the one that has the two ends.
    fn choose(
        &self,
        address: Ipv4Addr,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<&Shared> {
        let at = |shared: &&Shared| shared.local == address;
        let count = self.sockets.iter().filter(at).count() as u64;
        let mut hasher = self.keyed.build_hasher();
        for end in [local, remote] {
            hasher.write_u32(end.ip().to_bits());
            hasher.write_u16(end.port());
        }
        let index = hasher.finish().checked_rem(count)?;
        self.sockets.iter().filter(at).nth(index as usize)
    }
}

/// The ports that are shared.
#[derive(Debug, Default)]
pub(super) struct SharedPorts {
    ports: HashMap<(Protocol, u16), Sharing>,
    /// TCP ports on which others had sockets, too.
    met: BTreeSet<u16>,
    /// TCP ports on which others have connections, but take no new ones.
    left: BTreeSet<u16>,
    /// Every port is.
    all: bool,
}

impl SharedPorts {
    fn get(&self, protocol: Protocol, port: u16) -> Option<&Sharing> {
        // As a rule there is none.
        (!self.ports.is_empty()).then(|| self.ports.get(&(protocol, port)))?
    }

    /// Whether this stack answers for what is nobody's on the port.
    pub(super) fn answers(&self, protocol: Protocol, port: u16) -> bool {
        let theirs =
            protocol == Protocol::Tcp && (self.left.contains(&port) || self.met.contains(&port));
        !self.all && !theirs && self.get(protocol, port).is_none_or(Sharing::is_alone)
    }

    /// Whether what begins between the two ends is this stack's.
    pub(super) fn takes(
        &self,
        protocol: Protocol,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> bool {
        self.get(protocol, local.port())
            .is_none_or(|sharing| sharing.takes(local, remote))
    }

    pub(super) fn forget(&mut self, protocol: Protocol, port: u16) {
        self.ports.remove(&(protocol, port));
        if protocol == Protocol::Tcp {
            self.met.remove(&port);
            self.left.remove(&port);
        }
    }
}

impl Stack {
    /// Takes in with whom a port is shared.
    pub fn share_port(&mut self, protocol: Protocol, port: u16, sharing: Sharing) {
        let others = sharing.sockets.iter().any(|shared| !shared.ours);
        if others && protocol == Protocol::Tcp {
            self.shared_ports.met.insert(port);
        }
        self.shared_ports.ports.insert((protocol, port), sharing);
    }

    /// Whether others have connections on a TCP port, though they take no new ones.
    pub fn leave_connections(&mut self, port: u16, left: bool) {
        match left {
            true => self.shared_ports.left.insert(port),
            false => self.shared_ports.left.remove(&port),
        };
    }

    /// Any port may be another stack's: what no connection has is not answered.
    pub fn share_all_ports(&mut self) {
        self.shared_ports.all = true;
    }

    /// Whether it was said with whom a port is shared.
    pub fn is_port_shared(&self, protocol: Protocol, port: u16) -> bool {
        self.shared_ports.get(protocol, port).is_some()
    }

    /// The addresses of this stack's sockets that share a port: listeners, UDP sockets without a
    /// peer.
    pub fn sharing_sockets(&self, protocol: Protocol, port: u16) -> Vec<Ipv4Addr> {
        match protocol {
            Protocol::Tcp => self.tcp.sharing_listeners(port),
            Protocol::Udp => self.udp.sharing_sockets(port),
        }
    }
}
