//! Who may share a port with whom (socket(7), SO_REUSEADDR; bind(2), EADDRINUSE).
//!
//! A use outlives its socket's descriptor: connections of a closed listener, and those in
//! TIME-WAIT, bar others from the port as their listener would have.

use core::net::Ipv4Addr;

use crate::control::ephemeral::Protocol;

/// One socket's hold on a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// Tells the uses of one port apart.
    pub(super) number: u32,
    /// The bound address; unspecified: all.
    pub(super) local: Ipv4Addr,
    /// SO_REUSEADDR.
    pub(super) reuse_address: bool,
    /// SO_REUSEPORT.
    pub(super) reuse_port: bool,
    /// After listen(2).
    pub(super) listening: bool,
    /// The port was taken from the ephemeral ones for it.
    pub(super) pooled: bool,
}

impl Use {
    /// Whether this use keeps another from the port. (All of a process's sockets are one user's,
    /// which SO_REUSEPORT asks for.)
    pub(super) fn bars(&self, other: &Self, protocol: Protocol) -> bool {
        let meets = self.local.is_unspecified()
            || other.local.is_unspecified()
            || self.local == other.local;
        let by_address = self.reuse_address
            && other.reuse_address
            && (protocol == Protocol::Udp || !self.listening);
        let by_port = self.reuse_port && other.reuse_port;
        meets && !by_address && !by_port
    }
}
