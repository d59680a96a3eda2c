//! Path MTUs learned from ICMP (RFC 1191), for a time.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::HashMap;

use super::random::Keyed;
use super::time::Instant;

/// The most destinations remembered.
const MAX_PATHS: usize = 1024;
/// How long one is, as Linux's mtu_expires (RFC 1191 section 6.3 says ten minutes).
const LIFETIME: Duration = Duration::from_secs(600);
/// A lower one is not believed, as Linux's min_pmtu.
const MIN_MTU: usize = 552;

#[derive(Debug)]
struct Path {
    mtu: usize,
    expires: Instant,
}

/// The destinations whose paths take less than the link does.
#[derive(Debug)]
pub(crate) struct PathMtus {
    paths: HashMap<Ipv4Addr, Path, Keyed>,
    /// When the first of them expires.
    deadline: Option<Instant>,
}

impl PathMtus {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            paths: HashMap::with_hasher(keyed),
            deadline: None,
        }
    }

    /// Takes in that packets to `destination` may have `mtu` bytes. As Linux, no more than is known: that
    /// is for time to tell.
    pub(crate) fn learn(&mut self, now: Instant, destination: Ipv4Addr, mtu: usize) {
        if self.get(destination).is_some_and(|known| known < mtu) {
            return;
        }
        if self.paths.len() >= MAX_PATHS {
            let victim = self.paths.keys().next().copied();
            victim.map(|address| self.paths.remove(&address));
        }
        let expires = now + LIFETIME;
        let mtu = mtu.max(MIN_MTU);
        self.paths.insert(destination, Path { mtu, expires });
        self.deadline.get_or_insert(expires);
    }

    /// The longest packet to `destination`, if its path is known to take less than the link.
    pub(crate) fn get(&self, destination: Ipv4Addr) -> Option<usize> {
        if self.paths.is_empty() {
            return None;
        }
        self.paths.get(&destination).map(|path| path.mtu)
    }

    /// When [`receive_timeout`](Self::receive_timeout) has something to forget.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Forgets what is too old.
    pub(crate) fn receive_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.paths.retain(|_, path| now < path.expires);
            self.deadline = self.paths.values().map(|path| path.expires).min();
        }
    }
}
