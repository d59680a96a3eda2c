//! TIMEOUTS (RFC 9293 section 3.10.8): what each timer does when it runs out.

use core::time::Duration;

use super::counters::{Counter, Counters};
use super::rtt::{INITIAL_RTO, MAX_RTO};
use super::tcb::{State, Tcb};
use super::timers::Timer;
use crate::stack::error::Error;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;

/// Linux's tcp_retries2: timeouts in a row that end a connection.
const RETRIES: u8 = 15;
/// The same when nobody is left who would miss it.
const ORPHAN_RETRIES: u8 = 8;
/// Linux's tcp_synack_retries.
const SYN_ACK_RETRIES: u8 = 5;
/// Linux's tcp_syn_linear_timeouts: retransmissions of a SYN a second apart before they double.
const SYN_LINEAR: u8 = 4;

/// What a timeout needs besides its connection.
pub(super) struct Timeout<'a> {
    pub(super) now: Instant,
    pub(super) pool: &'a mut Pool,
    pub(super) counters: &'a mut Counters,
}

impl Tcb {
    /// Runs every timer that is due.
    pub(super) fn run_timers(&mut self, cx: &mut Timeout<'_>) {
        while let Some(timer) = self.deadlines.take_due(cx.now) {
            self.marks.output = true;
            match timer {
                Timer::Retransmit => self.retransmission_timeout(cx),
                Timer::TailProbe => self.tail_probe_timeout(),
                Timer::Reordering => self.look_for_loss(cx.now, self.arrivals(), cx.counters),
                Timer::Persist => self.persist_timeout(cx),
                Timer::DelayedAck => self.answer_did_not_come(),
                Timer::Cork => self.snd.push_end = self.snd.end(),
                Timer::KeepAlive => self.keepalive_timeout(cx),
                Timer::Linger => self.linger_timeout(cx.pool),
                // What waited may go: that it has output is marked already.
                Timer::Pace => {}
            }
        }
    }

    /// Nor is one waited for any more, as by Linux.
    fn answer_did_not_come(&mut self) {
        self.rcv.answered = false;
        self.rcv.acks.push_cumulative(self.rcv.nxt);
    }

    fn retransmission_timeout(&mut self, cx: &mut Timeout<'_>) {
        cx.counters.count(Counter::Timeouts);
        match self.state {
            State::SynSent => self.syn_timeout(cx),
            State::SynReceived => self.syn_ack_timeout(cx),
            _ => self.data_timeout(cx),
        }
    }

    /// As Linux: 1, 2, 3, 4, 5, 7, 11, 19 ... seconds after the first SYN.
    fn syn_timeout(&mut self, cx: &mut Timeout<'_>) {
        let allowed = self.options.syn_count.min(127) as u8 + SYN_LINEAR;
        let waited = cx.now.since(self.snd.stalled_since);
        let user_gave_up = self.options.user_timeout.get().is_some_and(|t| waited >= t);
        if self.retries >= allowed || user_gave_up {
            cx.counters.count(Counter::FailedOpens);
            self.give_up(cx.pool);
            return;
        }
        self.retries += 1;
        let doublings = self.retries.saturating_sub(SYN_LINEAR).min(16);
        self.repeat_syn(cx, INITIAL_RTO * (1 << doublings));
    }

    fn syn_ack_timeout(&mut self, cx: &mut Timeout<'_>) {
        if self.retries >= SYN_ACK_RETRIES {
            cx.counters.count(Counter::FailedOpens);
            self.give_up(cx.pool);
            return;
        }
        self.retries += 1;
        let next = INITIAL_RTO * (1 << self.retries);
        if self.marks.accept_deferred && self.may_defer_accept(self.retries) {
            self.deadlines.arm(Timer::Retransmit, cx.now + next);
        } else {
            self.repeat_syn(cx, next);
        }
    }

    fn repeat_syn(&mut self, cx: &mut Timeout<'_>, next: Duration) {
        cx.counters.count(Counter::Retransmissions);
        self.retransmits += 1;
        self.tally.timed_out(cx.now);
        self.rtt.retransmitted(cx.now);
        self.marks.syn = true;
        let at = self.bounded_by_user_timeout(cx.now + next.min(Duration::from_secs(120)));
        self.deadlines.arm(Timer::Retransmit, at);
    }

    /// RFC 6298 section 5.4 to 5.7.
    fn data_timeout(&mut self, cx: &mut Timeout<'_>) {
        if self.snd.flight() == 0 {
            return;
        }
        if self.has_stalled(cx.now) {
            self.give_up(cx.pool);
            return;
        }
        if self.retries == 0 && !self.is_recovering() {
            self.undo.begin(self.window);
            self.window.timeout(self.snd.flight());
        } else {
            self.window.timeout_again();
            // What was SACKed is forgotten: what arrives now may have been there before.
            self.undo.give_up();
        }
        let again = self.retries > 0;
        self.tally.timed_out(cx.now);
        let sight = self.sight(cx.now, None);
        self.loss
            .enter_timeout(self.snd.una, self.snd.nxt, again, &sight);
        self.deadlines.stop(Timer::TailProbe);
        self.deadlines.stop(Timer::Reordering);
        self.snd.limited_by_timeout();
        self.retries = self.retries.saturating_add(1);
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        self.rtt.retransmitted(cx.now);
        let at = self.bounded_by_user_timeout(cx.now + self.rtt.rto());
        self.deadlines.arm(Timer::Retransmit, at);
    }

    /// RFC 9293 section 3.8.6.1: the window is small or shut and nothing is in flight whose ACK
    /// would tell of its opening. What fits is sent, or an empty segment that asks. A peer that
    /// answers is waited for as long as it takes (RFC 6429).
    fn persist_timeout(&mut self, cx: &mut Timeout<'_>) {
        if self.snd.flight() > 0 || (self.snd.unsent() == 0 && !self.snd.fin_unsent()) {
            return;
        }
        if self.has_stalled_probing(cx.now) {
            self.give_up(cx.pool);
            return;
        }
        self.probes = self.probes.saturating_add(1);
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        if self.snd.window_room() > 0 {
            self.snd.push_end = self.snd.end();
        } else {
            self.marks.probe = true;
        }
        self.deadlines.arm(Timer::Persist, cx.now + self.rtt.rto());
    }

    /// RFC 9293 section 3.8.4, timed as Linux: from when the peer was last heard.
    fn keepalive_timeout(&mut self, cx: &mut Timeout<'_>) {
        if !self.options.keepalive || !self.state.is_synchronized() {
            return;
        }
        let silent = cx.now.since(self.heard);
        if self.snd.flight() > 0 || self.snd.unsent() > 0 {
            // Other timers are watching.
            self.arm_keepalive(cx.now + self.options.keep_idle.get());
            return;
        }
        if silent < self.options.keep_idle.get() {
            self.arm_keepalive(cx.now);
            return;
        }
        let exhausted = match self.options.user_timeout.get() {
            Some(timeout) => silent >= timeout && self.probes > 0,
            None => u32::from(self.probes) >= self.options.keep_count,
        };
        if exhausted {
            self.reset(
                cx.pool,
                Some(self.soft_error.get().unwrap_or(Error::TimedOut)),
            );
            return;
        }
        self.probes = self.probes.saturating_add(1);
        self.marks.probe = true;
        self.deadlines
            .arm(Timer::KeepAlive, cx.now + self.options.keep_interval.get());
    }

    /// FIN-WAIT-2 lasted long enough. As Linux, the peer is not told; if it sends again it is. Who did not want to wait at
    /// all tells it.
    fn linger_timeout(&mut self, pool: &mut Pool) {
        if self.state != State::FinWait2 || !self.is_orphan() {
            return;
        }
        match self.options.linger2.get() {
            Some(_) => self.end(pool, None),
            None => self.reset(pool, None),
        }
    }

    /// Whether unacknowledged data has waited too long.
    fn has_stalled(&self, now: Instant) -> bool {
        if let Some(timeout) = self.options.user_timeout.get() {
            return now.since(self.snd.stalled_since) >= timeout;
        }
        // As Linux: a peer that took its window back but still answers is not dead.
        let alive = self.snd.wnd == 0 && now.since(self.heard) <= 2 * MAX_RTO;
        self.retries >= self.patience() && (self.is_orphan() || !alive)
    }

    /// Whether the peer has left too many probes unanswered.
    fn has_stalled_probing(&self, now: Instant) -> bool {
        match self.options.user_timeout.get() {
            Some(timeout) => now.since(self.snd.stalled_since) >= timeout,
            // As Linux: for ever is too long if nobody is left, though the peer answers.
            None if self.is_orphan() && self.rtt.rto() >= MAX_RTO => true,
            None => self.probes >= self.patience(),
        }
    }

    /// How many timeouts or probes in a row end the connection.
    fn patience(&self) -> u8 {
        if self.is_orphan() {
            ORPHAN_RETRIES
        } else {
            RETRIES
        }
    }

    fn bounded_by_user_timeout(&self, at: Instant) -> Instant {
        match self.options.user_timeout.get() {
            Some(timeout) => at.min(self.snd.stalled_since + timeout),
            None => at,
        }
    }

    /// As Linux, the peer, which did not answer, is not told; what ICMP said is a better reason
    /// than that time ran out.
    fn give_up(&mut self, pool: &mut Pool) {
        let error = self.soft_error.take().unwrap_or(Error::TimedOut);
        self.end(pool, Some(error));
    }
}
