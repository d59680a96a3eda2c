//! Calls on numbers and pointers that belong to the program, where the next libc's symbol would
//! not do (it would set errno, or rustix has no words for the option).

use rustix::fd::RawFd;
use rustix::io::Errno;
use syscalls::{Sysno, syscall1, syscall2, syscall3, syscall5};

use super::user::behind;

/// A call's result.
pub(super) fn checked(result: Result<usize, syscalls::Errno>) -> Result<usize, Errno> {
    result.map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))
}

/// close(2) of a number the program owns.
pub fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: no memory is passed; the caller gives the number up.
    checked(unsafe { syscall1(Sysno::close, fd as usize) }).map(drop)
}

/// dup3(2) onto a number the program owns; `flags` as in dup3(2).
pub fn dup3(from: RawFd, onto: RawFd, flags: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    checked(unsafe { syscall3(Sysno::dup3, from as usize, onto as usize, flags as usize) })
        .map(drop)
}

/// fcntl(2) with an integer argument.
pub fn fcntl(fd: RawFd, command: i32, argument: usize) -> Result<usize, Errno> {
    // SAFETY: only commands with integer arguments are used by this crate.
    checked(unsafe { syscall3(Sysno::fcntl, fd as usize, command as usize, argument) })
}

/// shutdown(2).
pub fn shutdown(fd: RawFd, how: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    checked(unsafe { syscall2(Sysno::shutdown, fd as usize, how as usize) }).map(drop)
}

/// setsockopt(2) with an option value of our own.
pub fn setsockopt(fd: RawFd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `value.len()` bytes from `value`, which lives across the call.
    checked(unsafe {
        syscall5(
            Sysno::setsockopt,
            fd as usize,
            level as usize,
            name as usize,
            value.as_ptr() as usize,
            value.len(),
        )
    })
    .map(drop)
}

/// getsockopt(2) of at most `room` bytes.
pub fn getsockopt(fd: RawFd, level: i32, name: i32, room: i32) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0u8; usize::try_from(room).unwrap_or(0).clamp(4, LONGEST_OPTION)];
    let mut len = room.min(LONGEST_OPTION as i32);
    // SAFETY: `len` lives across the call; if it is not negative, at least that many bytes are in
    // `value`, and the kernel, which takes a negative one for four at most, writes no more.
    checked(unsafe {
        syscall5(
            Sysno::getsockopt,
            fd as usize,
            level as usize,
            name as usize,
            value.as_mut_ptr() as usize,
            &raw mut len as usize,
        )
    })?;
    value.truncate(usize::try_from(len).unwrap_or(0));
    Ok(value)
}

/// Bytes that wait to be read (FIONREAD).
pub fn unread(fd: RawFd) -> Result<usize, Errno> {
    count(fd, libc::FIONREAD)
}

/// Whether the next byte is behind the urgent mark (SIOCATMARK).
pub fn at_mark(fd: RawFd) -> bool {
    const SIOCATMARK: libc::c_ulong = 0x8905;
    count(fd, SIOCATMARK) == Ok(1)
}

/// Whether nothing can be received but an urgent byte, if that. (A look alone does not tell: it may begin behind what is
/// there, SO_PEEK_OFF.)
pub fn has_nothing_but_mark(fd: RawFd) -> bool {
    unread(fd).is_ok_and(|count| count <= 1) && peek(fd) == Err(Errno::AGAIN)
}

/// Whether something can be received now: how many bytes of the first one. 0 is the end of the
/// stream, AGAIN nothing.
pub fn peek(fd: RawFd) -> Result<usize, Errno> {
    discard(fd, 1, libc::MSG_PEEK)
}

/// How many of at most `most` bytes could be received at once: those before the urgent mark.
pub fn peek_len(fd: RawFd, most: usize) -> Result<usize, Errno> {
    let mut buffer = vec![0u8; most];
    let part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: most,
    };
    receive_parts(fd, &[part], libc::MSG_PEEK | libc::MSG_DONTWAIT)
}

/// Receives the urgent byte (MSG_OOB); `flags` may have MSG_PEEK. INVAL: there is none.
pub fn receive_urgent(fd: RawFd, flags: i32) -> Result<u8, Errno> {
    let mut byte = [0u8];
    let part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let flags = flags | libc::MSG_OOB | libc::MSG_DONTWAIT;
    match receive_parts(fd, &[part], flags)? {
        0 => Err(Errno::INVAL),
        _ => Ok(byte[0]),
    }
}

/// Bytes that were sent and not read (SIOCOUTQ).
pub fn unsent(fd: RawFd) -> Result<usize, Errno> {
    count(fd, libc::TIOCOUTQ)
}

fn count(fd: RawFd, request: libc::c_ulong) -> Result<usize, Errno> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one int to `count`, which lives across the call.
    checked(unsafe {
        syscall3(
            Sysno::ioctl,
            fd as usize,
            request as usize,
            &raw mut count as usize,
        )
    })?;
    Ok(count.max(0) as usize)
}

/// The process's id, asked from the kernel: right also in a vfork(2) child, whose memory is its
/// parent's.
pub fn process_id() -> u32 {
    // SAFETY: getpid takes nothing and cannot fail.
    unsafe { syscalls::syscall0(Sysno::getpid) }.unwrap_or(0) as u32
}

/// The calling thread's id.
pub fn thread_id() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { syscalls::syscall0(Sysno::gettid) }.unwrap_or(0) as u32
}

/// epoll_wait(2) on the program's set, without waiting; how many events there are.
pub fn epoll_ready(set: RawFd, events: &mut [libc::epoll_event]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most as many events as there is room for; no mask is passed.
    checked(unsafe {
        syscall5(
            Sysno::epoll_pwait,
            set as usize,
            events.as_mut_ptr() as usize,
            events.len(),
            0,
            0,
        )
    })
}

/// epoll_ctl(2) EPOLL_CTL_ADD for descriptors of the program's.
pub fn epoll_add(set: RawFd, fd: RawFd, events: u32, data: u64) -> Result<(), Errno> {
    epoll_control(libc::EPOLL_CTL_ADD, set, fd, events, data)
}

/// epoll_ctl(2) EPOLL_CTL_DEL for descriptors of the program's.
pub fn epoll_remove(set: RawFd, fd: RawFd) -> Result<(), Errno> {
    epoll_control(libc::EPOLL_CTL_DEL, set, fd, 0, 0)
}

/// epoll_ctl(2) EPOLL_CTL_MOD for descriptors of the program's: what is ready is told again, also
/// with EPOLLET.
pub fn epoll_renew(set: RawFd, fd: RawFd, events: u32, data: u64) -> Result<(), Errno> {
    epoll_control(libc::EPOLL_CTL_MOD, set, fd, events, data)
}

fn epoll_control(
    operation: i32,
    set: RawFd,
    fd: RawFd,
    events: u32,
    data: u64,
) -> Result<(), Errno> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the kernel reads one epoll_event, which lives across the call.
    checked(unsafe {
        syscalls::syscall4(
            Sysno::epoll_ctl,
            set as usize,
            operation as usize,
            fd as usize,
            &raw mut event as usize,
        )
    })
    .map(drop)
}

/// Longest option value, in bytes.
const LONGEST_OPTION: usize = 4096;

/// Most iovecs the kernel takes at once (UIO_MAXIOV).
const MOST_PARTS: usize = 1024;

/// recvmsg(2) without waiting, into the program's buffers from `offset` on.
pub fn receive(
    fd: RawFd,
    parts: &[libc::iovec],
    offset: usize,
    flags: i32,
) -> Result<usize, Errno> {
    if offset == 0 {
        return receive_parts(fd, parts, flags | libc::MSG_DONTWAIT);
    }
    receive_parts(fd, &behind(parts, offset), flags | libc::MSG_DONTWAIT)
}

/// recvmsg(2) into the program's buffers as the program asks for it.
pub fn receive_waiting(fd: RawFd, parts: &[libc::iovec], flags: i32) -> Result<usize, Errno> {
    receive_parts(fd, parts, flags)
}

fn receive_parts(fd: RawFd, parts: &[libc::iovec], flags: i32) -> Result<usize, Errno> {
    let mut message = message(parts);
    // SAFETY: the kernel writes into the program's buffers, which it checks, and reads `message`
    // and `parts`, which live across the call.
    checked(unsafe {
        syscall3(
            Sysno::recvmsg,
            fd as usize,
            &raw mut message as usize,
            flags as usize,
        )
    })
}

/// A message of these parts, without name and control messages.
pub(super) fn message(parts: &[libc::iovec]) -> libc::msghdr {
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len().min(MOST_PARTS);
    message
}

/// `header` and the program's buffers as one list.
fn headed(header: *mut u8, len: usize, parts: &[libc::iovec]) -> Vec<libc::iovec> {
    let mut all = Vec::with_capacity(parts.len() + 1);
    all.push(libc::iovec {
        iov_base: header.cast(),
        iov_len: len,
    });
    all.extend_from_slice(&parts[..parts.len().min(MOST_PARTS - 1)]);
    all
}

/// sendmsg(2) of one message: a header and the program's buffers.
pub fn send_message(
    fd: RawFd,
    header: &[u8],
    parts: &[libc::iovec],
    flags: i32,
) -> Result<usize, Errno> {
    let all = headed(header.as_ptr().cast_mut(), header.len(), parts);
    let mut message = message(&all);
    // SAFETY: the kernel reads the header, the program's buffers, which it checks, and `message`
    // and `all`; ours live across the call.
    checked(unsafe {
        syscall3(
            Sysno::sendmsg,
            fd as usize,
            &raw mut message as usize,
            (flags | libc::MSG_NOSIGNAL) as usize,
        )
    })
}

/// write(2) of one buffer, writev(2) of several: filters of system calls let these pass rather than
/// sendmsg(2). The kernel raises SIGPIPE with EPIPE.
pub fn write(fd: RawFd, parts: &[libc::iovec]) -> Result<usize, Errno> {
    // SAFETY: the kernel checks the program's buffers.
    checked(unsafe { stream_call(Sysno::write, Sysno::writev, fd, parts) })
}

/// read(2) into one buffer, readv(2) into several; see [`write`].
pub fn read(fd: RawFd, parts: &[libc::iovec]) -> Result<usize, Errno> {
    // SAFETY: the kernel checks the program's buffers.
    checked(unsafe { stream_call(Sysno::read, Sysno::readv, fd, parts) })
}

/// # Safety
/// `one` takes a buffer and its length, `several` iovecs and their number, and the kernel may do
/// with the buffers what these calls do.
unsafe fn stream_call(
    one: Sysno,
    several: Sysno,
    fd: RawFd,
    parts: &[libc::iovec],
) -> Result<usize, syscalls::Errno> {
    // SAFETY: as the caller says; the iovecs live across the call.
    unsafe {
        match parts {
            [part] => syscall3(one, fd as usize, part.iov_base as usize, part.iov_len),
            parts => syscall3(several, fd as usize, parts.as_ptr() as usize, parts.len()),
        }
    }
}

/// Receives up to `most` bytes without waiting and throws them away.
#[inline(never)] // Its buffer would be on the stack of every call that may come here.
pub fn discard(fd: RawFd, most: usize, flags: i32) -> Result<usize, Errno> {
    /// More than a pair holds at once.
    const PIECES: usize = 128;
    let mut buffer = [0u8; 4 * 1024];
    let iov_base = buffer.as_mut_ptr().cast();
    // All of them one after the other into the same place.
    let parts: [_; PIECES] = core::array::from_fn(|piece| libc::iovec {
        iov_base,
        iov_len: most.saturating_sub(piece * buffer.len()).min(buffer.len()),
    });
    let count = most.div_ceil(buffer.len()).clamp(1, PIECES);
    receive_parts(fd, &parts[..count], flags | libc::MSG_DONTWAIT)
}

/// recvmsg(2) of one message, with MSG_PEEK and MSG_DONTWAIT as in `flags`: its header into
/// `header`, the rest into the program's buffers. The length of the whole message, even if it did not fit.
pub fn receive_message(
    fd: RawFd,
    header: &mut [u8],
    parts: &[libc::iovec],
    flags: i32,
) -> Result<usize, Errno> {
    let all = headed(header.as_mut_ptr(), header.len(), parts);
    let flags = flags & (libc::MSG_PEEK | libc::MSG_DONTWAIT);
    receive_parts(fd, &all, flags | libc::MSG_TRUNC)
}
