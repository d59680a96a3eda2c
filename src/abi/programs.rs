//! Starting programs and processes: execve(2) and its kin, posix_spawn(3), popen(3), system(3),
//! _Fork(3).
//!
//! What is executed sees the limit on descriptors that this program believes in, and what it
//! inherits goes on being served (see the driver's heir), and is recognised by its name. The variadic forms (execl(3)) end in the
//! C library's own execve(2), which no hook sees.

use core::ffi::{c_char, c_int};

use super::border::answer;
use super::{environment::for_inheritor, next};
use crate::driver;
use crate::socket::away;
use crate::sys::{descriptor, process};

pub(super) type Strings = *const *const c_char;
type StringsOut = *const *mut c_char;

/// Starts a program beside this one, which may inherit sockets.
fn spawn<T>(start: impl FnOnce() -> T) -> T {
    away::set_all_out();
    descriptor::with_program_limit(start)
}

/// What comes before another program takes this one's place, or its vfork(2) child's.
fn before_exec() {
    if process::is_vfork_child() {
        away::set_out_by_exec();
        descriptor::lower_for_exec();
        return;
    }
    answer(|| {
        driver::before_exec();
        away::set_out_by_exec();
        Ok(0)
    });
}

/// execve(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(
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
pub unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    before_exec();
    // SAFETY: the program's own arguments.
    unsafe { next::EXECV.get()(path, arguments) }
}

/// execvp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    before_exec();
    // SAFETY: the program's own arguments.
    unsafe { next::EXECVP.get()(file, arguments) }
}

/// execvpe(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(
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
pub unsafe extern "C" fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    before_exec();
    // SAFETY: the program's own arguments.
    for_inheritor(environment, |environment| unsafe {
        next::FEXECVE.get()(fd, arguments, environment)
    })
}

/// posix_spawn(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
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
pub unsafe extern "C" fn posix_spawnp(
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
pub unsafe extern "C" fn popen(command: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: the program's own arguments.
    spawn(|| unsafe { next::POPEN.get()(command, mode) })
}

/// system(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn system(command: *const c_char) -> c_int {
    // SAFETY: the program's own arguments.
    spawn(|| unsafe { next::SYSTEM.get()(command) })
}

/// _Fork(3): the handlers of pthread_atfork(3) are not run for it, but ours must be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Fork() -> libc::pid_t {
    let Some(fork) = next::FORK_ONLY.find() else {
        super::border::set_errno(rustix::io::Errno::NOSYS);
        return -1;
    };
    driver::before_fork();
    // SAFETY: takes nothing.
    let child = unsafe { fork() };
    match child {
        0 => driver::after_fork_child(),
        _ => driver::after_fork_parent(),
    }
    child
}
