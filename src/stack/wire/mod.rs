//! Wire formats: what the bytes of each header mean, and nothing else.
//!
//! Every file has the same parts: the layout as named ranges, a plain `Repr` of the fields the
//! stack uses, `parse` (checked: whatever it accepts can be used without a further check of
//! lengths), `emit`, and a Display like tcpdump's.
//!
//! 1. `parse` takes the bytes from the header's first on, to the end of what arrived, and returns
//!    the header and its length.
//! 2. `emit` writes the whole header; the caller gives it room for `header_len` bytes.
//! 3. Checksums are verified by the layer that knows whether they must be, with [`checksum`].

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod ethernet;
pub(crate) mod icmpv4;
pub(crate) mod ipv4;
pub mod seq;
pub mod tcp;
pub(crate) mod udp;

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::Range;

/// A header that cannot be what it claims to be: too short, of another version, or with lengths
/// that disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

fn read_u16(bytes: &[u8], field: Range<usize>) -> u16 {
    u16::from_be_bytes([bytes[field.start], bytes[field.start + 1]])
}

fn write_u16(bytes: &mut [u8], field: Range<usize>, value: u16) {
    bytes[field].copy_from_slice(&value.to_be_bytes());
}

fn read_u32(bytes: &[u8], field: Range<usize>) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[field]);
    u32::from_be_bytes(word)
}

fn read_address(bytes: &[u8], field: Range<usize>) -> Ipv4Addr {
    Ipv4Addr::from_bits(read_u32(bytes, field))
}

fn read_hardware(bytes: &[u8], field: Range<usize>) -> [u8; 6] {
    let mut address = [0; 6];
    address.copy_from_slice(&bytes[field]);
    address
}

/// A hardware address as it is usually written.
pub(crate) struct Hardware(pub(crate) [u8; 6]);

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// One line about a whole Ethernet frame, in tcpdump's words.
#[cfg(test)]
pub struct Summary<'a>(pub &'a [u8]);

#[cfg(test)]
impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok((frame, header_len)) = ethernet::parse(self.0) else {
            return write!(f, "truncated frame, length {}", self.0.len());
        };
        let payload = &self.0[header_len..];
        match frame.ethertype {
            ethernet::ARP => match arp::parse(payload) {
                Ok((arp, _)) => write!(f, "{arp}"),
                Err(Malformed) => f.write_str("ARP, malformed"),
            },
            ethernet::IPV4 => summarize_ipv4(payload, f),
            _ => write!(f, "{frame}"),
        }
    }
}

#[cfg(test)]
fn summarize_ipv4(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Ok((ip, header_len)) = ipv4::parse(bytes) else {
        return f.write_str("IP, malformed");
    };
    let payload = &bytes[header_len..header_len + usize::from(ip.payload_len)];
    if ip.fragment_offset != 0 {
        return write!(f, "{ip}");
    }
    match ip.protocol {
        ipv4::ICMP => match icmpv4::parse(payload) {
            Ok((icmp, _)) => write!(f, "IP {} > {}: {icmp}", ip.source, ip.destination),
            Err(Malformed) => write!(f, "{ip}, malformed ICMP"),
        },
        ipv4::UDP => match udp::parse(payload) {
            Ok((udp, header_len)) => write!(
                f,
                "IP {}.{} > {}.{}: UDP, length {}",
                ip.source,
                udp.source_port,
                ip.destination,
                udp.destination_port,
                usize::from(udp.length) - header_len
            ),
            Err(Malformed) => write!(f, "{ip}, malformed UDP"),
        },
        ipv4::TCP => match tcp::parse(payload) {
            Ok((tcp, header_len)) => write!(
                f,
                "IP {}.{} > {}.{}: {}",
                ip.source,
                tcp.source_port,
                ip.destination,
                tcp.destination_port,
                tcp.display(payload.len() - header_len)
            ),
            Err(Malformed) => write!(f, "{ip}, malformed TCP"),
        },
        _ => write!(f, "{ip}"),
    }
}
