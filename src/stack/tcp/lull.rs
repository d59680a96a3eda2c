//! ACKs that wait for the user's answer to carry them.
//!
//! What came may be all that the peer has to say for now: a short segment, a FIN. (Not the end of a handshake: the peer's
//! accept(2) waits for the ACK, whoever speaks first.) As long as
//! the user has not answered, and not begun to wait either, an answer may follow at once, and saves a frame of its own.
//! Who drives the stack says so when it is about to wait ([`Tcp::receive_lull`]); if that should not happen, the ACK goes
//! as a delayed one does.

use super::Tcp;
use super::config::QuickAck;
use super::output::DELAYED_ACK;
use super::tcb::Tcb;
use super::timers::Timer;
use crate::stack::ids::SocketId;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;

impl Tcb {
    /// Whether the user has asked for ACKs at once, and has not answered since.
    pub(super) fn acknowledges_at_once(&self) -> bool {
        self.options.quickack == QuickAck::AtOnce && !self.rcv.answered
    }

    /// Acknowledges by the user's answer, or in the next lull.
    pub(super) fn acknowledge_with_answer(&mut self, now: Instant) {
        if self.acknowledges_at_once() {
            return self.acknowledge_now();
        }
        self.ack_waits = true;
        if !self.deadlines.is_armed(Timer::DelayedAck) {
            self.deadlines.arm(Timer::DelayedAck, now + DELAYED_ACK);
        }
    }

    /// TCP_QUICKACK, which lasts until the user answers, or does not. As on Linux an even number is for what is owed now.
    fn quicken(&mut self, value: i32) {
        self.rcv.answered = value == 0;
        if value != 0 && self.rcv.nxt != self.rcv.acked && self.state.is_synchronized() {
            self.acknowledge_now();
            self.rcv.answered = value & 1 == 0;
        }
    }
}

impl Tcp {
    /// TCP_QUICKACK was set.
    pub fn set_quickack(&mut self, now: Instant, id: SocketId, value: i32, pool: &mut Pool) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.begin_change();
            tcb.quicken(value);
            self.settle(now, id.index, pool);
        }
    }

    /// No user is about to answer now; whether there is something to be sent.
    pub fn receive_lull(&mut self) -> bool {
        let mut any = false;
        while let Some(index) = self.unanswered.pop() {
            let Some(tcb) = self.connections.get_mut(index) else {
                continue;
            };
            tcb.ack_listed = false;
            let waited = core::mem::take(&mut tcb.ack_waits) && !tcb.rcv.acks.reach(tcb.rcv.nxt);
            if waited && tcb.state.is_synchronized() {
                tcb.begin_change();
                tcb.rcv.answered = false;
                tcb.acknowledge_now();
                self.list(index);
                if let Some(tcb) = self.connections.get_mut(index) {
                    tcb.end_change();
                }
                any = true;
            }
        }
        any
    }

    /// Lists a connection whose ACK waits.
    pub(super) fn list_unanswered(&mut self, index: u32) {
        if let Some(tcb) = self.connections.get_mut(index)
            && tcb.ack_waits
            && !tcb.ack_listed
        {
            tcb.ack_listed = true;
            self.unanswered.push(index);
        }
    }

    /// The connection goes.
    pub(super) fn unlist_unanswered(&mut self, index: u32) {
        if let Some(place) = self.unanswered.iter().position(|&listed| listed == index) {
            self.unanswered.swap_remove(place);
        }
    }
}
