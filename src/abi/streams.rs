//! Calls with plain buffers: send(2), recv(2), read(2), write(2), readv(2), writev(2).

use core::ffi::{c_int, c_void};
use core::net::SocketAddr;
use rustix::io::Errno;
use std::sync::Arc;

use super::border::{bytes, give_address, serve};
use super::{next, sockets};
use crate::driver::Arrived;
use crate::socket::address::{self, Given};
use crate::socket::datagram::{Asked, Told};
use crate::socket::{
    Family, Kind, Socket, datagram, error_queue, options, receive, send as sending, table,
};
use crate::sys::user::{Access, Buffers, MOST_MOVED, reachable};

/// Most iovecs a call may have (UIO_MAXIOV).
pub(super) const MOST_PARTS: usize = 1024;

/// What a receiving call gave.
pub(super) struct Got {
    /// The call's return value.
    pub(super) count: usize,
    /// The datagram was longer than the buffers.
    pub(super) truncated: bool,
    /// Where a datagram is from; `None` on a connection.
    pub(super) arrived: Option<Arrived>,
    /// It is an entry of the error queue: whom the packet was for, and what is told about it.
    pub(super) error: Option<(Option<SocketAddr>, Vec<Told>)>,
}

impl Got {
    /// The address that recvfrom(2) and recvmsg(2) give.
    pub(super) fn name(&self) -> Option<SocketAddr> {
        match &self.error {
            Some((name, _)) => *name,
            None => self.arrived.map(|arrived| arrived.from),
        }
    }
}

/// Sends from iovecs. `None`: make the call on the descriptor.
///
/// # Safety
/// `parts` describe the program's buffers, valid for the call.
pub(super) unsafe fn send_parts(
    fd: c_int,
    socket: &Arc<Socket>,
    parts: &[libc::iovec],
    to: Option<Given>,
    flags: c_int,
    asked: &Asked,
) -> Result<Option<usize>, Errno> {
    // SAFETY: the caller's promise.
    let data = unsafe { Buffers::new(parts, Access::Read) }?;
    let sent = match socket.kind {
        Kind::Stream => {
            let data = data.in_blocks().map_err(|fault| {
                // As on Linux, why nothing can be sent comes first.
                let flags = flags & !(libc::MSG_OOB | libc::MSG_ZEROCOPY);
                sending::refusal(fd, socket, flags).unwrap_or(fault)
            })?;
            sending::send(fd, socket, &data, flags, asked)
        }
        Kind::Datagram => datagram::send(fd, socket, &data, to, flags, asked),
    };
    sent_or_bound(fd, socket, sent.transpose())
}

/// What a call that sends or connects has come to. A UDP socket has a port by then.
pub(super) fn sent_or_bound<T>(
    fd: c_int,
    socket: &Arc<Socket>,
    sent: Result<T, Errno>,
) -> Result<T, Errno> {
    if sent.is_err() && socket.kind == Kind::Datagram {
        datagram::bind(fd, socket);
    }
    sent
}

/// Receives into iovecs. `None`: make the call on the descriptor.
///
/// # Safety
/// `parts` describe the program's buffers, valid for the call.
pub(super) unsafe fn receive_parts(
    fd: c_int,
    socket: &Arc<Socket>,
    parts: &[libc::iovec],
    flags: c_int,
) -> Result<Option<Got>, Errno> {
    // tcp(7): MSG_TRUNC throws bytes away, and needs no buffer for it.
    let discards = socket.kind == Kind::Stream
        && flags & (libc::MSG_TRUNC | libc::MSG_ERRQUEUE) == libc::MSG_TRUNC;
    let access = if discards {
        Access::None
    } else {
        Access::Write
    };
    // SAFETY: the caller's promise.
    let data = unsafe { Buffers::new(parts, access) }?;
    if flags & libc::MSG_ERRQUEUE != 0 {
        let taken = error_queue::take(fd, socket, data.len())?;
        let count = data.put(0, &taken.packet);
        if taken.len > count {
            // As on Linux, the entry is lost.
            data.whole()?;
        }
        return Ok(Some(Got {
            count,
            truncated: taken.len > count,
            arrived: None,
            error: Some((taken.name.map(SocketAddr::V4), taken.told)),
        }));
    }
    if socket.kind == Kind::Stream {
        let data = match data.whole() {
            Err(_) if !fits(fd, socket, &data, flags)? => data.in_blocks()?,
            _ => data,
        };
        let got = receive::receive(fd, socket, &data, flags).transpose()?;
        return Ok(got.map(|count| Got {
            count,
            truncated: false,
            arrived: None,
            error: None,
        }));
    }
    let datagram = datagram::receive(fd, socket, &data, flags)?;
    if datagram.len > data.len() {
        // As on Linux, the datagram is lost.
        data.whole()?;
    }
    Ok(Some(Got {
        count: if flags & libc::MSG_TRUNC != 0 {
            datagram.len
        } else {
            datagram.copied
        },
        truncated: datagram.len > datagram.copied,
        arrived: datagram.arrived,
        error: None,
    }))
}

/// A connection is to receive where the program does not have all the memory: whether what is there to be received fits
/// into what it has. As on Linux, that nothing is there comes first. What is there stays, but for an urgent byte.
fn fits(fd: c_int, socket: &Arc<Socket>, data: &Buffers<'_>, flags: c_int) -> Result<bool, Errno> {
    if flags & libc::MSG_OOB != 0 && data.len() > 0 {
        return Ok(true);
    }
    let flags = match flags & libc::MSG_OOB {
        0 => flags & !libc::MSG_WAITALL | libc::MSG_PEEK,
        _ => flags,
    };
    let mut room = vec![0; data.len() + 1];
    let look = || receive::receive(fd, socket, &Buffers::over(&mut room), flags);
    let found = options::without_passing(fd, socket, look).transpose()?;
    Ok(found.is_none_or(|found| found <= data.len()))
}

fn part(buffer: *const c_void, len: usize) -> [libc::iovec; 1] {
    [libc::iovec {
        iov_base: buffer.cast_mut(),
        iov_len: len.min(MOST_MOVED),
    }]
}

/// send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn send(
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SEND.get()(fd, buffer, len, flags) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        if !sockets::open_first(fd, &socket, None, flags)? {
            return Ok(None);
        }
        // SAFETY: the program's own buffer.
        let sent = unsafe {
            send_parts(
                fd,
                &socket,
                &part(buffer, len),
                None,
                flags,
                &Asked::default(),
            )
        }?;
        Ok(sent.map(|count| count as isize))
    })
}

/// sendto(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendto(
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
    to: *const libc::sockaddr,
    to_len: libc::socklen_t,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SENDTO.get()(fd, buffer, len, flags, to, to_len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own arguments.
        let to = unsafe { name(to, to_len) }?;
        if !sockets::open_first(fd, &socket, to, flags)? {
            return Ok(None);
        }
        let to = destination(fd, &socket, to, len, flags)?;
        // SAFETY: the program's own buffer.
        let sent = unsafe {
            send_parts(
                fd,
                &socket,
                &part(buffer, len),
                to,
                flags,
                &Asked::default(),
            )
        }?;
        Ok(sent.map(|count| count as isize))
    })
}

/// The name given to sendto(2) or sendmsg(2), if one was.
///
/// # Safety
/// As the program promises for these calls.
pub(super) unsafe fn name<'a>(
    to: *const libc::sockaddr,
    len: libc::socklen_t,
) -> Result<Option<&'a [u8]>, Errno> {
    if to.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { sockets::given_address(to, len) }.map(Some)
}

/// What IPv4's call looks at before the destination: IPv6's leaves to it what goes to an address of IPv4.
fn check_first(socket: &Socket, name: &[u8], len: usize, flags: c_int) -> Result<(), Errno> {
    let is_ipv4s = match socket.family() {
        Family::Inet => true,
        Family::Inet6 => address::is_v4(name) && !socket.state().options.v6_only,
    };
    match is_ipv4s {
        true => datagram::check_call(socket, true, len, flags),
        false => Ok(()),
    }
}

/// The destination of a datagram. A connection's is ignored, as on Linux.
pub(super) fn destination(
    fd: c_int,
    socket: &Arc<Socket>,
    name: Option<&[u8]>,
    len: usize,
    flags: c_int,
) -> Result<Option<Given>, Errno> {
    match (socket.kind, name) {
        // Nor does IPv4's call look where more of a datagram goes. (Another process may have had that sent meanwhile.)
        (Kind::Datagram, Some(name))
            if socket.family() == Family::Inet && datagram::is_held_back(socket) =>
        {
            Ok(address::read_destination(name, socket.family()).unwrap_or(None))
        }
        (Kind::Datagram, Some(name)) => {
            let given = check_first(socket, name, len, flags)
                .and_then(|()| address::read_destination(name, socket.family()));
            sent_or_bound(fd, socket, given)
        }
        _ => Ok(None),
    }
}

/// recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recv(
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::RECV.get()(fd, buffer, len, flags) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own buffer.
        let got = unsafe { receive_parts(fd, &socket, &part(buffer, len), flags) }?;
        Ok(got.map(|got| got.count as isize))
    })
}

/// recvfrom(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
    from: *mut libc::sockaddr,
    from_len: *mut libc::socklen_t,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::RECVFROM.get()(fd, buffer, len, flags, from, from_len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own buffer.
        let outcome = unsafe { receive_parts(fd, &socket, &part(buffer, len), flags) };
        let Some(got) = outcome? else {
            return Ok(None);
        };
        if !from.is_null() {
            let (bytes, count) = match got.name() {
                Some(name) => address::write(name, socket.family()),
                None => ([0; 28], 0),
            };
            // SAFETY: the program's own arguments.
            unsafe { give_address(&bytes[..count], from, from_len) }?;
        }
        Ok(Some(got.count as isize))
    })
}

/// read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn read(fd: c_int, buffer: *mut c_void, len: usize) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::READ.get()(fd, buffer, len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    if len == 0 {
        return 0;
    }
    serve(by_kernel, move || {
        reachable(buffer as usize, len)?;
        // SAFETY: the program's own buffer.
        let got = unsafe { receive_parts(fd, &socket, &part(buffer, len), 0) }?;
        Ok(got.map(|got| got.count as isize))
    })
}

/// write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn write(fd: c_int, buffer: *const c_void, len: usize) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::WRITE.get()(fd, buffer, len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        reachable(buffer as usize, len)?;
        // SAFETY: the program's own buffer.
        let sent =
            unsafe { send_parts(fd, &socket, &part(buffer, len), None, 0, &Asked::default()) }?;
        Ok(sent.map(|count| count as isize))
    })
}

/// The iovecs of readv(2), writev(2) and their kin. EINVAL: too many; EFAULT.
///
/// # Safety
/// As the program promises for those calls.
unsafe fn given_parts<'a>(
    parts: *const libc::iovec,
    count: c_int,
) -> Result<&'a [libc::iovec], Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
    if count > MOST_PARTS {
        return Err(Errno::INVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { iovecs(parts, count) }
}

/// `count` iovecs. EFAULT.
///
/// # Safety
/// The memory, if there, holds iovecs and stays unchanged for the call.
pub(super) unsafe fn iovecs<'a>(
    parts: *const libc::iovec,
    count: usize,
) -> Result<&'a [libc::iovec], Errno> {
    // SAFETY: the caller's promise; the bytes are only checked here.
    let raw = unsafe { bytes(parts.cast(), count * size_of::<libc::iovec>()) }?;
    if raw.is_empty() {
        return Ok(&[]);
    }
    // SAFETY: checked by `bytes`; programs align their iovecs, as the kernel's interface says.
    Ok(unsafe { core::slice::from_raw_parts(parts, count) })
}

/// Receives into the iovecs of readv(2) or preadv2(2).
///
/// # Safety
/// As the program promises for those calls.
pub(super) unsafe fn receive_vector(
    fd: c_int,
    socket: Arc<Socket>,
    (parts, count): (*const libc::iovec, c_int),
    flags: c_int,
    by_kernel: impl FnOnce() -> isize,
) -> isize {
    serve(by_kernel, move || {
        // SAFETY: the program's own arguments.
        let parts = unsafe { given_parts(parts, count) }?;
        if parts.iter().all(|part| part.iov_len == 0) {
            return Ok(Some(0));
        }
        // SAFETY: the program's own buffers.
        let got = unsafe { receive_parts(fd, &socket, parts, flags) }?;
        Ok(got.map(|got| got.count as isize))
    })
}

/// Sends from the iovecs of writev(2) or pwritev2(2).
///
/// # Safety
/// As the program promises for those calls.
pub(super) unsafe fn send_vector(
    fd: c_int,
    socket: Arc<Socket>,
    (parts, count): (*const libc::iovec, c_int),
    flags: c_int,
    by_kernel: impl FnOnce() -> isize,
) -> isize {
    serve(by_kernel, move || {
        // SAFETY: the program's own arguments.
        let parts = unsafe { given_parts(parts, count) }?;
        if parts.iter().all(|part| part.iov_len == 0) {
            return Ok(Some(0));
        }
        // SAFETY: the program's own buffers.
        let sent = unsafe { send_parts(fd, &socket, parts, None, flags, &Asked::default()) }?;
        Ok(sent.map(|count| count as isize))
    })
}

/// readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn readv(fd: c_int, parts: *const libc::iovec, count: c_int) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::READV.get()(fd, parts, count) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    // SAFETY: the program's own arguments.
    unsafe { receive_vector(fd, socket, (parts, count), 0, by_kernel) }
}

/// writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn writev(
    fd: c_int,
    parts: *const libc::iovec,
    count: c_int,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::WRITEV.get()(fd, parts, count) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    // SAFETY: the program's own arguments.
    unsafe { send_vector(fd, socket, (parts, count), 0, by_kernel) }
}
