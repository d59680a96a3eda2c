//! TCP_ZEROCOPY_RECEIVE (linux/tcp.h): what waits in a connection, given in whole pages that are mapped for it.
//!
//! What comes from a link does not lie so that a page of it could be mapped. So all that waits is to be copied, as Linux
//! says of much of what it receives, too: into the buffer that the call brings, or by `recv`.

use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::options::take_error;
use super::{Socket, Stage, queues, receive};
use crate::sys::mapping::is_mapped;
use crate::sys::raw;
use crate::sys::user::{Access, Buffers};
use crate::sys::wait::poll_now;

const PAGE: u32 = 4096;
/// TCP_CMSG_TS: the time of arrival is asked for.
const TIMES: u32 = 2;

/// Its level and name.
pub const OPTION: (i32, i32) = (libc::IPPROTO_TCP, 35);
/// Bytes of a `struct tcp_zerocopy_receive`.
pub const LEN: usize = 64;
/// Its fields' places: `address`, `length`, `recv_skip_hint`, `inq`, `err`, `copybuf_address`, `copybuf_len`,
/// `msg_flags`, `reserved`.
const ADDRESS: usize = 0;
const LENGTH: usize = 8;
const HINT: usize = 12;
const UNREAD: usize = 16;
const ERROR: usize = 20;
const COPY_ADDRESS: usize = 24;
const COPY_LENGTH: usize = 32;
const MESSAGE_FLAGS: usize = 56;
const RESERVED: usize = 60;
/// The least that a program gives: up to `length`.
const LEAST: usize = HINT;
/// Where it may end so that `inq` is written, and so that `err` is.
const WITH_UNREAD: usize = ERROR;
const WITH_ERROR: [usize; 7] = [24, 32, 36, 40, 48, 56, 60];

struct Fields([u8; LEN]);

impl Fields {
    fn word(&self, at: usize) -> u32 {
        let mut four = [0; 4];
        four.copy_from_slice(&self.0[at..at + 4]);
        u32::from_ne_bytes(four)
    }

    fn address(&self, at: usize) -> usize {
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.0[at..at + 8]);
        usize::from_ne_bytes(eight)
    }

    fn set(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

/// getsockopt(2): what is written over `value`, of which it is as long.
///
/// # Safety
/// The buffer that the program names in it stays its own for the call, and is touched by nobody else.
pub unsafe fn receive_pages(
    fd: RawFd,
    socket: &Arc<Socket>,
    value: &[u8],
) -> Result<Vec<u8>, Errno> {
    if value.len() < LEAST {
        return Err(Errno::INVAL);
    }
    let mut fields = Fields([0; LEN]);
    fields.0[..value.len()].copy_from_slice(value);
    if fields.word(RESERVED) != 0
        || fields.word(MESSAGE_FLAGS) & !TIMES != 0
        || !fields.address(ADDRESS).is_multiple_of(PAGE as usize)
    {
        return Err(Errno::INVAL);
    }
    if socket.state().stage == Stage::Listening {
        return Err(Errno::NOTCONN);
    }
    // SAFETY: as the caller says.
    unsafe { copy(fd, socket, &mut fields) }?;
    fields.set(MESSAGE_FLAGS, 0);
    let len = value.len();
    let all = len >= MESSAGE_FLAGS + 4;
    if (all || WITH_ERROR.contains(&len))
        && let Some(errno) = take_error(fd, socket)
    {
        fields.set(ERROR, (-errno.raw_os_error()).cast_unsigned());
    }
    if all || WITH_ERROR.contains(&len) || len == WITH_UNREAD {
        let left = unread(fd, socket);
        // At the end it is told to look once more.
        let ended = left == 0 && has_ended(fd);
        fields.set(UNREAD, left.max(u32::from(ended)));
    }
    Ok(fields.0[..len].to_vec())
}

fn unread(fd: RawFd, socket: &Socket) -> u32 {
    let count = queues::count(fd, socket, queues::UNREAD);
    let count = count.unwrap_or_else(|| raw::unread(fd));
    u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Whether the peer has said that nothing more comes.
fn has_ended(fd: RawFd) -> bool {
    let shown = poll_now(fd, libc::POLLRDHUP);
    shown & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) == libc::POLLRDHUP
}

/// Copies what the program's buffer is for, and says how much is to be received otherwise.
///
/// # Safety
/// As of [`receive_pages`].
unsafe fn copy(fd: RawFd, socket: &Arc<Socket>, fields: &mut Fields) -> Result<(), Errno> {
    let waiting = unread(fd, socket);
    let room = u32::try_from(fields.word(COPY_LENGTH).cast_signed()).unwrap_or(0);
    let wanted = fields.word(LENGTH);
    fields.set(COPY_LENGTH, 0);
    fields.set(LENGTH, 0);
    fields.set(HINT, 0);
    if waiting == 0 && has_ended(fd) {
        return Err(Errno::IO);
    }
    if (1..=room).contains(&waiting) {
        // SAFETY: as the caller says.
        let copied = unsafe { take(fd, socket, fields, waiting) }?;
        fields.set(COPY_LENGTH, copied);
        return Ok(());
    }
    if waiting < PAGE {
        fields.set(HINT, waiting);
        return Ok(());
    }
    if !is_mapped(fields.address(ADDRESS)) {
        return Err(Errno::INVAL);
    }
    let hint = if wanted < PAGE { wanted } else { waiting };
    let copied = match hint.min(room) {
        0 => Ok(0),
        // SAFETY: as the caller says.
        count => unsafe { take(fd, socket, fields, count) },
    };
    match copied {
        Ok(copied) => {
            fields.set(COPY_LENGTH, copied);
            fields.set(HINT, hint - copied);
        }
        Err(errno) => {
            fields.set(COPY_LENGTH, (-errno.raw_os_error()).cast_unsigned());
            fields.set(HINT, hint);
        }
    }
    Ok(())
}

/// Receives `count` bytes into the program's buffer.
///
/// # Safety
/// As of [`receive_pages`].
unsafe fn take(fd: RawFd, socket: &Arc<Socket>, fields: &Fields, count: u32) -> Result<u32, Errno> {
    let part = [libc::iovec {
        iov_base: core::ptr::with_exposed_provenance_mut(fields.address(COPY_ADDRESS)),
        iov_len: count as usize,
    }];
    // SAFETY: as the caller says.
    let buffers = unsafe { Buffers::new(&part, Access::Write) }?;
    buffers.whole()?;
    let flags = libc::MSG_DONTWAIT;
    let taken = receive::receive(fd, socket, &buffers, flags)
        .unwrap_or_else(|| raw::receive(fd, buffers.parts(), 0, flags));
    taken.map(|taken| taken as u32)
}
