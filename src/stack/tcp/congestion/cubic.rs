//! CUBIC (RFC 9438): after loss the window falls to 0.7 and comes back along a cubic curve whose
//! flat part is where the loss happened, but never slower than Reno would.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::Acked;
use crate::stack::plain::Maybe;
use crate::stack::time::Instant;

/// RFC 9438 section 4.1.1: how fast the curve opens, in segments per second cubed.
const C: f64 = 0.4;
/// RFC 9438 section 4.6: what is left of the window after loss.
const BETA: f64 = 0.7;

#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Cubic {
    /// The window just before the last reduction, in segments, after fast convergence.
    w_max: f64,
    /// The window just before the last reduction, in segments.
    cwnd_prior: f64,
    /// When the present stage of congestion avoidance began.
    epoch: Maybe<Instant>,
    /// Seconds from the start of the stage until the curve is back at `w_max`.
    k: f64,
    /// What Reno's window would be, in segments.
    w_est: f64,
    /// Growth in segments that does not amount to a byte yet, kept for the next ACK.
    credit: f64,
}

impl Cubic {
    pub(super) const fn new() -> Self {
        Self {
            w_max: 0.0,
            cwnd_prior: 0.0,
            epoch: Maybe::NONE,
            k: 0.0,
            w_est: 0.0,
            credit: 0.0,
        }
    }

    /// The threshold after loss in a window of `window` bytes; starts a new stage.
    pub(super) fn reduced(&mut self, window: u32, mss: u32) -> u32 {
        let segments = f64::from(window) / f64::from(mss);
        // RFC 9438 section 4.7, fast convergence: a window that had not come back to where it was
        // makes room for others.
        self.w_max = if segments < self.w_max {
            segments * (1.0 + BETA) / 2.0
        } else {
            segments
        };
        self.cwnd_prior = segments;
        self.epoch = Maybe::NONE;
        (f64::from(window) * BETA) as u32
    }

    /// How much the window grows in congestion avoidance, in bytes.
    pub(super) fn growth(&mut self, cwnd: u32, mss: u32, acked: &Acked) -> u32 {
        let segments = f64::from(cwnd) / f64::from(mss);
        let acked_segments = f64::from(acked.bytes) / f64::from(mss);
        let epoch = self.epoch.get().unwrap_or_else(|| {
            self.w_est = segments;
            self.credit = 0.0;
            if self.w_max < segments {
                self.w_max = segments;
            }
            self.k = ((self.w_max - segments) / C).cbrt();
            acked.now
        });
        self.epoch = Maybe::some(epoch);
        let elapsed = acked.now.since(epoch);
        self.w_est += self.alpha() * acked_segments / segments;
        // RFC 9438 section 4.3 and 4.4: at least as fast as Reno, at most half as much again in a
        // round trip.
        let target = if self.curve(elapsed) < self.w_est {
            self.w_est
        } else {
            let ahead = self.curve(elapsed + acked.srtt);
            segments
                + (ahead.clamp(segments, 1.5 * segments) - segments) / segments * acked_segments
        };
        self.take((target - segments).max(0.0), mss)
    }

    /// W_cubic(t), RFC 9438 section 4.2, in segments.
    fn curve(&self, elapsed: Duration) -> f64 {
        C * (elapsed.as_secs_f64() - self.k).powi(3) + self.w_max
    }

    /// RFC 9438 section 4.3: growth that on average equals Reno's, until the window is back.
    fn alpha(&self) -> f64 {
        if self.w_est < self.cwnd_prior {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        } else {
            1.0
        }
    }

    fn take(&mut self, segments: f64, mss: u32) -> u32 {
        let bytes = (self.credit + segments) * f64::from(mss);
        let whole = bytes.floor();
        self.credit = (bytes - whole) / f64::from(mss);
        whole as u32
    }
}
