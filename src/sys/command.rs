//! System calls that only the command makes; no part of the library.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};

/// `ETHTOOL_GTSO`, `ETHTOOL_GGSO`, `ETHTOOL_GGRO` of linux/ethtool.h.
const ETHTOOL_GTSO: u32 = 0x1e;
const ETHTOOL_GGSO: u32 = 0x23;
const ETHTOOL_GGRO: u32 = 0x2b;
/// `SIOCETHTOOL` of linux/sockios.h.
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// The offloads of an interface that decide how large frames get. `None`: it does not say.
pub(crate) struct Offloads {
    /// TCP segmentation offload: the interface cuts segments.
    pub(crate) tso: Option<bool>,
    /// Generic segmentation offload: the kernel cuts them, late.
    pub(crate) gso: Option<bool>,
    /// Generic receive offload: the kernel joins them, early.
    pub(crate) gro: Option<bool>,
}

/// Asks for an interface's offloads through any socket.
pub(crate) fn offloads(socket: impl AsFd, interface: &str) -> Offloads {
    let ask = |command| ethtool_value(&socket, interface, command);
    Offloads {
        tso: ask(ETHTOOL_GTSO),
        gso: ask(ETHTOOL_GGSO),
        gro: ask(ETHTOOL_GGRO),
    }
}

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

fn ethtool_value(socket: impl AsFd, interface: &str, command: u32) -> Option<bool> {
    let mut value = EthtoolValue { command, data: 0 };
    // SAFETY: an ifreq is plain integers and pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: it ends the name.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request points to a value of the layout its command names, both outlive the call,
    // and the kernel writes nothing but that value.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    (result == 0).then_some(value.data != 0)
}

/// Lends a descriptor of std to rustix, which is built without std: its descriptors must not be
/// std's, whose drop is the C library's `close`.
pub(crate) fn borrow(socket: &impl std::os::fd::AsRawFd) -> BorrowedFd<'_> {
    // SAFETY: the owner of the descriptor is borrowed for as long as the result lives.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
