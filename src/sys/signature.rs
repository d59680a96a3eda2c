//! TCP's MD5 signatures (RFC 2385; TCP_MD5SIG_EXT of tcp(7), `linux/tcp.h`).

use core::mem::{offset_of, size_of};
use core::net::Ipv4Addr;

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

/// The peers of an IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers {
    network: Ipv4Addr,
    prefix_length: u8,
}

impl Peers {
    /// Whoever it is.
    pub const ALL: Self = Self {
        network: Ipv4Addr::UNSPECIFIED,
        prefix_length: 0,
    };

    /// Whether the address is one of theirs.
    pub fn include(self, address: Ipv4Addr) -> bool {
        let differ = (address.to_bits() ^ self.network.to_bits()).leading_zeros();
        differ >= u32::from(self.prefix_length)
    }

    /// The two networks that it consists of; `None`: it is a single address.
    pub fn halves(self) -> Option<[Self; 2]> {
        let prefix_length = self.prefix_length + 1;
        let upper = 1u32.checked_shl(32u32.checked_sub(u32::from(prefix_length))?)?;
        let half = |network| Self {
            network,
            prefix_length,
        };
        let network = self.network.to_bits();
        Some([half(self.network), half(Ipv4Addr::from(network | upper))])
    }
}

/// Has the kernel's TCP drop, without an answer, all segments of the peers for the socket that are
/// not signed with the key; an empty one takes that back. `inet6`: the socket is AF_INET6.
///
/// # Errors
/// ENOPROTOOPT: the kernel is built without signatures. ENOMEM. EINVAL: the key is too long.
/// ENOENT: there is no key for these very peers to take back.
pub fn require(fd: BorrowedFd<'_>, inet6: bool, peers: Peers, key: &[u8]) -> Result<(), Errno> {
    let mut value = Key {
        peer: socket_address(inet6, peers.network),
        flags: TCP_MD5SIG_FLAG_PREFIX,
        prefix_length: peers.prefix_length,
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

/// The address without a port, for an AF_INET6 socket in IPv6's clothes.
fn socket_address(inet6: bool, ip: Ipv4Addr) -> [u8; 128] {
    let mut address = [0; 128];
    let family = if inet6 {
        // Family, port and flow come before it.
        address[8..24].copy_from_slice(&ip.to_ipv6_mapped().octets());
        libc::AF_INET6
    } else {
        address[4..8].copy_from_slice(&ip.octets());
        libc::AF_INET
    };
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    address
}
