//! IP_PKTOPTIONS and IPV6_2292PKTOPTIONS: what the packet said that completed an accepted connection's handshake, as
//! control messages.
//!
//! A kernel socket says which are wanted, and what a connection has that was not accepted; the rest is filled in.

use core::net::SocketAddrV4;
use rustix::io::Errno;

use super::kernel;
use crate::driver::Engine;
use crate::socket::{Family, Socket, State};
use crate::stack::tcp::handshake::Handshake;
use crate::sys::cmsg;

/// IPV6_2292PKTINFO, IPV6_2292PKTOPTIONS and IPV6_2292HOPLIMIT of linux/in6.h.
const PKTINFO_2292: i32 = 2;
const PKTOPTIONS_2292: i32 = 6;
const HOPLIMIT_2292: i32 = 8;
/// More than all of the messages take, in bytes.
const ALL: i32 = 512;

/// Whether an option is one of the two.
pub(super) fn is_name(option: (i32, i32)) -> bool {
    matches!(
        option,
        (libc::IPPROTO_IP, libc::IP_PKTOPTIONS) | (libc::IPPROTO_IPV6, PKTOPTIONS_2292)
    )
}

/// The messages, as far as there is room for them.
pub(super) fn get(
    engine: Option<&Engine>,
    socket: &Socket,
    state: &State,
    option: (i32, i32),
    room: i32,
) -> Result<Vec<u8>, Errno> {
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    let said = kernel::get(socket, &state.options, option, ALL)?;
    let endpoint = state
        .endpoint
        .and_then(|id| engine?.endpoints.get(id).zip(engine));
    let accepted = endpoint.and_then(|(endpoint, engine)| {
        let handshake = endpoint.left(&engine.stack).handshake?;
        Some((handshake, engine.interface_index()))
    });
    let mut given = Vec::new();
    let mut rest = &said[..];
    while let Some((message, behind)) = cmsg::first(rest) {
        let mut data = message.data.to_vec();
        fill(
            &mut data,
            (message.level, message.kind),
            socket,
            state,
            accepted,
        );
        push(&mut given, room, (message.level, message.kind), &data);
        rest = behind;
    }
    Ok(given)
}

/// Puts into a message what a fresh socket does not know.
fn fill(
    data: &mut [u8],
    kind: (i32, i32),
    socket: &Socket,
    state: &State,
    accepted: Option<(Handshake, u32)>,
) {
    let number = |value: u8| i32::from(value).to_ne_bytes();
    match (kind, accepted) {
        ((libc::IPPROTO_IP, libc::IP_PKTINFO), _) => {
            let address = state.name().map(|name| name.ip().octets());
            let address = address.unwrap_or_default();
            let interface = accepted.map_or(0, |(_, interface)| interface);
            overwrite(data, 0, &interface.to_ne_bytes());
            overwrite(data, 4, &address);
            overwrite(data, 8, &address);
        }
        ((libc::IPPROTO_IP, libc::IP_TTL), Some((handshake, _)))
        | ((libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT | HOPLIMIT_2292), Some((handshake, _))) => {
            overwrite(data, 0, &number(handshake.ttl));
        }
        ((libc::IPPROTO_IP, libc::IP_TOS), Some((handshake, _))) => {
            overwrite(data, 0, &number(handshake.tos));
        }
        // As on Linux, the address is the peer's.
        ((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO | PKTINFO_2292), Some((_, interface)))
            if socket.family() == Family::Inet6 =>
        {
            if let Some(remote) = state.remote.as_ref().map(SocketAddrV4::ip) {
                overwrite(data, 0, &remote.to_ipv6_mapped().octets());
            }
            overwrite(data, 16, &interface.to_ne_bytes());
        }
        _ => {}
    }
}

fn overwrite(data: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = data.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Puts a message behind those that are there: cut off where the room ends, left out where no header fits.
fn push(given: &mut Vec<u8>, room: usize, (level, kind): (i32, i32), data: &[u8]) {
    let left = room - given.len();
    let Some(most) = left.checked_sub(cmsg::HEADER) else {
        return;
    };
    let data = &data[..data.len().min(most)];
    cmsg::push(given, level, kind, data);
    given.truncate(room);
}
