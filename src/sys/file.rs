//! Whole files in, appended bytes out.

use super::owned::OwnedFd;
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::fd::{BorrowedFd, RawFd};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::pipe::{PipeFlags, pipe_with};

use super::descriptor;
use super::wait::borrow;

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// What open(2) and read(2) say; EFBIG: it is longer than `limit`.
pub fn read(path: &str, limit: usize) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = retry(|| fs::open(path, flags, Mode::empty()))?;
    let mut contents = Vec::new();
    let mut block = [0; 4096];
    loop {
        let count = retry(|| io::read(&fd, &mut block))?;
        if count == 0 {
            return Ok(contents);
        }
        if contents.len() + count > limit {
            return Err(Errno::FBIG);
        }
        contents.extend_from_slice(&block[..count]);
    }
}

/// Opens a file for appending, made (readable by its owner only) if it is not there.
///
/// # Errors
/// What open(2) says.
pub fn append(path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
    descriptor::high(|| retry(|| fs::open(path, flags, Mode::RUSR | Mode::WUSR)))
}

/// Writes all of `bytes`, in one call where the kernel takes them so.
///
/// # Errors
/// What write(2) says, EIO if nothing is taken; some of the bytes may be written.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match retry(|| io::write(fd, bytes))? {
            0 => return Err(Errno::IO),
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Writes `bytes` unless that would block from the start or meet a closed reader (which would
/// raise SIGPIPE).
///
/// # Errors
/// EAGAIN: it would. What poll(2) and write(2) say.
pub fn write_if_ready(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    let mut poll = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    event::poll(&mut poll, Some(&at_once))?;
    let [poll] = &poll;
    if poll.revents() == PollFlags::OUT {
        write_all(fd, bytes)
    } else {
        Err(Errno::AGAIN)
    }
}

/// The program's standard error.
pub fn standard_error() -> BorrowedFd<'static> {
    // SAFETY: 2 is not -1. The program may close it or put something else there; a system call on
    // it then fails or reaches what the program calls its standard error, and nothing here relies
    // on more.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// Reads from a descriptor of the program's at `offset` (pread(2)).
pub fn read_at(fd: RawFd, buffer: &mut [u8], offset: i64) -> Result<usize, Errno> {
    rustix::io::pread(
        borrow(fd),
        buffer,
        u64::try_from(offset).map_err(|_| Errno::INVAL)?,
    )
}

/// Whether sendfile(2), which may take from a descriptor of the program's at `offset`, moves on by what it takes: not in
/// what is the same everywhere (`/dev/zero`). What has a length it does; of what is made as it is read (`/proc`, devices)
/// the kernel is asked, by a byte that goes nowhere.
///
/// # Errors
/// What sendfile(2) says.
pub fn moves_as_sent(fd: RawFd, offset: i64) -> Result<bool, Errno> {
    let fd = borrow(fd);
    if fs::fstat(fd)?.st_size > 0 {
        return Ok(true);
    }
    let start = u64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let mut at = start;
    let (_out, into) = pipe_with(PipeFlags::CLOEXEC)?;
    fs::sendfile(&into, fd, Some(&mut at), 1).map(|_| at != start)
}

/// Where a descriptor of the program's stands (lseek(2)).
pub fn position(fd: RawFd) -> Result<i64, Errno> {
    rustix::fs::tell(borrow(fd)).map(|at| at as i64)
}

/// Moves a descriptor of the program's to `offset` (lseek(2)).
pub fn seek(fd: RawFd, offset: i64) -> Result<(), Errno> {
    let at = u64::try_from(offset).map_err(|_| Errno::INVAL)?;
    rustix::fs::seek(borrow(fd), rustix::fs::SeekFrom::Start(at)).map(drop)
}
