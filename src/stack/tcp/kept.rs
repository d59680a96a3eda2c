//! A connection's options as they are kept: [`TcpOptions`] as plain data.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::config::{QuickAck, TcpOptions};
use super::congestion::Congestion;
use crate::stack::plain::{Maybe, Stored};
use crate::stack::sendings::Stamps;
use crate::stack::transmit::Treatment;

/// What the fields mean is said there.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct KeptOptions {
    pub(super) nodelay: bool,
    pub(super) cork: bool,
    pub(super) quickack: QuickAck,
    pub(super) reuse_port: bool,
    pub(super) keepalive: bool,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    pub(super) min_ttl: u8,
    pub(super) save_syn: u8,
    pub(super) receive_errors: bool,
    pub(super) stamp_scheduled: bool,
    pub(super) stamp_sent: bool,
    pub(super) stamp_acknowledged: bool,
    pub(super) abort_on_close: bool,
    pub(super) edition: u16,
    pub(super) treatment: Treatment,
    pub(super) keep_count: u32,
    pub(super) syn_count: u32,
    pub(super) fast_open: u32,
    pub(super) fast_open_bare: bool,
    _unused: [u8; 3],
    pub(super) keep_idle: Stored<Duration>,
    pub(super) keep_interval: Stored<Duration>,
    pub(super) user_timeout: Maybe<Duration>,
    pub(super) receive_buffer: Maybe<usize>,
    pub(super) send_buffer: Maybe<usize>,
    pub(super) unsent_low_water: Maybe<u32>,
    pub(super) max_segment: Maybe<u16>,
    pub(super) window_clamp: Maybe<u32>,
    pub(super) defer_accept: Stored<Duration>,
    pub(super) linger2: Maybe<Duration>,
    pub(super) congestion: Maybe<Congestion>,
    pub(super) pacing_rate: Maybe<u64>,
}

impl KeptOptions {
    pub(super) fn stamps(&self) -> Stamps {
        Stamps {
            scheduled: self.stamp_scheduled,
            sent: self.stamp_sent,
            acknowledged: self.stamp_acknowledged,
        }
    }
}

impl From<&TcpOptions> for KeptOptions {
    fn from(options: &TcpOptions) -> Self {
        Self {
            nodelay: options.nodelay,
            cork: options.cork,
            quickack: options.quickack,
            reuse_port: options.reuse_port,
            keepalive: options.keepalive,
            ttl: options.ttl,
            tos: options.tos,
            min_ttl: options.min_ttl,
            save_syn: options.save_syn,
            receive_errors: options.receive_errors,
            stamp_scheduled: options.stamps.scheduled,
            stamp_sent: options.stamps.sent,
            stamp_acknowledged: options.stamps.acknowledged,
            abort_on_close: options.abort_on_close,
            edition: options.edition,
            treatment: options.treatment,
            keep_count: options.keep_count,
            fast_open: options.fast_open,
            fast_open_bare: options.fast_open_bare,
            _unused: [0; 3],
            syn_count: options.syn_count,
            keep_idle: options.keep_idle.into(),
            keep_interval: options.keep_interval.into(),
            user_timeout: options.user_timeout.into(),
            receive_buffer: options.receive_buffer.into(),
            send_buffer: options.send_buffer.into(),
            unsent_low_water: options.unsent_low_water.into(),
            max_segment: options.max_segment.into(),
            window_clamp: options.window_clamp.into(),
            defer_accept: options.defer_accept.into(),
            linger2: options.linger2.into(),
            congestion: options.congestion.into(),
            pacing_rate: options.pacing_rate.into(),
        }
    }
}

impl KeptOptions {
    /// Whether a user can have set these (tcp(7)): else probes would follow each other without end.
    pub(super) fn is_sound(&self) -> bool {
        let seconds = Duration::from_secs(1)..=Duration::from_secs(32_767);
        let times = [self.keep_idle.get(), self.keep_interval.get()];
        times.iter().all(|time| seconds.contains(time)) && self.keep_count <= 127
    }
}
