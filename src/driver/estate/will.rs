//! The will: what a process gives a keeper, and that it is up to date.
//!
//! That is the work of the background thread. A program that opens one short connection does not
//! pay for it; and what was leased since is put into the vault when the thread comes by. Only the
//! descriptors are made by the program's own threads, in calls of ours.

use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::messages::{REVOCATION, Text};
use super::reach::{Kit, Missing, reach};
use crate::control::log;
use crate::control::vault::Vault;
use crate::driver::engine::TOKEN_KEEPER;
use crate::driver::{Engine, Guard, lock};
use crate::sys::copies::{self, Copies};
use crate::sys::owned::OwnedFd;
use crate::sys::process::Confinement;
use crate::sys::{pair, strerror};

/// How long there must have been something of TCP's before a keeper is looked for.
const DELAY: Duration = Duration::from_millis(20);
/// How long to wait before one is looked for again, at first; then twice as long each time.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MOST: Duration = Duration::from_secs(60);
/// Leases that are put into the vault as soon as it was emptied: they go with one message.
const FEW: usize = 64;
/// Leases among which those that are missing there are looked for at once.
const SOME: usize = 1024;
/// A keeper that lasted as long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// See the module.
pub(in crate::driver) struct Will {
    state: State,
    /// What a keeper is looked for with.
    kit: Option<Kit>,
    /// The same while a thread does.
    search: Option<Arc<Kit>>,
    pub(super) vault: Option<Arc<Vault>>,
    pub(super) ends: Option<Copies>,
    /// Other processes have held sockets of this one's.
    pub(super) held_elsewhere: bool,
    /// Leases made when the vault was filled last.
    filled_at: u64,
    /// The patrol's timer was started for it, and the background thread has not come by since.
    timed: bool,
    again: Duration,
    /// What this process was allowed to do when the engine was made.
    confinement: Confinement,
}

enum State {
    /// There is nothing to leave yet.
    Needless,
    /// A keeper is to be looked for, from this time of the monotonic clock on.
    Wanted(u64),
    /// The connection to the keeper, and since when.
    Deposited(OwnedFd, u64),
    /// There is no keeper, for good.
    Hopeless,
}

impl Will {
    /// None yet.
    pub(in crate::driver) fn new() -> Self {
        Self {
            state: State::Needless,
            kit: None,
            search: None,
            vault: None,
            ends: None,
            held_elsewhere: false,
            filled_at: 0,
            timed: false,
            again: AGAIN,
            confinement: Confinement::now(),
        }
    }

    /// Makes what copies are put into.
    fn make_queues(&mut self) -> Result<(), Errno> {
        if self.vault.is_none() {
            self.vault = Some(Arc::new(Vault::new()?));
        }
        if self.ends.is_none() {
            self.ends = Some(Copies::new()?);
        }
        Ok(())
    }

    /// Whether a keeper has it.
    pub(in crate::driver) fn is_deposited(&self) -> bool {
        matches!(self.state, State::Deposited(..))
    }

    /// Has nothing more to do with it: it is another process's.
    pub(in crate::driver) fn forsake(&self) {
        if let Some(vault) = &self.vault {
            vault.forsake();
        }
    }
}

impl Engine {
    /// When the will needs a look, from now on; `None`: not as things are.
    pub(in crate::driver) fn will_is_due(&self) -> Option<Duration> {
        let after = match &self.will.state {
            State::Hopeless => return None,
            State::Needless if self.will.kit.is_none() => return None,
            State::Needless => self.has_something_to_leave().then_some(DELAY),
            State::Wanted(at) => Some(Duration::from_nanos(at.saturating_sub(self.time))),
            State::Deposited(..) => self.vault_lacks_something().then_some(Duration::ZERO),
        };
        after.map(|after| after.max(crate::driver::background::PATROL))
    }

    /// What turns round in the process ends with it.
    fn has_something_to_leave(&self) -> bool {
        let mirror = self.mirror.as_ref();
        let something = self.ports.has_tcp() || self.will.held_elsewhere;
        something && mirror.is_some_and(|mirror| !mirror.facts().interface.loopback)
    }

    /// Whether a keeper has all that it takes to go on.
    pub(in crate::driver) fn is_will_complete(&self) -> bool {
        self.will.is_deposited() && !self.vault_lacks_leases() && !self.misses_copies()
    }

    fn vault_lacks_something(&self) -> bool {
        self.vault_lacks_leases() || self.lacks_copies()
    }

    fn vault_lacks_leases(&self) -> bool {
        let vault = self.will.vault.as_ref();
        vault.is_some_and(|vault| vault.is_stale())
            || self.will.filled_at != self.ports.leases_made()
    }

    /// Makes the descriptors that will be needed, in a thread of the program's.
    pub(in crate::driver) fn prepare_will(&mut self) {
        let wanted = match self.will.state {
            // A copy may turn out to be worth one when no thread of the program is there.
            State::Needless => self.has_something_to_leave() || self.lacks_copies(),
            State::Wanted(_) => true,
            State::Deposited(..) | State::Hopeless => false,
        };
        if !wanted || self.will.kit.is_some() {
            return;
        }
        let made = Kit::new().and_then(|kit| self.will.make_queues().map(|()| kit));
        match made {
            Ok(kit) => self.will.kit = Some(kit),
            Err(_) => self.will.state = State::Hopeless,
        }
    }

    /// What to look for a keeper with, if that is to be done now. Sees to it that the vault is full.
    fn seeks_keeper(&mut self) -> Option<Arc<Kit>> {
        self.will.timed = false;
        match self.will.state {
            State::Needless if self.will.kit.is_some() && self.has_something_to_leave() => {
                self.will.state = State::Wanted(self.time + DELAY.as_nanos() as u64);
            }
            State::Deposited(..) if self.vault_lacks_something() => {
                self.fill_vault();
            }
            State::Wanted(at) if at <= self.time => {
                if !self.is_confined() {
                    // A program that makes no calls while its keeper is killed must do without the care.
                    let kit = self.will.kit.take().or_else(|| Kit::new().ok());
                    self.will.search = kit.map(Arc::new);
                    return self.will.search.clone();
                }
                log::debug(format_args!("the program has confined itself: no keeper"));
                self.will.state = State::Hopeless;
            }
            _ => {}
        }
        None
    }

    /// This process is a copy of one of which a thread may look for a keeper just now. Nobody does here.
    pub(in crate::driver) fn drop_search(&mut self) {
        if let Some(kit) = self.will.search.take() {
            kit.close_copies();
            core::mem::forget(kit);
        }
    }

    /// Whether the program has confined itself since it has the engine: it may not expect every system
    /// call of ours then, and might be killed for one.
    pub(in crate::driver) fn is_confined(&self) -> bool {
        self.will.confinement != Confinement::now()
    }

    /// A keeper was looked for.
    fn found(&mut self, kit: Arc<Kit>, reached: Result<(), Missing>) {
        self.will.search = None;
        match reached {
            Ok(()) => {
                let connection = Arc::into_inner(kit).map(Kit::into_connection);
                let connection = connection.ok_or(Errno::NOTCONN);
                let deposited =
                    connection.and_then(|found| self.deposit_will(&found).map(|()| found));
                match deposited {
                    Ok(connection) => {
                        self.will.state = State::Deposited(connection, self.time);
                        self.fill_vault();
                        self.copy_all_ends();
                        // The keeper has them until this process has ended.
                        self.link.entrust();
                    }
                    Err(errno) => self.seek_later(errno),
                }
            }
            Err(Missing::Now) => self.seek_again(),
            Err(Missing::ForGood) => self.will.state = State::Hopeless,
        }
        if !matches!(self.will.state, State::Wanted(_)) {
            // A thread of the program may have made another one while the keeper was looked for.
            self.will.kit = None;
        }
    }

    /// Puts what is missing there into the vault, and makes what copies of ends are; whether all ports are in it now.
    fn fill_vault(&mut self) -> bool {
        let filled = self.put_leases(false);
        if self.lacks_copies() {
            self.copy_ends();
        }
        filled
    }

    /// Leases are about to be given back: has copies in the vault of all that stay, and of these no more.
    pub(super) fn renew_vault(&mut self) {
        self.put_leases(true);
    }

    /// There is another lease, or one that was given back has taken all others out of the vault: puts in what is missing,
    /// unless there are so many that it is left to the background thread.
    pub(in crate::driver) fn refill_vault(&mut self) {
        if !self.will.is_deposited() {
            return;
        }
        let is_stale = |vault: &Arc<Vault>| vault.is_stale();
        let most = match self.will.vault.as_ref().is_some_and(is_stale) {
            true => FEW,
            false if self.will.filled_at != self.ports.leases_made() => SOME,
            false => return,
        };
        if self.ports.leases_held() <= most {
            self.put_leases(false);
        }
    }

    fn put_leases(&mut self, anew: bool) -> bool {
        let elsewhere = self.datagrams_held_elsewhere();
        let Some(vault) = &self.will.vault else {
            return false;
        };
        let leases = self.ports.leases_to_leave(&elsewhere);
        let put = match anew {
            true => vault.renew(leases),
            false => vault.fill(leases),
        };
        self.will.filled_at = self.ports.leases_made();
        if let Err(errno) = put {
            log::debug(format_args!(
                "some ports will be lost if this process is killed: {}",
                strerror::of(errno)
            ));
        }
        put.is_ok()
    }

    /// The keeper that has made this process has what a dead one has left: from now on it has this one's will instead.
    /// `before` are the queues of what was left.
    pub(super) fn replace_will(&mut self, keeper: OwnedFd, before: [OwnedFd; 2]) {
        let made = self.will.make_queues();
        if made.is_ok() && !(self.put_leases(false) & self.copy_all_ends()) {
            // The kernel bounds what a user may have in such queues.
            before.iter().for_each(copies::empty);
            self.put_leases(false);
            self.copy_all_ends();
        }
        drop(before);
        match made.and_then(|()| self.deposit_will(&keeper)) {
            Ok(()) => self.will.state = State::Deposited(keeper, self.time),
            Err(errno) => {
                // Nobody is to go on beside this process.
                let _ = pair::give(&keeper, REVOCATION);
                self.seek_later(errno);
            }
        }
    }

    /// Gives a keeper all that it takes to go on, and watches it.
    fn deposit_will(&mut self, connection: &OwnedFd) -> Result<(), Errno> {
        let Some(mirror) = &self.mirror else {
            return Err(Errno::NODEV);
        };
        let vault = self.will.vault.clone().ok_or(Errno::NODEV)?;
        let text = Text::of(self.id, &self.settings, &mirror.facts().interface.name);
        let message = text.encode().ok_or(Errno::MSGSIZE)?;
        let ends = self.will.ends.as_ref().ok_or(Errno::NODEV)?;
        let left = [
            self.memory.as_fd(),
            self.link.plain_fd(),
            vault.end(),
            ends.end(),
        ];
        self.set.add(connection, TOKEN_KEEPER, EventFlags::RDHUP)?;
        let given = pair::give_descriptors(connection, &message, &left);
        if given.is_err() {
            self.set.remove(connection);
        }
        given.map(drop)
    }

    fn seek_later(&mut self, errno: Errno) {
        let words = strerror::of(errno);
        log::debug(format_args!("the keeper takes nothing: {words}"));
        self.seek_again();
    }

    fn seek_again(&mut self) {
        self.will.state = State::Wanted(self.time + self.will.again.as_nanos() as u64);
        self.will.again = (self.will.again * 2).min(AGAIN_MOST);
    }

    /// The keeper is gone.
    pub(in crate::driver) fn lose_keeper(&mut self) {
        let State::Deposited(connection, since) = &self.will.state else {
            return;
        };
        self.set.remove(connection);
        if self.time.saturating_sub(*since) >= GOOD.as_nanos() as u64 {
            self.will.again = AGAIN;
        }
        self.seek_again();
        self.patrol_for_will();
    }

    /// Has the background thread come by, though a thread of the program has the seat. Should that
    /// be left empty before, the patrol starts the timer anew.
    pub(in crate::driver) fn patrol_for_will(&mut self) {
        if !self.background.patrolled
            && !self.will.timed
            && self.background.runs
            && let Some(after) = self.will_is_due()
        {
            self.will.timed = true;
            self.background.timer.start(after);
        }
    }

    /// A keeper is to be looked for now, not later.
    fn hasten_search(&mut self) {
        let wanted = match self.will.state {
            State::Needless => self.has_something_to_leave(),
            State::Wanted(_) => true,
            State::Deposited(..) | State::Hopeless => false,
        };
        if wanted && self.will.search.is_none() {
            self.will.state = State::Wanted(self.time);
        }
    }

    /// Whether a keeper goes on with the whole stack once this process has ended.
    pub(in crate::driver) fn is_provided_for(&mut self) -> bool {
        self.will.is_deposited() && self.fill_vault()
    }

    /// This process is about to end. If nothing is left, the keeper need not look.
    pub(in crate::driver) fn revoke_if_needless(&mut self) {
        if self.stack.tcp_is_empty() {
            self.revoke();
        }
    }

    /// The keeper is not to look after what is left.
    pub(super) fn revoke(&mut self) {
        self.tell_keeper(REVOCATION);
    }

    /// Says something to who has the will.
    pub(super) fn tell_keeper(&mut self, words: &[u8]) {
        if let State::Deposited(connection, _) = &self.will.state {
            // Who is not there need not be told.
            let _ = pair::give(connection, words);
        }
    }
}

/// Looks for a keeper, if one is wanted, with the lock released. `None`: the engine is gone.
pub(in crate::driver) fn attend(mut guard: Guard) -> Option<Guard> {
    let Some(kit) = guard.seeks_keeper() else {
        return Some(guard);
    };
    drop(guard);
    let reached = reach(&kit);
    let mut guard = lock()?;
    guard.found(kit, reached);
    // The process may be about to end, and wait for it.
    guard.kick();
    Some(guard)
}

/// The process is about to end, or to become another program: whether it may, see `may_end`. If the program was so
/// short that no keeper was looked for yet, one is now.
pub(in crate::driver) fn provide(guard: &mut Guard) -> bool {
    if !guard.stack.tcp_is_empty() && !guard.is_provided_for() {
        guard.prepare_will();
        guard.hasten_search();
        if let Some(kit) = guard.seeks_keeper() {
            let reached = reach(&kit);
            guard.found(kit, reached);
        }
    }
    guard.may_end()
}

/// One wait and one pass, in a process that does nothing else, with what the background thread does
/// elsewhere. Whether it can go on so.
pub(in crate::driver) fn serve_alone(
    guard: &mut Guard,
    others: &mut [libc::pollfd],
    at_most: Option<Duration>,
) -> bool {
    guard.set_alarm();
    let timeout = [guard.will_is_due(), at_most].into_iter().flatten().min();
    match guard.poll(others, timeout, None) {
        Ok(ready) => guard.pass(ready, None),
        Err(Errno::INTR) => {}
        Err(_) => return false,
    }
    guard.prepare_will();
    if let Some(kit) = guard.seeks_keeper() {
        let reached = guard.unlocked(|| reach(&kit));
        guard.found(kit, reached);
    }
    true
}
