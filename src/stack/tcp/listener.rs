//! Listeners: LISTEN, the half-open connections that came of it, and the accept queue.
//!
//! A half-open connection is a whole [`Tcb`](super::tcb::Tcb) owned by its listener; the listener
//! only counts them. Established ones wait in the accept queue, which is a chain through the
//! connections themselves.

use core::net::SocketAddrV4;

use super::config::TcpOptions;
use super::tcb::Tcb;
use crate::stack::ids::SocketId;
use crate::stack::slab::Slab;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) id: SocketId,
    pub(super) local: SocketAddrV4,
    /// As given to listen(2), capped by somaxconn.
    pub(super) backlog: u32,
    pub(super) options: TcpOptions,
    /// Half-open connections.
    pub(super) half_open: u32,
    /// Connections in the accept queue.
    pub(super) queued: u32,
    first: u32,
    last: u32,
    /// SYNs and last ACKs dropped because a queue was full.
    pub(super) drops: u64,
    /// It waits in the list of sockets whose outside may have changed.
    pub(super) dirty_listed: bool,
}

impl Listener {
    pub(super) const fn new(
        id: SocketId,
        local: SocketAddrV4,
        backlog: u32,
        options: TcpOptions,
    ) -> Self {
        Self {
            id,
            local,
            backlog,
            options,
            half_open: 0,
            queued: 0,
            first: NONE,
            last: NONE,
            drops: 0,
            dirty_listed: false,
        }
    }

    /// Whether one more connection may complete: as Linux, backlog + 1 may wait.
    pub(super) const fn has_room(&self) -> bool {
        self.queued <= self.backlog
    }

    /// Appends a connection to the accept queue.
    pub(super) fn enqueue(&mut self, connections: &mut Slab<Tcb>, index: u32) {
        if let Some(tcb) = connections.get_mut(index) {
            tcb.accept_next = NONE;
        }
        match connections.get_mut(self.last) {
            Some(last) => last.accept_next = index,
            None => self.first = index,
        }
        self.last = index;
        self.queued += 1;
    }

    /// Takes the connection that has waited longest.
    pub(super) fn dequeue(&mut self, connections: &Slab<Tcb>) -> Option<u32> {
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
