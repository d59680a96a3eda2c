//! Options the stack does not interpret, judged and read back by a kernel socket.
//!
//! The socket is of the program's family and kind, is told everything that was said before, and
//! lives for one call. So an option behaves as on the kernel we run on, down to privileges and
//! short lengths, without a copy of the kernel's rules here.

use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;

use super::{Options, Stamp};
use crate::socket::create::kernel_socket;
use crate::socket::{Socket, Stage};
use crate::stack::tcp::Congestion;
use crate::sys::owned::OwnedFd;
use crate::sys::raw;

/// TCP_MD5SIG_EXT, TCP_AO_ADD_KEY, TCP_AO_DEL_KEY, TCP_AO_INFO, TCP_AO_REPAIR of linux/tcp.h.
const TCP_MD5SIG_EXT: i32 = 32;
const TCP_AO: core::ops::RangeInclusive<i32> = 38..=42;
/// IPV6_JOIN_ANYCAST and IPV6_LEAVE_ANYCAST of linux/in6.h.
const IPV6_ANYCAST: core::ops::RangeInclusive<i32> = 27..=28;
/// MCAST_JOIN_GROUP to MCAST_MSFILTER of linux/in.h.
const MCAST: core::ops::RangeInclusive<i32> = 42..=48;
/// IP_MSFILTER of linux/in.h, of which getsockopt(2) reads what it writes over.
const IP_MSFILTER: i32 = 41;
/// UDP_CORK, UDP_ENCAP, UDP_SEGMENT, UDP_GRO of linux/udp.h.
pub(super) const UDP_CORK: i32 = 1;
const UDP_ENCAP: i32 = 100;
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
/// IP_RECVFRAGSIZE, IP_LOCAL_PORT_RANGE of linux/in.h.
const IP_RECVFRAGSIZE: i32 = 25;
const IP_LOCAL_PORT_RANGE: i32 = 51;
/// SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET of asm-generic/socket.h.
const SO_PREFER_BUSY_POLL: i32 = 69;
const SO_BUSY_POLL_BUDGET: i32 = 70;
/// SO_RCVMARK, SO_RCVPRIORITY of asm-generic/socket.h.
const SO_RCVMARK: i32 = 75;
const SO_RCVPRIORITY: i32 = 82;
/// SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW of asm-generic/socket.h.
const TIMESTAMP_NEW: i32 = 63;
const TIMESTAMPNS_NEW: i32 = 64;
pub(super) const TIMESTAMPING_NEW: i32 = 65;

/// The options that choose an interface.
pub(super) const DEVICE: [(i32, i32); 3] = [
    (libc::IPPROTO_IP, libc::IP_UNICAST_IF),
    (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
    (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX),
];

/// A kernel socket in the state the program believes its own to be in.
fn like(socket: &Socket, options: &Options) -> Result<OwnedFd, Errno> {
    let kernel = kernel_socket(socket)?;
    options.replay(kernel.as_raw_fd());
    Ok(kernel)
}

/// What the kernel says to setsockopt(2).
pub(super) fn set(
    socket: &Socket,
    options: &Options,
    (level, name): (i32, i32),
    value: &[u8],
) -> Result<(), Errno> {
    let kernel = like(socket, options)?;
    raw::setsockopt(kernel.as_raw_fd(), level, name, value)
}

/// What the kernel says to setsockopt(2) of a fresh socket.
pub(in crate::socket) fn says(
    socket: &Socket,
    (level, name): (i32, i32),
    value: i32,
) -> Result<(), Errno> {
    let kernel = kernel_socket(socket)?;
    raw::setsockopt(kernel.as_raw_fd(), level, name, &value.to_ne_bytes())
}

/// What the kernel says to getsockopt(2) of `room` bytes.
pub(super) fn get(
    socket: &Socket,
    options: &Options,
    (level, name): (i32, i32),
    room: i32,
) -> Result<Vec<u8>, Errno> {
    let kernel = like(socket, options)?;
    raw::getsockopt(kernel.as_raw_fd(), level, name, room)
}

/// getsockopt(2) of an option that says by its value what is asked for, which `ask` does of a descriptor. `None`: it is none
/// of these. Who joins a group, and has sources there, is the kernel's.
pub fn get_by_argument<T>(
    socket: &Socket,
    option: (i32, i32),
    ask: impl FnOnce(RawFd) -> Result<T, Errno>,
) -> Option<Result<T, Errno>> {
    let is_one = match option {
        (libc::IPPROTO_IP, IP_MSFILTER) => true,
        (libc::IPPROTO_IP | libc::IPPROTO_IPV6, name) => name == *MCAST.end(),
        _ => false,
    };
    let asked = |kernel: OwnedFd| ask(kernel.as_raw_fd());
    is_one.then(|| kernel_socket(socket).and_then(asked))
}

/// Whether the program has the right to say `option`, in a control message, too. EPERM.
pub fn permit(socket: &Socket, option: (i32, i32), value: &[u8]) -> Result<(), Errno> {
    if !needs_right(option, value) {
        return Ok(());
    }
    let kernel = kernel_socket(socket)?;
    raw::setsockopt(kernel.as_raw_fd(), option.0, option.1, value)
}

/// Whether the program may send datagrams with `options` in their header, as the kernel judges them. EINVAL.
pub fn permit_ip_options(socket: &Socket, options: &[u8]) -> Result<(), Errno> {
    let kernel = kernel_socket(socket)?;
    raw::setsockopt(
        kernel.as_raw_fd(),
        libc::IPPROTO_IP,
        libc::IP_OPTIONS,
        options,
    )
}

/// The same of an option that chooses another interface for a socket that has one.
pub(super) fn permit_interface(
    socket: &Socket,
    option: (i32, i32),
    value: &[u8],
) -> Result<(), Errno> {
    let state = socket.state();
    match changes_interface(&state.options, option) {
        true => set(socket, &state.options, option, value),
        false => Ok(()),
    }
}

/// Whether the option is to bind a socket to an interface that is bound to one, which takes CAP_NET_RAW.
pub(super) fn changes_interface(options: &Options, (level, name): (i32, i32)) -> bool {
    let binds = matches!(name, libc::SO_BINDTODEVICE | libc::SO_BINDTOIFINDEX);
    options.on_interface && level == libc::SOL_SOCKET && binds
}

/// Whether the option may be set at this stage, which the kernel socket that judges has not reached.
/// EINVAL, EPERM.
pub(super) fn check_stage(
    (level, name): (i32, i32),
    value: &[u8],
    stage: Stage,
) -> Result<(), Errno> {
    // What is too short is refused as that, at any stage.
    if level != libc::IPPROTO_TCP || value.len() < size_of::<i32>() {
        return Ok(());
    }
    let connected = matches!(stage, Stage::Connecting | Stage::Connected);
    match name {
        libc::TCP_REPAIR if stage == Stage::Listening => Err(Errno::PERM),
        libc::TCP_FASTOPEN | libc::TCP_FASTOPEN_NO_COOKIE if connected => Err(Errno::INVAL),
        libc::TCP_FASTOPEN_CONNECT if stage != Stage::Idle => Err(Errno::INVAL),
        // Only a socket without a connection can do without a bound.
        libc::TCP_WINDOW_CLAMP if value[..4] == [0; 4] && stage != Stage::Idle => Err(Errno::INVAL),
        libc::TCP_QUEUE_SEQ if stage != Stage::Idle => Err(Errno::PERM),
        _ => Ok(()),
    }
}

/// Whether the option decides what the kernel does with packets in a way the stack does not know:
/// filters, keys, multicast, another interface.
pub(super) fn needs_kernel(
    (level, name): (i32, i32),
    value: &[u8],
    is_driven: impl Fn(&[u8]) -> bool,
) -> bool {
    let on = value.iter().any(|&byte| byte != 0);
    match level {
        libc::SOL_SOCKET => match name {
            libc::SO_ATTACH_FILTER
            | libc::SO_ATTACH_BPF
            | libc::SO_ATTACH_REUSEPORT_CBPF
            | libc::SO_ATTACH_REUSEPORT_EBPF => true,
            libc::SO_BINDTODEVICE | libc::SO_BINDTOIFINDEX => on && !is_driven(value),
            _ => false,
        },
        libc::IPPROTO_TCP => match name {
            libc::TCP_MD5SIG | TCP_MD5SIG_EXT | libc::TCP_ULP => true,
            libc::TCP_REPAIR => on,
            _ => TCP_AO.contains(&name),
        },
        libc::IPPROTO_IP => match name {
            libc::IP_ADD_MEMBERSHIP
            | libc::IP_ADD_SOURCE_MEMBERSHIP
            | libc::IP_BLOCK_SOURCE
            | libc::IP_MULTICAST_IF
            | libc::IP_IPSEC_POLICY
            | libc::IP_XFRM_POLICY => true,
            libc::IP_OPTIONS | libc::IP_TRANSPARENT => on,
            libc::IP_UNICAST_IF => on && !is_driven(&number(value).swap_bytes().to_ne_bytes()),
            _ => MCAST.contains(&name),
        },
        libc::IPPROTO_UDP => on && name == UDP_ENCAP,
        libc::IPPROTO_IPV6 => match name {
            libc::IPV6_ADD_MEMBERSHIP | libc::IPV6_MULTICAST_IF => true,
            _ => MCAST.contains(&name) || IPV6_ANYCAST.contains(&name),
        },
        _ => false,
    }
}

/// Whether the option takes a right (socket(7), capabilities(7)) and the stack heeds it, or the kernel
/// socket that judges it would not mind.
pub(super) fn needs_right((level, name): (i32, i32), value: &[u8]) -> bool {
    let number = number(value);
    match (level, name) {
        (libc::IPPROTO_TCP, libc::TCP_REPAIR) => true,
        (libc::IPPROTO_IPV6, libc::IPV6_HOPOPTS | libc::IPV6_RTHDRDSTOPTS | libc::IPV6_DSTOPTS) => {
            true
        }
        (libc::SOL_SOCKET, libc::SO_PRIORITY) => !(0..=6).contains(&number),
        (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE | libc::SO_RCVBUFFORCE | libc::SO_MARK) => true,
        (libc::SOL_SOCKET, libc::SO_DEBUG | SO_PREFER_BUSY_POLL | SO_BUSY_POLL_BUDGET) => {
            number != 0
        }
        _ => false,
    }
}

/// Notes what the stack can heed of an option the kernel has found good. ENOENT: a congestion
/// control the stack does not have.
pub(super) fn note(
    options: &mut Options,
    (level, name): (i32, i32),
    value: &[u8],
) -> Result<(), Errno> {
    let number = number(value);
    let on = number != 0;
    match level {
        libc::SOL_SOCKET if name == libc::SO_MAX_PACING_RATE => {
            options.pacing_rate = pacing_rate(value);
        }
        libc::SOL_SOCKET => note_socket(options, name, number),
        libc::IPPROTO_TCP => match name {
            libc::TCP_CONGESTION => options.congestion = Some(congestion(value)?),
            libc::TCP_SAVE_SYN => options.save_syn = number as u8,
            libc::TCP_FASTOPEN => options.fast_open = number.cast_unsigned(),
            libc::TCP_FASTOPEN_CONNECT => options.fast_open_connect = on,
            libc::TCP_FASTOPEN_NO_COOKIE => options.fast_open_bare = on,
            libc::TCP_INQ => options.ancillary.unread = on,
            _ => {}
        },
        libc::IPPROTO_IP => match name {
            libc::IP_MTU_DISCOVER => options.mtu_discover = number,
            libc::IP_MINTTL => options.min_ttl = number as u8,
            libc::IP_RECVERR => options.receive_errors = on,
            libc::IP_PKTINFO => options.ancillary.packet_info = on,
            libc::IP_RECVTTL => options.ancillary.time_to_live = on,
            libc::IP_RECVTOS => options.ancillary.service = on,
            libc::IP_RECVOPTS => options.ancillary.options = on,
            libc::IP_RETOPTS => options.ancillary.echo = on,
            libc::IP_RECVORIGDSTADDR => options.ancillary.destination = on,
            IP_RECVFRAGSIZE => options.ancillary.fragment = on,
            IP_LOCAL_PORT_RANGE => options.port_range = number.cast_unsigned(),
            libc::IP_MULTICAST_ALL => options.all_groups = on,
            libc::IP_FREEBIND => options.free_bind = on,
            libc::IP_BIND_ADDRESS_NO_PORT => options.bind_no_port = on,
            _ => {}
        },
        libc::IPPROTO_UDP => match name {
            UDP_SEGMENT => options.segment = u16::try_from(number).unwrap_or(0),
            UDP_GRO => options.ancillary.joined = on,
            UDP_CORK => options.cork = on,
            _ => {}
        },
        libc::IPPROTO_IPV6 => match name {
            libc::IPV6_V6ONLY => options.v6_only = on,
            libc::IPV6_RECVPKTINFO => options.ancillary.packet_info6 = on,
            libc::IPV6_RECVHOPLIMIT => options.ancillary.hop_limit = on,
            libc::IPV6_RECVTCLASS => options.ancillary.traffic_class = on,
            _ => {}
        },
        _ => {}
    }
    Ok(())
}

fn note_socket(options: &mut Options, name: i32, number: i32) {
    let on = number != 0;
    let size = usize::try_from(number).unwrap_or(0);
    match name {
        libc::SO_PEEK_OFF => options.peek_offset = number,
        libc::SO_NO_CHECK => options.no_check = on,
        libc::SO_SELECT_ERR_QUEUE => options.select_errors = on,
        libc::SO_DONTROUTE => options.on_link = on,
        libc::SO_BINDTODEVICE | libc::SO_BINDTOIFINDEX => options.on_interface = on,
        libc::SO_MARK => options.mark = number.cast_unsigned(),
        libc::SO_PRIORITY => options.priority = number,
        libc::SO_RXQ_OVFL => options.ancillary.drops = on,
        SO_RCVMARK => options.ancillary.mark = on,
        SO_RCVPRIORITY => options.ancillary.priority = on,
        libc::SO_ZEROCOPY => options.zero_copy = on,
        libc::SO_SNDBUFFORCE => options.send_buffer = Some(size.max(super::set::LEAST_SEND / 2)),
        libc::SO_RCVBUFFORCE => {
            options.receive_buffer = Some(size.max(super::set::LEAST_RECEIVE / 2));
        }
        libc::SO_TIMESTAMP | TIMESTAMP_NEW | libc::SO_TIMESTAMPNS | TIMESTAMPNS_NEW if !on => {
            options.stamp = Stamp::None;
        }
        libc::SO_TIMESTAMP | TIMESTAMP_NEW => options.stamp = Stamp::Micros(name),
        libc::SO_TIMESTAMPNS | TIMESTAMPNS_NEW => options.stamp = Stamp::Nanos(name),
        _ => {}
    }
}

/// The value as an integer; the IP level also takes single bytes.
fn number(value: &[u8]) -> i32 {
    match value {
        [a, b, c, d, ..] => i32::from_ne_bytes([*a, *b, *c, *d]),
        [byte, ..] => i32::from(*byte),
        [] => 0,
    }
}

/// SO_MAX_PACING_RATE takes a long number, too; all ones are no bound.
fn pacing_rate(value: &[u8]) -> Option<u64> {
    match value.first_chunk().map(|eight| u64::from_ne_bytes(*eight)) {
        Some(long) => (long != u64::MAX).then_some(long),
        None => {
            let short = number(value).cast_unsigned();
            (short != u32::MAX).then_some(u64::from(short))
        }
    }
}

fn congestion(value: &[u8]) -> Result<Congestion, Errno> {
    let name = value.split(|&byte| byte == 0).next().unwrap_or(&[]);
    match name {
        b"cubic" => Ok(Congestion::Cubic),
        b"reno" => Ok(Congestion::Reno),
        _ => Err(Errno::NOENT),
    }
}
