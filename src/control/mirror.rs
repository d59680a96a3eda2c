//! The kernel's view of the network, mirrored by rtnetlink: which interface to drive, its
//! addresses, the routes, the neighbors.
//!
//! Two sockets: one asks for whole tables, one hears of changes. Changes are only a reason to
//! read the table again, so nothing depends on their order or on none being lost.

use std::fmt;
use std::net::Ipv4Addr;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::address::AddressMessageBuffer;
use netlink_packet_route::link::LinkMessageBuffer;
use netlink_packet_route::neighbour::NeighbourMessageBuffer;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use super::routes::{Cidr, ListedRoute, Route};
use super::rtnetlink::{self, Rtnetlink, address, hardware_address, number};
use crate::sys::netlink::RouteSocket;

/// Datagrams of news read in one call, at most.
const MAX_NEWS: usize = 256;

/// The groups of changes to hear of (`linux/rtnetlink.h`).
const GROUPS: u32 = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV4_ROUTE) as u32;

/// The driven interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in this network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub hardware_address: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// Is it administratively up? False, too, when it is gone.
    pub up: bool,
    /// Does it have a carrier?
    pub running: bool,
}

/// What the mirror shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The driven interface.
    pub interface: Interface,
    /// Its IPv4 addresses, in the kernel's order: primary ones first.
    pub addresses: Vec<Cidr>,
    /// IPv4 routes of the main and local tables.
    pub routes: Vec<Route>,
}

/// What may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The interface: flags, MTU, MAC address.
    pub link: bool,
    /// Its addresses.
    pub addresses: bool,
    /// The routes.
    pub routes: bool,
}

impl News {
    /// Everything may have changed.
    pub const ALL: Self = Self {
        link: true,
        addresses: true,
        routes: true,
    };

    /// Did anything change?
    pub fn any(self) -> bool {
        self.link || self.addresses || self.routes
    }
}

/// Why there is no interface to drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorError {
    /// No interface has that name.
    NoSuchInterface(String),
    /// None was named, there is no default route, and not exactly one interface is up; these are.
    NoDefault(Vec<String>),
    /// The interface has no Ethernet header.
    NotEthernet {
        /// Its name.
        name: String,
        /// Its type (ARPHRD_* of `linux/if_arp.h`).
        hardware_type: u16,
    },
    /// rtnetlink failed.
    System(Errno),
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchInterface(name) => write!(f, "there is no interface \"{name}\""),
            Self::NoDefault(up) if up.is_empty() => {
                f.write_str("no interface is up; name one with SIDESTACK_INTERFACE")
            }
            Self::NoDefault(up) => write!(
                f,
                "there is no default route and more than one interface is up ({}); \
                 name one with SIDESTACK_INTERFACE",
                up.join(", ")
            ),
            Self::NotEthernet {
                name,
                hardware_type,
            } => write!(
                f,
                "interface \"{name}\" is not Ethernet (hardware type {hardware_type}), \
                 which is not supported yet"
            ),
            Self::System(errno) => write!(f, "cannot read the network's state: {errno}"),
        }
    }
}

impl From<Errno> for MirrorError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Mirrors the kernel's state of one interface.
#[derive(Debug)]
pub struct Mirror {
    requests: Rtnetlink,
    news: RouteSocket,
    facts: Facts,
}

impl Mirror {
    /// Finds the interface (by name; else the one with the default route; else the only one that
    /// is up and not loopback) and reads everything about it.
    ///
    /// # Errors
    /// There is none to drive, or rtnetlink fails.
    pub fn open(name: Option<&str>) -> Result<Self, MirrorError> {
        // The news come first, so that no change falls between reading and listening.
        let news = RouteSocket::subscription(GROUPS)?;
        let mut requests = Rtnetlink::open()?;
        let links = links(&mut requests)?;
        let routes = listed_routes(&mut requests)?;
        let interface = choose(&links, &routes, name)?.interface()?;
        let addresses = addresses(&mut requests, interface.index)?;
        let routes = resolve(&routes, interface.index);
        Ok(Self {
            requests,
            news,
            facts: Facts {
                interface,
                addresses,
                routes,
            },
        })
    }

    /// What is known, as of the last reading.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Readable when there are news.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }

    /// Takes the news without blocking and says what to [`Self::refresh`]. If some were lost,
    /// that is everything.
    pub fn receive_news(&mut self) -> News {
        let mut news = News::default();
        let mut buffer = vec![0; rtnetlink::BUFFER];
        for _ in 0..MAX_NEWS {
            match self.news.receive(&mut buffer) {
                Ok(datagram) => {
                    for message in rtnetlink::messages(datagram) {
                        news.note(message.kind, message.payload, self.facts.interface.index);
                    }
                }
                Err(Errno::AGAIN) => break,
                // ENOBUFS: some were lost. Anything else is no better known.
                Err(Errno::NOBUFS | Errno::MSGSIZE) => news = News::ALL,
                Err(_) => return News::ALL,
            }
        }
        news
    }

    /// Reads again what changed. An interface that is gone is reported as down.
    ///
    /// # Errors
    /// rtnetlink fails; the facts stay as they were.
    pub fn refresh(&mut self, news: News) -> Result<(), MirrorError> {
        let index = self.facts.interface.index;
        if news.link {
            let links = links(&mut self.requests)?;
            match links.into_iter().find(|link| link.index == index) {
                Some(link) => self.facts.interface = link.interface()?,
                None => (self.facts.interface.up, self.facts.interface.running) = (false, false),
            }
        }
        if news.addresses {
            self.facts.addresses = addresses(&mut self.requests, index)?;
        }
        if news.routes {
            self.facts.routes = resolve(&listed_routes(&mut self.requests)?, index);
        }
        Ok(())
    }

    /// The interface's neighbors whose hardware address the kernel holds for valid.
    ///
    /// # Errors
    /// rtnetlink fails.
    pub fn neighbors(&mut self) -> Result<Vec<(Ipv4Addr, [u8; 6])>, MirrorError> {
        let index = self.facts.interface.index;
        let parse = |payload: &[u8]| parse_neighbor(payload, index);
        Ok(self
            .requests
            .dump(libc::RTM_GETNEIGH, &family_header::<12>(), parse)?)
    }
}

impl News {
    fn note(&mut self, kind: u16, payload: &[u8], interface: u32) {
        // The interface's index stands at the same place in both headers.
        let index = payload.get(4..8).and_then(|bytes| bytes.try_into().ok());
        let ours = index.map(u32::from_ne_bytes) == Some(interface);
        match kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => self.link |= ours,
            libc::RTM_NEWADDR | libc::RTM_DELADDR => self.addresses |= ours,
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => self.routes = true,
            _ => {}
        }
        // An interface that goes down takes its routes with it without a word.
        self.routes |= self.link;
    }
}

/// An interface as rtnetlink lists it.
#[derive(Clone, Debug)]
struct Link {
    index: u32,
    hardware_type: u16,
    flags: u32,
    name: String,
    mtu: u32,
    hardware_address: Option<[u8; 6]>,
}

impl Link {
    fn parse(payload: &[u8]) -> Option<Self> {
        let message = LinkMessageBuffer::new_checked(payload).ok()?;
        let mut link = Self {
            index: message.link_index(),
            hardware_type: message.link_layer_type(),
            flags: message.flags(),
            name: String::new(),
            mtu: 0,
            hardware_address: None,
        };
        for attribute in message.attributes().map_while(Result::ok) {
            match attribute.kind() {
                libc::IFLA_IFNAME => {
                    let name = attribute.value().split(|&byte| byte == 0).next()?;
                    link.name = String::from_utf8_lossy(name).into_owned();
                }
                libc::IFLA_MTU => link.mtu = number(&attribute)?,
                libc::IFLA_ADDRESS => link.hardware_address = hardware_address(&attribute),
                _ => {}
            }
        }
        Some(link)
    }

    fn is_candidate(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0 && self.flags & libc::IFF_LOOPBACK as u32 == 0
    }

    fn interface(self) -> Result<Interface, MirrorError> {
        let hardware_address = match self.hardware_address {
            Some(address) if self.hardware_type == libc::ARPHRD_ETHER => address,
            _ => {
                return Err(MirrorError::NotEthernet {
                    name: self.name,
                    hardware_type: self.hardware_type,
                });
            }
        };
        Ok(Interface {
            index: self.index,
            name: self.name,
            hardware_address,
            mtu: self.mtu,
            up: self.flags & libc::IFF_UP as u32 != 0,
            running: self.flags & libc::IFF_RUNNING as u32 != 0,
        })
    }
}

fn choose(links: &[Link], routes: &[ListedRoute], name: Option<&str>) -> Result<Link, MirrorError> {
    if let Some(name) = name {
        let named = links.iter().find(|link| link.name == name).cloned();
        return named.ok_or_else(|| MirrorError::NoSuchInterface(name.to_owned()));
    }
    let default = routes
        .iter()
        .filter_map(|route| Some((route.metric, route.default_interface()?)))
        .min()
        .and_then(|(_, index)| links.iter().find(|link| link.index == index));
    if let Some(link) = default {
        return Ok(link.clone());
    }
    let candidates: Vec<&Link> = links.iter().filter(|link| link.is_candidate()).collect();
    match candidates.as_slice() {
        [only] => Ok((*only).clone()),
        several => Err(MirrorError::NoDefault(
            several.iter().map(|link| link.name.clone()).collect(),
        )),
    }
}

fn links(requests: &mut Rtnetlink) -> Result<Vec<Link>, Errno> {
    requests.dump(libc::RTM_GETLINK, &[0; 16], Link::parse)
}

fn listed_routes(requests: &mut Rtnetlink) -> Result<Vec<ListedRoute>, Errno> {
    requests.dump(
        libc::RTM_GETROUTE,
        &family_header::<12>(),
        ListedRoute::parse,
    )
}

fn resolve(routes: &[ListedRoute], interface: u32) -> Vec<Route> {
    let resolve = |route: &ListedRoute| route.resolve(interface);
    routes.iter().filter_map(resolve).collect()
}

fn addresses(requests: &mut Rtnetlink, interface: u32) -> Result<Vec<Cidr>, Errno> {
    let parse = |payload: &[u8]| parse_address(payload, interface);
    requests.dump(libc::RTM_GETADDR, &family_header::<8>(), parse)
}

fn parse_address(payload: &[u8], interface: u32) -> Option<Cidr> {
    let message = AddressMessageBuffer::new_checked(payload).ok()?;
    if i32::from(message.family()) != libc::AF_INET || message.index() != interface {
        return None;
    }
    let local = message
        .attributes()
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == libc::IFA_LOCAL)?;
    Some(Cidr {
        address: address(&local)?,
        prefix_len: message.prefix_len(),
    })
}

fn parse_neighbor(payload: &[u8], interface: u32) -> Option<(Ipv4Addr, [u8; 6])> {
    let message = NeighbourMessageBuffer::new_checked(payload).ok()?;
    let valid = message.state() & (libc::NUD_REACHABLE | libc::NUD_PERMANENT) != 0;
    if i32::from(message.family()) != libc::AF_INET || message.ifindex() != interface || !valid {
        return None;
    }
    let (mut protocol, mut hardware) = (None, None);
    for attribute in NlasIterator::new(message.payload()).map_while(Result::ok) {
        match attribute.kind() {
            libc::NDA_DST => protocol = address(&attribute),
            libc::NDA_LLADDR => hardware = hardware_address(&attribute),
            _ => {}
        }
    }
    Some((protocol?, hardware?))
}

/// The header of a request for a whole table: all zero but the family, which stands first.
fn family_header<const LEN: usize>() -> [u8; LEN] {
    let mut header = [0; LEN];
    if let Some(family) = header.first_mut() {
        *family = libc::AF_INET as u8;
    }
    header
}
