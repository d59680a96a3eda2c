//! What the kernel says about interfaces, addresses and routes (rtnetlink(7)).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::fd::OwnedFd;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::cli::os_error;

/// An interface as far as the stack cares.
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) up: bool,
    /// Carrier: the other end is there.
    pub(super) running: bool,
    pub(super) layer: LinkLayerType,
    /// Bytes of IP packet.
    pub(super) mtu: u32,
    pub(super) addresses: Vec<Address>,
    /// The metric of its best IPv4 default route (the main table's), and the gateway.
    pub(super) default_route: Option<(u32, Option<Ipv4Addr>)>,
}

/// An IPv4 address with the length of its prefix.
pub(super) struct Address {
    ip: Ipv4Addr,
    prefix: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// Room for one part of a dump; the kernel sends at most 32 KiB at a time.
const PART: usize = 64 << 10;

/// All interfaces of this network namespace.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let flags = SocketFlags::CLOEXEC;
    let family = rustix::net::AddressFamily::NETLINK;
    // Protocol 0 of this family is NETLINK_ROUTE.
    let socket = socket_with(family, SocketType::RAW, flags, None).map_err(os_error)?;
    let links = dump(
        &socket,
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
    )?;
    let mut request = AddressMessage::default();
    request.header.family = AddressFamily::Inet;
    let addresses = dump(&socket, RouteNetlinkMessage::GetAddress(request))?;
    let mut request = RouteMessage::default();
    request.header.address_family = AddressFamily::Inet;
    let routes = dump(&socket, RouteNetlinkMessage::GetRoute(request))?;
    Ok(links
        .iter()
        .filter_map(|message| interface(message, &addresses, &routes))
        .collect())
}

/// Sends a dump request and gathers the answers until the kernel says that it is done.
fn dump(socket: &OwnedFd, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    message.header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    send(socket, &bytes, SendFlags::empty()).map_err(os_error)?;

    let mut answers = Vec::new();
    let mut part = vec![0; PART];
    loop {
        let (length, _) =
            recv(socket, part.as_mut_slice(), RecvFlags::empty()).map_err(os_error)?;
        let mut rest = &part[..length];
        while !rest.is_empty() {
            let message: NetlinkMessage<RouteNetlinkMessage> =
                NetlinkMessage::deserialize(rest).map_err(io::Error::other)?;
            // The length was checked against the buffer; messages start at multiples of four.
            let taken = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(taken..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Done(_) => return Ok(answers),
                _ => {}
            }
        }
    }
}

fn interface(
    message: &RouteNetlinkMessage,
    addresses: &[RouteNetlinkMessage],
    routes: &[RouteNetlinkMessage],
) -> Option<Interface> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    let index = link.header.index;
    let flags = link.header.flags;
    let mut interface = Interface {
        name: String::new(),
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::LowerUp),
        layer: link.header.link_layer_type,
        mtu: 0,
        addresses: addresses.iter().filter_map(|a| address(a, index)).collect(),
        default_route: routes.iter().filter_map(|r| default_route(r, index)).min(),
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            _ => {}
        }
    }
    Some(interface)
}

fn address(message: &RouteNetlinkMessage, index: u32) -> Option<Address> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    if message.header.index != index {
        return None;
    }
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(ip)) => Some(Address {
                ip: *ip,
                prefix: message.header.prefix_len,
            }),
            _ => None,
        })
}

fn default_route(message: &RouteNetlinkMessage, index: u32) -> Option<(u32, Option<Ipv4Addr>)> {
    let RouteNetlinkMessage::NewRoute(route) = message else {
        return None;
    };
    let header = &route.header;
    if header.destination_prefix_length != 0
        || header.table != RouteHeader::RT_TABLE_MAIN
        || header.kind != RouteType::Unicast
    {
        return None;
    }
    let (mut metric, mut gateway, mut out) = (0, None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Oif(value) => out = Some(*value),
            RouteAttribute::Gateway(netlink_packet_route::route::RouteAddress::Inet(ip)) => {
                gateway = Some(*ip);
            }
            _ => {}
        }
    }
    (out == Some(index)).then_some((metric, gateway))
}
