//! Sockets with an abstract name (unix(7)): listeners, those who connect to them, and names that
//! ends of pairs are given.

use super::owned::OwnedFd;
use rustix::fd::{AsFd, RawFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    getsockname, listen, socket_with,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::wait::borrow;
use super::{descriptor, option};

/// Of asm-generic/socket.h.
const SO_NETNS_COOKIE: i32 = 71;

/// What is said on a socket: bytes, or messages that keep their bounds.
#[derive(Clone, Copy)]
pub enum Sort {
    /// SOCK_STREAM.
    Bytes,
    /// SOCK_SEQPACKET.
    Messages,
}

/// A socket that is to listen or to connect.
///
/// # Errors
/// What socket(2) says.
pub fn socket(sort: Sort) -> Result<OwnedFd, Errno> {
    let kind = match sort {
        Sort::Bytes => SocketType::STREAM,
        Sort::Messages => SocketType::SEQPACKET,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    descriptor::high(|| socket_with(AddressFamily::UNIX, kind, flags, None))
}

/// Listens under `name` in the network namespace of the calling thread.
///
/// # Errors
/// EADDRINUSE: somebody has the name. What socket(2) and listen(2) say.
pub fn listen_as(sort: Sort, name: &[u8], backlog: i32) -> Result<OwnedFd, Errno> {
    let fd = socket(sort)?;
    listen_on(&fd, name, backlog)?;
    Ok(fd)
}

/// The same, on a socket that is there. With an error it is as before.
///
/// # Errors
/// As there.
pub fn listen_on(fd: &OwnedFd, name: &[u8], backlog: i32) -> Result<(), Errno> {
    bind(fd, &SocketAddrUnix::new_abstract_name(name)?)?;
    listen(fd, backlog)
}

/// Connects to who listens under `name`, without waiting.
///
/// # Errors
/// ECONNREFUSED: nobody does. EAGAIN: too many wait there already. What socket(2) says.
pub fn connect_to(sort: Sort, name: &[u8]) -> Result<OwnedFd, Errno> {
    let fd = socket(sort)?;
    connect_on(&fd, name)?;
    Ok(fd)
}

/// The same, on a socket that is there. With an error it is as before.
///
/// # Errors
/// As there.
pub fn connect_on(fd: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    connect(fd, &SocketAddrUnix::new_abstract_name(name)?)
}

/// Gives an end of a pair a name, which everybody who holds it can read.
///
/// # Errors
/// EINVAL: it has one. EADDRINUSE: another socket has this one.
pub fn give_name(end: RawFd, name: &[u8]) -> Result<(), Errno> {
    bind(borrow(end), &SocketAddrUnix::new_abstract_name(name)?)
}

/// The abstract name of `fd`, if it is a socket that has one.
pub fn name_of(fd: RawFd) -> Option<Vec<u8>> {
    let address = getsockname(borrow(fd)).ok()?;
    if address.address_family() != AddressFamily::UNIX {
        return None;
    }
    let address = SocketAddrUnix::try_from(address).ok()?;
    address.abstract_name().map(<[u8]>::to_vec)
}

/// Takes a connection if one is there.
///
/// # Errors
/// EAGAIN: none is. What accept(2) says.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    descriptor::high(|| accept_with(listener, flags))
}

/// `struct ucred` of sys/socket.h.
#[derive(Default)]
#[repr(C)]
struct Credentials {
    process: i32,
    user: u32,
    group: u32,
}

/// The effective user of the process at the other side (SO_PEERCRED): who connected, who listens,
/// or who made the pair.
///
/// # Errors
/// What getsockopt(2) says.
pub fn peer_user(stream: impl AsFd) -> Result<u32, Errno> {
    peer(stream).map(|peer| peer.user)
}

/// The process at the other end, by a descriptor that is readable once it has ended, all its other
/// descriptors being closed (pidfd_open(2)). `None`: it is gone, or of another PID namespace, or no
/// descriptor is left.
pub fn peer_process(stream: impl AsFd) -> Option<OwnedFd> {
    let process = Pid::from_raw(peer(stream).ok()?.process)?;
    pidfd_open(process, PidfdFlags::empty())
        .ok()
        .map(OwnedFd::from)
}

fn peer(stream: impl AsFd) -> Result<Credentials, Errno> {
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
    Ok(peer)
}

/// What no other socket of this machine has had (SO_COOKIE), and its descriptors share.
///
/// # Errors
/// What getsockopt(2) says.
pub fn cookie(socket: impl AsFd) -> Result<u64, Errno> {
    cookie_of(socket, libc::SO_COOKIE)
}

/// Whether a socket is of this thread's network namespace (SO_NETNS_COOKIE; not before Linux 5.14).
pub fn is_of_own_namespace(socket: impl AsFd) -> bool {
    let own = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    let namespace = own.and_then(|own| cookie_of(own, SO_NETNS_COOKIE));
    namespace.is_ok_and(|namespace| cookie_of(socket, SO_NETNS_COOKIE) == Ok(namespace))
}

fn cookie_of(socket: impl AsFd, name: i32) -> Result<u64, Errno> {
    let mut cookie = 0u64;
    // SAFETY: either option is one 64-bit integer.
    unsafe { option::get(socket.as_fd(), libc::SOL_SOCKET, name, &mut cookie) }?;
    Ok(cookie)
}

/// The effective user of this process.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
