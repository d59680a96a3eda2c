//! Starting a program that is nobody's child.
//!
//! fork(2) would copy the page tables of a program of any size, and run handlers that it has
//! registered. So the new process begins in this one's memory (CLONE_VM), while the thread that
//! makes it waits (CLONE_VFORK); and a *middleman* made in the same way makes it and ends, so that it
//! is an orphan at once. Of the middleman the program hears nothing: it ends without a signal, and
//! only wait(2) with `__WALL` would find it.
//!
//! Both have this process's table of descriptors (CLONE_FILES), not a copy: what the program closes meanwhile is closed.
//! The new process leaves the table before it executes the program.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicI32, Ordering};

use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, Rlimit, setrlimit};
use syscalls::{Sysno, syscall3, syscall4};

use super::{descriptor, limit, raw, signal};

/// The number under which the program finds the descriptor it is given.
pub const GIVEN: RawFd = 3;
/// Numbers from here on are out of the way of those.
const ABOVE: RawFd = 10;
/// How both processes are made.
const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_VFORK | libc::CLONE_UNTRACED;
/// Room for the few calls that run on a borrowed stack, in bytes.
const STACK: usize = 32 * 1024;

/// Starts `path` with these arguments and environment, in a session of its own, with `given` as
/// descriptor [`GIVEN`] and /dev/null for standard input, output and error. Returns when it has begun
/// to run. All else, such as signals and the working directory, it has from this process.
///
/// # Errors
/// What open(2), clone(2) and execve(2) say.
pub fn spawn_orphan(
    path: &CStr,
    arguments: &[&CStr],
    environment: &[&CStr],
    given: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    let mut stacks = [Stack::new(), Stack::new()];
    let [first, second] = &mut stacks;
    let order = Order {
        path: path.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        given: given.as_raw_fd(),
        stack: second.top(),
        error: AtomicI32::new(0),
    };
    signal::with_all_blocked(|| {
        let middleman = clone_here(middleman, first.top(), &order)?;
        wait_for(middleman);
        Ok(())
    })?;
    match order.error.load(Ordering::Relaxed) {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

/// What the new process is to do. It lives on the stack of the thread that waits for it.
struct Order {
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    given: RawFd,
    /// The top of its stack.
    stack: *mut c_void,
    /// Why it came to nothing.
    error: AtomicI32,
}

impl Order {
    fn fail(&self, errno: Errno) -> c_int {
        self.error.store(errno.raw_os_error(), Ordering::Relaxed);
        1
    }
}

#[repr(align(16))]
struct Stack(Box<[u128]>);

impl Stack {
    fn new() -> Self {
        Self(vec![0; STACK / size_of::<u128>()].into_boxed_slice())
    }

    fn top(&mut self) -> *mut c_void {
        self.0.as_mut_ptr_range().end.cast()
    }
}

/// Pointers to the strings, and null.
fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    let end = core::iter::once(core::ptr::null());
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain(end)
        .collect()
}

/// Runs `work` in a process that has this one's memory, and waits until it has ended or become
/// another program; its number.
fn clone_here(
    work: extern "C" fn(*mut c_void) -> c_int,
    stack: *mut c_void,
    order: &Order,
) -> Result<i32, Errno> {
    let order = core::ptr::from_ref(order).cast_mut().cast();
    // SAFETY: the stack is large enough for the little that runs on it, aligned, and nobody else's;
    // it and the order outlive the new process's use of them, for which this thread waits. All
    // signals are blocked, so that no handler of the program's runs there.
    let process = unsafe { libc::clone(work, stack, FLAGS, order) };
    match process {
        -1 => Err(Errno::AGAIN),
        process => Ok(process),
    }
}

fn wait_for(middleman: i32) {
    // SAFETY: no memory is passed.
    let wait = || unsafe {
        syscall4(
            Sysno::wait4,
            middleman as usize,
            0,
            libc::__WALL as usize,
            0,
        )
    };
    while wait() == Err(syscalls::Errno::EINTR) {}
}

extern "C" fn middleman(order: *mut c_void) -> c_int {
    // SAFETY: `clone_here` was given an order that outlives this process.
    let order = unsafe { &*order.cast::<Order>() };
    // It cannot fail: this process is new, and so leads no group.
    let _ = rustix::process::setsid();
    match clone_here(orphan, order.stack, order) {
        Ok(_) => 0,
        Err(errno) => order.fail(errno),
    }
}

extern "C" fn orphan(order: *mut c_void) -> c_int {
    // SAFETY: as in `middleman`.
    let order = unsafe { &*order.cast::<Order>() };
    raise_limits();
    if let Err(errno) =
        part_with_all_but(order.given as u32).and_then(|()| arrange_descriptors(order.given))
    {
        return order.fail(errno);
    }
    // SAFETY: the path is a C string, and both lists are of C strings and end in null.
    let executed = unsafe {
        syscall3(
            Sysno::execve,
            order.path as usize,
            order.arguments as usize,
            order.environment as usize,
        )
    };
    match executed {
        Ok(_) => 0,
        Err(errno) => order.fail(Errno::from_raw_os_error(errno.into_raw())),
    }
}

/// The new program is there for others, too: as little memory and as few descriptors as this one's program has left
/// itself are none of its.
fn raise_limits() {
    for (resource, enough) in [
        (Resource::As, u64::MAX),
        (Resource::Data, u64::MAX),
        // A table of all that some systems allow would take megabytes.
        (Resource::Nofile, descriptor::REGION),
    ] {
        let Rlimit { current, maximum } = limit::of(resource);
        let [soft, hard] = [current, maximum].map(|limit| limit.unwrap_or(u64::MAX));
        let raised = soft.max(hard.min(enough));
        // It is no more than what is allowed.
        let _ = setrlimit(
            resource,
            Rlimit {
                current: (raised != u64::MAX).then_some(raised),
                maximum,
            },
        );
    }
}

/// Takes a table of descriptors of its own, with nothing but `given` in it. The numbers below are the program's: no copy
/// of them outlives the call.
///
/// # Errors
/// Those of close_range(2): nothing was closed.
fn part_with_all_but(given: u32) -> Result<(), Errno> {
    let unshare = libc::CLOSE_RANGE_UNSHARE as usize;
    let above = (given + 1, u32::MAX);
    let Some(last) = given.checked_sub(1) else {
        return close_range(above, unshare);
    };
    close_range((0, last), unshare)?;
    close_range(above, 0)
}

fn close_range((first, last): (u32, u32), flags: usize) -> Result<(), Errno> {
    // SAFETY: no memory is passed. What owns the descriptors has them in another table.
    let closed = unsafe { syscall3(Sysno::close_range, first as usize, last as usize, flags) };
    closed
        .map(drop)
        .map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))
}

/// Puts in place what the new program is to have. All else is closed on exec.
fn arrange_descriptors(given: RawFd) -> Result<(), Errno> {
    let given = fcntl_dupfd_cloexec(super::wait::borrow(given), ABOVE)?;
    let opened = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let null = fcntl_dupfd_cloexec(&opened, ABOVE)?;
    // Its number is about to be another's.
    drop(opened);
    for (from, to) in [(&null, 0), (&null, 1), (&null, 2), (&given, GIVEN)] {
        raw::dup3(from.as_raw_fd(), to, 0)?;
    }
    core::mem::forget((null, given));
    Ok(())
}
