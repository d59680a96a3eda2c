//! setsockopt(2) and getsockopt(2): what is stored, what it means for the stack.
//!
//! Every option Linux has for our sockets is either served here with Linux's ranges, read-back
//! and errno, or refused with ENOPROTOOPT as an unknown one. What was set is also remembered as
//! it was said, so that a kernel socket that takes over gets the same.

mod get;
mod info;
mod set;

pub use get::get;
pub use set::set;

use core::time::Duration;
use rustix::fd::RawFd;

use super::Kind;
use crate::stack::tcp::TcpOptions;
use crate::stack::udp::UdpOptions;
use crate::sys::raw;

/// Most calls remembered for a kernel socket; an option set again replaces itself.
const REMEMBERED: usize = 64;
/// Longest value remembered, in bytes.
const LONGEST: usize = 256;

/// Everything a program can set on a socket. Times are in nanoseconds, sizes in bytes as set
/// (Linux reads them back doubled).
#[derive(Clone, Debug)]
pub struct Options {
    kind: Kind,
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub free_bind: bool,
    pub v6_only: bool,
    pub keep_alive: bool,
    pub broadcast: bool,
    pub urgent_inline: bool,
    pub do_not_route: bool,
    pub no_check: bool,
    pub debug: bool,
    pub linger: Option<Duration>,
    pub linger_seconds: i32,
    /// As asked for; `None`: tuned by itself.
    pub receive_buffer: Option<usize>,
    /// As asked for; `None`: tuned by itself.
    pub send_buffer: Option<usize>,
    pub receive_low_water: usize,
    pub receive_timeout: Option<u64>,
    pub send_timeout: Option<u64>,
    pub priority: i32,
    pub mark: u32,
    pub timestamp: bool,
    pub busy_poll: i32,
    pub no_delay: bool,
    pub cork: bool,
    pub quick_ack: bool,
    pub max_segment: u16,
    pub keep_idle: i32,
    pub keep_interval: i32,
    pub keep_count: i32,
    pub syn_count: i32,
    pub linger2: i32,
    /// In retransmissions, as Linux keeps it.
    pub defer_accept: u8,
    pub window_clamp: u32,
    pub user_timeout: u32,
    pub not_sent_low_water: u32,
    pub congestion: Congestion,
    pub time_to_live: i32,
    pub service: u8,
    pub mtu_discover: i32,
    pub receive_errors: bool,
    pub packet_info: bool,
    pub receive_ttl: bool,
    pub receive_tos: bool,
    pub multicast_ttl: i32,
    pub multicast_loop: bool,
    pub bind_no_port: bool,
    pub v6_hops: i32,
    pub v6_class: i32,
    /// What was set, as it was said.
    said: Vec<(i32, i32, Vec<u8>)>,
}

/// TCP_CONGESTION's names that are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// "cubic".
    Cubic,
    /// "reno".
    Reno,
}

impl Options {
    /// Linux's defaults.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            reuse_address: false,
            reuse_port: false,
            free_bind: false,
            v6_only: false,
            keep_alive: false,
            broadcast: false,
            urgent_inline: false,
            do_not_route: false,
            no_check: false,
            debug: false,
            linger: None,
            linger_seconds: 0,
            receive_buffer: None,
            send_buffer: None,
            receive_low_water: 1,
            receive_timeout: None,
            send_timeout: None,
            priority: 0,
            mark: 0,
            timestamp: false,
            busy_poll: 0,
            no_delay: false,
            cork: false,
            quick_ack: true,
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
            congestion: Congestion::Cubic,
            time_to_live: -1,
            service: 0,
            mtu_discover: 1,
            receive_errors: false,
            packet_info: false,
            receive_ttl: false,
            receive_tos: false,
            multicast_ttl: 1,
            multicast_loop: true,
            bind_no_port: false,
            v6_hops: -1,
            v6_class: 0,
            said: Vec::new(),
        }
    }

    /// What an accepted connection takes over from its listener.
    pub fn inherited(&self) -> Self {
        Self {
            priority: 0,
            said: Vec::new(),
            ..self.clone()
        }
    }

    fn remember(&mut self, level: i32, name: i32, value: &[u8]) {
        self.said.retain(|said| (said.0, said.1) != (level, name));
        if self.said.len() < REMEMBERED && value.len() <= LONGEST {
            self.said.push((level, name, value.to_vec()));
        }
    }

    /// Says it all again to a kernel socket. What it refuses it would have refused before: the
    /// program was told then.
    pub fn replay(&self, kernel: RawFd) {
        for (level, name, value) in &self.said {
            let _ = raw::setsockopt(kernel, *level, *name, value);
        }
    }

    /// As the stack's TCP takes them.
    pub fn tcp(&self) -> TcpOptions {
        let seconds = |count: i32| Duration::from_secs(u64::from(count.unsigned_abs()));
        TcpOptions {
            nodelay: self.no_delay,
            cork: self.cork,
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
            quickack: self.quick_ack,
            ttl: self.ttl(),
            tos: self.service,
            ..TcpOptions::default()
        }
    }

    /// As the stack's UDP takes them.
    pub fn udp(&self) -> UdpOptions {
        UdpOptions {
            ttl: self.ttl(),
            tos: self.service,
            receive_buffer: self.receive_buffer,
            broadcast: self.broadcast,
            ..UdpOptions::default()
        }
    }

    fn ttl(&self) -> u8 {
        u8::try_from(self.time_to_live).unwrap_or(64)
    }
}
