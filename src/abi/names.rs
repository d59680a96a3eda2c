//! getsockname(2), getpeername(2), getsockopt(2), setsockopt(2).

use core::ffi::{c_int, c_void};
use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::fd::AsRawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::border::{answer, bytes, give_address, read, result, values, write};
use super::next;
use crate::socket::{Kind, Socket, address, away, create, options, pages, served, table};

/// getsockname(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getsockname(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> c_int {
    let served = table::get(fd).filter(|socket| !served::has_address_unseen(fd, socket));
    let Some(socket) = served else {
        // SAFETY: the program's own arguments.
        return unsafe { next::GETSOCKNAME.get()(fd, address, len) };
    };
    answer(|| {
        away::refresh(fd, &socket);
        let local = socket.state().name();
        let local = local.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let (bytes, count) = address::write(local, socket.family());
        // SAFETY: the program's own arguments.
        unsafe { give_address(&bytes[..count], address, len) }.map(|()| 0)
    })
}

/// getpeername(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getpeername(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> c_int {
    let Some(socket) = table::get(fd) else {
        // SAFETY: the program's own arguments.
        return unsafe { next::GETPEERNAME.get()(fd, address, len) };
    };
    answer(|| {
        let remote = crate::socket::connect::peer(fd, &socket);
        // Who is connected to port 0 has no peer to name, as on Linux.
        let remote = remote.filter(|remote| remote.port() != 0);
        let remote = remote.ok_or(Errno::NOTCONN)?;
        let (bytes, count) = address::write(remote, socket.family());
        // SAFETY: the program's own arguments.
        unsafe { give_address(&bytes[..count], address, len) }.map(|()| 0)
    })
}

/// setsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: libc::socklen_t,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SETSOCKOPT.get()(fd, level, name, value, len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    answer(|| {
        if (len as i32) < 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: the program's own arguments.
        let value = unsafe { bytes(value, (len as usize).min(4096)) }?;
        match options::set(fd, &socket, level, name, value) {
            Some(outcome) => outcome.map(|()| 0),
            None => result(by_kernel()),
        }
    })
}

/// getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> c_int {
    // SAFETY: the program's own arguments; any descriptor will do.
    let of = |fd| unsafe { next::GETSOCKOPT.get()(fd, level, name, value, len) };
    let Some(socket) = table::get(fd) else {
        return of(fd);
    };
    answer(|| {
        if let Some(answered) =
            options::get_by_argument(&socket, (level, name), |fd| result(of(fd)))
        {
            return answered;
        }
        // SAFETY: the program's own arguments.
        let Ok(room) = (unsafe { read(len) }) else {
            // What is told first is the kernel's to say.
            let kernel = create::kernel_socket(&socket)?;
            return result(of(kernel.as_raw_fd()));
        };
        if (level, name) == pages::OPTION && socket.kind == Kind::Stream {
            // SAFETY: as above.
            return unsafe { give_pages(fd, &socket, value.cast(), room as i32, len) }.map(|()| 0);
        }
        let Some(held) = options::get(fd, &socket, level, name, room as i32) else {
            return result(of(fd));
        };
        let held = held?;
        if held.len() > usize::try_from(room as i32).unwrap_or(0) {
            // SAFETY: read above.
            unsafe { write(len, held.len() as libc::socklen_t) }?;
            return Err(Errno::INVAL);
        }
        // SAFETY: the program's buffer of `room` bytes, of which no more are given.
        unsafe { values(value.cast::<u8>(), held.len()) }?.copy_from_slice(&held);
        // SAFETY: read above.
        unsafe { write(len, held.len() as libc::socklen_t) }.map(|()| 0)
    })
}

/// TCP_ZEROCOPY_RECEIVE: as long as it is, with nothing behind what is known of it.
///
/// # Safety
/// `value` and `len` are what the program passed.
unsafe fn give_pages(
    fd: c_int,
    socket: &Arc<Socket>,
    value: *mut u8,
    room: i32,
    len: *mut libc::socklen_t,
) -> Result<(), Errno> {
    let given = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    let known = given.min(pages::LEN);
    if given > known {
        // SAFETY: as the caller says.
        let behind = unsafe { bytes(value.wrapping_add(known).cast(), given - known) }?;
        if behind.iter().any(|&byte| byte != 0) {
            return Err(Errno::INVAL);
        }
        // SAFETY: as the caller says.
        unsafe { write(len, known as libc::socklen_t) }?;
    }
    // SAFETY: as the caller says.
    let fields = unsafe { values(value, known) }?;
    // SAFETY: the program passed the buffer it names, too.
    let answer = unsafe { pages::receive_pages(fd, socket, fields) }?;
    fields.copy_from_slice(&answer);
    Ok(())
}
