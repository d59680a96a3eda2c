//! A frame on its way out, as the driver gives it to the link.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::Stack;
use super::ipv4::TRANSPORT;
use super::pool::Span;
use super::wire::checksum::{self, Sum};
use super::wire::{ethernet, ipv4, tcp};

/// Room for the headers of a frame, in bytes.
pub const HEADER_MAX: usize = 128;
/// The most runs of bytes a payload may lie in.
pub const MAX_SPANS: usize = 17;

/// Where a payload lies in the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spans {
    spans: [Span; MAX_SPANS],
    count: usize,
}

impl Spans {
    /// Adds a run. More than [`MAX_SPANS`] cannot be held: whoever makes a frame bounds its
    /// payload to 256 KiB, which lie in at most so many chunks.
    pub fn push(&mut self, span: Span) {
        debug_assert!(self.count < MAX_SPANS);
        if let Some(place) = self.spans.get_mut(self.count) {
            *place = span;
            self.count += 1;
        }
    }

    /// The runs, in order.
    pub fn as_slice(&self) -> &[Span] {
        &self.spans[..self.count]
    }

    /// Bytes in all runs.
    pub fn payload_len(&self) -> usize {
        self.as_slice().iter().map(|span| span.len).sum()
    }

    /// Forgets all runs.
    pub fn clear(&mut self) {
        self.count = 0;
    }
}

/// What is left to the link, in virtio_net_hdr's terms (VIRTIO 1.2 section 5.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Offset in the frame of the first byte to sum: the transport header.
    pub checksum_start: u16,
    /// Offset from there of the checksum field, which holds the folded pseudo-header sum.
    pub checksum_offset: u16,
    /// The segment is to be cut.
    pub gso: Option<Gso>,
}

/// How to cut a TCP segment that is longer than the MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Payload of each piece but the last, in bytes.
    pub size: u16,
    /// All headers, in bytes.
    pub header_len: u16,
}

/// What goes with a frame beside its bytes, for the sending host's own filters and queues (socket(7)).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Treatment {
    /// SO_MARK.
    pub mark: u32,
    /// SO_PRIORITY.
    pub priority: u32,
}

/// One frame to send. The driver has one and reuses it, so no frame is allocated.
///
/// The spans are valid until the next call of the stack that is not `poll_*` or `bytes`: several
/// frames may be collected and sent together, but all before the stack is told anything new.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// The headers, and short payloads behind them.
    pub header: [u8; HEADER_MAX],
    /// Bytes used of `header`.
    pub header_len: usize,
    /// The payload behind them.
    pub spans: Spans,
    /// What is left to the link; none: the frame is complete.
    pub offload: Option<Offload>,
    /// What goes with it.
    pub treatment: Treatment,
}

impl Default for Transmit {
    fn default() -> Self {
        Self {
            header: [0; HEADER_MAX],
            header_len: 0,
            spans: Spans::default(),
            offload: None,
            treatment: Treatment::default(),
        }
    }
}

impl Transmit {
    /// Bytes of the whole frame.
    pub fn frame_len(&self) -> usize {
        self.header_len + self.spans.payload_len()
    }

    /// Does in software what was left to the link, and gives each frame that results to `emit`.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "simulated wires have no link that would")
    )]
    pub fn complete(&self, stack: &Stack, mut emit: impl FnMut(&[u8])) {
        let mut frame = Vec::with_capacity(self.frame_len());
        frame.extend_from_slice(&self.header[..self.header_len]);
        for &span in self.spans.as_slice() {
            frame.extend_from_slice(stack.bytes(span));
        }
        match self.offload {
            None => emit(&frame),
            Some(Offload { gso: Some(gso), .. }) => segment(&frame, gso, emit),
            Some(offload) => {
                complete_checksum(&mut frame, offload);
                emit(&frame);
            }
        }
    }
}

/// Cuts a TCP segment as GSO does: each piece has the headers of the whole, with its own sequence
/// number, identification, lengths and checksums; what belongs to the end of the data stays there.
fn segment(frame: &[u8], gso: Gso, mut emit: impl FnMut(&[u8])) {
    let (headers, payload) = frame.split_at(usize::from(gso.header_len));
    let mut headers = headers.to_vec();
    // The length of the whole may be more than the field can say, and is none of the pieces'.
    headers[ethernet::HEADER_LEN..][ipv4::TOTAL_LEN].fill(u8::MAX);
    let ip = ipv4::parse_truncated(&headers[ethernet::HEADER_LEN..]);
    let tcp = tcp::parse(&headers[TRANSPORT..]);
    let (Ok((ip, _)), Ok((tcp, header_len))) = (ip, tcp) else {
        return;
    };
    let mut piece = headers.clone();
    let last = payload.len().saturating_sub(1) / usize::from(gso.size);
    for (index, data) in payload.chunks(usize::from(gso.size)).enumerate() {
        let len = header_len + data.len();
        let ip = ipv4::Repr {
            id: ip.id.wrapping_add(index as u16),
            payload_len: len as u16,
            ..ip
        };
        ip.emit(&mut piece[ethernet::HEADER_LEN..]);
        let tcp = tcp::Repr {
            seq: tcp.seq + (index * usize::from(gso.size)) as u32,
            flags: flags_of_piece(tcp.flags, index == 0, index == last),
            ..tcp
        };
        tcp.emit(&mut piece[TRANSPORT..]);
        piece.truncate(headers.len());
        piece.extend_from_slice(data);
        let pseudo = Sum::pseudo_header(ip.source, ip.destination, ipv4::TCP, len);
        let checksum = pseudo.add(&piece[TRANSPORT..]).finish();
        piece[TRANSPORT..][tcp::CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
        emit(&piece);
    }
}

/// FIN and PSH are the last piece's, CWR the first's (RFC 3168 section 6.1.2 wants it once).
fn flags_of_piece(flags: tcp::Flags, first: bool, last: bool) -> tcp::Flags {
    let mut bits = flags.0;
    if !last {
        bits &= !(tcp::Flags::FIN.0 | tcp::Flags::PSH.0);
    }
    if !first {
        bits &= !tcp::Flags::CWR.0;
    }
    tcp::Flags(bits)
}

fn complete_checksum(frame: &mut [u8], offload: Offload) {
    let start = usize::from(offload.checksum_start);
    let field = start + usize::from(offload.checksum_offset);
    // Zero would say "none computed" to UDP (RFC 768); 0xffff is the same number to the sum.
    let checksum = match checksum::of(&frame[start..]) {
        0 => 0xffff,
        checksum => checksum,
    };
    frame[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
}
