//! Who may share a port with whom (socket(7), SO_REUSEADDR; bind(2), EADDRINUSE).
//!
//! A use outlives its socket's descriptor: connections of a closed listener, and those in
//! TIME-WAIT, bar others from the port as their listener would have.

use core::net::Ipv4Addr;

use crate::control::ephemeral::Protocol;

/// How a socket holds a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The bound address; unspecified: all.
    pub(super) local: Ipv4Addr,
    /// SO_REUSEADDR.
    pub(super) reuse_address: bool,
    /// SO_REUSEPORT.
    pub(super) reuse_port: bool,
    /// Whose socket it is; `None`: the process's own.
    pub(super) user: Option<u32>,
    /// After listen(2).
    pub(super) listening: bool,
    /// The port was taken from the ephemeral ones for it.
    pub(super) pooled: bool,
}

impl Use {
    /// Whether this use keeps another from the port. SO_REUSEPORT shares it within one user's
    /// sockets.
    pub(super) fn bars(&self, other: &Self, protocol: Protocol) -> bool {
        let meets = self.local.is_unspecified()
            || other.local.is_unspecified()
            || self.local == other.local;
        let by_address = self.reuse_address
            && other.reuse_address
            && (protocol == Protocol::Udp || !self.listening);
        let by_port = self.reuse_port && other.reuse_port && self.user == other.user;
        meets && !by_address && !by_port
    }
}

/// The uses of one port. A server's connections are alike, so like uses are counted.
#[derive(Debug, Default)]
pub(super) struct Uses(Vec<(Use, u32)>);

impl Uses {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one only.
    pub(super) fn is_single(&self) -> bool {
        matches!(self.0[..], [(_, 1)])
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|&(_, count)| count as usize).sum()
    }

    /// Whether all are so.
    pub(super) fn all(&self, are: impl Fn(&Use) -> bool) -> bool {
        self.0.iter().all(|(held, _)| are(held))
    }

    pub(super) fn add(&mut self, added: Use) {
        match self.0.iter_mut().find(|(held, _)| *held == added) {
            Some((_, count)) => *count += 1,
            None => self.0.push((added, 1)),
        }
    }

    /// Takes one use out; whether it was there.
    pub(super) fn remove(&mut self, removed: Use) -> bool {
        let Some(place) = self.0.iter().position(|(held, _)| *held == removed) else {
            return false;
        };
        self.0[place].1 -= 1;
        if self.0[place].1 == 0 {
            self.0.swap_remove(place);
        }
        true
    }

    /// Whether any of them keeps `other` from the port.
    pub(super) fn bar(&self, other: &Use, protocol: Protocol) -> bool {
        self.0.iter().any(|(held, _)| held.bars(other, protocol))
    }

    /// The listener's, or else the first.
    pub(super) fn chief(&self) -> Option<Use> {
        let listener = self.0.iter().find(|(held, _)| held.listening);
        listener.or(self.0.first()).map(|(held, _)| *held)
    }
}
