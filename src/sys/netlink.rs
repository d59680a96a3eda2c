//! rtnetlink sockets (netlink(7), rtnetlink(7)): bytes in and out, nothing parsed.

use super::owned::OwnedFd;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use core::time::Duration;

use super::descriptor;

/// How long an answer of the kernel may take. It answers within the call, so this only bounds
/// what must never happen.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// An open NETLINK_ROUTE socket.
#[derive(Debug)]
pub struct RouteSocket(OwnedFd);

impl RouteSocket {
    /// A socket for requests; `receive` waits for the answer.
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn requests() -> Result<Self, Errno> {
        let socket = Self::open(SocketFlags::CLOEXEC, 0)?;
        sockopt::set_socket_timeout(&socket.0, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(socket)
    }

    /// A non-blocking socket that the kernel tells of changes in `groups` (RTMGRP_* bits).
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn subscription(groups: u32) -> Result<Self, Errno> {
        Self::open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, groups)
    }

    fn open(flags: SocketFlags, groups: u32) -> Result<Self, Errno> {
        // No protocol is protocol 0, NETLINK_ROUTE.
        let make = || net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None);
        let fd = descriptor::high(make)?;
        net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self(fd))
    }

    /// Sends one request to the kernel.
    ///
    /// # Errors
    /// What sendto(2) says.
    pub fn send(&self, request: &[u8]) -> Result<(), Errno> {
        let kernel = SocketAddrNetlink::new(0, 0);
        net::sendto(&self.0, request, SendFlags::empty(), &kernel).map(drop)
    }

    /// Receives one datagram of messages, as it stands at the front of `buffer`. Datagrams that
    /// do not come from the kernel are dropped.
    ///
    /// # Errors
    /// EAGAIN: nothing there (or no answer in time). ENOBUFS: messages were lost. EMSGSIZE: the
    /// datagram is longer than `buffer`.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let size = buffer.len();
        loop {
            let (_, length, source) = match net::recvfrom(&self.0, &mut *buffer, RecvFlags::TRUNC) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let from_kernel = source
                .and_then(|address| SocketAddrNetlink::try_from(address).ok())
                .is_some_and(|address| address.pid() == 0);
            if !from_kernel {
                continue;
            }
            return if length > size {
                Err(Errno::MSGSIZE)
            } else {
                Ok(&buffer[..length])
            };
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
