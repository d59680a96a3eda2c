//! SYN cookies (RFC 4987 section 3.6): with too many half-open connections, which is what a flood of SYNs
//! leaves behind, the stack keeps nothing of a SYN. It has it come back in the ACK.
//!
//! ```text
//!   initial sequence number     31   27 26   24 23               0
//!                              │ time  │  MSS  │ hash of it all  │
//!
//!   our timestamp, if there     31                 5    4    3   0
//!   are any                    │ clock              │ SACK │ scale │
//! ```
//!
//! So a client that has timestamps loses nothing but the exact segment size; one without has neither SACK
//! nor scaled windows. Whoever cannot read our SYN-ACK has to guess 24 bits.

use core::net::SocketAddrV4;
use core::ops::ControlFlow;
use core::time::Duration;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::Tcp;
use super::arrives::Segment;
use super::counters::Counter;
use super::isn::Secret;
use super::kept::KeptOptions;
use super::output::TIMESTAMPS_LEN;
use super::rcv::Rcv;
use super::reply::Reply;
use super::segment::IpInfo;
use super::tcb::Owner;
use super::timestamping::Timestamping;
use crate::stack::plain::Maybe;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::{Options, Timestamps};

/// Seconds of one count of the time. The last count is good, too, so a cookie is so for a minute at least.
const PERIOD: u64 = 64;
/// Segment sizes that can be said. The peer's own is rounded down.
const SIZES: [u16; 8] = [48, 536, 1220, 1360, 1440, 1460, 4312, 8960];
const NO_SCALE: u32 = 15;
const SACK: u32 = 16;
/// The bits of a timestamp that are not the clock's.
const IN_TIMESTAMP: u32 = 31;

/// How far SYN cookies are in use. Lies in the memory file: who goes on takes those of a process that was killed.
#[derive(Default, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(in crate::stack) struct Cookies {
    /// When one was last sent: long after, no ACK is looked at.
    sent: Maybe<Instant>,
}

impl Cookies {
    fn in_use(&self, now: Instant) -> bool {
        let recent = |sent: Instant| now.since(sent).as_secs() < 2 * PERIOD;
        self.sent.get().is_some_and(recent)
    }
}

const fn period(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000_000 / PERIOD) as u32 & 31
}

fn size_index(mss: Option<u16>) -> u32 {
    let mss = mss.unwrap_or(super::snd::DEFAULT_MSS);
    let smaller = SIZES.iter().rposition(|&size| size <= mss);
    smaller.unwrap_or_default() as u32
}

impl Secret {
    fn cookie(&self, ends: [SocketAddrV4; 2], irs: Seq, known: u32) -> Seq {
        Seq(known << 24 | self.cookie_hash(ends, irs, known) & 0xff_ffff)
    }

    /// The segment size that `cookie` tells, if it is ours and not too old.
    fn size_in_cookie(
        &self,
        now: Instant,
        ends: [SocketAddrV4; 2],
        irs: Seq,
        cookie: Seq,
    ) -> Option<u16> {
        let known = cookie.0 >> 24;
        let age = period(now).wrapping_sub(known >> 3) & 31;
        let good = age < 2 && self.cookie(ends, irs, known) == cookie;
        good.then(|| SIZES[known as usize & 7])
    }
}

/// `timestamps` with what the peer's SYN offered in place of the clock's last bits; never in the future.
fn with_options(timestamps: Timestamps, offered: &Options) -> Timestamps {
    let scale = offered.window_scale.map_or(NO_SCALE, |scale| {
        u32::from(scale.min(super::rcv::MAX_SCALE))
    });
    let bits = scale | if offered.sack_permitted { SACK } else { 0 };
    let value = timestamps.value & !IN_TIMESTAMP | bits;
    let future = (value.wrapping_sub(timestamps.value) as i32) > 0;
    let past = if future { IN_TIMESTAMP + 1 } else { 0 };
    Timestamps {
        value: value.wrapping_sub(past),
        ..timestamps
    }
}

/// What the peer's SYN offered, as the ACK's timestamps tell.
fn from_timestamps(mss: u16, timestamps: Option<Timestamps>) -> Options {
    let bits = timestamps.map_or(NO_SCALE, |timestamps| timestamps.echo);
    let scale = bits & NO_SCALE;
    Options {
        mss: Some(mss),
        window_scale: (scale != NO_SCALE).then_some(scale as u8),
        sack_permitted: timestamps.is_some() && bits & SACK != 0,
        timestamps,
        ..Options::default()
    }
}

impl Tcp {
    /// Answers a SYN to a listener with these options, and forgets it.
    pub(super) fn answer_with_cookie(
        &mut self,
        now: Instant,
        ends: [SocketAddrV4; 2],
        options: &KeptOptions,
        segment: &Segment<'_>,
    ) {
        self.cookies.sent = Maybe::some(now);
        self.counters.count(Counter::CookiesSent);
        let [local, remote] = ends;
        let offered = &segment.repr.options;
        let known = period(now) << 3 | size_index(offered.mss);
        let mut rcv = Rcv::new(options, &self.config.limits, now);
        rcv.start(segment.seq);
        let offset = self.secret.timestamp_offset(*local.ip(), *remote.ip());
        let timestamps = offered.timestamps.and_then(|peer| {
            let mut clock = Timestamping::new(now, offset);
            clock.recent = peer.value;
            clock.option(now)
        });
        let answer = Options {
            sack_permitted: timestamps.is_some() && offered.sack_permitted,
            window_scale: offered.window_scale.and(timestamps).and(Some(rcv.scale)),
            timestamps: timestamps.map(|timestamps| with_options(timestamps, offered)),
            ..Options::default()
        };
        let iss = self.secret.cookie(ends, segment.seq, known);
        let window = rcv.advertise_unscaled();
        let reply = Reply::syn_ack(ends, [iss, rcv.nxt], window, answer, options);
        self.replies.push(reply);
    }

    /// The connection that an ACK with a cookie opens, if it is one. `Break`: it is, but the listener has no
    /// room; as on Linux it is as good as lost.
    pub(super) fn open_by_cookie(
        &mut self,
        now: Instant,
        ip: &IpInfo<'_>,
        segment: &Segment<'_>,
    ) -> ControlFlow<(), Option<u32>> {
        if !self.cookies.in_use(now) || !segment.is_last_ack() {
            return ControlFlow::Continue(None);
        }
        let local = SocketAddrV4::new(ip.destination, segment.repr.destination_port);
        let remote = SocketAddrV4::new(ip.source, segment.repr.source_port);
        let ends = [local, remote];
        let (iss, irs) = (segment.repr.ack - 1, segment.seq - 1);
        let mss = self.secret.size_in_cookie(now, ends, irs, iss);
        let listener = self.tables.listener(local, remote);
        let (Some(mss), Some(listener)) = (mss, listener) else {
            return ControlFlow::Continue(None);
        };
        let timestamps = segment.repr.options.timestamps;
        let syn = (irs, segment.repr.window, from_timestamps(mss, timestamps));
        match self.open_answered(now, listener, ends, iss, &syn) {
            Some(index) => ControlFlow::Continue(Some(index)),
            None => ControlFlow::Break(()),
        }
    }

    /// A half-open connection whose SYN-ACK was sent. `syn`: the number, window and options of the SYN.
    fn open_answered(
        &mut self,
        now: Instant,
        index: u32,
        ends: [SocketAddrV4; 2],
        iss: Seq,
        syn: &(Seq, u16, Options),
    ) -> Option<u32> {
        let has_room = self.has_room();
        let listener = self.listeners.get_mut(index)?;
        if !has_room || !listener.has_room() {
            self.counters.count(Counter::AcceptQueueFull);
            listener.drops += 1;
            return None;
        }
        listener.half_open += 1;
        let options = listener.options;
        let owner = Owner::Listener {
            index,
            queued: false,
        };
        let (irs, window, offered) = syn;
        let opened = self.insert_connection(now, ends, iss, &options, owner, |tcb| {
            tcb.learn_syn(now, *irs, *window, offered);
            // As on Linux, its acceptance waits for no data.
            tcb.options.defer_accept = Duration::ZERO.into();
            // It had this window, and about the segment size that the peer has.
            tcb.marks.syn = false;
            tcb.rcv.advertise_unscaled();
            tcb.rcv.announced_mss =
                u32::from(offered.mss.unwrap_or_default()).max(TIMESTAMPS_LEN + 1) - TIMESTAMPS_LEN;
        })?;
        self.counters.count(Counter::CookiesTaken);
        Some(opened)
    }
}
