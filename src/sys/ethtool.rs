//! What an interface does by itself (ethtool(8)).

use core::ffi::c_char;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use syscalls::{Sysno, syscall};

/// SIOCETHTOOL of linux/sockios.h.
const SIOCETHTOOL: usize = 0x8946;
/// ETHTOOL_GTSO of linux/ethtool.h: TCP super-packets are taken whole, and cut up in hardware or passed on.
pub const GET_TSO: u32 = 0x1e;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ifreq`, as long as the kernel copies it, with a pointer.
#[repr(C)]
struct Request {
    name: [c_char; libc::IFNAMSIZ],
    value: *mut Value,
    _unused: [usize; 2],
}

/// Whether the interface does what `command` asks for (ETHTOOL_G*). `socket` is any one of the interface's network
/// namespace.
///
/// # Errors
/// ENODEV: there is no such interface. EOPNOTSUPP: it does not tell.
pub fn does(socket: BorrowedFd<'_>, interface: &str, command: u32) -> Result<bool, Errno> {
    let mut value = Value { command, data: 0 };
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        value: &raw mut value,
        _unused: [0; 2],
    };
    let (_, letters) = request.name.split_last_mut().ok_or(Errno::INVAL)?;
    for (to, from) in letters.iter_mut().zip(interface.bytes()) {
        *to = from as c_char;
    }
    // SAFETY: `request` is as long as a struct ifreq and names `value`, an ethtool_value as the command
    // asks for; both live across the call.
    let done = unsafe {
        syscall!(
            Sysno::ioctl,
            socket.as_raw_fd(),
            SIOCETHTOOL,
            &raw mut request
        )
    };
    done.map_err(|errno| Errno::from_raw_os_error(errno.into_raw()))?;
    Ok(value.data != 0)
}

const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());
