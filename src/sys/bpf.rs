//! Extended BPF (bpf(2)): a program at an interface's ingress, the table it reads, and a socket's filter.

use super::owned::OwnedFd;
use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd};
use rustix::io::Errno;
use syscalls::{Sysno, syscall3};

use super::{descriptor, option};

/// One instruction, laid out as the kernel's `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation, from `linux/bpf.h` and `linux/bpf_common.h`.
    pub code: u8,
    /// The destination register in the lower half, the source register in the upper.
    pub registers: u8,
    /// Distance of a jump in instructions, or offset of a memory access in bytes.
    pub offset: i16,
    /// The operand.
    pub immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// Commands of bpf(2).
const MAP_CREATE: usize = 0;
const MAP_UPDATE_ELEM: usize = 2;
const PROG_LOAD: usize = 5;
const LINK_CREATE: usize = 28;
const LINK_UPDATE: usize = 29;

const BPF_MAP_TYPE_ARRAY: u32 = 2;
/// The attach point behind the packet taps (Linux 6.6).
const BPF_TCX_INGRESS: u32 = 46;

/// The programs here call nothing of the kernel that asks for another one.
const LICENSE: &core::ffi::CStr = c"MIT";

/// What a program judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Judges {
    /// What arrives for a socket (BPF_PROG_TYPE_SOCKET_FILTER): how many bytes of it are admitted.
    Arrivals = 1,
    /// Packets at an interface (BPF_PROG_TYPE_SCHED_CLS).
    Packets = 3,
}

/// Members of `union bpf_attr`, in their order; all the rest is zero.
#[repr(C)]
struct NewMap {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct NewProgram {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
struct NewLink {
    program: u32,
    interface_index: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct OtherProgram {
    link: u32,
    program: u32,
}

/// Makes an array of `count` words of 64 bits, all zero.
///
/// # Errors
/// EPERM: CAP_BPF is missing. ENOSYS: the kernel has no bpf(2).
pub fn new_words(count: u32) -> Result<OwnedFd, Errno> {
    let attributes = NewMap {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<u64>() as u32,
        max_entries: count,
    };
    // SAFETY: the attributes hold no pointers.
    unsafe { new_descriptor(MAP_CREATE, &attributes) }
}

/// Sets a word of such an array.
///
/// # Errors
/// E2BIG: it has no such index.
pub fn set_word(words: BorrowedFd<'_>, index: u32, value: u64) -> Result<(), Errno> {
    let attributes = Element {
        map: words.as_raw_fd() as u32,
        padding: 0,
        key: &raw const index as u64,
        value: &raw const value as u64,
        flags: 0,
    };
    // SAFETY: key and value live across the call, are of the sizes the array was made with, and
    // are only read.
    unsafe { bpf(MAP_UPDATE_ELEM, &attributes) }.map(drop)
}

/// Loads a program.
///
/// # Errors
/// EPERM: CAP_BPF or CAP_NET_ADMIN is missing. EINVAL, EACCES: the kernel's verifier refuses it.
pub fn load(judges: Judges, program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let attributes = NewProgram {
        program_type: judges as u32,
        count: u32::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        instructions: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
    };
    // SAFETY: the instructions, `count` of them, and the license live across the call, and are
    // only read.
    unsafe { new_descriptor(PROG_LOAD, &attributes) }
}

/// Puts a program before the interface's kernel stack, until the link given is closed by all who
/// hold it.
///
/// # Errors
/// EPERM: CAP_NET_ADMIN is missing. EINVAL: the kernel is older than 6.6. ENODEV: no such
/// interface.
pub fn attach(program: BorrowedFd<'_>, interface_index: u32) -> Result<OwnedFd, Errno> {
    let attributes = NewLink {
        program: program.as_raw_fd() as u32,
        interface_index,
        attach_type: BPF_TCX_INGRESS,
        flags: 0,
    };
    // SAFETY: the attributes hold no pointers.
    unsafe { new_descriptor(LINK_CREATE, &attributes) }
}

/// Makes a program the socket's filter in place of any it had. Any number of sockets may have it.
///
/// # Errors
/// EINVAL: it does not judge arrivals. EPERM: the kernel keeps filters of TCP sockets for CAP_NET_ADMIN.
pub fn make_filter(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    option::set_integer(
        socket,
        libc::SOL_SOCKET,
        libc::SO_ATTACH_BPF,
        program.as_raw_fd(),
    )
}

/// Gives a link another program; each packet meets the old one or the new one.
///
/// # Errors
/// ENOLINK: the interface is gone.
pub fn replace(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = OtherProgram {
        link: link.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
    };
    // SAFETY: the attributes hold no pointers.
    unsafe { bpf(LINK_UPDATE, &attributes) }.map(drop)
}

/// A call that makes a descriptor, close-on-exec as all of bpf(2)'s.
///
/// # Safety
/// As [`bpf`].
unsafe fn new_descriptor<T>(command: usize, attributes: &T) -> Result<OwnedFd, Errno> {
    descriptor::high(|| {
        // SAFETY: the caller's promise.
        let fd = unsafe { bpf(command, attributes) }?;
        // SAFETY: the kernel made the descriptor just now, for us alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    })
}

/// # Safety
/// `attributes` are those of `command`, in `union bpf_attr`'s layout; what they point to lives
/// across the call and is as large as the kernel takes it for.
unsafe fn bpf<T>(command: usize, attributes: &T) -> Result<usize, Errno> {
    let address = &raw const *attributes as usize;
    // SAFETY: the caller's promise; the kernel reads `size_of::<T>()` bytes of the attributes.
    unsafe { syscall3(Sysno::bpf, command, address, size_of::<T>()) }
        .map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))
}
