//! What a process's limits and its end have to do with sockets: getrlimit(2), setrlimit(2),
//! _exit(2), and the library's own end.

use core::ffi::c_int;

use super::border::{answer, read, result, write};
use super::next;
use crate::driver;
use crate::sys::descriptor::{self, ProgramLimit};
use crate::sys::process;

type Resource = libc::__rlimit_resource_t;

/// getrlimit(2): the program sees the limit on descriptors it believes to have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrlimit(resource: Resource, limit: *mut libc::rlimit) -> c_int {
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

/// getrlimit(2), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrlimit64(resource: Resource, limit: *mut libc::rlimit64) -> c_int {
    // SAFETY: the two structures are one on 64-bit machines.
    unsafe { getrlimit(resource, limit.cast()) }
}

/// setrlimit(2): while ours lie above the program's limit, only what it believes changes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setrlimit(resource: Resource, limit: *const libc::rlimit) -> c_int {
    match descriptor::program_limit() {
        Some(held) if resource == libc::RLIMIT_NOFILE && !process::is_vfork_child() => {
            answer(|| {
                // SAFETY: the program's own pointer.
                let wanted = unsafe { read(limit) }?;
                let floor = u64::from(descriptor::floor());
                if wanted.rlim_cur > wanted.rlim_max {
                    return Err(rustix::io::Errno::INVAL);
                }
                if wanted.rlim_cur > floor && wanted.rlim_max > held.hard {
                    // SAFETY: the program's own arguments.
                    return result(unsafe { next::SETRLIMIT.get()(resource, limit) });
                }
                descriptor::set_program_limit(ProgramLimit {
                    soft: wanted.rlim_cur,
                    hard: wanted.rlim_max,
                });
                Ok(0)
            })
        }
        // SAFETY: the program's own arguments.
        _ => unsafe { next::SETRLIMIT.get()(resource, limit) },
    }
}

/// setrlimit(2), for programs built with 64-bit file offsets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setrlimit64(resource: Resource, limit: *const libc::rlimit64) -> c_int {
    // SAFETY: the two structures are one on 64-bit machines.
    unsafe { setrlimit(resource, limit.cast()) }
}

/// _exit(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _exit(status: c_int) -> ! {
    finish();
    // SAFETY: an integer only.
    unsafe { next::EXIT.get()(status) }
}

/// _Exit(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Exit(status: c_int) -> ! {
    // SAFETY: an integer only.
    unsafe { _exit(status) }
}

extern "C" fn finish() {
    if !process::is_vfork_child() {
        answer(|| {
            driver::finish();
            Ok(0)
        });
    }
}

/// Run by exit(3), after the program's own handlers.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_END: extern "C" fn() = finish;
