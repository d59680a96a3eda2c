//! The IPv4 header (RFC 791).

use core::fmt;
use core::net::Ipv4Addr;

use super::{Malformed, checksum, read_address, read_u16, write_u16};

mod field {
    use core::ops::Range;
    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TOS: usize = 1;
    pub(super) const TOTAL_LEN: Range<usize> = 2..4;
    pub(super) const ID: Range<usize> = 4..6;
    pub(super) const FLAGS_OFFSET: Range<usize> = 6..8;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: Range<usize> = 10..12;
    pub(super) const SOURCE: Range<usize> = 12..16;
    pub(super) const DESTINATION: Range<usize> = 16..20;
}

/// Where the length of the whole packet stands.
pub(crate) const TOTAL_LEN: core::ops::Range<usize> = field::TOTAL_LEN;
/// Length of the header without options, in bytes.
pub(crate) const HEADER_LEN: usize = 20;
/// The longest packet, in bytes.
pub(crate) const MAX_LEN: usize = 65_535;

/// Protocol number of ICMP.
pub(crate) const ICMP: u8 = 1;
/// Protocol number of TCP.
pub(crate) const TCP: u8 = 6;
/// Protocol number of UDP.
pub(crate) const UDP: u8 = 17;

/// The bits of `tos` that are ECN's; all of them set: congestion was experienced (RFC 3168 section 5).
pub(crate) const ECN: u8 = 3;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// A header. What its options say is [`IpOptions`](crate::stack::ip_options::IpOptions)'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repr {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub(crate) tos: u8,
    pub(crate) id: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) more_fragments: bool,
    /// In bytes; a multiple of 8.
    pub(crate) fragment_offset: u16,
    /// In bytes. More than the length field can say is said by 0, as by Linux: whoever cuts the packet
    /// up says how long the pieces are.
    pub(crate) payload_len: u16,
}

/// The header at the start of `bytes`, and its length with options. The payload follows it and is
/// all there; bytes after it are the link's padding.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    let (repr, header_len) = parse_truncated(bytes)?;
    if bytes.len() < header_len + usize::from(repr.payload_len) {
        return Err(Malformed);
    }
    Ok((repr, header_len))
}

/// As [`parse`], of a packet that may be cut off after its header, as ICMP errors quote it.
pub(crate) fn parse_truncated(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    if bytes.len() < HEADER_LEN || bytes[field::VERSION_IHL] >> 4 != 4 {
        return Err(Malformed);
    }
    let header_len = usize::from(bytes[field::VERSION_IHL] & 0x0f) * 4;
    let total_len = read_u16(bytes, field::TOTAL_LEN);
    if header_len < HEADER_LEN || bytes.len() < header_len || usize::from(total_len) < header_len {
        return Err(Malformed);
    }
    let flags = read_u16(bytes, field::FLAGS_OFFSET);
    let repr = Repr {
        source: read_address(bytes, field::SOURCE),
        destination: read_address(bytes, field::DESTINATION),
        protocol: bytes[field::PROTOCOL],
        ttl: bytes[field::TTL],
        tos: bytes[field::TOS],
        id: read_u16(bytes, field::ID),
        dont_fragment: flags & DONT_FRAGMENT != 0,
        more_fragments: flags & MORE_FRAGMENTS != 0,
        fragment_offset: (flags & OFFSET_MASK) * 8,
        payload_len: total_len - header_len as u16,
    };
    Ok((repr, header_len))
}

/// Whether the checksum of the header in `bytes`, `header_len` long, is right.
pub(crate) fn checksum_ok(bytes: &[u8], header_len: usize) -> bool {
    checksum::of(&bytes[..header_len]) == 0
}

impl Repr {
    /// Writes the header, with its checksum, to the start of `bytes`.
    pub(crate) fn emit(&self, bytes: &mut [u8]) {
        self.emit_with(&[], bytes);
    }

    /// As [`emit`](Self::emit), with options, whose length is a multiple of 4.
    pub(crate) fn emit_with(&self, options: &[u8], bytes: &mut [u8]) {
        let header = &mut bytes[..HEADER_LEN + options.len()];
        header[field::VERSION_IHL] = 0x45 + (options.len() / 4) as u8;
        header[HEADER_LEN..].copy_from_slice(options);
        self.rewrite(header);
    }

    /// Writes all but the version and the options to `header`, which may have some, and its checksum.
    pub(crate) fn rewrite(&self, header: &mut [u8]) {
        let mut flags = self.fragment_offset / 8;
        if self.dont_fragment {
            flags |= DONT_FRAGMENT;
        }
        if self.more_fragments {
            flags |= MORE_FRAGMENTS;
        }
        header[field::TOS] = self.tos;
        write_u16(
            header,
            field::TOTAL_LEN,
            self.payload_len
                .checked_add(header.len() as u16)
                .unwrap_or(0),
        );
        write_u16(header, field::ID, self.id);
        write_u16(header, field::FLAGS_OFFSET, flags);
        header[field::TTL] = self.ttl;
        header[field::PROTOCOL] = self.protocol;
        write_u16(header, field::CHECKSUM, 0);
        header[field::SOURCE].copy_from_slice(&self.source.octets());
        header[field::DESTINATION].copy_from_slice(&self.destination.octets());
        let checksum = checksum::of(header);
        write_u16(header, field::CHECKSUM, checksum);
    }

    /// Whether this is a piece of a packet, not a whole one.
    pub(crate) fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "IP {} > {}: proto {}, ttl {}, id {}, length {}",
            self.source, self.destination, self.protocol, self.ttl, self.id, self.payload_len
        )?;
        if self.is_fragment() {
            let more = if self.more_fragments { "+" } else { "" };
            write!(f, " (frag {}{more})", self.fragment_offset)?;
        }
        Ok(())
    }
}
