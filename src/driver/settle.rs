//! Settling: making a descriptor agree with its socket in the stack, in both directions.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::passing::{ROAD, Way};
use crate::stack::tcp::State;
use crate::stack::time::Instant;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{Set, borrow, entry, poll_for};
use crate::sys::{clock, pair, raw};

/// Events every stream end is watched for.
pub(super) const STREAM_EVENTS: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// Watches an end for `also` besides the usual.
pub(super) fn watch(set: &Set, endpoint: &mut Endpoint, token: u64, also: EventFlags) {
    let flags = STREAM_EVENTS | also;
    if let Some(end) = &endpoint.end
        && endpoint.watched != flags
    {
        // A failure means an exhausted kernel; the program's next call settles the endpoint too.
        let _ = if endpoint.watched.is_empty() {
            set.add(end, token, flags)
        } else {
            set.modify(end, token, flags)
        };
        endpoint.watched = flags;
    }
}

impl Engine {
    /// Settles every endpoint whose socket has changed; whether the stack may have more to say.
    pub(super) fn settle_dirty(&mut self, now: Instant) -> bool {
        let mut any = false;
        // Before an end makes the socket and its endpoint strangers.
        self.take_reports();
        while let Some(socket) = self.stack.poll_dirty() {
            any = true;
            if let Some(id) = self.endpoints.of_socket(socket) {
                // Who waits to send may be another than who waits to receive; a signal tells of each datagram.
                let is_due = |held: &Endpoint| held.owes_room() || held.signals && held.datagram;
                let is_due = self.endpoints.get(id).is_some_and(is_due);
                self.stack.udp_stamp(socket, clock::realtime);
                if self.short_cuts.direct == Some(socket) && !is_due {
                    self.lag(id);
                } else if is_due || !self.notice(id) && !self.put_off(id) {
                    self.settle(now, id);
                }
            }
        }
        if any {
            self.tell_holder();
        }
        while let Some(socket) = self.stack.poll_freed() {
            self.ports.forget_if_gone(&mut self.stack, socket);
        }
        any
    }

    /// Makes `id`'s pair agree with its socket.
    pub fn settle(&mut self, now: Instant, id: EndpointId) {
        self.short_cuts.kernel_news = true;
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        match endpoint.role {
            Role::Connecting(socket) => self.settle_connecting(now, id, socket),
            Role::Connection(socket) => self.settle_connection(now, id, socket),
            Role::Listener(socket) => self.offer_connection(id, socket),
            Role::Datagram(socket) => self.settle_datagram(id, socket),
            Role::Undecided | Role::Ended => {}
        }
    }

    fn settle_connecting(&mut self, now: Instant, id: EndpointId, socket: SocketId) {
        match self
            .stack
            .tcp_progress(socket)
            .map(|progress| progress.state)
        {
            Some(State::SynSent | State::SynReceived) => return,
            None | Some(State::Closed) => return self.end_connection(id, socket, None),
            Some(_) => {}
        }
        self.endpoints.set_role(id, Role::Connection(socket));
        let _ = self.unstuff(id);
        let mut writes = false;
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            writes = endpoint.write_finished;
            // What others have written behind the filler makes no event any more.
            endpoint.overflow |= endpoint.is_shared();
        }
        self.shut_before(id, (false, writes));
        self.settle_connection(now, id, socket);
    }

    /// The socket of a new connection was shut down, for reading or writing, before it was connected, which Linux
    /// remembers.
    pub fn shut_before(&mut self, id: EndpointId, (reads, writes): (bool, bool)) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        endpoint.read_finished |= reads;
        endpoint.write_finished |= writes;
        let (Some(end), Role::Connection(socket)) = (&endpoint.end, endpoint.role) else {
            return;
        };
        if reads {
            let _ = rustix::net::shutdown(end, rustix::net::Shutdown::Write);
            self.stack.tcp_shutdown_read(socket);
        }
        if writes {
            let _ = rustix::net::shutdown(end, rustix::net::Shutdown::Read);
        }
    }

    fn settle_connection(&mut self, now: Instant, id: EndpointId, socket: SocketId) {
        self.deliver_queued(now, id, socket);
        let Some(progress) = self.stack.tcp_progress(socket) else {
            self.end_connection(id, socket, None);
            return;
        };
        if progress.failed && progress.receive_len > 0 {
            self.fail_with_unread(id, socket);
        }
        if progress.receive_len == 0 {
            let held = self.endpoints.get_mut(id).filter(|held| held.failed);
            if progress.failed || held.is_some() {
                let left = held.and_then(|held| held.error.take());
                self.end_connection(id, socket, left);
                return;
            }
            if progress.fin_received {
                self.pass_end_of_stream(id);
            }
        }
        if progress.troubled
            && let Some(endpoint) = self.endpoints.get_mut(id)
        {
            endpoint.error = self.stack.tcp_take_soft_error(socket);
            self.show_beyond(id);
        }
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        if progress.writable && endpoint.owes_room() {
            if self.unstuff(id).is_err() {
                self.stack.tcp_abort(now, socket);
                return self.forget(id);
            }
            self.take_overflow(now, id);
        }
    }

    fn pass_end_of_stream(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && !endpoint.finished
            && let Some(end) = &endpoint.end
        {
            let _ = pair::finish(end);
            endpoint.finished = true;
        }
    }

    /// What another process has passed on to its program ends as far as it did there: so it is known that the pair may
    /// hang up without being closed.
    pub(super) fn end_stream_again(&mut self, id: EndpointId) {
        let held = self.endpoints.get(id).filter(|held| held.witnessed);
        if let Some(Role::Connection(socket)) = held.map(|held| held.role)
            && let Some(progress) = self.stack.tcp_progress(socket)
            && progress.fin_received
            && progress.receive_len == 0
        {
            self.pass_end_of_stream(id);
        }
    }

    /// The pair has room again.
    fn stop_watching_room(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.full = false;
            watch(&self.set, endpoint, id.token(), EventFlags::empty());
        }
    }

    /// News of an end: bytes written where we could not see it, shutdown, close, room.
    pub(super) fn serve_end(&mut self, id: EndpointId, flags: EventFlags) {
        let now = self.now();
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        match endpoint.role {
            Role::Connection(_) => {
                if flags.contains(EventFlags::OUT) {
                    self.stop_watching_room(id);
                    if !self.notice(id) {
                        self.settle(now, id);
                    }
                }
                if flags.contains(EventFlags::RDHUP) && (!gone || self.is_only_shut(id)) {
                    self.make_room_for_last(id);
                }
                if gone || flags.intersects(EventFlags::IN | EventFlags::RDHUP) {
                    self.take_overflow(now, id);
                }
            }
            // Its socket has another pair: this one is yet to hang up.
            Role::Ended if endpoint.successor.is_some() && !gone => {}
            Role::Ended if self.is_only_shut(id) => {}
            Role::Ended if endpoint.has_unread_end() => self.close(now, id),
            _ if gone => self.close(now, id),
            Role::Listener(socket) => self.offer_connection(id, socket),
            Role::Datagram(socket) => {
                if flags.contains(EventFlags::IN) {
                    self.take_datagrams(id, socket);
                }
                self.settle_datagram(id, socket);
            }
            Role::Connecting(socket)
                if flags.contains(EventFlags::IN) && self.stack.tcp_holds_syn(socket) =>
            {
                self.open_fast(now, id, socket);
            }
            Role::Connecting(_) | Role::Undecided | Role::Ended => {}
        }
    }

    /// The pair was shut for writing, so what is in it is the last that is sent: the send queue takes that beyond its bound. An
    /// empty pair is writable, as Linux's socket is, and whoever waits for room to write wakes.
    pub fn make_room_for_last(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get(id)
            && let (Some(end), Role::Connection(socket), 0) =
                (&endpoint.end, endpoint.role, endpoint.filler)
            && let Ok(left) = raw::unread(end.as_raw_fd())
        {
            self.stack.tcp_make_room(socket, left);
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                endpoint.overflow = false;
            }
        }
    }

    /// Moves bytes of the program's from the pair into the send queue, as far as that has room, and passes on what
    /// follows them: shutdown, close, reset. What was left there waits until a connection is writable on Linux.
    pub fn take_overflow(&mut self, now: Instant, id: EndpointId) {
        if self.is_given_up(id) {
            return self.close(now, id);
        }
        if let Some(endpoint) = self.endpoints.get(id)
            && let Role::Connection(socket) = endpoint.role
            && endpoint.overflow
            && endpoint.filler == 0
            && self
                .stack
                .tcp_progress(socket)
                .is_some_and(|held| !held.writable && !held.failed)
            && !endpoint.hung_up()
        {
            return self.stack.tcp_await_room(socket);
        }
        self.take_written(now, id);
    }

    fn take_written(&mut self, now: Instant, id: EndpointId) {
        loop {
            let Some(endpoint) = self.endpoints.get_mut(id) else {
                return;
            };
            let (Some(end), Role::Connection(socket)) = (&endpoint.end, endpoint.role) else {
                return;
            };
            if endpoint.filler > 0 && !endpoint.hung_up() {
                let all = raw::unread(end.as_raw_fd()).unwrap_or(0);
                endpoint.overflow |= all > endpoint.filler;
                return;
            }
            let space = self.stack.tcp_send_space(socket);
            if endpoint.filler == 0 && space == 0 && !endpoint.write_finished {
                match raw::peek(end.as_raw_fd()) {
                    Ok(0) => return self.take_end_of_stream(now, id, socket),
                    Err(Errno::CONNRESET) => {
                        self.stack.tcp_abort(now, socket);
                        return self.forget(id);
                    }
                    Err(Errno::AGAIN) => endpoint.overflow = false,
                    _ => {
                        endpoint.overflow = true;
                        self.stack.tcp_await_room(socket);
                    }
                }
                return;
            }
            let taken = match endpoint.filler {
                0 => self.pass_written(now, id, space.max(1)),
                _ => self.take_filler(id),
            };
            match taken {
                Ok(0) => return self.take_end_of_stream(now, id, socket),
                Ok(_) => {}
                Err(Errno::CONNRESET) => {
                    self.stack.tcp_abort(now, socket);
                    return self.forget(id);
                }
                Err(_) => {
                    if let Some(endpoint) = self.endpoints.get_mut(id) {
                        endpoint.overflow = false;
                    }
                    return;
                }
            }
        }
    }

    /// Moves at most so many bytes from the pair into the send queue, whatever bounds that; how many.
    pub(super) fn pass_written(
        &mut self,
        now: Instant,
        id: EndpointId,
        most: usize,
    ) -> Result<usize, Errno> {
        let held = self.endpoints.get(id);
        let held = held.and_then(|held| held.end.as_ref().zip(held.socket()));
        let (end, socket) = held.ok_or(Errno::BADF)?;
        let road = &mut *self.road;
        let most = most.min(ROAD);
        self.stack.tcp_begin_passing(socket, Way::FromUser, road);
        let taken = pair::take_noted(end, &mut road.bytes[..most], &mut road.head);
        if let Ok(count @ 1..) = taken {
            let bytes = &road.bytes[..count];
            let _ = self.stack.tcp_send_taken(now, socket, bytes);
            self.stack.tcp_stamp(socket, None);
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                // A forked process has, by a call that no hook has seen: it has announced nothing.
                endpoint.unseen_writers |= endpoint.is_only_inherited();
            }
        }
        self.stack.tcp_end_passing(socket);
        taken
    }

    /// What the SYN waits for was written to the pair: by another process, or by a call that no hook has seen.
    fn open_fast(&mut self, now: Instant, id: EndpointId, socket: SocketId) {
        let most = self.stack.tcp_room_beside_syn(socket).min(ROAD);
        let end = self.endpoints.get(id).and_then(|held| held.end.as_ref());
        let Some(end) = end else { return };
        let road = &mut *self.road;
        self.stack.tcp_begin_passing(socket, Way::FromUser, road);
        let taken = pair::take_noted(end, &mut road.bytes[..most], &mut road.head);
        let bytes = &road.bytes[..taken.unwrap_or(0)];
        let is_all = bytes.len() < most;
        self.stack
            .tcp_open_fast(now, socket, core::iter::once(bytes));
        self.stack.tcp_end_passing(socket);
        match is_all {
            // There is room for the next ones once there is a connection.
            true => self.stuff(id),
            false => {
                if let Some(endpoint) = self.endpoints.get_mut(id) {
                    endpoint.overflow = true;
                }
            }
        }
    }

    fn take_end_of_stream(&mut self, now: Instant, id: EndpointId, socket: SocketId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        endpoint.overflow = false;
        if endpoint.hung_up() && !self.is_only_shut(id) {
            return self.close(now, id);
        }
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && !endpoint.write_finished
        {
            endpoint.write_finished = true;
            let _ = self.stack.tcp_shutdown_write(now, socket);
        }
    }
}

impl Endpoint {
    /// Whether the program waits for room to send.
    fn owes_room(&self) -> bool {
        self.filler > 0 || self.overflow
    }

    /// Whether the program's last descriptor is closed, or both sides are shut.
    pub(super) fn hung_up(&self) -> bool {
        let Some(end) = &self.end else {
            return self.program < 0;
        };
        let mut fds = [entry(rustix::fd::AsRawFd::as_raw_fd(&end.as_fd()), 0)];
        matches!(
            poll_for(&mut fds, Some(core::time::Duration::ZERO), None),
            Ok(1)
        ) && fds[0].revents & (libc::POLLHUP | libc::POLLERR) != 0
    }

    /// Whether the program, whose end may be closed, has taken every descriptor that was handed over. Of a closed end
    /// the kernel says so once.
    pub(super) fn has_taken_all(&self) -> bool {
        let left_unread = |end: &OwnedFd| sockopt::socket_error(end) == Ok(Err(Errno::CONNRESET));
        let end = self.end.as_ref();
        // In this order: what is closed lets go of what it has after the kernel has noted that.
        end.is_some_and(|end| pair::is_drained(end) && !left_unread(end))
    }

    /// The error to report, once.
    pub fn take_error(&mut self) -> Option<Error> {
        // The pair has an error of its own for the same event.
        if self.error.is_some() && self.program >= 0 {
            let _ = sockopt::socket_error(borrow(self.program));
        }
        self.error.take()
    }
}
