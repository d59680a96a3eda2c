//! One connection that a killed process left.
//!
//! What counts, each one word, stored in this order where several change at once:
//!
//! | what | is said by |
//! |---|---|
//! | bytes to be sent | `snd.una` and the queue's `end`: an ACK is taken in once `una` has moved |
//! | bytes received | the queue's `front` and `end`; `rcv.nxt` follows |
//! | the FINs | `snd.fin`, `rcv.fin_received`; acknowledged if `una` says so; the state follows |
//! | the end | the error, then the state |
//! | the handshake | the state, which comes last: what came before is sent again, and so is the answer |
//! | the user | `owner`; a user who left and had not yet closed closes now |
//! | what passes to the user, or from there | `passing`, and the road: how much of it has |
//!
//! Whoever makes this of what was left may be killed, too. So what says that something was not finished is taken away
//! last.

use crate::stack::error::Error;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::passing::{Road, Way};
use crate::stack::pool::{Pool, in_order};
use crate::stack::queue::Queue;
use crate::stack::survey::Survey;
use crate::stack::tcp::congestion::Window;
use crate::stack::tcp::fast_open::Fast;
use crate::stack::tcp::kept::KeptOptions;
use crate::stack::tcp::loss::Loss;
use crate::stack::tcp::rtt::Rtt;
use crate::stack::tcp::snd::MAX_WINDOW;
use crate::stack::tcp::tail::TailProbe;
use crate::stack::tcp::tally::Tally;
use crate::stack::tcp::tcb::{Opening, State, Tcb};
use crate::stack::tcp::timers::Timer;
use crate::stack::tcp::undo::Undo;
use crate::stack::tcp::{Config, TcpOptions};
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

impl Tcb {
    /// Checks what was found, and makes of it what another stack can go on with. False: that cannot
    /// be done.
    pub(super) fn restore(
        &mut self,
        now: Instant,
        index: u32,
        road: &Road,
        survey: &mut Survey,
    ) -> bool {
        self.id = SocketId {
            kind: Kind::Connection,
            index,
            generation: self.place.generation,
        };
        if !self.options.is_sound() {
            self.options = KeptOptions::from(&TcpOptions::default());
        }
        self.marks.output_listed = false;
        self.marks.dirty_listed = false;
        self.marks.output = true;
        self.marks.dirty = true;
        let torn = self.under_change;
        self.begin_change();
        if torn && matches!(self.state, State::SynSent | State::SynReceived) {
            self.restore_handshake();
        }
        if self.fast == Fast::Holds {
            self.begin_syn(now);
        }
        let front = self.restore_passing(road);
        if self.state == State::Closed {
            self.restore_closed(front, survey);
            return true;
        }
        let synchronized = self.state.is_synchronized();
        let whole = self.snd.restore(synchronized, survey) && self.rcv.restore(torn, front, survey);
        if !whole || self.passing.way().0 == Way::Lost {
            return false;
        }
        self.was_established |= synchronized;
        for _ in 0..2 {
            self.state = self.state_by_fins();
        }
        self.restore_estimates(now, torn);
        self.restore_timers(now, torn);
        self.end_change();
        true
    }

    /// What can be read stays, if it is known what that is.
    fn restore_closed(&mut self, front: u32, survey: &mut Survey) {
        self.snd.queue = Queue::default();
        let lost = self.passing.way().0 == Way::Lost;
        if lost || !self.rcv.restore(true, front, survey) {
            self.rcv.queue = Queue::default();
        }
        self.passing.end();
    }

    /// How our SYN was answered, or our SYN-ACK, is not known: it is said again, and so is the answer.
    fn restore_handshake(&mut self) {
        self.snd.una = self.snd.iss;
        self.marks.syn = true;
        if self.state == State::SynSent {
            self.rcv.forget_start();
        }
    }

    /// What the road says of bytes that were on their way; gives the first that is still to be received.
    fn restore_passing(&mut self, road: &Road) -> u32 {
        let (way, from) = self.passing.way();
        let moved = u32::try_from(road.moved()).map_or(MAX_WINDOW, |moved| moved.min(MAX_WINDOW));
        let front = Seq(self.rcv.queue.first_position());
        match way {
            Way::ToUser => {
                self.passed_unread |= moved > 0;
                return front.later(Seq(from) + moved).0;
            }
            Way::Filling => self.filler = from.saturating_add(moved),
            Way::Emptying => self.filler = from.saturating_sub(moved),
            Way::None | Way::FromUser | Way::Lost => {}
        }
        front.0
    }

    /// Queues what has come from the user and is not yet; nothing is on its way any more.
    pub(super) fn take_arrived(&mut self, road: &Road, pool: &mut Pool) {
        if let (Way::FromUser, from) = self.passing.way()
            && (self.is_open() || self.state == State::SynSent)
            && !self.snd.fin
        {
            let queued = self.snd.queue.end_position().wrapping_sub(from) as usize;
            let arrived = road.bytes.get(queued..road.moved());
            self.snd.queue.append(pool, arrived.unwrap_or_default());
        }
        self.passing.end();
    }

    /// What was measured stays, if it can be. What was thought to be lost or SACKed does not after an
    /// event that was not finished; then all in flight is sent again, as after a timeout.
    fn restore_estimates(&mut self, now: Instant, torn: bool) {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        if !self.rtt.is_sound() {
            self.rtt = Rtt::new();
        }
        if !self.window.is_sound() {
            self.window = Window::new(self.window.algorithm(), self.snd.mss);
        }
        if !self.tally.is_sound() {
            self.tally = Tally::default();
        }
        self.paced_until = now;
        self.retransmits = self.retransmits.min(u32::MAX / 2);
        if torn || !self.loss.is_sound(una, nxt, now) || !self.undo.is_sound() {
            self.loss = Loss::new(una.later(self.snd.iss + 1));
            self.undo = Undo::new(self.window);
            self.tail = TailProbe::NONE;
            self.rtt.retransmitted(now);
            if self.state.is_synchronized() && self.snd.flight() > 0 {
                self.loss.lose_all(una, nxt, now);
                self.snd.limited_by_timeout();
                self.window.timeout_again();
            }
        }
    }

    /// Whatever waits for something has a timer.
    fn restore_timers(&mut self, now: Instant, torn: bool) {
        if self.snd.flight() > 0 && !self.deadlines.is_armed(Timer::Retransmit) {
            let at = now + self.rtt.rto();
            self.deadlines.arm(Timer::Retransmit, at);
        }
        if !self.deadlines.is_armed(Timer::Linger) {
            self.arm_linger(now);
        }
        let waited = core::mem::take(&mut self.ack_waits);
        self.ack_listed = false;
        if torn {
            self.arm_keepalive(now);
        }
        if (torn || waited) && self.state.is_synchronized() {
            self.acknowledge_now();
        }
    }

    /// Does what was begun and not done: the last steps of an end, or of a user's leaving.
    pub(super) fn complete(&mut self, now: Instant, pool: &mut Pool) {
        let last_acked = self.state == State::LastAck && self.snd.fin_acked;
        if self.marks.reset || last_acked || self.error.get().is_some() {
            self.end(pool, None);
        } else if self.is_orphan() && !self.snd.fin {
            self.close(now, pool);
        }
    }

    /// Puts a connection in the place that was just reset, with the same ends and the same owner.
    pub(super) fn replace_by_reset(&mut self, now: Instant, config: &Config) {
        let opening = Opening {
            place: self.place,
            id: self.id,
            local: self.local.get(),
            remote: self.remote.get(),
            iss: self.snd.nxt,
            timestamp_offset: 0,
            options: self.options,
            now,
        };
        let error = Some(Error::ConnectionReset).into();
        self.error = error;
        self.marks.reset = self.state.is_synchronized();
        in_order();
        self.state = State::Closed;
        in_order();
        let mut reset = Self::new(&opening, config, State::Closed, self.owner.get());
        reset.snd.nxt = opening.iss;
        reset.rcv.nxt = self.rcv.nxt;
        reset.error = error;
        reset.zero_copies = self.zero_copies;
        reset.marks.syn = false;
        reset.marks.reset = self.marks.reset;
        reset.marks.dirty = true;
        reset.passing.lose();
        *self = reset;
        // There is nothing in its queues.
        self.passing.end();
    }
}
