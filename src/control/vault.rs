//! What holds ports on when their process dies: copies of their leases, where a keeper finds them.
//!
//! The vault is a queue of copies ([`Copies`]), of which a keeper has the end to read from. It does not
//! read before the process is dead; until then what lies in the queue belongs to nobody but the
//! process.
//!
//! 1. A port goes back to the kernel when its last copy is closed. So no lease is closed while there
//!    is a copy in the vault: [`Deposit`] sees to it.
//! 2. For the sake of one lease all are taken out: all others are without a copy then, until they are
//!    put in again. That costs a system call for each 253 of them, and is done from time to time
//!    ([`Vault::is_stale`]), not at once.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use std::net::SocketAddr;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::getsockname;

use super::ephemeral::Protocol;
use super::lease::Lease;
use crate::sys::copies::{self, Copies};
use crate::sys::option;
use crate::sys::owned::OwnedFd;
use crate::sys::pair::MOST_DESCRIPTORS;

/// Most copies that are believed to be in one vault.
const MOST: usize = 1 << 17;

/// See the module.
#[derive(Debug)]
pub struct Vault {
    copies: Copies,
    /// How often it was emptied or renewed; what was put in before is not there.
    emptied: AtomicU64,
    stale: AtomicBool,
    forsaken: AtomicBool,
}

/// That a lease has a copy in the vault, or had.
#[derive(Debug)]
pub(super) struct Deposit {
    at: Arc<Vault>,
    emptied: u64,
}

impl Vault {
    /// An empty vault.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            copies: Copies::new()?,
            emptied: AtomicU64::new(0),
            stale: AtomicBool::new(true),
            forsaken: AtomicBool::new(false),
        })
    }

    /// The end that a keeper gets a duplicate of.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.copies.end()
    }

    /// Whether it was emptied since it was filled last.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Something is missing: it needs to be filled.
    pub fn note_lack(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Puts in those of `leases`, which are all, that are not there.
    ///
    /// # Errors
    /// Those of [`Copies::put`].
    pub fn fill<'a>(
        self: &Arc<Self>,
        leases: impl Iterator<Item = &'a mut Lease>,
    ) -> Result<(), Errno> {
        if self.copies.is_worth_renewing() {
            return self.renew(leases);
        }
        self.stale.store(false, Ordering::Relaxed);
        self.put_missing(&mut leases.collect::<Vec<_>>())
    }

    /// Puts in all of `leases` anew, in place of what is there. Of others there is no copy any more, at no moment
    /// one too few.
    ///
    /// # Errors
    /// Those of [`Copies::put`].
    pub fn renew<'a>(
        self: &Arc<Self>,
        leases: impl Iterator<Item = &'a mut Lease>,
    ) -> Result<(), Errno> {
        self.stale.store(false, Ordering::Relaxed);
        let mut leases: Vec<_> = leases.collect();
        self.copies.renew(|| {
            self.emptied.fetch_add(1, Ordering::Relaxed);
            self.put_missing(&mut leases)
        })
    }

    fn put_missing(self: &Arc<Self>, leases: &mut [&mut Lease]) -> Result<(), Errno> {
        let emptied = self.emptied.load(Ordering::Relaxed);
        let missing = leases.iter_mut().filter(|lease| !lease.has_copy());
        let mut missing: Vec<_> = missing.collect();
        for batch in missing.chunks_mut(MOST_DESCRIPTORS / Lease::MOST_SOCKETS) {
            let sockets: Vec<_> = batch.iter().flat_map(|lease| lease.sockets()).collect();
            self.copies.put(&[0], &sockets)?;
            for lease in batch {
                lease.deposit = Some(Deposit {
                    at: Arc::clone(self),
                    emptied,
                });
            }
        }
        Ok(())
    }

    /// Takes everything out, as does the end of a process that has nothing to leave.
    pub fn empty(&self) {
        if self.forsaken.load(Ordering::Relaxed) {
            return;
        }
        self.emptied.fetch_add(1, Ordering::Relaxed);
        self.stale.store(true, Ordering::Relaxed);
        self.copies.clear();
    }

    /// This process has no part in it any more: another one, a forked child's parent, has.
    pub fn forsake(&self) {
        self.forsaken.store(true, Ordering::Relaxed);
    }
}

impl Deposit {
    /// Whether the copy is still there.
    pub(super) fn lies_there(&self) -> bool {
        self.at.emptied.load(Ordering::Relaxed) == self.emptied
    }
}

impl Drop for Deposit {
    fn drop(&mut self) {
        if self.lies_there() {
            self.at.empty();
        }
    }
}

/// A copy of a socket of a lease: holds the port like it.
#[derive(Debug)]
pub struct LeaseCopy {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// It holds the port on one interface only.
    pub on_interface: bool,
    /// SO_REUSEPORT: others may have the port, too.
    pub reuse_port: bool,
    socket: OwnedFd,
}

impl LeaseCopy {
    /// What lies in the vault of a process that is dead.
    pub fn all(end: &OwnedFd) -> Vec<Self> {
        let mut found = Vec::new();
        copies::look_through(end, &mut [0], |_, sockets| {
            found.extend(sockets.into_iter().filter_map(Self::of));
            found.len() < MOST
        });
        found
    }

    fn of(socket: OwnedFd) -> Option<Self> {
        let ask = |name| option::integer(socket.as_fd(), libc::SOL_SOCKET, name).ok();
        Some(Self {
            protocol: match ask(libc::SO_PROTOCOL)? {
                libc::IPPROTO_TCP => Protocol::Tcp,
                libc::IPPROTO_UDP => Protocol::Udp,
                _ => return None,
            },
            port: SocketAddr::try_from(getsockname(&socket).ok()?)
                .ok()?
                .port(),
            on_interface: ask(libc::SO_BINDTOIFINDEX)? != 0,
            reuse_port: ask(libc::SO_REUSEPORT)? != 0,
            socket,
        })
    }

    /// The lease that it is a copy of, as far as that can be known.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn into_lease(self) -> Result<Lease, Errno> {
        Lease::of_copy(self.socket, self.protocol, self.reuse_port)
    }
}
