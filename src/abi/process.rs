//! What a process's limits, its memory and its end have to do with sockets: getrlimit(2), setrlimit(2),
//! sysconf(3), perror(3), mlockall(2), _exit(2), and the library's own beginning and end.

use core::ffi::{c_char, c_int, c_long, c_void};

use super::border::{answer, read, result, write};
use super::next;
use crate::driver;
use crate::socket::table;
use crate::sys::descriptor::{self, ProgramLimit};
use crate::sys::{cancel, process, raw};

type Resource = libc::__rlimit_resource_t;

/// getrlimit(2): the program sees the limit on descriptors it believes to have.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getrlimit(resource: Resource, limit: *mut libc::rlimit) -> c_int {
    match descriptor::program_limit() {
        Some(held) if resource == libc::RLIMIT_NOFILE => answer(|| {
            let value = libc::rlimit {
                rlim_cur: held.soft,
                rlim_max: held.hard,
            };
            // SAFETY: the program's own pointer.
            unsafe { write(limit, value) }.map(|()| 0)
        }),
        // SAFETY: the program's own arguments.
        _ => unsafe { next::GETRLIMIT.get()(resource, limit) },
    }
}

/// sysconf(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sysconf(name: c_int) -> c_long {
    match descriptor::program_limit() {
        Some(held) if name == libc::_SC_OPEN_MAX => c_long::try_from(held.soft).unwrap_or(-1),
        // SAFETY: an integer only.
        _ => unsafe { next::SYSCONF.get()(name) },
    }
}

/// getdtablesize(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getdtablesize() -> c_int {
    match descriptor::program_limit() {
        Some(held) => c_int::try_from(held.soft).unwrap_or(c_int::MAX),
        // SAFETY: takes nothing.
        None => unsafe { next::GETDTABLESIZE.get()() },
    }
}

/// getrlimit(2), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getrlimit64(
    resource: Resource,
    limit: *mut libc::rlimit64,
) -> c_int {
    // SAFETY: the two structures are one on 64-bit machines.
    unsafe { getrlimit(resource, limit.cast()) }
}

/// setrlimit(2): of descriptors only what the program believes changes, as far as ours need room
/// above its limit.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setrlimit(resource: Resource, limit: *const libc::rlimit) -> c_int {
    // SAFETY: the program's own arguments.
    let judged_by_kernel = || unsafe { next::SETRLIMIT.get()(resource, limit) };
    if resource != libc::RLIMIT_NOFILE || process::is_vfork_child() {
        return judged_by_kernel();
    }
    answer(|| {
        // SAFETY: the program's own pointer.
        let wanted = unsafe { read(limit) }?;
        let wanted = ProgramLimit {
            soft: wanted.rlim_cur,
            hard: wanted.rlim_max,
        };
        match descriptor::program_limit() {
            Some(held) if descriptor::is_apart() => {
                if wanted.soft > wanted.hard {
                    return Err(rustix::io::Errno::INVAL);
                }
                if wanted.hard > held.hard && !descriptor::may_raise(wanted.hard) {
                    return Err(rustix::io::Errno::PERM);
                }
                descriptor::set_program_limit(wanted);
                Ok(0)
            }
            _ if descriptor::lower(wanted) => Ok(0),
            _ => result(judged_by_kernel()),
        }
    })
}

/// perror(3), which makes a copy of the descriptor of standard error if it can, and changes errno by that. A program that
/// tells of EMFILE, and then looks at errno, relies on there being no number for the copy.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn perror(text: *const c_char) {
    // SAFETY: the program's own pointer.
    descriptor::with_program_limit(|| unsafe { next::PERROR.get()(text) });
}

/// mlockall(2), of all memory but the library's own, which may become large.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mlockall(flags: c_int) -> c_int {
    // SAFETY: an integer only.
    let by_kernel = || unsafe { next::MLOCKALL.get()(flags) };
    answer(|| result(driver::around_mlockall(by_kernel)))
}

/// prlimit(2): of this process, as getrlimit(2) and setrlimit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prlimit(
    process: libc::pid_t,
    resource: Resource,
    new: *const libc::rlimit,
    old: *mut libc::rlimit,
) -> c_int {
    let ours = process == 0 || u32::try_from(process) == Ok(raw::process_id());
    if !ours || resource != libc::RLIMIT_NOFILE {
        // SAFETY: the program's own arguments.
        return unsafe { next::PRLIMIT.get()(process, resource, new, old) };
    }
    // SAFETY: the program's own arguments.
    unsafe {
        let mut before = core::mem::zeroed();
        if getrlimit(resource, &raw mut before) != 0
            || (!new.is_null() && setrlimit(resource, new) != 0)
        {
            return -1;
        }
        if old.is_null() {
            return 0;
        }
        answer(|| write(old, before).map(|()| 0))
    }
}

/// prlimit(2), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prlimit64(
    process: libc::pid_t,
    resource: Resource,
    new: *const libc::rlimit64,
    old: *mut libc::rlimit64,
) -> c_int {
    // SAFETY: the two structures are one on 64-bit machines.
    unsafe { prlimit(process, resource, new.cast(), old.cast()) }
}

/// setrlimit(2), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setrlimit64(
    resource: Resource,
    limit: *const libc::rlimit64,
) -> c_int {
    // SAFETY: the two structures are one on 64-bit machines.
    unsafe { setrlimit(resource, limit.cast()) }
}

/// pthread_cancel(3): also of a thread that waits in a call of ours.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_cancel(thread: libc::pthread_t) -> c_int {
    cancel::prepare();
    // SAFETY: the program's own thread.
    let outcome = unsafe { next::PTHREAD_CANCEL.get()(thread) };
    if outcome == 0 {
        cancel::wake(thread);
    }
    outcome
}

/// pthread_setcanceltype(3): within calls of ours no thread is cancelled at any moment.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int {
    cancel::choose(kind);
    // SAFETY: the program's arguments.
    unsafe { next::PTHREAD_SETCANCELTYPE.get()(kind, old) }
}

/// _exit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _exit(status: c_int) -> ! {
    finish();
    // SAFETY: an integer only.
    unsafe { next::EXIT.get()(status) }
}

/// _Exit(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _Exit(status: c_int) -> ! {
    // SAFETY: an integer only.
    unsafe { _exit(status) }
}

fn finish() {
    if !process::is_vfork_child() {
        answer(|| {
            driver::finish(&table::numbers());
            Ok(0)
        });
    }
}

extern "C-unwind" fn at_end() {
    if table::any() {
        // What streams on our sockets hold back is sent before these close.
        // SAFETY: null stands for all streams.
        unsafe { libc::fflush(core::ptr::null_mut()) };
    }
    finish();
}

unsafe extern "C" {
    /// What at_quick_exit(3) is a name for, with the library it is for.
    fn __cxa_at_quick_exit(handler: extern "C-unwind" fn(), library: *mut c_void) -> c_int;
}

extern "C-unwind" fn at_start() {
    driver::watch_forks();
    // SAFETY: a function that stays; null means no library, whose unloading would remove it.
    unsafe { __cxa_at_quick_exit(at_quick_end, core::ptr::null_mut()) };
}

/// Run by quick_exit(3), after the program's own handlers.
extern "C-unwind" fn at_quick_end() {
    finish();
}

/// Run when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C-unwind" fn() = at_start;

/// Run by exit(3), after the program's own handlers.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_END: extern "C-unwind" fn() = at_end;
