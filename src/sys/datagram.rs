//! Datagrams of kernel sockets, with what ip(7) and ipv6(7) tell of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;
use syscalls::{Sysno, syscall3};
use zerocopy::IntoBytes;

use super::raw::{checked, message};
use super::{cmsg, option};

/// Bytes of a `struct sockaddr_in6`.
const NAME: usize = 28;
/// Bytes of a `struct sock_extended_err`.
const EXTENDED: usize = 16;
/// Longest options of an IPv4 header, in bytes.
const MOST_OPTIONS: usize = 40;
/// Room for all that [`tell`] and [`tell_errors`] ask for.
const CONTROL: usize = 320;

/// A datagram that was taken out of a kernel socket.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Bytes of payload.
    pub len: usize,
    /// Who sent it; of an error: to whom.
    pub from: SocketAddr,
    /// The address it was sent to; `None`: the kernel does not say.
    pub to: Option<IpAddr>,
    /// The interface it came by; 0: the kernel does not say.
    pub interface: u32,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// See [`Taken::options`], and how long they are.
    options: ([u8; MOST_OPTIONS], usize),
    /// What ICMP says of one that was sent.
    pub trouble: Option<Trouble>,
}

/// An ICMP message about a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Who sent it.
    pub offender: Ipv4Addr,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The MTU it tells, in bytes; 0: none.
    pub mtu: u32,
}

/// How an IPv6 datagram is to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route6 {
    /// The address to send from, and the interface to send by (IPV6_PKTINFO); 0: any.
    pub source: Option<(Ipv6Addr, u32)>,
    /// IPV6_HOPLIMIT.
    pub hop_limit: Option<i32>,
    /// IPV6_TCLASS.
    pub traffic_class: Option<i32>,
}

/// Whether a socket tells what [`Taken`] has.
pub fn tell(socket: BorrowedFd<'_>, inet6: bool, on: bool) {
    let by_four = [
        libc::IP_PKTINFO,
        libc::IP_RECVTTL,
        libc::IP_RECVTOS,
        libc::IP_RECVOPTS,
    ];
    let by_six = [
        libc::IPV6_RECVPKTINFO,
        libc::IPV6_RECVHOPLIMIT,
        libc::IPV6_RECVTCLASS,
    ];
    let six: &[i32] = if inet6 { &by_six } else { &[] };
    let options = by_four.iter().map(|&name| (libc::IPPROTO_IP, name));
    for (level, name) in options.chain(six.iter().map(|&name| (libc::IPPROTO_IPV6, name))) {
        // What is not told is not known.
        let _ = option::set_integer(socket, level, name, i32::from(on));
    }
}

/// Whether a socket tells what ICMP says of what it sends by IPv4 (IP_RECVERR).
pub fn tell_errors(socket: BorrowedFd<'_>, on: bool) {
    let _ = option::set_integer(socket, libc::IPPROTO_IP, libc::IP_RECVERR, i32::from(on));
}

/// Takes the oldest datagram without waiting. What was mapped to IPv6 (RFC 4291 section 2.5.5.2) is
/// IPv4's.
pub fn take(socket: impl AsFd, buffer: &mut [u8]) -> Option<Taken> {
    receive(socket, buffer, 0)
}

/// Takes the oldest error (see [`tell_errors`]), with the beginning of what it is about, likewise.
pub fn take_error(socket: impl AsFd, buffer: &mut [u8]) -> Option<Taken> {
    receive(socket, buffer, libc::MSG_ERRQUEUE)
}

fn receive(socket: impl AsFd, buffer: &mut [u8], flags: i32) -> Option<Taken> {
    let mut name = [0u8; NAME];
    // Aligned, as the kernel wants it.
    let mut control = [0u64; CONTROL / 8];
    let parts = [libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    }];
    let mut message = message(&parts);
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = NAME as libc::socklen_t;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL;
    // SAFETY: the kernel writes into the three buffers, whose lengths it is told, and into `message`;
    // all live across the call.
    let len = checked(unsafe {
        syscall3(
            Sysno::recvmsg,
            socket.as_fd().as_raw_fd() as usize,
            &raw mut message as usize,
            (flags | libc::MSG_DONTWAIT) as usize,
        )
    })
    .ok()?;
    let mut taken = Taken {
        len,
        from: address(&name)?,
        to: None,
        interface: 0,
        ttl: 64,
        tos: 0,
        options: ([0; MOST_OPTIONS], 0),
        trouble: None,
    };
    let mut rest = &control.as_bytes()[..message.msg_controllen.min(CONTROL)];
    while let Some((message, behind)) = cmsg::first(rest) {
        taken.hear(message);
        rest = behind;
    }
    Some(taken)
}

impl Taken {
    /// Its header's options, with what this host has noted.
    pub fn options(&self) -> &[u8] {
        &self.options.0[..self.options.1]
    }

    fn hear(&mut self, cmsg::Message { level, kind, data }: cmsg::Message<'_>) {
        let byte = data.first().copied().unwrap_or_default();
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let &[a, b, c, d, _, _, _, _, e, f, g, h] = data {
                    self.interface = u32::from_ne_bytes([a, b, c, d]);
                    self.to = Some(Ipv4Addr::new(e, f, g, h).into());
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Some((ip, index)) = data.split_first_chunk::<16>()
                    && let Ok(index) = index.try_into()
                {
                    self.interface = u32::from_ne_bytes(index);
                    self.to = Some(IpAddr::from(Ipv6Addr::from(*ip)).to_canonical());
                }
            }
            // Integers, of one byte (IP_TOS) or four, in the machine's order.
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                self.ttl = integer(data).unwrap_or(byte);
            }
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                self.tos = integer(data).unwrap_or(byte);
            }
            (libc::IPPROTO_IP, libc::IP_RECVOPTS) => {
                let len = data.len().min(MOST_OPTIONS);
                self.options.0[..len].copy_from_slice(&data[..len]);
                self.options.1 = len;
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                self.trouble = Trouble::read(data);
            }
            _ => {}
        }
    }
}

impl Trouble {
    /// From a `struct sock_extended_err`, and the offender's address behind it, if ICMP is where it is from.
    fn read(data: &[u8]) -> Option<Self> {
        let &[
            _,
            _,
            _,
            _,
            libc::SO_EE_ORIGIN_ICMP,
            kind,
            code,
            _,
            a,
            b,
            c,
            d,
        ] = data.first_chunk()?
        else {
            return None;
        };
        let offender = match address(data.get(EXTENDED..)?)? {
            SocketAddr::V4(offender) => *offender.ip(),
            SocketAddr::V6(_) => return None,
        };
        Some(Self {
            offender,
            kind,
            code,
            mtu: u32::from_ne_bytes([a, b, c, d]),
        })
    }
}

fn integer(data: &[u8]) -> Option<u8> {
    let bytes = data.first_chunk()?;
    u8::try_from(i32::from_ne_bytes(*bytes)).ok()
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
fn address(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = *name.get(4..)?.first_chunk()?;
            Some((ip, port).into())
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = *name.get(8..)?.first_chunk()?;
            let ip = Ipv6Addr::from(ip);
            let scope = u32::from_ne_bytes(*name.get(24..)?.first_chunk()?);
            Some(match ip.to_ipv4_mapped() {
                Some(ip) => (ip, port).into(),
                None => SocketAddrV6::new(ip, port, 0, scope).into(),
            })
        }
        _ => None,
    }
}

/// Sends a datagram by IPv6 without waiting.
///
/// # Errors
/// What sendmsg(2) says.
pub fn give(
    socket: impl AsFd,
    data: &[u8],
    to: SocketAddrV6,
    route: &Route6,
    flags: i32,
) -> Result<usize, Errno> {
    let mut name = [0; NAME];
    name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    name[2..4].copy_from_slice(&to.port().to_be_bytes());
    name[4..8].copy_from_slice(&to.flowinfo().to_be_bytes());
    name[8..24].copy_from_slice(&to.ip().octets());
    name[24..].copy_from_slice(&to.scope_id().to_ne_bytes());
    let control = route.control();
    let parts = [libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    }];
    let mut message = message(&parts);
    message.msg_name = name.as_ptr().cast_mut().cast();
    message.msg_namelen = NAME as libc::socklen_t;
    message.msg_control = control.as_ptr().cast_mut().cast();
    message.msg_controllen = control.len();
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the three buffers, whose lengths it is told, and `message`; all live
    // across the call.
    checked(unsafe {
        syscall3(
            Sysno::sendmsg,
            socket.as_fd().as_raw_fd() as usize,
            &raw mut message as usize,
            flags as usize,
        )
    })
}

impl Route6 {
    fn control(&self) -> Vec<u8> {
        let mut control = Vec::new();
        let mut ask = |kind, data: &[u8]| cmsg::push(&mut control, libc::IPPROTO_IPV6, kind, data);
        if let Some((source, interface)) = self.source {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&source.octets());
            info[16..].copy_from_slice(&interface.to_ne_bytes());
            ask(libc::IPV6_PKTINFO, &info);
        }
        if let Some(hop_limit) = self.hop_limit {
            ask(libc::IPV6_HOPLIMIT, &hop_limit.to_ne_bytes());
        }
        if let Some(class) = self.traffic_class {
            ask(libc::IPV6_TCLASS, &class.to_ne_bytes());
        }
        control
    }
}
