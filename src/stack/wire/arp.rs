//! ARP for IPv4 over Ethernet (RFC 826).

use core::fmt;
use core::net::Ipv4Addr;

use super::{Hardware, Malformed, read_address, read_hardware, read_u16, write_u16};

mod field {
    use core::ops::Range;
    pub(super) const HARDWARE_TYPE: Range<usize> = 0..2;
    pub(super) const PROTOCOL_TYPE: Range<usize> = 2..4;
    pub(super) const HARDWARE_LEN: usize = 4;
    pub(super) const PROTOCOL_LEN: usize = 5;
    pub(super) const OPERATION: Range<usize> = 6..8;
    pub(super) const SENDER_HARDWARE: Range<usize> = 8..14;
    pub(super) const SENDER: Range<usize> = 14..18;
    pub(super) const TARGET_HARDWARE: Range<usize> = 18..24;
    pub(super) const TARGET: Range<usize> = 24..28;
}

/// Length of the packet in bytes.
pub(crate) const LEN: usize = 28;

const ETHERNET: u16 = 1;
const IPV4: u16 = super::ethernet::IPV4;

/// What the packet asks or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Request,
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repr {
    pub(crate) operation: Operation,
    pub(crate) sender_hardware: [u8; 6],
    /// Unspecified in a probe (RFC 5227 section 2.1.1).
    pub(crate) sender: Ipv4Addr,
    pub(crate) target_hardware: [u8; 6],
    pub(crate) target: Ipv4Addr,
}

/// The packet at the start of `bytes`, and its length.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Repr, usize), Malformed> {
    if bytes.len() < LEN
        || read_u16(bytes, field::HARDWARE_TYPE) != ETHERNET
        || read_u16(bytes, field::PROTOCOL_TYPE) != IPV4
        || bytes[field::HARDWARE_LEN] != 6
        || bytes[field::PROTOCOL_LEN] != 4
    {
        return Err(Malformed);
    }
    let operation = match read_u16(bytes, field::OPERATION) {
        1 => Operation::Request,
        2 => Operation::Reply,
        _ => return Err(Malformed),
    };
    let repr = Repr {
        operation,
        sender_hardware: read_hardware(bytes, field::SENDER_HARDWARE),
        sender: read_address(bytes, field::SENDER),
        target_hardware: read_hardware(bytes, field::TARGET_HARDWARE),
        target: read_address(bytes, field::TARGET),
    };
    Ok((repr, LEN))
}

impl Repr {
    /// Writes the packet to the start of `bytes`.
    pub(crate) fn emit(&self, bytes: &mut [u8]) {
        let operation = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        write_u16(bytes, field::HARDWARE_TYPE, ETHERNET);
        write_u16(bytes, field::PROTOCOL_TYPE, IPV4);
        bytes[field::HARDWARE_LEN] = 6;
        bytes[field::PROTOCOL_LEN] = 4;
        write_u16(bytes, field::OPERATION, operation);
        bytes[field::SENDER_HARDWARE].copy_from_slice(&self.sender_hardware);
        bytes[field::SENDER].copy_from_slice(&self.sender.octets());
        bytes[field::TARGET_HARDWARE].copy_from_slice(&self.target_hardware);
        bytes[field::TARGET].copy_from_slice(&self.target.octets());
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::Request => {
                write!(
                    f,
                    "ARP, Request who-has {} tell {}",
                    self.target, self.sender
                )
            }
            Operation::Reply => {
                let hardware = Hardware(self.sender_hardware);
                write!(f, "ARP, Reply {} is-at {hardware}", self.sender)
            }
        }
    }
}
