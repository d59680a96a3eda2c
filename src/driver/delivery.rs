//! Where received bytes go: the waiting call's own buffer, the pair, or the receive queue.

use arrayvec::ArrayVec;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::{Errno, IoSlice};

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Endpoints, Role};
use super::notice::Collector;
use super::settle::watch;
use crate::stack::Stack;
use crate::stack::ids::SocketId;
use crate::stack::passing::{Passing, Road, Way};
use crate::stack::sink::{Datagram, Sink};
use crate::stack::tcp::Progress;
use crate::stack::time::Instant;
use crate::sys::wait::Set;
use crate::sys::{pair, raw};

/// Payloads at least this long, in bytes, go to the pair at once; shorter ones are gathered in
/// the receive queue and passed on together at the end of the pass.
const LONG: usize = 8 * 1024;

/// Runs of queued bytes that go to the pair by one call: about as many as it has room for.
const MOST_RUNS: usize = 16;

/// The buffer of a call that waits for one socket's bytes.
///
/// It is offered to the stack only while the waiting thread itself processes frames.
pub struct Direct<'a> {
    /// Whose bytes it waits for.
    pub socket: SocketId,
    /// Takes bytes; how many were taken.
    pub take: &'a mut dyn FnMut(&[u8]) -> usize,
    /// Takes a datagram whole (cut to the buffer's size).
    pub take_datagram: &'a mut dyn FnMut(&Datagram, &[u8]),
    /// Bytes or datagrams taken so far.
    pub taken: usize,
    /// It takes no more.
    pub full: bool,
}

/// The engine's [`Sink`] for one pass.
pub(super) struct Delivery<'a, 'b> {
    pub(super) endpoints: &'a mut Endpoints,
    pub(super) set: &'a Set,
    /// Who is told directly, and leaves its bytes in the queue.
    pub(super) collecting: Option<Collector>,
    /// Nobody waits: a set's sockets may keep their bytes in the queue.
    pub(super) nobody_waits: bool,
    pub(super) direct: Option<&'a mut Direct<'b>>,
    /// By which bytes go to the pair.
    pub(super) road: &'a mut Road,
}

impl Sink for Delivery<'_, '_> {
    fn deliver(&mut self, id: SocketId, data: &[u8], passing: &mut Passing) -> usize {
        let Some(endpoint_id) = self.endpoints.of_socket(id) else {
            return 0;
        };
        let token = endpoint_id.token();
        let Some(endpoint) = self.endpoints.get_mut(endpoint_id) else {
            return 0;
        };
        if !matches!(endpoint.role, Role::Connection(_)) || endpoint.full {
            return 0;
        }
        if let Some(direct) = self.direct.as_deref_mut()
            && direct.socket == id
            && !endpoint.unread
        {
            let taken = (direct.take)(data);
            direct.taken += taken;
            // What does not fit waits in the receive queue, where the next call takes it from.
            direct.full = taken < data.len();
            return taken;
        }
        let left_to_queue =
            endpoint.is_left_to(self.collecting) || self.nobody_waits && endpoint.watcher.is_some();
        if left_to_queue || endpoint.low_water > 1 || data.len() < LONG {
            return 0;
        }
        let Some(end) = &endpoint.end else {
            return 0;
        };
        passing.begin(Way::ToUser, self.road);
        let parts = [IoSlice::new(data)];
        let given = match pair::give_noted(end.as_fd(), &parts, &mut self.road.head) {
            Ok(given) => {
                endpoint.unread = true;
                endpoint.passed += given;
                endpoint.full = given < data.len();
                given
            }
            Err(errno) => {
                endpoint.full = errno == Errno::AGAIN;
                0
            }
        };
        if endpoint.full {
            watch(self.set, endpoint, token, EventFlags::OUT);
        }
        given
    }

    fn deliver_datagram(&mut self, id: SocketId, datagram: &Datagram, data: &[u8]) -> bool {
        let Some(endpoint) = self
            .endpoints
            .of_socket(id)
            .and_then(|id| self.endpoints.get(id))
        else {
            return false;
        };
        match self.direct.as_deref_mut() {
            Some(direct)
                if direct.socket == id
                    && direct.taken == 0
                    && !endpoint.unread
                    && !endpoint.signals =>
            {
                (direct.take_datagram)(datagram, data);
                direct.taken = 1;
                true
            }
            _ => false,
        }
    }
}

impl Endpoint {
    /// Whether the pair holds bytes that the program has not read.
    fn has_unread(&self) -> bool {
        let left = match &self.end {
            Some(end) if self.program < 0 => raw::unsent(end.as_raw_fd()),
            _ => raw::unread(self.program),
        };
        left != Ok(0)
    }
}

impl Engine {
    /// Moves queued bytes into the pair as far as it takes them.
    pub fn deliver_queued(&mut self, now: Instant, id: EndpointId, socket: SocketId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        if endpoint.end.is_none() {
            return;
        }
        endpoint.full = false;
        let few = self.stack.tcp_receive_len(socket) < endpoint.low_water;
        if few && endpoint.unread {
            // It may have been read where that is not seen, or to the last byte.
            endpoint.unread = endpoint.has_unread();
        }
        let urgent = self.stack.tcp_urgent_offset(socket).is_some();
        if few
            && !urgent
            && !endpoint.unread
            && !endpoint.failed
            && !self
                .stack
                .tcp_progress(socket)
                .is_some_and(Progress::is_last)
        {
            return;
        }
        while !endpoint.full && !self.stack.tcp_received(socket).is_empty() {
            let at_urgent = urgent && self.stack.tcp_urgent_offset(socket) == Some(0);
            if at_urgent && endpoint.on_its_way && !endpoint.is_shared() {
                // Who is to accept it reads in line, or loses one that a later one overtakes.
                break;
            }
            let road = &mut *self.road;
            self.stack.tcp_begin_passing(socket, Way::ToUser, road);
            let given = if at_urgent {
                let byte = self.stack.tcp_received(socket)[0];
                endpoint.give_urgent(byte, road).map(|given| (given, true))
            } else {
                endpoint.give_queued(&self.stack, socket, road)
            };
            match given {
                Ok((given, all)) => {
                    endpoint.unread = true;
                    endpoint.passed += given;
                    endpoint.full = !all;
                    self.stack.tcp_consume(now, socket, given);
                }
                Err(errno) => {
                    self.stack.tcp_end_passing(socket);
                    // Else shut down for reading: the bytes wait in the receive queue, as on Linux.
                    endpoint.full = errno == Errno::AGAIN;
                    break;
                }
            }
        }
        let also = if endpoint.full {
            EventFlags::OUT
        } else {
            EventFlags::empty()
        };
        watch(&self.set, endpoint, id.token(), also);
    }
}

impl Endpoint {
    /// Gives the program queued bytes of `socket`, up to the urgent one, by way of the pair; how many it took, and
    /// whether it has room for more.
    fn give_queued(
        &self,
        stack: &Stack,
        socket: SocketId,
        road: &mut Road,
    ) -> Result<(usize, bool), Errno> {
        let end = self.end.as_ref().ok_or(Errno::PIPE)?;
        let mut runs = ArrayVec::<_, MOST_RUNS>::new();
        let mut len = 0;
        stack.tcp_received_runs(socket, |run| {
            if runs.try_push(IoSlice::new(run)).is_ok() {
                len += run.len();
            }
        });
        pair::give_noted(end, &runs, &mut road.head).map(|given| (given, given == len))
    }
}
