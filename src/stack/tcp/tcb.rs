//! The transmission control block (RFC 9293 section 3.3.1): one connection, plain data.

use core::net::SocketAddrV4;
use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::config::Config;
use super::congestion::Window;
use super::fast_open::{Fast, FastOutcome};
use super::handshake::Handshake;
use super::kept::KeptOptions;
use super::loss::Loss;
use super::rcv::Rcv;
use super::rtt::Rtt;
use super::snd::Snd;
use super::tail::TailProbe;
use super::tally::Tally;
use super::timers::{Deadlines, Timer};
use super::timestamping::Timestamping;
use super::undo::Undo;
use super::zero_copy::ZeroCopies;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::passing::Passing;
use crate::stack::plain::{Maybe, Stored, Word};
use crate::stack::pool::{Pool, in_order};
use crate::stack::records::{Place, Record};
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Options;

/// Connection states (RFC 9293 section 3.3.2). LISTEN is a [`super::listener::Listener`]'s, and
/// TIME-WAIT lasts in a [`super::time_wait::Remains`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub enum State {
    /// No connection, or no more.
    Closed,
    /// Waiting for the answer to our SYN.
    SynSent,
    /// Waiting for the acknowledgment of our SYN.
    SynReceived,
    /// Data flows.
    Established,
    /// Our FIN is sent or waits behind data.
    FinWait1,
    /// Our FIN is acknowledged; the peer's has not come.
    FinWait2,
    /// The peer's FIN has come.
    CloseWait,
    /// Both FINs are sent, ours not acknowledged.
    Closing,
    /// The peer closed first; our FIN waits for its acknowledgment.
    LastAck,
    /// Both FINs are acknowledged.
    TimeWait,
}

impl State {
    /// Whether both sides have seen the other's SYN (RFC 9293: the synchronized states).
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::Closed | Self::SynSent | Self::SynReceived)
    }

    /// Whether the peer may still send data.
    pub(super) const fn receives(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Whether data or a FIN of ours may be on its way.
    pub(super) const fn sends(self) -> bool {
        matches!(
            self,
            Self::Established | Self::CloseWait | Self::FinWait1 | Self::Closing | Self::LastAck
        )
    }
}

/// Who would miss the connection if it were gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A user, who holds the handle.
    User,
    /// A listener, by its index, until accept; `queued` once it waits in the accept queue.
    Listener { index: u32, queued: bool },
    /// Nobody: the user closed.
    Nobody,
}

impl Word for Owner {
    fn to_word(self) -> u64 {
        match self {
            Self::Nobody => 0,
            Self::User => 1,
            Self::Listener { index, queued } => u64::from(index) << 32 | if queued { 3 } else { 2 },
        }
    }
    fn from_word(word: u64) -> Self {
        match word as u32 {
            1 => Self::User,
            kind @ (2 | 3) => Self::Listener {
                index: (word >> 32) as u32,
                queued: kind == 3,
            },
            _ => Self::Nobody,
        }
    }
}

/// What has to be done about a connection once its present event is through; see
/// [`super::Tcp::settle`].
#[derive(Clone, Copy, Debug, Default, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Marks {
    /// It may have something to send.
    pub(super) output: bool,
    /// It waits in the list of those that may have something to send.
    pub(super) output_listed: bool,
    /// Its outside may have changed.
    pub(super) dirty: bool,
    /// It waits in the list of those whose outside may have changed.
    pub(super) dirty_listed: bool,
    /// The peer has to be told with a RST that it ended.
    pub(super) reset: bool,
    /// The handshake waits for data (TCP_DEFER_ACCEPT): the peer did acknowledge our SYN.
    pub(super) accept_deferred: bool,
    /// A SYN or SYN-ACK is to be sent.
    pub(super) syn: bool,
    /// An empty segment below the window is to be sent, which the peer has to answer.
    pub(super) probe: bool,
}

/// How often one challenge ACK may follow another (RFC 5961 section 7), as Linux's
/// tcp_invalid_ratelimit.
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(500);

/// See the module. Written by whoever drives the stack, read by it and by who adopts it.
#[derive(Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Tcb {
    pub(super) place: Place,
    pub(super) id: SocketId,
    /// The next in the listener's accept queue.
    pub(super) accept_next: u32,
    pub(super) local: Stored<SocketAddrV4>,
    pub(super) remote: Stored<SocketAddrV4>,
    pub(super) owner: Stored<Owner>,
    pub(super) marks: Marks,
    pub(super) snd: Snd,
    pub(super) rcv: Rcv,
    pub(super) timestamping: Timestamping,
    pub(super) rtt: Rtt,
    pub(super) loss: Loss,
    pub(super) undo: Undo,
    pub(super) tail: TailProbe,
    pub(super) window: Window,
    pub(super) deadlines: Deadlines,
    pub(super) options: KeptOptions,
    pub(super) state: State,
    /// An event is being processed; written before and after. What the peer and the user rely on holds
    /// at every moment, by the order of the stores; what is estimated and scheduled may not.
    pub(super) under_change: bool,
    /// Bytes were passed on that the user, as far as is known, has not read.
    pub(super) passed_unread: bool,
    /// Both sides may send SACK blocks (RFC 2018).
    pub(super) sack: bool,
    /// Windows are scaled (RFC 7323 section 2).
    pub(super) scaled: bool,
    /// The handshake was completed, or the connection open before (Fast Open).
    pub(super) was_established: bool,
    /// How often in a row the retransmission timer ran out.
    pub(super) retries: u8,
    /// Window or keep-alive probes since the peer was last heard.
    pub(super) probes: u8,
    /// What completed the handshake, if it was accepted.
    pub(super) handshake: Handshake,
    /// It is taken apart, or put together: its user leaves without a word to the peer.
    pub(super) repair: bool,
    /// An ACK is due that waits for the user's answer to carry it; see [`super::lull`].
    pub(super) ack_waits: bool,
    /// It is on the list of those.
    pub(super) ack_listed: bool,
    /// Its part in Fast Open,
    pub(super) fast: Fast,
    /// and what came of that.
    pub(super) fast_outcome: FastOutcome,
    pub(super) _unused: [u8; 1],
    /// Whether bytes are on their way to or from the user.
    pub(super) passing: Passing,
    /// Bytes that mean nothing before those that come from the user. Written and read by the driver
    /// alone.
    pub(super) filler: u32,
    /// Sends with MSG_ZEROCOPY. So are these.
    pub(super) zero_copies: ZeroCopies,
    /// Segments sent again in all.
    pub(super) retransmits: u32,
    /// Why the connection ended; taken by the user once.
    pub(super) error: Maybe<Error>,
    /// What ICMP reported without ending it.
    pub(super) soft_error: Maybe<Error>,
    /// Counts for TCP_INFO.
    pub(super) tally: Tally,
    /// When the peer was last heard.
    pub(super) heard: Instant,
    /// When the last challenge ACK was sent.
    pub(super) challenged: Maybe<Instant>,
    /// Until when data waits, for the rate's sake.
    pub(super) paced_until: Instant,
}

/// What a new connection is made of.
pub(super) struct Opening {
    pub(super) place: Place,
    pub(super) id: SocketId,
    pub(super) local: SocketAddrV4,
    pub(super) remote: SocketAddrV4,
    pub(super) iss: Seq,
    pub(super) timestamp_offset: u32,
    pub(super) options: KeptOptions,
    pub(super) now: Instant,
}

impl Record for Tcb {
    fn place(&self) -> &Place {
        &self.place
    }
    fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Tcb {
    /// A connection whose SYN (active) or SYN-ACK (passive, after [`Tcb::learn_syn`]) is due.
    pub(super) fn new(opening: &Opening, config: &Config, state: State, owner: Owner) -> Self {
        let options = opening.options;
        let congestion = options.congestion.get().unwrap_or(config.congestion);
        let window = Window::new(congestion, u32::from(super::snd::DEFAULT_MSS));
        let mut tcb = Self {
            place: opening.place,
            id: opening.id,
            local: opening.local.into(),
            remote: opening.remote.into(),
            state,
            owner: owner.into(),
            accept_next: u32::MAX,
            marks: Marks::default(),
            snd: Snd::new(opening.iss, &options, &config.limits, opening.now),
            rcv: Rcv::new(&options, &config.limits, opening.now),
            timestamping: Timestamping::new(opening.now, opening.timestamp_offset),
            sack: true,
            scaled: true,
            rtt: Rtt::new(),
            loss: Loss::new(opening.iss + 1),
            undo: Undo::new(window),
            tail: TailProbe::NONE,
            window,
            deadlines: Deadlines::new(),
            options,
            was_established: false,
            error: Maybe::NONE,
            soft_error: Maybe::NONE,
            under_change: false,
            passing: Passing::default(),
            passed_unread: false,
            handshake: Handshake::default(),
            repair: false,
            ack_waits: false,
            ack_listed: false,
            fast: Fast::No,
            fast_outcome: FastOutcome::Unknown,
            _unused: [0; 1],
            filler: 0,
            zero_copies: ZeroCopies::default(),
            retries: 0,
            probes: 0,
            retransmits: 0,
            tally: Tally::default(),
            heard: opening.now,
            challenged: Maybe::NONE,
            paced_until: opening.now,
        };
        tcb.marks.syn = true;
        tcb.marks.output = true;
        tcb
    }

    /// Takes over what the peer's SYN says: its sequence number and options.
    pub(super) fn learn_syn(&mut self, now: Instant, seq: Seq, window: u16, options: &Options) {
        self.rcv.start(seq);
        self.snd.wnd = u32::from(window);
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = seq;
        self.snd.wl2 = self.snd.iss;
        self.snd.learn_mss(options.mss);
        self.sack = options.sack_permitted;
        match options.window_scale {
            Some(shift) => self.snd.scale = shift.min(super::rcv::MAX_SCALE),
            None => {
                self.scaled = false;
                self.rcv.scale = 0;
            }
        }
        match options.timestamps {
            Some(timestamps) => {
                self.timestamping.recent = timestamps.value;
                self.timestamping.recent_at = now;
            }
            None => self.timestamping.enabled = false,
        }
    }

    /// The handshake is complete.
    pub(super) fn establish(&mut self, now: Instant) {
        in_order();
        self.state = if self.snd.fin {
            State::FinWait1
        } else {
            State::Established
        };
        self.was_established = true;
        if self.retries > 1 {
            self.window.handshake_lost();
        }
        self.retries = 0;
        self.tally.recovered(now);
        self.rtt.backoff = 0;
        self.deadlines.stop(Timer::Retransmit);
        self.marks.syn = false;
        self.marks.dirty = true;
        self.marks.output = true;
        self.heard = now;
        self.rcv.sample_rtt(self.rtt.smoothed().unwrap_or_default());
        self.arm_keepalive(now);
    }

    /// The state that follows from which FINs are due, acknowledged, received.
    pub(super) const fn state_by_fins(&self) -> State {
        let (received, acked) = (self.rcv.fin_received, self.snd.fin_acked);
        match self.state {
            State::Established | State::SynReceived if received => State::CloseWait,
            State::Established if self.snd.fin => State::FinWait1,
            State::FinWait1 if acked => State::FinWait2,
            State::FinWait1 if received => State::Closing,
            State::FinWait2 if received => State::TimeWait,
            State::CloseWait if self.snd.fin => State::LastAck,
            State::Closing if acked => State::TimeWait,
            state => state,
        }
    }

    pub(super) fn arm_keepalive(&mut self, now: Instant) {
        if self.options.keepalive && self.state.is_synchronized() {
            let at = self.heard + self.options.keep_idle.get();
            self.deadlines.arm(Timer::KeepAlive, at.max(now));
        } else {
            self.deadlines.stop(Timer::KeepAlive);
        }
    }

    /// Ends the connection; what was received stays readable.
    pub(super) fn end(&mut self, pool: &mut Pool, error: Option<Error>) {
        self.error = error.or(self.error.get()).into();
        in_order();
        self.state = State::Closed;
        self.snd.queue.clear(pool);
        self.rcv.forget_out_of_order(pool);
        self.deadlines.stop_all();
        self.marks.output = false;
        self.marks.syn = false;
        self.marks.probe = false;
        self.marks.dirty = true;
    }

    /// Ends it and tells the peer.
    pub(super) fn reset(&mut self, pool: &mut Pool, error: Option<Error>) {
        self.marks.reset = true;
        self.end(pool, error);
    }

    /// An event begins.
    pub(super) fn begin_change(&mut self) {
        self.under_change = true;
        in_order();
    }

    /// It is through.
    pub(super) fn end_change(&mut self) {
        in_order();
        self.under_change = false;
    }

    /// `count` bytes have come to the user, if they were on their way.
    pub(super) fn end_passing(&mut self, count: usize) {
        if self.passing.end() && count > 0 {
            self.passed_unread = true;
        }
    }

    /// TCP_DEFER_ACCEPT: whether the handshake may wait for data after so many timeouts.
    pub(super) fn may_defer_accept(&self, timeouts: u8) -> bool {
        Duration::from_secs((1 << timeouts.min(16)) - 1) < self.options.defer_accept.get()
    }

    /// Whether no user will ever read or write again.
    pub(super) fn is_orphan(&self) -> bool {
        self.owner.get() == Owner::Nobody
    }

    /// The peer hears of room in the receive queue, if there is so much that it should; whether there is.
    pub(super) fn tell_of_room(&mut self) -> bool {
        let due = self.state.receives() && self.rcv.update_is_due();
        if due {
            self.acknowledge_now();
        }
        due
    }

    /// Acknowledges at once.
    pub(super) fn acknowledge_now(&mut self) {
        self.rcv.acks.push(self.rcv.nxt);
        self.marks.output = true;
    }

    /// RFC 5961 section 3 to 5: an ACK that a peer which is still there answers rightly; limited,
    /// so that forged segments cannot make two stacks talk.
    pub(super) fn challenge(&mut self, now: Instant) {
        if self
            .challenged
            .get()
            .is_none_or(|last| now.since(last) >= CHALLENGE_INTERVAL)
        {
            self.challenged = Maybe::some(now);
            self.acknowledge_now();
        }
    }
}
