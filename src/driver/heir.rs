//! The heir: a process that goes on serving what outlives this one.
//!
//! Descriptors that other processes hold when this one ends, or that it keeps when it executes
//! another program, still need their stack, and so does data that is on its way when it ends. The
//! heir is a copy of this process (fork(2)) that keeps nothing but the engine: it runs passes until
//! the last of those descriptors is closed and what was sent is acknowledged. TIME-WAIT it does not
//! sit out.
//!
//! 1. The heir is nobody's child: it is made by a child that ends at once, so that the program
//!    waits for nothing it does not know.
//! 2. It has none of the program's descriptors, and blocks all signals.
//! 3. Here the sockets are then as in a forked child: served through their pairs.

use super::endpoint::Endpoint;
use super::estate::{self, serve_alone};
use super::inspect::Office;
use super::lifeline;
use super::seat::Seat;
use super::{Guard, HOOKS, lock, process};
use crate::control::log;
use crate::memory;
use crate::sys::fork::fork_detached;
use crate::sys::process::end;
use crate::sys::{descriptor, signal};

/// The program is about to be replaced by another (execve(2)): leaves the engine to an heir, if
/// there is anything to serve, and makes the limits on descriptors the program's own.
pub fn before_exec() {
    let Some(mut guard) = lock() else {
        descriptor::restore_limit();
        return;
    };
    let needed = guard.has_sockets() || !estate::provide(&mut guard);
    guard.note_all_holders();
    if !needed || !bequeath(&mut guard) {
        descriptor::restore_limit();
        return;
    }
    process::disown(guard);
    descriptor::restore_limit();
}

/// Leaves the engine to an heir; whether there is one. The engine here must be given up then.
pub(super) fn bequeath(guard: &mut Guard) -> bool {
    guard.settle_lagging();
    if guard.link.let_inherit(true).is_err() {
        return false;
    }
    guard.open_to_questions();
    let forked = process::with_tables_held(|| {
        signal::with_all_blocked(|| memory::inherited(|| fork_detached(|| serve(guard))))
    });
    let _ = guard.link.let_inherit(false);
    if !forked {
        guard.doors.heirs = None;
    }
    forked
}

/// What the heir does.
fn serve(guard: &mut Guard) -> ! {
    // SAFETY: this is the process's only thread, and a call that ends one process holds nothing but
    // the engine's lock.
    unsafe {
        process::free_locks();
        if let Some(hooks) = HOOKS.get() {
            (hooks.free)();
        }
    }
    descriptor::close_all_but_ours();
    guard.drop_search();
    log::leave_standard_error();
    lifeline::release();
    guard.forget_programs();
    guard.office = Office::Heir;
    guard.reopen_window();
    guard.driving.seat = Seat::Background;
    while (guard.has_sockets() || !guard.may_end()) && serve_alone(guard, &mut [], None) {}
    guard.revoke_if_needless();
    end(0)
}

impl super::Engine {
    /// Whether any socket has an address, and with it somebody to talk to. What has lost its end has said all there is to
    /// say.
    pub(super) fn has_sockets(&self) -> bool {
        let serves = |held: &Endpoint| held.end.is_some() && held.has_address();
        let ids = &mut self.endpoints.ids();
        ids.any(|id| self.endpoints.get(id).is_some_and(serves))
    }

    /// Whether what was sent needs this process no more: a keeper goes on with connections, but not with what waits
    /// for a neighbor.
    pub(super) fn may_end(&mut self) -> bool {
        !self.stack.awaits_neighbors() && (self.stack.tcp_is_done() || self.is_provided_for())
    }

    /// The program's numbers mean nothing in this process.
    fn forget_programs(&mut self) {
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                endpoint.program = -1;
                endpoint.kept = None;
            }
        }
        self.share_all(|endpoint| endpoint.unseen_writers = true);
    }
}
