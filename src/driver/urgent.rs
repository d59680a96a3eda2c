//! Urgent data: the mark, in the pair and out of it (tcp(7), RFC 6093).
//!
//! A unix stream can carry an urgent byte of its own (MSG_OOB, Linux 5.15). So the byte goes into
//! the pair as one, and the kernel does what it does for TCP: POLLPRI, SIGURG, reading up to the
//! mark, SIOCATMARK, SO_OOBINLINE. While the mark is in the pair, or on its way there, the short
//! cuts rest. Kernels that know no such byte get it as a byte like any other.
//!
//! One thing differs. To the kernel a pair with nothing but the mark in it is readable; a
//! connection at its mark is not. So poll(2) takes a lone mark out of the pair, or it would be told
//! of it again and again: what is left of it is known here alone ([`Mark::Taken`]). Other processes that have the connection
//! ask for the byte and where it is, and say when they read on.

use rustix::io::{Errno, IoSlice};

use super::Engine;
use super::endpoint::{Endpoint, EndpointId};
use crate::stack::passing::Road;
use crate::stack::tcp::Urgent;
use crate::sys::wait::borrow;
use crate::sys::{pair, raw};

/// Where the urgent mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nowhere: all that is there can be read through.
    None,
    /// In the pair, or it was.
    InPair,
    /// Just before the next byte, with the urgent byte if that was not received.
    Taken(Option<u8>),
    /// There for good: its byte came with what was answered by a reset, and nobody gets it.
    Lost,
}

impl Endpoint {
    /// Puts the urgent byte into the pair.
    pub(super) fn give_urgent(&mut self, byte: u8, road: &mut Road) -> Result<usize, Errno> {
        let Some(end) = &self.end else {
            return Err(Errno::PIPE);
        };
        if self.mark == Mark::InPair && raw::at_mark(self.program) {
            // As Linux: who stands at a mark and has not taken its byte loses it to the next.
            let _ = raw::receive_urgent(self.program, 0);
        }
        match pair::give_urgent(end, byte, &mut road.head) {
            Err(Errno::OPNOTSUPP) => {
                pair::give_noted(end, &[IoSlice::new(&[byte])], &mut road.head)
            }
            given => {
                if given.is_ok() {
                    self.mark = Mark::InPair;
                }
                given
            }
        }
    }

    /// A call reads on from the mark it stands at.
    pub fn pass_mark(&mut self) {
        if let Mark::Taken(_) = self.mark {
            self.mark = Mark::None;
        }
    }

    /// A call has found nothing in the pair, or the end.
    pub fn found_pair_empty(&mut self) {
        self.unread = false;
        self.passed = 0;
        if self.mark == Mark::InPair {
            self.mark = Mark::None;
            self.take_mark_out();
        }
    }

    /// Whether the next byte to be received is behind the mark.
    pub fn is_at_mark(&self) -> bool {
        match self.mark {
            Mark::None => false,
            Mark::InPair => raw::at_mark(self.program),
            Mark::Taken(_) | Mark::Lost => true,
        }
    }

    /// Takes the mark out of a pair that has nothing else to be read.
    fn take_lone_mark(&mut self) {
        let program = self.program;
        if self.mark != Mark::InPair || !raw::has_nothing_but_mark(program) {
            return;
        }
        self.mark = match raw::at_mark(program) {
            true => Mark::Taken(self.take_mark_out()),
            false => {
                let _ = pair::take(borrow(program), &mut [0]);
                Mark::None
            }
        };
        self.unread = false;
    }

    /// A call reads on from a mark in the pair: its byte, if it is not read in line, is nobody's any more. (The kernel goes on
    /// counting one that is passed by.)
    pub fn give_mark_up(&self) {
        if self.mark == Mark::InPair && raw::at_mark(self.program) {
            let _ = raw::receive_urgent(self.program, 0);
        }
    }

    /// Takes the mark out of a pair that has nothing else; the byte, if it was there still.
    fn take_mark_out(&self) -> Option<u8> {
        let byte = raw::receive_urgent(self.program, 0).ok();
        // Where it was, the pair keeps a place that reads as nothing, and counts.
        let _ = pair::take(borrow(self.program), &mut [0]);
        byte
    }
}

impl Engine {
    /// Whether urgent data of a connection is on its way, or its mark not passed.
    pub fn is_marked(&self, id: EndpointId) -> bool {
        self.endpoints.get(id).is_some_and(|endpoint| {
            endpoint.mark == Mark::InPair
                || endpoint
                    .socket()
                    .is_some_and(|socket| self.stack.tcp_urgent_offset(socket).is_some())
        })
    }

    /// Whether an urgent byte is announced that has not reached the pair.
    pub fn has_urgent(&self, id: EndpointId) -> bool {
        let socket = self.endpoints.get(id).and_then(Endpoint::socket);
        socket.is_some_and(|socket| self.stack.tcp_urgent_offset(socket).is_some())
    }

    /// The urgent byte that has not reached the pair, which takes nothing any more once it is shut down for reading.
    pub fn urgent(&self, id: EndpointId) -> Urgent {
        let socket = self.endpoints.get(id).and_then(Endpoint::socket);
        socket.map_or(Urgent::None, |socket| self.stack.tcp_urgent(socket))
    }

    /// The program has accepted a connection: its pair gets the urgent byte that has come before.
    pub fn arrived(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.on_its_way = false;
        }
        self.bring_mark(id);
    }

    /// Takes the mark out of a pair that has nothing else to be read: it is known here from now on.
    pub fn take_lone_mark(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        let before = endpoint.mark;
        endpoint.take_lone_mark();
        if endpoint.mark != before {
            self.show_beyond(id);
        }
    }

    /// A call in another process reads on from the mark, if it stands there.
    pub fn pass_mark(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && let Mark::Taken(_) = endpoint.mark
        {
            endpoint.pass_mark();
            self.show_beyond(id);
        }
    }

    /// Somebody is about to receive up to the mark: moves it, and all before it, into the pair.
    pub fn bring_mark(&mut self, id: EndpointId) {
        if self.has_urgent(id) {
            let now = self.now();
            self.settle(now, id);
        }
    }
}
