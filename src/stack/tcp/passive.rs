//! Passive opening: from the SYN to the accept queue.

use core::net::SocketAddrV4;

use super::Tcp;
use super::arrives::{Segment, closed, listen};
use super::counters::Counter;
use super::fast_open::Fast;
use super::kept::KeptOptions;
use super::segment::IpInfo;
use super::table::{Holder, Tuple};
use super::tcb::{Opening, Owner, State, Tcb};
use super::time_wait;
use super::timers::Timer;
use crate::stack::error::Error;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::plain::Stored;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

impl Tcp {
    /// LISTEN and CLOSED. `isn_floor` is where the initial sequence number must at least be, if
    /// the connection succeeds one whose segments may still be about.
    pub(super) fn unconnected_segment_arrives(
        &mut self,
        now: Instant,
        ip: &IpInfo<'_>,
        segment: &Segment<'_>,
        isn_floor: Option<Seq>,
        pool: &mut Pool,
    ) {
        let local = SocketAddrV4::new(ip.destination, segment.repr.destination_port);
        let remote = SocketAddrV4::new(ip.source, segment.repr.source_port);
        let listener = self.tables.listener(local, remote);
        let far = |index| {
            let listener = self.listeners.get(index);
            listener.is_some_and(|listener| ip.ttl < listener.options.min_ttl)
        };
        if listener.is_some_and(far) {
            self.counters.count(Counter::TooFar);
            return;
        }
        let verdict = match listener {
            Some(_) => listen::segment_arrives(segment),
            None => listen::Verdict::Reset,
        };
        match (verdict, listener) {
            (listen::Verdict::Open, _) if !ip.opens => {
                self.counters.count(Counter::NoConnection);
            }
            (listen::Verdict::Open, Some(listener)) => {
                self.open_passively(now, listener, ip, segment, isn_floor, pool);
            }
            (listen::Verdict::Ignore, _) => self.counters.count(Counter::NoConnection),
            _ => {
                self.counters.count(Counter::NoConnection);
                if ip.answer_unknown
                    && let Some(reply) = closed::segment_arrives(local, remote, segment)
                {
                    self.replies.push(reply);
                }
            }
        }
    }

    /// A SYN to a listener. With the accept queue full it is dropped, not refused: the peer will try again.
    /// With too many half-open it is answered, and forgotten.
    fn open_passively(
        &mut self,
        now: Instant,
        listener_index: u32,
        ip: &IpInfo<'_>,
        segment: &Segment<'_>,
        isn_floor: Option<Seq>,
        pool: &mut Pool,
    ) {
        let local = SocketAddrV4::new(ip.destination, segment.repr.destination_port);
        let remote = SocketAddrV4::new(ip.source, segment.repr.source_port);
        let syn_backlog = self.config.limits.max_syn_backlog;
        let Some(listener) = self.listeners.get_mut(listener_index) else {
            return;
        };
        // As Linux, one more than may wait.
        let most_half_open = listener.backlog.saturating_add(1).min(syn_backlog);
        let full = if !listener.has_room() {
            Some(Counter::AcceptQueueFull)
        } else if listener.half_open >= most_half_open {
            if self.config.limits.syn_cookies && isn_floor.is_none() {
                let options = listener.options;
                return self.answer_with_cookie(now, [local, remote], &options, segment);
            }
            Some(Counter::SynQueueFull)
        } else {
            None
        };
        if let Some(reason) = full {
            listener.drops += 1;
            self.counters.count(reason);
            return;
        }
        let has_room = self.has_room();
        let Some(listener) = self.listeners.get_mut(listener_index) else {
            return;
        };
        if !has_room {
            listener.drops += 1;
            return;
        }
        listener.half_open += 1;
        let (options, deaf, mute) = (listener.options, listener.deaf, listener.mute);
        let owner = Owner::Listener {
            index: listener_index,
            queued: false,
        };
        let iss = self.initial_seq(now, local, remote, isn_floor);
        let fast = self.judge_syn(now, &options, segment, [*local.ip(), *remote.ip()]);
        let repr = segment.repr;
        let ends = [local, remote];
        let index = self.insert_connection(now, ends, iss, &options, owner, |tcb| {
            tcb.learn_syn(now, segment.seq, repr.window, &repr.options);
            tcb.rcv.shut = deaf;
            tcb.snd.fin = mute;
            tcb.fast = fast;
        });
        let Some(index) = index else { return };
        if fast == Fast::Opened {
            self.open_early(now, index, segment.payload, pool);
        }
        self.saved_syns.save(index, options.save_syn, ip.headers);
        self.settle(now, index, pool);
    }

    /// A segment for a connection in TIME-WAIT.
    pub(super) fn time_wait_segment_arrives(
        &mut self,
        now: Instant,
        index: u32,
        ip: &IpInfo<'_>,
        segment: &Segment<'_>,
        pool: &mut Pool,
    ) {
        match self.time_waits.segment_arrives(now, index, segment) {
            time_wait::Verdict::Ignore => {}
            time_wait::Verdict::Answer(reply) => self.replies.push(reply),
            time_wait::Verdict::Forget => self.forget_time_wait(index),
            time_wait::Verdict::Succeed(isn_floor) => {
                self.forget_time_wait(index);
                self.unconnected_segment_arrives(now, ip, segment, Some(isn_floor), pool);
            }
        }
    }

    /// Sees to it that a connection can have these ends. Gives where its sequence numbers must at least begin. Errors as
    /// [`Tcp::connect`].
    pub(super) fn take_ends(
        &mut self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Result<Option<Seq>, Error> {
        if !super::is_unicast(*remote.ip()) {
            return Err(Error::NetworkUnreachable);
        }
        if !self.has_room() {
            return Err(Error::NoBuffers);
        }
        match self.tables.holder(Tuple::new(local, remote)) {
            None => Ok(None),
            Some(Holder::Connection(_)) => Err(Error::AddressNotAvailable),
            Some(Holder::TimeWait(index)) => {
                let floor = self.time_waits.reusable(index);
                let floor = floor.ok_or(Error::AddressNotAvailable)?;
                self.forget_time_wait(index);
                Ok(Some(floor))
            }
        }
    }

    /// Makes a connection whose SYN or SYN-ACK is due, and gives its index. `complete` does to it what else it
    /// begins with: nobody ever finds it without.
    /// `None`: the table is full, which callers have asked before.
    pub(super) fn insert_connection(
        &mut self,
        now: Instant,
        [local, remote]: [SocketAddrV4; 2],
        iss: Seq,
        options: &KeptOptions,
        owner: Owner,
        complete: impl FnOnce(&mut Tcb),
    ) -> Option<u32> {
        let state = match owner {
            Owner::Listener { .. } => State::SynReceived,
            _ => State::SynSent,
        };
        let timestamp_offset = self.secret.timestamp_offset(*local.ip(), *remote.ip());
        let config = &self.config;
        let index = self.connections.insert_with(|index, place| {
            let opening = Opening {
                place,
                id: SocketId {
                    kind: Kind::Connection,
                    index,
                    generation: place.generation,
                },
                local,
                remote,
                iss,
                timestamp_offset,
                options: *options,
                now,
            };
            let mut tcb = Tcb::new(&opening, config, state, owner);
            tcb.deadlines
                .arm(Timer::Retransmit, now + super::rtt::INITIAL_RTO);
            complete(&mut tcb);
            tcb
        });
        if let Some(index) = index {
            self.tables
                .insert(Tuple::new(local, remote), Holder::Connection(index));
        }
        index
    }

    pub(super) fn initial_seq(
        &self,
        now: Instant,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        floor: Option<Seq>,
    ) -> Seq {
        let isn = self.secret.isn(now, local, remote);
        floor.map_or(isn, |floor| isn.later(floor))
    }

    /// Whether the listener a half-open connection came from can take it.
    pub(super) fn has_accept_room(&self, index: u32) -> bool {
        let owner = self.connections.get(index).map(|tcb| tcb.owner.get());
        let Some(Owner::Listener {
            index,
            queued: false,
        }) = owner
        else {
            return true;
        };
        self.listeners.get(index).is_some_and(|l| l.has_room())
    }

    /// Half-open connections that are so no longer: into the accept queue, or gone.
    pub(super) fn settle_passive(&mut self, index: u32) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        let Owner::Listener {
            index: listener_index,
            queued: false,
        } = tcb.owner.get()
        else {
            return;
        };
        if tcb.state == State::SynReceived && !tcb.is_open_early() {
            return;
        }
        let Some(listener) = self.listeners.get_mut(listener_index) else {
            return;
        };
        listener.half_open = listener.half_open.saturating_sub(1);
        if tcb.was_established {
            tcb.owner = Stored::from(Owner::Listener {
                index: listener_index,
                queued: true,
            });
            // Of the listener's options this one is not inherited.
            tcb.options.treatment.priority = 0;
            self.counters.count(Counter::PassiveOpens);
            listener.enqueue(&mut self.connections, index);
            if !listener.dirty_listed {
                listener.dirty_listed = true;
                self.dirty.push_back(listener.id);
            }
        }
    }
}
