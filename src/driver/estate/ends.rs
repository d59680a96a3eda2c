//! Copies of the stack's ends of those pairs whose other ends other processes may have.
//!
//! When this process is killed, such a pair is still in use, and may have bytes in it. Whoever goes
//! on with the stack needs its end. So copies lie in a queue ([`Copies`]), each with what else is to be
//! known ([`Legacy`]).
//!
//! 1. A copy is put in before the descriptor comes into other hands: that of each connection before it is offered, those
//!    of all before a fork. No other socket has one, and costs anything.
//! 2. An end that is closed here while others have the program's end is to be closed there, too: the
//!    program sees it by that. The queue is renewed then: all that are in use are put in anew, what is
//!    before them is taken out. Copies of ends that nobody has any more do no harm, and go likewise
//!    once they are many.
//! 3. What is put in later about the same endpoint is what counts.
//! 4. [`News`](crate::driver::errors::News) that others are yet to be told of are said with the copy, and no more once they
//!    were; so is what is in the error queue. What a witness is to know is shown to it before, and the witnesses lie there, too. So does the file in which forked processes announce what
//!    they use.
//! 5. With the end of an old pair lies the program's end of the one that its descriptors lead to. Nobody would see the last
//!    descriptor of that closed, so it is taken out once the old pair is gone.
//! 6. The packet socket by which frames arrive now, if it is another than that of the will, lies there, too.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::collections::BTreeSet;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::messages::{EndOf, Left, Legacy, Past};
use crate::control::log;
use crate::control::stand_in::Ends;
use crate::driver::endpoint::{Endpoint, EndpointId, Role};
use crate::driver::{Account, Engine, HOOKS, lock};
use crate::stack::ids::Kind;
use crate::sys::copies::{self, Copies};
use crate::sys::owned::OwnedFd;
use crate::sys::pair::MOST_DESCRIPTORS;
use crate::sys::process::is_vfork_child;
use crate::sys::strerror;
use crate::sys::wait::borrow;
use crate::sys::wake::{self, Bell};

/// Bytes of a message, at most: what the kernel has room for in one page, with its own.
const MESSAGE: usize = 3600;

/// Descriptors may have reached a program that was started beside this one, in a process that runs in this one's
/// memory (vfork(2)) and can say no more.
static SET_OUT: AtomicBool = AtomicBool::new(false);

/// The bell that wakes who drives; -1: there is no engine.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// From now on this is the bell; `None`: the engine is about to be given up.
pub(in crate::driver) fn note_bell(bell: Option<&Bell>) {
    let number = bell.map_or(-1, |bell| bell.as_fd().as_raw_fd());
    BELL.store(number, Ordering::Relaxed);
}

/// Notes that, for whoever drives to see to it now: nothing else may happen here before such a program accepts.
///
/// A child of vfork(2) does not lock the engine, which is its parent's: it has copies of the descriptors,
/// the bell among them, and would leave traces of others.
pub fn note_set_out() {
    SET_OUT.store(true, Ordering::Relaxed);
    if is_vfork_child() {
        let bell = BELL.load(Ordering::Relaxed);
        if bell >= 0 {
            wake::ring(borrow(bell));
        }
    } else if let Some(engine) = lock() {
        engine.driving.wake.ring();
    }
}

/// What is said with a copy, and of what it is one.
type Copied<'a> = (Vec<u8>, BorrowedFd<'a>);

/// Puts them in, many with one message.
fn put(queue: &Copies, copies: &[Copied<'_>]) -> Result<(), Errno> {
    let mut rest = copies;
    while !rest.is_empty() {
        let mut message = Vec::new();
        let mut count = 0;
        while let Some((text, _)) = rest.get(count)
            && count < MOST_DESCRIPTORS
            && (count == 0 || message.len() + text.len() <= MESSAGE)
        {
            message.extend_from_slice(text);
            count += 1;
        }
        let ends: Vec<_> = rest[..count].iter().map(|(_, end)| *end).collect();
        queue.put(&message, &ends)?;
        rest = &rest[count..];
    }
    Ok(())
}

/// Of what there is to be a copy.
struct Missing {
    ends: Vec<EndpointId>,
    /// Forks, of their lifelines.
    lines: Vec<u32>,
    /// Connections, of what stands for them.
    orphans: Vec<Ends>,
}

/// Copies of ends that there are to be.
#[derive(Default)]
struct OfEnds<'a> {
    copies: Vec<Copied<'a>>,
    /// Whose they are.
    copied: Vec<EndpointId>,
    /// Of whose the upper layer cannot say now what is to be known.
    later: Vec<EndpointId>,
}

/// Puts `copies` in place of all that are there.
fn renew(queue: &Copies, copies: &[Copied<'_>]) -> Result<(), Errno> {
    queue.renew(|| put(queue, copies))
}

/// What lies in the queue of a process that is dead, the oldest first.
pub(super) fn all(queue: &OwnedFd) -> Vec<(Legacy, OwnedFd)> {
    let mut message = [0; MESSAGE + Legacy::LONGEST];
    let mut found = Vec::new();
    copies::look_through(queue, &mut message, |mut text, ends| {
        let said = core::iter::from_fn(|| Legacy::decode(&mut text));
        found.extend(said.zip(ends));
        true
    });
    found
}

impl Engine {
    /// Whether copies are missing, or one too many is there.
    pub(in crate::driver) fn lacks_copies(&self) -> bool {
        self.misses_copies() || self.endpoints.recalled || self.old_news().next().is_some()
    }

    /// Ends with whose copies other news are said than there are now.
    fn old_news(&self) -> impl Iterator<Item = EndpointId> {
        let says_old = |&id: &EndpointId| {
            let held = self.endpoints.get(id);
            held.is_some_and(Endpoint::says_old_news)
        };
        self.endpoints.beyond.iter().copied().filter(says_old)
    }

    /// News are said no more once they were told.
    pub(in crate::driver) fn say_news_anew(&mut self) {
        let old: Vec<_> = self.old_news().collect();
        self.endpoints.uncopied.extend(old);
    }

    /// Whether copies are missing.
    pub(super) fn misses_copies(&self) -> bool {
        !self.endpoints.uncopied.is_empty()
            || !self.orphans.uncopied.is_empty()
            || SET_OUT.load(Ordering::Relaxed)
    }

    /// Makes the copies that are missing, if a keeper is there to use them.
    pub(in crate::driver) fn copy_ends(&mut self) {
        if SET_OUT.swap(false, Ordering::Relaxed) {
            self.note_all_set_out();
        }
        self.say_news_anew();
        let missing = core::mem::take(&mut self.endpoints.uncopied);
        let lines = core::mem::take(&mut self.lifelines.uncopied);
        let orphans = core::mem::take(&mut self.orphans.uncopied);
        let recalled = core::mem::take(&mut self.endpoints.recalled);
        let is_deposited = self.will.is_deposited();
        let held = |&id: &EndpointId| self.endpoints.get(id).is_some_and(is_worth_a_copy);
        self.will.held_elsewhere |= missing.iter().any(held);
        let Some(ends) = &self.will.ends else {
            return;
        };
        if recalled || is_deposited && ends.is_worth_renewing() {
            self.copy_all_ends();
        } else if is_deposited {
            let missing = Missing {
                ends: missing,
                lines,
                orphans,
            };
            self.copy_these(missing, false);
        }
    }

    fn note_all_set_out(&mut self) {
        let Some(hooks) = HOOKS.get() else { return };
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            if let Some(endpoint) = self.endpoints.get_mut(id)
                && !endpoint.set_out
                && let Some(record) = &endpoint.record
                && (hooks.is_set_out)(record)
            {
                endpoint.set_out = true;
                let may_accept = match endpoint.role {
                    Role::Listener(_) => true,
                    Role::Undecided => endpoint.bound,
                    _ => false,
                };
                self.endpoints.uncopied.push(id);
                if may_accept {
                    // In no other way will it show that a connection was taken.
                    self.share(id);
                }
            }
        }
    }

    /// The ports of UDP sockets that others may have use of.
    pub(super) fn datagrams_held_elsewhere(&self) -> BTreeSet<u16> {
        let endpoints = self.endpoints.ids().filter_map(|id| self.endpoints.get(id));
        endpoints
            .filter(|held| is_of_udp(held) && held.is_held_elsewhere())
            .filter_map(|held| self.stack.udp_status(held.socket()?))
            .map(|status| status.local.port())
            .collect()
    }

    /// Makes copies of all ends that others may have use of, and lets others go; whether there is room for all.
    pub(super) fn copy_all_ends(&mut self) -> bool {
        self.endpoints.uncopied.clear();
        self.lifelines.uncopied.clear();
        self.orphans.uncopied.clear();
        let ids: Vec<_> = self.endpoints.ids().collect();
        for &id in &ids {
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                endpoint.copied = false;
            }
        }
        let all = Missing {
            ends: ids,
            lines: self.lifelines.numbers(),
            orphans: self.orphans.all().map(|held| *held.0).collect(),
        };
        self.copy_these(all, true)
    }

    /// `all`: in place of what is there. Whether there is room.
    fn copy_these(&mut self, missing: Missing, all: bool) -> bool {
        let held = |&id: &EndpointId| self.endpoints.get(id).is_some_and(is_worth_a_copy);
        let ends: Vec<_> = missing.ends.into_iter().filter(held).collect();
        let ends = ends.into_iter().map(|id| (id, self.has_witness(id)));
        let ends: Vec<_> = ends.collect();
        let Some(queue) = &self.will.ends else {
            return false;
        };
        let OfEnds {
            mut copies,
            copied,
            later,
        } = self.copies_of_ends(ends);
        copies.extend(self.copies_of_programs(&copied));
        let witnesses = self.endpoints.witnesses.set();
        let witnesses = witnesses.filter(|_| all || !self.endpoints.witnesses_copied);
        let known = witnesses.is_some();
        copies.extend(witnesses.map(|set| (Legacy::Witnesses.encode(), set)));
        let announced = self.lifelines.announced_file();
        let announced = announced.filter(|_| all || !self.lifelines.announced_copied);
        let announces = announced.is_some();
        copies.extend(announced.map(|file| (Legacy::Announced.encode(), file)));
        copies.extend(self.copies_of_lines(&missing.lines));
        copies.extend(self.copies_of_names(&missing.orphans));
        copies.extend(self.copies_of_stand_ins(missing.orphans));
        let put = if all {
            let successor = self.link.successor_fd();
            copies.extend(successor.map(|fd| (Legacy::Successor.encode(), fd)));
            renew(queue, &copies)
        } else {
            put(queue, &copies)
        };
        if let Err(errno) = put {
            log::debug(format_args!(
                "some sockets that others have end with this process if it is killed: {}",
                strerror::of(errno)
            ));
        }
        drop(copies);
        self.endpoints.witnesses_copied |= known;
        self.lifelines.announced_copied |= announces;
        self.endpoints.uncopied.extend(later);
        self.note_copied(copied);
        put.is_ok()
    }

    fn copies_of_ends(&self, ends: Vec<(EndpointId, bool)>) -> OfEnds<'_> {
        let mut of_ends = OfEnds::default();
        for (id, witnessed) in ends {
            let Some(endpoint) = self.endpoints.get(id) else {
                continue;
            };
            let Some(end) = &endpoint.end else { continue };
            let Some(account) = described(endpoint) else {
                of_ends.later.push(id);
                continue;
            };
            let Some(left) = left(endpoint, &account) else {
                continue;
            };
            let legacy = Legacy::End(EndOf {
                endpoint: id,
                left,
                guest: endpoint.guest,
                witnessed,
                news: endpoint.untold_news(),
                text: account.text,
                queue: endpoint.errors.encode(!is_of_udp(endpoint)),
            });
            of_ends.copies.push((legacy.encode(), end.as_fd()));
            of_ends.copied.push(id);
        }
        of_ends
    }

    /// Of the pairs that others of `copied` lead to.
    fn copies_of_programs(&self, copied: &[EndpointId]) -> impl Iterator<Item = Copied<'_>> {
        copied.iter().filter_map(|&id| {
            let program = self.endpoints.get(id)?.successor.as_ref()?.program();
            Some((Legacy::Program(id).encode(), program))
        })
    }

    fn copies_of_lines(&self, lines: &[u32]) -> impl Iterator<Item = Copied<'_>> {
        lines.iter().filter_map(|&line| {
            let end = self.lifelines.end_of(line)?;
            Some((Legacy::Lifeline(line).encode(), end))
        })
    }

    fn copies_of_names(&self, orphans: &[Ends]) -> impl Iterator<Item = Copied<'_>> {
        let ports: BTreeSet<u16> = orphans.iter().map(|ends| ends.0.port()).collect();
        ports.into_iter().filter_map(|port| {
            let name = self.orphans.name_of(port)?;
            Some((Legacy::Name(port).encode(), name))
        })
    }

    fn copies_of_stand_ins(&self, orphans: Vec<Ends>) -> impl Iterator<Item = Copied<'_>> {
        orphans.into_iter().filter_map(|ends| {
            let held = self.orphans.stand_in_of(&ends)?;
            Some((Legacy::StandIn(ends).encode(), held.fd()))
        })
    }

    fn note_copied(&mut self, copied: Vec<EndpointId>) {
        let is_datagram = |&id: &EndpointId| self.endpoints.get(id).is_some_and(is_of_udp);
        if let Some(vault) = &self.will.vault
            && copied.iter().any(is_datagram)
        {
            // The leases of UDP ports are not there otherwise.
            vault.note_lack();
        }
        for id in copied {
            self.widen_pair(id);
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                endpoint.copied = true;
                endpoint.copied_news = Some(endpoint.news_as_of());
            }
        }
    }
}

impl Endpoint {
    /// Whether the program could tell that a copy of the end is there: once the end is closed, it is to go, too.
    pub(in crate::driver) fn is_copy_in_use(&self) -> bool {
        self.copied && (self.successor.is_some() || !self.hung_up())
    }

    /// Whether other news were said with the copy than there are now.
    pub(in crate::driver) fn says_old_news(&self) -> bool {
        self.copied && self.copied_news != Some(self.news_as_of())
    }
}

fn is_worth_a_copy(endpoint: &Endpoint) -> bool {
    endpoint.is_held_elsewhere() && endpoint.has_address()
}

fn is_of_udp(endpoint: &Endpoint) -> bool {
    matches!(endpoint.role, Role::Datagram(_))
}

/// What its end is the end of; `None`: of nothing that goes on.
fn left(endpoint: &Endpoint, account: &Account) -> Option<Left> {
    match endpoint.socket() {
        Some(socket) if socket.kind != Kind::Datagram => Some(Left::Socket(socket)),
        None if let Some(successor) = &endpoint.successor => Some(Left::Succeeded(successor.id())),
        None if endpoint.role == Role::Ended => past(endpoint).map(Left::Ended),
        _ => account
            .bound
            .map(|(protocol, local)| Left::Bound(protocol, local)),
    }
}

/// What there is to know of a connection that has ended, if there is an error to be told of it.
fn past(endpoint: &Endpoint) -> Option<Past> {
    let (ends, opened) = (endpoint.left.ends?, endpoint.left.opened);
    endpoint.error.map(|_| Past { ends, opened })
}

/// What the upper layer wants to be known of it; `None`: it cannot say now.
fn described(endpoint: &Endpoint) -> Option<Account> {
    match (HOOKS.get(), &endpoint.record) {
        (Some(hooks), Some(record)) => (hooks.described)(record),
        _ => Some(Account::default()),
    }
}
