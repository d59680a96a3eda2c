//! Ports for sockets whose program did not choose one: leased one by one, out of aligned blocks
//! of 64 so that the packet socket's filter stays short, and kept for reuse.
//!
//! Each change of the blocks costs a new filter, which costs more the more blocks there are. So who has many gets the next
//! ones several at a time.
//!
//! A leased port serves any number of connections to different peers. A search tries a few leased
//! ports from a cursor that goes round, then leases another one, and only when no more can be had
//! looks through all that are leased. So a connection costs a constant number of look-ups however
//! many ports there are, and the ports used longest ago come first.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use fastrand::Rng;
use rustix::io::Errno;

use super::cutoff::CutOff;
use super::lease::{Lease, LeaseOptions, Unbound};
use super::limits::PortRange;
use super::ports::{block_of, block_ports};

/// Leased ports tried before another one is leased.
const PROBES: usize = 8;

/// Refused or unsuitable ports skipped in one search: the bound on its system calls.
const MAX_TRIES: usize = 4096;

/// Who has so many blocks gets another one with the next, and so on.
const BLOCKS_FOR_ANOTHER: usize = 4;

/// Unused ports of a protocol that stay leased.
const MAX_IDLE: usize = 256;

/// Which protocol's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The ephemeral ports of one interface.
///
/// Each is held on all addresses, but for the driven interface only: elsewhere a connection to it
/// is refused as to any unused port. (A local program that connects to the driven interface's own
/// address counts as arriving there, and hears nothing.)
#[derive(Debug)]
pub struct EphemeralPorts {
    tcp: Table,
    udp: Table,
    cut_off: Arc<CutOff>,
}

impl EphemeralPorts {
    /// None leased yet. `range` and `reserved` are the system's (ip_local_port_range,
    /// ip_local_reserved_ports); `seed` makes the order unpredictable (RFC 6056).
    /// `cut_off` spares the kernel their packets.
    pub fn new(
        interface: Option<u32>,
        range: PortRange,
        reserved: &[PortRange],
        seed: u64,
        cut_off: Arc<CutOff>,
    ) -> Self {
        let table = |protocol, seed| Table {
            protocol,
            interface,
            cut_off: Arc::clone(&cut_off),
            range,
            reserved: reserved.to_vec(),
            random: Rng::with_seed(seed),
            ports: HashMap::new(),
            order: Vec::new(),
            cursor: 0,
            idle: 0,
            candidates: Vec::new(),
            blocks_left: Vec::new(),
            blocks: BTreeMap::new(),
            changes: 0,
            made: 0,
        };
        Self {
            tcp: table(Protocol::Tcp, seed),
            udp: table(Protocol::Udp, seed.rotate_left(32) ^ 1),
            cut_off,
        }
    }

    /// Where ports of the interface are cut off from the kernel.
    pub fn cut_off(&self) -> &Arc<CutOff> {
        &self.cut_off
    }

    /// A port for which `is_free` holds (TCP: the pair of addresses is not in use; UDP: no socket
    /// has the port), leased and counted as used once more until [`Self::release`].
    ///
    /// # Errors
    /// EADDRNOTAVAIL: none is left. EMFILE, ENFILE, ENOBUFS, ENOMEM: the kernel cannot make
    /// another socket, and no leased port is free.
    pub fn acquire(
        &mut self,
        protocol: Protocol,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<u16, Errno> {
        self.table(protocol).acquire(is_free)
    }

    /// Gives back one use of a port. Unknown ports are ignored.
    pub fn release(&mut self, protocol: Protocol, port: u16) {
        self.table(protocol).release(port);
    }

    /// Gives an unused port back to the kernel: somebody asks for it by its number.
    pub fn give_up(&mut self, protocol: Protocol, port: u16) {
        let table = self.table(protocol);
        if table.ports.get(&port).is_some_and(|held| held.users == 0) {
            table.idle -= 1;
            table.remove(port);
        }
    }

    /// Whether the port is one of these.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests ask"))]
    pub fn is_leased(&mut self, protocol: Protocol, port: u16) -> bool {
        self.table(protocol).ports.contains_key(&port)
    }

    /// The blocks that hold leased ports, or are about to, for the packet socket's filter.
    pub fn blocks(&self, protocol: Protocol) -> impl Iterator<Item = u16> {
        let table = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        table.blocks.keys().copied()
    }

    /// All leases. Unused ones that are too many are given back before.
    pub fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        let tables = [&mut self.tcp, &mut self.udp].into_iter();
        tables.flat_map(|table| {
            table.trim();
            table.ports.values_mut().map(|leased| &mut leased.lease)
        })
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.tcp.ports.len() + self.udp.ports.len()
    }

    /// Leases made so far.
    pub fn leases_made(&self) -> u64 {
        self.tcp.made + self.udp.made
    }

    /// Changes whenever [`Self::blocks`] does: then the packet socket needs a new filter, before
    /// the new port's first frame.
    pub fn changes(&self) -> u64 {
        self.tcp.changes + self.udp.changes
    }

    fn table(&mut self, protocol: Protocol) -> &mut Table {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        }
    }
}

/// A port that is held.
#[derive(Debug)]
struct Leased {
    /// Holds the port as long as it lives.
    lease: Lease,
    users: u32,
    /// Its place in `order`.
    place: usize,
}

#[derive(Debug)]
struct Table {
    protocol: Protocol,
    interface: Option<u32>,
    cut_off: Arc<CutOff>,
    range: PortRange,
    reserved: Vec<PortRange>,
    random: Rng,
    ports: HashMap<u16, Leased>,
    /// The leased ports, for the cursor.
    order: Vec<u16>,
    cursor: usize,
    /// Leased ports without a user.
    idle: usize,
    /// Ports of the blocks in work that were not tried yet, the next one last.
    candidates: Vec<u16>,
    /// Blocks not tried in this round, the next one last.
    blocks_left: Vec<u16>,
    /// Leased ports in each block that has any, or is in work.
    blocks: BTreeMap<u16, u16>,
    changes: u64,
    /// Leases made so far.
    made: u64,
}

impl Table {
    fn acquire(&mut self, is_free: impl Fn(u16) -> bool) -> Result<u16, Errno> {
        let probes = PROBES.min(self.order.len());
        if let Some(port) = self.probe(probes, &is_free) {
            return Ok(port);
        }
        self.lease_another(&is_free).or_else(|error| {
            let rest = self.order.len() - probes;
            self.probe(rest, &is_free).ok_or(error)
        })
    }

    /// Tries the next `count` leased ports.
    fn probe(&mut self, count: usize, is_free: impl Fn(u16) -> bool) -> Option<u16> {
        for _ in 0..count {
            self.cursor = (self.cursor + 1) % self.order.len().max(1);
            let port = *self.order.get(self.cursor)?;
            if is_free(port) {
                let leased = self.ports.get_mut(&port)?;
                if leased.users == 0 {
                    self.idle -= 1;
                }
                leased.users += 1;
                return Some(port);
            }
        }
        None
    }

    fn lease_another(&mut self, is_free: impl Fn(u16) -> bool) -> Result<u16, Errno> {
        let mut rounds = 0;
        let mut socket = None;
        for _ in 0..MAX_TRIES {
            let Some(port) = self.candidates.pop() else {
                rounds += usize::from(self.blocks_left.is_empty());
                // A second round would meet the same refusals.
                if rounds > 1 || !self.open_blocks() {
                    break;
                }
                continue;
            };
            if self.ports.contains_key(&port) || !is_free(port) {
                continue;
            }
            match self.lease(port, &mut socket) {
                Ok(lease) => {
                    self.insert(port, lease);
                    return Ok(port);
                }
                Err(Errno::ADDRINUSE | Errno::ACCESS | Errno::PERM) => {}
                Err(error) => {
                    self.candidates.push(port);
                    return Err(error);
                }
            }
        }
        Err(Errno::ADDRNOTAVAIL)
    }

    /// Takes up other blocks at random; false: there are none in the range.
    fn open_blocks(&mut self) -> bool {
        if self.blocks_left.is_empty() {
            self.blocks_left = (block_of(self.range.first)..=block_of(self.range.last)).collect();
            self.random.shuffle(&mut self.blocks_left);
        }
        let count = 1 + self.blocks.len() / BLOCKS_FOR_ANOTHER;
        let left = self.blocks_left.len().saturating_sub(count);
        let opened = self.blocks_left.split_off(left);
        for &block in &opened {
            self.block(block);
        }
        let reserved = &self.reserved;
        let (range, random) = (self.range, &mut self.random);
        self.candidates = opened
            .iter()
            .flat_map(|&block| block_ports(block))
            .filter(|&port| port != 0 && range.contains(port))
            .filter(|&port| !reserved.iter().any(|range| range.contains(port)))
            .collect();
        random.shuffle(&mut self.candidates);
        // Linux gives connect(2) the even ports and leaves the odd ones to bind(2).
        self.candidates.sort_by_key(|port| port % 2 == 0);
        !opened.is_empty()
    }

    /// The leased ports of a block, which has a part in the filter from now on.
    fn block(&mut self, block: u16) -> &mut u16 {
        self.blocks.entry(block).or_insert_with(|| {
            self.changes += 1;
            0
        })
    }

    /// `socket` is what another port was refused to, if any was.
    fn lease(&self, port: u16, socket: &mut Option<Unbound>) -> Result<Lease, Errno> {
        let unbound = match socket.take() {
            Some(unbound) => unbound,
            None => {
                let options = LeaseOptions {
                    interface: self.interface,
                    ..LeaseOptions::default()
                };
                Unbound::new(self.protocol, None, &options)?
            }
        };
        let local = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        let mut lease = unbound.bind(local).map_err(|(errno, unbound)| {
            *socket = Some(unbound);
            errno
        })?;
        lease.drop_cheaply(&self.cut_off);
        match self.protocol {
            // Where nothing is driven, no segment arrives that the kernel had better not see.
            Protocol::Tcp if self.interface.is_none() => {}
            Protocol::Tcp => lease.listen_dropped(None, 0)?,
            Protocol::Udp => lease.drop_arrivals(None)?,
        }
        lease.cut_off(&self.cut_off);
        Ok(lease)
    }

    fn insert(&mut self, port: u16, lease: Lease) {
        let place = self.order.len();
        self.order.push(port);
        let leased = Leased {
            lease,
            users: 1,
            place,
        };
        self.ports.insert(port, leased);
        self.made += 1;
        *self.block(block_of(port)) += 1;
    }

    fn release(&mut self, port: u16) {
        let Some(leased) = self.ports.get_mut(&port).filter(|leased| leased.users > 0) else {
            return;
        };
        leased.users -= 1;
        if leased.users > 0 {
            return;
        }
        // To take back one that has a copy in the vault costs more than to have it: many go at once.
        if self.idle < MAX_IDLE || leased.lease.has_copy() {
            self.idle += 1;
        } else {
            self.remove(port);
        }
    }

    /// Gives back unused ports that are too many.
    fn trim(&mut self) {
        let excess = self.idle.saturating_sub(MAX_IDLE);
        let unused = self.ports.iter().filter(|(_, leased)| leased.users == 0);
        let unused: Vec<u16> = unused.map(|(&port, _)| port).take(excess).collect();
        self.idle -= unused.len();
        unused.into_iter().for_each(|port| self.remove(port));
    }

    /// Gives the port back to the kernel.
    fn remove(&mut self, port: u16) {
        let Some(leased) = self.ports.remove(&port) else {
            return;
        };
        self.order.swap_remove(leased.place);
        if let Some(moved) = self.order.get(leased.place)
            && let Some(moved) = self.ports.get_mut(moved)
        {
            moved.place = leased.place;
        }
        let block = block_of(port);
        if let Some(in_block) = self.blocks.get_mut(&block) {
            *in_block -= 1;
            if *in_block == 0 {
                self.blocks.remove(&block);
                self.changes += 1;
            }
        }
    }
}
