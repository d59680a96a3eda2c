//! The environment of a program that inherits sockets of ours.
//!
//! Servers that start programs on their sockets (nginx its successor, Dovecot all it consists of, inetd its services)
//! often make a new environment for them of what they know. Without the library the program would find a unix socket where
//! an Internet socket should be, so what the user set for this program goes with the sockets, unless the environment means
//! to be without it ([`lost`]).

use core::ffi::{CStr, c_char};
use core::{iter, ptr};
use rustix::io::Errno;

use super::border::read;
use super::programs::Strings;
use crate::socket::away;
use crate::sys::environment::lost;

/// How many entries are gathered without the heap: a child of vfork(2) would leak there.
const FEW: usize = 512;

/// Calls `start` with the environment for a program that was given `environment`.
pub(super) fn for_inheritor<T>(environment: Strings, start: impl FnOnce(Strings) -> T) -> T {
    let lost = lost(|prefix| {
        // EFAULT: the kernel will say so, too.
        let mut entries = entries(environment);
        entries.any(|entry| entry.map_or(true, |entry| begins(entry, prefix)))
    });
    if lost.clone().next().is_none() || !away::leaves_any() {
        return start(environment);
    }
    let lost = lost.map(CStr::as_ptr);
    let all = entries(environment).map_while(Result::ok).chain(lost);
    let mut few = [ptr::null(); FEW];
    if all.clone().count() < FEW {
        few.iter_mut().zip(all).for_each(|(to, entry)| *to = entry);
        start(few.as_ptr())
    } else {
        let many: Vec<_> = all.chain(iter::once(ptr::null())).collect();
        start(many.as_ptr())
    }
}

/// The entries up to the null. EFAULT: there is no memory where the next should be, nor any after it.
fn entries(environment: Strings) -> impl Iterator<Item = Result<*const c_char, Errno>> + Clone {
    let places = iter::successors(Some(environment), |at| Some(at.wrapping_add(1)));
    places
        .take_while(|at| !at.is_null())
        // SAFETY: the program's own array, as far as it is there.
        .map(|at| unsafe { read(at) })
        .take_while(|entry| !matches!(entry, Ok(entry) if entry.is_null()))
}

/// Whether the string begins so, as far as it can be read.
fn begins(entry: *const c_char, prefix: &[u8]) -> bool {
    let mut at = entry.cast::<u8>();
    prefix.iter().all(|&wanted| {
        // SAFETY: the program's own string, whose end is no byte of the prefix.
        let same = unsafe { read(at) } == Ok(wanted);
        at = at.wrapping_add(1);
        same
    })
}
