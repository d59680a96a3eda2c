//! Where packets go: a mirror of the kernel's routes, or the own address's few.

use core::net::Ipv4Addr;

use super::address::Ipv4Cidr;

/// Through what a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// The interface the stack drives.
    Stack,
    /// None: the destination is an address of the host itself.
    Local,
    /// Another interface: the kernel's business.
    Kernel,
    /// Nothing (unreachable, blackhole and prohibit routes).
    Unreachable,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub destination: Ipv4Cidr,
    /// The next hop; none: the destination itself is on the link.
    pub gateway: Option<Ipv4Addr>,
    /// The address of ours to use along it, if it names one.
    pub source: Option<Ipv4Addr>,
    /// If lower than the interface's, in bytes.
    pub mtu: Option<usize>,
    /// Of several equally specific routes the one with the lowest is used.
    pub metric: u32,
    /// Through what it leads.
    pub egress: Egress,
}

/// What to do with packets to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// The stack sends them.
    Stack {
        /// The address of ours to use.
        source: Ipv4Addr,
        /// Whom to give them to.
        next_hop: Ipv4Addr,
        /// Longest packet in bytes.
        mtu: usize,
    },
    /// They are the kernel's.
    Kernel,
    /// They cannot be sent.
    Unreachable,
}

/// The routes, most specific first, then by metric: the first that matches is the one.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    pub(crate) fn set(&mut self, mut routes: Vec<Route>) {
        routes.sort_by_key(|route| (u8::MAX - route.destination.prefix_len, route.metric));
        self.0 = routes;
    }

    pub(crate) fn find(&self, destination: Ipv4Addr) -> Option<&Route> {
        self.0
            .iter()
            .find(|route| route.destination.contains(destination))
    }
}
