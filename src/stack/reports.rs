//! Errors told with all that is known about the packet they are about (ip(7), IP_RECVERR).
//!
//! They wait here from the event until the end of the pass, when the driver takes them to the
//! socket's error queue. How many that can be has a bound, so that a flood of ICMP cannot fill
//! memory; what exceeds it is dropped, as any ICMP message may be.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::VecDeque;

use super::error::Error;
use super::ids::SocketId;

/// Most that wait: one for each frame of a pass.
const MOST: usize = 256;
/// Most bytes kept of the packet: about what a router quotes (RFC 1812 section 4.3.2.3).
const LONGEST: usize = 576;

/// Who found the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This host, while sending.
    Local,
    /// A host that sent an ICMP message.
    Icmp {
        /// Who sent it.
        offender: Ipv4Addr,
        /// Time to live it arrived with.
        ttl: u8,
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

/// An error about a packet of a socket's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it means to the socket.
    pub error: Error,
    /// Who found it.
    pub origin: Origin,
    /// The MTU, if the packet was too long; else 0.
    pub mtu: u32,
    /// Whom the packet was for; a local error tells the port of a connected socket only.
    pub destination: SocketAddrV4,
    /// The packet's payload, as far as it is known.
    pub payload: Vec<u8>,
}

impl Report {
    /// A datagram that must not be cut exceeds `mtu` bytes.
    pub(super) fn too_long(mtu: usize, destination: SocketAddrV4) -> Self {
        Self {
            error: Error::MessageSize,
            origin: Origin::Local,
            mtu: mtu as u32,
            destination,
            payload: Vec::new(),
        }
    }
}

/// Those that wait to be taken.
#[derive(Default)]
pub(super) struct Reports(VecDeque<(SocketId, Report)>);

impl Reports {
    pub(super) fn push(&mut self, id: SocketId, mut report: Report) {
        if self.0.len() < MOST {
            report.payload.truncate(LONGEST);
            self.0.push_back((id, report));
        }
    }

    pub(super) fn poll(&mut self) -> Option<(SocketId, Report)> {
        self.0.pop_front()
    }
}
