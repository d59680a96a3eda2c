//! Control messages (cmsg(3)): what is told with a received datagram, what is asked with a sent one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use rustix::fd::RawFd;
use rustix::io::Errno;

use crate::driver::{self, Arrived, Engine};
use crate::socket::options::{self, Ancillary, Options, Stamp};
use crate::socket::{Family, Kind, Socket, State, address, queues};
use crate::stack::ip_options::{self, IpOptions};
use crate::stack::wire::{ethernet, ipv4};
use crate::sys::cmsg;
use crate::sys::datagram::Route6;

/// Index of the loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;
/// SOL_UDP, UDP_SEGMENT and UDP_GRO of linux/udp.h.
const SOL_UDP: i32 = 17;
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
/// IP_RECVFRAGSIZE of linux/in.h.
const IP_RECVFRAGSIZE: i32 = 25;
/// Message types of sock_cmsg_send that carry four bytes.
const SCM_TIMESTAMPING_NEW: i32 = 65;
const SCM_TS_OPT_ID: i32 = 81;

/// One control message for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its level.
    pub level: i32,
    /// Its type.
    pub kind: i32,
    /// Its data.
    pub data: Vec<u8>,
}

/// Whether the program has asked for anything.
fn wanted(options: &Options) -> bool {
    options.stamp != Stamp::None
        || options.stamping.of_arrival()
        || options.ancillary != Ancillary::default()
}

/// What the program has asked to be told with what it received from a connection. `any`: it was
/// more than nothing.
pub fn tell_of_connection(fd: RawFd, socket: &Socket, any: bool) -> Vec<Told> {
    let state = socket.state();
    if socket.kind != Kind::Stream || !wanted(&state.options) {
        return Vec::new();
    }
    let options = state.options.clone();
    drop(state);
    let mut told = Vec::new();
    if any && let Some(at) = queues::arrived_at(socket) {
        stamps(&options, at, &mut told);
    }
    let asked = options.ancillary.unread;
    let unread = asked
        .then(|| queues::count(fd, socket, queues::UNREAD))
        .flatten();
    if let Some(Ok(count)) = unread {
        told.push(Told {
            level: libc::IPPROTO_TCP,
            kind: libc::TCP_INQ,
            data: (count as i32).to_ne_bytes().to_vec(),
        });
    }
    told
}

/// The time of arrival, in nanoseconds since 1970, in the forms asked for.
fn stamps(options: &Options, at: u64, told: &mut Vec<Told>) {
    let mut tell = |kind, data: &[u8]| {
        told.push(Told {
            level: libc::SOL_SOCKET,
            kind,
            data: data.to_vec(),
        });
    };
    match options.stamp {
        Stamp::None => {}
        Stamp::Micros(kind) => tell(kind, &time(at, 1_000)),
        Stamp::Nanos(kind) => tell(kind, &time(at, 1)),
    }
    if options.stamping.of_arrival() {
        told.push(stamp(options.stamping.name, at));
    }
}

/// A time in the form of SO_TIMESTAMPING: the second and third are the hardware's.
pub fn stamp(kind: i32, at: u64) -> Told {
    let mut times = vec![0; 48];
    times[..16].copy_from_slice(&time(at, 1));
    Told {
        level: libc::SOL_SOCKET,
        kind,
        data: times,
    }
}

/// What the program has asked to be told with a datagram.
pub fn tell(socket: &Socket, arrived: &Arrived) -> Vec<Told> {
    if !wanted(&socket.state().options) {
        return Vec::new();
    }
    let engine = driver::lock();
    let state = socket.state();
    let engine = engine.as_deref().filter(|_| state.endpoint.is_some());
    tell_in(engine, socket.family(), &state, arrived)
}

/// The same, by the engine that serves the socket, if it is this process's.
pub fn tell_in(
    engine: Option<&Engine>,
    family: Family,
    state: &State,
    arrived: &Arrived,
) -> Vec<Told> {
    if !wanted(&state.options) {
        return Vec::new();
    }
    let host = match (engine, arrived.from, arrived.to) {
        (Some(engine), SocketAddr::V4(from), IpAddr::V4(to)) => {
            engine.stack.host_for(*from.ip(), to)
        }
        _ => arrived.host,
    };
    let at = Place {
        interface: engine.map_or(0, Engine::interface_index),
        host,
        port: state.local.map_or(0, |local| local.port()),
        received: true,
    };
    told(&state.options, family, arrived, &at)
}

/// Whether something is asked for with a datagram that there is no room for in its options (IP_RETOPTS).
pub fn is_cut(socket: &Socket, arrived: &Arrived) -> bool {
    let fails = || arrived.options.echoed(arrived.host).is_none();
    !arrived.options.is_empty() && socket.state().options.ancillary.echo && fails()
}

/// What the program has asked to be told, of a datagram of its own that has left in `frame`; with the
/// address it was sent from. `None`: that is no frame.
pub fn tell_of_sent(
    engine: &Engine,
    family: Family,
    state: &State,
    frame: &[u8],
) -> Option<(Ipv4Addr, Vec<Told>)> {
    let (ip, _) = ipv4::parse(frame.get(ethernet::HEADER_LEN..)?).ok()?;
    let arrived = Arrived {
        ttl: ip.ttl,
        tos: ip.tos,
        ..Arrived::between((ip.source, 0).into(), ip.destination.into())
    };
    let at = Place {
        interface: engine.interface_index(),
        host: ip.source,
        port: state.local.map_or(0, |local| local.port()),
        received: false,
    };
    let told = told(&state.options, family, &arrived, &at);
    Some((ip.source, told))
}

/// Where a datagram has arrived.
struct Place {
    /// The driven interface's index.
    interface: u32,
    /// The address of ours that it has reached.
    host: Ipv4Addr,
    /// The socket's port.
    port: u16,
    /// It has arrived; else it has left.
    received: bool,
}

/// The messages about a datagram.
fn told(options: &Options, family: Family, arrived: &Arrived, at: &Place) -> Vec<Told> {
    let mut told = Vec::new();
    if arrived.at != 0 {
        stamps(options, arrived.at, &mut told);
    }
    let wanted = &options.ancillary;
    let mut tell = |level, kind, data: &[u8]| {
        told.push(Told {
            level,
            kind,
            data: data.to_vec(),
        });
    };
    if wanted.drops && arrived.drops > 0 {
        let drops = arrived.drops.to_ne_bytes();
        tell(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &drops);
    }
    // Neither comes with a frame.
    let none = 0_i32.to_ne_bytes();
    if wanted.mark && at.received {
        tell(libc::SOL_SOCKET, libc::SO_MARK, &none);
    }
    if wanted.priority && at.received {
        tell(libc::SOL_SOCKET, libc::SO_PRIORITY, &none);
    }
    if wanted.joined && arrived.segment > 0 {
        let segment = i32::from(arrived.segment).to_ne_bytes();
        tell(SOL_UDP, UDP_GRO, &segment);
    }
    let interface = match arrived.interface {
        0 if arrived.to.is_loopback() => LOOPBACK,
        0 => at.interface,
        known => known,
    };
    if wanted.packet_info6 && family == Family::Inet6 {
        let to = match arrived.to {
            IpAddr::V4(to) => to.to_ipv6_mapped(),
            IpAddr::V6(to) => to,
        };
        let mut info = [0; 20];
        info[..16].copy_from_slice(&to.octets());
        info[16..].copy_from_slice(&interface.to_ne_bytes());
        tell(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
    }
    match arrived.to {
        IpAddr::V4(to) => {
            if wanted.packet_info {
                let mut info = [0; 12];
                info[..4].copy_from_slice(&interface.to_ne_bytes());
                info[4..8].copy_from_slice(&at.host.octets());
                info[8..].copy_from_slice(&to.octets());
                tell(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            let to = SocketAddrV4::new(to, at.port);
            of_header4(wanted, arrived, (to, at.host), tell);
        }
        IpAddr::V6(_) => of_header6(wanted, arrived, tell),
    }
    told
}

/// What of an IPv4 header is told, which says that the datagram was for `to`, and has reached `host`.
fn of_header4(
    wanted: &Ancillary,
    arrived: &Arrived,
    (to, host): (SocketAddrV4, Ipv4Addr),
    mut tell: impl FnMut(i32, i32, &[u8]),
) {
    if wanted.time_to_live {
        let ttl = i32::from(arrived.ttl).to_ne_bytes();
        tell(libc::IPPROTO_IP, libc::IP_TTL, &ttl);
    }
    if wanted.service {
        tell(libc::IPPROTO_IP, libc::IP_TOS, &[arrived.tos]);
    }
    if !arrived.options.is_empty() {
        if wanted.options {
            let options = arrived.options.as_bytes();
            tell(libc::IPPROTO_IP, libc::IP_RECVOPTS, options);
        }
        if wanted.echo
            && let Some(echo) = arrived.options.echoed(host)
        {
            tell(libc::IPPROTO_IP, libc::IP_RETOPTS, echo.as_bytes());
        }
    }
    if wanted.destination {
        let (address, len) = address::write(to, Family::Inet);
        tell(libc::IPPROTO_IP, libc::IP_ORIGDSTADDR, &address[..len]);
    }
    if wanted.fragment && arrived.fragment > 0 {
        let fragment = i32::from(arrived.fragment).to_ne_bytes();
        tell(libc::IPPROTO_IP, IP_RECVFRAGSIZE, &fragment);
    }
}

/// What of an IPv6 header is told.
fn of_header6(wanted: &Ancillary, arrived: &Arrived, mut tell: impl FnMut(i32, i32, &[u8])) {
    if wanted.hop_limit {
        let hops = i32::from(arrived.ttl).to_ne_bytes();
        tell(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &hops);
    }
    if wanted.traffic_class {
        let class = i32::from(arrived.tos).to_ne_bytes();
        tell(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class);
    }
}

/// A `struct timeval` or `timespec`: seconds, and what is left in units of `unit` nanoseconds.
fn time(nanoseconds: u64, unit: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(nanoseconds / 1_000_000_000).to_ne_bytes());
    bytes[8..].copy_from_slice(&(nanoseconds % 1_000_000_000 / unit).to_ne_bytes());
    bytes
}

/// What control messages ask for one datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// IP_TTL.
    pub ttl: Option<u8>,
    /// IP_TOS.
    pub tos: Option<u8>,
    /// SO_MARK.
    pub mark: Option<u32>,
    /// SO_PRIORITY, which IP_TOS sets, too.
    pub priority: Option<u32>,
    /// IP_PKTINFO: the address to send from; unspecified: the one that the route says, whatever the socket is bound to.
    pub source: Option<Ipv4Addr>,
    /// IP_PKTINFO: the interface to send by; 0: any.
    pub interface: u32,
    /// IPV6_PKTINFO, IPV6_HOPLIMIT and IPV6_TCLASS of what leaves by IPv6.
    pub route6: Route6,
    /// IP_RETOPTS: options of the header.
    pub ip_options: Option<IpOptions>,
    /// UDP_SEGMENT: bytes of payload to send in each datagram.
    pub segment: Option<u16>,
    /// SO_TIMESTAMPING: which times of sending are asked for.
    pub stamping: Option<u32>,
}

/// Reads the control messages of sendmsg(2). EINVAL: one is malformed, out of range or unknown.
///
/// EPERM: one takes a right.
pub fn check(control: &[u8], socket: &Socket) -> Result<Asked, Errno> {
    let mut asked = Asked::default();
    let mut rest = control;
    while rest.len() >= cmsg::HEADER {
        let (message, behind) = cmsg::first(rest).ok_or(Errno::INVAL)?;
        rest = behind;
        let cmsg::Message { level, kind, data } = message;
        match (level, socket.kind) {
            (libc::SOL_SOCKET, _) => asked.take_socket(socket, kind, data)?,
            (libc::IPPROTO_IP, Kind::Datagram) => asked.take_ip(socket, kind, data)?,
            (libc::IPPROTO_IPV6, Kind::Datagram) if socket.family() == Family::Inet6 => {
                asked.take_ipv6(kind, data)?;
            }
            (SOL_UDP, Kind::Datagram) => {
                let segment = data.try_into().map_err(|_| Errno::INVAL)?;
                if kind != UDP_SEGMENT {
                    return Err(Errno::INVAL);
                }
                asked.segment = Some(u16::from_ne_bytes(segment));
            }
            // As on Linux, whatever else there is.
            _ => {}
        }
    }
    Ok(asked)
}

impl Asked {
    fn take_socket(&mut self, socket: &Socket, name: i32, data: &[u8]) -> Result<(), Errno> {
        let number = data.try_into().map(u32::from_ne_bytes);
        match (name, number) {
            (libc::SCM_RIGHTS | libc::SCM_CREDENTIALS, _) => Ok(()),
            (libc::SO_TIMESTAMPING | SCM_TIMESTAMPING_NEW, Ok(flags)) => {
                self.stamping = Some(flags);
                Ok(())
            }
            (libc::SO_MARK, Ok(mark)) => {
                self.mark = Some(mark);
                options::permit(socket, (libc::SOL_SOCKET, name), data)
            }
            (libc::SO_PRIORITY, Ok(priority)) => {
                self.priority = Some(priority);
                options::permit(socket, (libc::SOL_SOCKET, name), data)
            }
            (SCM_TS_OPT_ID, Ok(_)) => Ok(()),
            _ => Err(Errno::INVAL),
        }
    }

    fn take_ip(&mut self, socket: &Socket, name: i32, data: &[u8]) -> Result<(), Errno> {
        let number = match *data {
            [a, b, c, d] => Some(i32::from_ne_bytes([a, b, c, d])),
            [byte] if name == libc::IP_TOS => Some(i32::from(byte)),
            _ => None,
        };
        match (name, number) {
            (libc::IP_TTL, Some(ttl @ 1..=255)) => self.ttl = Some(ttl as u8),
            (libc::IP_TOS, Some(tos @ 0..=255)) => {
                self.tos = Some(tos as u8);
                self.priority = Some(options::priority(tos as u8).cast_unsigned());
            }
            (libc::IP_PKTINFO, _) => {
                let &[a, b, c, d, e, f, g, h, _, _, _, _] = data else {
                    return Err(Errno::INVAL);
                };
                self.interface = u32::from_ne_bytes([a, b, c, d]);
                self.source = Some(Ipv4Addr::from([e, f, g, h]));
            }
            (libc::IP_RETOPTS, _) => {
                let data = &data[..data.len().min(ip_options::MAX_LEN)];
                options::permit_ip_options(socket, data)?;
                let options = IpOptions::to_send(data).map_err(|_| Errno::INVAL)?;
                self.ip_options = Some(options);
            }
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    /// IPv6's: one means something for IPv4, too.
    fn take_ipv6(&mut self, name: i32, data: &[u8]) -> Result<(), Errno> {
        let number = data.try_into().map(i32::from_ne_bytes);
        match (name, number) {
            (libc::IPV6_PKTINFO, _) => {
                let (address, index) = data.split_first_chunk::<16>().ok_or(Errno::INVAL)?;
                let index = index.try_into().map_err(|_| Errno::INVAL)?;
                self.interface = u32::from_ne_bytes(index);
                let address = Ipv6Addr::from(*address);
                self.route6.source = Some((address, self.interface));
                self.source = address.to_ipv4_mapped();
            }
            (libc::IPV6_HOPLIMIT, Ok(limit)) => self.route6.hop_limit = Some(limit),
            (libc::IPV6_TCLASS, Ok(class)) => self.route6.traffic_class = Some(class),
            _ => {}
        }
        Ok(())
    }
}
