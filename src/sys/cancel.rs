//! Cancellation (pthread_cancel(3)) of threads that wait in calls of ours.
//!
//! The C library cancels a thread that waits in a system call of its own. Of ours it knows nothing,
//! and until glibc 2.41 it would not even wake them. So whoever cancels wakes a thread that is noted
//! as waiting: by the C library's own signal for it, whose handler changes nothing then. The call ends,
//! and the thread with it where none of our frames has anything left to drop ([`point`]).
//!
//! 1. A thread notes that it waits before it looks whether it is called; who calls does the reverse,
//!    with a barrier on all threads between the two. So one of them sees the other.
//! 2. A signal may still come just before the thread sleeps. So it is sent until it is heard.
//! 3. A thread that may be cancelled at any moment may not be within a call of ours ([`deferred`]): it
//!    would be unwound with a lock in its hands.

use core::cell::Cell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};
use core::time::Duration;
use rustix::io::Errno;
use std::sync::OnceLock;
use syscalls::{Sysno, syscall2, syscall3};

use super::lock::Mutex;
use super::raw;
use super::wait::poll_for;

/// Whether the program has cancelled any thread yet.
static CANCELS: AtomicBool = AtomicBool::new(false);

/// The threads that have ever waited, and records of some that have ended, for others.
static WAITERS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// Whether any thread has ever asked to be cancelled at any moment.
static AT_ANY_MOMENT: AtomicBool = AtomicBool::new(false);

struct Record {
    /// `None`: it has ended.
    thread: Option<libc::pthread_t>,
    waiter: &'static Waiter,
}

#[derive(Default)]
struct Waiter {
    /// As the kernel counts; another one in a forked child.
    number: AtomicU32,
    /// It is about to sleep, or does.
    waits: AtomicBool,
    /// It is cancelled, and has not looked yet.
    called: AtomicBool,
}

/// What a thread knows of its own record.
#[derive(Clone, Copy)]
enum Own {
    Unknown,
    Noted(&'static Waiter),
    /// There is none: the thread is ending, or there was no memory for it.
    Nothing,
}

thread_local! {
    // Without a destructor: where the C library has no memory for one it ends the process.
    static OWN: Cell<Own> = const { Cell::new(Own::Unknown) };
}

/// Whose destructor says that a thread ends.
static ENDS: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();

fn ends() -> Option<libc::pthread_key_t> {
    *ENDS.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the key goes to a place of its type; the destructor is there as long as we are.
        let error = unsafe { libc::pthread_key_create(&raw mut key, Some(forget)) };
        (error == 0).then_some(key)
    })
}

/// The thread ends: its record is the next one's.
unsafe extern "C" fn forget(_: *mut c_void) {
    if let Own::Noted(waiter) = OWN.replace(Own::Nothing) {
        let mut waiters = WAITERS.lock();
        let own = |record: &&mut Record| core::ptr::eq(record.waiter, waiter);
        if let Some(record) = waiters.iter_mut().find(own) {
            record.thread = None;
        }
    }
}

/// The thread's record, from now to its end.
fn own() -> Option<&'static Waiter> {
    match OWN.get() {
        Own::Unknown => {
            // For a signal's handler that runs meanwhile.
            OWN.set(Own::Nothing);
            let waiter = note()?;
            OWN.set(Own::Noted(waiter));
            Some(waiter)
        }
        Own::Noted(waiter) => Some(waiter),
        Own::Nothing => None,
    }
}

/// Notes the thread. `None`: there is no memory for it.
fn note() -> Option<&'static Waiter> {
    let key = ends()?;
    // SAFETY: the value is for `forget`, which takes no notice of it but that it is not null.
    if unsafe { libc::pthread_setspecific(key, (&raw const CANCELS).cast()) } != 0 {
        return None;
    }
    // SAFETY: takes nothing.
    let thread = Some(unsafe { libc::pthread_self() });
    let mut waiters = WAITERS.lock();
    let waiter = match waiters.iter_mut().find(|record| record.thread.is_none()) {
        Some(record) => {
            record.thread = thread;
            record.waiter
        }
        None => {
            let mut fresh = Vec::new();
            fresh.try_reserve_exact(1).ok()?;
            waiters.try_reserve(1).ok()?;
            fresh.push(Waiter::default());
            let waiter: &'static Waiter = fresh.leak().first()?;
            waiters.push(Record { thread, waiter });
            waiter
        }
    };
    waiter.number.store(raw::thread_id(), Ordering::Relaxed);
    waiter.waits.store(false, Ordering::Relaxed);
    waiter.called.store(false, Ordering::Relaxed);
    Some(waiter)
}

unsafe extern "C-unwind" {
    /// Ends the thread if it is cancelled (pthread_testcancel(3)).
    fn pthread_testcancel();
    fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
}

/// The C library's pthread_setcanceltype(3).
pub type SetType = unsafe extern "C-unwind" fn(i32, *mut i32) -> i32;

/// PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DISABLE of pthread.h.
const ENABLE: i32 = 0;
const DISABLE: i32 = 1;
/// PTHREAD_CANCEL_DEFERRED, PTHREAD_CANCEL_ASYNCHRONOUS of pthread.h.
const DEFERRED: i32 = 0;
const ASYNCHRONOUS: i32 = 1;
/// The C library's signal for cancellation, __SIGRTMIN of the kernel's.
const SIGCANCEL: usize = 32;
/// How often it is sent, and how long apart.
const ATTEMPTS: usize = 200;
const APART: Duration = Duration::from_micros(100);

/// A cancellation point: ends the thread if it was cancelled. No caller has anything to drop.
#[inline]
pub fn point() {
    if CANCELS.load(Ordering::Relaxed) {
        // SAFETY: takes nothing; what it may unwind has nothing to drop.
        unsafe { pthread_testcancel() };
    }
}

/// Whoever asks for it may be cancelled at any moment outside of calls of ours; before it is.
pub fn choose(kind: i32) {
    if kind == ASYNCHRONOUS {
        AT_ANY_MOMENT.store(true, Ordering::Relaxed);
    }
}

/// Runs a call of ours, in which the thread is not cancelled. It may be as it was once that has
/// returned: so neither `call` nor the caller leaves anything to drop.
pub fn deferred<T>(set_type: impl FnOnce() -> SetType, call: impl FnOnce() -> T) -> T {
    if !AT_ANY_MOMENT.load(Ordering::Relaxed) {
        return call();
    }
    let (set_type, mut before) = (set_type(), DEFERRED);
    // SAFETY: the type before goes to an int that lives across the call.
    unsafe { set_type(DEFERRED, &raw mut before) };
    let value = call();
    if before == ASYNCHRONOUS {
        // SAFETY: the type before is not asked for; what either may unwind has nothing to drop.
        unsafe {
            set_type(before, core::ptr::null_mut());
            pthread_testcancel();
        }
    }
    value
}

/// Runs `sleep`, a system call, so that a cancellation interrupts it. INTR.
pub fn interruptible<T>(sleep: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let Some(own) = own() else {
        return sleep();
    };
    own.waits.store(true, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    let result = if own.called.load(Ordering::Relaxed) {
        Err(Errno::INTR)
    } else {
        sleep()
    };
    own.waits.store(false, Ordering::Relaxed);
    result
}

/// After a wait that was interrupted: whether the thread was called, and what to do then. `Some(true)`:
/// it is to end; `Some(false)`: it does not want to know now (pthread_setcancelstate(3)).
pub fn called() -> Option<bool> {
    let called = own().is_some_and(|own| own.called.swap(false, Ordering::Relaxed));
    called.then(|| {
        let mut state = ENABLE;
        // SAFETY: the old state goes to an int that lives across the call.
        unsafe {
            pthread_setcancelstate(DISABLE, &raw mut state);
            pthread_setcancelstate(state, core::ptr::null_mut());
        }
        state == ENABLE
    })
}

/// Has every thread ask at its cancellation points from now on; before a thread is cancelled.
pub fn prepare() {
    CANCELS.store(true, Ordering::Relaxed);
}

/// Wakes `thread`, which was cancelled, if it waits in a call of ours.
pub fn wake(thread: libc::pthread_t) {
    let called = with_record(thread, |waiter| {
        waiter.called.store(true, Ordering::Relaxed);
    });
    if called.is_none() {
        return;
    }
    all_threads_see();
    for _ in 0..ATTEMPTS {
        if with_record(thread, send) != Some(true) {
            break;
        }
        let _ = poll_for(&mut [], Some(APART), None);
    }
}

/// Does something to the thread's record, which it keeps meanwhile. `None`: it has none.
fn with_record<T>(thread: libc::pthread_t, action: impl FnOnce(&Waiter) -> T) -> Option<T> {
    let waiters = WAITERS.lock();
    let record = waiters.iter().find(|record| record.thread == Some(thread));
    record.map(|record| action(record.waiter))
}

/// Sends the signal to a thread that has not heard it yet; whether it may have to be sent again.
fn send(waiter: &Waiter) -> bool {
    if !waiter.called.load(Ordering::Relaxed) || !waiter.waits.load(Ordering::Relaxed) {
        return false;
    }
    // SAFETY: no memory is passed; the C library has a handler for it once a thread was cancelled.
    let _ = unsafe {
        syscall3(
            Sysno::tgkill,
            raw::process_id() as usize,
            waiter.number.load(Ordering::Relaxed) as usize,
            SIGCANCEL,
        )
    };
    true
}

/// A barrier on all threads of the process (membarrier(2)).
fn all_threads_see() {
    const EXPEDITED: usize = 1 << 3;
    const REGISTER_EXPEDITED: usize = 1 << 4;
    // SAFETY: no memory is passed.
    unsafe {
        let _ = syscall2(Sysno::membarrier, REGISTER_EXPEDITED, 0);
        let _ = syscall2(Sysno::membarrier, EXPEDITED, 0);
    }
}

/// Before fork(2): keeps other threads from changing the list, so that the child finds it whole.
pub fn hold() {
    core::mem::forget(WAITERS.lock());
}

/// After it, in the parent.
///
/// # Safety
/// The thread has called [`hold`].
pub unsafe fn release() {
    // SAFETY: as the caller says.
    unsafe { WAITERS.force_unlock() };
}

/// After it, in the child: the other threads are not here.
///
/// # Safety
/// As of [`release`].
pub unsafe fn release_in_child() {
    // SAFETY: as the caller says.
    unsafe { WAITERS.force_unlock() };
    // SAFETY: takes nothing.
    let own = unsafe { libc::pthread_self() };
    for record in WAITERS.lock().iter_mut() {
        record.thread = record.thread.filter(|thread| *thread == own);
        record
            .waiter
            .number
            .store(raw::thread_id(), Ordering::Relaxed);
    }
}
