//! What processes that were forked from this one have of its endpoints.
//!
//! A fork has every endpoint that existed then, which an endpoint knows by how many forks there were before it was made:
//! so a fork is noted by a number, and no endpoint is looked at. What a forked process has it need not use: see
//! [`lifeline`](super::lifeline). There is one engine in a process.

use core::sync::atomic::{AtomicU32, Ordering};

use super::endpoint::Endpoint;

/// The last fork whose processes live, as far as that is known.
static LIVING: AtomicU32 = AtomicU32::new(0);
/// The last of those whose processes use what they have.
static IN_USE: AtomicU32 = AtomicU32::new(0);
/// The last whose processes ever did.
static EVER_USED: AtomicU32 = AtomicU32::new(0);

/// The last fork whose processes use what they have.
pub(super) fn in_use() -> u32 {
    IN_USE.load(Ordering::Relaxed)
}

/// Notes the last fork whose processes live, and the last whose use what they have.
pub(super) fn note(living: u32, in_use: u32) {
    LIVING.store(living, Ordering::Relaxed);
    IN_USE.store(in_use, Ordering::Relaxed);
    EVER_USED.fetch_max(in_use, Ordering::Relaxed);
}

/// This process has no engine any more, and so no forks that one would have to know of.
pub(super) fn forget() {
    note(0, 0);
    EVER_USED.store(0, Ordering::Relaxed);
}

impl Endpoint {
    /// Whether processes that were forked since have it.
    fn is_inherited(&self) -> bool {
        self.born < LIVING.load(Ordering::Relaxed)
    }

    /// Whether the descriptor may be used where we cannot see it.
    pub fn is_shared(&self) -> bool {
        self.unseen_writers || self.born < in_use()
    }

    /// Whether it may be open where we cannot see it, be it used there or not.
    pub fn is_open_elsewhere(&self) -> bool {
        self.unseen_writers || self.is_inherited()
    }

    /// Whether only forked processes may have it that are not known to use it.
    pub(super) fn is_only_inherited(&self) -> bool {
        self.is_inherited() && !self.is_shared()
    }

    /// Whether others may have set O_NONBLOCK of it.
    pub fn was_shared(&self) -> bool {
        self.was_shared || self.born < EVER_USED.load(Ordering::Relaxed)
    }
}
