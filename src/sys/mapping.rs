//! Mappings (mmap(2)) where the program asks for them.

use rustix::fd::{AsRawFd, RawFd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use syscalls::{Sysno, syscall2, syscall3, syscall6};

use super::descriptor;
use super::raw::checked;

const PAGE: usize = 4096;

/// The arguments of mmap(2) but for the descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Where; 0: anywhere.
    pub address: usize,
    /// How many bytes.
    pub len: usize,
    /// PROT_*.
    pub protection: i32,
    /// MAP_*.
    pub flags: i32,
    /// From where in the file.
    pub offset: i64,
}

impl Wanted {
    /// Maps `fd`; where that is.
    ///
    /// # Errors
    /// Those of mmap(2).
    ///
    /// # Safety
    /// As of mmap(2): with MAP_FIXED, what is there goes.
    pub unsafe fn map(self, fd: RawFd) -> Result<usize, Errno> {
        // SAFETY: as the caller says.
        checked(unsafe {
            syscall6(
                Sysno::mmap,
                self.address,
                self.len,
                self.protection as usize,
                self.flags as usize,
                fd as usize,
                self.offset as usize,
            )
        })
    }

    /// Maps what Linux maps of a connection: nothing yet, so that who touches it gets SIGBUS, and nothing to be written or
    /// executed.
    ///
    /// # Errors
    /// EPERM: that is what is asked for. Those of mmap(2).
    ///
    /// # Safety
    /// As of mmap(2): with MAP_FIXED, what is there goes.
    pub unsafe fn map_connection(self) -> Result<usize, Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let empty = descriptor::high(|| memfd_create(c"connection", flags))?;
        // Where the kernel knows no such seal the mapping could be made writable, without effect.
        let _ = fcntl_add_seals(&empty, SealFlags::FUTURE_WRITE | SealFlags::GROW);
        let readable = Self {
            protection: self.protection & !(libc::PROT_WRITE | libc::PROT_EXEC),
            ..self
        };
        // SAFETY: as the caller says.
        let start = unsafe { readable.map(empty.as_raw_fd()) }?;
        if readable.protection == self.protection {
            return Ok(start);
        }
        // SAFETY: mapped just now, and known to nobody.
        let _ = unsafe { syscall2(Sysno::munmap, start, self.len) };
        Err(Errno::PERM)
    }
}

/// Whether anything is mapped at the page `address`.
pub fn is_mapped(address: usize) -> bool {
    // SAFETY: nothing is changed by it.
    let synced = unsafe { syscall3(Sysno::msync, address, PAGE, libc::MS_ASYNC as usize) };
    synced.is_ok()
}
