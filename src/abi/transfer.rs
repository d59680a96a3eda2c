//! sendfile(2) to a socket of ours, splice(2).

use core::ffi::c_int;
use rustix::io::Errno;

use super::border::{answer, serve};
use super::next;
use super::streams::send_parts;
use crate::socket::datagram::Asked;
use crate::socket::{Kind, lifecycle, table};
use crate::sys::file::read_at;

/// Bytes read from the file at a time.
const PIECE: usize = 128 * 1024;

/// sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut libc::off_t,
    count: usize,
) -> isize {
    // SAFETY: the program's own arguments.
    let by_kernel = || unsafe { next::SENDFILE.get()(to, from, offset, count) };
    let Some(socket) = table::get(to) else {
        return by_kernel();
    };
    if socket.kind != Kind::Stream {
        return by_kernel();
    }
    serve(by_kernel, move || {
        let mut at = match offset.is_null() {
            // SAFETY: the program's own offset.
            false => unsafe { super::border::read(offset) }?,
            // What cannot be sought cannot be spliced from (sendfile(2)).
            true => crate::sys::file::position(from).map_err(|errno| match errno {
                Errno::SPIPE => Errno::INVAL,
                errno => errno,
            })?,
        };
        let mut piece = vec![0; PIECE.min(count)];
        let mut sent = 0;
        while sent < count {
            let most = piece.len().min(count - sent);
            let got = read_at(from, &mut piece[..most], at)?;
            if got == 0 {
                break;
            }
            let part = [libc::iovec {
                iov_base: piece.as_mut_ptr().cast(),
                iov_len: got,
            }];
            // SAFETY: a buffer of our own.
            let taken = match unsafe { send_parts(to, &socket, &part, None, 0, &Asked::default()) }
            {
                Ok(Some(taken)) => taken,
                Err(errno) if sent == 0 => return Err(errno),
                Ok(None) if sent == 0 => return Ok(None),
                _ => break,
            };
            sent += taken;
            at += taken as libc::off_t;
            if taken < got {
                break;
            }
        }
        if offset.is_null() {
            crate::sys::file::seek(from, at)?;
        } else {
            // SAFETY: read above.
            unsafe { super::border::write(offset, at) }?;
        }
        Ok(Some(sent as isize))
    })
}

/// sendfile(2), for programs built with 64-bit file offsets, which is the same here.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut libc::off64_t,
    count: usize,
) -> isize {
    // SAFETY: the program's own arguments.
    unsafe { sendfile(to, from, offset, count) }
}

/// splice(2): the kernel's, on the pairs, which are brought up to date for it.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn splice(
    from: c_int,
    from_offset: *mut libc::loff_t,
    to: c_int,
    to_offset: *mut libc::loff_t,
    count: usize,
    flags: core::ffi::c_uint,
) -> isize {
    if let Some(socket) = table::get(to) {
        lifecycle::written_elsewhere(&socket);
    }
    if table::is_ours(from) {
        answer(|| {
            lifecycle::read_elsewhere();
            Ok(0)
        });
    }
    // SAFETY: the program's own arguments.
    unsafe { next::SPLICE.get()(from, from_offset, to, to_offset, count, flags) }
}
