//! The kernel's view of the network, mirrored by rtnetlink: which interface to drive, its
//! addresses, the routes, the neighbors.
//!
//! Two sockets: one asks for whole tables, one hears of changes. Changes are only a reason to
//! read the table again, so nothing depends on their order or on none being lost.

use std::net::Ipv4Addr;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::address::AddressMessageBuffer;
use netlink_packet_route::neighbour::NeighbourMessageBuffer;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

pub use super::interfaces::{Interface, MirrorError};
use super::interfaces::{Link, choose};
use super::routes::{Cidr, ListedRoute, Route};
use super::rtnetlink::{self, Rtnetlink, address, hardware_address};
use super::rules::{self, Lookup};
use crate::sys::netlink::RouteSocket;

/// Datagrams of news read in one call, at most.
const MAX_NEWS: usize = 256;

/// The groups of changes to hear of (`linux/rtnetlink.h`).
const GROUPS: u32 = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV4_ROUTE) as u32;

/// What the mirror shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The driven interface.
    pub interface: Interface,
    /// Its IPv4 addresses, in the kernel's order: primary ones first.
    pub addresses: Vec<Cidr>,
    /// IPv4 routes of every table the rules lead an ordinary packet to, as one table.
    pub routes: Vec<Route>,
}

/// What may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The interface: flags, MTU, MAC address, offloads.
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

    /// Whether anything has changed.
    pub fn any(self) -> bool {
        self.link || self.addresses || self.routes
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
        let (lookups, routes) = listed_routes(&mut requests)?;
        let interface = choose(&links, &routes, name)?.interface(news.as_fd())?;
        let addresses = addresses(&mut requests, interface.index)?;
        let routes = rules::flatten(&lookups, &routes, interface.index);
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
                Some(link) => self.facts.interface = link.interface(self.news.as_fd())?,
                None => (self.facts.interface.up, self.facts.interface.running) = (false, false),
            }
        }
        if news.addresses {
            self.facts.addresses = addresses(&mut self.requests, index)?;
        }
        if news.routes {
            let (lookups, routes) = listed_routes(&mut self.requests)?;
            self.facts.routes = rules::flatten(&lookups, &routes, index);
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
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE | libc::RTM_NEWRULE | libc::RTM_DELRULE => {
                self.routes = true;
            }
            _ => {}
        }
        // An interface that goes down takes its routes with it without a word.
        self.routes |= self.link;
    }
}

fn links(requests: &mut Rtnetlink) -> Result<Vec<Link>, Errno> {
    requests.dump(libc::RTM_GETLINK, &[0; 16], Link::parse)
}

fn listed_routes(requests: &mut Rtnetlink) -> Result<(Vec<Lookup>, Vec<ListedRoute>), Errno> {
    let header = family_header::<12>();
    // A kernel without policy routing has no rules to tell.
    let lookups = match requests.dump(libc::RTM_GETRULE, &header, Lookup::parse) {
        Ok(lookups) if !lookups.is_empty() => lookups,
        Ok(_) | Err(Errno::OPNOTSUPP) => Lookup::defaults(),
        Err(error) => return Err(error),
    };
    let routes = requests.dump(libc::RTM_GETROUTE, &header, ListedRoute::parse)?;
    Ok((lookups, routes))
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
