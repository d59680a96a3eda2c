//! sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2).

use core::ffi::{c_int, c_uint};
use rustix::io::Errno;
use std::sync::Arc;

use super::border::{bytes, read, serve, values, write};
use super::poll::timeout_of;
use super::streams::{
    MOST_PARTS, destination, iovecs, name, receive_parts, send_parts, sent_or_bound,
};
use super::{control, next, sockets};
use crate::driver::system_limits;
use crate::socket::datagram::Asked;
use crate::socket::waiting::deadline;
use crate::socket::{
    Kind, Socket, address, away, connect, datagram, lifecycle, options, send, table,
};
use crate::sys::{clock, cmsg};

/// What only the kernel's own callers may say, of 32-bit programs (MSG_CMSG_COMPAT).
const COMPAT: c_int = c_int::MIN;
/// Most descriptors that go with one message (SCM_MAX_FD).
const MOST_PASSED: usize = 253;

/// Sends one message. `None`: make the call on the descriptor.
///
/// # Safety
/// `message` is the program's.
unsafe fn send_message(
    fd: c_int,
    socket: &Arc<Socket>,
    message: &libc::msghdr,
    flags: c_int,
) -> Result<Option<usize>, Errno> {
    if flags & COMPAT != 0 {
        return Err(Errno::INVAL);
    }
    let to = match room_for_name(message)? {
        0 => None,
        // SAFETY: the program's own message.
        len => unsafe { name(message.msg_name.cast(), len) }?,
    };
    if message.msg_iovlen > MOST_PARTS {
        return Err(Errno::MSGSIZE);
    }
    // SAFETY: the program's own message.
    let parts = unsafe { iovecs(message.msg_iov, message.msg_iovlen) }?;
    room_for_control(message)?;
    // SAFETY: the program's own message.
    let control = unsafe { bytes(message.msg_control, message.msg_controllen) }?;
    if !sockets::open_first(fd, socket, to, flags)? {
        return Ok(None);
    }
    let len = parts.iter().map(|part| part.iov_len);
    let len = len.fold(0, usize::saturating_add);
    let to = destination(fd, socket, to, len, flags)?;
    let asked = match datagram::check(control, socket) {
        Ok(asked) => asked,
        // What is held back has been asked for already.
        Err(_) if datagram::is_held_back(socket) => Asked::default(),
        // As on Linux, what else is wrong with the call, and whether there is a peer at all, is asked first.
        Err(errno) => {
            let refusal = match socket.kind {
                Kind::Stream => send::refusal(fd, socket, flags),
                Kind::Datagram => {
                    let peer = to.is_some() || connect::peer(fd, socket).is_some();
                    let wrong = datagram::check_call(socket, peer, len, flags).err();
                    wrong.or((!peer).then_some(Errno::DESTADDRREQ))
                }
            };
            return sent_or_bound(fd, socket, Err(refusal.unwrap_or(errno)));
        }
    };
    // SAFETY: the program's own buffers.
    unsafe { send_parts(fd, socket, parts, to, flags, &asked) }
}

/// sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmsg(
    fd: c_int,
    message: *const libc::msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SENDMSG.get()(fd, message, flags) };
    let Some(socket) = table::get(fd) else {
        // SAFETY: the program's own message.
        unsafe { note_passed(message) };
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own arguments.
        let sent = unsafe { send_message(fd, &socket, &read(message)?, flags) }?;
        Ok(sent.map(|count| count as isize))
    })
}

/// Notes descriptors of ours that are about to be passed to another process (SCM_RIGHTS), which
/// will write to them where we do not see it.
///
/// # Safety
/// `message` is the program's.
unsafe fn note_passed(message: *const libc::msghdr) {
    // SAFETY: the program's own message; a bad one is the kernel's to refuse.
    if let Ok(message) = unsafe { read(message) } {
        // SAFETY: as above.
        for fd in unsafe { passed(&message) } {
            if let Some(socket) = table::get(fd) {
                lifecycle::passed_on(fd, &socket);
            }
        }
    }
}

/// Notes descriptors that have come from another process: some may be sockets of ours.
///
/// # Safety
/// `message` is the program's, and was filled by the kernel.
unsafe fn note_arrived(message: *const libc::msghdr) {
    // SAFETY: the program's own message.
    if let Ok(message) = unsafe { read(message) } {
        // SAFETY: as above.
        unsafe { passed(&message) }
            .into_iter()
            .for_each(away::arrived);
    }
}

/// The descriptors that go with a message.
///
/// # Safety
/// `message` is the program's.
unsafe fn passed(message: &libc::msghdr) -> Vec<c_int> {
    // SAFETY: the program's own control buffer, looked at here and not kept.
    let control = unsafe { bytes(message.msg_control, message.msg_controllen) };
    let mut rest = control.unwrap_or_default();
    let mut found = Vec::new();
    while let Some((message, behind)) = cmsg::first(rest) {
        rest = behind;
        if (message.level, message.kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            let (numbers, _) = message.data.as_chunks();
            let numbers = numbers.iter().take(MOST_PASSED);
            found.extend(numbers.map(|number| c_int::from_ne_bytes(*number)));
        }
    }
    found
}

/// sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmmsg(
    fd: c_int,
    messages: *mut libc::mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SENDMMSG.get()(fd, messages, count, flags) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        let count = count.min(MOST_PARTS as c_uint);
        for at in 0..count {
            // SAFETY: the program's own messages.
            let sent = unsafe { one_of(messages, at) }.and_then(|message| {
                // SAFETY: as above.
                let sent = unsafe { send_message(fd, &socket, &message.msg_hdr, flags) }?;
                Ok(sent.map(|len| message.msg_len = len as c_uint))
            });
            match sent {
                Ok(Some(())) => {}
                Ok(None) if at == 0 => return Ok(None),
                Err(errno) if at == 0 => return Err(errno),
                _ => return Ok(Some(at as c_int)),
            }
        }
        Ok(Some(count as c_int))
    })
}

/// One of the program's messages. EFAULT: this one is not there.
///
/// # Safety
/// As `values`.
unsafe fn one_of<'a>(
    messages: *mut libc::mmsghdr,
    at: c_uint,
) -> Result<&'a mut libc::mmsghdr, Errno> {
    // SAFETY: the caller's promise.
    let found = unsafe { values(messages.wrapping_add(at as usize), 1) }?;
    found.first_mut().ok_or(Errno::FAULT)
}

/// The length of a message's name, or the room for one: as on Linux no more than any address has.
/// EINVAL: it is negative.
fn room_for_name(message: &libc::msghdr) -> Result<libc::socklen_t, Errno> {
    if message.msg_name.is_null() {
        return Ok(0);
    }
    if message.msg_namelen.cast_signed() < 0 {
        return Err(Errno::INVAL);
    }
    Ok(message
        .msg_namelen
        .min(size_of::<libc::sockaddr_storage>() as libc::socklen_t))
}

/// Whether control messages may take so much. ENOBUFS, as on Linux even where there are none.
fn room_for_control(message: &libc::msghdr) -> Result<(), Errno> {
    match message.msg_controllen {
        0 => Ok(()),
        len if len < system_limits().optmem_max => Ok(()),
        _ => Err(Errno::NOBUFS),
    }
}

/// Receives one message. `None`: make the call on the descriptor.
///
/// # Safety
/// `message` is the program's.
unsafe fn receive_message(
    fd: c_int,
    socket: &Arc<Socket>,
    message: &mut libc::msghdr,
    flags: c_int,
) -> Result<Option<usize>, Errno> {
    if flags & COMPAT != 0 {
        return Err(Errno::INVAL);
    }
    let room = room_for_name(message)?;
    if message.msg_iovlen > MOST_PARTS {
        return Err(Errno::MSGSIZE);
    }
    // SAFETY: the program's own message.
    let parts = unsafe { iovecs(message.msg_iov, message.msg_iovlen) }?;
    // SAFETY: the program's own buffers.
    let Some(got) = (unsafe { receive_parts(fd, socket, parts, flags) })? else {
        return Ok(None);
    };
    match got.name() {
        Some(name) if !message.msg_name.is_null() => {
            let (bytes, count) = address::write(name, socket.family());
            let room = count.min(room as usize);
            // SAFETY: the program's own buffer for the name.
            unsafe { values(message.msg_name.cast::<u8>(), room) }?.copy_from_slice(&bytes[..room]);
            message.msg_namelen = count as libc::socklen_t;
        }
        None if !message.msg_name.is_null() => message.msg_namelen = 0,
        _ => {}
    }
    message.msg_flags = flags & libc::MSG_CMSG_CLOEXEC;
    if got.truncated {
        message.msg_flags |= libc::MSG_TRUNC;
    }
    if socket.kind == Kind::Stream && got.error.is_none() {
        message.msg_flags |= flags & libc::MSG_OOB;
    }
    let told = match got.error {
        Some((_, told)) => {
            message.msg_flags |= libc::MSG_ERRQUEUE;
            told
        }
        None => match &got.arrived {
            Some(arrived) => {
                if datagram::is_cut(socket, arrived) {
                    message.msg_flags |= libc::MSG_CTRUNC;
                }
                datagram::tell(socket, arrived)
            }
            None => datagram::tell_of_connection(fd, socket, got.count > 0),
        },
    };
    // SAFETY: the program's own message.
    unsafe { control::give(message, &told) }?;
    Ok(Some(got.count))
}

/// recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvmsg(
    fd: c_int,
    message: *mut libc::msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::RECVMSG.get()(fd, message, flags) };
    let Some(socket) = table::get(fd) else {
        let outcome = by_kernel();
        if outcome >= 0 {
            // SAFETY: the program's own message.
            unsafe { note_arrived(message) };
        }
        return outcome;
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own message.
        let mut held = unsafe { read(message) }?;
        // SAFETY: the program's own message.
        let got = unsafe { receive_message(fd, &socket, &mut held, flags) }?;
        if got.is_some() {
            // SAFETY: read above.
            unsafe { write(message, held) }?;
        }
        Ok(got.map(|count| count as isize))
    })
}

/// recvmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvmmsg(
    fd: c_int,
    messages: *mut libc::mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut libc::timespec,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::RECVMMSG.get()(fd, messages, count, flags, timeout) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own timeout.
        let deadline = deadline(unsafe { timeout_of(timeout) }?);
        // What is pending ends the call before it begins.
        if socket.kind == Kind::Stream
            && flags & libc::MSG_ERRQUEUE == 0
            && let Some(errno) = options::take_error(fd, &socket)
        {
            return Err(errno);
        }
        let once = flags & libc::MSG_WAITFORONE != 0;
        let mut flags = flags & !libc::MSG_WAITFORONE;
        let (mut received, mut left) = (0, None);
        while received < count {
            // SAFETY: the program's own messages.
            let got = unsafe { one_of(messages, received) }.and_then(|message| {
                // SAFETY: as above.
                let got = unsafe { receive_message(fd, &socket, &mut message.msg_hdr, flags) }?;
                Ok(got.map(|len| message.msg_len = len as c_uint))
            });
            match got {
                Ok(Some(())) => {}
                Ok(None) if received == 0 => return Ok(None),
                Err(errno) if received == 0 => return Err(errno),
                Err(errno) if errno != Errno::AGAIN => {
                    options::put_error_back(fd, &socket, errno);
                    break;
                }
                _ => break,
            }
            received += 1;
            left = deadline.map(left_until);
            if once {
                flags |= libc::MSG_DONTWAIT;
            }
            if deadline.is_some_and(|deadline| deadline <= clock::monotonic()) {
                break;
            }
        }
        if let Some(left) = left {
            // SAFETY: read above.
            unsafe { write(timeout, left) }?;
        }
        Ok(Some(received as c_int))
    })
}

/// What is left of the time, as the kernel says it.
pub(super) fn left_until(deadline: u64) -> libc::timespec {
    const SECOND: u64 = 1_000_000_000;
    let left = deadline.saturating_sub(clock::monotonic());
    libc::timespec {
        tv_sec: (left / SECOND) as libc::time_t,
        tv_nsec: (left % SECOND) as libc::c_long,
    }
}
