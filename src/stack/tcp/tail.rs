//! Tail loss probes (RFC 8985 section 7): when an answer stays out for two round trips, one more segment is sent, that its
//! SACK may show what is lost; else the retransmission timer would.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::loss::Phase;
use super::output::Output;
use super::segment::SegmentOut;
use super::tcb::Tcb;
use super::timers::Timer;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// A receiver may keep the ACK of a single segment so long (Linux's TCP_DELACK_MAX).
pub(super) const MAX_DELAYED_ACK: Duration = Duration::from_millis(200);
/// As Linux: sooner says more of the host than of the path.
const SOONEST: Duration = Duration::from_millis(2);

/// What has become of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
enum Stage {
    /// There is none.
    None,
    /// It is to be sent.
    Due,
    /// It was sent: new data.
    New,
    /// It was sent: the last segment again.
    Again,
}

/// The probe of a connection.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct TailProbe {
    stage: Stage,
    _unused: [u8; 3],
    /// What was in flight ended there once it was sent.
    end: Seq,
}

impl TailProbe {
    pub(super) const NONE: Self = Self {
        stage: Stage::None,
        _unused: [0; 3],
        end: Seq(0),
    };
}

impl Tcb {
    /// Section 7.2: schedules a probe, if there is something one could tell.
    pub(super) fn arm_tail_probe(&mut self, now: Instant) {
        self.deadlines.stop(Timer::TailProbe);
        let flight = self.snd.flight();
        let wanted =
            self.sack && flight > 0 && !self.loss.is_suspected() && self.tail.stage == Stage::None;
        let Some(srtt) = self.rtt.smoothed().filter(|_| wanted) else {
            return;
        };
        let single = flight <= self.snd.mss;
        let delayed = if single {
            MAX_DELAYED_ACK
        } else {
            Duration::ZERO
        };
        let at = now + (2 * srtt + delayed).max(SOONEST);
        if self
            .deadlines
            .get(Timer::Retransmit)
            .is_some_and(|timeout| at < timeout)
        {
            self.deadlines.arm(Timer::TailProbe, at);
        }
    }

    /// Section 7.3: it is time for a probe.
    pub(super) fn tail_probe_timeout(&mut self) {
        if self.snd.flight() > 0 && !self.loss.is_suspected() {
            self.tail.stage = Stage::Due;
        }
    }

    /// Sends the probe that is due: what was never sent, whatever the congestion window is, or the last segment again.
    pub(super) fn poll_tail_probe(&mut self, cx: &Output<'_>, out: &mut SegmentOut) -> bool {
        if self.tail.stage != Stage::Due {
            return false;
        }
        self.tail.stage = Stage::None;
        if self.snd.flight() == 0 || self.loss.phase != Phase::Open {
            return false;
        }
        let mss = self.snd.mss;
        let new = self.snd.unsent().min(mss).min(self.snd.window_room());
        if new > 0 && self.state.sends() {
            self.send_new(cx, out, new);
            self.tail.stage = Stage::New;
        } else {
            self.send_last_again(cx, out);
            self.tail.stage = Stage::Again;
        }
        self.tail.end = self.snd.nxt;
        self.deadlines.stop(Timer::TailProbe);
        self.deadlines
            .arm(Timer::Retransmit, cx.now + self.rtt.rto());
        true
    }

    fn send_last_again(&mut self, cx: &Output<'_>, out: &mut SegmentOut) {
        let data_end = self.snd.end().earlier(self.snd.nxt);
        let sent = if self.snd.una.is_before(data_end) {
            data_end.since(self.snd.una)
        } else {
            0
        };
        let len = sent.min(self.snd.mss);
        let fin = self.snd.nxt.is_after(data_end);
        self.send_again(cx, out, data_end - len, len, fin);
    }

    /// Section 7.4: `ack` was acknowledged, with word of a `duplicate` or without. Gives whether the probe made good a loss
    /// that nobody else knows of.
    pub(super) fn tail_probe_answered(&mut self, ack: Seq, duplicate: bool) -> bool {
        let stage = self.tail.stage;
        if matches!(stage, Stage::None | Stage::Due) || ack.is_before(self.tail.end) {
            return false;
        }
        let beyond = ack.is_after(self.tail.end);
        if stage == Stage::New || duplicate || beyond {
            self.tail.stage = Stage::None;
        }
        stage == Stage::Again && !duplicate && beyond
    }
}
