//! Frames that are ready to go, except TCP's, which are made when they are polled.
//!
//! The payloads of all frames lie in one queue, one behind the other, so small datagrams share a
//! chunk. A payload short enough to fit behind its header travels there instead.
//!
//! 1. A frame's bytes stay where they are after it was polled, until [`Outbox::release`]: a driver
//!    may collect several frames before it sends them.

use std::collections::VecDeque;

use super::ids::SocketId;
use super::pool::Pool;
use super::queue::Queue;
use super::sendings::Stamped;
use super::transmit::{HEADER_MAX, Offload, Transmit, Treatment};

/// The most bytes that may wait.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most frames that may wait.
const MAX_FRAMES: usize = 4096;

/// A frame's headers and what goes with them; the payload is elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) header: [u8; HEADER_MAX],
    pub(crate) header_len: usize,
    pub(crate) offload: Option<Offload>,
    pub(crate) treatment: Treatment,
    /// Whose send buffer the frame counts against.
    pub(crate) owner: Option<Owner>,
    /// Of which is to be told when it leaves.
    pub(crate) stamped: Option<Stamped>,
}

/// A UDP socket, and how many bytes of payload it sends with a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) id: SocketId,
    pub(crate) payload_len: usize,
}

impl Owner {
    pub(crate) fn new(id: SocketId, payload_len: usize) -> Self {
        Self { id, payload_len }
    }
}

impl Frame {
    /// A frame with `header_len` bytes of headers still to be written.
    pub(crate) fn new(header_len: usize) -> Self {
        Self {
            header: [0; HEADER_MAX],
            header_len,
            offload: None,
            treatment: Treatment::default(),
            owner: None,
            stamped: None,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    payload_len: usize,
}

/// A frame that was polled.
pub(crate) struct Polled {
    pub(crate) owner: Option<Owner>,
    pub(crate) stamped: Option<Stamped>,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Waiting>,
    payloads: Queue,
    /// Bytes at the front of `payloads` whose frames were polled.
    polled: usize,
}

impl Outbox {
    /// Queues `frame` with its payload, given in pieces. False if there is no room.
    pub(crate) fn push(&mut self, pool: &mut Pool, mut frame: Frame, payload: &[&[u8]]) -> bool {
        let len: usize = payload.iter().map(|piece| piece.len()).sum();
        if self.waiting.len() >= MAX_FRAMES || self.payloads.len() + len > MAX_BYTES {
            return false;
        }
        let payload_len = if frame.header_len + len <= HEADER_MAX {
            for piece in payload {
                let end = frame.header_len + piece.len();
                frame.header[frame.header_len..end].copy_from_slice(piece);
                frame.header_len = end;
            }
            0
        } else {
            if !self.payloads.append_all(pool, payload) {
                return false;
            }
            len
        };
        self.waiting.push_back(Waiting { frame, payload_len });
        true
    }

    /// Fills `out` with the oldest frame; none if none waits.
    pub(crate) fn poll(&mut self, pool: &Pool, out: &mut Transmit) -> Option<Polled> {
        let Waiting { frame, payload_len } = self.waiting.pop_front()?;
        out.header = frame.header;
        out.header_len = frame.header_len;
        out.offload = frame.offload;
        out.treatment = frame.treatment;
        out.spans.clear();
        self.payloads
            .spans(pool, self.polled, payload_len, |span| out.spans.push(span));
        self.polled += payload_len;
        Some(Polled {
            owner: frame.owner,
            stamped: frame.stamped,
        })
    }

    /// Frees the bytes of polled frames.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        if self.polled > 0 {
            self.payloads.consume(pool, self.polled);
            self.polled = 0;
        }
    }
}
