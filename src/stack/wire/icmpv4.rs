//! ICMP (RFC 792), and the packets its errors quote.

use core::fmt;
use core::net::Ipv4Addr;

use super::{Malformed, checksum, ipv4, read_u16, read_u32, write_u16};

mod field {
    use core::ops::Range;
    pub(super) const KIND: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: Range<usize> = 2..4;
    pub(super) const REST: Range<usize> = 4..8;

    /// In the TCP or UDP header that an error quotes: at least 8 bytes of it are there.
    pub(super) const QUOTED_SOURCE_PORT: Range<usize> = 0..2;
    pub(super) const QUOTED_DESTINATION_PORT: Range<usize> = 2..4;
    pub(super) const QUOTED_SEQ: Range<usize> = 4..8;
    pub(super) const QUOTED_LEN: usize = 8;
}

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 8;
/// Type of a destination unreachable message.
pub(crate) const UNREACHABLE: u8 = 3;
/// Code of a destination unreachable message: nobody answered for the host.
pub(crate) const HOST_UNREACHABLE: u8 = 1;
/// Code of a destination unreachable message: nobody has the protocol.
pub(crate) const PROTOCOL_UNREACHABLE: u8 = 2;
/// Code of a destination unreachable message: no socket has the port.
pub(crate) const PORT_UNREACHABLE: u8 = 3;
/// Code of a destination unreachable message: fragmentation needed and DF set (RFC 1191).
pub(crate) const FRAGMENTATION_NEEDED: u8 = 4;
/// Code of a time exceeded message: fragments did not all come in time.
pub(crate) const REASSEMBLY_TIME: u8 = 1;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    EchoReply,
    Unreachable,
    SourceQuench,
    EchoRequest,
    TimeExceeded,
    ParameterProblem,
    Other(u8),
}

impl Kind {
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::EchoReply,
            UNREACHABLE => Self::Unreachable,
            4 => Self::SourceQuench,
            8 => Self::EchoRequest,
            11 => Self::TimeExceeded,
            12 => Self::ParameterProblem,
            other => Self::Other(other),
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::EchoReply => 0,
            Self::Unreachable => UNREACHABLE,
            Self::SourceQuench => 4,
            Self::EchoRequest => 8,
            Self::TimeExceeded => 11,
            Self::ParameterProblem => 12,
            Self::Other(other) => other,
        }
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repr {
    pub(crate) kind: Kind,
    pub(crate) code: u8,
    /// The second word: identifier and sequence number of an echo, next-hop MTU of
    /// fragmentation needed.
    pub(crate) rest: u32,
}

/// The header at the start of `bytes`, and its length.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    if bytes.len() < HEADER_LEN {
        return Err(Malformed);
    }
    let repr = Repr {
        kind: Kind::from_number(bytes[field::KIND]),
        code: bytes[field::CODE],
        rest: read_u32(bytes, field::REST),
    };
    Ok((repr, HEADER_LEN))
}

impl Repr {
    /// Why a packet has not reached what it was for.
    pub(crate) const fn unreachable(code: u8) -> Self {
        Self {
            kind: Kind::Unreachable,
            code,
            rest: 0,
        }
    }

    /// Writes the header to the start of `bytes`, with the checksum of it and of `data`, which
    /// follows it in pieces.
    pub(crate) fn emit(&self, bytes: &mut [u8], data: &[&[u8]]) {
        let header = &mut bytes[..HEADER_LEN];
        header[field::KIND] = self.kind.number();
        header[field::CODE] = self.code;
        write_u16(header, field::CHECKSUM, 0);
        header[field::REST].copy_from_slice(&self.rest.to_be_bytes());
        let sum = checksum::Sum::default().add(header);
        let sum = data.iter().fold(sum, |sum, piece| sum.add(piece));
        write_u16(header, field::CHECKSUM, sum.finish());
    }

    /// The MTU a fragmentation needed message tells; 0 from routers that do not know RFC 1191.
    pub(crate) fn next_hop_mtu(&self) -> u16 {
        self.rest as u16
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, seq) = (self.rest >> 16, self.rest & 0xffff);
        match self.kind {
            Kind::EchoRequest => write!(f, "ICMP echo request, id {id}, seq {seq}"),
            Kind::EchoReply => write!(f, "ICMP echo reply, id {id}, seq {seq}"),
            kind => write!(f, "ICMP type {}, code {}", kind.number(), self.code),
        }
    }
}

/// What an error message quotes of the packet it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote<'a> {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    /// In bytes, with its header.
    pub(crate) packet_len: usize,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The bytes after the ports: a TCP segment's sequence number.
    pub(crate) seq: u32,
    /// All that is quoted of the segment or datagram.
    pub(crate) transport: &'a [u8],
}

/// The quote in `bytes`, which follow an error message's header. Only the first fragment of a
/// packet has ports to tell.
pub(crate) fn parse_quote(bytes: &[u8]) -> Result<Quote<'_>, Malformed> {
    let (ip, header_len) = ipv4::parse_truncated(bytes)?;
    let transport = &bytes[header_len..];
    if transport.len() < field::QUOTED_LEN || ip.fragment_offset != 0 {
        return Err(Malformed);
    }
    Ok(Quote {
        source: ip.source,
        destination: ip.destination,
        protocol: ip.protocol,
        packet_len: header_len + usize::from(ip.payload_len),
        source_port: read_u16(transport, field::QUOTED_SOURCE_PORT),
        destination_port: read_u16(transport, field::QUOTED_DESTINATION_PORT),
        seq: read_u32(transport, field::QUOTED_SEQ),
        transport,
    })
}
