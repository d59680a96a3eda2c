//! Times of sending (SO_TIMESTAMPING): which of what sockets send is to be told of, and when it is
//! time to tell.
//!
//! The stack has no clock to tell by: it says what has just happened, and the driver when that was.
//! How much can wait to be taken has a bound; what exceeds it is not told.

use std::collections::VecDeque;

use super::Stack;
use super::ids::SocketId;

/// Most that wait.
const MOST: usize = 256;

/// What is to be told of something that is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// SOF_TIMESTAMPING_TX_SCHED.
    pub scheduled: bool,
    /// SOF_TIMESTAMPING_TX_SOFTWARE.
    pub sent: bool,
    /// SOF_TIMESTAMPING_TX_ACK, of a connection.
    pub acknowledged: bool,
}

impl Stamps {
    /// Whether there is anything to tell.
    pub fn any(self) -> bool {
        self.scheduled || self.sent || self.acknowledged
    }

    /// What either asks for.
    pub fn or(self, other: Self) -> Self {
        Self {
            scheduled: self.scheduled || other.scheduled,
            sent: self.sent || other.sent,
            acknowledged: self.acknowledged || other.acknowledged,
        }
    }
}

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is about to be given to the link.
    Scheduled,
    /// It is given to the link.
    Sent,
    /// The peer has acknowledged it.
    Acknowledged,
}

/// Something that was sent has come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Who has sent it.
    pub socket: SocketId,
    /// How far.
    pub stage: Stage,
    /// A datagram's key; of a connection, the place of the last byte in its stream.
    pub key: u32,
    /// The frame it was sent in; of what is acknowledged, what that carried.
    pub frame: Vec<u8>,
}

/// A datagram of which is to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamped {
    pub(super) socket: SocketId,
    pub(super) key: u32,
    pub(super) stamps: Stamps,
}

/// What waits to be taken.
#[derive(Debug, Default)]
pub(super) struct Sendings(VecDeque<Sending>);

impl Sendings {
    pub(super) fn push(&mut self, sending: Sending) {
        if self.0.len() < MOST {
            self.0.push_back(sending);
        }
    }

    /// A frame leaves.
    pub(super) fn leaves(&mut self, stamped: Stamped, frame: &[u8]) {
        let stages = [
            (stamped.stamps.scheduled, Stage::Scheduled),
            (stamped.stamps.sent, Stage::Sent),
        ];
        for (_, stage) in stages.into_iter().filter(|(wanted, _)| *wanted) {
            self.push(Sending {
                socket: stamped.socket,
                stage,
                key: stamped.key,
                frame: frame.to_vec(),
            });
        }
    }

    /// What was told last of a socket was sent in this frame.
    pub(super) fn frame_is(&mut self, socket: SocketId, frame: &[u8]) {
        let last = self.0.iter_mut().rev();
        for sending in last.take_while(|last| last.socket == socket && last.frame.is_empty()) {
            sending.frame = frame.to_vec();
        }
    }

    pub(super) fn poll(&mut self) -> Option<Sending> {
        self.0.pop_front()
    }
}

impl Stack {
    /// Something of which a socket wants to know when it happened: just now.
    pub fn poll_sending(&mut self) -> Option<Sending> {
        self.sendings.poll().or_else(|| self.tcp.poll_sending())
    }
}
