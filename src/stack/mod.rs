//! The protocols: Ethernet, ARP, IPv4, ICMP, UDP and TCP as one state machine.
//!
//! ```text
//!   receive_frame ─► ethernet ─► arp ─► neighbor
//!                       │
//!                       ▼
//!        reassembly ◄─► ipv4 ─► icmp ─► errors to the sockets whose packets are quoted
//!                       │ └─► udp ──► Sink / queue ─► udp_receive
//!                       ▼
//!                    segments ─► tcp ─► Sink / queue ─► tcp_received, tcp_consume
//!
//!   tcp_send ─► tcp, its queues ─► segments ─┬─────────────────────► poll_transmit, or round
//!                                            │                       (loopback) to receive_ipv4
//!   udp_send ─► udp ───────────────► outbox ─┤ (one (super-)frame at a time)
//!   answers of arp, icmp ──────────► outbox ─┤
//!   who has no hardware address yet waits at its neighbor ─► outbox
//! ```
//!
//! `interface` knows the addresses and decides routes, `ports` what is ours of a shared address,
//! [`sharing`] what of that other stacks have, too.
//! Each protocol's user calls are in a file of their own: `tcp_calls`, `udp/user`.
//!
//! The stack does no input or output, has no clock, no thread, no errno and imports nothing of
//! this crate. `now` and randomness are arguments.
//!
//! The grammar of its names and the one drain rule:
//!
//! 1. `receive_*` takes something in, `poll_*` gives something out, user calls carry their
//!    protocol's name (`tcp_connect`, `udp_send`).
//! 2. After any `receive_*` or user call: `poll_transmit` until it gives nothing, then
//!    `poll_dirty` until it gives nothing, then be back by `next_deadline()` with
//!    `receive_timeout`. `receive_lull` before waiting, and what it lets go.
//! 3. `poll_dirty` names a socket whose outside may have changed; what changed is read from its
//!    status. A socket is named at most once per pass, so the driver's work is bounded.
//! 4. Every byte that arrives is untrusted. Nothing here panics on input or grows without bound.
//! 5. Connections are plain data with handles ([`SocketId`]) in place of pointers; they and their
//!    bytes live in one region, see [`layout`]. What else there is is derived from them.

#![forbid(unsafe_code)]

pub mod address;
mod arp;
pub mod config;
pub mod counters;
mod dirty;
pub mod error;
pub mod ethernet;
mod icmp;
pub mod ids;
mod interface;
pub mod ip_options;
mod ipv4;
pub mod layout;
mod loopback;
mod neighbor;
mod outbox;
pub mod passing;
mod path_mtu;
mod plain;
pub mod pool;
pub mod ports;
mod queue;
pub(crate) mod random;
mod rations;
mod reassembly;
mod records;
pub mod reports;
pub mod restore;
pub mod routes;
mod segments;
pub mod sendings;
pub mod sharing;
pub mod sink;
mod slab;
mod survey;
pub mod tcp;
mod tcp_calls;
mod tcp_repair;
pub mod time;
pub mod transmit;
pub mod udp;
pub mod wire;

use core::net::Ipv4Addr;

use self::address::Ipv4Cidr;
use self::config::Config;
use self::counters::{Counters, Drop};
use self::ethernet::Arrival;
use self::icmp::{RateLimit, Trouble};
use self::ids::SocketId;
use self::interface::Interface;
use self::ipv4::Identifications;
use self::layout::Memory;
use self::loopback::Loopback;
use self::neighbor::Neighbors;
use self::outbox::Outbox;
use self::passing::Road;
use self::pool::{Pool, Span};
use self::ports::{Ports, Protocol};
use self::random::{Keyed, Random};
use self::reassembly::Reassembly;
use self::reports::{Report, Reports};
use self::routes::{Route, RouteDecision};
use self::sendings::Sendings;
use self::sharing::SharedPorts;
use self::tcp::{SegmentOut, Tcp};
use self::time::Instant;
use self::udp::Udp;
use self::wire::{ethernet as ethernet_header, icmpv4};

/// The state machine. Its contract is the module's.
pub struct Stack {
    config: Config,
    pool: Pool,
    random: Random,
    counters: Counters,
    interface: Interface,
    ports: Ports,
    shared_ports: SharedPorts,
    neighbors: Neighbors,
    /// When an address of ours was last defended.
    defended: Option<Instant>,
    identifications: Identifications,
    reassembly: Reassembly,
    icmp_errors: RateLimit,
    echo_replies: RateLimit,
    outbox: Outbox,
    reports: Reports,
    sendings: Sendings,
    loopback: Loopback,
    udp: Udp,
    tcp: Tcp,
    /// See [`Self::take_road`].
    road: Option<&'static mut Road>,
    /// Room for the segment that is being sent.
    segment: SegmentOut,
}

impl Stack {
    /// A stack whose connections and queues lie in `memory`. The link is up; there are no addresses, routes, ports.
    pub fn new(config: Config, memory: Memory) -> Self {
        let tcp = Tcp::new(tcp::Config::from(&config), memory.tables);
        Self::assemble(config, memory.pool, tcp, memory.road)
    }

    fn assemble(config: Config, pool: Pool, tcp: Tcp, road: &'static mut Road) -> Self {
        let mut random = Random::new(config.seed);
        let keyed = Keyed::new(&config.secret);
        Self {
            config,
            pool,
            counters: Counters::default(),
            interface: Interface::new(&config, keyed),
            ports: Ports::new(),
            shared_ports: SharedPorts::default(),
            neighbors: Neighbors::new(keyed),
            defended: None,
            identifications: Identifications::new(keyed, &mut random),
            reassembly: Reassembly::new(&config.limits, keyed),
            icmp_errors: RateLimit::errors(),
            echo_replies: RateLimit::echo_replies(),
            outbox: Outbox::default(),
            reports: Reports::default(),
            sendings: Sendings::default(),
            loopback: Loopback::default(),
            udp: Udp::new(keyed),
            tcp,
            road: Some(road),
            segment: SegmentOut::default(),
            random,
        }
    }

    /// The road for bytes that pass between connections and their users where others see them. Whoever passes them takes
    /// it, once.
    pub fn take_road(&mut self) -> Option<&'static mut Road> {
        self.road.take()
    }

    /// Runs everything that is due.
    pub fn receive_timeout(&mut self, now: Instant) {
        self.outbox.release(&mut self.pool);
        self.interface.path_mtus.receive_timeout(now);
        let evicted = self.neighbors.take_evicted();
        self.counters.add(Drop::NeighborQueueFull, evicted);
        let failed = self.neighbors.receive_timeout(now);
        self.drop_waiting(now, failed);
        self.expire_fragments(now);
        self.tcp.receive_timeout(now, &mut self.pool);
    }

    /// Whoever drives is about to wait: what has waited for a user's answer, to go with that, goes now. Whether there is
    /// anything.
    pub fn receive_lull(&mut self) -> bool {
        self.tcp.receive_lull()
    }

    /// Before what is due is run: a deadline that has come may have moved away since it was told, as that of a
    /// retransmission does with every ACK, and is then told anew.
    pub fn put_off_timers(&mut self, now: Instant) {
        self.tcp.put_off_timers(now);
    }

    /// When [`receive_timeout`](Self::receive_timeout) has something to do, or earlier; none: never, as things are.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.loopback.next_deadline(),
            self.interface.path_mtus.next_deadline(),
            self.neighbors.next_deadline(),
            self.reassembly.next_deadline(),
            self.tcp.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next socket whose status may have changed.
    pub fn poll_dirty(&mut self) -> Option<SocketId> {
        self.tcp.poll_dirty().or_else(|| self.udp.poll_dirty())
    }

    /// An error with all that is known about it, for a socket that asked for that (IP_RECVERR).
    pub fn poll_report(&mut self) -> Option<(SocketId, Report)> {
        self.reports.poll()
    }

    /// The bytes of `span`, which came out of [`poll_transmit`](Self::poll_transmit).
    pub fn bytes(&self, span: Span) -> &[u8] {
        self.pool.bytes(span)
    }

    /// Bytes of the pool that queues hold.
    pub fn pool_used(&self) -> usize {
        self.pool.used()
    }

    /// Bytes of the whole pool.
    pub fn pool_size(&self) -> usize {
        self.pool.used() + self.pool.room()
    }

    /// What was counted since the stack was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether `address` is one of the host's that the stack serves.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        self.interface.is_local(address)
    }

    /// Whether `address` means all hosts of a network we are in.
    pub fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.interface.is_broadcast(address)
    }

    /// The address of ours to answer from what `from` has sent to `to`, which may be all hosts of a network.
    pub fn host_for(&self, from: Ipv4Addr, to: Ipv4Addr) -> Ipv4Addr {
        match self.is_broadcast(to) {
            true => self.interface.source_towards(from),
            false => to,
        }
    }

    /// Whether packets to `address`, that a socket is bound to, may come from the link.
    pub fn faces_link(&self, address: Ipv4Addr) -> bool {
        let ours = address.is_unspecified() || self.interface.is_ours(address);
        ours || self.interface.is_broadcast(address)
    }

    /// The addresses.
    pub fn addresses(&self) -> &[Ipv4Cidr] {
        &self.interface.addresses
    }

    /// Replaces the addresses. New ones are announced if they are the stack's own.
    pub fn set_addresses(&mut self, addresses: &[Ipv4Cidr]) {
        let old = core::mem::replace(&mut self.interface.addresses, addresses.to_vec());
        if !self.config.own_address {
            return;
        }
        for new in addresses {
            if !old.iter().any(|old| old.address == new.address) {
                self.announce(new.address);
            }
        }
    }

    /// Takes in another MTU of the interface, in bytes of IP packet.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.interface.mtu = mtu.max(interface::MIN_MTU);
    }

    /// Takes in whether super-packets may be longer than IPv4 can say, since the link cuts them up.
    pub fn set_takes_long(&mut self, takes_long: bool) {
        self.interface.takes_long = takes_long;
    }

    /// Takes in another hardware address of the interface.
    pub fn set_hardware_address(&mut self, hardware: [u8; 6]) {
        self.interface.hardware_address = hardware;
    }

    /// Takes in whether the interface is up. While it is not, frames are dropped. What was known
    /// about the neighbors is forgotten: there may be others afterwards.
    pub fn set_link_up(&mut self, up: bool) {
        if self.interface.up != up {
            self.interface.up = up;
            for _ in 0..self.neighbors.clear() {
                self.counters.drop(Drop::LinkDown);
            }
        }
    }

    /// Replaces the routes. Networks of our addresses need routes, too.
    pub fn set_routes(&mut self, routes: Vec<Route>) {
        self.interface.routes.set(routes);
        self.tcp.look_for_ways();
    }

    /// Where packets to `destination` go: by the longest prefix, then the lowest metric.
    pub fn route(&self, destination: Ipv4Addr) -> RouteDecision {
        self.interface.route(destination)
    }

    /// Takes in what the kernel knows about a neighbor.
    pub fn learn_neighbor(&mut self, now: Instant, address: Ipv4Addr, hardware: [u8; 6]) {
        let random = &mut self.random;
        let waiting = self.neighbors.confirm(now, random, address, hardware);
        self.send_waiting(hardware, waiting);
    }

    /// Says whether a port is the stack's. Of no effect with addresses of its own: then all are.
    pub fn set_port_owned(&mut self, protocol: Protocol, port: u16, owned: bool) {
        self.ports.set(protocol, port, owned);
        if !owned {
            self.shared_ports.forget(protocol, port);
        }
    }

    fn may_receive(&self, arrival: &Arrival, protocol: Protocol, port: u16) -> bool {
        self.config.own_address || arrival.looped || self.ports.is_owned(protocol, port)
    }

    /// Drops frames whose neighbor did not answer, and tells the sockets that sent them.
    fn drop_waiting(&mut self, now: Instant, waiting: Vec<neighbor::Waiting>) {
        for neighbor::Waiting { frame, .. } in waiting {
            self.counters.drop(Drop::NeighborUnreachable);
            let packet = &frame.header[ethernet_header::HEADER_LEN..frame.header_len];
            if let Ok(quote) = icmpv4::parse_quote(packet) {
                let trouble = Trouble::unreachable_neighbor(quote.source);
                self.receive_trouble(now, &quote, trouble);
            }
        }
    }
}
