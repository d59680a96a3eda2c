//! Congestion control: how much may be in flight.
//!
//! The sender asks for `cwnd` and reports what happens: data acknowledged, loss found by duplicate
//! ACKs or SACK, and then what arrives and is sent ([`prr`]), loss found by timeout. What differs between algorithms is
//! how the window grows in congestion avoidance and how far it falls; slow start and the rest are here.

mod cubic;
mod prr;
mod reno;

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use self::cubic::Cubic;
use self::prr::Prr;
use self::reno::Reno;
use super::snd::MAX_WINDOW;
use crate::stack::plain::Word;
use crate::stack::time::Instant;

/// The algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub enum Congestion {
    /// CUBIC, RFC 9438.
    Cubic,
    /// Reno, RFC 5681.
    Reno,
}

impl Congestion {
    /// The name that TCP_CONGESTION has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Reno => "reno",
        }
    }
}

impl Word for Congestion {
    fn to_word(self) -> u64 {
        self as u64
    }
    fn from_word(word: u64) -> Self {
        Self::try_read_from_bytes(&[word as u8]).unwrap_or(Self::Cubic)
    }
}

/// Whether a segment's payload can be so long.
pub(super) const fn is_segment_size(mss: u32) -> bool {
    mss > 0 && mss <= u16::MAX as u32
}

/// RFC 6928: ten segments, though not more than fit 14,600 bytes if segments are large.
fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

/// A connection's congestion window.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Window {
    /// Bytes that may be in flight.
    cwnd: u32,
    /// Slow start threshold in bytes.
    ssthresh: u32,
    mss: u32,
    reno: Reno,
    cubic: Cubic,
    prr: Prr,
    /// Which of the two is in use.
    algorithm: Congestion,
    _unused: [u8; 3],
}

/// What an ACK of new data says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    pub(super) now: Instant,
    /// Bytes acknowledged that were not SACKed before.
    pub(super) bytes: u32,
    /// Smoothed round-trip time.
    pub(super) srtt: Duration,
}

impl Window {
    pub(super) fn new(congestion: Congestion, mss: u32) -> Self {
        Self {
            cwnd: initial_window(mss),
            ssthresh: u32::MAX,
            mss,
            reno: Reno::new(),
            cubic: Cubic::new(),
            prr: Prr::NONE,
            algorithm: congestion,
            _unused: [0; 3],
        }
    }

    /// Whether a window can be like this.
    pub(super) fn is_sound(&self) -> bool {
        is_segment_size(self.mss) && self.cwnd >= self.mss && self.cwnd <= MAX_WINDOW
    }

    pub(super) const fn cwnd(&self) -> u32 {
        self.cwnd
    }

    pub(super) const fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    /// The algorithm in use.
    pub(super) const fn algorithm(&self) -> Congestion {
        self.algorithm
    }

    /// Changes the algorithm; the window stays.
    pub(super) fn set_algorithm(&mut self, congestion: Congestion) {
        if self.algorithm() != congestion {
            self.algorithm = congestion;
            self.reno = Reno::new();
            self.cubic = Cubic::new();
        }
    }

    /// The segment size became known, or changed with the path.
    pub(super) fn set_mss(&mut self, mss: u32) {
        if self.ssthresh == u32::MAX && self.cwnd == initial_window(self.mss) {
            self.cwnd = initial_window(mss);
        }
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }

    /// The SYN or SYN-ACK had to be sent again (RFC 5681 section 3.1).
    pub(super) fn handshake_lost(&mut self) {
        self.cwnd = self.mss;
    }

    pub(super) const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// New data was acknowledged, outside of fast recovery, that was sent when this window was what
    /// held the sender back: one that is not used says nothing about the path and does not grow
    /// (RFC 7661).
    pub(super) fn acknowledged(&mut self, acked: Acked) {
        let mut acked = acked;
        if self.in_slow_start() {
            let grown = self.cwnd.saturating_add(acked.bytes).min(self.ssthresh);
            acked.bytes -= grown - self.cwnd;
            self.cwnd = grown;
        }
        if acked.bytes > 0 {
            let growth = match self.algorithm {
                Congestion::Cubic => self.cubic.growth(self.cwnd, self.mss, &acked),
                Congestion::Reno => self.reno.growth(self.cwnd, self.mss, &acked),
            };
            self.cwnd = self.cwnd.saturating_add(growth);
        }
        self.cwnd = self.cwnd.min(MAX_WINDOW);
    }

    /// Loss was found, and made good, while `flight` bytes were out (RFC 5681 section 3.2).
    pub(super) fn loss(&mut self, flight: u32) {
        self.reduce(flight);
        self.cwnd = self.ssthresh;
    }

    /// Fast recovery begins: loss was found while `flight` bytes were out, of which `outstanding` had not arrived before
    /// the ACK that shows it.
    pub(super) fn enter_recovery(&mut self, flight: u32, outstanding: u32) {
        self.reduce(flight);
        self.prr = Prr::new(outstanding);
    }

    /// In fast recovery `arrived` bytes have, which leaves `pipe` in flight. `safe`: something was acknowledged, and no
    /// further loss was found.
    pub(super) fn arrived(&mut self, arrived: u32, pipe: u32, safe: bool) {
        if self.prr.is_active() {
            let bonus = if safe { self.mss } else { 0 };
            let room = self.prr.arrived(arrived, pipe, self.ssthresh, bonus);
            self.cwnd = pipe.saturating_add(room).clamp(self.mss, MAX_WINDOW);
        }
    }

    /// `bytes` were sent.
    pub(super) fn sent(&mut self, bytes: u32) {
        self.prr.sent(bytes);
    }

    /// Recovery is over.
    pub(super) fn recovered(&mut self) {
        if self.prr.is_active() {
            self.cwnd = self.ssthresh;
        }
        self.prr = Prr::NONE;
    }

    /// The retransmission timer ran out for the first time (RFC 5681 section 3.1).
    pub(super) fn timeout(&mut self, flight: u32) {
        self.reduce(flight);
        self.timeout_again();
    }

    /// It ran out again, or in fast recovery: the threshold stays.
    pub(super) const fn timeout_again(&mut self) {
        self.prr = Prr::NONE;
        self.cwnd = self.mss;
    }

    /// Loss was none: the window is at least what it was `before` it was reduced.
    pub(super) fn restore(&mut self, before: &Self) {
        self.prr = Prr::NONE;
        let cwnd = self.cwnd.max(before.cwnd);
        if self.algorithm == before.algorithm && self.mss == before.mss {
            *self = *before;
        }
        self.ssthresh = self.ssthresh.max(before.ssthresh);
        self.cwnd = cwnd;
    }

    /// The connection was idle for `idle`: the window is halved for each timeout that passed, down
    /// to the initial window (RFC 2861, as Linux).
    pub(super) fn idle(&mut self, idle: Duration, rto: Duration) {
        let floor = initial_window(self.mss).min(self.cwnd);
        if idle > rto {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            let timeouts = (idle.as_nanos() / rto.as_nanos().max(1)).min(31) as u32;
            self.cwnd = (self.cwnd >> timeouts).max(floor);
        }
    }

    fn reduce(&mut self, flight: u32) {
        let least = 2 * self.mss;
        let window = self.cwnd.min(flight.max(least));
        self.ssthresh = match self.algorithm {
            Congestion::Cubic => self.cubic.reduced(window, self.mss),
            Congestion::Reno => window / 2,
        };
        self.ssthresh = self.ssthresh.max(least);
    }
}
