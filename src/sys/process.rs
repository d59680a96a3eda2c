//! What this process is.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use rustix::process::Pid;
use std::ffi::CString;
use std::sync::OnceLock;
use syscalls::Sysno;

use super::{file, raw};

static ID: AtomicU32 = AtomicU32::new(0);

/// Whether this is a child made by vfork(2), which runs in its parent's memory: what it does to
/// its descriptors must leave no trace there. Before [`note_id`] there is nothing to leave one in.
pub fn is_vfork_child() -> bool {
    let known = ID.load(Ordering::Relaxed);
    known != 0 && known != raw::process_id()
}

/// Notes that the memory belongs to this process: when it starts, and in a forked child.
pub fn note_id() {
    ID.store(raw::process_id(), Ordering::Relaxed);
}

/// Whether the program has never had a second thread, as far as the C library (2.32) says.
pub fn is_single_threaded() -> bool {
    static FLAG: OnceLock<Option<&'static AtomicU8>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        // SAFETY: a C string.
        let address =
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) };
        // SAFETY: where it is there, it is a char of the C library's for as long as the process lives.
        unsafe { address.cast::<AtomicU8>().as_ref() }
    });
    flag.is_none_or(|flag| flag.load(Ordering::Relaxed) != 0)
}

/// How many threads the process has; `None`: /proc does not say.
pub fn threads() -> Option<usize> {
    let tasks = rustix::fs::stat(c"/proc/self/task").ok()?;
    // A link for each besides the directory's own two.
    usize::try_from(tasks.st_nlink).ok()?.checked_sub(2)
}

/// Whether a process is stopped by a signal, until another one; false if /proc does not say. (A debugger's stops are brief,
/// as a rule, and have another letter.)
pub fn is_stopped(process: Pid) -> bool {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let said = file::read(&path, 4096).unwrap_or_default();
    // Behind the name, which may have anything in it.
    let behind = said.rsplit(|&byte| byte == b')').next();
    behind.is_some_and(|words| words.starts_with(b" T"))
}

/// Ends the process at once (exit_group(2)): nothing of the program's is run.
pub fn end(status: i32) -> ! {
    loop {
        // SAFETY: an integer only; it does not return.
        let _ = unsafe { syscalls::syscall1(Sysno::exit_group, status as usize) };
    }
}

/// How many bytes of a thread's stack the C library takes for itself and for the thread-local variables
/// of the program and its libraries, which may be long.
pub fn least_stack() -> usize {
    type Least = unsafe extern "C" fn(*const libc::pthread_attr_t) -> usize;
    // SAFETY: a C string; the function, where there is one, takes attributes it does not change.
    unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, c"__pthread_get_minstack".as_ptr());
        if address.is_null() {
            return 0;
        }
        let mut attributes = core::mem::zeroed();
        libc::pthread_attr_init(&raw mut attributes);
        let least =
            core::mem::transmute::<*mut libc::c_void, Least>(address)(&raw const attributes);
        libc::pthread_attr_destroy(&raw mut attributes);
        least
    }
}

/// How a process has confined itself, as far as it matters to what it should not be surprised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The mode of seccomp(2).
    filtered: usize,
    /// PR_SET_NO_NEW_PRIVS.
    no_new_rights: usize,
}

impl Confinement {
    /// As it is now.
    pub fn now() -> Self {
        Self {
            filtered: ask(libc::PR_GET_SECCOMP),
            no_new_rights: ask(libc::PR_GET_NO_NEW_PRIVS),
        }
    }

    /// Whether its system calls are filtered: one that nobody has expected might end it.
    pub fn is_filtered(self) -> bool {
        self.filtered != 0
    }
}

/// prctl(2), for what gives a number; 0 where it fails.
fn ask(what: i32) -> usize {
    // SAFETY: these read no memory and write none.
    unsafe { syscalls::syscall5(Sysno::prctl, what as usize, 0, 0, 0, 0) }.unwrap_or(0)
}

/// Whether orphans become children of this process: it is the first of its PID namespace, or has
/// said so (PR_SET_CHILD_SUBREAPER).
pub fn is_reaper() -> bool {
    let mut reaper = 0i32;
    // SAFETY: the kernel writes one int to `reaper`, which lives across the call.
    let asked = unsafe {
        syscalls::syscall2(
            Sysno::prctl,
            libc::PR_GET_CHILD_SUBREAPER as usize,
            &raw mut reaper as usize,
        )
    };
    raw::process_id() == 1 || asked.is_ok() && reaper != 0
}

/// The file of the library this code is in, as the loader names it.
pub fn own_library() -> Option<CString> {
    // SAFETY: all-zero is a value: null pointers.
    let mut found: libc::Dl_info = unsafe { core::mem::zeroed() };
    let here = (own_library as fn() -> Option<CString>) as *const libc::c_void;
    // SAFETY: dladdr writes to `found`, and the name it finds lives as long as the library is loaded.
    unsafe {
        if libc::dladdr(here, &raw mut found) == 0 || found.dli_fname.is_null() {
            return None;
        }
        Some(CStr::from_ptr(found.dli_fname).to_owned())
    }
}

/// Whether the program got rights from its file (setuid, setgid, file capabilities): the user's
/// environment must not steer it then (getauxval(3), AT_SECURE).
pub fn is_secure() -> bool {
    // SAFETY: getauxval reads the auxiliary vector only.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The executable's name without directories, as far as it is known.
pub fn program_name() -> String {
    rustix::fs::readlink("/proc/self/exe", Vec::new())
        .ok()
        .and_then(|path| path.into_string().ok())
        .and_then(|path| path.rsplit('/').next().map(str::to_owned))
        .unwrap_or_default()
}
