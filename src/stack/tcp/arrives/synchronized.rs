//! All states but CLOSED, LISTEN and SYN-SENT: the eight steps of RFC 9293 section 3.10.7.4. (In
//! TIME-WAIT see [`crate::stack::tcp::time_wait`].)

use core::ops::ControlFlow;

use super::{Arrival, Segment};
use crate::stack::error::Error;
use crate::stack::plain::Maybe;
use crate::stack::pool::in_order;
use crate::stack::tcp::counters::Counter;
use crate::stack::tcp::tcb::{State, Tcb};
use crate::stack::tcp::timers::Timer;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Flags;

impl Tcb {
    pub(in crate::stack::tcp) fn synchronized_segment_arrives(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &mut Segment<'_>,
    ) -> ControlFlow<()> {
        self.check_sequence_number(cx, segment)?;
        self.check_reset(cx, segment)?;
        self.check_security()?;
        self.check_syn(cx, segment)?;
        self.check_ack(cx, segment)?;
        self.check_urgent(segment)?;
        self.process_text(cx, segment)?;
        self.check_fin(cx, segment)
    }

    /// First. What does not touch the window, or is older than what was seen (RFC 7323 section 5),
    /// is dropped and answered with an ACK that shows where the window is.
    fn check_sequence_number(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &mut Segment<'_>,
    ) -> ControlFlow<()> {
        self.answer_repeated_syn(segment)?;
        if !segment.has(Flags::RST)
            && self.timestamping.enabled
            && let Some(timestamps) = segment.repr.options.timestamps
            && self.timestamping.is_old(timestamps.value, cx.now)
        {
            cx.counters.count(Counter::OldTimestamp);
            self.answer_unacceptable(cx, segment);
            return ControlFlow::Break(());
        }
        // As Linux: what ends before the last ACK we sent is old; what starts at the right edge
        // may still carry an ACK.
        let in_window = !segment.end().is_before(self.rcv.acked)
            && !segment.seq.is_after(self.rcv.edge.later(self.rcv.nxt));
        let acceptable = in_window || segment.has(Flags::RST) && self.may_be_reset_at(segment.seq);
        if !acceptable {
            cx.counters.count(Counter::OutsideWindow);
            if !segment.has(Flags::RST) {
                self.answer_unacceptable(cx, segment);
            }
            return ControlFlow::Break(());
        }
        self.heard = cx.now;
        self.probes = 0;
        ControlFlow::Continue(())
    }

    /// RFC 7323 section 4.3: TS.Recent is taken from the segment that spans the last ACK sent. As Linux,
    /// only once its ACK is found acceptable: a forged one could make the peer's own look old.
    pub(super) fn update_timestamp(&mut self, cx: &Arrival<'_>, segment: &Segment<'_>) {
        if let Some(timestamps) = segment.repr.options.timestamps
            && self.timestamping.enabled
            && !segment.seq.is_after(self.rcv.acked)
        {
            self.timestamping.recent = timestamps.value;
            self.timestamping.recent_at = cx.now;
        }
    }

    /// The peer's SYN again. Without an ACK, our SYN-ACK was lost; with one, both sides opened at
    /// the same time, and the ACK is what counts.
    fn answer_repeated_syn(&mut self, segment: &mut Segment<'_>) -> ControlFlow<()> {
        let repeated = self.state == State::SynReceived
            && segment.has(Flags::SYN)
            && !segment.has(Flags::RST)
            && segment.seq == self.rcv.irs;
        if repeated && !segment.has(Flags::ACK) {
            self.marks.syn = true;
            self.marks.output = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Text or a FIN is acknowledged at once, since its sender waits for that; an empty segment might
    /// be our own kind of answer, so answers to those are limited.
    fn answer_unacceptable(&mut self, cx: &mut Arrival<'_>, segment: &Segment<'_>) {
        if segment.len() == 0 || segment.has(Flags::SYN) {
            self.challenge(cx.now);
        } else if self.is_duplicate(segment) {
            self.answer_duplicate(cx, segment);
        } else {
            self.acknowledge_now();
        }
    }

    /// Whether it has text or a FIN, and all of that was received before.
    pub(super) fn is_duplicate(&self, segment: &Segment<'_>) -> bool {
        let end = segment.text_end();
        end != segment.seq && !end.is_after(self.rcv.nxt)
    }

    /// What was received before is reported (RFC 2883) and acknowledged at once: our ACK was lost.
    pub(super) fn answer_duplicate(&mut self, cx: &mut Arrival<'_>, segment: &Segment<'_>) {
        self.rcv.duplicate = Maybe::some((segment.seq, segment.text_end()));
        cx.counters.count(Counter::DuplicateData);
        self.acknowledge_now();
    }

    /// Whether a RST with this sequence number is certainly the peer's: it stands where the next byte
    /// is expected. As Linux, also where the last range that waits out of order ends, since the peer had
    /// sent so much; and where its FIN was, since some repeat that number.
    fn may_be_reset_at(&self, seq: Seq) -> bool {
        let last = self.rcv.out_of_order.as_slice().last();
        seq == self.rcv.nxt
            || self.sack && last.is_some_and(|range| range.1 == seq)
            || self.rcv.fin_received && seq == self.rcv.nxt - 1
    }

    /// Second: RFC 5961 section 3.2. A RST elsewhere in the window may be forged, and the peer is
    /// asked.
    fn check_reset(&mut self, cx: &mut Arrival<'_>, segment: &Segment<'_>) -> ControlFlow<()> {
        if !segment.has(Flags::RST) {
            return ControlFlow::Continue(());
        }
        if !self.may_be_reset_at(segment.seq) {
            if segment.seq.is_after(self.rcv.nxt) && segment.seq.is_before(self.rcv.edge) {
                cx.counters.count(Counter::Challenged);
                self.challenge(cx.now);
            }
            return ControlFlow::Break(());
        }
        cx.counters.count(Counter::ResetsIn);
        let error = match self.state {
            State::SynReceived if !self.is_open_early() => Error::ConnectionRefused,
            State::CloseWait => Error::BrokenPipe,
            _ => Error::ConnectionReset,
        };
        self.end(cx.pool, Some(error));
        ControlFlow::Break(())
    }

    /// Third. There are no security options: RFC 9293 appendix A.1, what has none skips the step.
    /// It stays in its place because authentication (RFC 5925) belongs here.
    const fn check_security(&self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Fourth: RFC 5961 section 4.2. "If the SYN bit is set, irrespective of the sequence number,
    /// TCP endpoints MUST send a challenge ACK".
    fn check_syn(&mut self, cx: &mut Arrival<'_>, segment: &mut Segment<'_>) -> ControlFlow<()> {
        if !segment.has(Flags::SYN) {
            return ControlFlow::Continue(());
        }
        if self.state == State::SynReceived && segment.seq == self.rcv.irs {
            segment.seq += 1;
            return ControlFlow::Continue(());
        }
        cx.counters.count(Counter::Challenged);
        self.challenge(cx.now);
        ControlFlow::Break(())
    }

    /// Sixth: the urgent pointer, which may be ahead of the data it points to.
    pub(super) fn check_urgent(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        if segment.has(Flags::URG) && self.state.receives() {
            self.rcv.note_urgent(segment.repr.seq, segment.repr.urgent);
        }
        ControlFlow::Continue(())
    }

    /// Eighth: the FIN, once everything before it is there.
    pub(super) fn check_fin(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<()> {
        let fin = segment.seq + segment.payload.len() as u32;
        if segment.has(Flags::FIN) && !self.rcv.fin_received && !fin.is_before(self.rcv.nxt) {
            self.rcv.fin_at = Maybe::some(fin);
        }
        if self.rcv.fin_received || self.rcv.fin_at.get() != Some(self.rcv.nxt) {
            // RFC 5681 section 4.2: out of order, as text is that comes too early.
            if segment.has(Flags::FIN) && segment.payload.is_empty() && fin.is_after(self.rcv.nxt) {
                self.acknowledge_now();
            }
            return ControlFlow::Continue(());
        }
        self.rcv.fin_received = true;
        in_order();
        self.rcv.nxt += 1;
        self.tally.received += 1;
        self.marks.dirty = true;
        self.rcv.forget_out_of_order(cx.pool);
        self.state = self.state_by_fins();
        self.rcv.answered |= self.state == State::CloseWait;
        if self.state == State::CloseWait && self.rcv.acks.is_empty() {
            self.acknowledge_with_answer(cx.now);
        } else {
            self.rcv.acks.push_cumulative(self.rcv.nxt);
            self.marks.output = true;
        }
        ControlFlow::Continue(())
    }

    /// Our FIN was acknowledged.
    pub(super) fn fin_acknowledged(&mut self, cx: &mut Arrival<'_>) {
        if self.state == State::LastAck {
            self.end(cx.pool, None);
        } else {
            self.state = self.state_by_fins();
            self.arm_linger(cx.now);
        }
    }

    /// In FIN-WAIT-2 with no user left, the peer's FIN is not waited for without end (Linux:
    /// TCP_LINGER2).
    pub(in crate::stack::tcp) fn arm_linger(&mut self, now: Instant) {
        if self.state == State::FinWait2 && self.is_orphan() {
            let wait = self.options.linger2.get().unwrap_or_default();
            self.deadlines.arm(Timer::Linger, now + wait);
        }
    }
}
