//! The TCP header (RFC 9293 section 3.1) and its options (RFC 7323, RFC 2018).

use core::fmt;
use core::ops::Range;

pub use super::seq::Seq;
use super::{Malformed, read_u16, read_u32, write_u16};

mod field {
    use core::ops::Range;
    pub(super) const SOURCE_PORT: Range<usize> = 0..2;
    pub(super) const DESTINATION_PORT: Range<usize> = 2..4;
    pub(super) const SEQ: Range<usize> = 4..8;
    pub(super) const ACK: Range<usize> = 8..12;
    pub(super) const OFFSET: usize = 12;
    pub(super) const OFFSET_AND_FLAGS: Range<usize> = 12..14;
    pub(super) const WINDOW: Range<usize> = 14..16;
    pub(super) const CHECKSUM: Range<usize> = 16..18;
    pub(super) const URGENT: Range<usize> = 18..20;
}

/// Where the checksum is in the header.
pub const CHECKSUM: Range<usize> = field::CHECKSUM;

/// Length in bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// The most SACK blocks that fit a header.
pub const MAX_SACK_BLOCKS: usize = 4;

/// The control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer field is significant.
    pub const URG: Self = Self(0x20);
    /// Explicit congestion notification echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);
    /// Accurate ECN (RFC 9768).
    pub const AE: Self = Self(0x100);

    /// Whether all of `other`'s bits are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval.
    pub value: u32,
    /// TSecr.
    pub echo: u32,
}

/// The blocks of a SACK option (RFC 2018 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(Seq, Seq); MAX_SACK_BLOCKS],
    count: u8,
}

impl SackBlocks {
    /// Adds the block `[left, right)`; what does not fit is left out.
    pub fn push(&mut self, left: Seq, right: Seq) {
        if let Some(place) = self.blocks.get_mut(self.count as usize) {
            *place = (left, right);
            self.count += 1;
        }
    }

    /// The blocks, as (left edge, right edge).
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        &self.blocks[..self.count as usize]
    }

    /// Keeps the first `count` blocks.
    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count as u8);
    }
}

/// The cookie of a Fast Open option (RFC 7413 section 4.1.1). An empty one asks for a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastOpenCookie {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl FastOpenCookie {
    /// Bytes of the shortest.
    pub const MIN_LEN: usize = 4;
    /// Bytes of the longest.
    pub const MAX_LEN: usize = 16;
    /// No cookie: one is asked for.
    pub const REQUEST: Self = Self {
        bytes: [0; Self::MAX_LEN],
        len: 0,
    };

    /// `None`: no cookie is so long; the length is even, too.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = (Self::MIN_LEN..=Self::MAX_LEN).contains(&bytes.len());
        if !bytes.is_empty() && (!fits || !bytes.len().is_multiple_of(2)) {
            return None;
        }
        let mut cookie = Self::REQUEST;
        cookie.bytes[..bytes.len()].copy_from_slice(bytes);
        cookie.len = bytes.len() as u8;
        Some(cookie)
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// The options this stack knows. Others are skipped (RFC 9293 MUST-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size in bytes.
    pub mss: Option<u16>,
    /// Window scale shift (RFC 7323 section 2), as received: may exceed 14.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
    /// Fast Open; it means something beside SYN only.
    pub fast_open: Option<FastOpenCookie>,
}

/// A TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; meaningful with [`Flags::ACK`].
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// Window field, not scaled.
    pub window: u16,
    /// Urgent pointer; meaningful with [`Flags::URG`].
    pub urgent: u16,
    /// Options.
    pub options: Options,
}

/// All control bits of the header.
const ALL_FLAGS: u16 = 0x1ff;

const KIND_END: u8 = 0;
const KIND_NOP: u8 = 1;
const KIND_MSS: u8 = 2;
const KIND_WINDOW_SCALE: u8 = 3;
const KIND_SACK_PERMITTED: u8 = 4;
const KIND_SACK: u8 = 5;
const KIND_TIMESTAMPS: u8 = 8;
const KIND_FAST_OPEN: u8 = 34;

/// Reads the header at the start of a segment; gives it and its length in bytes. The checksum is
/// not looked at: it covers more than the header.
pub fn parse(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    if bytes.len() < HEADER_LEN {
        return Err(Malformed);
    }
    let header_len = usize::from(bytes[field::OFFSET] >> 4) * 4;
    if header_len < HEADER_LEN || header_len > bytes.len() {
        return Err(Malformed);
    }
    let repr = Repr {
        source_port: read_u16(bytes, field::SOURCE_PORT),
        destination_port: read_u16(bytes, field::DESTINATION_PORT),
        seq: Seq(read_u32(bytes, field::SEQ)),
        ack: Seq(read_u32(bytes, field::ACK)),
        flags: Flags(read_u16(bytes, field::OFFSET_AND_FLAGS) & ALL_FLAGS),
        window: read_u16(bytes, field::WINDOW),
        urgent: read_u16(bytes, field::URGENT),
        options: parse_options(&bytes[HEADER_LEN..header_len]),
    };
    Ok((repr, header_len))
}

/// Reads options. One whose length is impossible ends the reading: where the next one would
/// start is not known (RFC 9293 MUST-7).
fn parse_options(mut bytes: &[u8]) -> Options {
    let mut options = Options::default();
    while let Some(&kind) = bytes.first() {
        let len = match kind {
            KIND_END => break,
            KIND_NOP => 1,
            _ => bytes.get(1).map_or(0, |&len| usize::from(len)),
        };
        if len > bytes.len() || (kind != KIND_NOP && len < 2) {
            break;
        }
        parse_option(&mut options, kind, &bytes[len.min(2)..len]);
        bytes = &bytes[len..];
    }
    options
}

/// A known kind with a length it cannot have is skipped like an unknown one.
fn parse_option(options: &mut Options, kind: u8, value: &[u8]) {
    match (kind, value.len()) {
        (KIND_MSS, 2) => options.mss = Some(read_u16(value, 0..2)),
        (KIND_WINDOW_SCALE, 1) => options.window_scale = Some(value[0]),
        (KIND_SACK_PERMITTED, 0) => options.sack_permitted = true,
        (KIND_TIMESTAMPS, 8) => {
            options.timestamps = Some(Timestamps {
                value: read_u32(value, 0..4),
                echo: read_u32(value, 4..8),
            });
        }
        (KIND_SACK, len) if len % 8 == 0 => {
            options.sack = SackBlocks::default();
            for block in value.chunks_exact(8) {
                options
                    .sack
                    .push(Seq(read_u32(block, 0..4)), Seq(read_u32(block, 4..8)));
            }
        }
        (KIND_FAST_OPEN, _) => options.fast_open = FastOpenCookie::new(value),
        _ => {}
    }
}

impl Options {
    /// Length in bytes on the wire, padded to a multiple of four.
    pub fn wire_len(&self) -> usize {
        let mut len = 0;
        if self.mss.is_some() {
            len += 4;
        }
        if self.timestamps.is_some() {
            len += 12;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        if let Some(cookie) = &self.fast_open {
            len += (2 + cookie.as_slice().len()).next_multiple_of(4);
        }
        match self.sack.as_slice().len() {
            0 => len,
            blocks => len + 4 + 8 * blocks,
        }
    }

    /// Writes the options, four-byte aligned, into `bytes`, which is exactly [`Options::wire_len`] long.
    fn emit(&self, bytes: &mut [u8]) {
        let mut rest = bytes;
        if let Some(mss) = self.mss {
            put(&mut rest, &[KIND_MSS, 4]);
            put(&mut rest, &mss.to_be_bytes());
        }
        if let Some(timestamps) = self.timestamps {
            // SACK permitted, where there is one, takes the place of the two no-operations.
            let pad = if self.sack_permitted {
                [KIND_SACK_PERMITTED, 2]
            } else {
                [KIND_NOP, KIND_NOP]
            };
            put(&mut rest, &pad);
            put(&mut rest, &[KIND_TIMESTAMPS, 10]);
            put(&mut rest, &timestamps.value.to_be_bytes());
            put(&mut rest, &timestamps.echo.to_be_bytes());
        } else if self.sack_permitted {
            put(&mut rest, &[KIND_NOP, KIND_NOP, KIND_SACK_PERMITTED, 2]);
        }
        if let Some(shift) = self.window_scale {
            put(&mut rest, &[KIND_NOP, KIND_WINDOW_SCALE, 3, shift]);
        }
        if let Some(cookie) = &self.fast_open {
            let len = 2 + cookie.as_slice().len();
            put(&mut rest, &[KIND_FAST_OPEN, len as u8]);
            put(&mut rest, cookie.as_slice());
            if !len.is_multiple_of(4) {
                put(&mut rest, &[KIND_NOP, KIND_NOP]);
            }
        }
        let blocks = self.sack.as_slice();
        if !blocks.is_empty() {
            let len = 2 + 8 * blocks.len() as u8;
            put(&mut rest, &[KIND_NOP, KIND_NOP, KIND_SACK, len]);
            for (left, right) in blocks {
                put(&mut rest, &left.0.to_be_bytes());
                put(&mut rest, &right.0.to_be_bytes());
            }
        }
    }
}

/// Writes `bytes` at the front of `rest` and moves `rest` past them.
fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    let (front, back) = core::mem::take(rest).split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    *rest = back;
}

impl Repr {
    /// Length in bytes of the header on the wire.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.wire_len()
    }

    /// Writes the header, with a checksum of zero, to the front of `bytes`, which must be at least
    /// [`Repr::header_len`] long.
    pub fn emit(&self, bytes: &mut [u8]) {
        let header_len = self.header_len();
        let offset_and_flags = ((header_len / 4) as u16) << 12 | (self.flags.0 & ALL_FLAGS);
        write_u16(bytes, field::SOURCE_PORT, self.source_port);
        write_u16(bytes, field::DESTINATION_PORT, self.destination_port);
        bytes[field::SEQ].copy_from_slice(&self.seq.0.to_be_bytes());
        bytes[field::ACK].copy_from_slice(&self.ack.0.to_be_bytes());
        write_u16(bytes, field::OFFSET_AND_FLAGS, offset_and_flags);
        write_u16(bytes, field::WINDOW, self.window);
        write_u16(bytes, field::CHECKSUM, 0);
        write_u16(bytes, field::URGENT, self.urgent);
        self.options.emit(&mut bytes[HEADER_LEN..header_len]);
    }

    /// The header and the length of its payload as one line of a packet script:
    /// `S. 0:0(0) ack 1 win 65535 <mss 1460>`.
    #[cfg(test)]
    pub fn display(&self, payload_len: usize) -> Display<'_> {
        Display {
            repr: self,
            payload_len,
        }
    }
}

/// See [`Repr::display`].
#[cfg(test)]
pub struct Display<'a> {
    repr: &'a Repr,
    payload_len: usize,
}

#[cfg(test)]
impl fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = self.repr;
        let end = repr.seq + self.payload_len as u32;
        write!(
            f,
            "{} {}:{}({})",
            repr.flags, repr.seq, end, self.payload_len
        )?;
        if repr.flags.contains(Flags::ACK) {
            write!(f, " ack {}", repr.ack)?;
        }
        write!(f, " win {}", repr.window)?;
        if repr.flags.contains(Flags::URG) {
            write!(f, " urg {}", repr.urgent)?;
        }
        write!(f, "{}", repr.options)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, &str); 9] = [
            (Flags::FIN, "F"),
            (Flags::SYN, "S"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
            (Flags::AE, "e"),
            (Flags::ACK, "."),
        ];
        for (flag, letter) in LETTERS {
            if self.contains(flag) {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = " <";
        if let Some(mss) = self.mss {
            write!(f, "{before}mss {mss}")?;
            before = ",";
        }
        if self.sack_permitted {
            write!(f, "{before}sackOK")?;
            before = ",";
        }
        if let Some(timestamps) = self.timestamps {
            let (value, echo) = (timestamps.value, timestamps.echo);
            write!(f, "{before}TS val {value} ecr {echo}")?;
            before = ",";
        }
        if let Some(shift) = self.window_scale {
            write!(f, "{before}wscale {shift}")?;
            before = ",";
        }
        if !self.sack.as_slice().is_empty() {
            write!(f, "{before}sack")?;
            for (left, right) in self.sack.as_slice() {
                write!(f, " {left}:{right}")?;
            }
            before = ",";
        }
        if let Some(cookie) = &self.fast_open {
            write!(f, "{before}FO")?;
            for (at, byte) in cookie.as_slice().iter().enumerate() {
                let space = if at == 0 { " " } else { "" };
                write!(f, "{space}{byte:02x}")?;
            }
            before = ",";
        }
        if before == "," {
            f.write_str(">")
        } else {
            Ok(())
        }
    }
}
