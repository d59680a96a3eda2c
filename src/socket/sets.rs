//! Epoll sets that have several numbers.
//!
//! A set that was duplicated (dup(2) and its kin) is one, whichever number a call gives: programs register by one, and
//! wait by another. The books have it under one of its numbers, its *name*.

use rustix::fd::RawFd;

use super::{Registration, table};
use crate::driver;
use crate::sys::lock::{self, RwLock};
use crate::sys::{file, handlers};

const ONCE: u32 = libc::EPOLLONESHOT as u32;
/// What says how events are told of, not which.
const HOW: u32 =
    (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
/// Most bytes of a set's list that are looked through.
const LONGEST_LIST: usize = 1 << 20;

/// The numbers of each set that has more than one, the name first.
static SETS: RwLock<Vec<Vec<RawFd>>> = RwLock::new(Vec::new());

/// The number under which the books have the set.
#[inline]
pub fn name_of(set: RawFd) -> RawFd {
    if !table::is_duplicate(set) {
        return set;
    }
    numbers_of(set).first().copied().unwrap_or(set)
}

/// All its numbers.
pub fn numbers_of(set: RawFd) -> Vec<RawFd> {
    let sets = SETS.read_recursive();
    let found = sets.iter().find(|numbers| numbers.contains(&set));
    found.map_or_else(|| vec![set], Clone::clone)
}

/// The program has made a set.
pub fn made(set: RawFd) {
    left(set);
    table::note_set(set);
}

/// It watches a socket of ours.
pub fn watches(set: RawFd) {
    numbers_of(set).into_iter().for_each(table::mark_epoll);
}

/// It has got another number.
pub fn duplicated(set: RawFd, number: RawFd) {
    if !table::can_hold(number) {
        return;
    }
    handlers::section(|| {
        let mut sets = SETS.write();
        match sets.iter_mut().find(|numbers| numbers.contains(&set)) {
            Some(numbers) => numbers.push(number),
            None => sets.push(vec![set, number]),
        }
    });
    table::note_duplicate(set, number);
}

/// The number is no longer a set's. If it was a name, that is another one from now on.
pub fn left(number: RawFd) {
    let duplicate = table::is_duplicate(number);
    table::forget_set(number);
    if !duplicate {
        return;
    }
    let renamed = handlers::section(|| {
        let mut sets = SETS.write();
        let at = sets.iter().position(|numbers| numbers.contains(&number))?;
        let was_name = sets[at][0] == number;
        sets[at].retain(|&other| other != number);
        let name = *sets[at].first()?;
        if sets[at].len() == 1 {
            table::note_single(name);
            sets.swap_remove(at);
        }
        was_name.then_some(name)
    });
    if let Some(name) = renamed {
        rename(number, name);
    }
}

/// No number from `first` to `last` is a set's any more.
pub fn left_range(first: u32, last: u32) {
    let within = |&number: &RawFd| (first..=last).contains(&number.cast_unsigned());
    let numbers: Vec<_> = {
        let sets = SETS.read_recursive();
        sets.iter().flatten().copied().filter(within).collect()
    };
    numbers.into_iter().for_each(left);
}

fn rename(old: RawFd, new: RawFd) {
    let mut engine = driver::lock();
    for (_, socket) in table::all() {
        let mut state = socket.state();
        for held in &mut state.registrations {
            if held.set == old {
                held.set = new;
            }
        }
    }
    if let Some(engine) = &mut engine {
        engine.rename_set(old, new);
    }
}

/// Notes which registrations have told of their one event (EPOLLONESHOT): the set says so as long as the descriptor is there.
pub(super) fn note_disarmed(registrations: &mut [Registration]) {
    for held in registrations {
        if held.events & ONCE != 0 && asked_for(held).is_some_and(is_disarmed) {
            held.events &= HOW;
        }
    }
}

/// The descriptor is another: what was told of the one before is no news of it, but an only event was told.
pub(super) fn forget_told(registrations: &mut [Registration]) {
    for held in registrations {
        held.told = is_disarmed(held.events).then_some(0);
        held.connections = None;
        held.room = None;
    }
}

/// Whether a registration for these events is one that has.
fn is_disarmed(events: u32) -> bool {
    events & ONCE != 0 && events & !HOW == 0
}

/// The events for which a set watches a number, as the kernel has them (proc(5), fdinfo). By a number that is closed it may
/// watch another descriptor, too, which as a rule has another value.
fn asked_for(held: &Registration) -> Option<u32> {
    let text = file::read(&format!("/proc/self/fdinfo/{}", held.set), LONGEST_LIST).ok()?;
    let text = str::from_utf8(&text).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.strip_prefix("tfd:")?.split_whitespace();
        let number: RawFd = words.next()?.parse().ok()?;
        let (events, value) = (words.nth(1)?, words.nth(1)?);
        let is_its = number == held.fd && u64::from_str_radix(value, 16) == Ok(held.data);
        u32::from_str_radix(events, 16).ok().filter(|_| is_its)
    })
}

/// Before fork(2): keeps other threads from changing the books.
pub fn hold() {
    core::mem::forget(SETS.read_recursive());
}

/// After it, in the parent.
///
/// # Safety
/// The thread has called [`hold`].
pub unsafe fn release() {
    // SAFETY: as the caller says.
    unsafe { SETS.force_unlock_read() };
}

/// Makes the books accessible again in a forked child, whoever had them at the fork.
///
/// # Safety
/// The calling thread is the only one of its process, and uses them not now.
pub unsafe fn free() {
    // SAFETY: as the caller says.
    unsafe { lock::free_rw(&SETS) };
}
