//! socket(2), bind(2), listen(2), accept(2), accept4(2), connect(2), shutdown(2).

use core::ffi::c_int;
use rustix::io::Errno;
use std::sync::Arc;

use super::border::{answer, bytes, give_address, result, serve};
use super::next;
use super::streams::sent_or_bound;
use crate::driver::keeper::First;
use crate::driver::{Passed, Service, count_passed, service};
use crate::socket::accept::{Accepted, Flags, accept as accept_ours, kernel_peer};
use crate::socket::bind::Rest;
use crate::socket::{
    Family, Kind, Socket, address, bind as binding, connect as connecting, create, inherited,
    served, table,
};

/// Longest address accepted (`struct sockaddr_storage`).
const ADDRESS_MAX: libc::socklen_t = 128;

/// The family and kind of a triple that is ours to serve.
fn ours(domain: c_int, kind: c_int, protocol: c_int) -> Option<(Family, Kind)> {
    let family = match domain {
        libc::AF_INET => Family::Inet,
        libc::AF_INET6 => Family::Inet6,
        _ => return None,
    };
    match (kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC), protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Some((family, Kind::Stream)),
        (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Some((family, Kind::Datagram)),
        _ => None,
    }
}

/// socket(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: integers only.
    let by_kernel = || unsafe { next::SOCKET.get()(domain, kind, protocol) };
    let Some((family, sort)) = ours(domain, kind, protocol) else {
        if matches!(domain, libc::AF_INET | libc::AF_INET6) {
            count_passed(Passed::Protocol);
        }
        return by_kernel();
    };
    inherited::take_over();
    answer(|| match service() {
        Service::Stack => {
            let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
            let close_on_exec = kind & libc::SOCK_CLOEXEC != 0;
            match create::create(family, sort, nonblocking, close_on_exec) {
                // A signal handler inside one of our own calls: the kernel serves it.
                Err(Errno::NETDOWN) => {
                    count_passed(Passed::SignalHandler);
                    result(by_kernel())
                }
                made => made,
            }
        }
        Service::Keeper => {
            let made = result(by_kernel())?;
            served::enter(made, family, sort, kind & libc::SOCK_NONBLOCK != 0);
            Ok(made)
        }
        Service::Kernel => {
            count_passed(Passed::Refused);
            result(by_kernel())
        }
        Service::Denied => Err(Errno::ACCESS),
        Service::None => Err(Errno::NETDOWN),
    })
}

/// The address a program passes to bind(2), connect(2) or sendto(2).
///
/// # Safety
/// As the program promises for those calls.
pub(super) unsafe fn given_address<'a>(
    address: *const libc::sockaddr,
    len: libc::socklen_t,
) -> Result<&'a [u8], Errno> {
    if len > ADDRESS_MAX {
        return Err(Errno::INVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { bytes(address.cast(), len as usize) }
}

/// bind(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn bind(
    fd: c_int,
    address: *const libc::sockaddr,
    len: libc::socklen_t,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::BIND.get()(fd, address, len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    answer(|| {
        // SAFETY: the program's own arguments.
        let address = unsafe { given_address(address, len) }?;
        create::claim(fd, &socket, || Some(First::Local(address.to_vec())))?;
        match binding::bind(fd, &socket, address)? {
            Rest::Done => Ok(0),
            Rest::Kernel => result(by_kernel()),
        }
    })
}

/// listen(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn listen(fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: integers only.
    let by_kernel = || unsafe { next::LISTEN.get()(fd, backlog) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    answer(|| {
        if socket.kind == Kind::Datagram {
            return Err(Errno::OPNOTSUPP);
        }
        create::claim(fd, &socket, || Some(First::Any))?;
        match binding::listen(fd, &socket, backlog)? {
            Rest::Done => Ok(0),
            Rest::Kernel => result(by_kernel()),
        }
    })
}

/// connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn connect(
    fd: c_int,
    address: *const libc::sockaddr,
    len: libc::socklen_t,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::CONNECT.get()(fd, address, len) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own arguments.
        let address = unsafe { given_address(address, len) }?;
        if address.len() < size_of::<libc::sa_family_t>() {
            return Err(Errno::INVAL);
        }
        let claimed = create::claim(fd, &socket, || Some(First::Remote(address.to_vec())));
        sent_or_bound(fd, &socket, claimed)?;
        match connecting::connect(fd, &socket, address, 0)? {
            Rest::Done => Ok(Some(0)),
            Rest::Kernel => Ok(None),
        }
    })
}

/// What MSG_FASTOPEN (tcp(7)) asks for before anything is sent: a connection, whose SYN waits for the bytes, if the peer's
/// cookie is known. False: the call is the kernel's to make.
pub(super) fn open_first(
    fd: c_int,
    socket: &Arc<Socket>,
    to: Option<&[u8]>,
    flags: c_int,
) -> Result<bool, Errno> {
    if flags & libc::MSG_FASTOPEN == 0 || socket.kind != Kind::Stream {
        return Ok(true);
    }
    let Some(to) = to else {
        return Err(match socket.is_idle() {
            true => Errno::INVAL,
            false => Errno::ISCONN,
        });
    };
    if to.len() < size_of::<libc::sa_family_t>() {
        return Err(Errno::INVAL);
    }
    if to.starts_with(&(libc::AF_UNSPEC as libc::sa_family_t).to_ne_bytes()) {
        return Err(Errno::OPNOTSUPP);
    }
    create::claim(fd, socket, || Some(First::Remote(to.to_vec())))?;
    let rest = connecting::connect(fd, socket, to, flags)?;
    Ok(matches!(rest, Rest::Done))
}

/// accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> c_int {
    if table::get(fd).is_none() {
        // SAFETY: the program's own arguments.
        return unsafe { next::ACCEPT.get()(fd, address, len) };
    }
    // SAFETY: the program's own arguments.
    unsafe { accept4(fd, address, len, 0) }
}

/// accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept4(
    fd: c_int,
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::ACCEPT4.get()(fd, address, len, flags) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Errno::INVAL);
        }
        let flags = Flags {
            nonblocking: flags & libc::SOCK_NONBLOCK != 0,
            close_on_exec: flags & libc::SOCK_CLOEXEC != 0,
        };
        let Some(accepted) = accept_ours(fd, &socket, flags) else {
            return Ok(None);
        };
        let Accepted { fd: made, peer } = accepted?;
        if address.is_null() {
            return Ok(Some(made));
        }
        let given = match peer {
            Some(peer) => {
                let (bytes, count) = address::write(peer, socket.family());
                // SAFETY: the program's own arguments.
                unsafe { give_address(&bytes[..count], address, len) }
            }
            None => kernel_peer(made, socket.family()).and_then(|bytes| {
                // SAFETY: the program's own arguments.
                unsafe { give_address(&bytes, address, len) }
            }),
        };
        // As on Linux, a connection whose address cannot be given is lost.
        if let Err(errno) = given {
            // SAFETY: an integer only.
            unsafe { super::descriptors::close(made) };
            return Err(errno);
        }
        Ok(Some(made))
    })
}

/// shutdown(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn shutdown(fd: c_int, how: c_int) -> c_int {
    // SAFETY: integers only.
    let by_kernel = || unsafe { next::SHUTDOWN.get()(fd, how) };
    let Some(socket) = table::get(fd) else {
        return by_kernel();
    };
    answer(
        || match crate::socket::lifecycle::shutdown(fd, &socket, how) {
            Some(outcome) => outcome.map(|()| 0),
            None => result(by_kernel()),
        },
    )
}
