//! Giving up rights: setuid(2) and its kin, capset(2); and the way to files: chroot(2).
//!
//! Who gives up CAP_NET_RAW before his first Internet socket could have no stack, and later none with a ring. So packet
//! sockets are kept before that (see the driver's `rights`). The calls themselves are the next library's, which makes
//! them in every thread.

use core::ffi::{c_char, c_int};

use super::border::{answer, fail, read};
use super::next;
use crate::driver;
use crate::sys::local::own_user;

type User = libc::uid_t;

/// Of setreuid(2) and setresuid(2): the user stays who he is.
const SAME: User = User::MAX;
/// Where the kernel keeps CAP_NET_RAW (linux/capability.h).
const NET_RAW: u32 = 1 << 13;

/// The first words of what capget(2) and capset(2) say of rights: 32 of them in each.
#[derive(Clone, Copy)]
#[repr(C)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Before the process acts for `user`: who is root no more has none of root's rights.
pub(super) fn before_user(user: User) {
    if user != 0 && user != SAME && own_user() == 0 {
        first(driver::keep_right);
    }
}

/// Before the thread's rights are `data`.
///
/// # Safety
/// The program's pointer.
pub(super) unsafe fn before_capabilities(data: *const libc::c_void) {
    // SAFETY: as the caller says.
    let wanted = unsafe { read(data.cast::<Capabilities>()) };
    if wanted.is_ok_and(|wanted| wanted.effective & NET_RAW == 0) {
        first(driver::keep_right);
    }
}

/// Before the process changes its root.
pub(super) fn before_root() {
    first(driver::before_chroot);
}

/// What comes before the call, and does not matter to its outcome.
fn first(work: fn()) {
    answer(|| {
        work();
        Ok(0)
    });
}

/// setuid(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setuid(user: User) -> c_int {
    before_user(user);
    // SAFETY: an integer only.
    unsafe { next::SETUID.get()(user) }
}

/// seteuid(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn seteuid(user: User) -> c_int {
    before_user(user);
    // SAFETY: an integer only.
    unsafe { next::SETEUID.get()(user) }
}

/// setreuid(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setreuid(real: User, effective: User) -> c_int {
    before_user(effective);
    // SAFETY: integers only.
    unsafe { next::SETREUID.get()(real, effective) }
}

/// setresuid(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setresuid(real: User, effective: User, saved: User) -> c_int {
    before_user(effective);
    // SAFETY: integers only.
    unsafe { next::SETRESUID.get()(real, effective, saved) }
}

/// capset(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn capset(
    header: *mut libc::c_void,
    data: *const libc::c_void,
) -> c_int {
    // SAFETY: the program's own pointer.
    unsafe { before_capabilities(data) };
    match next::CAPSET.find() {
        // SAFETY: the program's own arguments.
        Some(capset) => unsafe { capset(header, data) },
        None => fail(rustix::io::Errno::NOSYS),
    }
}

/// chroot(2): what the library reads of files it reads before.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn chroot(path: *const c_char) -> c_int {
    before_root();
    // SAFETY: the program's own pointer.
    unsafe { next::CHROOT.get()(path) }
}
