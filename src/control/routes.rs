//! Routes and addresses as plain values, and how rtnetlink spells them.

use std::net::Ipv4Addr;

use netlink_packet_core::NlaBuffer;
use netlink_packet_route::route::{
    RouteMessageBuffer, RouteNextHopBuffer, RouteNextHopFlags, RouteType,
};

use super::rtnetlink::{address, number};

/// An IPv4 address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix_len: u8,
}

impl Cidr {
    /// The network: the address with all bits behind the prefix cleared.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.mask())
    }

    /// Whether all of `other` is in this network.
    pub fn covers(self, other: Self) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.address)
    }

    /// Whether the address is in this network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (address.to_bits() ^ self.address.to_bits()) & self.mask() == 0
    }

    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix_len.min(32)))
            .unwrap_or(0)
    }
}

/// Who carries the packets of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// The stack, through the driven interface.
    Stack,
    /// Nobody: it is an address of this host.
    Local,
    /// The kernel, through another interface.
    Kernel,
    /// Nobody: blackhole, unreachable, prohibit.
    Unreachable,
}

/// A route of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which destinations.
    pub destination: Cidr,
    /// The next hop; `None`: the destination itself is a neighbor.
    pub gateway: Option<Ipv4Addr>,
    /// The source address the route asks for.
    pub source: Option<Ipv4Addr>,
    /// The path's MTU in bytes, where the route sets one.
    pub mtu: Option<u32>,
    /// Of routes with the same destination the lowest metric wins.
    pub metric: u32,
    /// Who carries the packets.
    pub egress: Egress,
}

/// Routes for addresses that are the stack's own: their networks, and everything else through the
/// gateway.
pub fn own_routes(addresses: &[Cidr], gateway: Option<Ipv4Addr>) -> Vec<Route> {
    let connected = addresses.iter().map(|cidr| Route {
        destination: Cidr {
            address: cidr.network(),
            prefix_len: cidr.prefix_len,
        },
        gateway: None,
        source: Some(cidr.address),
        mtu: None,
        metric: 0,
        egress: Egress::Stack,
    });
    let source = |gateway| {
        let near = addresses.iter().find(|cidr| cidr.contains(gateway));
        near.or(addresses.first()).map(|cidr| cidr.address)
    };
    let default = gateway.map(|gateway| Route {
        destination: Cidr {
            address: Ipv4Addr::UNSPECIFIED,
            prefix_len: 0,
        },
        gateway: Some(gateway),
        source: source(gateway),
        mtu: None,
        metric: 0,
        egress: Egress::Stack,
    });
    connected.chain(default).collect()
}

/// A route as rtnetlink lists it, before it is known which interface is driven.
#[derive(Clone, Debug)]
pub(super) struct ListedRoute {
    pub(super) table: u32,
    kind: RouteType,
    pub(super) destination: Cidr,
    source: Option<Ipv4Addr>,
    mtu: Option<u32>,
    pub(super) metric: u32,
    /// Where it leads; several for a multipath route.
    hops: Vec<Hop>,
}

/// A next hop.
#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    interface: Option<u32>,
    gateway: Option<Ipv4Addr>,
    /// Through a tunnel encapsulation or a gateway of another family: not for the stack.
    foreign: bool,
}

impl ListedRoute {
    /// From the payload of RTM_NEWROUTE. `None`: not an IPv4 route, not in use, or for a TOS only.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let message = RouteMessageBuffer::new_checked(payload).ok()?;
        let unused = u32::from(DEAD) | libc::RTM_F_CLONED;
        let skipped = message.flags() & unused != 0 || message.tos() != 0;
        if i32::from(message.address_family()) != libc::AF_INET || skipped {
            return None;
        }
        let mut route = Self {
            table: u32::from(message.table()),
            kind: RouteType::from(message.kind()),
            destination: Cidr {
                address: Ipv4Addr::UNSPECIFIED,
                prefix_len: message.destination_prefix_length(),
            },
            source: None,
            mtu: None,
            metric: 0,
            hops: Vec::new(),
        };
        let mut hop = Hop::default();
        for attribute in message.attributes().map_while(Result::ok) {
            match attribute.kind() {
                libc::RTA_DST => route.destination.address = address(&attribute)?,
                libc::RTA_TABLE => route.table = number(&attribute)?,
                libc::RTA_PRIORITY => route.metric = number(&attribute)?,
                libc::RTA_PREFSRC => route.source = address(&attribute),
                libc::RTA_METRICS => route.mtu = mtu_of(&attribute),
                libc::RTA_MULTIPATH => route.hops = next_hops(attribute.value()),
                _ => hop.take(&attribute),
            }
        }
        if route.hops.is_empty() {
            route.hops.push(hop);
        }
        Some(route)
    }

    /// Is this the default route of the main table? Then the interface it leads to.
    pub(super) fn default_interface(&self) -> Option<u32> {
        let is_default = self.table == u32::from(libc::RT_TABLE_MAIN)
            && self.kind == RouteType::Unicast
            && self.destination.prefix_len == 0;
        self.hops.first()?.interface.filter(|_| is_default)
    }

    /// As seen by a stack that drives the interface. `None`: it sends the search on to the next
    /// table (throw).
    pub(super) fn resolve(&self, driven: u32) -> Option<Route> {
        let ours = |hop: &&Hop| hop.interface == Some(driven) && !hop.foreign;
        let hop = self.hops.iter().find(ours);
        let egress = match self.kind {
            RouteType::Unicast | RouteType::Broadcast if hop.is_some() => Egress::Stack,
            RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => {
                Egress::Unreachable
            }
            RouteType::Local => Egress::Local,
            RouteType::Throw => return None,
            _ => Egress::Kernel,
        };
        Some(Route {
            destination: self.destination,
            gateway: hop.and_then(|hop| hop.gateway),
            source: self.source,
            mtu: self.mtu,
            metric: self.metric,
            egress,
        })
    }
}

impl Hop {
    /// Attributes a route and a next hop of a multipath route have in common.
    fn take(&mut self, attribute: &NlaBuffer<&[u8]>) {
        match attribute.kind() {
            libc::RTA_OIF => self.interface = number(attribute),
            libc::RTA_GATEWAY => self.gateway = address(attribute),
            RTA_VIA | RTA_ENCAP | RTA_ENCAP_TYPE => self.foreign = true,
            _ => {}
        }
    }
}

/// A next hop that the kernel does not use. One whose interface has no carrier is used, unless the system wants it
/// otherwise (`ignore_routes_with_linkdown`): then the kernel calls it dead as well.
const DEAD: u8 = RouteNextHopFlags::Dead.bits();

/// Attributes of `linux/rtnetlink.h` that libc lacks.
const RTA_VIA: u16 = 18;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTAX_MTU: u16 = 2;

/// The MTU among a route's metrics.
fn mtu_of(metrics: &NlaBuffer<&[u8]>) -> Option<u32> {
    netlink_packet_core::NlasIterator::new(metrics.value())
        .map_while(Result::ok)
        .find(|metric| metric.kind() == RTAX_MTU)
        .and_then(|metric| number(&metric))
}

/// The usable next hops of a multipath route.
fn next_hops(mut value: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Ok(buffer) = RouteNextHopBuffer::new_checked(value) {
        let length = usize::from(buffer.length());
        let mut hop = Hop {
            interface: Some(buffer.interface_index()),
            ..Hop::default()
        };
        for attribute in buffer.attributes().map_while(Result::ok) {
            hop.take(&attribute);
        }
        if buffer.flags() & DEAD == 0 {
            hops.push(hop);
        }
        match value.get(length.next_multiple_of(4)..) {
            Some(rest) if length > 0 => value = rest,
            _ => break,
        }
    }
    hops
}
