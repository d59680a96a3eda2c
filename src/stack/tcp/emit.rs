//! How a segment is written: header, options, payload, and what sending it means for ACKs and
//! timers. What is sent when is [`super::output`]'s.

use super::output::{Output, TIMESTAMPS_LEN};
use super::segment::SegmentOut;
use super::tcb::{State, Tcb};
use super::timers::Timer;
use crate::stack::wire::ipv4;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::{Flags, MAX_SACK_BLOCKS, Options, Repr, SackBlocks};

/// The MSS option on a path with this MTU, if the user wants no more than `bound`.
pub(super) fn announced_mss(mtu: usize, bound: Option<u16>) -> u16 {
    let path = u16::try_from(mtu.saturating_sub(40)).unwrap_or(u16::MAX);
    path.min(bound.unwrap_or(u16::MAX))
}

impl Tcb {
    /// A SYN or SYN-ACK, if one is due.
    pub(super) fn poll_syn(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        if !core::mem::take(&mut self.marks.syn) {
            return false;
        }
        let active = self.state == State::SynSent;
        let mss = announced_mss(cx.mtu, self.options.max_segment.get());
        self.update_mss(cx.mtu);
        self.rcv.announced_mss = u32::from(mss)
            - if self.timestamping.enabled {
                TIMESTAMPS_LEN
            } else {
                0
            };
        let (fast_open, has_data) = cx.fast_opens.on_syn(self);
        let options = Options {
            mss: Some(mss),
            window_scale: self.scaled.then_some(self.rcv.scale),
            sack_permitted: self.sack,
            timestamps: self.timestamping.option(cx.now),
            fast_open,
            ..Options::default()
        };
        let flags = if active {
            Flags::SYN
        } else {
            Flags::SYN.with(Flags::ACK)
        };
        let window = self.rcv.advertise_unscaled();
        let repr = self.header(flags, self.snd.iss, window, options);
        self.address(out, repr);
        if has_data {
            self.put_beside_syn(cx, out);
        }
        if self.retries == 0 {
            self.rtt.sent(self.snd.nxt, cx.now);
        }
        if !active {
            self.ack_sent();
        }
        true
    }

    /// Data goes with the SYN, as far as there is room (RFC 7413). It is sent once that is acknowledged.
    fn put_beside_syn(&mut self, cx: &Output<'_>, out: &mut SegmentOut) {
        let headers = ipv4::HEADER_LEN + out.repr.header_len();
        let room = cx.mtu.saturating_sub(headers);
        let len = self.snd.queue.len().min(room);
        self.snd
            .queue
            .spans(cx.pool, 0, len, |span| out.push_span(span));
        self.snd.syn_data = len as u16;
    }

    /// Fills `out` with `len` bytes from `start`, and a FIN after them; gives where it ends.
    pub(super) fn emit_data(
        &mut self,
        cx: &Output<'_>,
        out: &mut SegmentOut,
        start: Seq,
        len: u32,
        fin: bool,
    ) -> Seq {
        let mut flags = Flags::ACK;
        if len > 0 && start + len == self.snd.end() {
            flags = flags.with(Flags::PSH);
        }
        if fin {
            flags = flags.with(Flags::FIN);
        }
        let window = self.rcv.advertise(self.rcv.nxt);
        let options = Options {
            timestamps: self.timestamping.option(cx.now),
            ..Options::default()
        };
        let mut repr = self.header(flags, start, window, options);
        if let Some(up) = self.snd.up.get().filter(|up| up.is_after(start)) {
            repr.flags = repr.flags.with(Flags::URG);
            repr.urgent = u16::try_from(up.since(start)).unwrap_or(u16::MAX);
        }
        self.address(out, repr);
        let offset = self.snd.offset(start);
        self.snd
            .queue
            .spans(cx.pool, offset, len as usize, |span| out.push_span(span));
        if len > self.snd.mss {
            out.gso_size = self.snd.mss as u16;
        }
        // While holes are open the ACKs have more to say than fits beside data.
        if self.rcv.out_of_order.is_empty() && self.rcv.duplicate.get().is_none() {
            self.ack_sent();
        }
        if !self.deadlines.is_armed(Timer::Retransmit) {
            self.deadlines
                .arm(Timer::Retransmit, cx.now + self.rtt.rto());
        }
        self.window.sent(len);
        self.pace(cx.now, len);
        start + len + u32::from(fin)
    }

    /// An ACK of everything before `ack`, with what arrived beyond it.
    pub(super) fn emit_ack(&mut self, cx: &Output<'_>, out: &mut SegmentOut, seq: Seq, ack: Seq) {
        let window = self.rcv.advertise(ack);
        self.emit_empty(cx, out, seq, (ack, window));
        if self.rcv.acked != ack {
            self.rcv.quick = self.rcv.quick.saturating_sub(1);
        }
        self.rcv.acked = ack;
        // What came after `ack` waits for its own, which may be a later one than those that are due.
        if self.rcv.acks.is_empty() && ack == self.rcv.nxt {
            self.deadlines.stop(Timer::DelayedAck);
            self.ack_waits = false;
        }
    }

    /// A segment below the window. The peer drops it, with its ACK and its window: neither counts as told.
    pub(super) fn emit_probe(&mut self, cx: &Output<'_>, out: &mut SegmentOut) {
        let ack = self.rcv.nxt;
        let window = self.rcv.window_field(ack);
        self.emit_empty(cx, out, self.snd.una - 1, (ack, window));
    }

    fn emit_empty(
        &mut self,
        cx: &Output<'_>,
        out: &mut SegmentOut,
        seq: Seq,
        (ack, window): (Seq, u16),
    ) {
        let timestamps = self.timestamping.option(cx.now);
        let room = if timestamps.is_some() {
            MAX_SACK_BLOCKS - 1
        } else {
            MAX_SACK_BLOCKS
        };
        let options = Options {
            timestamps,
            sack: if self.sack {
                self.rcv.sack_blocks(room)
            } else {
                SackBlocks::default()
            },
            ..Options::default()
        };
        let mut repr = self.header(Flags::ACK, seq, window, options);
        repr.ack = ack;
        self.address(out, repr);
    }

    fn header(&self, flags: Flags, seq: Seq, window: u16, options: Options) -> Repr {
        let acks = flags.contains(Flags::ACK);
        Repr {
            source_port: self.local.get().port(),
            destination_port: self.remote.get().port(),
            seq,
            ack: if acks { self.rcv.nxt } else { Seq(0) },
            flags,
            window,
            urgent: 0,
            options,
        }
    }

    fn address(&self, out: &mut SegmentOut, repr: Repr) {
        out.local = self.local.get();
        out.remote = self.remote.get();
        out.repr = repr;
        out.ttl = self.options.ttl;
        out.tos = self.options.tos;
        out.treatment = self.options.treatment;
    }

    /// A segment that acknowledges everything was sent.
    fn ack_sent(&mut self) {
        self.rcv.acked = self.rcv.nxt;
        self.rcv.acks.clear();
        self.deadlines.stop(Timer::DelayedAck);
        self.ack_waits = false;
    }
}
