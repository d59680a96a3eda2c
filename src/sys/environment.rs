//! The environment (environ(7)): what it is, and what it was when the process began.
//!
//! Servers often make a new one for themselves and their children before their first socket (Dovecot, Postfix). It says
//! nothing of this library, but nor does it mean to. So what was said of it is kept, if it was loaded by LD_PRELOAD; one
//! that lacks that variable and has all others is meant so.

use core::ffi::{CStr, c_char};

use std::sync::OnceLock;

/// The loader's variable (ld.so(8)), and its end.
pub const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// How the names of the library's own begin.
pub const OURS: &[u8] = b"SIDESTACK_";

/// What the process began with.
struct Begun {
    /// The loader's variable and the library's own: whole, a zero behind each.
    ours: Box<[u8]>,
    /// The names of all others: the equals sign and a zero behind each.
    others: Box<[u8]>,
}

static BEGUN: OnceLock<Begun> = OnceLock::new();

/// Called by the loader, before the program has a thread.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn() = remember;

extern "C" fn remember() {
    if !entries().any(|entry| entry.to_bytes().starts_with(PRELOAD)) {
        return;
    }
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for entry in entries() {
        let bytes = entry.to_bytes();
        if bytes.starts_with(PRELOAD) || bytes.starts_with(OURS) {
            ours.extend_from_slice(entry.to_bytes_with_nul());
        } else if let Some(at) = bytes.iter().position(|&byte| byte == b'=') {
            others.extend_from_slice(&bytes[..=at]);
            others.push(0);
        }
    }
    let (ours, others) = (ours.into(), others.into());
    // The loader calls it once.
    let _ = BEGUN.set(Begun { ours, others });
}

/// What an environment has lost of the variables that are the loader's and the library's own, if it was made anew: `has`
/// says whether an entry of it begins so.
pub fn lost(has: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = &'static CStr> + Clone {
    let begun = BEGUN.get().filter(|begun| {
        let others = strings(&begun.others);
        !has(PRELOAD) && !others.map(CStr::to_bytes).all(&has)
    });
    strings(begun.map_or(&[], |begun| &begun.ours))
}

fn strings(bytes: &[u8]) -> impl Iterator<Item = &CStr> + Clone {
    let each = bytes.split_inclusive(|&byte| byte == 0);
    each.filter_map(|bytes| CStr::from_bytes_with_nul(bytes).ok())
}

unsafe extern "C" {
    /// The environment (environ(7)).
    #[link_name = "environ"]
    static ENVIRON: *const *const c_char;
}

/// The environment as it is in memory: null, or pointers to strings and a null.
pub fn environ() -> *const *const c_char {
    // SAFETY: a word, read as getenv(3) reads it.
    unsafe { ENVIRON }
}

fn entries() -> impl Iterator<Item = &'static CStr> {
    let mut entry = environ();
    // SAFETY: environ is a null-terminated array of C strings or null; a program that changes it
    // in another thread at this moment races with every getenv(3) too.
    core::iter::from_fn(move || unsafe {
        if entry.is_null() || (*entry).is_null() {
            return None;
        }
        let string = CStr::from_ptr(*entry);
        entry = entry.add(1);
        Some(string)
    })
}

/// The environment's names and values, and what it has lost.
pub fn variables() -> Vec<(Vec<u8>, Vec<u8>)> {
    let has = |prefix: &[u8]| entries().any(|entry| entry.to_bytes().starts_with(prefix));
    let all = entries().chain(lost(has)).map(CStr::to_bytes);
    all.filter_map(|bytes| {
        let at = bytes.iter().position(|&byte| byte == b'=')?;
        Some((bytes[..at].to_vec(), bytes[at + 1..].to_vec()))
    })
    .collect()
}
