//! The environment of a program that inherits sockets of ours.
//!
//! Servers that start programs on their sockets (nginx its successor, inetd its services) often make a new environment
//! for them of what they know. Without the library the program would find a unix socket where an Internet socket should
//! be, so what the user set for this program goes with the sockets. An environment that is this program's own, or that
//! says something of LD_PRELOAD itself, is left alone.

use core::ffi::c_char;
use core::{iter, ptr};
use rustix::io::Errno;

use super::border::read;
use super::programs::Strings;
use crate::socket::away;
use crate::sys::process;

/// The loader's variable (ld.so(8)), and its end.
const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// How the names of the library's own begin.
const OURS: &[u8] = b"SIDESTACK_";
/// How many entries are gathered without the heap: a child of vfork(2) would leak there.
const FEW: usize = 512;

/// Calls `start` with the environment for a program that was given `environment`.
pub(super) fn for_inheritor<T>(environment: Strings, start: impl FnOnce(Strings) -> T) -> T {
    let own = process::environ();
    if environment == own || is_complete(environment).unwrap_or(true) || !away::leaves_any() {
        return start(environment);
    }
    let ours = entries(own).map_while(Result::ok);
    let ours = ours.filter(|&entry| begins(entry, PRELOAD) || begins(entry, OURS));
    let all = entries(environment).map_while(Result::ok).chain(ours);
    let mut few = [ptr::null(); FEW];
    if all.clone().count() < FEW {
        few.iter_mut().zip(all).for_each(|(to, entry)| *to = entry);
        start(few.as_ptr())
    } else {
        let many: Vec<_> = all.chain(iter::once(ptr::null())).collect();
        start(many.as_ptr())
    }
}

/// Whether it says something of LD_PRELOAD. EFAULT: the kernel will say so, too.
fn is_complete(environment: Strings) -> Result<bool, Errno> {
    for entry in entries(environment) {
        if begins(entry?, PRELOAD) {
            return Ok(true);
        }
    }
    Ok(false)
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
