//! System calls that only the command makes; no part of the library.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fd::BorrowedFd;

/// Lends a descriptor of std to rustix, which is built without std: its descriptors must not be
/// std's, whose drop is the C library's `close`.
pub(crate) fn borrow(socket: &impl AsRawFd) -> BorrowedFd<'_> {
    // SAFETY: the owner of the descriptor is borrowed for as long as the result lives.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Who made the listening socket at the other end, as the kernel recorded it (SO_PEERCRED of
/// unix(7)). 0: a process outside our PID namespace, which is why rustix, whose process numbers
/// are never 0, is not asked.
pub(crate) fn peer_process(stream: &UnixStream) -> io::Result<libc::pid_t> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `length` says how large `peer` is, both live across the call, and a ucred is three
    // integers, which may have any value.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(peer.pid)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The entry of the library for the keeper (src/abi/keeper.rs).
const KEEPER: &CStr = c"sidestack_keeper";
type KeeperEntry = unsafe extern "C" fn(*const *const libc::c_char, usize) -> libc::c_int;

/// Loads the library, its names for itself alone, and is the keeper; its exit status. The error is
/// a sentence.
pub(crate) fn keep(library: &CStr, words: &[CString]) -> Result<libc::c_int, String> {
    let words: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    // SAFETY: the loader runs the library's own constructors, and the library is never unloaded. The
    // entry has the type the library of this build gives it; an older one has none. The words are C
    // strings that outlive the call.
    unsafe {
        let loaded = libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if loaded.is_null() {
            let reason = CStr::from_ptr(libc::dlerror()).to_string_lossy();
            return Err(format!("cannot load the library: {reason}"));
        }
        let entry = libc::dlsym(loaded, KEEPER.as_ptr());
        if entry.is_null() {
            return Err("the library is not of this version: it has no keeper".into());
        }
        let entry: KeeperEntry = std::mem::transmute(entry);
        Ok(entry(words.as_ptr(), words.len()))
    }
}

/// A user's number (getpwnam(3)).
pub(crate) fn user_number(name: &OsStr) -> Option<u32> {
    let name = CString::new(name.as_bytes()).ok()?;
    // SAFETY: the name is a C string; this is the process's only thread, so the record stays as it is
    // while it is read.
    unsafe { libc::getpwnam(name.as_ptr()).as_ref() }.map(|user| user.pw_uid)
}

/// What SIGPIPE did when the process began; Rust's start-up code ignores it.
static SIGPIPE_AT_START: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

/// Runs before that code, as the loader calls what `.init_array` lists.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGPIPE: extern "C" fn() = remember_sigpipe;

extern "C" fn remember_sigpipe() {
    // SAFETY: an all-zero sigaction is a value; the kernel only writes to it.
    let handler = unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, ptr::null(), &raw mut present);
        present.sa_sigaction
    };
    SIGPIPE_AT_START.store(handler, Ordering::Relaxed);
}

/// Becomes another program, as execve(2), or the shell's script if the file is no program
/// (execvp(3)). Signals are as they were when this process began: std's own `exec` would reset
/// them, and a service manager that ignores SIGPIPE for its services means it. Returns only on failure.
pub(crate) fn execute(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: the handler is the one the kernel had, SIG_DFL or SIG_IGN, as exec leaves no others.
    // The path is a C string; the arrays end in null and point to C strings; all outlive the calls.
    unsafe {
        libc::signal(libc::SIGPIPE, SIGPIPE_AT_START.load(Ordering::Relaxed));
        libc::execvpe(path.as_ptr(), arguments.as_ptr(), environment.as_ptr());
    }
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let end = std::iter::once(ptr::null());
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain(end)
        .collect()
}
