//! The sending half of a connection (RFC 9293 section 3.3.1, the SND variables).
//!
//! ```text
//!        una            nxt             end
//!   acked │  in flight   │    unsent     │ (FIN, if the user closed)
//!   ──────┼──────────────┼───────────────┼──
//!         └───────── queue ──────────────┘
//! ```

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::congestion::is_segment_size;
use super::kept::KeptOptions;
use crate::stack::config::Limits;
use crate::stack::plain::Maybe;
use crate::stack::pool::{Pool, in_order};
use crate::stack::queue::Queue;
use crate::stack::survey::Survey;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// RFC 9293 section 3.7.1, MUST-15: what a peer takes that announces nothing.
pub(super) const DEFAULT_MSS: u16 = 536;
/// Less than this is taken for an attack, as Linux's tcp_min_snd_mss.
const MIN_MSS: u16 = 48;
/// The least the send queue's tuned bound starts with: what Linux's default amounts to in payload.
const INITIAL_LIMIT: usize = 64 * 1024;

/// RFC 7323 section 2.3: no window is larger.
pub(super) const MAX_WINDOW: u32 = 1 << 30;

/// What the user gives is taken in pieces of at most so many bytes, each whole.
const SUPER_PACKET: u32 = 64 * 1024;

#[derive(Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Snd {
    /// Initial send sequence number.
    pub(super) iss: Seq,
    /// Oldest unacknowledged sequence number.
    pub(super) una: Seq,
    /// Next sequence number to be sent for the first time.
    pub(super) nxt: Seq,
    /// Send window in bytes.
    pub(super) wnd: u32,
    /// Segment sequence number used for the last window update.
    pub(super) wl1: Seq,
    /// Segment acknowledgment number used for the last window update.
    pub(super) wl2: Seq,
    /// Largest window the peer ever offered.
    pub(super) max_wnd: u32,
    /// Shift of the windows the peer sends.
    pub(super) scale: u8,
    /// The user said that more follows (MSG_MORE).
    pub(super) more: bool,
    /// The user closed: a FIN follows the queue.
    pub(super) fin: bool,
    /// The FIN was acknowledged.
    pub(super) fin_acked: bool,
    /// The peer's MSS option.
    peer_mss: u16,
    /// Path MTU learned from ICMP.
    pub(super) path_mtu: u16,
    /// Payload bytes a full segment has, options taken off.
    pub(super) mss: u32,
    /// End of the last segment sent that was not full (Minshall's variable for Nagle).
    pub(super) small_end: Seq,
    /// Up to here small segments go out in spite of Nagle, cork and window.
    pub(super) push_end: Seq,
    /// Up to here the congestion window was what held data back.
    pub(super) limited_end: Seq,
    /// A send found the queue full; the user waits for room.
    pub(super) blocked: bool,
    _unused: [u8; 1],
    /// Bytes that went with the SYN (RFC 7413).
    pub(super) syn_data: u16,
    /// Where what is held back for that begins, with what has been sent of the same.
    pub(super) more_from: Seq,
    /// Bytes not sent that stop the user from sending.
    low_water: u32,
    /// Urgent pointer: the sequence number after the last urgent byte.
    pub(super) up: Maybe<Seq>,
    /// When data was last sent.
    pub(super) sent_at: Instant,
    /// When the oldest unacknowledged byte became the oldest.
    pub(super) stalled_since: Instant,
    /// Bytes not acknowledged or not sent.
    pub(super) queue: Queue,
    limit: usize,
    tuned_limit: usize,
}

impl Snd {
    pub(super) fn new(iss: Seq, options: &KeptOptions, limits: &Limits, now: Instant) -> Self {
        let initial = limits.tcp_wmem[1].max(INITIAL_LIMIT);
        Self {
            iss,
            una: iss,
            nxt: iss + 1,
            wnd: 0,
            wl1: Seq(0),
            wl2: Seq(0),
            max_wnd: 0,
            up: Maybe::NONE,
            scale: 0,
            peer_mss: DEFAULT_MSS,
            path_mtu: u16::MAX,
            mss: u32::from(DEFAULT_MSS),
            small_end: iss,
            more: false,
            push_end: iss,
            fin: false,
            fin_acked: false,
            blocked: false,
            _unused: [0; 1],
            syn_data: 0,
            more_from: iss,
            limited_end: iss,
            sent_at: now,
            stalled_since: now,
            queue: Queue::starting_at((iss + 1).0),
            low_water: options.unsent_low_water.get().unwrap_or(u32::MAX),
            limit: options.send_buffer.get().unwrap_or(initial),
            tuned_limit: limits.tcp_wmem[2].max(initial),
        }
    }

    /// Makes whole what a killed process left. `una` counts where an acknowledgment had not come
    /// through. False: this is not what a sender can be.
    pub(super) fn restore(&mut self, synchronized: bool, survey: &mut Survey) -> bool {
        let (first, end) = (self.base(), self.end());
        let sent_end = end + u32::from(self.fin);
        if synchronized && self.una == self.iss {
            self.una = first;
        }
        let unacked = if synchronized { self.una } else { first };
        let sane = unacked.is_within(first, sent_end)
            && (sent_end.since(first) as i32) >= 0
            && self.nxt.is_within(self.una, sent_end)
            && is_segment_size(self.mss)
            && self.scale <= super::rcv::MAX_SCALE
            && self.wnd.max(self.max_wnd) <= MAX_WINDOW;
        self.fin_acked = self.fin && self.una == sent_end;
        for mark in [
            &mut self.small_end,
            &mut self.push_end,
            &mut self.limited_end,
            &mut self.more_from,
        ] {
            if !mark.is_within(self.una, sent_end) {
                *mark = self.una;
            }
        }
        let front = unacked.earlier(end).0;
        sane && survey.claim(&mut self.queue, front, None)
    }

    pub(super) fn learn_mss(&mut self, option: Option<u16>) {
        self.peer_mss = match option {
            None | Some(0) => DEFAULT_MSS,
            Some(mss) => mss.max(MIN_MSS),
        };
    }

    /// The segment size that the peer has announced.
    pub(super) const fn peer_mss(&self) -> u16 {
        self.peer_mss
    }

    /// Payload bytes of a full segment on a path with this MTU, where every header carries
    /// `options_len` bytes of options (RFC 9293 section 3.7.1, MUST-16; RFC 6691).
    pub(super) fn effective_mss(&self, mtu: usize, bound: Option<u16>, options_len: u32) -> u32 {
        let mtu = mtu.min(usize::from(self.path_mtu));
        let path = u16::try_from(mtu.saturating_sub(40)).unwrap_or(u16::MAX);
        let mss = self.peer_mss.min(path).min(bound.unwrap_or(u16::MAX));
        self.within_half_window(u32::from(mss.max(MIN_MSS)) - options_len, options_len)
    }

    /// As Linux (tcp_bound_to_half_wnd): of a small window two segments fill no less than all, so that the peer need not
    /// wait for one that does not fit.
    fn within_half_window(&self, mss: u32, options_len: u32) -> u32 {
        let most = match self.max_wnd {
            0 => return mss,
            window if window <= u32::from(DEFAULT_MSS) => window,
            window => window / 2,
        };
        mss.min(most.max(u32::from(MIN_MSS) - options_len))
    }

    /// The sequence number of the queue's first byte.
    const fn base(&self) -> Seq {
        Seq(self.queue.first_position())
    }

    /// The sequence number after the queue's last byte: the FIN's, if there is one.
    pub(super) const fn end(&self) -> Seq {
        Seq(self.queue.end_position())
    }

    /// Where `seq` is in the queue.
    pub(super) const fn offset(&self, seq: Seq) -> usize {
        seq.since(self.base()) as usize
    }

    /// Sequence numbers sent and not acknowledged.
    pub(super) const fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// Bytes never sent.
    pub(super) const fn unsent(&self) -> u32 {
        let end = self.end();
        if self.nxt.is_before(end) {
            end.since(self.nxt)
        } else {
            0
        }
    }

    /// Sequence numbers given out and not acknowledged: what was sent, what was not, and a FIN.
    pub(super) fn outstanding(&self) -> u32 {
        if self.fin_acked {
            return 0;
        }
        self.flight()
            .max(self.end().since(self.una) + u32::from(self.fin))
    }

    /// Whether a FIN is due that was never sent.
    pub(super) const fn fin_unsent(&self) -> bool {
        self.fin && !self.fin_acked && !self.nxt.is_after(self.end())
    }

    /// How far beyond `nxt` the peer's window reaches.
    pub(super) const fn window_room(&self) -> u32 {
        let right = Seq(self.una.0.wrapping_add(self.wnd));
        if self.nxt.is_before(right) {
            right.since(self.nxt)
        } else {
            0
        }
    }

    /// The sequence number of a segment without text: `nxt`, or if the peer took its window back from
    /// that, the right edge, where it still takes ACKs (as Linux). A scaled window may seem short by what
    /// the shift cuts off.
    pub(super) const fn acceptable_seq(&self) -> Seq {
        let right = Seq(self.una.0.wrapping_add(self.wnd));
        if self.nxt.is_after(right) && self.nxt.since(right) >= 1 << self.scale {
            right
        } else {
            self.nxt
        }
    }

    /// How many bytes the user may add. As on Linux, who is below a bound, that of the queue or
    /// TCP_NOTSENT_LOWAT, may fill whole pieces, the last of which may reach beyond it.
    pub(super) fn space(&self) -> usize {
        let room = self.limit.saturating_sub(self.queue.len());
        let below_mark = self.low_water.saturating_sub(self.unsent()) as usize;
        room.min(below_mark).next_multiple_of(self.piece())
    }

    /// As Linux: a super-packet in whole segments, and no more than half of the largest window.
    fn piece(&self) -> usize {
        let most = SUPER_PACKET.min(self.max_wnd / 2).max(self.mss);
        (most - most % self.mss) as usize
    }

    /// Whether a third of the queue is free, as Linux wants it before it calls a socket writable, and half of what may
    /// be unsent.
    pub(super) fn is_writable(&self) -> bool {
        let room = self.limit.saturating_sub(self.queue.len());
        room >= self.queue.len() / 2 && self.unsent().saturating_mul(2) < self.low_water
    }

    /// How many bytes the queue could ever take besides what it has.
    pub(super) fn most_room(&self) -> usize {
        let most = self.limit.max(self.tuned_limit);
        most.saturating_sub(self.queue.len())
    }

    /// TCP_NOTSENT_LOWAT.
    pub(super) fn set_low_water(&mut self, mark: Option<u32>) {
        self.low_water = mark.unwrap_or(u32::MAX);
    }

    /// Whether there is one.
    pub(super) fn bounds_unsent(&self) -> bool {
        self.low_water != u32::MAX
    }

    /// SO_SNDBUF: a bound of the user's choice ends tuning.
    pub(super) fn set_limit(&mut self, limit: Option<usize>) {
        if let Some(limit) = limit {
            self.limit = limit;
        }
    }

    /// Has room for `count` bytes more, beyond all bounds.
    pub(super) fn make_room(&mut self, count: usize) {
        self.limit = self.limit.max(self.queue.len() + count);
        self.set_low_water(None);
    }

    /// Follows the congestion window: the queue must hold what is in flight and what comes next.
    pub(super) fn tune(&mut self, cwnd: u32, fixed: bool) {
        if !fixed {
            let wanted = (2 * cwnd as usize).min(self.tuned_limit);
            self.limit = self.limit.max(wanted);
        }
    }

    /// After a timeout the congestion window is what limits, however little was in flight because the
    /// peer offered no more: without that it would not grow before all was sent again.
    pub(super) const fn limited_by_timeout(&mut self) {
        self.limited_end = self.nxt;
    }

    /// Takes `ack`, which is after `una` and not after `nxt`; gives how many bytes of data it
    /// acknowledges.
    pub(super) fn acknowledge(&mut self, pool: &mut Pool, ack: Seq) -> u32 {
        let base = self.base();
        let queued = self.queue.len() as u32;
        let beyond = if ack.is_before(base) {
            0
        } else {
            ack.since(base)
        };
        let bytes = beyond.min(queued);
        self.una = ack;
        in_order();
        if beyond > queued {
            self.fin_acked = true;
        }
        self.queue.consume(pool, bytes as usize);
        if self.up.get().is_some_and(|up| !up.is_after(ack)) {
            self.up = Maybe::NONE;
        }
        // The marks are compared with `una`; left behind, they would come around again.
        self.small_end = self.small_end.later(ack);
        self.push_end = self.push_end.later(ack);
        self.limited_end = self.limited_end.later(ack);
        // As Linux, whose MSG_MORE holds back at the call: what is left is let go by an ACK.
        self.more &= !ack.is_after(self.more_from);
        self.more_from = self.more_from.later(ack);
        bytes
    }
}
