//! Going on with what another TCP left in its memory file.
//!
//! The other may have been killed between any two stores. What must not be lost (which bytes are
//! acknowledged, queued, received; who closed) is written in an order in which every moment can be
//! understood ([`connection`]); what is estimated and scheduled starts over, for the connection that
//! was under change. And the file may hold anything: nothing in it is believed before it is checked.
//!
//! 1. The records are checked one by one; places that hold none are free.
//! 2. The queues claim their chunks.
//! 3. Tables, accept queues, timers and lists are made anew from what is left.
//! 4. Bytes that were on their way to a connection's user, or from there, have gone as far as the road says
//!    ([`crate::stack::passing`]).
//! 5. A connection that does not hold together is reset: the peer is told, and so is the user.
//! 6. If there is no way to a peer that is to be told of a reset just now (the interface may have lost its address), that
//!    waits for one: a peer that only receives would never learn of it otherwise.

mod connection;

use core::net::SocketAddrV4;
use std::collections::BTreeMap;

use crate::stack::ids::{Kind, SocketId};
use crate::stack::layout::Tables as Areas;
use crate::stack::passing::Road;
use crate::stack::pool::Pool;
use crate::stack::records::Records;
use crate::stack::survey::Survey;
use crate::stack::tcp::kept::KeptOptions;
use crate::stack::tcp::reply::Reply;
use crate::stack::tcp::table::{Holder, Tuple};
use crate::stack::tcp::tcb::{Owner, State, Tcb};
use crate::stack::tcp::time_wait::{self, TimeWaits};
use crate::stack::tcp::timers::Timer;
use crate::stack::tcp::{Config, Tcp, TcpOptions};
use crate::stack::time::Instant;

/// What was found in a memory file.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// All connections, half-open and unaccepted ones included.
    pub connections: Vec<Connection>,
    /// All listeners, with their addresses.
    pub listeners: Vec<(SocketId, SocketAddrV4)>,
    /// The ends of connections in TIME-WAIT, ours first.
    pub time_waits: Vec<(SocketAddrV4, SocketAddrV4)>,
    /// Connections that had to be reset. Those with a user are among `connections`, closed.
    pub reset: usize,
    /// Records that could not be read at all, of which nothing is known.
    pub unreadable: usize,
}

/// A connection that was found.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The handle its user has.
    pub id: SocketId,
    /// Our address and port.
    pub local: SocketAddrV4,
    /// The peer's.
    pub remote: SocketAddrV4,
    /// Whether the user has yet to wait for the handshake.
    pub opening: bool,
    /// Whether a user holds the handle: not before it is accepted, not after it is closed.
    pub has_user: bool,
    /// Whether its user has closed it.
    pub is_closed: bool,
}

impl Restored {
    /// The local ports of everything that was found, some more than once.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let connections = self.connections.iter().map(|found| found.local.port());
        let listeners = self.listeners.iter().map(|found| found.1.port());
        let time_waits = self.time_waits.iter().map(|found| found.0.port());
        connections.chain(listeners).chain(time_waits)
    }

    /// A connection that had a user.
    pub fn of_user(&self, id: SocketId) -> Option<&Connection> {
        // They are in the order of their places.
        let at = self
            .connections
            .binary_search_by_key(&id.index, |found| found.id.index);
        let found = self.connections.get(at.ok()?)?;
        (found.id == id && found.has_user).then_some(found)
    }

    /// A listener's address.
    pub fn listener(&self, id: SocketId) -> Option<SocketAddrV4> {
        let found = self.listeners.iter().find(|found| found.0 == id);
        found.map(|found| found.1)
    }
}

impl Tcp {
    /// A TCP that goes on with what lies in a memory file, and the pool with the queues' bytes.
    pub fn restore(
        config: Config,
        areas: Areas,
        pool: Pool,
        road: &Road,
        now: Instant,
    ) -> (Self, Pool, Restored) {
        let (connections, bad_connections) = Records::open(areas.connections);
        let (listeners, bad_listeners) = Records::open(areas.listeners);
        let (time_waits, bad_remains) = TimeWaits::open(areas.time_waits, now);
        let mut restored = Restored {
            unreadable: bad_connections + bad_listeners + bad_remains,
            ..Restored::default()
        };
        let tables = (connections, listeners, time_waits);
        let mut tcp = Self::over(config, *areas.secret, areas.cookies, tables);
        tcp.restore_listeners();
        tcp.restore_time_waits();
        let mut survey = Survey::new(pool);
        restored.reset = tcp.restore_connections(now, road, &mut survey);
        let mut pool = survey.finish();
        tcp.restore_accept_queues();
        for index in tcp.indices() {
            if let Some(tcb) = tcp.connections.get_mut(index) {
                tcb.take_arrived(road, &mut pool);
                tcb.complete(now, &mut pool);
            }
            tcp.settle(now, index, &mut pool);
        }
        tcp.replies.be_patient(now + time_wait::LENGTH);
        restored.note(&tcp);
        (tcp, pool, restored)
    }

    fn indices(&self) -> Vec<u32> {
        self.connections.indices().collect()
    }

    fn restore_listeners(&mut self) {
        for index in self.listeners.indices().collect::<Vec<_>>() {
            let Some(listener) = self.listeners.get_mut(index) else {
                continue;
            };
            listener.id = SocketId {
                kind: Kind::Listener,
                index,
                generation: listener.place.generation,
            };
            if !listener.options.is_sound() {
                listener.options = KeptOptions::from(&TcpOptions::default());
            }
            listener.half_open = 0;
            listener.dirty_listed = true;
            self.dirty.push_back(listener.id);
            self.tables.insert_listener(listener.local.get(), index);
        }
    }

    fn restore_time_waits(&mut self) {
        for (index, remains) in self.time_waits.iter() {
            let tuple = Tuple::new(remains.local.get(), remains.remote.get());
            self.tables.insert(tuple, Holder::TimeWait(index));
        }
    }

    /// Gives how many had to be reset.
    fn restore_connections(&mut self, now: Instant, road: &Road, survey: &mut Survey) -> usize {
        let mut reset = 0;
        for index in self.indices() {
            let Some(tcb) = self.connections.get_mut(index) else {
                continue;
            };
            let tuple = Tuple::new(tcb.local.get(), tcb.remote.get());
            if self.tables.holder(tuple).is_some() {
                // Remains in TIME-WAIT were just made of it, or the file is not to be believed.
                tcb.state = State::Closed;
            }
            if !tcb.restore(now, index, road, survey) {
                reset += 1;
                tcb.replace_by_reset(now, &self.config);
            }
            if tcb.state != State::Closed {
                self.tables.insert(tuple, Holder::Connection(index));
            }
        }
        reset
    }

    fn restore_accept_queues(&mut self) {
        let mut waiting: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for index in self.indices() {
            let Some(tcb) = self.connections.get_mut(index) else {
                continue;
            };
            let Owner::Listener { index: of, queued } = tcb.owner.get() else {
                continue;
            };
            match self.listeners.get_mut(of) {
                Some(_) if queued => waiting.entry(of).or_default().push(index),
                Some(listener) => listener.half_open += 1,
                None => tcb.owner = Owner::Nobody.into(),
            }
        }
        for index in self.listeners.indices().collect::<Vec<_>>() {
            if let Some(listener) = self.listeners.get_mut(index) {
                let waiting = waiting.remove(&index).unwrap_or_default();
                listener.restore_queue(&mut self.connections, waiting);
            }
        }
    }

    /// The local ports of connections that have something to be acknowledged; some more than once.
    pub fn unfinished_ports(&self, peers: bool) -> impl Iterator<Item = u16> {
        let connections = self.connections.iter();
        let unfinished = connections.filter(move |tcb| match tcb.state {
            State::Closed | State::TimeWait => false,
            State::FinWait2 => peers,
            _ => true,
        });
        unfinished.map(|tcb| tcb.local.get().port())
    }

    /// Whether there is no connection, none in TIME-WAIT, and nothing that waits for a way to be said.
    pub fn is_empty(&self) -> bool {
        self.is_done() && self.time_waits.len() == 0 && !self.replies.has_wayless()
    }

    /// Users are gone: CLOSE of all listeners but those of which `stays` holds, and their peers are told of connections
    /// that are reset by it, so that [`Self::close_all_but`] can follow.
    pub fn reset_all_but(
        &mut self,
        now: Instant,
        stays: impl Fn(SocketId) -> bool,
        pool: &mut Pool,
    ) {
        let listeners: Vec<_> = self.listeners().filter(|&id| !stays(id)).collect();
        for listener in listeners {
            self.close(now, listener, pool);
        }
        for tcb in self.connections.iter() {
            if tcb.is_reset_with_user() && !stays(tcb.id) {
                self.replies.push(Reply::reset_of(tcb, now));
            }
        }
        self.replies.be_patient(now + time_wait::LENGTH);
    }

    /// CLOSE of all connections by users who are gone: all but those of which `stays` holds.
    pub fn close_all_but(
        &mut self,
        now: Instant,
        stays: impl Fn(SocketId) -> bool,
        pool: &mut Pool,
    ) {
        for index in self.indices() {
            let Some(tcb) = self.connections.get_mut(index) else {
                continue;
            };
            // What peers have said since may be lost with the process, so they are asked at once.
            if tcb.snd.flight() > 0 {
                tcb.deadlines.arm(Timer::Retransmit, now);
            }
            let id = tcb.id;
            match tcb.owner.get() {
                Owner::User if stays(id) => self.settle(now, index, pool),
                Owner::User if tcb.is_reset_with_user() => {
                    tcb.owner = Owner::Nobody.into();
                    tcb.end(pool, None);
                    self.settle(now, index, pool);
                }
                Owner::User => self.close(now, id, pool),
                _ => self.settle(now, index, pool),
            }
        }
    }
}

impl Tcb {
    /// Whether it is reset once its user is gone, who cannot read any more.
    fn is_reset_with_user(&self) -> bool {
        let leaves = self.owner.get() == Owner::User;
        let aborts = self.passed_unread || self.options.abort_on_close || self.resets_at_close();
        leaves && aborts && !self.repair && !matches!(self.state, State::Closed | State::SynSent)
    }
}

impl Restored {
    fn note(&mut self, tcp: &Tcp) {
        let connections = tcp.connections.iter().map(|tcb| Connection {
            id: tcb.id,
            local: tcb.local.get(),
            remote: tcb.remote.get(),
            opening: tcb.is_opening(),
            has_user: tcb.owner.get() == Owner::User,
            is_closed: tcb.owner.get() == Owner::Nobody,
        });
        self.connections = connections.collect();
        let listeners = tcp.listeners.iter();
        self.listeners = listeners.map(|l| (l.id, l.local.get())).collect();
        let remains = tcp.time_waits.iter();
        self.time_waits = remains
            .map(|(_, remains)| (remains.local.get(), remains.remote.get()))
            .collect();
    }
}
