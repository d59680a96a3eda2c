//! setsockopt(2) and getsockopt(2): what is stored, what it means for the stack.
//!
//! ```text
//!   set ──► one of ours? ── yes ──► Linux's range, stored, told to the stack
//!            └─ no ──► a kernel socket of the same sort judges; what the stack can heed is noted
//! ```
//!
//! 1. The options that programs set on every connection are ours: no system call is made for them.
//! 2. All others are judged, and read back, by a kernel socket that lives for the one call
//!    ([`kernel`]): so ranges, lengths, privileges and errno are those of the kernel we run on.
//! 3. What was set is remembered as it was said, for that socket and for the one that takes the
//!    descriptor over if the kernel serves it.
//! 4. An option that changes which packets mean what, and that the stack does not have, is never
//!    stored without effect: the kernel then serves the socket, or the call fails ([`kernel`]).

mod address_form;
mod elsewhere;
mod get;
mod info;
mod kernel;
mod memory;
mod packet_options;
mod path;
mod set;
mod set_tcp;
mod stamping;

pub use elsewhere::tell_pair_of;
pub use get::{get, get_in, put_error_back, take_error};
pub(super) use kernel::says as kernel_says;
pub use kernel::{get_by_argument, permit, permit_ip_options};
pub(super) use set::ONLY_KERNEL;
pub(super) use set::integer;
pub use set::{set, set_in, without_passing};
pub use stamping::Stamping;

use core::time::Duration;
use rustix::fd::RawFd;
use std::sync::Arc;

use super::repair::Repair;
use super::{Family, Kind};
use crate::stack::tcp::{Congestion, TcpOptions};
use crate::stack::transmit::Treatment;
use crate::stack::udp::{PathMtuDiscovery, UdpOptions};
use crate::sys::raw;

/// Most calls remembered for a kernel socket; an option set again replaces itself.
const REMEMBERED: usize = 64;
/// Longest value remembered, in bytes.
const LONGEST: usize = 256;

/// One call of setsockopt(2).
#[derive(Clone, Debug)]
struct Said {
    level: i32,
    name: i32,
    value: Vec<u8>,
}

/// How arrival times are given with a datagram (socket(7), SO_TIMESTAMP and its kin).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Not at all.
    None,
    /// SO_TIMESTAMP: a `struct timeval` under that message type.
    Micros(i32),
    /// SO_TIMESTAMPNS: a `struct timespec` under that message type.
    Nanos(i32),
}

/// What is told with each datagram (ip(7), ipv6(7)), and what of a connection (tcp(7), TCP_INQ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ancillary {
    /// IP_PKTINFO.
    pub packet_info: bool,
    /// IP_RECVTTL.
    pub time_to_live: bool,
    /// IP_RECVTOS.
    pub service: bool,
    /// IP_RECVOPTS.
    pub options: bool,
    /// IP_RETOPTS.
    pub echo: bool,
    /// IP_RECVORIGDSTADDR.
    pub destination: bool,
    /// IP_RECVFRAGSIZE.
    pub fragment: bool,
    /// IPV6_RECVPKTINFO, of an AF_INET6 socket.
    pub packet_info6: bool,
    /// IPV6_RECVHOPLIMIT.
    pub hop_limit: bool,
    /// IPV6_RECVTCLASS.
    pub traffic_class: bool,
    /// SO_RXQ_OVFL.
    pub drops: bool,
    /// SO_RCVMARK.
    pub mark: bool,
    /// SO_RCVPRIORITY.
    pub priority: bool,
    /// UDP_GRO.
    pub joined: bool,
    /// TCP_INQ.
    pub unread: bool,
}

/// Everything a program can set on a socket that the stack heeds. Sizes are in bytes as set (Linux
/// reads them back doubled).
#[derive(Clone, Debug)]
pub struct Options {
    family: Family,
    kind: Kind,
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub free_bind: bool,
    /// IP_LOCAL_PORT_RANGE: the highest port above the lowest; 0: none.
    pub port_range: u32,
    /// IP_BIND_ADDRESS_NO_PORT.
    pub bind_no_port: bool,
    pub v6_only: bool,
    pub keep_alive: bool,
    pub broadcast: bool,
    /// IP_MULTICAST_ALL.
    pub all_groups: bool,
    pub urgent_inline: bool,
    pub no_check: bool,
    /// SO_DONTROUTE: to neighbors only.
    pub on_link: bool,
    /// SO_BINDTODEVICE, to the driven interface.
    pub on_interface: bool,
    /// SO_MARK. Kept here, since who has given up his rights could not set it on a kernel socket.
    pub mark: u32,
    /// SO_PRIORITY, which IP_TOS sets, too.
    pub priority: i32,
    /// SO_ZEROCOPY: sends with MSG_ZEROCOPY are told of.
    pub zero_copy: bool,
    pub linger: Option<Duration>,
    pub linger_seconds: i32,
    /// As asked for; `None`: tuned by itself.
    pub receive_buffer: Option<usize>,
    /// As asked for; `None`: tuned by itself.
    pub send_buffer: Option<usize>,
    pub receive_low_water: usize,
    /// `None`: without end.
    pub receive_timeout: Option<Duration>,
    /// `None`: without end.
    pub send_timeout: Option<Duration>,
    /// UDP_SEGMENT, in bytes; 0: none.
    pub segment: u16,
    pub stamp: Stamp,
    pub stamping: Stamping,
    pub ancillary: Ancillary,
    pub no_delay: bool,
    /// TCP_CORK or UDP_CORK.
    pub cork: bool,
    /// As last set, for the next connection, or a listener's; `None`: delayed acknowledgements take care of themselves.
    pub quick_ack: Option<bool>,
    pub max_segment: u16,
    pub keep_idle: i32,
    pub keep_interval: i32,
    pub keep_count: i32,
    pub syn_count: i32,
    /// In seconds; negative: none.
    pub linger2: i32,
    /// In retransmissions, as Linux keeps it.
    pub defer_accept: u8,
    /// 0: none.
    pub window_clamp: u32,
    /// In milliseconds; 0: none.
    pub user_timeout: u32,
    pub not_sent_low_water: u32,
    /// `None`: the configured one.
    pub congestion: Option<Congestion>,
    /// SO_MAX_PACING_RATE in bytes a second; `None`: no bound.
    pub pacing_rate: Option<u64>,
    /// TCP_FASTOPEN.
    pub fast_open: u32,
    /// TCP_FASTOPEN_NO_COOKIE.
    pub fast_open_bare: bool,
    /// TCP_FASTOPEN_CONNECT.
    pub fast_open_connect: bool,
    /// TCP_SAVE_SYN.
    pub save_syn: u8,
    /// -1: the default.
    pub time_to_live: i32,
    pub service: u8,
    pub mtu_discover: i32,
    /// IP_MINTTL; 0: none.
    pub min_ttl: u8,
    /// SO_PEEK_OFF; negative: not in use. Of a connection the pair has the offset.
    pub peek_offset: i32,
    /// The port goes on being shared though SO_REUSEPORT was turned off, as on Linux a TCP socket's does.
    pub shares_port: bool,
    /// How many a listener had before, that connections took over.
    pub edition: u16,
    /// A listener was shut down, for reading and for writing, before it was one: so are its connections.
    pub shut: (bool, bool),
    pub receive_errors: bool,
    /// SO_SELECT_ERR_QUEUE: an error is exceptional to select(2).
    pub select_errors: bool,
    /// TCP_REPAIR and its kin; `None`: never said.
    pub repair: Option<Box<Repair>>,
    /// What was set, as it was said; shared with what inherited it.
    said: Arc<Vec<Said>>,
}

impl Options {
    /// Linux's defaults.
    pub fn new(family: Family, kind: Kind) -> Self {
        Self {
            family,
            kind,
            reuse_address: false,
            reuse_port: false,
            free_bind: false,
            port_range: 0,
            bind_no_port: false,
            v6_only: false,
            keep_alive: false,
            broadcast: false,
            all_groups: true,
            urgent_inline: false,
            no_check: false,
            on_link: false,
            on_interface: false,
            mark: 0,
            priority: 0,
            zero_copy: false,
            linger: None,
            linger_seconds: 0,
            receive_buffer: None,
            send_buffer: None,
            receive_low_water: 1,
            receive_timeout: None,
            send_timeout: None,
            segment: 0,
            stamp: Stamp::None,
            stamping: Stamping::default(),
            ancillary: Ancillary::default(),
            no_delay: false,
            cork: false,
            quick_ack: None,
            max_segment: 0,
            keep_idle: 7200,
            keep_interval: 75,
            keep_count: 9,
            syn_count: 6,
            linger2: 60,
            defer_accept: 0,
            window_clamp: 0,
            user_timeout: 0,
            not_sent_low_water: 0,
            congestion: None,
            pacing_rate: None,
            fast_open: 0,
            fast_open_bare: false,
            fast_open_connect: false,
            save_syn: 0,
            time_to_live: -1,
            service: 0,
            min_ttl: 0,
            peek_offset: -1,
            edition: 0,
            shut: (false, false),
            shares_port: false,
            mtu_discover: libc::IP_PMTUDISC_WANT,
            receive_errors: false,
            select_errors: false,
            repair: None,
            said: Arc::new(Vec::new()),
        }
    }

    /// What an accepted connection takes over from its listener: not what is about accepting.
    pub fn inherited(&self) -> Self {
        const LOST: [(i32, i32); 3] = [
            (libc::SOL_SOCKET, libc::SO_PRIORITY),
            (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
        ];
        let mut inherited = self.clone();
        inherited.priority = 0;
        inherited.defer_accept = 0;
        inherited.fast_open = 0;
        inherited.repair = None;
        let lost = |said: &Said| LOST.contains(&(said.level, said.name));
        if inherited.said.iter().any(lost) {
            Arc::make_mut(&mut inherited.said).retain(|said| !lost(said));
        }
        inherited
    }

    fn remember(&mut self, level: i32, name: i32, value: &[u8]) {
        let said = Arc::make_mut(&mut self.said);
        said.retain(|said| (said.level, said.name) != (level, name));
        if said.len() < REMEMBERED && value.len() <= LONGEST {
            said.push(Said {
                level,
                name,
                value: value.to_vec(),
            });
        }
    }

    /// What goes with the connection, as on Linux.
    pub fn leave_connection(&mut self) {
        self.begin_to_listen();
        self.window_clamp = 0;
        self.forget(libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP);
    }

    /// What a listener has anew, as on Linux.
    pub fn begin_to_listen(&mut self) {
        self.quick_ack = None;
        self.forget(libc::IPPROTO_TCP, libc::TCP_QUICKACK);
    }

    /// What was said of IPv6 means nothing to AF_INET.
    pub fn become_inet(&mut self) {
        self.family = Family::Inet;
        self.ancillary.packet_info6 = false;
        self.ancillary.hop_limit = false;
        self.ancillary.traffic_class = false;
        Arc::make_mut(&mut self.said).retain(|said| said.level != libc::IPPROTO_IPV6);
    }

    fn forget(&mut self, level: i32, name: i32) {
        Arc::make_mut(&mut self.said).retain(|said| (said.level, said.name) != (level, name));
    }

    /// Says it all again to a kernel socket. What it refuses it would have refused before: the
    /// program was told then.
    pub fn replay(&self, kernel: RawFd) {
        for said in self.said.iter() {
            let _ = raw::setsockopt(kernel, said.level, said.name, &said.value);
        }
        if let Some(repair) = &self.repair {
            repair.replay(kernel);
        }
    }

    /// Tells a kernel socket by which IPv6 datagrams leave what was said of those.
    pub fn replay_inet6(&self, kernel: RawFd) {
        let sending = |said: &&Said| {
            let receiving = [
                libc::IPV6_V6ONLY,
                libc::IPV6_RECVPKTINFO,
                libc::IPV6_RECVHOPLIMIT,
                libc::IPV6_RECVTCLASS,
            ];
            said.level == libc::IPPROTO_IPV6 && !receiving.contains(&said.name)
        };
        for said in self.said.iter().filter(sending) {
            let _ = raw::setsockopt(kernel, said.level, said.name, &said.value);
        }
    }

    /// What was said, as arguments of setsockopt(2).
    pub fn said(&self) -> Vec<(i32, i32, Vec<u8>)> {
        let said = self.said.iter();
        said.map(|said| (said.level, said.name, said.value.clone()))
            .collect()
    }

    /// Says to a descriptor how long its own calls may wait.
    pub fn limit_waits(&self, fd: RawFd) {
        let waits = [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO];
        for said in self.said.iter() {
            if said.level == libc::SOL_SOCKET && waits.contains(&said.name) {
                let _ = raw::setsockopt(fd, said.level, said.name, &said.value);
            }
        }
    }

    /// Whether a connection is taken apart, or put together (TCP_REPAIR).
    pub fn is_under_repair(&self) -> bool {
        self.repair.as_deref().is_some_and(|repair| repair.on)
    }

    /// As the stack's TCP takes them.
    pub fn tcp(&self) -> TcpOptions {
        let seconds = |count: i32| Duration::from_secs(u64::from(count.unsigned_abs()));
        TcpOptions {
            nodelay: self.no_delay,
            cork: self.cork,
            quickack: self.quick_ack.into(),
            reuse_port: self.reuse_port || self.shares_port,
            edition: self.edition,
            abort_on_close: self.linger == Some(Duration::ZERO),
            deaf: self.shut.0,
            mute: self.shut.1,
            keepalive: self.keep_alive,
            keep_idle: seconds(self.keep_idle),
            keep_interval: seconds(self.keep_interval),
            keep_count: self.keep_count.unsigned_abs(),
            user_timeout: (self.user_timeout > 0)
                .then(|| Duration::from_millis(u64::from(self.user_timeout))),
            syn_count: self.syn_count.unsigned_abs(),
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            max_segment: (self.max_segment > 0).then_some(self.max_segment),
            window_clamp: (self.window_clamp > 0).then_some(self.window_clamp),
            defer_accept: seconds(set_tcp::deferral(self.defer_accept)),
            linger2: (self.linger2 >= 0).then(|| seconds(self.linger2)),
            congestion: self.congestion,
            unsent_low_water: (self.not_sent_low_water > 0).then_some(self.not_sent_low_water),
            pacing_rate: self.pacing_rate,
            fast_open: self.fast_open,
            fast_open_bare: self.fast_open_bare,
            save_syn: self.save_syn,
            stamps: self.stamping.stamps(),
            receive_errors: self.receive_errors,
            min_ttl: self.min_ttl,
            ttl: self.ttl(),
            tos: self.service,
            treatment: self.treatment(),
        }
    }

    /// As the stack's UDP takes them.
    pub fn udp(&self) -> UdpOptions {
        UdpOptions {
            receive_buffer: self.receive_buffer.map(|set| 2 * set),
            send_buffer: self.send_buffer.map(|set| 2 * set),
            ttl: self.ttl(),
            tos: self.service,
            ip_options: None,
            treatment: self.treatment(),
            broadcast: self.broadcast,
            all_groups: self.all_groups,
            reuse_port: self.reuse_port,
            both_families: self.family == Family::Inet6,
            path_mtu_discovery: match self.mtu_discover {
                libc::IP_PMTUDISC_DO => PathMtuDiscovery::Do,
                libc::IP_PMTUDISC_PROBE => PathMtuDiscovery::Probe,
                libc::IP_PMTUDISC_INTERFACE => PathMtuDiscovery::Interface,
                libc::IP_PMTUDISC_OMIT => PathMtuDiscovery::Omit,
                libc::IP_PMTUDISC_WANT => PathMtuDiscovery::Want,
                _ => PathMtuDiscovery::Dont,
            },
            checksum: !self.no_check,
            receive_errors: self.receive_errors,
            stamps: None,
            receive_joined: self.ancillary.joined,
        }
    }

    /// Whether datagrams come with the time of their arrival.
    fn wants_times(&self) -> bool {
        let stamped = self.stamp != Stamp::None || self.stamping.of_arrival();
        stamped && self.kind == Kind::Datagram
    }

    fn treatment(&self) -> Treatment {
        Treatment {
            mark: self.mark,
            priority: self.priority.cast_unsigned(),
        }
    }

    fn ttl(&self) -> u8 {
        u8::try_from(self.time_to_live).unwrap_or(64)
    }
}

/// Whether a priority is for those who have a right to it.
pub fn takes_right(priority: u32) -> bool {
    let option = (libc::SOL_SOCKET, libc::SO_PRIORITY);
    kernel::needs_right(option, &priority.to_ne_bytes())
}

/// What SO_PRIORITY becomes by a type of service (tc-prio(8)): its throughput and delay bits say.
pub fn priority(service: u8) -> i32 {
    match service >> 3 & 3 {
        0 => 0,
        1 => 2,
        2 => 6,
        _ => 4,
    }
}
