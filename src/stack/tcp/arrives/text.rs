//! The seventh step: the segment text (RFC 9293 section 3.10.7.4).

use core::ops::ControlFlow;

use super::{Arrival, Segment};
use crate::stack::error::Error;
use crate::stack::plain::Maybe;
use crate::stack::pool::in_order;
use crate::stack::tcp::counters::Counter;
use crate::stack::tcp::output::DELAYED_ACK;
use crate::stack::tcp::tcb::{State, Tcb};
use crate::stack::tcp::timers::Timer;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Flags;

/// What of a segment lies in the window.
struct Text<'a> {
    seq: Seq,
    bytes: &'a [u8],
    /// The peer's user has written no more yet (PSH).
    pushed: bool,
}

impl Tcb {
    pub(super) fn process_text(
        &mut self,
        cx: &mut Arrival<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<()> {
        if self.is_duplicate(segment) {
            self.answer_duplicate(cx, segment);
            return ControlFlow::Continue(());
        }
        if !self.state.receives() || segment.payload.is_empty() {
            return ControlFlow::Continue(());
        }
        let end = segment.seq + segment.payload.len() as u32;
        if self.is_orphan() && end.is_after(self.rcv.nxt) {
            // RFC 9293 section 3.6.1: data that nobody will read is answered with RST.
            self.reset(cx.pool, None);
            return ControlFlow::Break(());
        }
        if self.is_shut() && end.is_after(self.rcv.nxt) {
            // The same, as on Linux, though the user is still there to hear of it.
            self.rcv.lose_urgent(segment.seq, end);
            self.reset(cx.pool, Some(Error::ConnectionReset));
            return ControlFlow::Break(());
        }
        self.sample_receive_rtt(cx, segment);
        let Some(text) = self.trim(cx, segment) else {
            self.acknowledge_now();
            return ControlFlow::Continue(());
        };
        if text.seq == self.rcv.nxt {
            self.take_in_order(cx, &text);
        } else {
            self.take_out_of_order(cx, &text);
        }
        ControlFlow::Continue(())
    }

    /// Whether the user has shut down both sides.
    fn is_shut(&self) -> bool {
        self.rcv.shut && matches!(self.state, State::FinWait1 | State::FinWait2)
    }

    /// The round trip as a receiver sees it: from our ACK to the data it let out.
    fn sample_receive_rtt(&mut self, cx: &Arrival<'_>, segment: &Segment<'_>) {
        if let Some(timestamps) = segment.repr.options.timestamps
            && self.timestamping.enabled
            && segment.payload.len() as u32 >= self.rcv.mss
        {
            let elapsed = self.timestamping.elapsed_since(timestamps.echo, cx.now);
            self.rcv.sample_rtt(elapsed);
        }
    }

    /// Cuts off what was received before and what lies beyond the window; `None` if that is all.
    fn trim<'a>(&mut self, cx: &mut Arrival<'_>, segment: &Segment<'a>) -> Option<Text<'a>> {
        let (mut seq, mut bytes) = (segment.seq, segment.payload);
        let end = seq + bytes.len() as u32;
        if seq.is_before(self.rcv.nxt) {
            cx.counters.count(Counter::DuplicateData);
            self.rcv.duplicate = Maybe::some((seq, end.earlier(self.rcv.nxt)));
            bytes = bytes.get(self.rcv.nxt.since(seq) as usize..)?;
            seq = self.rcv.nxt;
        }
        if end.is_after(self.rcv.edge) {
            cx.counters.count(Counter::OutsideWindow);
            let room = if seq.is_before(self.rcv.edge) {
                self.rcv.edge.since(seq)
            } else {
                0
            };
            bytes = &bytes[..room as usize];
        }
        let pushed = segment.repr.flags.contains(Flags::PSH);
        (!bytes.is_empty()).then_some(Text { seq, bytes, pushed })
    }

    fn take_in_order(&mut self, cx: &mut Arrival<'_>, text: &Text<'_>) {
        let filled_hole = !self.rcv.out_of_order.is_empty();
        let was_empty = self.rcv.queue.is_empty();
        let mut len = 0;
        let direct = self.rcv.urgent == Maybe::NONE;
        if was_empty && !filled_hole && direct {
            self.passing.start_at(self.rcv.queue.first_position());
            len = (cx.deliver)(self.id, text.bytes, &mut self.passing).min(text.bytes.len());
            self.rcv.queue.pass(len);
            in_order();
            self.rcv.nxt = self.rcv.end();
            self.end_passing(len);
            self.rcv
                .consumed(cx.now, len, self.options.receive_buffer.get().is_some());
        }
        let rest = &text.bytes[len..];
        let queued = self.rcv.queue.append(cx.pool, rest);
        in_order();
        if queued < rest.len() {
            cx.counters.count(Counter::PoolFull);
        }
        self.rcv.nxt = self.rcv.end();
        self.tally.received += (len + queued) as u64;
        if filled_hole {
            self.join_out_of_order();
            if was_empty && direct {
                self.deliver_queue(cx);
            }
        }
        if !self.rcv.queue.is_empty() {
            self.marks.dirty = true;
        }
        self.acknowledge_text(cx, text, filled_hole);
    }

    /// What waited behind the hole that was just filled is in order now.
    fn join_out_of_order(&mut self) {
        if let Some((_, end)) = self.rcv.out_of_order.find(self.rcv.nxt) {
            self.rcv.queue.extend(end.since(self.rcv.nxt) as usize);
            self.tally.received += u64::from(end.since(self.rcv.nxt));
            self.rcv.nxt = self.rcv.end();
        }
        self.rcv.forget_before_nxt();
    }

    /// Offers the queue, as far as it is taken.
    fn deliver_queue(&mut self, cx: &mut Arrival<'_>) {
        loop {
            let front = self.rcv.queue.front(cx.pool);
            let offered = front.len();
            if offered == 0 {
                break;
            }
            self.passing.start_at(self.rcv.queue.first_position());
            let taken = (cx.deliver)(self.id, front, &mut self.passing).min(offered);
            self.rcv.queue.consume(cx.pool, taken);
            self.end_passing(taken);
            self.rcv
                .consumed(cx.now, taken, self.options.receive_buffer.get().is_some());
            if taken < offered {
                break;
            }
        }
    }

    fn take_out_of_order(&mut self, cx: &mut Arrival<'_>, text: &Text<'_>) {
        let end = text.seq + text.bytes.len() as u32;
        cx.counters.count(Counter::OutOfOrder);
        let segments = (text.bytes.len() as u32).div_ceil(self.rcv.mss);
        self.tally.out_of_order = self.tally.out_of_order.saturating_add(segments);
        // RFC 5681 section 4.2: "a TCP receiver SHOULD send an immediate duplicate ACK when an
        // out-of-order segment arrives."
        self.acknowledge_now();
        if let Some(known) = self.rcv.out_of_order.find(text.seq)
            && !end.is_after(known.1)
        {
            // RFC 2883 section 4: the range it lies in comes next.
            self.rcv.note_recent(known.0);
            self.rcv.duplicate = Maybe::some((text.seq, end));
            cx.counters.count(Counter::DuplicateData);
            return;
        }
        if !self.rcv.out_of_order.has_room_for(text.seq, end) {
            cx.counters.count(Counter::OutOfOrderFull);
            return;
        }
        let gap = text.seq.since(self.rcv.nxt) as usize;
        let offset = self.rcv.queue.len() + gap;
        let written = self.rcv.queue.write_at(cx.pool, offset, text.bytes);
        if written < text.bytes.len() {
            cx.counters.count(Counter::PoolFull);
        }
        if written > 0 {
            let end = text.seq + written as u32;
            self.rcv.out_of_order.insert(text.seq, end);
            if let Some((start, _)) = self.rcv.out_of_order.find(text.seq) {
                self.rcv.note_recent(start);
            }
        }
    }

    /// RFC 9293 section 3.8.6.3 and RFC 5681 section 4.2, as Linux: at once for every second full
    /// segment, while a hole is open or closing, and while the peer's window opens; else soon. A peer that has no more to
    /// send, or only less than a segment, may wait for the ACK itself (Nagle's algorithm): where the user does not answer what
    /// comes, it need not.
    fn acknowledge_text(&mut self, cx: &Arrival<'_>, text: &Text<'_>, filled_hole: bool) {
        self.rcv
            .note_data(cx.now, text.bytes.len() as u32, self.rtt.base_rto());
        self.marks.output = true;
        let owed = self.rcv.nxt.since(self.rcv.acked);
        let quick = self.rcv.quick > 0 && !self.rcv.answered;
        let last = match quick {
            true => owed < self.rcv.announced_mss,
            false if self.rcv.answered => false,
            false => owed < self.rcv.mss || text.pushed && owed == self.rcv.mss,
        };
        if last && !filled_hole {
            // The peer has nothing more to send for now.
            self.acknowledge_with_answer(cx.now);
        } else if filled_hole || quick || self.acknowledges_at_once() {
            self.rcv.acks.push(self.rcv.nxt);
        } else if owed > self.rcv.mss {
            self.rcv.acks.push_cumulative(self.rcv.nxt);
        } else if !self.deadlines.is_armed(Timer::DelayedAck) {
            self.deadlines.arm(Timer::DelayedAck, cx.now + DELAYED_ACK);
        }
    }
}
