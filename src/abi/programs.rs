//! Starting programs and processes: execve(2) and its kin, posix_spawn(3), popen(3), system(3),
//! _Fork(3), daemon(3).
//!
//! What is executed sees the limit on descriptors that this program believes in, and what it
//! inherits goes on being served (see the driver's heir), and is recognised by its name.

use core::ffi::{c_char, c_int};
use rustix::io::Errno;

use super::border::{answer, fail};
use super::environment::for_inheritor;
use super::{descriptors, next, process};
use crate::driver;
use crate::socket::away;
use crate::sys::descriptor;
use crate::sys::environment::environ;
use crate::sys::process::is_vfork_child;

pub(super) type Strings = *const *const c_char;
type StringsOut = *const *mut c_char;

/// Starts a program beside this one, which may inherit sockets.
fn spawn<T>(start: impl FnOnce() -> T) -> T {
    away::set_all_out();
    descriptor::with_program_limit(start)
}

/// What comes before another program takes this one's place, or its vfork(2) child's.
fn before_exec() {
    if is_vfork_child() {
        away::set_out_by_exec();
        descriptor::lower_for_exec();
        return;
    }
    answer(|| {
        away::leave_fresh();
        driver::before_exec();
        away::set_out_by_exec();
        Ok(0)
    });
}

/// execve(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execve(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    before_exec();
    // SAFETY: the program's own arguments.
    for_inheritor(environment, |environment| unsafe {
        next::EXECVE.get()(path, arguments, environment)
    })
}

/// execv(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { execve(path, arguments, environ()) }
}

/// execvp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe { execvpe(file, arguments, environ()) }
}

/// execvpe(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execvpe(
    file: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    before_exec();
    // SAFETY: the program's own arguments.
    for_inheritor(environment, |environment| unsafe {
        next::EXECVPE.get()(file, arguments, environment)
    })
}

/// fexecve(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fexecve(
    fd: c_int,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    before_exec();
    // SAFETY: the program's own arguments.
    for_inheritor(environment, |environment| unsafe {
        next::FEXECVE.get()(fd, arguments, environment)
    })
}

/// execveat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn execveat(
    directory: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_int {
    let Some(execveat) = next::EXECVEAT.find() else {
        return fail(Errno::NOSYS);
    };
    before_exec();
    // SAFETY: the program's own arguments.
    for_inheritor(environment, |environment| unsafe {
        execveat(directory, path, arguments, environment, flags)
    })
}

/// posix_spawn(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_spawn(
    process: *mut libc::pid_t,
    path: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    arguments: StringsOut,
    environment: StringsOut,
) -> c_int {
    for_inheritor(environment.cast(), |environment| {
        let environment = environment.cast();
        // SAFETY: the program's own arguments.
        spawn(|| unsafe {
            next::POSIX_SPAWN.get()(process, path, actions, attributes, arguments, environment)
        })
    })
}

/// posix_spawnp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_spawnp(
    process: *mut libc::pid_t,
    file: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    arguments: StringsOut,
    environment: StringsOut,
) -> c_int {
    for_inheritor(environment.cast(), |environment| {
        let environment = environment.cast();
        // SAFETY: the program's own arguments.
        spawn(|| unsafe {
            next::POSIX_SPAWNP.get()(process, file, actions, attributes, arguments, environment)
        })
    })
}

/// popen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn popen(
    command: *const c_char,
    mode: *const c_char,
) -> *mut libc::FILE {
    // SAFETY: the program's own arguments.
    spawn(|| unsafe { next::POPEN.get()(command, mode) })
}

/// system(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn system(command: *const c_char) -> c_int {
    // SAFETY: the program's own arguments.
    spawn(|| unsafe { next::SYSTEM.get()(command) })
}

/// Has `fork` make a child without the handlers of pthread_atfork(3), of which ours must run.
pub(super) fn forked(fork: impl FnOnce() -> libc::pid_t) -> libc::pid_t {
    driver::before_fork();
    let child = fork();
    match child {
        0 => driver::after_fork_child(),
        _ => driver::after_fork_parent(),
    }
    child
}

/// _Fork(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _Fork() -> libc::pid_t {
    let Some(fork) = next::FORK_ONLY.find() else {
        return fail(Errno::NOSYS);
    };
    // SAFETY: takes nothing.
    forked(|| unsafe { fork() })
}

/// daemon(3): the parent ends by an _exit(2) of ours, and so leaves its sockets in order.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn daemon(keep_directory: c_int, keep_streams: c_int) -> c_int {
    // SAFETY: the process goes on as the program asked; the calls take nothing that could dangle.
    unsafe {
        match libc::fork() {
            0 => {}
            -1 => return -1,
            _ => process::_exit(0),
        }
        if libc::setsid() == -1 {
            return -1;
        }
        if keep_directory == 0 {
            libc::chdir(c"/".as_ptr());
        }
        if keep_streams != 0 {
            return 0;
        }
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null == -1 {
            return -1;
        }
        for stream in 0..=2 {
            descriptors::dup2(null, stream);
        }
        if null > 2 {
            descriptors::close(null);
        }
    }
    0
}
