//! The UDP header (RFC 768).

use core::fmt;

use super::{Malformed, read_u16, write_u16};

pub(crate) mod field {
    use core::ops::Range;
    pub(super) const SOURCE_PORT: Range<usize> = 0..2;
    pub(super) const DESTINATION_PORT: Range<usize> = 2..4;
    pub(super) const LENGTH: Range<usize> = 4..6;
    /// Where the checksum is.
    pub(crate) const CHECKSUM: Range<usize> = 6..8;
}

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repr {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Of header and payload, in bytes.
    pub(crate) length: u16,
    /// 0: the sender computed none.
    pub(crate) checksum: u16,
}

/// The header at the start of `bytes`, and its length. The payload follows it and is all there;
/// RFC 768 leaves open what bytes after it are, so they are passed over.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    if bytes.len() < HEADER_LEN {
        return Err(Malformed);
    }
    let repr = Repr {
        source_port: read_u16(bytes, field::SOURCE_PORT),
        destination_port: read_u16(bytes, field::DESTINATION_PORT),
        length: read_u16(bytes, field::LENGTH),
        checksum: read_u16(bytes, field::CHECKSUM),
    };
    let length = usize::from(repr.length);
    if length < HEADER_LEN || length > bytes.len() {
        return Err(Malformed);
    }
    Ok((repr, HEADER_LEN))
}

impl Repr {
    /// Writes the header to the start of `bytes`.
    pub(crate) fn emit(&self, bytes: &mut [u8]) {
        write_u16(bytes, field::SOURCE_PORT, self.source_port);
        write_u16(bytes, field::DESTINATION_PORT, self.destination_port);
        write_u16(bytes, field::LENGTH, self.length);
        write_u16(bytes, field::CHECKSUM, self.checksum);
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = usize::from(self.length) - HEADER_LEN;
        write!(
            f,
            "UDP {} > {}, length {payload}",
            self.source_port, self.destination_port
        )
    }
}
