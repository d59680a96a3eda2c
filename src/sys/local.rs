//! Listening sockets with an abstract name (unix(7)).

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};

use super::{descriptor, option};

/// Listens under `name`, a stream socket in the network namespace of the calling thread.
///
/// # Errors
/// EADDRINUSE: somebody has the name. What socket(2) and listen(2) say.
pub fn listen_as(name: &[u8], backlog: i32) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .and_then(descriptor::high)?;
    bind(&fd, &SocketAddrUnix::new_abstract_name(name)?)?;
    listen(&fd, backlog)?;
    Ok(fd)
}

/// Takes a connection if one is there.
///
/// # Errors
/// EAGAIN: none is. What accept(2) says.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    accept_with(listener, flags).and_then(descriptor::high)
}

/// `struct ucred` of sys/socket.h.
#[derive(Default)]
#[repr(C)]
struct Credentials {
    process: i32,
    user: u32,
    group: u32,
}

/// The effective user of the process that connected (SO_PEERCRED).
///
/// # Errors
/// What getsockopt(2) says.
pub fn peer_user(stream: impl AsFd) -> Result<u32, Errno> {
    let mut peer = Credentials::default();
    // SAFETY: the option is three integers, which may have any value. (rustix's own word for it
    // takes a process number for granted, which a peer of another PID namespace does not have.)
    unsafe {
        option::get(
            stream.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            &mut peer,
        )
    }?;
    Ok(peer.user)
}

/// The effective user of this process.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
