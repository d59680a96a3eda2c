//! Files of memory whose length nobody can change once they are sealed: what was mapped of one stays there.

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};
use rustix::io::Errno;
use rustix::process::Resource;

use super::owned::OwnedFd;
use super::{descriptor, limit};

/// What nobody may change about a file.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// An empty file that is yet to be sealed.
pub fn unsealed() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    descriptor::high(|| memfd_create("sidestack", flags))
}

/// Makes a file so long.
///
/// Errors: `FBIG` where the process may not (RLIMIT_FSIZE), which would end it (SIGXFSZ), or the system's.
pub fn lengthen(file: &OwnedFd, size: usize) -> Result<(), Errno> {
    let longest = limit::of(Resource::Fsize).current.unwrap_or(u64::MAX);
    if size as u64 > longest {
        return Err(Errno::FBIG);
    }
    ftruncate(file, size as u64)
}

/// Seals a file.
pub fn seal(file: &OwnedFd) -> Result<(), Errno> {
    fcntl_add_seals(file, SEALS)
}

/// How long a sealed file is.
///
/// Errors: `INVAL` if it is none, or the system's.
pub fn length(file: &OwnedFd) -> Result<usize, Errno> {
    if !fcntl_get_seals(file)?.contains(SEALS) {
        return Err(Errno::INVAL);
    }
    usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::INVAL)
}
