//! User calls (RFC 9293 sections 3.10.1 to 3.10.6): OPEN, SEND, RECEIVE, CLOSE, ABORT, STATUS.

use core::net::SocketAddrV4;

use super::Tcp;
use super::config::TcpOptions;
use super::counters::Counter;
use super::kept::KeptOptions;
use super::listener::Listener;
use super::status::{ListenerStatus, TcpStatus};
use super::table::Tuple;
use super::tally::Limit;
use super::tcb::{Owner, State, Tcb};
use crate::stack::error::Error;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::passing::{Road, Way};
use crate::stack::plain::Maybe;
use crate::stack::pool::{Pool, in_order};
use crate::stack::time::Instant;

impl Tcp {
    /// Active OPEN.
    ///
    /// Errors: `AddressNotAvailable` if the pair of addresses is taken, `NetworkUnreachable` if
    /// `remote` can have no TCP, `NoBuffers` if there is no room for one more.
    pub fn connect(
        &mut self,
        now: Instant,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        options: &TcpOptions,
        pool: &mut Pool,
    ) -> Result<SocketId, Error> {
        let isn_floor = self.take_ends(local, remote)?;
        self.counters.count(Counter::ActiveOpens);
        let iss = self.initial_seq(now, local, remote, isn_floor);
        let (ends, options) = ([local, remote], options.into());
        let index = self.insert_connection(now, ends, iss, &options, Owner::User, |_| {});
        let index = index.ok_or(Error::NoBuffers)?;
        self.settle(now, index, pool);
        let id = self.connections.get(index).map(|tcb| tcb.id);
        id.ok_or(Error::NoBuffers)
    }

    /// Whether no connection, in TIME-WAIT or otherwise, has these ends.
    pub fn tuple_free(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        self.tables.holder(Tuple::new(local, remote)).is_none()
    }

    /// Whether there is a listener for a SYN from `remote` to `local`.
    pub fn has_listener(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        self.tables.listener(local, remote).is_some()
    }

    /// Passive OPEN. The address may be unspecified: any of ours.
    ///
    /// Errors: `AddressInUse` if another listener has exactly this address and not both have
    /// [`TcpOptions::reuse_port`]; `NoBuffers` if there are too many.
    pub fn listen(
        &mut self,
        local: SocketAddrV4,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<SocketId, Error> {
        let shares = |&index: &u32| {
            let other = self.listeners.get(index);
            options.reuse_port && other.is_some_and(|l| l.options.reuse_port)
        };
        if !self.tables.listeners_at(local).iter().all(shares) {
            return Err(Error::AddressInUse);
        }
        let backlog = backlog.min(self.config.limits.somaxconn);
        let mut id = SocketId {
            kind: Kind::Listener,
            index: 0,
            generation: 0,
        };
        let index = self.listeners.insert_with(|index, place| {
            id.index = index;
            id.generation = place.generation;
            let mut listener = Listener::new(place, id, local, backlog, KeptOptions::from(options));
            (listener.deaf, listener.mute) = (options.deaf, options.mute);
            listener
        });
        let index = index.ok_or(Error::NoBuffers)?;
        self.tables.insert_listener(local, index);
        Ok(id)
    }

    /// listen(2) again on a listener.
    pub fn set_backlog(&mut self, id: SocketId, backlog: u32) {
        let most = self.config.limits.somaxconn;
        if let Some(listener) = self.listener_mut(id) {
            listener.backlog = backlog.min(most);
        }
    }

    /// The connection that has waited longest in the accept queue. It may have ended meanwhile.
    pub fn accept(&mut self, id: SocketId) -> Option<SocketId> {
        let listener = self.listeners.get_mut(id.index).filter(|l| l.id == id)?;
        let index = listener.dequeue(&self.connections)?;
        let tcb = self.connections.get_mut(index)?;
        tcb.owner = Owner::User.into();
        Some(tcb.id)
    }

    /// SEND: queues as much of `runs`, one after the other, as there is room for and gives how much that
    /// was. With `more` the end of it waits for what follows (MSG_MORE).
    ///
    /// Errors: `WouldBlock` if there is no room, or not yet a connection; `BrokenPipe` if the
    /// sending side is closed; `Invalid` for a stale handle; what ended the connection, once.
    pub fn send_all<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
        more: bool,
        pool: &mut Pool,
    ) -> Result<usize, Error> {
        let space = self.connection(id).map_or(0, |tcb| tcb.snd.space());
        self.send_within(now, id, space, runs, more, pool)
    }

    /// SEND within other bounds than the queue's: of `space` bytes at most, as far as the pool has room.
    pub fn send_within<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        space: usize,
        runs: impl Iterator<Item = &'a [u8]>,
        more: bool,
        pool: &mut Pool,
    ) -> Result<usize, Error> {
        let place = self.connections.get_mut(id.index);
        let tcb = place.filter(|tcb| tcb.id == id).ok_or(Error::Invalid)?;
        tcb.may_send()?;
        let (mut sent, mut blocked) = (0, false);
        if !tcb.snd.more {
            tcb.snd.more_from = tcb.snd.end();
        }
        for run in runs {
            let room = run.len().min(space - sent);
            let taken = tcb.snd.queue.append(pool, &run[..room]);
            sent += taken;
            blocked = taken < run.len();
            if blocked {
                break;
            }
        }
        // As Linux: who has to wait for room has given all it could.
        tcb.snd.more = more && !blocked;
        // Who waits for room goes on waiting if another has sent something that fits.
        tcb.snd.blocked |= blocked;
        if sent > 0 {
            tcb.tally.limited_by(now, Limit::Network);
        }
        tcb.marks.output = true;
        self.settle(now, id.index, pool);
        if sent == 0 && blocked {
            Err(Error::WouldBlock)
        } else {
            Ok(sent)
        }
    }

    /// The user has more to send than there is room for.
    pub fn await_room(&mut self, id: SocketId) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.snd.blocked = true;
        }
    }

    /// The user expects to receive nothing more. Once the sending side is closed, too, what comes is answered with RST.
    pub fn shutdown_read(&mut self, id: SocketId) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.rcv.shut = true;
        }
    }

    /// SEND with the URGENT flag: the urgent pointer points behind the last byte that is queued
    /// (RFC 6093). Errors as [`Tcp::send_all`].
    pub fn send_urgent<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
        pool: &mut Pool,
    ) -> Result<usize, Error> {
        let sent = self.send_all(now, id, runs, false, pool)?;
        if let Some(tcb) = self.connection_mut(id) {
            tcb.snd.up = Maybe::some(tcb.snd.end());
            tcb.snd.push_end = tcb.snd.end();
        }
        Ok(sent)
    }

    /// RECEIVE: the first run of bytes that lie side by side in the receive queue. It ends before
    /// the urgent byte, which is a run by itself.
    pub fn received<'a>(&self, id: SocketId, pool: &'a Pool) -> &'a [u8] {
        self.connection(id).map_or(&[], |tcb| {
            let run = tcb.rcv.queue.front(pool);
            &run[..tcb.rcv.run_to_urgent(run.len())]
        })
    }

    /// The same of all runs up to the urgent byte, in order.
    pub fn received_runs<'a>(&self, id: SocketId, pool: &'a Pool, mut visit: impl FnMut(&'a [u8])) {
        if let Some(tcb) = self.connection(id) {
            let queue = &tcb.rcv.queue;
            let len = tcb.rcv.run_to_urgent(queue.len());
            queue.spans(pool, 0, len, |span| visit(pool.bytes(span)));
        }
    }

    /// All bytes in the receive queue that are in order.
    pub fn receive_len(&self, id: SocketId) -> usize {
        self.connection(id).map_or(0, |tcb| tcb.rcv.queue.len())
    }

    /// Copies bytes from `offset` on and leaves them queued; gives how many.
    pub fn peek(&self, id: SocketId, offset: usize, buffer: &mut [u8], pool: &Pool) -> usize {
        self.connection(id)
            .map_or(0, |tcb| tcb.rcv.queue.peek(pool, offset, buffer))
    }

    /// The user took `count` bytes from the receive queue. The peer hears of the room once it is
    /// worth telling.
    pub fn consume(&mut self, now: Instant, id: SocketId, count: usize, pool: &mut Pool) {
        let Some(tcb) = self.connection_mut(id) else {
            return;
        };
        let count = count.min(tcb.rcv.queue.len());
        tcb.rcv.queue.consume(pool, count);
        tcb.end_passing(count);
        tcb.rcv.pass_urgent(count);
        tcb.rcv
            .consumed(now, count, tcb.options.receive_buffer.get().is_some());
        if tcb.tell_of_room() {
            self.settle(now, id.index, pool);
        }
    }

    /// Bytes are about to be moved between a connection and its user, by a road on which others see
    /// them.
    pub fn begin_passing(&mut self, id: SocketId, way: Way, road: &mut Road) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.passing.start_at(match way {
                Way::ToUser => tcb.rcv.queue.first_position(),
                Way::FromUser => tcb.snd.queue.end_position(),
                Way::Filling | Way::Emptying => tcb.filler,
                Way::None | Way::Lost => 0,
            });
            tcb.passing.begin(way, road);
        }
    }

    /// None were, or they have been sent.
    pub fn end_passing(&mut self, id: SocketId) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.end_passing(0);
        }
    }

    /// On the road from the user so many bytes are to be thrown away.
    pub fn note_filler(&mut self, id: SocketId, count: usize) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.filler = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    /// As noted last, by whoever drove the stack then.
    pub fn filler(&self, id: SocketId) -> usize {
        self.connection(id).map_or(0, |tcb| tcb.filler as usize)
    }

    /// The user has read all that was passed on.
    pub fn all_read(&mut self, id: SocketId) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.passed_unread = false;
        }
    }

    /// CLOSE of the sending side: a FIN after what is queued.
    ///
    /// Errors: `NotConnected` if there is no connection, `Invalid` for a stale handle.
    pub fn shutdown_write(
        &mut self,
        now: Instant,
        id: SocketId,
        pool: &mut Pool,
    ) -> Result<(), Error> {
        let tcb = self.connection_mut(id).ok_or(Error::Invalid)?;
        if tcb.state == State::Closed {
            return Err(Error::NotConnected);
        }
        tcb.close_write(pool);
        self.settle(now, id.index, pool);
        Ok(())
    }

    /// CLOSE by a user who will not come back, of a connection or a listener. What was sent is
    /// still delivered; the place frees itself in the end.
    pub fn close(&mut self, now: Instant, id: SocketId, pool: &mut Pool) {
        if id.kind == Kind::Listener {
            self.close_listener(now, id, pool);
            return;
        }
        let Some(tcb) = self.connection_mut(id) else {
            return;
        };
        if tcb.options.abort_on_close {
            return self.abort(now, id, pool);
        }
        tcb.close(now, pool);
        self.settle(now, id.index, pool);
    }

    /// ABORT: a RST to the peer, unless under repair, and the place is free.
    pub fn abort(&mut self, now: Instant, id: SocketId, pool: &mut Pool) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.owner = Owner::Nobody.into();
            match tcb.state {
                _ if tcb.repair => tcb.end(pool, None),
                State::Closed | State::SynSent | State::TimeWait => tcb.end(pool, None),
                _ => tcb.reset(pool, None),
            }
            self.settle(now, id.index, pool);
        }
    }

    /// As Linux: connections nobody accepted are reset; half-open ones are forgotten.
    fn close_listener(&mut self, now: Instant, id: SocketId, pool: &mut Pool) {
        let Some(listener) = self.listener_mut(id) else {
            return;
        };
        let (local, offered) = (listener.local.get(), listener.offered());
        if let Some(offered) = offered.filter(|&id| self.has_user(id)) {
            self.abort(now, offered, pool);
        }
        self.tables.remove_listener(local, id.index);
        while let Some(child) = self.accept(id) {
            self.abort(now, child, pool);
        }
        let half_open = |tcb: &&Tcb| matches!(tcb.owner.get(), Owner::Listener { index, .. } if index == id.index);
        let orphans: Vec<u32> = self
            .connections
            .iter()
            .filter(half_open)
            .map(|tcb| tcb.id.index)
            .collect();
        for index in orphans {
            if let Some(tcb) = self.connections.get_mut(index) {
                tcb.end(pool, None);
                self.settle(now, index, pool);
            }
        }
        self.listeners.remove(id.index);
    }

    /// Why the connection ended, or what ICMP said about it; told once (SO_ERROR).
    pub fn take_error(&mut self, id: SocketId) -> Option<Error> {
        let tcb = self.connection_mut(id)?;
        tcb.error.take().or_else(|| tcb.soft_error.take())
    }

    /// STATUS; `None` for a stale handle.
    pub fn status(&self, id: SocketId) -> Option<TcpStatus> {
        self.connection(id).map(Tcb::status)
    }

    /// STATUS of a listener; `None` for a stale handle.
    pub fn listener_status(&self, id: SocketId) -> Option<ListenerStatus> {
        self.listener(id).map(Listener::status)
    }

    /// Which of the listener's options the youngest connection in its accept queue has; `None`: none is there.
    pub fn newest_edition(&self, id: SocketId) -> Option<u16> {
        let listener = self.listeners.get(id.index).filter(|l| l.id == id)?;
        let newest = self.connections.get(listener.newest()?)?;
        Some(newest.options.edition)
    }

    /// Changes the options of a connection or listener.
    pub fn set_options(
        &mut self,
        now: Instant,
        id: SocketId,
        options: &TcpOptions,
        pool: &mut Pool,
    ) {
        let default_congestion = self.config.congestion;
        if let Some(listener) = self.listener_mut(id) {
            listener.options = options.into();
            (listener.deaf, listener.mute) = (options.deaf, options.mute);
        }
        if let Some(tcb) = self.connection_mut(id) {
            tcb.begin_change();
            tcb.change_options(now, options);
            let congestion = options.congestion.unwrap_or(default_congestion);
            tcb.window.set_algorithm(congestion);
            self.settle(now, id.index, pool);
        }
    }

    /// All connections, half-open and unaccepted ones included.
    pub fn connections(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.connections.iter().map(|tcb| tcb.id)
    }

    /// All listeners.
    pub fn listeners(&self) -> impl Iterator<Item = SocketId> + '_ {
        self.listeners.iter().map(|listener| listener.id)
    }

    /// How many connections are in TIME-WAIT.
    pub const fn time_wait_len(&self) -> usize {
        self.time_waits.len()
    }
}

impl Tcb {
    pub(super) fn may_send(&mut self) -> Result<(), Error> {
        match self.state {
            State::SynReceived if self.is_open_early() => Ok(()),
            State::SynSent | State::SynReceived => Err(Error::WouldBlock),
            State::Established | State::CloseWait => Ok(()),
            _ => Err(self.error.take().unwrap_or(Error::BrokenPipe)),
        }
    }

    /// The user is gone. What is left of that after the first store is made up for by who adopts it.
    pub(super) fn close(&mut self, now: Instant, pool: &mut Pool) {
        self.owner = Owner::Nobody.into();
        in_order();
        if self.repair {
            self.end(pool, None);
        } else if self.resets_at_close() {
            self.reset(pool, None);
        } else {
            self.close_write(pool);
            self.arm_linger(now);
        }
    }

    /// Whether the peer should know that data was lost if the user closes now (RFC 9293 section 3.6.1), or is not to be
    /// waited for.
    pub(super) fn resets_at_close(&self) -> bool {
        let unread = !self.rcv.queue.is_empty();
        let no_wait = self.state == State::FinWait2 && self.options.linger2.get().is_none();
        self.is_open() && (unread || no_wait)
    }

    /// The user sends nothing more.
    fn close_write(&mut self, pool: &mut Pool) {
        self.marks.output = true;
        match self.state {
            // RFC 9293 section 3.10.4: "Delete the TCB"; nothing was sent that matters.
            State::SynSent => self.end(pool, None),
            // "Queue for processing after entering ESTABLISHED state."
            State::SynReceived => self.snd.fin = true,
            State::Established | State::CloseWait => {
                self.snd.fin = true;
                in_order();
                self.state = self.state_by_fins();
            }
            _ => {}
        }
    }

    fn change_options(&mut self, now: Instant, options: &TcpOptions) {
        let mut kept = KeptOptions::from(options);
        if self.state != State::SynSent {
            // As Linux: the segment size is settled with the handshake.
            kept.max_segment = self.options.max_segment;
        }
        let old = core::mem::replace(&mut self.options, kept);
        // As Linux: turning Nagle off, or the cork out, pushes what waits.
        if (options.nodelay && !old.nodelay) || (old.cork && !options.cork) {
            self.snd.push_end = self.snd.end();
        }
        self.snd.set_limit(options.send_buffer);
        self.snd.set_low_water(options.unsent_low_water);
        self.rcv
            .set_bounds(options.receive_buffer, options.window_clamp);
        self.tell_of_room();
        let keepalive_changed =
            (old.keepalive, old.keep_idle.get()) != (options.keepalive, options.keep_idle);
        if keepalive_changed {
            self.probes = 0;
            self.arm_keepalive(now);
        }
        self.marks.output = true;
    }
}
