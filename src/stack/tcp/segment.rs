//! What crosses the border to IP: segments out, and what IP knows of segments in.

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::stack::pool::Span;
use crate::stack::transmit::Treatment;
use crate::stack::wire::tcp::Repr;

/// Chunks a segment's payload may lie in: [`LONG_PAYLOAD`]'s.
pub const MAX_SPANS: usize = 17;

/// The longest payload of a super-packet: headers and room for what the link adds must fit 16 bits.
pub const SUPER_PAYLOAD: u32 = 65_535 - 140;
/// The same where the kernel cuts it up, whatever its header says. More gains nothing.
pub const LONG_PAYLOAD: u32 = 256 * 1024;

/// What IP knows about a segment that arrives.
#[derive(Clone, Copy, Debug)]
pub struct IpInfo<'a> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live it arrived with.
    pub ttl: u8,
    /// Type of service it arrived with.
    pub tos: u8,
    /// Whether a segment of no connection is answered with RST: whether the port is ours alone.
    pub answer_unknown: bool,
    /// Whether a SYN may open a connection: it is for us, of those who share the port.
    pub opens: bool,
    /// The bytes of the link's header, of the IP header and of the TCP header.
    pub headers: [&'a [u8]; 3],
}

/// What IP knows about the way to a destination.
#[derive(Clone, Copy, Debug)]
pub struct PathInfo {
    /// Bytes of the longest IP packet.
    pub mtu: usize,
    /// Bytes of the longest payload, if there are super-packets.
    pub longest: u32,
}

/// A segment to be sent: the header, where its payload lies, and how to cut it up.
#[derive(Clone, Debug)]
pub struct SegmentOut {
    /// Our address and port.
    pub local: SocketAddrV4,
    /// The peer's.
    pub remote: SocketAddrV4,
    /// The header, without checksum.
    pub repr: Repr,
    spans: [Span; MAX_SPANS],
    span_count: u8,
    /// Bytes of payload.
    pub payload_len: usize,
    /// Payload bytes of each piece the payload is to be cut into (GSO); 0: none, it fits the MTU.
    pub gso_size: u16,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// What goes with it beside its bytes.
    pub treatment: Treatment,
}

impl Default for SegmentOut {
    fn default() -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            local: nowhere,
            remote: nowhere,
            repr: Repr::default(),
            spans: [Span::default(); MAX_SPANS],
            span_count: 0,
            payload_len: 0,
            gso_size: 0,
            ttl: 64,
            tos: 0,
            treatment: Treatment::default(),
        }
    }
}

impl SegmentOut {
    /// Where the payload lies in the pool, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.span_count as usize]
    }

    pub(super) fn push_span(&mut self, span: Span) {
        if let Some(place) = self.spans.get_mut(self.span_count as usize) {
            *place = span;
            self.span_count += 1;
            self.payload_len += span.len;
        }
    }

    pub(super) fn clear_payload(&mut self) {
        self.span_count = 0;
        self.payload_len = 0;
        self.gso_size = 0;
    }
}
