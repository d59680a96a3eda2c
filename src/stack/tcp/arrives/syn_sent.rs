//! SYN-SENT (RFC 9293 section 3.10.7.3): ACK, RST, security, SYN.

use core::ops::ControlFlow;
use core::time::Duration;

use super::{Arrival, Segment};
use crate::stack::error::Error;
use crate::stack::pool::in_order;
use crate::stack::tcp::config::QuickAck;
use crate::stack::tcp::counters::Counter;
use crate::stack::tcp::fast_open::Fast;
use crate::stack::tcp::reply::Reply;
use crate::stack::tcp::tail::MAX_DELAYED_ACK;
use crate::stack::tcp::tcb::{State, Tcb};
use crate::stack::tcp::timers::Timer;
use crate::stack::time::Instant;
use crate::stack::wire::tcp::Flags;

/// Linux's TCP_TIMEOUT_MIN, two ticks of 250 a second.
const SYN_AFTER_OLD_ACK: Duration = Duration::from_millis(8);

impl Tcb {
    pub(in crate::stack::tcp) fn syn_sent_segment_arrives(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &mut Segment<'_>,
    ) -> ControlFlow<()> {
        self.syn_sent_check_ack(cx, segment)?;
        self.syn_sent_check_reset(cx, segment)?;
        self.syn_sent_check_syn(cx, segment)?;
        self.synchronized_from_ack(cx, segment)
    }

    /// First: an ACK of anything but our SYN, or one that echoes a timestamp of before it, is answered
    /// with a RST. As Linux, the SYN is then sent again at once: the peer has just given up what it had.
    fn syn_sent_check_ack(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<()> {
        if !segment.has(Flags::ACK) {
            return ControlFlow::Continue(());
        }
        let timestamps = segment.repr.options.timestamps;
        let (opened, now) = (self.snd.stalled_since, cx.now);
        let foreign = timestamps.is_some_and(|t| !self.timestamping.is_ours(t.echo, opened, now));
        let data_end = self.snd.nxt + u32::from(self.snd.syn_data);
        if segment.repr.ack.is_within(self.snd.nxt, data_end) && !foreign {
            return ControlFlow::Continue(());
        }
        cx.counters.count(Counter::BadAck);
        if !segment.has(Flags::RST) {
            if self.retries == 0 {
                // Nor does it say anything of Fast Open.
                self.fast = Fast::No;
                self.deadlines
                    .arm(Timer::Retransmit, now + SYN_AFTER_OLD_ACK);
            }
            let len = segment.len();
            let reply = Reply::reset_for(self.local.get(), self.remote.get(), segment.repr, len);
            cx.replies.push(reply);
        }
        ControlFlow::Break(())
    }

    /// Second: a RST counts only if it acknowledges our SYN.
    fn syn_sent_check_reset(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<()> {
        if !segment.has(Flags::RST) {
            return ControlFlow::Continue(());
        }
        if segment.has(Flags::ACK) {
            cx.counters.count(Counter::FailedOpens);
            self.end(cx.pool, Some(Error::ConnectionRefused));
        }
        ControlFlow::Break(())
    }

    /// Fourth: the SYN. With an ACK it completes the handshake; without one both sides opened at
    /// the same time, and our SYN is sent again with an ACK. Goes on with what else the segment
    /// has.
    fn syn_sent_check_syn(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &mut Segment<'_>,
    ) -> ControlFlow<()> {
        let repr = segment.repr;
        if !segment.has(Flags::SYN) || segment.has(Flags::FIN) {
            return ControlFlow::Break(());
        }
        self.learn_syn(cx.now, repr.seq, repr.window, &repr.options);
        self.heard = cx.now;
        if !segment.has(Flags::ACK) {
            in_order();
            self.state = State::SynReceived;
            if self.fast == Fast::Holds {
                self.begin_syn(cx.now);
            }
            self.fast = Fast::No;
            self.marks.syn = true;
            self.marks.output = true;
            return ControlFlow::Break(());
        }
        self.rtt.acknowledged(repr.ack, cx.now);
        self.snd.nxt = repr.ack;
        let acked = repr.ack.since(self.snd.iss);
        self.snd.acknowledge(cx.pool, repr.ack);
        self.tally.acked = u64::from(acked);
        self.snd.wl2 = repr.ack;
        self.loss
            .acknowledged(repr.ack, self.snd.nxt, acked, self.snd.mss, self.sack);
        self.note_syn_data_answer();
        self.establish(cx.now);
        segment.seq = repr.seq + 1;
        ControlFlow::Continue(())
    }

    /// "If there are other controls or text in the segment, then continue processing at the sixth
    /// step" of the synchronized states.
    fn synchronized_from_ack(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &mut Segment<'_>,
    ) -> ControlFlow<()> {
        self.check_urgent(segment)?;
        self.process_text(cx, segment)?;
        self.check_fin(cx, segment)?;
        if self.rcv.acks.is_empty() {
            self.acknowledge_handshake(cx.now);
        }
        ControlFlow::Continue(())
    }

    /// As Linux, who will send first, and has said so, spares a segment: the data has the ACK.
    fn acknowledge_handshake(&mut self, now: Instant) {
        let defers = !self.options.defer_accept.get().is_zero();
        self.rcv.answered = false;
        if defers || self.options.quickack == QuickAck::WithData {
            self.deadlines.arm(Timer::DelayedAck, now + MAX_DELAYED_ACK);
        } else {
            self.acknowledge_now();
        }
    }
}
