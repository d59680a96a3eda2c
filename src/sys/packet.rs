//! AF_PACKET system calls (packet(7)) and the virtio-net header that carries offloads.

use super::owned::OwnedFd;
use core::mem::{offset_of, size_of};

use arrayvec::ArrayVec;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, IoSlice};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use syscalls::{Sysno, syscall};

use super::{descriptor, option};

/// PACKET_IGNORE_OUTGOING of `linux/if_packet.h` (Linux 4.20), which libc lacks.
const PACKET_IGNORE_OUTGOING: i32 = 23;

/// One for experiments (IEEE 802, local experimental Ethertype 2).
const NOBODYS_PROTOCOL: u16 = 0x88b6;

/// The checksum is partial: the L4 checksum field holds the folded pseudo-header sum.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;
/// The frame is TCP over IPv4 to be cut into segments.
const GSO_TCPV4: u8 = 1;
/// The frame is to be cut in a way that there is not.
const GSO_UNKNOWN: u8 = 0x7f;

/// `struct virtio_net_hdr` (virtio 1.3 section 5.1.6) as AF_PACKET passes it before each frame
/// of a PACKET_VNET_HDR socket, in the machine's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    flags: u8,
    gso_type: u8,
    header_len: u16,
    gso_size: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

impl VnetHeader {
    /// Its length in front of a frame.
    pub const LEN: usize = 10;

    /// Asks for the checksum from `start` to the frame's end, stored `offset` bytes after `start`.
    pub fn checksum(start: u16, offset: u16) -> Self {
        Self {
            flags: NEEDS_CSUM,
            checksum_start: start,
            checksum_offset: offset,
            ..Self::default()
        }
    }

    /// Also asks to cut the frame, `header_len` bytes of headers, into TCP segments of `size`
    /// payload bytes.
    pub fn segmented(self, header_len: u16, size: u16) -> Self {
        Self {
            gso_type: GSO_TCPV4,
            header_len,
            gso_size: size,
            ..self
        }
    }

    /// Asks for what cannot be done: no frame leaves with it.
    pub fn impossible() -> Self {
        Self {
            gso_type: GSO_UNKNOWN,
            ..Self::default()
        }
    }

    /// Whether the kernel or the hardware vouches for the frame's checksum of TCP or UDP.
    pub fn checksum_trusted(&self) -> bool {
        self.flags & (NEEDS_CSUM | DATA_VALID) != 0
    }

    /// Payload bytes of each segment a super-packet was made of; 0: a single frame.
    pub fn gso_size(&self) -> u16 {
        if self.gso_type == 0 { 0 } else { self.gso_size }
    }

    /// As the bytes before a frame.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [h0, h1] = self.header_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }

    /// From the bytes before a frame.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = bytes;
        Self {
            flags,
            gso_type,
            header_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            checksum_start: u16::from_ne_bytes([s0, s1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }
}

/// A raw packet socket that receives nothing yet (protocol 0), non-blocking and close-on-exec.
///
/// # Errors
/// EPERM: CAP_NET_RAW is missing. What socket(2) says.
pub fn open() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    descriptor::high(|| net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None))
}

/// Puts a virtio-net header before each frame (PACKET_VNET_HDR).
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_vnet_header(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    option::set_integer(fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)
}

/// Stops frames that leave the machine from coming back on this socket.
///
/// # Errors
/// ENOPROTOOPT before Linux 4.20.
pub fn set_ignore_outgoing(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    option::set_integer(fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
}

/// Binds to an interface and all its protocols; from here on frames arrive.
///
/// # Errors
/// ENODEV: there is no such interface. ENETDOWN: it is down.
pub fn bind(fd: BorrowedFd<'_>, interface_index: u32) -> Result<(), Errno> {
    bind_to(fd, interface_index, libc::ETH_P_ALL as u16)
}

/// Binds to a protocol that nobody speaks: the kernel does not even ask the socket's filter any more.
/// It waits for all processors meanwhile: some ten milliseconds. What has arrived stays.
///
/// # Errors
/// As [`bind`].
pub fn set_aside(fd: BorrowedFd<'_>, interface_index: u32) -> Result<(), Errno> {
    bind_to(fd, interface_index, NOBODYS_PROTOCOL)
}

fn bind_to(fd: BorrowedFd<'_>, interface_index: u32, protocol: u16) -> Result<(), Errno> {
    let index = i32::try_from(interface_index).map_err(|_| Errno::NODEV)?;
    net::bind(fd, &LinkLayerAddress { index, protocol })
}

/// Frames seen and frames lost since the last time this was asked (the kernel resets both).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that passed the filter, lost ones included.
    pub seen: u32,
    /// Of these, frames lost because the receive buffer was full.
    pub lost: u32,
}

/// Reads and resets the kernel's counts (PACKET_STATISTICS).
///
/// # Errors
/// What getsockopt(2) says.
pub fn take_counts(fd: BorrowedFd<'_>) -> Result<Counts, Errno> {
    let mut stats = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    // SAFETY: tpacket_stats is two integers; any bytes are a valid one.
    unsafe { option::get(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut stats)? };
    Ok(Counts {
        seen: stats.tp_packets,
        lost: stats.tp_drops,
    })
}

/// `struct sockaddr_ll` that names an interface and a protocol.
struct LinkLayerAddress {
    index: i32,
    protocol: u16,
}

// SAFETY: `f` gets a pointer to a whole sockaddr_ll, initialised, that lives across the call.
unsafe impl SocketAddrArg for LinkLayerAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: self.protocol.to_be(),
            sll_ifindex: self.index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as SocketAddrLen;
        f((&raw const address).cast(), length)
    }
}

/// One control message of four bytes, in the place of two words.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    value: u32,
    _padding: u32,
}

impl Control {
    fn new(name: i32, value: u32) -> Self {
        Self {
            header: libc::cmsghdr {
                cmsg_len: offset_of!(Self, value) + size_of::<u32>(),
                cmsg_level: libc::SOL_SOCKET,
                cmsg_type: name,
            },
            value,
            _padding: 0,
        }
    }
}

/// Sends one frame with a mark and a priority, where these are not zero, without waiting.
///
/// # Errors
/// EPERM: the process may not set these. EINVAL: the kernel takes no priority with a frame (before
/// Linux 6.14). What sendmsg(2) says.
pub fn send(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    mark: u32,
    priority: u32,
) -> Result<(), Errno> {
    let asked = [(libc::SO_MARK, mark), (libc::SO_PRIORITY, priority)];
    let mut controls = ArrayVec::<Control, 2>::new();
    for (name, value) in asked.into_iter().filter(|asked| asked.1 != 0) {
        controls.push(Control::new(name, value));
    }
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len();
    message.msg_control = controls.as_mut_ptr().cast();
    message.msg_controllen = controls.len() * size_of::<Control>();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: IoSlice has the layout of iovec. The kernel reads `message`, `slices`, what these describe
    // and `controls`, all of which live across the call.
    let sent = unsafe { syscall!(Sysno::sendmsg, fd.as_raw_fd(), &raw const message, flags) };
    sent.map(drop)
        .map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))
}

/// SIOCGSTAMPNS of linux/sockios.h.
const LAST_STAMP: usize = 0x8907;

/// When the interface had the frame that was received last, in nanoseconds since 1970. From the first
/// call on the kernel stamps what comes (SIOCGSTAMPNS, socket(7)).
///
/// # Errors
/// ENOENT: nothing was received since the first call.
pub fn last_arrival(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut time = [0_i64; 2];
    // SAFETY: the kernel writes a timespec, two 64-bit integers, to `time`, which lives across the call.
    let done = unsafe { syscall!(Sysno::ioctl, fd.as_raw_fd(), LAST_STAMP, time.as_mut_ptr()) };
    done.map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))?;
    let [seconds, nanoseconds] = time.map(i64::cast_unsigned);
    Ok(seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds))
}
