//! The interface the stack drives: its addresses, and where packets go through it.

use core::net::Ipv4Addr;

use super::address::Ipv4Cidr;
use super::config::Config;
use super::path_mtu::PathMtus;
use super::random::Keyed;
use super::routes::{Egress, Route, RouteDecision, Routes};
use super::tcp::{LONG_PAYLOAD, SUPER_PAYLOAD};

/// What decides where a packet goes. Apart from the sockets, so that they can ask while they are
/// changed.
pub(crate) struct Interface {
    pub(crate) hardware_address: [u8; 6],
    /// The longest IP packet, in bytes.
    pub(crate) mtu: usize,
    /// Super-packets may be longer than IPv4 can say.
    pub(crate) takes_long: bool,
    pub(crate) up: bool,
    own_address: bool,
    loopback: bool,
    pub(crate) addresses: Vec<Ipv4Cidr>,
    pub(crate) routes: Routes,
    pub(crate) path_mtus: PathMtus,
}

impl Interface {
    pub(crate) fn new(config: &Config, keyed: Keyed) -> Self {
        Self {
            hardware_address: config.hardware_address,
            mtu: config.mtu.max(MIN_MTU),
            takes_long: false,
            up: true,
            own_address: config.own_address,
            loopback: config.loopback,
            addresses: Vec::new(),
            routes: Routes::default(),
            path_mtus: PathMtus::new(keyed),
        }
    }

    /// Whether `address` is one of ours.
    pub(crate) fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|ours| ours.address == address)
    }

    /// Whether what is sent to `address` turns round in the stack: it is the host's own.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        let is_local = |route: &Route| route.egress == Egress::Local;
        self.is_ours(address) || self.loopback && self.routes.find(address).is_some_and(is_local)
    }

    /// Whether `address` means all hosts of a network we are in.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        let networks = self.addresses.iter();
        address.is_broadcast()
            || networks
                .filter_map(|ours| ours.broadcast())
                .any(|broadcast| broadcast == address)
    }

    /// The address of ours to show to a host at `address` on the link.
    pub(crate) fn source_towards(&self, address: Ipv4Addr) -> Ipv4Addr {
        let near = self.addresses.iter().find(|ours| ours.contains(address));
        near.or(self.addresses.first())
            .map_or(Ipv4Addr::UNSPECIFIED, |ours| ours.address)
    }

    /// Where packets to `destination` go: by the longest prefix, then the lowest metric.
    pub(crate) fn route(&self, destination: Ipv4Addr) -> RouteDecision {
        if self.is_ours(destination) {
            return self.route_to_self(destination, destination);
        }
        let Some(route) = self.routes.find(destination) else {
            return match destination.is_loopback() {
                true => RouteDecision::Kernel,
                false => RouteDecision::Unreachable,
            };
        };
        match route.egress {
            Egress::Local => self.route_to_self(destination, route.source.unwrap_or(destination)),
            // Whatever the routes say, it never goes out (RFC 1122 section 3.2.1.3).
            Egress::Stack if destination.is_loopback() => RouteDecision::Kernel,
            Egress::Kernel => RouteDecision::Kernel,
            Egress::Unreachable => RouteDecision::Unreachable,
            // Multicast is not the stack's yet.
            Egress::Stack if destination.is_multicast() => RouteDecision::Kernel,
            Egress::Stack => self.route_out(route, destination),
        }
    }

    /// The longest payload of a TCP super-packet, in bytes, on a path with this MTU. What turns round
    /// is cut by nobody.
    pub(crate) fn longest_segment(&self, mtu: usize) -> u32 {
        match self.takes_long && mtu <= self.mtu {
            true => LONG_PAYLOAD,
            false => SUPER_PAYLOAD,
        }
    }

    /// The kernel knows a shared address; one of our own only we do.
    fn route_to_self(&self, destination: Ipv4Addr, source: Ipv4Addr) -> RouteDecision {
        let turns = self.loopback || self.own_address && self.is_ours(destination);
        if !turns {
            return RouteDecision::Kernel;
        }
        RouteDecision::Stack {
            source,
            next_hop: destination,
            mtu: LOOPBACK_MTU,
        }
    }

    fn route_out(&self, route: &Route, destination: Ipv4Addr) -> RouteDecision {
        let next_hop = match route.gateway {
            Some(gateway) if !self.is_broadcast(destination) => gateway,
            _ => destination,
        };
        let lowest = [route.mtu, self.path_mtus.get(destination)];
        let mtu = lowest.into_iter().flatten().fold(self.mtu, usize::min);
        RouteDecision::Stack {
            source: route
                .source
                .unwrap_or_else(|| self.source_towards(next_hop)),
            next_hop,
            mtu: mtu.max(MIN_MTU),
        }
    }
}

/// What turns round has no frame to fit into: as Linux's loopback interface.
const LOOPBACK_MTU: usize = 65_536;
/// Every IPv4 link takes so much (RFC 791 section 3.1); what claims less is not believed.
pub(crate) const MIN_MTU: usize = 68;
