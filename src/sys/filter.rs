//! Classic BPF socket filters (SO_ATTACH_FILTER of socket(7), `linux/filter.h`).

use core::mem::{align_of, size_of};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::option;

/// One instruction of classic BPF, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation, from `linux/bpf_common.h`.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jump_true: u8,
    /// How many instructions to skip when it does not.
    pub jump_false: u8,
    /// The operand.
    pub operand: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
const _: () = assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());

/// Most instructions the kernel takes in one program (BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Makes `program` the socket's filter in place of any it had. The change is atomic: each frame
/// meets the old or the new one.
///
/// # Errors
/// EINVAL: the kernel's checker refuses the program. ENOMEM: it is longer than
/// `net.core.optmem_max` allows (while a filter is replaced, both count).
pub fn attach(fd: BorrowedFd<'_>, program: &[Instruction]) -> Result<(), Errno> {
    let header = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `header` is a sock_fprog whose pointer and length are those of `program`, laid out
    // as sock_filter (asserted above); both live across the call and the kernel only reads them.
    unsafe {
        option::set_bytes(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const header).cast(),
            size_of::<libc::sock_fprog>(),
        )
    }
}

/// Removes the socket's filter.
///
/// # Errors
/// ENOENT: it has none.
pub fn detach(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    option::set_integer(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}
