//! What stands before datagrams in a pair, so that whoever holds the descriptor knows their
//! addresses. Those of IPv4 are mapped to IPv6 there (RFC 4291 section 2.5.5.2).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::stack::ip_options::{self, IpOptions};
use crate::stack::sink::Datagram;
use crate::sys::clock;

/// What stands before each datagram that has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address it was sent to.
    pub to: IpAddr,
    /// The address of ours to answer from, of a datagram by IPv4.
    pub host: Ipv4Addr,
    /// The interface it came by; 0: the driven one, or loopback.
    pub interface: u32,
    /// Time to live, or hop limit, it arrived with.
    pub ttl: u8,
    /// DSCP and ECN it arrived with.
    pub tos: u8,
    /// When the interface had it, or else when the stack passed it on, in nanoseconds since 1970.
    pub at: u64,
    /// It is no datagram: it only makes the descriptor readable, for an error or an end.
    pub notice: bool,
    /// Bytes of each datagram it was put together from (UDP_GRO); 0: it is one.
    pub segment: u16,
    /// Bytes of the longest packet that it came in, in fragments (IP_RECVFRAGSIZE); 0: it came whole.
    pub fragment: u16,
    /// Datagrams the socket had lost when this one came (SO_RXQ_OVFL).
    pub drops: u32,
    /// Its header's options.
    pub options: IpOptions,
}

impl Arrived {
    /// Bytes of the header.
    pub const LEN: usize = ADDRESS + 44 + ip_options::MAX_LEN;

    /// Nothing but addresses.
    pub fn between(from: SocketAddr, to: IpAddr) -> Self {
        Self {
            from,
            to,
            host: match to {
                IpAddr::V4(to) => to,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            },
            interface: 0,
            ttl: 0,
            tos: 0,
            at: 0,
            notice: false,
            segment: 0,
            fragment: 0,
            drops: 0,
            options: IpOptions::NONE,
        }
    }

    /// No datagram.
    pub fn notice() -> Self {
        let nobody = Ipv4Addr::UNSPECIFIED;
        Self {
            notice: true,
            ..Self::between((nobody, 0).into(), nobody.into())
        }
    }

    /// Of a datagram that arrives now.
    pub fn now(datagram: &Datagram) -> Self {
        let at = match datagram.stamp {
            0 => clock::realtime(),
            stamp => stamp,
        };
        Self {
            ttl: datagram.ttl,
            tos: datagram.tos,
            at,
            segment: datagram.segment,
            fragment: datagram.fragment,
            drops: datagram.drops,
            options: datagram.options.at(at),
            ..Self::between(datagram.from.into(), datagram.to.into())
        }
    }

    /// The header.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        let (from, rest) = header.split_at_mut(ADDRESS);
        from.copy_from_slice(&address(self.from));
        rest[..16].copy_from_slice(&mapped(self.to).octets());
        rest[16..20].copy_from_slice(&self.interface.to_ne_bytes());
        rest[20..24].copy_from_slice(&self.drops.to_ne_bytes());
        rest[24..32].copy_from_slice(&self.at.to_ne_bytes());
        rest[32..34].copy_from_slice(&self.segment.to_ne_bytes());
        rest[34..37].copy_from_slice(&[self.ttl, self.tos, u8::from(self.notice)]);
        rest[37..41].copy_from_slice(&self.host.octets());
        rest[41..43].copy_from_slice(&self.fragment.to_ne_bytes());
        let options = self.options.as_bytes();
        rest[43] = options.len() as u8;
        rest[44..44 + options.len()].copy_from_slice(options);
        header
    }

    /// Reads a header.
    pub fn decode(header: &[u8; Self::LEN]) -> Self {
        let mut rest = &header[..];
        Self {
            from: read_address(&take(&mut rest)),
            to: IpAddr::from(Ipv6Addr::from(take(&mut rest))).to_canonical(),
            interface: u32::from_ne_bytes(take(&mut rest)),
            drops: u32::from_ne_bytes(take(&mut rest)),
            at: u64::from_ne_bytes(take(&mut rest)),
            segment: u16::from_ne_bytes(take(&mut rest)),
            ttl: u8::from_ne_bytes(take(&mut rest)),
            tos: u8::from_ne_bytes(take(&mut rest)),
            notice: u8::from_ne_bytes(take(&mut rest)) != 0,
            host: Ipv4Addr::from(take::<4>(&mut rest)),
            fragment: u16::from_ne_bytes(take(&mut rest)),
            options: {
                let [len] = take(&mut rest);
                let options: [u8; ip_options::MAX_LEN] = take(&mut rest);
                IpOptions::checked(options.get(..usize::from(len)).unwrap_or_default())
            },
        }
    }
}

/// What stands before each datagram that a forked child gives to its parent's stack. Messages
/// without it were written where we could not see it, and are for the connected peer.
#[derive(Clone, Copy, Debug)]
pub struct Departing {
    /// Whom it is for; `None`: the connected peer.
    pub to: Option<SocketAddr>,
}

impl Departing {
    /// Bytes of the header.
    pub const LEN: usize = 8 + ADDRESS;
    /// What no payload begins with by accident.
    const MARK: [u8; 8] = [0xff, b's', b'i', b'd', b'e', 0xfe, 0x00, 0x9e];

    /// The header.
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        header[..8].copy_from_slice(&Self::MARK);
        if let Some(to) = self.to {
            header[8..].copy_from_slice(&address(to));
        }
        header
    }

    /// The header of a message and its payload.
    pub(super) fn split(message: &[u8]) -> (Self, &[u8]) {
        let Some((header, payload)) = message.split_first_chunk::<{ Self::LEN }>() else {
            return (Self { to: None }, message);
        };
        let mut rest = &header[..];
        if take(&mut rest) != Self::MARK {
            return (Self { to: None }, message);
        }
        let to = read_address(&take(&mut rest));
        let to = (to.port() != 0).then_some(to);
        (Self { to }, payload)
    }
}

/// Bytes of an address: the IP address, the port, two of nothing, and the scope (ipv6(7)).
const ADDRESS: usize = 24;

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn address(address: SocketAddr) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    bytes[..16].copy_from_slice(&mapped(address.ip()).octets());
    bytes[16..18].copy_from_slice(&address.port().to_ne_bytes());
    if let SocketAddr::V6(address) = address {
        bytes[20..].copy_from_slice(&address.scope_id().to_ne_bytes());
    }
    bytes
}

fn read_address(bytes: &[u8; ADDRESS]) -> SocketAddr {
    let mut rest = &bytes[..];
    let ip = Ipv6Addr::from(take(&mut rest));
    let [port, _] = [take(&mut rest), take(&mut rest)].map(u16::from_ne_bytes);
    let scope = u32::from_ne_bytes(take(&mut rest));
    match ip.to_ipv4_mapped() {
        Some(ip) => (ip, port).into(),
        None => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

/// Takes the next bytes; zeros once there are none.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let Some((first, rest)) = bytes.split_first_chunk() else {
        return [0; N];
    };
    *bytes = rest;
    *first
}
