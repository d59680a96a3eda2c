//! A port leased from the kernel.
//!
//! The kernel's own socket holds the port: it is bound, so nobody else gets the port, and with
//! the errno and permissions of the real bind(2). What arrives for it on the driven interface is
//! dropped by a socket filter (or what `silence` has in its place) before the kernel's TCP or UDP
//! sees it; the stack sees it through its packet socket. A TCP socket must also *listen*: a port
//! that is only bound would answer the peer with a reset. What arrives elsewhere (loopback) is the
//! kernel's, and is handed on by [`Lease::accept`] or by reading [`Lease::fd`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt};

use super::cutoff::{Cut, CutOff};
use super::ephemeral::Protocol;
pub use super::silence::Driven;
use super::silence::{Listener, Silence, drop_filter};
use super::vault::Deposit;
use crate::sys::owned::OwnedFd;
use crate::sys::{datagram, descriptor, filter, option};

/// Of linux/in.h.
const IP_LOCAL_PORT_RANGE: i32 = 51;

/// Options that take part in the kernel's decision on bind(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseOptions {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// Whose sockets may share the port then; `None`: this process's user's.
    pub owner: Option<u32>,
    /// IP_FREEBIND.
    pub free_bind: bool,
    /// IP_LOCAL_PORT_RANGE: the ports to choose from, as that has them; 0: the host's.
    pub port_range: u32,
    /// SO_BINDTOIFINDEX: the port is held for this interface only.
    pub interface: Option<u32>,
}

/// For which families an AF_INET6 socket holds its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inet6 {
    /// IPv6 and IPv4.
    Both,
    /// IPv6 alone (IPV6_V6ONLY).
    Only,
}

/// What to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelAddress {
    /// The IPv4 address and port; port 0 lets the kernel choose.
    pub local: SocketAddrV4,
    /// The socket is AF_INET6, and bound to all addresses or to the IPv4 one in IPv6's clothes
    /// (RFC 4291 section 2.5.5.2).
    pub inet6: Option<Inet6>,
}

impl From<SocketAddrV4> for KernelAddress {
    fn from(local: SocketAddrV4) -> Self {
        Self { local, inet6: None }
    }
}

/// A kernel socket that is to hold a port.
#[derive(Debug)]
pub struct Unbound {
    fd: OwnedFd,
    protocol: Protocol,
    inet6: bool,
    options: LeaseOptions,
}

impl Unbound {
    /// One of the family AF_INET, or AF_INET6 for `inet6`.
    ///
    /// # Errors
    /// Those of socket(2) and setsockopt(2), meant for the program.
    pub fn new(
        protocol: Protocol,
        inet6: Option<Inet6>,
        options: &LeaseOptions,
    ) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let family = match inet6 {
            None => AddressFamily::INET,
            Some(_) => AddressFamily::INET6,
        };
        let fd = descriptor::high(|| net::socket_with(family, kind, flags, None))?;
        set_options(&fd, options)?;
        if let Some(inet6) = inet6 {
            sockopt::set_ipv6_v6only(&fd, inet6 == Inet6::Only)?;
        }
        Ok(Self {
            fd,
            protocol,
            inet6: inet6.is_some(),
            options: *options,
        })
    }

    /// Binds it; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// Those of bind(2), meant for the program. The socket may be tried on another port.
    pub fn bind(self, local: SocketAddrV4) -> Result<Lease, (Errno, Self)> {
        match self.bound(local) {
            Ok(port) => Ok(self.holding(SocketAddrV4::new(*local.ip(), port))),
            Err(errno) => Err((errno, self)),
        }
    }

    /// The port it is bound to.
    fn bound(&self, local: SocketAddrV4) -> Result<u16, Errno> {
        if self.inet6 {
            let ip = match local.ip() {
                ip if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED,
                ip => ip.to_ipv6_mapped(),
            };
            net::bind(&self.fd, &SocketAddrV6::new(ip, local.port(), 0, 0))?;
        } else {
            net::bind(&self.fd, &local)?;
        }
        match local.port() {
            0 => Ok(SocketAddr::try_from(net::getsockname(&self.fd)?)?.port()),
            asked => Ok(asked),
        }
    }

    fn holding(self, local: SocketAddrV4) -> Lease {
        let options = &self.options;
        Lease {
            cut: None,
            deposit: None,
            fd: self.fd,
            local,
            protocol: self.protocol,
            inet6: self.inet6,
            device: options.interface,
            owner: options.owner.filter(|_| options.reuse_port),
            shared: options.reuse_port,
            silence: Silence::Nothing,
        }
    }
}

/// A kernel socket that holds a port for the stack; dropped, it gives the port back.
#[derive(Debug)]
pub struct Lease {
    /// Both end before the descriptor is closed, and the port may be another's.
    cut: Option<Cut>,
    pub(super) deposit: Option<Deposit>,
    fd: OwnedFd,
    local: SocketAddrV4,
    protocol: Protocol,
    inet6: bool,
    /// The interface it is bound to.
    device: Option<u32>,
    /// Whose it is to the kernel, if not this process's user's.
    owner: Option<u32>,
    /// Somebody else may hold the port as well.
    shared: bool,
    silence: Silence,
}

impl Lease {
    /// Binds a TCP socket.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2), meant for the program.
    pub fn tcp(address: impl Into<KernelAddress>, options: &LeaseOptions) -> Result<Self, Errno> {
        Self::bind(Protocol::Tcp, address.into(), options)
    }

    /// Binds a UDP socket. Until [`Self::drop_arrivals`] it receives as any socket does.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2), meant for the program.
    pub fn udp(address: impl Into<KernelAddress>, options: &LeaseOptions) -> Result<Self, Errno> {
        Self::bind(Protocol::Udp, address.into(), options)
    }

    fn bind(
        protocol: Protocol,
        address: KernelAddress,
        options: &LeaseOptions,
    ) -> Result<Self, Errno> {
        let unbound = Unbound::new(protocol, address.inet6, options)?;
        unbound.bind(address.local).map_err(|(errno, _)| errno)
    }

    /// The lease of a process that is dead: `fd` is a copy, and as silent as it was.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub(super) fn of_copy(fd: OwnedFd, protocol: Protocol, shared: bool) -> Result<Self, Errno> {
        let name = SocketAddr::try_from(net::getsockname(&fd)?)?;
        let ip = match name.ip() {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
        };
        Ok(Self {
            cut: None,
            deposit: None,
            fd,
            local: SocketAddrV4::new(ip, name.port()),
            protocol,
            inet6: name.is_ipv6(),
            device: None,
            owner: None,
            shared,
            silence: Silence::Nothing,
        })
    }

    /// Drops what arrives on the interface from now on, or everything (`None`).
    ///
    /// # Errors
    /// ENOMEM: the kernel has no room for the filter. EPERM: TCP, and the kernel keeps filters for
    /// CAP_NET_ADMIN.
    pub fn drop_arrivals(&mut self, interface_index: Option<u32>) -> Result<(), Errno> {
        if matches!(self.silence, Silence::Filter(interface) if interface == interface_index) {
            return Ok(());
        }
        filter::attach(self.fd.as_fd(), &drop_filter(interface_index))?;
        self.silence = Silence::Filter(interface_index);
        Ok(())
    }

    /// As [`Self::drop_arrivals`] of everything, if that can be had for less.
    pub fn drop_cheaply(&mut self, at: &CutOff) {
        if at.shut(self.fd.as_fd()).is_ok() {
            self.silence = Silence::Filter(None);
        }
    }

    /// TCP: what [`Self::listen_dropped`] will drop is dropped from now on, if the kernel lets this
    /// process have it so. It may not any more once it listens: servers bind as root, and give up
    /// their rights before they listen.
    pub fn drop_ahead(&mut self, interface_index: Option<u32>) {
        // Else `listen_dropped` finds another way.
        let _ = self.drop_arrivals(interface_index);
    }

    /// TCP: listens, and drops nothing.
    ///
    /// # Errors
    /// Those of listen(2).
    pub fn listen(&self, backlog: u32) -> Result<(), Errno> {
        net::listen(&self.fd, i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// TCP: drops what arrives on the driven interface, or everything (`None`), then listens, so that
    /// the kernel answers no segment there with a reset. `backlog` is that of the clients that
    /// come another way, as in listen(2). Called again, it changes the backlog and the filter.
    ///
    /// # Errors
    /// Those of listen(2): EADDRINUSE, another socket listens on the port. ENOPROTOOPT: without
    /// CAP_NET_ADMIN this kernel cannot be kept silent.
    pub fn listen_dropped(
        &mut self,
        driven: Option<Driven<'_>>,
        backlog: u32,
    ) -> Result<(), Errno> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let interface = driven.map(|driven| driven.interface);
        match &self.silence {
            Silence::Sink(sink) if Some(sink.interface()) == interface => {
                net::listen(sink.fd(), backlog)?;
                return net::listen(&self.fd, backlog);
            }
            Silence::Filter(filtered) if *filtered == interface => {
                return net::listen(&self.fd, backlog);
            }
            // It would be in the way of the next one.
            Silence::Sink(_) => {
                self.deposit = None;
                self.silence = Silence::Nothing;
            }
            _ => {}
        }
        let listener = Listener {
            fd: self.fd.as_fd(),
            local: self.local,
            inet6: self.inet6,
            device: self.device,
            owner: self.owner,
        };
        self.silence = listener.listen(driven, backlog)?;
        if matches!(self.silence, Silence::Sink(_)) {
            // A copy without the sink would not do.
            self.deposit = None;
        }
        Ok(())
    }

    /// The host has other addresses on the driven interface.
    pub fn set_addresses(&mut self, addresses: &[Ipv4Addr]) {
        // What listens admits who it could be told of.
        let _ = match &mut self.silence {
            Silence::Sink(sink) => sink.admit(addresses),
            Silence::Signature(signing) if self.device.is_some() => {
                signing.admit(self.fd.as_fd(), addresses)
            }
            _ => Ok(()),
        };
    }

    /// Has the kernel not even see what arrives on the interface, which the lease drops there, as
    /// long as the lease lives. Of effect only where the lease has the port on all addresses, and
    /// alone.
    pub fn cut_off(&mut self, at: &Arc<CutOff>) {
        let whole = self.local.ip().is_unspecified() && !self.shared;
        let silent = !matches!(self.silence, Silence::Nothing);
        if whole && silent && self.cut.is_none() {
            self.cut = Some(Cut::new(at, self.protocol, self.port()));
        }
    }

    /// Whether a copy of it lies in the vault.
    pub(super) fn has_copy(&self) -> bool {
        self.deposit.as_ref().is_some_and(Deposit::lies_there)
    }

    /// Most of what [`Self::sockets`] gives.
    pub(super) const MOST_SOCKETS: usize = 2;

    /// The kernel's sockets that make it up.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sink = match &self.silence {
            Silence::Sink(sink) => Some(sink.fd()),
            _ => None,
        };
        [Some(self.fd.as_fd()), sink].into_iter().flatten()
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The address and port that are held.
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The held port.
    pub fn port(&self) -> u16 {
        self.local.port()
    }

    /// The interface alone for which the port is held.
    pub fn interface(&self) -> Option<u32> {
        self.device
    }

    /// The kernel socket, non-blocking; readable when a client that came another way waits. (One that came by way of
    /// an address of the driven interface may wait at another one of [`Self::sockets`].)
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether it speaks IPv6, too.
    pub fn is_inet6(&self) -> bool {
        self.inet6
    }

    /// SO_REUSEADDR, which also counts for a socket that is bound.
    pub fn reuse_address(&self, on: bool) {
        // One that cannot have it keeps the port to itself, as before.
        let _ = sockopt::set_socket_reuseaddr(&self.fd, on);
    }

    /// SO_REUSEPORT, likewise. (A TCP socket that has once shared its port goes on doing so.)
    pub fn reuse_port(&mut self, on: bool) {
        if !on || is_owned(&self.fd, self.owner) {
            let set = sockopt::set_socket_reuseport(&self.fd, on);
            self.shared |= on && set.is_ok();
        }
    }

    /// UDP: what is received by it tells where it was sent to, and how, from now on.
    pub fn tell_of_datagrams(&self) {
        if self.protocol == Protocol::Udp {
            datagram::tell(self.fd(), self.inet6, true);
        }
    }

    /// A TCP client that came another way than the driven interface: its kernel socket, without
    /// our filter, blocking and close-on-exec, and its address (of an AF_INET6 socket: an IPv6
    /// one). `None`: nobody waits.
    ///
    /// # Errors
    /// Those of accept(2).
    pub fn accept(&self) -> Result<Option<(OwnedFd, SocketAddr)>, Errno> {
        for listener in self.sockets() {
            let accepted =
                descriptor::with_room(|| net::acceptfrom_with(listener, SocketFlags::CLOEXEC));
            let (fd, peer) = match accepted {
                // ECONNABORTED, EPROTO: the client is gone again; the next call finds the next one.
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => continue,
                result => result?,
            };
            let fd = descriptor::moved(fd)?;
            // A connection inherits its listener's filter. It only costs time here, so a failure to
            // take it off is none of the program's.
            let _ = filter::detach(fd.as_fd());
            let peer = peer.map_or(Ok(UNKNOWN), |peer: SocketAddrAny| {
                SocketAddr::try_from(peer)
            })?;
            return Ok(Some((fd, peer)));
        }
        Ok(None)
    }

    /// TCP: gives the port back, whoever else may have a copy still.
    pub fn give_back(self) {
        for socket in self.sockets() {
            // One that does not listen is not connected, either.
            let _ = net::shutdown(socket, net::Shutdown::Both);
        }
    }

    /// Whether somebody else may hold the port as well (SO_REUSEPORT).
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The kernel socket itself, bound and without the filter, to become the program's
    /// descriptor. It is non-blocking and close-on-exec.
    pub fn into_fd(self) -> OwnedFd {
        drop((self.cut, self.deposit));
        self.silence.end(self.fd.as_fd());
        if self.protocol == Protocol::Udp {
            datagram::tell(self.fd.as_fd(), self.inet6, false);
            datagram::tell_errors(self.fd.as_fd(), false);
        }
        self.fd
    }
}

/// What stands for a peer the kernel does not name.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn set_options(fd: &OwnedFd, options: &LeaseOptions) -> Result<(), Errno> {
    if options.reuse_address {
        sockopt::set_socket_reuseaddr(fd, true)?;
    }
    if options.reuse_port && is_owned(fd, options.owner) {
        sockopt::set_socket_reuseport(fd, true)?;
    }
    if options.free_bind {
        sockopt::set_ip_freebind(fd, true)?;
    }
    if options.port_range != 0 {
        let range = options.port_range.cast_signed();
        option::set_integer(fd.as_fd(), libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, range)?;
    }
    if let Some(index) = options.interface {
        let index = i32::try_from(index).map_err(|_| Errno::NODEV)?;
        let name = libc::SO_BINDTOIFINDEX;
        option::set_integer(fd.as_fd(), libc::SOL_SOCKET, name, index)?;
    }
    Ok(())
}

/// Makes a kernel socket `owner`'s, since SO_REUSEPORT shares within one user's sockets: whether it is.
/// (Without CAP_CHOWN it is this process's, and must not share.)
pub(super) fn is_owned(fd: &OwnedFd, owner: Option<u32>) -> bool {
    let Some(owner) = owner else { return true };
    rustix::fs::fchown(fd, Some(rustix::process::Uid::from_raw(owner)), None).is_ok()
}
