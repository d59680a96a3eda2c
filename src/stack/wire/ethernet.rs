//! Ethernet II frames (RFC 894).

use core::fmt;

use super::{Hardware, Malformed, read_hardware, read_u16, write_u16};

mod field {
    use core::ops::Range;
    pub(super) const DESTINATION: Range<usize> = 0..6;
    pub(super) const SOURCE: Range<usize> = 6..12;
    pub(super) const ETHERTYPE: Range<usize> = 12..14;
}

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 14;
/// The ethertype of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// The ethertype of ARP.
pub(crate) const ARP: u16 = 0x0806;
/// The address all stations listen to.
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repr {
    pub(crate) destination: [u8; 6],
    pub(crate) source: [u8; 6],
    pub(crate) ethertype: u16,
}

/// Whether `address` names a group of stations; such an address is never a source.
pub(crate) fn is_group(address: [u8; 6]) -> bool {
    address[0] & 1 != 0
}

/// The header at the start of `bytes`, and its length.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    if bytes.len() < HEADER_LEN {
        return Err(Malformed);
    }
    let repr = Repr {
        destination: read_hardware(bytes, field::DESTINATION),
        source: read_hardware(bytes, field::SOURCE),
        ethertype: read_u16(bytes, field::ETHERTYPE),
    };
    Ok((repr, HEADER_LEN))
}

impl Repr {
    /// Writes the header to the start of `bytes`.
    pub(crate) fn emit(&self, bytes: &mut [u8]) {
        bytes[field::DESTINATION].copy_from_slice(&self.destination);
        bytes[field::SOURCE].copy_from_slice(&self.source);
        write_u16(bytes, field::ETHERTYPE, self.ethertype);
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (Hardware(self.source), Hardware(self.destination));
        write!(
            f,
            "{source} > {destination}, ethertype 0x{:04x}",
            self.ethertype
        )
    }
}
