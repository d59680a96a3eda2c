//! Socket pairs: the descriptor the program holds, and the end the stack holds.

use super::owned::OwnedFd;
use core::mem::{MaybeUninit, offset_of};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recv, recvmsg, send,
    sendmsg, shutdown, socketpair,
};
use syscalls::{Sysno, syscall3, syscall5};

use super::{descriptor, option, spare};

/// A pair: the program's end, on the lowest free number, and the stack's.
pub struct Pair {
    /// What the program's descriptor will be.
    pub program: OwnedFd,
    /// Ours, moved out of the program's way.
    pub stack: OwnedFd,
}

/// What a listener's pair gave.
pub struct Received {
    /// The descriptor handed over; `None` at the end of the stream.
    pub descriptor: Option<OwnedFd>,
    /// The message that came with it.
    pub handed: [u8; HANDED],
}

/// Bytes of a message that hands a descriptor over.
pub const HANDED: usize = 21;

/// Makes a pair (socketpair(2)). `message` keeps message boundaries and still tells when the
/// program's last descriptor is closed (SOCK_SEQPACKET), else it is a byte stream.
pub fn make(message: bool, nonblocking: bool, close_on_exec: bool) -> Result<Pair, Errno> {
    let kind = if message {
        SocketType::SEQPACKET
    } else {
        SocketType::STREAM
    };
    let mut flags = SocketFlags::empty();
    flags.set(SocketFlags::NONBLOCK, nonblocking);
    flags.set(SocketFlags::CLOEXEC, close_on_exec);
    let make = || socketpair(AddressFamily::UNIX, kind, flags, None);
    let (program, stack) = spare::with(|| descriptor::with_room(make))?;
    // Moving the stack's end makes it close-on-exec; where there is no room to move it to, the
    // flag is set. No fork of this program's comes between: the engine's lock is held.
    let stack = descriptor::moved(stack)?;
    if !close_on_exec && descriptor::floor() == 0 {
        rustix::io::fcntl_setfd(&stack, rustix::io::FdFlags::CLOEXEC)?;
    }
    let program = program.into();
    Ok(Pair { program, stack })
}

/// Makes a pair that keeps message boundaries, of which both ends are our own.
pub fn make_own() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let make = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let (one, other) = descriptor::with_room(make)?;
    Ok((descriptor::moved(one)?, descriptor::moved(other)?))
}

/// Takes a descriptor that was handed over, without waiting. AGAIN: none is there.
pub fn take_descriptor(end: impl AsFd, close_on_exec: bool) -> Result<Received, Errno> {
    let mut handed = [0; HANDED];
    let (_, descriptor) = take_message(end, &mut handed, close_on_exec)?;
    Ok(Received { descriptor, handed })
}

/// Takes a message, and the descriptor that may come with it, without waiting; the message's
/// length. AGAIN: none is there.
pub fn take_message(
    end: impl AsFd,
    message: &mut [u8],
    close_on_exec: bool,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::DONTWAIT;
    flags.set(RecvFlags::CMSG_CLOEXEC, close_on_exec);
    let parts = &mut [IoSliceMut::new(message)];
    let received = descriptor::with_room(|| recvmsg(end, parts, &mut control, flags));
    let count = received?.bytes;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next().map(OwnedFd::from),
        _ => None,
    });
    Ok((count, descriptor))
}

/// Sends without waiting and without SIGPIPE; how many bytes were taken.
pub fn give(end: impl AsFd, data: &[u8]) -> Result<usize, Errno> {
    send(end, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

/// The same of bytes that lie in several places.
pub fn give_parts(end: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    match parts {
        [data] => give(end, data.as_slice()),
        _ => {
            let mut none = SendAncillaryBuffer::default();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            sendmsg(end, parts, &mut none, flags)
        }
    }
}

/// Where the kernel notes how many bytes a call has moved, before this process can end: a `struct mmsghdr`.
pub type Head = [u64; 8];

const _: () = assert!(size_of::<Head>() == size_of::<libc::mmsghdr>());
const _: () = assert!(offset_of!(libc::mmsghdr, msg_len) == 56);

/// As [`give_parts`], noted in `head`.
pub fn give_noted(end: impl AsFd, parts: &[IoSlice<'_>], head: &mut Head) -> Result<usize, Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    // SAFETY: the kernel only reads what lies in the parts.
    unsafe { move_noted(SEND, end.as_fd(), parts, flags.bits(), head) }
}

/// Sends one urgent byte (MSG_OOB) without waiting, noted in `head`. OPNOTSUPP: before Linux 5.15, or where it is
/// built without.
pub fn give_urgent(end: impl AsFd, byte: u8, head: &mut Head) -> Result<usize, Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::OOB;
    let parts = [IoSlice::new(core::slice::from_ref(&byte))];
    // SAFETY: as above.
    unsafe { move_noted(SEND, end.as_fd(), &parts, flags.bits(), head) }
}

/// As [`take`], noted in `head`.
pub fn take_noted(end: impl AsFd, buffer: &mut [u8], head: &mut Head) -> Result<usize, Errno> {
    let flags = RecvFlags::DONTWAIT.bits();
    let parts = [IoSliceMut::new(buffer)];
    // SAFETY: the buffer, which the kernel writes, is this call's alone.
    unsafe { move_noted(RECEIVE, end.as_fd(), &parts, flags, head) }
}

/// A call on one message that notes in its head how many bytes it has moved, and the one that does not.
type Calls = [Sysno; 2];
const SEND: Calls = [Sysno::sendmmsg, Sysno::sendmsg];
const RECEIVE: Calls = [Sysno::recvmmsg, Sysno::recvmsg];

/// sendmmsg(2) or recvmmsg(2) of one message; where a filter forbids that (seccomp(2)), the plain call, noted after it.
///
/// # Safety
/// `parts` are `struct iovec`s of memory that the kernel may use as it does in `calls`.
unsafe fn move_noted<T>(
    [noting, plain]: Calls,
    end: BorrowedFd<'_>,
    parts: &[T],
    flags: u32,
    head: &mut Head,
) -> Result<usize, Errno> {
    const { assert!(size_of::<T>() == size_of::<libc::iovec>()) };
    // SAFETY: zeros are a message without name, parts and control messages.
    let mut message: libc::mmsghdr = unsafe { core::mem::zeroed() };
    message.msg_hdr.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_hdr.msg_iovlen = parts.len();
    let head = core::ptr::from_mut(head).cast::<libc::mmsghdr>();
    // SAFETY: it has the size, and is aligned.
    unsafe { head.write(message) };
    let (fd, flags) = (end.as_raw_fd() as usize, flags as usize);
    // SAFETY: the head, which begins with a `struct msghdr`, lives across the call; the rest is as the caller says.
    // recvmmsg's timeout is null.
    let moved = unsafe {
        match syscall5(noting, fd, head as usize, 1, flags, 0) {
            Err(syscalls::Errno::EPERM | syscalls::Errno::ENOSYS) => {
                let moved = syscall3(plain, fd, head as usize, flags);
                (*head).msg_len = *moved.as_ref().unwrap_or(&0) as u32;
                moved
            }
            Ok(_) => Ok((*head).msg_len as usize),
            Err(errno) => Err(errno),
        }
    };
    moved.map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))
}

/// Sends one message of two parts without waiting.
pub fn give_message(end: impl AsFd, header: &[u8], data: &[u8]) -> Result<usize, Errno> {
    give_parts(end, &[IoSlice::new(header), IoSlice::new(data)])
}

/// Hands a descriptor over with a message (SCM_RIGHTS, unix(7)).
pub fn give_descriptor(end: impl AsFd, data: &[u8], fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [fd];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let parts = [IoSlice::new(data)];
    sendmsg(
        end,
        &parts,
        &mut control,
        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
    )
}

/// Most descriptors that go with one message (SCM_MAX_FD).
pub const MOST_DESCRIPTORS: usize = 253;

/// Hands over at most [`MOST_DESCRIPTORS`] with one message.
pub fn give_descriptors(
    end: impl AsFd,
    data: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let parts = [IoSlice::new(data)];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(end, &parts, &mut control, flags)
}

/// Takes a message and what comes with it, without waiting; the message's length, which is 0 at the
/// end of the stream. AGAIN: none is there.
pub fn take_descriptors(
    end: impl AsFd,
    message: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    receive_descriptors(end, message, RecvFlags::empty())
}

/// The same of the next message that was not looked at since [`look_from_start`]: it stays there, with
/// what comes with it, of which this process gets copies.
pub fn look_at_descriptors(
    end: impl AsFd,
    message: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    receive_descriptors(end, message, RecvFlags::PEEK)
}

/// Looks at what is there from the oldest on (SO_PEEK_OFF, socket(7)).
pub fn look_from_start(end: impl AsFd) -> Result<(), Errno> {
    option::set_integer(end.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, 0)
}

fn receive_descriptors(
    end: impl AsFd,
    message: &mut [u8],
    how: RecvFlags,
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC | how;
    let parts = &mut [IoSliceMut::new(message)];
    let count = recvmsg(end, parts, &mut control, flags)?.bytes;
    let mut taken = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            taken.extend(descriptors.map(OwnedFd::from));
        }
    }
    Ok((count, taken))
}

/// Whether every descriptor that was handed over has been taken (SIOCOUTQ).
///
/// The kernel tells of room (EPOLLOUT) before it lets go of the last byte it has counted for a message. So who is woken by
/// that may find one byte per message left, though nothing is in the queue, and is not woken again. What is in the queue
/// counts for as much as its own bytes at least.
pub fn is_drained(end: &OwnedFd) -> bool {
    super::raw::unsent(end.as_raw_fd()).is_ok_and(|left| left < HANDED)
}

/// Receives without waiting; 0 is the end of the stream.
pub fn take(end: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    recv(end, buffer, RecvFlags::DONTWAIT).map(|(count, _)| count)
}

/// At most so many bytes of what is there, which stays.
pub fn look(end: impl AsFd, most: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; most];
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let count = recv(end, bytes.as_mut_slice(), flags)?.0;
    bytes.truncate(count);
    Ok(bytes)
}

/// Tells the program that no more bytes will come.
pub fn finish(end: impl AsFd) -> Result<(), Errno> {
    shutdown(end, Shutdown::Write)
}
