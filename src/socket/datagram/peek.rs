//! SO_PEEK_OFF of a UDP socket: MSG_PEEK goes on behind what it has seen (socket(7)).
//!
//! The offset counts bytes of payload over all datagrams that wait. They are peeked at in the pair,
//! whose own offset counts the headers before them, too: so it is set anew for each look.

use rustix::fd::RawFd;
use rustix::io::Errno;

use super::receive::Received;
use crate::driver::Arrived;
use crate::sys::raw;
use crate::sys::user::Buffers;

/// What lies at `offset` bytes of payload from the first datagram in the pair on, up to the end of
/// its datagram. `None`: nothing does, yet.
pub(super) fn look(fd: RawFd, data: &Buffers<'_>, offset: usize) -> Option<Received> {
    let found = find(fd, data, offset);
    let _ = set_offset(fd, -1);
    found.ok()
}

fn find(fd: RawFd, data: &Buffers<'_>, mut offset: usize) -> Result<Received, Errno> {
    let mut before = 0;
    loop {
        set_offset(fd, before)?;
        let mut header = [0; Arrived::LEN];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let message = raw::receive_message(fd, &mut header, &[], flags)?;
        let len = message.checked_sub(header.len()).ok_or(Errno::AGAIN)?;
        let arrived = Arrived::decode(&header);
        if arrived.notice || offset > 0 && offset >= len {
            offset = offset.saturating_sub(len);
            before += message;
            continue;
        }
        let rest = len - offset;
        if rest > 0 {
            set_offset(fd, before + header.len() + offset)?;
            raw::receive(fd, data.parts(), 0, libc::MSG_PEEK)?;
        }
        return Ok(Received::of(&arrived, rest, data.len()));
    }
}

fn set_offset(fd: RawFd, offset: impl TryInto<i32>) -> Result<(), Errno> {
    let offset: i32 = offset.try_into().map_err(|_| Errno::AGAIN)?;
    let name = libc::SO_PEEK_OFF;
    raw::setsockopt(fd, libc::SOL_SOCKET, name, &offset.to_ne_bytes())
}
