//! How far a connection has come: the few facts the driver asks for at every turn, without the
//! whole of STATUS.

use core::net::SocketAddrV4;

use super::Tcp;
use super::table::{Holder, Tuple};
use super::tcb::State;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::pool::Pool;

/// What decides what the user's descriptor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The state.
    pub state: State,
    /// In-order bytes in the receive queue.
    pub receive_len: usize,
    /// The peer's FIN was received, with nothing missing before it, or nothing will come any more.
    pub fin_received: bool,
    /// The connection ended by an error that was not told yet.
    pub failed: bool,
    /// An urgent byte was announced and not taken.
    pub urgent: bool,
    /// What ICMP reported is to be told at once.
    pub troubled: bool,
    /// There is room worth telling of in the send queue.
    pub writable: bool,
}

impl Progress {
    /// Whether nothing more will come.
    pub fn is_last(self) -> bool {
        self.fin_received || self.failed
    }
}

impl Tcp {
    /// `None`: a stale handle.
    pub fn progress(&self, id: SocketId) -> Option<Progress> {
        let tcb = self.connection(id)?;
        let closed = tcb.state == State::Closed;
        Some(Progress {
            state: tcb.state,
            receive_len: tcb.rcv.queue.len(),
            fin_received: tcb.rcv.fin_received || closed,
            failed: closed && tcb.error.get().is_some(),
            urgent: tcb.rcv.urgent.get().is_some(),
            troubled: tcb.options.receive_errors && tcb.soft_error.get().is_some(),
            writable: tcb.snd.is_writable(),
        })
    }

    /// There is to be room for `count` bytes more.
    pub fn make_room(&mut self, id: SocketId, count: usize) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.snd.make_room(count);
        }
    }

    /// How many bytes SEND would take, as far as the pool has room for them.
    pub fn send_space(&self, id: SocketId, pool: &Pool) -> usize {
        self.connection(id)
            .map_or(0, |tcb| tcb.snd.space().min(pool.room()))
    }

    /// Whether the handle stands for something.
    pub fn exists(&self, id: SocketId) -> bool {
        match id.kind {
            Kind::Listener => self
                .listeners
                .get(id.index)
                .is_some_and(|held| held.id == id),
            _ => self.connection(id).is_some(),
        }
    }

    /// Whether TCP_NOTSENT_LOWAT bounds what is unsent.
    pub fn bounds_unsent(&self, id: SocketId) -> bool {
        self.connection(id)
            .is_some_and(|tcb| tcb.snd.bounds_unsent())
    }

    /// Whether everything sent, and the FIN if it is due, was acknowledged.
    pub fn all_acknowledged(&self, id: SocketId) -> bool {
        self.connection(id).is_none_or(|tcb| match tcb.state {
            State::FinWait2 | State::TimeWait | State::Closed => true,
            State::FinWait1 | State::Closing | State::LastAck => false,
            _ => tcb.snd.queue.is_empty(),
        })
    }

    /// Whether no connection has anything left to be acknowledged.
    pub fn is_quiet(&self) -> bool {
        self.connections.iter().all(|tcb| {
            matches!(tcb.state, State::SynSent | State::SynReceived)
                || self.all_acknowledged(tcb.id)
        })
    }

    /// Whether no connection waits for anything any more, TIME-WAIT apart.
    pub fn is_done(&self) -> bool {
        self.connections
            .iter()
            .all(|tcb| matches!(tcb.state, State::Closed | State::TimeWait))
    }

    /// How many connections there are, those included that are closed and not taken note of.
    pub const fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// The ends, ours first, of the connections on a port, TIME-WAIT apart; and of each whether nothing
    /// is missing but the acknowledgment of our FIN.
    pub fn ends_on(&self, port: u16) -> impl Iterator<Item = ((SocketAddrV4, SocketAddrV4), bool)> {
        let open = self.connections.iter().filter(move |tcb| {
            let ended = matches!(tcb.state, State::Closed | State::TimeWait);
            !ended && tcb.local.get().port() == port
        });
        open.map(|tcb| {
            let both_closed = matches!(tcb.state, State::Closing | State::LastAck);
            let ends = (tcb.local.get(), tcb.remote.get());
            (ends, both_closed && tcb.snd.queue.is_empty())
        })
    }

    /// Whether a connection has these ends, TIME-WAIT apart.
    pub fn is_between(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        let holder = self.tables.holder(Tuple::new(local, remote));
        matches!(holder, Some(Holder::Connection(_)))
    }

    /// A connection whose place was freed: what was kept for it can go.
    pub fn poll_freed(&mut self) -> Option<SocketId> {
        self.freed.pop_front()
    }

    /// What ICMP said about a connection that goes on; told once.
    pub fn take_soft_error(&mut self, id: SocketId) -> Option<crate::stack::error::Error> {
        self.connection_mut(id)?.soft_error.take()
    }
}
