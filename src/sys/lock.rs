//! Locks that a forked child can go on with.
//!
//! A lock is one word, and who has to wait does so in the kernel (futex(2)): there is no list of
//! waiters anywhere. So a child in which the holder and the waiters of before do not exist makes a
//! lock good by clearing its word ([`free`], [`free_rw`]).

use core::sync::atomic::{AtomicU32, Ordering};
use rustix::thread::futex;

/// A mutual exclusion.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// The right to what a [`Mutex`] holds.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
/// Many readers or one writer. Readers never wait for a writer that waits, so a thread may read
/// twice.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// How often a thread looks at a held lock before it sleeps.
const SPINS: usize = 100;

/// Nobody has the lock; somebody; somebody, and others may sleep.
const FREE: u32 = 0;
const HELD: u32 = 1;
const AWAITED: u32 = 2;

/// The word of a [`Mutex`].
pub struct RawMutex(AtomicU32);

// SAFETY: only who has replaced FREE by something else has the lock, until it puts FREE back.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: Self = Self(AtomicU32::new(FREE));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let exchange = self
            .0
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        exchange.is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            wake(&self.0, 1);
        }
    }
}

impl RawMutex {
    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS {
            if self.0.load(Ordering::Relaxed) == FREE && lock_api::RawMutex::try_lock(self) {
                return;
            }
            core::hint::spin_loop();
        }
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            sleep(&self.0, AWAITED);
        }
    }
}

/// The word's highest bit: a writer has the lock. Its next: somebody may sleep. The others count
/// readers.
const WRITER: u32 = 1 << 31;
const SLEEPERS: u32 = 1 << 30;
const READERS: u32 = SLEEPERS - 1;

/// The word of an [`RwLock`].
pub struct RawRwLock(AtomicU32);

// SAFETY: readers are counted only while WRITER is not set, and WRITER is set only while there is
// no reader and no writer.
unsafe impl lock_api::RawRwLock for RawRwLock {
    const INIT: Self = Self(AtomicU32::new(0));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock_shared(&self) {
        self.lock_by(Self::try_lock_shared);
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        let add = |word| (word & WRITER == 0 && word & READERS < READERS).then_some(word + 1);
        let update = self
            .0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, add);
        update.is_ok()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        let word = self.0.fetch_sub(1, Ordering::Release);
        if word & READERS == 1 && word & SLEEPERS != 0 {
            self.wake_all();
        }
    }

    #[inline]
    fn lock_exclusive(&self) {
        self.lock_by(Self::try_lock_exclusive);
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        let take = |word| (word & (WRITER | READERS) == 0).then_some(word | WRITER);
        let update = self
            .0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        update.is_ok()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        if self.0.fetch_and(!WRITER, Ordering::Release) & SLEEPERS != 0 {
            self.wake_all();
        }
    }
}

// SAFETY: a reader waits for writers that have the lock, and for nothing else.
unsafe impl lock_api::RawRwLockRecursive for RawRwLock {
    #[inline]
    fn lock_shared_recursive(&self) {
        lock_api::RawRwLock::lock_shared(self);
    }

    #[inline]
    fn try_lock_shared_recursive(&self) -> bool {
        lock_api::RawRwLock::try_lock_shared(self)
    }
}

impl RawRwLock {
    #[inline]
    fn lock_by(&self, attempt: impl Fn(&Self) -> bool) {
        if !attempt(self) {
            self.wait(attempt);
        }
    }

    #[cold]
    fn wait(&self, attempt: impl Fn(&Self) -> bool) {
        for _ in 0..SPINS {
            core::hint::spin_loop();
            if attempt(self) {
                return;
            }
        }
        loop {
            let word = self.0.fetch_or(SLEEPERS, Ordering::Relaxed) | SLEEPERS;
            if attempt(self) {
                return;
            }
            sleep(&self.0, word);
        }
    }

    #[cold]
    fn wake_all(&self) {
        self.0.fetch_and(!SLEEPERS, Ordering::Relaxed);
        wake(&self.0, i32::MAX as u32);
    }
}

/// Makes a lock free that a thread of the parent had at the fork.
///
/// # Safety
/// The calling thread is the only one of its process, and has no guard of the lock.
pub unsafe fn free<T>(mutex: &Mutex<T>) {
    // SAFETY: as the caller says.
    unsafe { mutex.raw() }.0.store(FREE, Ordering::Relaxed);
}

/// As [`free`].
///
/// # Safety
/// As there.
pub unsafe fn free_rw<T>(lock: &RwLock<T>) {
    // SAFETY: as the caller says.
    unsafe { lock.raw() }.0.store(0, Ordering::Relaxed);
}

/// Sleeps while the word is `expected`, at most until somebody wakes.
fn sleep(word: &AtomicU32, expected: u32) {
    // Another value, a signal: the caller looks again in any case.
    let _ = futex::wait(word, futex::Flags::PRIVATE, expected, None);
}

fn wake(word: &AtomicU32, count: u32) {
    // Fails for addresses that are none.
    let _ = futex::wake(word, futex::Flags::PRIVATE, count);
}
