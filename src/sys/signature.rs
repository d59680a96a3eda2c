//! TCP's MD5 signatures (RFC 2385; TCP_MD5SIG_EXT of tcp(7), `linux/tcp.h`).

use core::mem::{offset_of, size_of};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::option;

const TCP_MD5SIG_EXT: i32 = 32;
const TCP_MD5SIG_FLAG_PREFIX: u8 = 1;
const KEY_LENGTH: usize = 80;

/// `struct tcp_md5sig`.
#[repr(C)]
struct Key {
    /// A sockaddr_storage.
    peer: [u8; 128],
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: i32,
    key: [u8; KEY_LENGTH],
}
const _: () = assert!(size_of::<Key>() == 216 && offset_of!(Key, key) == 136);

/// Has the kernel's TCP drop, without an answer, all IPv4 segments for the socket that are not
/// signed with the key; an empty one takes that back. `inet6`: the socket is AF_INET6.
///
/// # Errors
/// ENOPROTOOPT: the kernel is built without signatures. ENOMEM. EINVAL: the key is too long.
pub fn require(fd: BorrowedFd<'_>, inet6: bool, key: &[u8]) -> Result<(), Errno> {
    let mut value = Key {
        peer: any(inet6),
        flags: TCP_MD5SIG_FLAG_PREFIX,
        prefix_length: 0,
        key_length: u16::try_from(key.len()).map_err(|_| Errno::INVAL)?,
        interface: 0,
        key: [0; KEY_LENGTH],
    };
    let room = value.key.get_mut(..key.len()).ok_or(Errno::INVAL)?;
    room.copy_from_slice(key);
    // SAFETY: `value` is laid out as a tcp_md5sig (asserted above), which has no pointers, and
    // lives across the call; the kernel only reads it.
    unsafe {
        option::set_bytes(
            fd,
            libc::IPPROTO_TCP,
            TCP_MD5SIG_EXT,
            (&raw const value).cast(),
            size_of::<Key>(),
        )
    }
}

/// The socket address 0.0.0.0, for an AF_INET6 socket in IPv6's clothes.
fn any(inet6: bool) -> [u8; 128] {
    let mut address = [0; 128];
    let family = if inet6 {
        // ::ffff:0.0.0.0 after family, port and flow.
        address[18..20].fill(0xff);
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    address
}
