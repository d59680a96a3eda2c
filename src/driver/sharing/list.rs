//! The list of a group's sockets, and how it is sent: the key, then each socket's address and whether
//! it is the receiver's. It is so in all versions of the library, which share ports with each other.

use core::net::Ipv4Addr;
use core::ops::Range;

use crate::stack::sharing::{Shared, Sharing};

/// Most processes of a group; those that come later wait outside.
pub(super) const MOST: usize = 256;
/// Most sockets of a process that count.
pub(super) const MOST_SOCKETS: usize = 64;
/// Bytes of a list's key, and of an address.
pub(super) const KEY: usize = 16;
pub(super) const ADDRESS: usize = 4;
/// Bytes of each socket.
const SOCKET: usize = ADDRESS + 1;
/// Bytes of the longest list.
pub(super) const LONGEST: usize = KEY + SOCKET * MOST_SOCKETS * MOST;

/// The list of `all` sockets, as it is for him who has those in `own`.
pub(super) fn of(all: &[Ipv4Addr], own: &Range<usize>) -> Vec<Shared> {
    let each = all.iter().enumerate();
    each.map(|(index, &local)| Shared {
        local,
        ours: own.contains(&index),
    })
    .collect()
}

/// A list as a message.
pub(super) fn encode(key: &[u8; KEY], sockets: &[Shared]) -> Vec<u8> {
    let mut message = key.to_vec();
    for socket in sockets {
        message.extend_from_slice(&socket.local.octets());
        message.push(u8::from(socket.ours));
    }
    message
}

/// A message as a list.
pub(super) fn decode(message: &[u8]) -> Option<Sharing> {
    let (key, sockets) = message.split_first_chunk()?;
    let read = |socket: &[u8]| {
        let &[a, b, c, d, ours] = socket else {
            return None;
        };
        Some(Shared {
            local: Ipv4Addr::new(a, b, c, d),
            ours: ours != 0,
        })
    };
    let sockets = sockets.chunks_exact(SOCKET).filter_map(read).collect();
    Some(Sharing::new(key, sockets))
}
