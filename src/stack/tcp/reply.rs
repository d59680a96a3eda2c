//! Segments that belong to no connection, or to one that is gone by the time they are sent.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::VecDeque;

use super::kept::KeptOptions;
use super::segment::SegmentOut;
use super::tcb::Tcb;
use crate::stack::time::Instant;
use crate::stack::transmit::Treatment;
use crate::stack::wire::tcp::{Flags, Options, Repr, Seq};

/// More than this many wait only if nobody drains; then they are lost, as on a full wire.
const MAX_REPLIES: usize = 4096;

/// A segment without payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) local: SocketAddrV4,
    pub(super) remote: SocketAddrV4,
    pub(super) repr: Repr,
    pub(super) tos: u8,
    pub(super) treatment: Treatment,
    /// How long it waits where there is no way to the peer; `None`: it is lost then.
    patient_until: Option<Instant>,
}

impl Reply {
    fn new(local: SocketAddrV4, remote: SocketAddrV4, flags: Flags, seq: Seq, ack: Seq) -> Self {
        let repr = Repr {
            source_port: local.port(),
            destination_port: remote.port(),
            seq,
            ack,
            flags,
            ..Repr::default()
        };
        Self {
            local,
            remote,
            repr,
            tos: 0,
            treatment: Treatment::default(),
            patient_until: None,
        }
    }

    /// The RST that answers a segment nobody expects (RFC 9293 section 3.10.7.1).
    pub(super) fn reset_for(
        local: SocketAddrV4,
        remote: SocketAddrV4,
        segment: &Repr,
        len: u32,
    ) -> Self {
        if segment.flags.contains(Flags::ACK) {
            Self::new(local, remote, Flags::RST, segment.ack, Seq(0))
        } else {
            let flags = Flags::RST.with(Flags::ACK);
            Self::new(local, remote, flags, Seq(0), segment.seq + len)
        }
    }

    /// The RST that tells the peer of a connection that it ended here, with a timestamp, if segments have them (RFC 7323
    /// section 3.2).
    pub(super) fn reset_of(tcb: &Tcb, now: Instant) -> Self {
        let flags = Flags::RST.with(Flags::ACK);
        let mut reply = Self::new(
            tcb.local.get(),
            tcb.remote.get(),
            flags,
            tcb.snd.acceptable_seq(),
            tcb.rcv.nxt,
        );
        reply.repr.options.timestamps = tcb.timestamping.option(now);
        reply.tos = tcb.options.tos;
        reply.treatment = tcb.options.treatment;
        reply
    }

    /// A SYN-ACK between `ends`, ours first, with the numbers `[iss, ack]`. How long a segment may be is
    /// said when it is sent.
    pub(super) fn syn_ack(
        ends: [SocketAddrV4; 2],
        numbers: [Seq; 2],
        window: u16,
        options: Options,
        kept: &KeptOptions,
    ) -> Self {
        let flags = Flags::SYN.with(Flags::ACK);
        let mut reply = Self::new(ends[0], ends[1], flags, numbers[0], numbers[1]);
        reply.repr.window = window;
        reply.repr.options = Options {
            mss: Some(kept.max_segment.get().unwrap_or(u16::MAX)),
            ..options
        };
        reply.tos = kept.tos;
        reply.treatment = kept.treatment;
        reply
    }

    /// An ACK.
    pub(super) fn ack(local: SocketAddrV4, remote: SocketAddrV4, seq: Seq, ack: Seq) -> Self {
        Self::new(local, remote, Flags::ACK, seq, ack)
    }
}

/// The replies waiting to be sent.
#[derive(Default)]
pub(super) struct Replies {
    due: VecDeque<Reply>,
    /// Those to whose peers there was no way.
    wayless: VecDeque<Reply>,
}

impl Replies {
    pub(super) fn push(&mut self, reply: Reply) {
        if self.due.len() < MAX_REPLIES {
            self.due.push_back(reply);
        }
    }

    /// Has all that are there wait for a way, no longer than `until`.
    pub(super) fn be_patient(&mut self, until: Instant) {
        for reply in &mut self.due {
            reply.patient_until = Some(until);
        }
    }

    /// There may be a way that was not.
    pub(super) fn look_for_ways(&mut self) {
        self.due.append(&mut self.wayless);
    }

    /// Whether any waits for a way.
    pub(super) fn has_wayless(&self) -> bool {
        !self.wayless.is_empty()
    }

    /// When one has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.wayless.iter();
        waiting.filter_map(|reply| reply.patient_until).min()
    }

    /// Forgets those that have waited long enough.
    pub(super) fn receive_timeout(&mut self, now: Instant) {
        self.wayless
            .retain(|reply| reply.patient_until.is_some_and(|until| now < until));
    }

    /// Fills `out` with the oldest that is not to wait.
    pub(super) fn poll(
        &mut self,
        has_way: &mut dyn FnMut(Ipv4Addr) -> bool,
        out: &mut SegmentOut,
    ) -> bool {
        while let Some(reply) = self.due.pop_front() {
            if reply.patient_until.is_none() || has_way(*reply.remote.ip()) {
                reply.fill(out);
                return true;
            }
            self.wayless.push_back(reply);
        }
        false
    }
}

impl Reply {
    fn fill(self, out: &mut SegmentOut) {
        out.clear_payload();
        out.local = self.local;
        out.remote = self.remote;
        out.repr = self.repr;
        out.ttl = 64;
        out.tos = self.tos;
        out.treatment = self.treatment;
    }
}
