//! Lookup tables: from a segment's addresses to the connection, its remains or the listener.
//! All are derived from the connections and listeners and can be rebuilt.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::HashMap;

use crate::stack::random::Keyed;

/// The two ends of a connection, ours first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    ips: u64,
    ports: u32,
}

impl Tuple {
    pub(super) fn new(local: SocketAddrV4, remote: SocketAddrV4) -> Self {
        Self {
            ips: u64::from(local.ip().to_bits()) << 32 | u64::from(remote.ip().to_bits()),
            ports: u32::from(local.port()) << 16 | u32::from(remote.port()),
        }
    }
}

/// Who has a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A connection, by its index.
    Connection(u32),
    /// A connection's remains in TIME-WAIT, by their index.
    TimeWait(u32),
}

/// The tables.
pub(super) struct Tables {
    tuples: HashMap<Tuple, Holder, Keyed>,
    /// Listeners by address, with the port; several may share one (SO_REUSEPORT).
    listeners: HashMap<(Ipv4Addr, u16), Vec<u32>, Keyed>,
}

impl Tables {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self {
            tuples: HashMap::with_hasher(keyed),
            listeners: HashMap::with_hasher(keyed),
        }
    }

    pub(super) fn holder(&self, tuple: Tuple) -> Option<Holder> {
        self.tuples.get(&tuple).copied()
    }

    /// Whether one more tuple has room.
    pub(super) fn make_room(&mut self) -> bool {
        self.tuples.try_reserve(1).is_ok()
    }

    pub(super) fn insert(&mut self, tuple: Tuple, holder: Holder) {
        self.tuples.insert(tuple, holder);
    }

    /// Removes the tuple if `holder` still has it.
    pub(super) fn remove(&mut self, tuple: Tuple, holder: Holder) {
        if self.holder(tuple) == Some(holder) {
            self.tuples.remove(&tuple);
        }
    }

    /// The listeners at exactly this address.
    pub(super) fn listeners_at(&self, local: SocketAddrV4) -> &[u32] {
        let key = (*local.ip(), local.port());
        self.listeners.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The listener for a segment to `local` from `remote`: one at that very address before one at
    /// any address; of several, the tuple's hash chooses, so that a connection's segments agree.
    pub(super) fn listener(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u32> {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, local.port());
        let found = match self.listeners_at(local) {
            [] => self.listeners_at(any),
            found => found,
        };
        match found {
            [] => None,
            [one] => Some(*one),
            several => {
                let hash = core::hash::BuildHasher::hash_one(
                    self.tuples.hasher(),
                    Tuple::new(local, remote),
                );
                Some(several[(hash % several.len() as u64) as usize])
            }
        }
    }

    /// The listeners on a port, whatever their address.
    pub(super) fn listeners_on(&self, port: u16) -> impl Iterator<Item = u32> {
        let on = self.listeners.iter().filter(move |(key, _)| key.1 == port);
        on.flat_map(|(_, found)| found.iter().copied())
    }

    pub(super) fn insert_listener(&mut self, local: SocketAddrV4, index: u32) {
        let key = (*local.ip(), local.port());
        self.listeners.entry(key).or_default().push(index);
    }

    pub(super) fn remove_listener(&mut self, local: SocketAddrV4, index: u32) {
        let key = (*local.ip(), local.port());
        if let Some(sharing) = self.listeners.get_mut(&key) {
            sharing.retain(|&other| other != index);
            if sharing.is_empty() {
                self.listeners.remove(&key);
            }
        }
    }
}
