//! What a connection sends, and when: one segment, possibly a super-packet, per call.
//!
//! In this order: SYN, what was lost, new data and FIN, a probe, an ACK that nothing else carried.

use core::time::Duration;

use super::config::Config;
use super::fast_open::FastOpens;
use super::loss::Phase;
use super::segment::{SUPER_PAYLOAD, SegmentOut};
use super::tally::Limit;
use super::tcb::{State, Tcb};
use super::timers::Timer;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// Linux's TCP_DELACK_MIN, and how long after data an answer counts as one.
pub(super) const DELAYED_ACK: Duration = Duration::from_millis(40);
/// How long cork and MSG_MORE hold back.
const CORK_TIME: Duration = Duration::from_millis(200);
/// Length of the timestamps option with its padding.
pub(super) const TIMESTAMPS_LEN: u32 = 12;

/// What a segment is made for.
pub(super) struct Output<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    pub(super) fast_opens: &'a FastOpens,
    pub(super) mtu: usize,
    pub(super) longest: u32,
    pub(super) pool: &'a Pool,
}

impl Tcb {
    /// Fills `out` with the next segment, if there is one to be sent now.
    pub(super) fn poll(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        out.clear_payload();
        let sent = self.poll_any(cx, out);
        if sent {
            self.tally.count_out(out);
        }
        sent
    }

    fn poll_any(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        match self.state {
            State::Closed | State::TimeWait => false,
            State::SynSent => self.poll_syn(cx, out),
            State::SynReceived => {
                self.poll_syn(cx, out)
                    || self.is_open_early() && self.poll_data(cx, out)
                    || self.poll_ack(cx, out)
            }
            _ => {
                self.update_mss(cx.mtu);
                let in_time = self.is_in_time(cx.now);
                in_time
                    && (self.poll_retransmission(cx, out)
                        || self.poll_tail_probe(cx, out)
                        || self.poll_data(cx, out))
                    || self.poll_probe(cx, out)
                    || self.poll_ack(cx, out)
            }
        }
    }

    /// There is no way to the peer now: what would have been sent is tried again after a retransmission timeout, as by
    /// Linux, if nothing tells before of a way.
    pub(super) fn wait_for_way(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed | State::TimeWait) {
            self.deadlines.arm(Timer::Pace, now + self.rtt.rto());
        }
    }

    pub(super) fn update_mss(&mut self, mtu: usize) {
        let options_len = if self.timestamping.enabled {
            TIMESTAMPS_LEN
        } else {
            0
        };
        let mss = self
            .snd
            .effective_mss(mtu, self.options.max_segment.get(), options_len);
        if mss != self.snd.mss {
            self.snd.mss = mss;
            self.window.set_mss(mss);
        }
    }

    /// Sends again what was lost.
    fn poll_retransmission(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        let Some((start, hole_end)) = self.loss.next_hole() else {
            return false;
        };
        let mss = self.snd.mss;
        let pipe = self.loss.pipe(self.snd.una, self.snd.nxt, mss);
        let room = self.window.cwnd().saturating_sub(pipe);
        if room < mss && !self.loss.force {
            return false;
        }
        let data_end = self.snd.end().earlier(hole_end);
        let data = if start.is_before(data_end) {
            data_end.since(start)
        } else {
            0
        };
        let len = data.min(self.full_segments(cx, room).max(mss));
        // A window that was taken back is probed with the oldest segment only.
        let right = self.snd.una + self.snd.wnd;
        if start != self.snd.una && (start + len).is_after(right) {
            return false;
        }
        let fin = start + len == self.snd.end() && hole_end.is_after(self.snd.end());
        self.send_again(cx, out, start, len, fin);
        self.undo.sent_again(len.max(1), cx.now);
        true
    }

    /// Sends `len` bytes from `start` again, and the FIN with them.
    pub(super) fn send_again(
        &mut self,
        cx: &Output<'_>,
        out: &mut SegmentOut,
        start: Seq,
        len: u32,
        fin: bool,
    ) {
        let end = self.emit_data(cx, out, start, len, fin);
        self.loss
            .retransmitted(start, end, cx.now, self.rtt.together());
        self.rtt.retransmitted(cx.now);
        self.tally.sent_again += u64::from(len);
        self.retransmits = self
            .retransmits
            .saturating_add(len.div_ceil(self.snd.mss).max(1));
    }

    /// Sends what was never sent.
    fn poll_data(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        let unsent = self.snd.unsent();
        if unsent == 0 && self.snd.blocked {
            self.tally.limited_by(cx.now, Limit::Buffer);
        }
        let sends = self.state.sends() || self.is_open_early();
        if !sends || (unsent == 0 && !self.snd.fin_unsent()) {
            return false;
        }
        let mss = self.snd.mss;
        let pipe = self.loss.pipe(self.snd.una, self.snd.nxt, mss);
        if pipe == 0 {
            self.window
                .idle(cx.now.since(self.snd.sent_at), self.rtt.base_rto());
        }
        let congestion_room = self.window.cwnd().saturating_sub(pipe);
        let len = self.sendable(cx, unsent, congestion_room);
        let fin = len == unsent && self.snd.fin;
        if len == 0 && !(fin && congestion_room > 0) {
            self.arm_for_withheld(cx.now, pipe, congestion_room);
            return false;
        }
        self.send_new(cx, out, len);
        true
    }

    /// Sends the next `len` bytes for the first time, and the FIN, if one follows them.
    pub(super) fn send_new(&mut self, cx: &Output<'_>, out: &mut SegmentOut, len: u32) {
        let fin = len == self.snd.unsent() && self.snd.fin;
        let end = self.emit_data(cx, out, self.snd.nxt, len, fin);
        self.tally.limited_by(cx.now, Limit::Network);
        self.note_first_sent(cx.now, len, end);
        self.arm_tail_probe(cx.now);
    }

    /// How many of the `unsent` bytes may go in the next segment: RFC 9293 section 3.8.6.2.1
    /// (silly window), section 3.7.4 (Nagle), RFC 5681 (congestion window).
    fn sendable(&self, cx: &Output<'_>, unsent: u32, congestion_room: u32) -> u32 {
        let mss = self.snd.mss;
        let window_room = self.snd.window_room();
        let room = window_room.min(congestion_room);
        let pushed = self.snd.push_end.is_after(self.snd.nxt);
        if room >= unsent {
            let full = self.full_segments(cx, unsent);
            let tail = unsent % mss;
            // A tail alone is less than a segment, and fits even where a segment is longer than a super-packet.
            let fits = full == 0 || cx.config.super_packets && full + tail <= self.longest(cx);
            let rest = full + tail == unsent && fits;
            if tail > 0 && rest && (pushed || self.small_segment_may_go()) {
                return full + tail;
            }
            return full;
        }
        let full = self.full_segments(cx, room);
        if full > 0 {
            return if self.should_defer(cx, full) { 0 } else { full };
        }
        // Less than a segment fits, and the window, not congestion, is why: worth sending only if
        // it is a large part of all the peer ever offers, or to get over a stall.
        let worthwhile = window_room >= self.snd.max_wnd / 2 || pushed;
        if window_room <= congestion_room && window_room < mss && worthwhile {
            return room;
        }
        0
    }

    /// The longest payload of a super-packet. As by Linux (tcp_tso_autosize), one beyond the usual is
    /// no longer than what the path takes in a millisecond.
    fn longest(&self, cx: &Output<'_>) -> u32 {
        if cx.longest <= SUPER_PAYLOAD {
            return cx.longest;
        }
        let window = u64::from(self.window.cwnd().min(self.snd.wnd));
        let srtt = self.rtt.smoothed().unwrap_or(Duration::MAX);
        let in_millisecond = window * 1_000_000 / (srtt.as_nanos() as u64).max(1);
        let in_millisecond = u32::try_from(in_millisecond).unwrap_or(u32::MAX);
        in_millisecond.clamp(SUPER_PAYLOAD, cx.longest)
    }

    /// The largest number of bytes, a multiple of the segment size, that `room` and one
    /// super-packet hold.
    fn full_segments(&self, cx: &Output<'_>, room: u32) -> u32 {
        let mss = self.snd.mss;
        let most = if cx.config.super_packets {
            (self.longest(cx) / mss).max(1).min(self.paced_segments())
        } else {
            1
        };
        (room / mss).min(most) * mss
    }

    /// Whether a small super-packet had better wait for the next ACK and become a larger one, as
    /// Linux's tcp_tso_win_divisor: while two thirds of the window are in flight, an ACK is sure to
    /// come. Not if that takes long, or a third of the window would stay unused for a round trip.
    /// Not while loss is suspected: then each segment let out is itself a question.
    fn should_defer(&self, cx: &Output<'_>, full: u32) -> bool {
        let worthwhile = self.window.cwnd().min(self.snd.wnd) / 3;
        cx.config.super_packets
            && full < worthwhile.min(self.longest(cx).saturating_sub(self.snd.mss))
            && self.snd.flight() > 0
            && self.rtt.ack_is_near(cx.now)
            && !self.loss.is_suspected()
            && !self.snd.push_end.is_after(self.snd.nxt)
    }

    /// RFC 9293 section 3.7.4 with Minshall's rule, as Linux: a small segment waits while another
    /// small one is unacknowledged, or while the user holds back. Not for a user who waits for room, and can add nothing.
    fn small_segment_may_go(&self) -> bool {
        if self.snd.fin || self.snd.blocked {
            return true;
        }
        if self.options.cork || self.snd.more {
            return false;
        }
        self.options.nodelay || !self.snd.small_end.is_after(self.snd.una)
    }

    /// Data waits; something has to end the waiting.
    fn arm_for_withheld(&mut self, now: Instant, pipe: u32, congestion_room: u32) {
        let unsent = self.snd.unsent();
        let held = self.options.cork || self.snd.more;
        let window_is_why = self.snd.window_room() < unsent.min(self.snd.mss);
        let limit = if window_is_why && congestion_room > 0 {
            Limit::Window
        } else {
            Limit::Network
        };
        self.tally.limited_by(now, limit);
        if held && !window_is_why && unsent < self.snd.mss {
            if !self.deadlines.is_armed(Timer::Cork) {
                self.deadlines.arm(Timer::Cork, now + CORK_TIME);
            }
        } else if window_is_why
            && pipe == 0
            && congestion_room > 0
            && !self.deadlines.is_armed(Timer::Persist)
        {
            self.snd.stalled_since = now;
            self.deadlines.arm(Timer::Persist, now + self.rtt.rto());
        }
    }

    /// Data or a FIN up to `end` was sent for the first time.
    pub(super) fn note_first_sent(&mut self, now: Instant, len: u32, end: Seq) {
        if self.snd.flight() == 0 {
            self.snd.stalled_since = now;
        }
        self.loss.flight.sent(end, now, self.rtt.together());
        self.snd.nxt = end;
        self.snd.sent_at = now;
        if self.snd.blocked && self.snd.is_writable() {
            // TCP_NOTSENT_LOWAT: what was sent makes room.
            self.snd.blocked = false;
            self.marks.dirty = true;
        }
        if !len.is_multiple_of(self.snd.mss) {
            self.snd.small_end = end;
        }
        if self.rtt.sent(end, now) {
            self.tally.round_trip_begins();
        }
        self.deadlines.stop(Timer::Cork);
        self.deadlines.stop(Timer::Persist);
        // In slow start the window counts as used when half of it is, as in Linux: it doubles.
        let pipe = self.loss.pipe(self.snd.una, end, self.snd.mss);
        let cwnd = self.window.cwnd();
        let used = if self.window.in_slow_start() {
            pipe.saturating_mul(2)
        } else {
            pipe
        };
        if used.saturating_add(self.snd.mss) > cwnd {
            self.snd.limited_end = end;
        }
        // An answer to data: the peer's data and our ACKs travel with each other from here on.
        if self
            .rcv
            .data_at
            .get()
            .is_some_and(|at| now.since(at) < DELAYED_ACK)
            && len > 0
        {
            self.rcv.quick = 0;
            self.rcv.answered = true;
        }
    }

    /// An empty segment below the window: the peer answers with an ACK.
    fn poll_probe(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        core::mem::take(&mut self.marks.probe) && {
            self.emit_probe(cx, out);
            true
        }
    }

    fn poll_ack(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        let Some(ack) = self.rcv.acks.pop() else {
            return false;
        };
        self.emit_ack(cx, out, self.snd.acceptable_seq(), ack);
        true
    }

    /// Whether loss recovery is under way.
    pub(super) fn is_recovering(&self) -> bool {
        self.loss.phase != Phase::Open
    }
}
