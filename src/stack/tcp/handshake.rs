//! What a passive opening leaves to be asked for.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::segment::IpInfo;
use super::tcb::{Owner, State, Tcb};

/// What the packet said that completed a passive opening.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Handshake {
    /// Its time to live; 0: it was no passive opening.
    pub ttl: u8,
    /// Its type of service.
    pub tos: u8,
}

impl Tcb {
    /// A segment has arrived that may complete a passive opening.
    pub(super) fn note_handshake(&mut self, ip: &IpInfo<'_>) {
        let opens = self.state == State::SynReceived;
        if opens && matches!(self.owner.get(), Owner::Listener { .. }) {
            self.handshake = Handshake {
                ttl: ip.ttl,
                tos: ip.tos,
            };
        }
    }
}
