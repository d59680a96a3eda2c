//! IPv4 addresses: networks, and which addresses no host may have.

use core::fmt;
use core::net::Ipv4Addr;

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Cidr {
    /// The address; of a host on the network or of the network itself.
    pub address: Ipv4Addr,
    /// Bits of the prefix, 0 to 32; more is taken for 32.
    pub prefix_len: u8,
}

impl Ipv4Cidr {
    /// `address` with a prefix of `prefix_len` bits.
    pub const fn new(address: Ipv4Addr, prefix_len: u8) -> Self {
        Self {
            address,
            prefix_len,
        }
    }

    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32_u32.saturating_sub(u32::from(self.prefix_len)))
            .unwrap_or(0)
    }

    /// Whether `address` lies in the network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.address.to_bits() ^ address.to_bits()) & self.mask() == 0
    }

    /// The network's broadcast address; networks of 31 and 32 bits have none (RFC 3021).
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        (self.prefix_len < 31).then(|| Ipv4Addr::from_bits(self.address.to_bits() | !self.mask()))
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// Whether `address` may be that of one host on a wire: RFC 1122 section 3.2.1.3 forbids the rest
/// as a source. As Linux, what was reserved then (0.0.0.0/8 but for its first, 240.0.0.0/4) is not
/// forbidden.
pub(crate) fn is_unicast(address: Ipv4Addr) -> bool {
    let forbidden = address.is_unspecified() || address.is_loopback();
    !(forbidden || address.is_multicast() || address.is_broadcast())
}
