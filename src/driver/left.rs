//! What a TCP socket's connection leaves.

use core::net::SocketAddrV4;

use super::endpoint::{Endpoint, Role};
use crate::stack::Stack;
use crate::stack::tcp::TcpStatus;
use crate::stack::tcp::handshake::Handshake;

/// What is left of a TCP socket's last connection, as on Linux: SIOCOUTQ and SIOCOUTQNSD go on counting its sequence
/// numbers, SO_SNDBUF stays as large.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    /// Not acknowledged.
    pub unacknowledged: u32,
    /// Not sent.
    pub unsent: u32,
    /// The largest window the peer had.
    window: u32,
    /// Its full segments' payload in bytes; 0: there was none.
    pub segment: u32,
    /// The payload in bytes of those that the peer may send.
    pub announced: u32,
    /// Whether its handshake was completed.
    pub opened: bool,
    /// Whether anything had come for it.
    heard: bool,
    /// What completed its handshake, if it was accepted.
    pub handshake: Option<Handshake>,
    /// Its addresses, here and there: of one that was accepted, nobody may have asked for them before it ended.
    pub ends: Option<(SocketAddrV4, SocketAddrV4)>,
    /// Which of its listener's options it has.
    pub edition: u16,
    /// The user answered what came.
    pub answered: bool,
}

impl Left {
    fn of(status: &TcpStatus) -> Self {
        let opened = !status.opening && status.max_snd_wnd > 0;
        Self {
            unacknowledged: status.outstanding,
            unsent: status.outstanding_unsent,
            window: status.max_snd_wnd,
            segment: status.mss,
            announced: status.announced_mss,
            opened,
            heard: status.tally.segments_in > 0,
            handshake: status.handshake,
            ends: Some((status.local, status.remote)),
            edition: status.edition,
            answered: status.answered,
        }
    }

    /// Whether anything has ever come for it.
    pub const fn has_heard(&self) -> bool {
        self.opened || self.heard
    }

    /// With so many bytes more that are not sent.
    pub fn and(self, unsent: usize) -> Self {
        let unsent = u32::try_from(unsent).unwrap_or(u32::MAX);
        Self {
            unacknowledged: self.unacknowledged.saturating_add(unsent),
            unsent: self.unsent.saturating_add(unsent),
            ..self
        }
    }

    /// The socket may connect anew, with numbers beyond all that the peer may have seen.
    pub const fn behind(self) -> Self {
        let beyond = self.window.wrapping_add(2);
        Self {
            unacknowledged: self.unacknowledged.wrapping_add(beyond),
            unsent: self.unsent.wrapping_add(beyond),
            ..self
        }
    }
}

impl Endpoint {
    /// Whether its socket, which has no address, has anything that a fresh one has not.
    pub fn has_past(&self) -> bool {
        self.errs() || self.read_finished || self.write_finished
    }

    /// What its connection would leave, or the last one has left.
    pub fn left(&self, stack: &Stack) -> Left {
        let status = match self.role {
            Role::Connection(connection) | Role::Connecting(connection) => {
                stack.tcp_status(connection)
            }
            _ => None,
        };
        status.as_ref().map_or(self.left, Left::of)
    }
}
