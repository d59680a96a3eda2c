//! Loss that was none: what was held lost had arrived, or arrives after all (RFC 4015, RFC 3522, RFC 3708, RFC 5682).
//! Then the congestion window is as it was.
//!
//! It shows by one of three:
//! - the ACK of what was sent again echoes a timestamp from before that (Eifel);
//! - all that was sent again is reported as a duplicate;
//! - after a timeout something arrives that was sent once only.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::congestion::Window;
use super::loss::Phase;
use super::tcb::Tcb;
use crate::stack::plain::Maybe;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// What there is to undo.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Undo {
    /// The window before it was reduced.
    window: Window,
    /// When something was first sent again since.
    first_at: Maybe<Instant>,
    /// Bytes sent again, less those that were reported as duplicates.
    unreported: u32,
    /// Once recovery has ended: when this is acknowledged, no duplicate of it will be reported any more.
    until: Seq,
    /// There is something to undo.
    possible: bool,
    _unused: [u8; 7],
}

impl Undo {
    pub(super) const fn new(window: Window) -> Self {
        Self {
            window,
            first_at: Maybe::NONE,
            unreported: 0,
            until: Seq(0),
            possible: false,
            _unused: [0; 7],
        }
    }

    /// The window is about to be reduced.
    pub(super) const fn begin(&mut self, window: Window) {
        *self = Self::new(window);
        self.possible = true;
    }

    /// `len` bytes were sent again.
    pub(super) fn sent_again(&mut self, len: u32, now: Instant) {
        if self.first_at.get().is_none() {
            self.first_at = Maybe::some(now);
        }
        self.unreported = self.unreported.saturating_add(len);
    }

    /// Recovery has ended with `nxt` to be sent next: duplicates are reported for a round trip yet.
    pub(super) const fn recovered(&mut self, nxt: Seq) {
        self.until = nxt;
    }

    /// Without loss in sight `una` was acknowledged.
    pub(super) fn acknowledged(&mut self, una: Seq) {
        if self.possible && una.is_after(self.until) {
            self.give_up();
        }
    }

    /// What shows from now on does not count.
    pub(super) const fn give_up(&mut self) {
        self.possible = false;
        self.unreported = 0;
    }

    pub(super) fn is_sound(&self) -> bool {
        self.window.is_sound()
    }
}

impl Tcb {
    /// The ACK that moved SND.UNA echoes a timestamp `elapsed` old: if that is from before anything was sent again, the
    /// first sending is what it answers.
    pub(super) fn answers_first_sending(&self, echo: Option<u32>) -> bool {
        let (Some(echo), Some(first_at)) = (echo, self.undo.first_at.get()) else {
            return false;
        };
        self.undo.possible && (echo.wrapping_sub(self.timestamping.value(first_at)) as i32) < 0
    }

    /// The peer reports `bytes` that have arrived twice.
    pub(super) fn undo_duplicates(&mut self, bytes: u32) {
        if bytes == 0 || self.undo.unreported == 0 {
            return;
        }
        self.undo.unreported = self.undo.unreported.saturating_sub(bytes);
        if self.undo.unreported == 0 {
            self.undo_loss();
        }
    }

    /// Nothing was lost. Gives whether there was something to undo.
    pub(super) fn undo_loss(&mut self) -> bool {
        if !core::mem::take(&mut self.undo.possible) {
            return false;
        }
        self.window.restore(&self.undo.window);
        if self.loss.phase != Phase::Open {
            self.loss.end_phase();
        }
        self.undo.unreported = 0;
        true
    }
}
