//! Proportional rate reduction (RFC 9937): in fast recovery the window comes down to the threshold as what was in flight
//! arrives. So something is sent for what arrives, from the first ACK on, and no more than the path has just shown that
//! it takes.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Counts of one recovery, in bytes; their names are the RFC's.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Prr {
    /// RecoverFS: what was in flight before the ACK that began it. 0: there is no recovery.
    recover_fs: u32,
    /// prr_delivered: what has arrived since.
    delivered: u32,
    /// prr_out: what was sent since, again or for the first time.
    out: u32,
}

impl Prr {
    pub(super) const NONE: Self = Self::new(0);

    pub(super) const fn new(recover_fs: u32) -> Self {
        Self {
            recover_fs,
            delivered: 0,
            out: 0,
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        self.recover_fs > 0
    }

    pub(super) fn sent(&mut self, bytes: u32) {
        self.out = self.out.saturating_add(bytes);
    }

    /// `arrived` bytes have, which leaves `pipe` in flight. Gives sndcnt, how much may be sent now: `bonus` more than has
    /// arrived, where less than the threshold is in flight.
    pub(super) fn arrived(&mut self, arrived: u32, pipe: u32, ssthresh: u32, bonus: u32) -> u32 {
        self.delivered = self.delivered.saturating_add(arrived);
        if pipe > ssthresh {
            let share = u64::from(self.delivered) * u64::from(ssthresh);
            let share = share.div_ceil(u64::from(self.recover_fs).max(1));
            return u32::try_from(share)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.out);
        }
        let owed = self.delivered.saturating_sub(self.out).max(arrived);
        owed.saturating_add(bonus).min(ssthresh - pipe)
    }
}
