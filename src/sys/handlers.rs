//! The program's signal handlers, and when they run.
//!
//! Once there is a stack, the handler the kernel knows is ours ([`on_signal`]), and runs the program's.
//! So that
//!
//! 1. no handler runs while its thread is in a *section*, which has a lock or changes what others
//!    see: the signal is sent anew, blocked, and let in when the section ends. A handler may leave by
//!    longjmp(3), which would leave the lock taken for good;
//! 2. a thread that sleeps in a wait of ours is made to give up what it holds meanwhile before the
//!    handler runs, which may take long, wait itself, or never return. Back in the wait it does not
//!    sleep: not either if the handler ran just before the system call, which then finds a descriptor
//!    that is none ([`polling`]);
//! 3. a call knows that a handler ran, also when it did so between two of the call's waits, and
//!    whether that restarts calls (SA_RESTART).
//!
//! The program reads back what it has set ([`theirs`]). Handlers of faults, which are about the
//! instruction that caused them, and those set past the C library after the stack started, are left
//! alone. The state of a thread has no destructor, so that a handler may use it at any time.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, compiler_fence};
use rustix::io::Errno;
use syscalls::{Sysno, syscall4};

use super::raw;
use super::signal::{Set, action, block, set_action, unblock};

/// Signals there are; 0 is none.
const COUNT: usize = 65;
/// Those that are about an instruction, and abort(3)'s.
const FAULTS: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];
/// The C library's own: cancellation, setuid(2) of all threads.
const INTERNAL: core::ops::RangeInclusive<c_int> = 32..=33;

/// No descriptor has this number (fs.nr_open).
const NOBODY: c_int = c_int::MAX;

/// Whether handlers are ours by now.
static ON: AtomicBool = AtomicBool::new(false);
/// The program's handlers, and their flags.
static HANDLERS: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];
static FLAGS: [AtomicU32; COUNT] = [const { AtomicU32::new(0) }; COUNT];
/// What gives up what a sleeping thread holds; a `fn(Sleep)`.
static GIVE_UP: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// How a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// In a wait of its process's stack.
    Here {
        /// For itself, in a room of that number. `None`: it drives for all.
        room: Option<u32>,
        /// The name of the socket in which its call sleeps.
        socket: Option<u64>,
    },
    /// For what another process's stack does.
    Abroad {
        /// The number of its bed.
        bed: u32,
    },
    /// The same where there is no other thread, and it holds nothing.
    Alone,
}

/// How many handlers have run in a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    all: u32,
    /// Without SA_RESTART.
    ending: u32,
}

struct Thread {
    in_section: Cell<bool>,
    /// Signals that wait for the section's end.
    deferred: Cell<Set>,
    sleeps: Cell<Option<Sleep>>,
    /// A handler has run since it began to.
    is_hurried: Cell<bool>,
    /// The first entry of the poll(2) that it sleeps in.
    polled: Cell<*mut libc::pollfd>,
    runs: Cell<Runs>,
}

impl Thread {
    /// The sleep ends, or does not begin.
    fn hurry(&self) {
        self.is_hurried.set(true);
        compiler_fence(Ordering::SeqCst);
        let first = self.polled.get();
        if !first.is_null() {
            // SAFETY: the thread itself is about to make the call, or in it, and the entry lives across that.
            unsafe { (&raw mut (*first).fd).write_volatile(NOBODY) };
        }
    }
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            in_section: Cell::new(false),
            deferred: Cell::new(0),
            sleeps: Cell::new(None),
            is_hurried: Cell::new(false),
            polled: Cell::new(core::ptr::null_mut()),
            runs: Cell::new(Runs { all: 0, ending: 0 }),
        }
    };
}

/// Begins a section; whether the thread is in one already.
#[inline]
pub fn enter() -> bool {
    let already = THREAD.with(|thread| thread.in_section.replace(true));
    // A handler that runs on this thread sees it before whatever the section does.
    compiler_fence(Ordering::SeqCst);
    already
}

/// Ends the section: runs the handlers that waited for that.
#[inline]
pub fn leave() {
    compiler_fence(Ordering::SeqCst);
    THREAD.with(|thread| {
        thread.in_section.set(false);
        compiler_fence(Ordering::SeqCst);
        if thread.deferred.get() != 0 {
            unblock(thread.deferred.replace(0));
        }
    });
}

/// Whether the thread is in a section.
#[inline]
pub fn in_section() -> bool {
    THREAD.with(|thread| thread.in_section.get())
}

/// Runs `work` as a section of its own, or as part of the one the thread is in.
pub fn section<T>(work: impl FnOnce() -> T) -> T {
    let already = enter();
    let result = work();
    if !already {
        leave();
    }
    result
}

/// The handlers that have run so far in this thread.
#[inline]
pub fn runs() -> Runs {
    THREAD.with(|thread| thread.runs.get())
}

/// Whether any handler has run since, and if so, whether all of these restart calls.
#[inline]
pub fn ran(since: Runs) -> Option<bool> {
    let now = runs();
    (now != since).then_some(now.ending == since.ending)
}

/// Leaves the section for as long as `sleep` takes. `None`: a handler has run, and what the thread
/// holds was given up.
pub fn asleep<T>(how: Sleep, sleep: impl FnOnce() -> T) -> Option<T> {
    THREAD.with(|thread| {
        // A handler that sleeps itself may be on its way back to another call.
        let hurried = thread.is_hurried.replace(false);
        let polled = thread.polled.replace(core::ptr::null_mut());
        thread.sleeps.set(Some(how));
        leave();
        // Those that waited for the section's end have run.
        let result = thread.sleeps.get().is_some().then(sleep);
        compiler_fence(Ordering::SeqCst);
        let kept = thread.sleeps.take().is_some();
        enter();
        thread.is_hurried.set(hurried);
        thread.polled.set(polled);
        result.filter(|_| kept)
    })
}

/// From now on a handler that runs has what the thread holds given up, as in a sleep, until it [rises](rise).
pub fn lie_down(how: Sleep) {
    THREAD.with(|thread| {
        thread.is_hurried.set(false);
        // A sleep that a handler has left for good may have set it.
        thread.polled.set(core::ptr::null_mut());
        thread.sleeps.set(Some(how));
    });
}

/// Whether no handler has run since it lay down.
pub fn lies_down() -> bool {
    THREAD.with(|thread| thread.sleeps.get().is_some())
}

/// The end of that; whether none has.
pub fn rise() -> bool {
    THREAD.with(|thread| thread.sleeps.take().is_some())
}

/// Makes a call of poll(2) whose first entry is `first`, and which does not sleep if a handler runs before: then that entry
/// is of a descriptor that is none. EINTR: one has run since the thread is [`asleep`].
pub fn polling<T>(
    first: *mut libc::pollfd,
    poll: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    THREAD.with(|thread| {
        thread.polled.set(first);
        compiler_fence(Ordering::SeqCst);
        let result = match thread.is_hurried.get() {
            true => Err(Errno::INTR),
            false => poll(),
        };
        compiler_fence(Ordering::SeqCst);
        thread.polled.set(core::ptr::null_mut());
        result
    })
}

/// Whether handlers wait for the section's end.
#[inline]
pub fn any_wait() -> bool {
    THREAD.with(|thread| thread.deferred.get() != 0)
}

fn give_up(how: Sleep) {
    let function = GIVE_UP.load(Ordering::Acquire);
    if !function.is_null() {
        // SAFETY: only `take_over` stores there, and a `fn(Sleep)`.
        let function: fn(Sleep) = unsafe { core::mem::transmute(function) };
        function(how);
    }
}

/// From now on the kernel knows our handler in place of the program's. `give_up` is called, in a
/// handler, for a thread that is [`asleep`].
pub fn take_over(give_up: fn(Sleep)) {
    GIVE_UP.store(give_up as *mut (), Ordering::Release);
    ON.store(true, Ordering::Release);
    (1..COUNT as c_int).for_each(adopt);
}

fn ours() -> usize {
    on_signal as extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize
}

/// Has the kernel call ours in place of the handler the program has just set, if it has.
pub fn adopt(signal: c_int) {
    if !ON.load(Ordering::Acquire) || FAULTS.contains(&signal) || INTERNAL.contains(&signal) {
        return;
    }
    let Some(mut held) = action(signal) else {
        return;
    };
    let at = signal as usize;
    if held.handler == ours() {
        // siginterrupt(3) changes the flag of whatever is set.
        let flag = libc::SA_RESTART as u32;
        let flags = FLAGS[at].load(Ordering::Relaxed) & !flag | held.flags as u32 & flag;
        FLAGS[at].store(flags, Ordering::Relaxed);
    } else if held.handler > libc::SIG_IGN {
        HANDLERS[at].store(held.handler, Ordering::Relaxed);
        FLAGS[at].store(held.flags as u32, Ordering::Relaxed);
        held.handler = ours();
        // Resetting is ours to do: a signal that is sent anew must find its handler.
        held.flags = held.flags & !(RESET_HAND as u64) | libc::SA_SIGINFO as u64;
        set_action(signal, &held);
    }
}

const RESET_HAND: u32 = libc::SA_RESETHAND as u32;

/// What the program has set for a signal.
pub struct Theirs(usize, c_int);

impl Theirs {
    /// Handler and flags, where the kernel says that `handler` is set and that is ours.
    pub fn of(self, handler: usize) -> Option<(usize, c_int)> {
        (handler == ours()).then_some((self.0, self.1))
    }
}

/// What the program has set for `signal`; matters where the kernel has ours.
pub fn theirs(signal: c_int) -> Theirs {
    let at = usize::try_from(signal).ok().filter(|&at| at < COUNT);
    let at = at.unwrap_or(0);
    let flags = FLAGS[at].load(Ordering::Relaxed);
    Theirs(HANDLERS[at].load(Ordering::Relaxed), flags as c_int)
}

type Handler = extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// The handler of all the program's signals but its faults.
extern "C-unwind" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's arguments.
    if in_section() && unsafe { defer(signal, info, context) } {
        return;
    }
    let at = signal as usize;
    let flags = FLAGS[at].load(Ordering::Relaxed);
    let slept = THREAD.with(|thread| {
        let slept = thread.sleeps.take();
        if let Some(how) = slept {
            give_up(how);
        }
        let Runs { all, ending } = thread.runs.get();
        let ends = flags & libc::SA_RESTART as u32 == 0;
        thread.runs.set(Runs {
            all: all.wrapping_add(1),
            ending: ending.wrapping_add(u32::from(ends)),
        });
        slept
    });
    if flags & RESET_HAND != 0
        && let Some(mut held) = action(signal)
    {
        held.handler = libc::SIG_DFL;
        held.flags = u64::from(flags);
        set_action(signal, &held);
    }
    let handler = HANDLERS[at].load(Ordering::Relaxed);
    // SAFETY: a function the program has set as a handler; who takes one argument leaves the others.
    let handler: Handler = unsafe { core::mem::transmute(handler) };
    handler(signal, info, context);
    if slept.is_some() {
        // Only now: the handler may have slept itself.
        THREAD.with(Thread::hurry);
    }
}

/// Sends the signal anew, to be taken when the section ends; whether that can be done.
///
/// # Safety
/// The arguments are those of a handler.
unsafe fn defer(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    let bit: Set = 1 << (signal - 1);
    // Whatever the handler's flags say, not again now.
    block(bit);
    // SAFETY: the kernel reads what it has itself given.
    let sent = unsafe {
        syscall4(
            Sysno::rt_tgsigqueueinfo,
            raw::process_id() as usize,
            raw::thread_id() as usize,
            signal as usize,
            info as usize,
        )
    };
    if sent.is_err() {
        // SIGPENDING's limit is reached.
        return false;
    }
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel's own context, whose mask is put in force when the handler returns.
    unsafe { libc::sigaddset(&raw mut (*context).uc_sigmask, signal) };
    THREAD.with(|thread| thread.deferred.set(thread.deferred.get() | bit));
    true
}
