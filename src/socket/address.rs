//! Socket addresses as the program writes them.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use rustix::io::Errno;

use super::Family;

/// Longest address the kernel copies in (`struct sockaddr_storage`).
const LONGEST: usize = 128;
/// `sizeof(struct sockaddr_in)`.
const LEN4: usize = 16;
/// `sizeof(struct sockaddr_in6)` without the scope, which the kernel does not insist on.
const LEN6: usize = 24;
/// `sizeof(struct sockaddr_in6)`.
const FULL6: usize = 28;

/// An address the program gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// IPv4, or IPv4 mapped into IPv6.
    V4(SocketAddrV4),
    /// The IPv6 wildcard with a port: it stands for IPv4's too unless IPV6_V6ONLY is set.
    AnyV6(u16),
    /// IPv6 proper: the kernel's.
    V6(SocketAddrV6),
    /// AF_UNSPEC.
    Unspecified,
}

/// Reads an address of a socket of `family`. EINVAL: too short or too long; EAFNOSUPPORT.
pub fn read(bytes: &[u8], family: Family) -> Result<Given, Errno> {
    if bytes.len() > LONGEST || bytes.len() < 2 {
        return Err(Errno::INVAL);
    }
    let word = |at: usize| [bytes[at], bytes[at + 1]];
    let kind = i32::from(u16::from_ne_bytes(word(0)));
    if kind == libc::AF_UNSPEC && family == Family::Inet && bytes.len() >= LEN4 {
        return Ok(Given::Unspecified);
    }
    match family {
        _ if kind == libc::AF_UNSPEC => Ok(Given::Unspecified),
        Family::Inet if bytes.len() < LEN4 => Err(Errno::INVAL),
        Family::Inet if kind == libc::AF_INET => Ok(Given::V4(read_v4(bytes))),
        Family::Inet6 if bytes.len() < LEN6 => Err(Errno::INVAL),
        Family::Inet6 if kind == libc::AF_INET6 => Ok(read_v6(bytes)),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// Reads the destination of a datagram on a socket of `family`; `None`: it is as if none was given.
/// EINVAL: too short, too long, or (AF_INET6) of another family; EAFNOSUPPORT.
pub fn read_destination(bytes: &[u8], family: Family) -> Result<Option<Given>, Errno> {
    let kind = match bytes {
        [low, high, ..] if bytes.len() <= LONGEST => u16::from_ne_bytes([*low, *high]),
        _ => return Err(Errno::INVAL),
    };
    match (family, i32::from(kind)) {
        (Family::Inet6, libc::AF_UNSPEC) => Ok(None),
        (Family::Inet6, libc::AF_INET6) => read(bytes, family).map(Some),
        // Programs that name no family mean AF_INET.
        (_, libc::AF_INET) | (Family::Inet, libc::AF_UNSPEC) if bytes.len() >= LEN4 => {
            Ok(Some(Given::V4(read_v4(bytes))))
        }
        (Family::Inet, _) if bytes.len() >= LEN4 => Err(Errno::AFNOSUPPORT),
        _ => Err(Errno::INVAL),
    }
}

/// What AF_UNSPEC means to bind(2): old programs mean AF_INET's wildcard. EINVAL: too short; EAFNOSUPPORT.
pub fn read_wildcard(bytes: &[u8], family: Family) -> Result<SocketAddrV4, Errno> {
    let least = match family {
        Family::Inet => LEN4,
        Family::Inet6 => LEN6,
    };
    if bytes.len() < least {
        return Err(Errno::INVAL);
    }
    let local = read_v4(bytes);
    (family == Family::Inet && local.ip().is_unspecified())
        .then_some(local)
        .ok_or(Errno::AFNOSUPPORT)
}

/// Whether this is an address of AF_INET itself: UDP sockets of AF_INET6 connect to those too.
pub fn is_v4(bytes: &[u8]) -> bool {
    let kind = bytes.first_chunk().map(|kind| u16::from_ne_bytes(*kind));
    kind.map(i32::from) == Some(libc::AF_INET)
}

fn read_v4(bytes: &[u8]) -> SocketAddrV4 {
    let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
    SocketAddrV4::new(ip, u16::from_be_bytes([bytes[2], bytes[3]]))
}

fn read_v6(bytes: &[u8]) -> Given {
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[8..24]);
    let ip = Ipv6Addr::from(octets);
    match ip.to_ipv4_mapped() {
        Some(mapped) => Given::V4(SocketAddrV4::new(mapped, port)),
        None if ip.is_unspecified() => Given::AnyV6(port),
        None => {
            let word = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
            let flow = word(4).map_or(0, u32::from_be_bytes);
            let scope = word(LEN6).map_or(0, u32::from_ne_bytes);
            Given::V6(SocketAddrV6::new(ip, port, flow, scope))
        }
    }
}

/// An address as bytes of a `struct sockaddr_in` or `sockaddr_in6`; how many of them count.
pub fn write(address: impl Into<SocketAddr>, family: Family) -> ([u8; FULL6], usize) {
    let mut bytes = [0; FULL6];
    let address = match address.into() {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => return (write_v6(address), FULL6),
    };
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match family {
        Family::Inet => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            (bytes, LEN4)
        }
        Family::Inet6 => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            if !address.ip().is_unspecified() {
                bytes[8..24].copy_from_slice(&address.ip().to_ipv6_mapped().octets());
            }
            (bytes, FULL6)
        }
    }
}

/// An IPv4 address as a socket of `family` has it.
pub fn in_family(address: SocketAddrV4, family: Family) -> SocketAddr {
    let port = address.port();
    match (family, *address.ip()) {
        (Family::Inet, _) => address.into(),
        (Family::Inet6, ip) if ip.is_unspecified() => (Ipv6Addr::UNSPECIFIED, port).into(),
        (Family::Inet6, ip) => (ip.to_ipv6_mapped(), port).into(),
    }
}

fn write_v6(address: SocketAddrV6) -> [u8; FULL6] {
    let mut bytes = [0; FULL6];
    bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&address.flowinfo().to_be_bytes());
    bytes[8..24].copy_from_slice(&address.ip().octets());
    bytes[24..].copy_from_slice(&address.scope_id().to_ne_bytes());
    bytes
}
