//! Listeners: LISTEN, the half-open connections that came of it, and the accept queue.
//!
//! A half-open connection is a whole [`Tcb`](super::tcb::Tcb) owned by its listener; the listener
//! only counts them. Established ones wait in the accept queue, which is a chain through the
//! connections themselves.

use core::net::SocketAddrV4;
use std::collections::BTreeSet;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::kept::KeptOptions;
use super::tcb::Tcb;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::plain::Stored;
use crate::stack::records::{Place, Record, Records};

const NONE: u32 = u32::MAX;

/// Written by whoever drives the stack, read by it and by who adopts it.
#[derive(Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Listener {
    pub(super) place: Place,
    pub(super) id: SocketId,
    /// As given to listen(2), capped by somaxconn.
    pub(super) backlog: u32,
    pub(super) local: Stored<SocketAddrV4>,
    pub(super) options: KeptOptions,
    /// Half-open connections.
    pub(super) half_open: u32,
    /// Connections in the accept queue.
    pub(super) queued: u32,
    first: u32,
    last: u32,
    /// SYNs and last ACKs dropped because a queue was full.
    pub(super) drops: u64,
    /// Connections that have come into the accept queue so far.
    pub(super) completed: u64,
    /// Place and generation of the connection that is offered; no place: none is.
    offered: [u32; 2],
    /// It waits in the list of sockets whose outside may have changed.
    pub(super) dirty_listed: bool,
    /// Its connections are shut down for reading.
    pub(super) deaf: bool,
    /// They are for writing.
    pub(super) mute: bool,
    _unused: [u8; 5],
}

impl Record for Listener {
    fn place(&self) -> &Place {
        &self.place
    }
    fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Listener {
    pub(super) fn new(
        place: Place,
        id: SocketId,
        local: SocketAddrV4,
        backlog: u32,
        options: KeptOptions,
    ) -> Self {
        Self {
            place,
            id,
            local: local.into(),
            backlog,
            options,
            half_open: 0,
            queued: 0,
            first: NONE,
            last: NONE,
            drops: 0,
            completed: 0,
            offered: [NONE; 2],
            dirty_listed: false,
            deaf: false,
            mute: false,
            _unused: [0; 5],
        }
    }

    /// Whether one more connection may complete: as Linux, backlog + 1 may wait. One that is offered does, too.
    pub(super) fn has_room(&self) -> bool {
        self.queued + u32::from(self.offered().is_some()) <= self.backlog
    }

    /// The connection that has left the accept queue and is not known to be accepted.
    pub(super) fn offered(&self) -> Option<SocketId> {
        let [index, generation] = self.offered;
        (index != NONE).then_some(SocketId {
            kind: Kind::Connection,
            index,
            generation,
        })
    }

    pub(super) fn set_offered(&mut self, connection: Option<SocketId>) {
        self.offered = connection.map_or([NONE; 2], |id| [id.index, id.generation]);
    }

    /// Appends a connection to the accept queue.
    pub(super) fn enqueue(&mut self, connections: &mut Records<Tcb>, index: u32) {
        if let Some(tcb) = connections.get_mut(index) {
            tcb.accept_next = NONE;
        }
        match connections.get_mut(self.last) {
            Some(last) => last.accept_next = index,
            None => self.first = index,
        }
        self.last = index;
        self.queued += 1;
        self.completed += 1;
    }

    /// The connection that came last.
    pub(super) fn newest(&self) -> Option<u32> {
        (self.queued > 0).then_some(self.last)
    }

    /// Puts `waiting` into the accept queue, in the order in which the chain has them; what is not
    /// in it comes last.
    pub(super) fn restore_queue(&mut self, connections: &mut Records<Tcb>, waiting: Vec<u32>) {
        let mut unordered: BTreeSet<u32> = waiting.iter().copied().collect();
        let mut order = Vec::with_capacity(waiting.len());
        let mut next = self.first;
        while unordered.remove(&next) {
            order.push(next);
            next = connections.get(next).map_or(NONE, |tcb| tcb.accept_next);
        }
        order.extend(
            waiting
                .into_iter()
                .filter(|index| unordered.contains(index)),
        );
        (self.first, self.last) = (NONE, NONE);
        self.queued = 0;
        for index in order {
            self.enqueue(connections, index);
        }
    }

    /// Puts a connection back that was taken last: it is the next one again.
    pub(super) fn put_back(&mut self, connections: &mut Records<Tcb>, index: u32) {
        if let Some(tcb) = connections.get_mut(index) {
            tcb.accept_next = self.first;
        }
        if self.first == NONE {
            self.last = index;
        }
        self.first = index;
        self.queued += 1;
    }

    /// Takes the connection that has waited longest.
    pub(super) fn dequeue(&mut self, connections: &Records<Tcb>) -> Option<u32> {
        let index = self.first;
        let tcb = connections.get(index)?;
        self.first = tcb.accept_next;
        if self.first == NONE {
            self.last = NONE;
        }
        self.queued -= 1;
        Some(index)
    }
}
