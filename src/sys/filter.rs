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

/// The program that admits nothing (BPF_RET | BPF_K, 0).
pub const NOTHING: [Instruction; 1] = [Instruction {
    code: 0x06,
    jump_true: 0,
    jump_false: 0,
    operand: 0,
}];

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

/// Makes the filter of `from` that of `to`, too.
///
/// # Errors
/// EINVAL: `from` has none. What getsockopt(2) says, and as [`attach`].
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let nothing = Instruction {
        code: 0,
        jump_true: 0,
        jump_false: 0,
        operand: 0,
    };
    let mut program = vec![nothing; MAX_INSTRUCTIONS];
    // What the kernel is told, and tells, is a number of instructions.
    // SAFETY: the vector has room for as many, of which any bytes are valid ones.
    let count = unsafe {
        let first = program.as_mut_ptr().cast();
        option::get_bytes(
            from,
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            first,
            MAX_INSTRUCTIONS,
        )?
    };
    attach(to, program.get(..count).ok_or(Errno::INVAL)?)
}

/// Removes the socket's filter.
///
/// # Errors
/// ENOENT: it has none.
pub fn detach(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    option::set_integer(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}
