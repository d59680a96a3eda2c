//! Peers that a listener's segments have to be signed by, with a key that nobody knows: who they are is who it does not hear.

use std::net::Ipv4Addr;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::sys::signature::{self, Peers};

/// Whom a socket does not hear.
#[derive(Debug)]
pub(super) struct Signing {
    /// The socket is AF_INET6.
    inet6: bool,
    peers: Vec<Peers>,
}

impl Signing {
    /// Nobody yet.
    pub(super) fn new(inet6: bool) -> Self {
        Self {
            inet6,
            peers: Vec::new(),
        }
    }

    /// Has no peer be heard but those at `addresses`. Where the kernel has no room for that (net.core.optmem_max), none
    /// at all.
    ///
    /// # Errors
    /// ENOMEM, ENOPROTOOPT: the kernel cannot be kept silent.
    pub(super) fn admit(
        &mut self,
        fd: BorrowedFd<'_>,
        addresses: &[Ipv4Addr],
    ) -> Result<(), Errno> {
        let key = key()?;
        let require = |peers, key: &[u8]| signature::require(fd, self.inet6, peers, key);
        require(Peers::ALL, &key)?;
        for peers in self.peers.drain(..).filter(|&peers| peers != Peers::ALL) {
            // It is there, as it was put there.
            let _ = require(peers, &[]);
        }
        self.peers.push(Peers::ALL);
        if addresses.is_empty() {
            return Ok(());
        }
        for peers in all_but(addresses) {
            if require(peers, &key).is_err() {
                return Ok(());
            }
            self.peers.push(peers);
        }
        self.peers.swap_remove(0);
        require(Peers::ALL, &[])
    }

    /// Everybody is heard.
    pub(super) fn end(self, fd: BorrowedFd<'_>) {
        for peers in self.peers {
            // What could be said is that it is gone already, which is what is wanted.
            let _ = signature::require(fd, self.inet6, peers, &[]);
        }
    }
}

/// One that nobody knows. Were it guessed, the kernel would answer who signs with it, no more.
pub(super) fn key() -> Result<[u8; 16], Errno> {
    let mut key = [0; 16];
    getrandom(&mut key, GetRandomFlags::NONBLOCK)?;
    Ok(key)
}

/// The largest networks without any of the addresses, which together have all others.
fn all_but(addresses: &[Ipv4Addr]) -> Vec<Peers> {
    let mut found = Vec::new();
    let mut open = vec![Peers::ALL];
    while let Some(peers) = open.pop() {
        if !addresses.iter().any(|&address| peers.include(address)) {
            found.push(peers);
        } else if let Some(halves) = peers.halves() {
            open.extend(halves);
        }
    }
    found
}
