//! From descriptor numbers to sockets.
//!
//! One byte a number says whether it is worth looking further, so that read(2) and close(2) of
//! the program's files cost a load and a branch. A number that was never looked at may have been
//! inherited by execve(2) or received from another process: at the first call on it the descriptor
//! is asked for its name, once ([`meet`](super::away::meet)). What the process opens itself is
//! entered where it is made, so a number that was seen closed need not be asked again.
//!
//! Who asks for a socket, in order to use it, has what a fork has left [taken over](inherited) first; who closes has not.

use core::cell::Cell;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU8, Ordering};
use rustix::fd::RawFd;
use std::sync::Arc;

use super::{Socket, away, inherited, sets, watched};
use crate::sys::handlers;
use crate::sys::lock::{self, RwLock};

/// Numbers that can be ours; a descriptor beyond them is left to the kernel. (fs.nr_open)
pub const NUMBERS: usize = 1 << 20;

const SOCKET: u8 = 1;
const EPOLL: u8 = 2;
/// What is behind the number is known to be no socket of another process's stack.
const KNOWN: u8 = 4;
/// It is an epoll set that the process has made.
const SET: u8 = 8;
/// It is one of an epoll set's numbers (see `sets`).
const DUPLICATE: u8 = 16;

static MARKS: [AtomicU8; NUMBERS] = [const { AtomicU8::new(0) }; NUMBERS];
static SOCKETS: RwLock<Vec<Option<Arc<Socket>>>> = RwLock::new(Vec::new());

fn mark(fd: RawFd) -> Option<&'static AtomicU8> {
    usize::try_from(fd).ok().and_then(|at| MARKS.get(at))
}

fn marked(fd: RawFd, bit: u8) -> bool {
    mark(fd).is_some_and(|mark| mark.load(Ordering::Acquire) & bit != 0)
}

/// The socket behind `fd`, if it is one of ours.
#[inline]
pub fn get(fd: RawFd) -> Option<Arc<Socket>> {
    if !marked(fd, SOCKET) {
        if marked(fd, KNOWN) {
            return None;
        }
        return away::meet(fd);
    }
    inherited::take_over();
    // Recursive: a signal handler may have interrupted this very thread in here.
    SOCKETS.read_recursive().get(fd as usize)?.clone()
}

/// Whether `fd` is one of ours, which is about to be used.
#[inline]
pub fn is_ours(fd: RawFd) -> bool {
    is_used(fd, SOCKET)
}

/// Whether `fd` is one of ours, which is about to be closed.
#[inline]
pub fn is_entered(fd: RawFd) -> bool {
    marked(fd, SOCKET)
}

/// Whether `fd` is one of ours, or turns out to be as it is looked at for the first time.
#[inline]
pub fn is_met(fd: RawFd) -> bool {
    // Of a set that is polled itself nothing else is asked.
    is_used(fd, SOCKET | EPOLL) && marked(fd, SOCKET) || !marked(fd, KNOWN) && get(fd).is_some()
}

/// Whether `fd`, which is about to be used, has any of these bits.
#[inline]
fn is_used(fd: RawFd, bits: u8) -> bool {
    let used = marked(fd, bits);
    if used {
        inherited::take_over();
    }
    used
}

/// Whether `fd` can be entered.
pub fn can_hold(fd: RawFd) -> bool {
    mark(fd).is_some()
}

/// Enters `socket` under `fd`.
pub fn insert(fd: RawFd, socket: Arc<Socket>) {
    let Some(mark) = mark(fd) else { return };
    inherited::take_over();
    handlers::section(|| {
        let mut sockets = SOCKETS.write();
        let at = fd as usize;
        if sockets.len() <= at {
            sockets.resize(at + 1, None);
        }
        socket.numbers.fetch_add(1, Ordering::Relaxed);
        if let Some(before) = sockets[at].replace(socket) {
            before.numbers.fetch_sub(1, Ordering::Relaxed);
        }
    });
    mark.store(SOCKET | KNOWN, Ordering::Release);
}

/// Notes that `fd` is nothing of ours.
pub fn note_foreign(fd: RawFd) {
    if let Some(mark) = mark(fd) {
        mark.fetch_or(KNOWN, Ordering::AcqRel);
    }
}

/// Forgets all about `fd`, which has come from another process: its name is to be asked for.
pub fn note_arrival(fd: RawFd) {
    remove(fd);
    if let Some(mark) = mark(fd) {
        mark.store(0, Ordering::Release);
    }
}

/// Forgets what `fd` was, and gives back the socket if it was one.
pub fn remove(fd: RawFd) -> Option<Arc<Socket>> {
    let mark = mark(fd)?;
    if mark.swap(KNOWN, Ordering::AcqRel) & SOCKET == 0 {
        return None;
    }
    let removed = handlers::section(|| SOCKETS.write().get_mut(fd as usize)?.take())?;
    removed.numbers.fetch_sub(1, Ordering::Relaxed);
    Some(removed)
}

/// Whether `fd` is `socket`'s still, though another thread may have closed it.
pub fn holds(fd: RawFd, socket: &Socket) -> bool {
    let sockets = SOCKETS.read_recursive();
    sockets
        .get(fd as usize)
        .is_some_and(|held| is(held, socket))
}

/// Whether the entry is `socket`.
fn is(entry: &Option<Arc<Socket>>, socket: &Socket) -> bool {
    let entry = entry.as_ref().map(Arc::as_ptr);
    entry.is_some_and(|entry| core::ptr::eq(entry, socket))
}

/// Another thread may have closed the number `fd` of a call that has slept: then `program` is the socket's.
pub fn follow(fd: &Cell<RawFd>, socket: &Arc<Socket>, program: RawFd) {
    if fd.get() != program && !holds(fd.get(), socket) {
        fd.set(program);
    }
}

/// A number `socket` is entered under.
pub fn number_of(socket: &Socket) -> Option<RawFd> {
    numbers_of(socket).first().copied()
}

/// All numbers `socket` is entered under.
pub fn numbers_of(socket: &Socket) -> Vec<RawFd> {
    let count = socket.numbers.load(Ordering::Relaxed) as usize;
    if count == 0 {
        return Vec::new();
    }
    let sockets = SOCKETS.read_recursive();
    sockets
        .iter()
        .enumerate()
        .filter(|(_, held)| is(held, socket))
        .take(count)
        .map(|(at, _)| at as RawFd)
        .collect()
}

/// The socket, if it is entered under any number.
pub fn entered(socket: &Socket) -> Option<Arc<Socket>> {
    let sockets = SOCKETS.read_recursive();
    let mut held = sockets.iter().flatten();
    held.find(|held| core::ptr::eq(Arc::as_ptr(held), socket))
        .cloned()
}

/// Before fork(2): keeps other threads from changing the table, so that the child finds it whole.
pub fn hold() {
    sets::hold();
    core::mem::forget(SOCKETS.read_recursive());
}

/// After it, in the parent.
///
/// # Safety
/// The thread has called [`hold`].
pub unsafe fn release() {
    // SAFETY: as the caller says.
    unsafe {
        SOCKETS.force_unlock_read();
        sets::release();
    }
}

/// Makes the table accessible again in a forked child, whoever had it at the fork.
///
/// # Safety
/// The calling thread is the only one of its process, and does not use it now.
pub unsafe fn free() {
    // SAFETY: as the caller says.
    unsafe {
        lock::free_rw(&SOCKETS);
        sets::free();
        watched::free();
    }
}

/// The same, and of all sockets.
///
/// # Safety
/// The calling thread is the only one of its process, and uses neither now.
pub unsafe fn free_all() {
    // SAFETY: as the caller says.
    unsafe { free() };
    for (_, socket) in entries() {
        // SAFETY: as the caller says.
        unsafe { socket.free_state() };
    }
}

/// Whether there are any.
pub fn any() -> bool {
    SOCKETS.read_recursive().iter().any(Option::is_some)
}

/// All numbers that are entered.
pub fn numbers() -> Vec<RawFd> {
    let sockets = SOCKETS.read_recursive();
    let entered = sockets.iter().enumerate();
    entered
        .filter_map(|(at, held)| held.as_ref().map(|_| at as RawFd))
        .collect()
}

/// All sockets.
pub fn all() -> Vec<(RawFd, Arc<Socket>)> {
    inherited::take_over();
    entries()
}

/// All sockets as they are entered.
pub(super) fn entries() -> Vec<(RawFd, Arc<Socket>)> {
    let sockets = SOCKETS.read_recursive();
    let entered = sockets.iter().enumerate();
    entered
        .filter_map(|(at, held)| Some((at as RawFd, held.clone()?)))
        .collect()
}

/// The sockets under `numbers`.
pub(super) fn entries_of(numbers: RangeInclusive<RawFd>) -> Vec<Arc<Socket>> {
    let sockets = SOCKETS.read_recursive();
    let (first, last) = (*numbers.start() as usize, *numbers.end() as usize);
    let within = sockets.iter().take(last.saturating_add(1)).skip(first);
    within.flatten().cloned().collect()
}

/// Notes that the epoll set `fd` watches a socket of ours.
pub fn mark_epoll(fd: RawFd) {
    if let Some(mark) = mark(fd) {
        mark.fetch_or(EPOLL, Ordering::AcqRel);
    }
}

/// Whether the epoll set `fd` watches a socket of ours.
#[inline]
pub fn is_epoll(fd: RawFd) -> bool {
    is_used(fd, EPOLL)
}

/// Notes that `fd` is an epoll set that was just made.
pub fn note_set(fd: RawFd) {
    if let Some(mark) = mark(fd) {
        mark.fetch_or(SET, Ordering::AcqRel);
    }
}

/// Whether `fd` is an epoll set that the process has made.
#[inline]
pub fn is_set(fd: RawFd) -> bool {
    marked(fd, SET | EPOLL)
}

/// Notes that `number` is another one of the epoll set `set`.
pub fn note_duplicate(set: RawFd, number: RawFd) {
    if let (Some(of), Some(mark)) = (mark(set), mark(number)) {
        let marks = of.fetch_or(DUPLICATE, Ordering::AcqRel) & (SET | EPOLL);
        mark.fetch_or(marks | DUPLICATE, Ordering::AcqRel);
    }
}

/// Notes that the epoll set `fd` has no other number.
pub fn note_single(fd: RawFd) {
    if let Some(mark) = mark(fd) {
        mark.fetch_and(!DUPLICATE, Ordering::AcqRel);
    }
}

/// Whether `fd` is one of several numbers of an epoll set.
#[inline]
pub fn is_duplicate(fd: RawFd) -> bool {
    marked(fd, DUPLICATE)
}

/// Forgets that `fd` was an epoll set.
pub fn forget_set(fd: RawFd) {
    if let Some(mark) = mark(fd) {
        mark.fetch_and(!(SET | EPOLL | DUPLICATE), Ordering::AcqRel);
    }
}

/// Forgets all numbers from `first` to `last`, and gives back the sockets among them.
pub fn remove_range(first: u32, last: u32) -> Vec<(RawFd, Arc<Socket>)> {
    let held = SOCKETS.read_recursive().len() as u32;
    let beyond = last.saturating_add(1).min(held);
    (first..beyond)
        .filter_map(|fd| Some((fd as RawFd, remove(fd as RawFd)?)))
        .collect()
}
