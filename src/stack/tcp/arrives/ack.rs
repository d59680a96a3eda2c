//! The fifth step: the ACK field (RFC 9293 section 3.10.7.4, RFC 5961 section 5).

use core::ops::ControlFlow;

use super::sack::News;
use super::{Arrival, Segment};
use crate::stack::tcp::congestion::Acked;
use crate::stack::tcp::counters::Counter;
use crate::stack::tcp::loss::Phase;
use crate::stack::tcp::rack::Sight;
use crate::stack::tcp::reply::Reply;
use crate::stack::tcp::tally::Limit;
use crate::stack::tcp::tcb::{State, Tcb};
use crate::stack::tcp::timers::Timer;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Flags;

impl Tcb {
    pub(super) fn check_ack(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<()> {
        if !segment.has(Flags::ACK) {
            cx.counters.count(Counter::NoAck);
            return ControlFlow::Break(());
        }
        if self.state == State::SynReceived {
            self.complete_handshake(cx, segment)?;
        }
        let ack = segment.repr.ack;
        // "The ACK value is considered acceptable only if it is in the range of
        // ((SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT)." As Linux, none that is older than the
        // connection, whatever the window.
        let acked = u32::try_from(self.tally.acked).unwrap_or(u32::MAX);
        let oldest = self.snd.una - self.snd.max_wnd.min(acked);
        if ack.is_after(self.snd.nxt) || ack.is_before(oldest) {
            cx.counters.count(Counter::BadAck);
            self.challenge(cx.now);
            return ControlFlow::Break(());
        }
        self.update_timestamp(cx, segment);
        let before = self.arrivals();
        let sight = self.sight(cx.now, segment.repr.options.timestamps);
        let news = self.take_sack_blocks(segment, &sight);
        if self.tail_probe_answered(ack, news.duplicate) {
            self.window.loss(self.window.cwnd());
        }
        let window_changed = self.update_window(segment);
        if ack.is_after(self.snd.una) {
            self.new_data_acknowledged(cx, segment, news, &sight);
        } else if ack == self.snd.una {
            self.nothing_acknowledged(segment, window_changed);
        }
        if self.loss.is_suspected() {
            self.look_for_loss(cx.now, before, cx.counters);
        }
        self.marks.output = true;
        if self.state == State::Closed {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// SYN-RECEIVED: our SYN is acknowledged, or the ACK is nonsense and answered with a RST.
    fn complete_handshake(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<()> {
        let ack = segment.repr.ack;
        if !ack.is_after(self.snd.una) || ack.is_after(self.snd.nxt) {
            cx.counters.count(Counter::BadAck);
            if !cx.alone {
                // The peer goes on with another stack, which has answered the same SYN.
                self.end(cx.pool, None);
                return ControlFlow::Break(());
            }
            let len = segment.len();
            cx.replies.push(Reply::reset_for(
                self.local.get(),
                self.remote.get(),
                segment.repr,
                len,
            ));
            return ControlFlow::Break(());
        }
        // As Linux: with the accept queue full the ACK is as good as lost; the SYN-ACK is sent
        // again in time, and its ACK may find room.
        if !cx.accept_room {
            cx.counters.count(Counter::AcceptQueueFull);
            return ControlFlow::Break(());
        }
        if !self.is_open_early() && self.defers_accept(segment) {
            return ControlFlow::Break(());
        }
        self.snd.wnd = u32::from(segment.repr.window) << self.snd.scale;
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = ack;
        self.establish(cx.now);
        ControlFlow::Continue(())
    }

    /// "If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK))": the segment is not
    /// older than the last that told the window. As Linux, one that acknowledges something tells it, too,
    /// though its text be older. Gives whether the window changed.
    fn update_window(&mut self, segment: &Segment<'_>) -> bool {
        let ack = segment.repr.ack;
        let newer = ack.is_after(self.snd.una)
            || self.snd.wl1.is_before(segment.seq)
            || (self.snd.wl1 == segment.seq && !ack.is_before(self.snd.wl2));
        if ack.is_before(self.snd.una) || !newer {
            return false;
        }
        let wnd = u32::from(segment.repr.window) << self.snd.scale;
        let changed = wnd != self.snd.wnd;
        self.snd.wnd = wnd;
        self.snd.max_wnd = self.snd.max_wnd.max(wnd);
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = ack;
        if self.snd.wnd > 0 && changed {
            self.deadlines.stop(Timer::Persist);
            if self.snd.flight() == 0 {
                self.rtt.backoff = 0;
            }
        }
        changed
    }

    /// SND.UNA moves: measure, free, grow, re-arm.
    fn new_data_acknowledged(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
        news: News,
        sight: &Sight,
    ) {
        let ack = segment.repr.ack;
        let undone = self.look_back(segment, news, sight);
        let limited = self.snd.una.is_before(self.snd.limited_end);
        let had_fin = self.snd.fin_acked;
        let acked = ack.since(self.snd.una);
        // As Linux, which has no connection yet when the SYN of a passive open is acknowledged.
        let passive_syn = u32::from(self.snd.una == self.snd.iss);
        self.tally.acked += u64::from(acked - passive_syn);
        self.measure_rtt(cx, segment, ack);
        let known = self.loss.sacked.covered(self.snd.una, ack);
        let bytes = self.snd.acknowledge(cx.pool, ack).saturating_sub(known);
        let ended = self
            .loss
            .acknowledged(ack, self.snd.nxt, acked, self.snd.mss, self.sack);
        if ended {
            self.window.recovered();
            self.loss.rack.recovered();
            self.undo.recovered(self.snd.nxt);
        } else if self.loss.phase == Phase::Open {
            self.undo.acknowledged(ack);
        }
        if limited && !ended && !undone && self.loss.phase != Phase::Recovery {
            let srtt = self.rtt.smoothed().unwrap_or_default();
            let now = cx.now;
            self.window.acknowledged(Acked { now, bytes, srtt });
        }
        if self.loss.phase != Phase::Timeout {
            self.tally.recovered(cx.now);
        }
        self.snd
            .tune(self.window.cwnd(), self.options.send_buffer.get().is_some());
        self.rtt.backoff = 0;
        self.retries = 0;
        self.snd.stalled_since = cx.now;
        if self.snd.flight() == 0 {
            self.deadlines.stop(Timer::Retransmit);
        } else {
            self.deadlines
                .arm(Timer::Retransmit, cx.now + self.rtt.rto());
        }
        self.arm_tail_probe(cx.now);
        if self.snd.blocked && self.snd.is_writable() {
            self.snd.blocked = false;
            self.marks.dirty = true;
        }
        if self.snd.fin_acked && !had_fin {
            self.fin_acknowledged(cx);
        }
        if self.snd.queue.is_empty() {
            self.tally.limited_by(cx.now, Limit::Idle);
            // The user may wait for exactly this: SO_LINGER, SIOCOUTQ.
            self.marks.dirty = true;
        }
    }

    /// SND.UNA is about to move. Gives whether that shows that what was held lost was not.
    fn look_back(&mut self, segment: &Segment<'_>, news: News, sight: &Sight) -> bool {
        if !self.loss.is_suspected() {
            return false;
        }
        let (una, ack) = (self.snd.una, segment.repr.ack);
        let needless = self.loss.arrived(una, ack, sight) || news.needless;
        let echo = segment.repr.options.timestamps.map(|sent| sent.echo);
        let echo = echo.filter(|_| self.timestamping.enabled);
        match self.loss.phase {
            Phase::Recovery if self.answers_first_sending(echo) => {
                self.tally.reordered(ack.since(una), self.snd.mss);
                self.undo_loss()
            }
            Phase::Timeout if self.answers_first_sending(echo) || needless && self.sack => {
                self.undo_loss()
            }
            _ => false,
        }
    }

    /// From the segment that is timed; while that is none, because something was sent again, from
    /// the timestamp the peer echoes (RFC 7323 section 4).
    fn measure_rtt(&mut self, cx: &Arrival<'_>, segment: &Segment<'_>, ack: Seq) {
        if let Some(took) = self.rtt.acknowledged(ack, cx.now) {
            return self.tally.round_trip_ended(took, self.snd.mss);
        }
        if self.is_recovering()
            && self.timestamping.enabled
            && let Some(timestamps) = segment.repr.options.timestamps
        {
            let elapsed = self.timestamping.elapsed_since(timestamps.echo, cx.now);
            self.rtt.echoed(elapsed, cx.now);
        }
    }

    /// RFC 5681 section 2: a duplicate acknowledgment, from a peer that does not SACK.
    fn nothing_acknowledged(&mut self, segment: &Segment<'_>, window_changed: bool) {
        let duplicate = !self.sack
            && self.snd.flight() > 0
            && segment.len() == 0
            && !window_changed
            && self.loss.phase != Phase::Timeout;
        if duplicate {
            self.loss.duplicate_ack();
        }
    }

    /// TCP_DEFER_ACCEPT: a bare ACK does not complete the handshake while data may still be
    /// waited for.
    fn defers_accept(&mut self, segment: &Segment<'_>) -> bool {
        let bare = segment.payload.is_empty() && !segment.has(Flags::FIN);
        self.marks.accept_deferred = bare && self.may_defer_accept(self.retries);
        self.marks.accept_deferred
    }
}
