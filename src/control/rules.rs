//! Policy routing (ip-rule(8)): the rules' tables as one table.
//!
//! The kernel asks one table after the other and takes the first answer; the stack has one table
//! and takes the longest prefix. So a route is left out if an earlier table has an answer for all
//! of its destinations.
//!
//! Only the rules that an ordinary packet of this host meets are followed: without a mark, of
//! whatever source, user and port. What VPNs add (WireGuard, Tailscale) is of that kind.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use netlink_packet_core::NlasIterator;

use super::routes::{Cidr, Egress, ListedRoute, Route};
use super::rtnetlink::{address, number};

/// `struct fib_rule_hdr` and the attributes of `linux/fib_rules.h`, which libc lacks.
const HEADER_LEN: usize = 12;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FIB_RULE_INVERT: u32 = 2;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_PROHIBIT: u8 = 8;

/// Every destination.
const ANYWHERE: Cidr = Cidr {
    address: Ipv4Addr::UNSPECIFIED,
    prefix_len: 0,
};

/// A rule that ordinary packets meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    priority: u32,
    /// The table to search; `None`: the search ends, the destination is unreachable.
    table: Option<u32>,
    /// The destinations it is for.
    within: Cidr,
    /// Routes with this prefix length or a shorter one do not count.
    suppressed: Option<u32>,
}

impl Lookup {
    /// The rules of a host that has none of its own.
    pub(super) fn defaults() -> Vec<Self> {
        let lookup = |priority, table: u8| Self {
            priority,
            table: Some(table.into()),
            within: ANYWHERE,
            suppressed: None,
        };
        vec![
            lookup(0, libc::RT_TABLE_LOCAL),
            lookup(32_766, libc::RT_TABLE_MAIN),
            lookup(32_767, libc::RT_TABLE_DEFAULT),
        ]
    }

    /// From the payload of RTM_NEWRULE. `None`: ordinary packets do not meet it.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_first_chunk::<HEADER_LEN>()?;
        let &[family, dst_len, _, tos, table, _, _, action, f0, f1, f2, f3] = header;
        if i32::from(family) != libc::AF_INET {
            return None;
        }
        let mut lookup = Self {
            priority: 0,
            table: Some(table.into()),
            within: ANYWHERE,
            suppressed: None,
        };
        let (mut special, mut mark, mut mask) = (tos != 0, 0, u32::MAX);
        for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
            match attribute.kind() {
                FRA_PRIORITY => lookup.priority = number(&attribute)?,
                FRA_TABLE => lookup.table = Some(number(&attribute)?),
                // All ones stands for none.
                FRA_SUPPRESS_PREFIXLEN => {
                    lookup.suppressed = number(&attribute).filter(|&length| length <= 32);
                }
                FRA_DST => {
                    lookup.within = Cidr {
                        address: address(&attribute)?,
                        prefix_len: dst_len,
                    };
                }
                FRA_FWMARK => mark = number(&attribute)?,
                FRA_FWMASK => mask = number(&attribute)?,
                // What this host sends comes in by its loopback interface.
                FRA_IIFNAME => special |= attribute.value() != b"lo\0",
                FRA_SUPPRESS_IFGROUP => special |= number(&attribute) != Some(u32::MAX),
                FRA_L3MDEV => special |= attribute.value() != [0],
                FRA_SRC | FRA_OIFNAME | FRA_TUN_ID | FRA_UID_RANGE | FRA_IP_PROTO
                | FRA_SPORT_RANGE | FRA_DPORT_RANGE => special = true,
                _ => {}
            }
        }
        let marked = mark & mask != 0;
        let inverted = u32::from_ne_bytes([f0, f1, f2, f3]) & FIB_RULE_INVERT != 0;
        let met = match inverted {
            false => !special && !marked,
            // "not" of a condition that ordinary packets do not fulfil. An inverted range of
            // destinations cannot be said in one table.
            true => (special || marked) && lookup.within == ANYWHERE,
        };
        match action {
            FR_ACT_TO_TBL => {}
            FR_ACT_BLACKHOLE..=FR_ACT_PROHIBIT => lookup.table = None,
            _ => return None,
        }
        met.then_some(lookup)
    }
}

/// One table out of those the rules name, in their order, for a stack that drives the interface.
pub(super) fn flatten(lookups: &[Lookup], listed: &[ListedRoute], driven: u32) -> Vec<Route> {
    let mut lookups = lookups.to_vec();
    lookups.sort_by_key(|lookup| lookup.priority);
    let mut answers: Vec<Answers> = Vec::new();
    let mut routes = Vec::new();
    for lookup in &lookups {
        let mut own = Answers::default();
        for (destination, route) in lookup.routes(listed, driven) {
            own.enter(destination, route.is_some());
            if let Some(route) = route
                && !answers.iter().any(|earlier| earlier.cover(destination))
            {
                routes.push(Route {
                    destination,
                    ..route
                });
            }
        }
        answers.push(own);
    }
    routes
}

impl Lookup {
    /// The destinations it has an answer for, with the answer; without one (throw), the search
    /// goes on.
    fn routes(
        &self,
        listed: &[ListedRoute],
        driven: u32,
    ) -> impl Iterator<Item = (Cidr, Option<Route>)> {
        let unreachable = Route {
            destination: self.within,
            gateway: None,
            source: None,
            mtu: None,
            metric: 0,
            egress: Egress::Unreachable,
        };
        let end = self
            .table
            .is_none()
            .then_some((self.within, Some(unreachable)));
        let found = listed
            .iter()
            .filter(move |route| Some(route.table) == self.table)
            .filter(|route| {
                let length = u32::from(route.destination.prefix_len);
                self.suppressed.is_none_or(|suppressed| length > suppressed)
            })
            .filter_map(move |route| {
                let destination = self.narrow(route.destination)?;
                Some((destination, route.resolve(driven)))
            });
        end.into_iter().chain(found)
    }

    /// What the rule and a route have in common.
    fn narrow(&self, destination: Cidr) -> Option<Cidr> {
        if self.within.covers(destination) {
            Some(destination)
        } else {
            destination.covers(self.within).then_some(self.within)
        }
    }
}

/// The destinations a table has routes for.
#[derive(Debug, Default)]
struct Answers {
    /// By network and prefix length; false for a throw route.
    networks: HashMap<(Ipv4Addr, u8), bool>,
    /// Bit n: there is a prefix of n bits.
    lengths: u64,
}

impl Answers {
    fn enter(&mut self, destination: Cidr, answered: bool) {
        let key = (destination.network(), destination.prefix_len);
        *self.networks.entry(key).or_insert(false) |= answered;
        self.lengths |= 1 << destination.prefix_len.min(63);
    }

    /// Whether the table has one answer for all of these destinations (or several that are longer
    /// prefixes of it).
    fn cover(&self, destination: Cidr) -> bool {
        (0..=destination.prefix_len.min(32))
            .rev()
            .filter(|length| self.lengths & (1 << length) != 0)
            .find_map(|prefix_len| {
                let wider = Cidr {
                    prefix_len,
                    ..destination
                };
                self.networks.get(&(wider.network(), prefix_len)).copied()
            })
            .unwrap_or(false)
    }
}
