//! The receiving half of a connection (RFC 9293 section 3.3.1, the RCV variables).
//!
//! ```text
//!     received, unread      nxt    holes and ranges    advertised
//!   ──┬──────────────────────┼───────[####]───[##]──────┼──
//!     └── queue [0, len) ────┴── queue [len, written) ──┘
//! ```
//!
//! The right edge that was once advertised never moves left (RFC 9293 section 3.8.6, SHLD-14): what is before it is taken, also
//! where a later window field had to be rounded down (`holds`).

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::config::QuickAck;
use super::kept::KeptOptions;
use super::ranges::Ranges;
use super::rtt::ABSURD;
use super::snd::MAX_WINDOW;
use super::urgent::Urgency;
use crate::stack::config::Limits;
use crate::stack::plain::Maybe;
use crate::stack::pool::Pool;
use crate::stack::queue::Queue;
use crate::stack::survey::Survey;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::{MAX_SACK_BLOCKS, SackBlocks};

/// RFC 7323 section 2.3.
pub(super) const MAX_SCALE: u8 = 14;
/// Segments acknowledged one by one when data begins to flow, as Linux's TCP_MAX_QUICKACKS: the
/// peer is in slow start and waits for every ACK.
const QUICK_ACKS: u8 = 16;

/// The ACKs to be sent, each with what it acknowledges. Usually at most one; more when every
/// segment deserves its own: at the start, and as duplicates.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Acks {
    points: [Seq; 16],
    len: u32,
}

impl Acks {
    const fn new() -> Self {
        Self {
            points: [Seq(0); 16],
            len: 0,
        }
    }

    pub(super) const fn is_sound(&self) -> bool {
        self.len as usize <= self.points.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the last of them is up to `nxt`.
    pub(super) fn reach(&self, nxt: Seq) -> bool {
        self.len > 0 && self.points[self.len as usize - 1] == nxt
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// One more ACK, up to `nxt`.
    pub(super) fn push(&mut self, nxt: Seq) {
        self.len = (self.len + 1).min(self.points.len() as u32);
        self.points[self.len as usize - 1] = nxt;
    }

    /// An ACK up to `nxt` in place of the last one due, if any.
    pub(super) fn push_cumulative(&mut self, nxt: Seq) {
        self.len = self.len.max(1);
        self.points[self.len as usize - 1] = nxt;
    }

    pub(super) fn pop(&mut self) -> Option<Seq> {
        if self.len == 0 {
            return None;
        }
        let first = self.points[0];
        self.points.copy_within(1.., 0);
        self.len -= 1;
        Some(first)
    }
}

/// Receive buffer tuning: how much was consumed in the present round trip.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Tuning {
    /// Most consumed in a round trip so far, in bytes.
    most: u32,
    /// Consumed since `since`, in bytes.
    consumed: u32,
    since: Instant,
    /// Round-trip time seen from this side, in nanoseconds; 0 before it is known.
    rtt: u64,
    limit: usize,
}

#[derive(Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Rcv {
    /// Initial receive sequence number.
    pub(super) irs: Seq,
    /// Next sequence number expected.
    pub(super) nxt: Seq,
    /// The right edge of the window as the peer knows it.
    pub(super) edge: Seq,
    /// `nxt` as last acknowledged.
    pub(super) acked: Seq,
    /// What we announced in our MSS option, less the options of every segment.
    pub(super) announced_mss: u32,
    /// The peer's full segments' payload, as far as seen.
    pub(super) mss: u32,
    /// Shift of the windows we send.
    pub(super) scale: u8,
    /// How many more segments are acknowledged one by one.
    pub(super) quick: u8,
    /// The FIN was reached.
    pub(super) fin_received: bool,
    /// The user has shut it down.
    pub(super) shut: bool,
    /// Most bytes the window may ever offer (TCP_WINDOW_CLAMP).
    clamp: u32,
    /// ACKs due.
    pub(super) acks: Acks,
    /// What has become of the urgent byte.
    pub(super) urgency: Urgency,
    /// The queue's first bytes were urgent ones, which a later one has overtaken.
    pub(super) overtaken: u8,
    /// The user answers what comes, and the answers carry the ACKs (Linux's pingpong mode).
    pub(super) answered: bool,
    _unused_too: u8,
    /// When data was last received.
    pub(super) data_at: Maybe<Instant>,
    /// The sequence number of a FIN that was seen.
    pub(super) fin_at: Maybe<Seq>,
    /// The urgent byte, from when it is announced until the user is past it.
    pub(super) urgent: Maybe<Seq>,
    /// What arrived out of order.
    pub(super) out_of_order: Ranges,
    /// Starts of the ranges that changed last, the latest first (RFC 2018 section 4).
    recent: [Maybe<Seq>; MAX_SACK_BLOCKS],
    /// A duplicate to be reported with the next ACK (RFC 2883).
    pub(super) duplicate: Maybe<(Seq, Seq)>,
    /// Bytes received in order and not read, and behind them what waits out of order.
    pub(super) queue: Queue,
    limit: usize,
    tuning: Tuning,
}

impl Rcv {
    pub(super) fn new(options: &KeptOptions, limits: &Limits, now: Instant) -> Self {
        let limit = options.receive_buffer.get().unwrap_or(limits.tcp_rmem[1]);
        Self {
            irs: Seq(0),
            nxt: Seq(0),
            edge: Seq(0),
            acked: Seq(0),
            scale: scale_for(options, limits),
            announced_mss: u32::from(super::snd::DEFAULT_MSS),
            mss: u32::from(super::snd::DEFAULT_MSS),
            acks: Acks::new(),
            quick: QUICK_ACKS,
            shut: false,
            urgency: Urgency::Ahead,
            overtaken: 0,
            answered: options.quickack == QuickAck::WithData,
            _unused_too: 0,
            data_at: Maybe::NONE,
            fin_at: Maybe::NONE,
            fin_received: false,
            urgent: Maybe::NONE,
            out_of_order: Ranges::new(),
            recent: [Maybe::NONE; MAX_SACK_BLOCKS],
            duplicate: Maybe::NONE,
            queue: Queue::default(),
            limit,
            clamp: options.window_clamp.get().unwrap_or(u32::MAX),
            tuning: Tuning {
                most: 0,
                consumed: 0,
                since: now,
                rtt: 0,
                limit: limits.tcp_rmem[2].max(limit),
            },
        }
    }

    /// Makes whole what a killed process left. The queue counts where text had not come through;
    /// what waits out of order stays if it is not `torn`. False: this is not what a receiver can be.
    pub(super) fn restore(&mut self, torn: bool, front: u32, survey: &mut Survey) -> bool {
        let nxt = self.end();
        let last = nxt + MAX_WINDOW;
        if torn || !self.out_of_order.is_sound(nxt + 1, last) {
            self.out_of_order.clear();
        }
        if torn || !self.acks.is_sound() {
            self.acks.clear();
        }
        let written = self.out_of_order.as_slice().last().map(|range| range.1.0);
        let first = self.queue.first_position();
        let claimed = survey.claim(&mut self.queue, front, written);
        let passed = self.queue.first_position().wrapping_sub(first);
        self.pass_urgent(passed as usize);
        self.nxt = self.end() + u32::from(self.fin_received);
        if self.nxt.since(self.acked) > MAX_WINDOW {
            self.acked = self.nxt;
        }
        if !self.edge.is_within(self.nxt, last) {
            self.edge = self.nxt;
        }
        let is_sound = self.mss > 0 && self.scale <= MAX_SCALE && self.tuning.rtt <= ABSURD;
        claimed && is_sound
    }

    /// The peer's SYN has `irs`. A window that our SYN offered begins there.
    pub(super) fn start(&mut self, irs: Seq) {
        let offered = self.wnd();
        self.irs = irs;
        self.nxt = irs + 1;
        self.queue = Queue::starting_at(self.nxt.0);
        self.edge = self.nxt + offered;
        self.acked = self.nxt;
    }

    /// Nothing is known of the peer's SYN, nor what window our own has offered.
    pub(super) fn forget_start(&mut self) {
        self.queue = Queue::default();
        self.nxt = self.end();
        self.edge = self.nxt;
        self.acked = self.nxt;
    }

    /// The sequence number after the last byte in order.
    pub(super) const fn end(&self) -> Seq {
        Seq(self.queue.end_position())
    }

    /// Bytes the peer may send beyond `nxt`, as it knows.
    pub(super) const fn wnd(&self) -> u32 {
        if self.nxt.is_before(self.edge) {
            self.edge.since(self.nxt)
        } else {
            0
        }
    }

    /// Bound of the queue in bytes.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// The largest bound it could ever have.
    pub(super) fn most(&self) -> usize {
        self.limit.max(self.tuning.limit)
    }

    /// SO_RCVBUF and TCP_WINDOW_CLAMP.
    pub(super) fn set_bounds(&mut self, limit: Option<usize>, clamp: Option<u32>) {
        if let Some(limit) = limit {
            self.limit = limit;
        }
        self.clamp = clamp.unwrap_or(u32::MAX);
    }

    /// Where the right edge could be now.
    fn possible_edge(&self) -> Seq {
        let free = self.limit.saturating_sub(self.queue.len());
        let most = 0xffff_u32 << self.scale;
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        self.nxt + free.min(most).min(self.clamp)
    }

    /// RFC 9293 section 3.8.6.2.2: the edge moves by a segment or half of the largest window there may be, or not at all.
    fn least_step(&self) -> u32 {
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        self.mss.min(limit.min(self.clamp) / 2).max(1)
    }

    /// Moves the right edge as far as it should go and gives the window field of a segment that
    /// acknowledges `ack`.
    pub(super) fn advertise(&mut self, ack: Seq) -> u16 {
        let possible = self.possible_edge();
        if possible.is_after(self.edge) && possible.since(self.edge) >= self.least_step() {
            self.edge = possible;
        }
        self.window_field(ack)
    }

    /// The same, with the edge where it is.
    pub(super) fn window_field(&mut self, ack: Seq) -> u16 {
        let known = self.edge.later(ack).since(ack);
        let field = known.div_ceil(1 << self.scale);
        let field = match self.holds(ack + (field << self.scale)) {
            true => field,
            false => known >> self.scale,
        };
        let field = field.min(0xffff);
        self.edge = self.edge.later(ack + (field << self.scale));
        field as u16
    }

    /// Whether an edge that is rounded up to `edge` may be told. Rounded down it would seem to move left by what the shift
    /// cuts off (RFC 7323 section 2.4); but by short segments, of which each is acknowledged, it would move right for ever.
    fn holds(&self, edge: Seq) -> bool {
        let beyond = (self.limit / 4).max(1 << self.scale);
        let room = self.limit.saturating_add(beyond);
        let room = room.saturating_sub(self.queue.len());
        !edge.is_after(self.nxt) || edge.since(self.nxt) as usize <= room
    }

    /// The window field of a SYN, which is never scaled (RFC 7323 section 2.2).
    pub(super) fn advertise_unscaled(&mut self) -> u16 {
        let field = self.possible_edge().since(self.nxt).min(0xffff);
        self.edge = self.nxt + field;
        field as u16
    }

    /// Whether the user's reading made so much room that the peer should know: the window could be
    /// twice what it knows of.
    pub(super) fn update_is_due(&self) -> bool {
        let possible = self.possible_edge();
        possible.is_after(self.edge)
            && possible.since(self.edge) >= self.least_step()
            && possible.since(self.nxt) >= self.wnd().saturating_mul(2)
    }

    /// Data of this length came: what the peer's full segments are like, and whether it may be in
    /// slow start again.
    pub(super) fn note_data(&mut self, now: Instant, len: u32, rto: Duration) {
        self.mss = self.mss.max(len.min(self.announced_mss));
        if self.data_at.get().is_some_and(|last| now.since(last) > rto) {
            self.quick = QUICK_ACKS;
        }
        self.data_at = Maybe::some(now);
    }

    /// A range out of order begins at `start`, newly arrived or grown.
    pub(super) fn note_recent(&mut self, start: Seq) {
        let known = self.recent.iter().position(|r| r.get() == Some(start));
        let last = known.unwrap_or(self.recent.len() - 1);
        self.recent.copy_within(..last, 1);
        self.recent[0] = Maybe::some(start);
    }

    /// The blocks of the next ACK: a duplicate first (RFC 2883), then the ranges that changed last.
    pub(super) fn sack_blocks(&mut self, room: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let duplicate = self.duplicate.take();
        if let Some((left, right)) = duplicate {
            blocks.push(left, right);
        }
        let first = usize::from(duplicate.is_some());
        for start in self.recent.into_iter().filter_map(Maybe::get) {
            if let Some((left, right)) = self.out_of_order.find(start)
                && !blocks.as_slice()[first..].contains(&(left, right))
            {
                blocks.push(left, right);
            }
        }
        blocks.truncate(room);
        blocks
    }

    /// What filled holes is no longer out of order.
    pub(super) fn forget_before_nxt(&mut self) {
        self.out_of_order.remove_before(self.nxt);
        let nxt = self.nxt;
        for start in &mut self.recent {
            *start = start.get().filter(|start| !start.is_before(nxt)).into();
        }
    }

    /// Frees what waits out of order; it will not be completed.
    pub(super) fn forget_out_of_order(&mut self, pool: &mut Pool) {
        self.out_of_order.clear();
        if self.queue.is_empty() {
            self.queue.clear(pool);
        }
    }

    /// One measurement of the round trip from this side. Timestamps cannot tell less than a
    /// millisecond.
    pub(super) fn sample_rtt(&mut self, rtt: Duration) {
        let rtt = (rtt.as_nanos() as u64).max(1_000_000);
        self.tuning.rtt = match self.tuning.rtt {
            0 => rtt,
            known => (7 * known + rtt) / 8,
        };
    }

    /// The round trip from this side; zero before the first measurement.
    pub(super) const fn round_trip(&self) -> Duration {
        Duration::from_nanos(self.tuning.rtt)
    }

    /// Most bytes the user took in a round trip.
    pub(super) const fn most_consumed(&self) -> u32 {
        self.tuning.most
    }

    /// The user took `count` bytes. Once a round trip, the queue's bound is set to twice what was
    /// taken in it, so that the window is never what holds the sender back.
    pub(super) fn consumed(&mut self, now: Instant, count: usize, fixed: bool) {
        let tuning = &mut self.tuning;
        tuning.consumed = tuning.consumed.saturating_add(count as u32);
        if tuning.rtt == 0 || now.since(tuning.since).as_nanos() < u128::from(tuning.rtt) {
            return;
        }
        if tuning.consumed > tuning.most && !fixed {
            tuning.most = tuning.consumed;
            let wanted = 2 * tuning.most as usize + 16 * self.mss as usize;
            self.limit = self.limit.max(wanted.min(tuning.limit));
        }
        tuning.consumed = 0;
        tuning.since = now;
    }
}

/// The shift with which the largest window this socket may ever have fits 16 bits.
fn scale_for(options: &KeptOptions, limits: &Limits) -> u8 {
    let mut largest = limits.tcp_rmem[2].max(limits.rmem_max);
    if let Some(fixed) = options.receive_buffer.get() {
        largest = largest.max(fixed);
    }
    if let Some(clamp) = options.window_clamp.get() {
        largest = largest.min(clamp as usize);
    }
    (0..MAX_SCALE)
        .find(|&shift| largest >> shift <= 0xffff)
        .unwrap_or(MAX_SCALE)
}
