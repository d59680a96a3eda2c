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

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};
use core::time::Duration;
use rustix::io::Errno;
use std::sync::Arc;
use syscalls::{Sysno, syscall2, syscall3};

use super::lock::Mutex;
use super::raw;
use super::wait::poll_for;

/// Whether the program has cancelled any thread yet.
static CANCELS: AtomicBool = AtomicBool::new(false);

/// The threads that have ever waited.
static WAITERS: Mutex<Vec<Arc<Waiter>>> = Mutex::new(Vec::new());

struct Waiter {
    thread: libc::pthread_t,
    /// As the kernel counts; another one in a forked child.
    number: AtomicU32,
    /// It is about to sleep, or does.
    waits: AtomicBool,
    /// It is cancelled, and has not looked yet.
    called: AtomicBool,
}

/// What the thread's end takes from the list.
struct Listed(Arc<Waiter>);

impl Drop for Listed {
    fn drop(&mut self) {
        WAITERS
            .lock()
            .retain(|waiter| !Arc::ptr_eq(waiter, &self.0));
    }
}

thread_local! {
    static OWN: Listed = {
        let own = Arc::new(Waiter {
            // SAFETY: takes nothing.
            thread: unsafe { libc::pthread_self() },
            number: AtomicU32::new(raw::thread_id()),
            waits: AtomicBool::new(false),
            called: AtomicBool::new(false),
        });
        WAITERS.lock().push(own.clone());
        Listed(own)
    };
}

unsafe extern "C-unwind" {
    /// Ends the thread if it is cancelled (pthread_testcancel(3)).
    fn pthread_testcancel();
    fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
}

/// PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DISABLE of pthread.h.
const ENABLE: i32 = 0;
const DISABLE: i32 = 1;
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

/// Runs `sleep`, a system call, so that a cancellation interrupts it. INTR.
pub fn interruptible<T>(sleep: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    // A thread that is ending has nothing to be cancelled any more.
    let Ok(own) = OWN.try_with(|own| Arc::as_ptr(&own.0)) else {
        return sleep();
    };
    // SAFETY: the thread's own record, which its end alone lets go.
    let own = unsafe { &*own };
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
    let called = OWN
        .try_with(|own| own.0.called.swap(false, Ordering::Relaxed))
        .unwrap_or(false);
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
    let waiters = WAITERS.lock();
    let Some(waiter) = waiters.iter().find(|waiter| waiter.thread == thread) else {
        return;
    };
    let waiter = waiter.clone();
    drop(waiters);
    waiter.called.store(true, Ordering::Relaxed);
    all_threads_see();
    for _ in 0..ATTEMPTS {
        let heard = !waiter.called.load(Ordering::Relaxed);
        if heard || !waiter.waits.load(Ordering::Relaxed) {
            break;
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
        let _ = poll_for(&mut [], Some(APART), None);
    }
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
    let mut waiters = WAITERS.lock();
    waiters.retain(|waiter| waiter.thread == own);
    for waiter in waiters.iter() {
        waiter.number.store(raw::thread_id(), Ordering::Relaxed);
    }
}
