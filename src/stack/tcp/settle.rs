//! After every event: what a connection's marks and state ask of tables, timers and lists.

use super::Tcp;
use super::counters::Counter;
use super::fast_open::Fast;
use super::reply::Reply;
use super::table::{Holder, Tuple};
use super::tcb::{Owner, State};
use crate::stack::error::Error;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;

impl Tcp {
    /// Does what a connection's marks and state ask for; see the module's first invariant.
    pub(super) fn settle(&mut self, now: Instant, index: u32, pool: &mut Pool) {
        self.settle_passive(index);
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        self.sendings.look(tcb);
        if tcb.fast == Fast::Opened && tcb.state != State::SynReceived {
            tcb.fast = Fast::No;
            let reset = tcb.error.get() == Some(Error::ConnectionReset);
            self.fast_opens.settled(now, reset);
        }
        if core::mem::take(&mut tcb.marks.reset) {
            self.replies.push(Reply::reset_of(tcb, now));
        }
        self.file(now, index, pool);
        self.list(index);
        if let Some(tcb) = self.connections.get_mut(index) {
            tcb.end_change();
        }
        self.free_if_unowned(index, pool);
        while let Some(oldest) = self
            .time_waits
            .pop_due(now, self.config.limits.max_time_wait)
        {
            self.counters.count(Counter::TimeWaitOverflow);
            self.forget_time_wait(oldest);
        }
    }

    /// Keeps table and timers in step with the state.
    fn file(&mut self, now: Instant, index: u32, pool: &mut Pool) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        let tuple = Tuple::new(tcb.local.get(), tcb.remote.get());
        match tcb.state {
            State::TimeWait => {
                let inserted = self.time_waits.insert(now, tcb);
                let acks = !tcb.rcv.acks.is_empty();
                tcb.end(pool, None);
                match inserted {
                    Some((remains, ack)) => {
                        if acks {
                            self.replies.push(ack);
                        }
                        self.tables.insert(tuple, Holder::TimeWait(remains));
                    }
                    None => self.tables.remove(tuple, Holder::Connection(index)),
                }
                self.timers.remove(index);
            }
            State::Closed => {
                self.tables.remove(tuple, Holder::Connection(index));
                self.timers.remove(index);
            }
            _ => {
                if let Some(at) = tcb.deadlines.earliest() {
                    self.timers.arm(index, at);
                }
            }
        }
    }

    /// Puts a connection on the lists its marks ask for.
    pub(super) fn list(&mut self, index: u32) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        if core::mem::take(&mut tcb.marks.output) && !tcb.marks.output_listed {
            tcb.marks.output_listed = true;
            self.output.push_back(index);
        }
        self.list_unanswered(index);
        self.list_dirty(index);
    }

    /// There may be a way that was not: whoever had none tries again.
    pub fn look_for_ways(&mut self) {
        for index in core::mem::take(&mut self.wayless) {
            if let Some(tcb) = self.connections.get_mut(index) {
                tcb.marks.output = true;
            }
            self.list(index);
        }
        self.replies.look_for_ways();
    }

    /// Lists a connection whose outside may have changed.
    pub(super) fn list_dirty(&mut self, index: u32) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        let known_outside = tcb.owner.get() == Owner::User;
        if core::mem::take(&mut tcb.marks.dirty) && known_outside && !tcb.marks.dirty_listed {
            tcb.marks.dirty_listed = true;
            self.dirty.push_back(tcb.id);
        }
    }

    /// Frees the place of a connection that is closed and that nobody will ask about.
    fn free_if_unowned(&mut self, index: u32, pool: &mut Pool) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        let unowned = matches!(
            tcb.owner.get(),
            Owner::Nobody | Owner::Listener { queued: false, .. }
        );
        if tcb.state == State::Closed && unowned {
            tcb.snd.queue.clear(pool);
            tcb.rcv.queue.clear(pool);
            if tcb.is_orphan() {
                self.freed.push_back(tcb.id);
            }
            self.saved_syns.forget(index);
            self.sendings.forget(index);
            if tcb.ack_listed {
                self.unlist_unanswered(index);
            }
            self.connections.remove(index);
        }
    }

    pub(super) fn forget_time_wait(&mut self, index: u32) {
        if let Some(remains) = self.time_waits.remove(index) {
            let tuple = Tuple::new(remains.local.get(), remains.remote.get());
            self.tables.remove(tuple, Holder::TimeWait(index));
        }
    }
}
