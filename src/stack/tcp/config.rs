//! What TCP is told from outside: limits of the whole, options of a socket.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::congestion::Congestion;
use crate::stack::config::{self, Limits};
use crate::stack::sendings::Stamps;
use crate::stack::transmit::Treatment;

/// What a [`super::Tcp`] is made with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Congestion control of sockets that do not choose their own.
    pub congestion: Congestion,
    /// Whether segments may be longer than the MTU, to be cut up below (GSO).
    pub super_packets: bool,
    /// Limits.
    pub limits: Limits,
    /// Key of initial sequence numbers and lookup tables; never to be seen outside.
    pub secret: [u8; 16],
}

impl From<&config::Config> for Config {
    fn from(config: &config::Config) -> Self {
        Self {
            congestion: config.congestion,
            super_packets: config.super_packets,
            limits: config.limits,
            secret: config.secret,
        }
    }
}

/// TCP_QUICKACK, as it was set.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(u8)]
pub enum QuickAck {
    /// Not at all.
    #[default]
    Usual,
    /// At once.
    AtOnce,
    /// With what is sent, if that is soon: an attempt to connect leaves the handshake's last ACK to it.
    WithData,
}

impl From<Option<bool>> for QuickAck {
    fn from(set: Option<bool>) -> Self {
        match set {
            None => Self::Usual,
            Some(true) => Self::AtOnce,
            Some(false) => Self::WithData,
        }
    }
}

/// Options of a connection or listener; accepted connections inherit their listener's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TcpOptions {
    /// TCP_NODELAY: send small segments at once.
    pub nodelay: bool,
    /// TCP_CORK: send only full segments, for 200 ms.
    pub cork: bool,
    /// TCP_QUICKACK: when to acknowledge.
    pub quickack: QuickAck,
    /// SO_REUSEPORT: the listener shares its address with others that have this too.
    pub reuse_port: bool,
    /// Which of its options, one after the other, a listener has: a number that connections take over with
    /// them, and that means nothing here.
    pub edition: u16,
    /// SO_LINGER of zero seconds: CLOSE is ABORT.
    pub abort_on_close: bool,
    /// A listener's connections are shut down for reading from their beginning.
    pub deaf: bool,
    /// They are shut down for writing: all they send is a FIN.
    pub mute: bool,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// TCP_KEEPIDLE: idle time before the first probe.
    pub keep_idle: Duration,
    /// TCP_KEEPINTVL: time between probes.
    pub keep_interval: Duration,
    /// TCP_KEEPCNT: unanswered probes that end the connection.
    pub keep_count: u32,
    /// TCP_USER_TIMEOUT: how long data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// TCP_SYNCNT: doubling retransmissions of a SYN.
    pub syn_count: u32,
    /// Bound of the receive queue in bytes; `None`: tuned.
    pub receive_buffer: Option<usize>,
    /// Bound of the send queue in bytes; `None`: tuned.
    pub send_buffer: Option<usize>,
    /// TCP_MAXSEG: bound of the segment size, announced and obeyed.
    pub max_segment: Option<u16>,
    /// TCP_WINDOW_CLAMP: bound of the advertised window in bytes.
    pub window_clamp: Option<u32>,
    /// TCP_DEFER_ACCEPT: how long a connection waits for its first data before it is accepted.
    pub defer_accept: Duration,
    /// TCP_LINGER2: how long FIN-WAIT-2 lasts once nobody reads; `None`: reset at once.
    pub linger2: Option<Duration>,
    /// TCP_FASTOPEN: of a listener, how many connections in SYN-RECEIVED a cookie may have let in.
    pub fast_open: u32,
    /// TCP_FASTOPEN_NO_COOKIE: without one.
    pub fast_open_bare: bool,
    /// TCP_CONGESTION; `None`: the configured one.
    pub congestion: Option<Congestion>,
    /// TCP_NOTSENT_LOWAT: bytes not sent that stop the user from sending; `None`: no bound.
    pub unsent_low_water: Option<u32>,
    /// SO_MAX_PACING_RATE in bytes a second; `None`: no bound.
    pub pacing_rate: Option<u64>,
    /// TCP_SAVE_SYN: the headers of SYNs that open connections are kept; 2: with the link's; 0: they are not.
    pub save_syn: u8,
    /// SO_TIMESTAMPING: what is to be told of what is sent.
    pub stamps: Stamps,
    /// IP_RECVERR: what ICMP says is an error at once.
    pub receive_errors: bool,
    /// IP_MINTTL: segments that arrive with less are dropped.
    pub min_ttl: u8,
    /// IP_TTL.
    pub ttl: u8,
    /// IP_TOS.
    pub tos: u8,
    /// SO_MARK and SO_PRIORITY.
    pub treatment: Treatment,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            nodelay: false,
            cork: false,
            quickack: QuickAck::Usual,
            reuse_port: false,
            edition: 0,
            abort_on_close: false,
            deaf: false,
            mute: false,
            keepalive: false,
            keep_idle: Duration::from_secs(7200),
            keep_interval: Duration::from_secs(75),
            keep_count: 9,
            user_timeout: None,
            syn_count: 6,
            receive_buffer: None,
            send_buffer: None,
            max_segment: None,
            window_clamp: None,
            defer_accept: Duration::ZERO,
            linger2: Some(Duration::from_secs(60)),
            fast_open: 0,
            fast_open_bare: false,
            congestion: None,
            unsent_low_water: None,
            pacing_rate: None,
            save_syn: 0,
            stamps: Stamps::default(),
            receive_errors: false,
            min_ttl: 0,
            ttl: 64,
            tos: 0,
            treatment: Treatment::default(),
        }
    }
}
