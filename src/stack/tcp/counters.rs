//! What happened, counted. A segment that is dropped has a reason here.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Segments that arrived.
    SegmentsIn,
    /// Segments sent, super-packets counted once.
    SegmentsOut,
    /// Segments sent again.
    Retransmissions,
    /// Timeouts of the retransmission timer.
    Timeouts,
    /// Times fast recovery began.
    FastRecoveries,
    /// Connections opened from this side.
    ActiveOpens,
    /// Connections opened from the other side.
    PassiveOpens,
    /// Connections that failed before they were established.
    FailedOpens,
    /// Connections reset by the peer.
    ResetsIn,
    /// RSTs sent.
    ResetsOut,
    /// SYNs dropped because the accept queue was full.
    AcceptQueueFull,
    /// SYNs dropped because too many were half-open.
    SynQueueFull,
    /// SYNs answered by a cookie because too many were half-open.
    CookiesSent,
    /// Connections opened by a cookie.
    CookiesTaken,
    /// SYNs dropped, or connections refused, because the table was full.
    TableFull,
    /// Dropped: from or to an address no TCP has.
    BadAddress,
    /// Segments that came from too far (IP_MINTTL).
    TooFar,
    /// Dropped: a timestamp older than one seen (PAWS).
    OldTimestamp,
    /// Dropped: outside the window.
    OutsideWindow,
    /// Dropped: a RST or SYN that may be forged (RFC 5961).
    Challenged,
    /// Dropped: acknowledges what was never sent, or what is long past.
    BadAck,
    /// Dropped: no ACK where there must be one.
    NoAck,
    /// Dropped: to a port where nobody is.
    NoConnection,
    /// Data that was received before.
    DuplicateData,
    /// Data that came before its turn.
    OutOfOrder,
    /// Data dropped because too many ranges waited out of order.
    OutOfOrderFull,
    /// Data dropped because the pool was full.
    PoolFull,
    /// Connections in TIME-WAIT that ended early because there were too many.
    TimeWaitOverflow,
}

impl Counter {
    /// All of them, in the order they are shown in.
    const ALL: [Self; 28] = [
        Self::SegmentsIn,
        Self::SegmentsOut,
        Self::Retransmissions,
        Self::Timeouts,
        Self::FastRecoveries,
        Self::ActiveOpens,
        Self::PassiveOpens,
        Self::FailedOpens,
        Self::ResetsIn,
        Self::ResetsOut,
        Self::AcceptQueueFull,
        Self::SynQueueFull,
        Self::CookiesSent,
        Self::CookiesTaken,
        Self::TableFull,
        Self::BadAddress,
        Self::TooFar,
        Self::OldTimestamp,
        Self::OutsideWindow,
        Self::Challenged,
        Self::BadAck,
        Self::NoAck,
        Self::NoConnection,
        Self::DuplicateData,
        Self::OutOfOrder,
        Self::OutOfOrderFull,
        Self::PoolFull,
        Self::TimeWaitOverflow,
    ];

    /// The counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SegmentsIn => "segments_in",
            Self::SegmentsOut => "segments_out",
            Self::Retransmissions => "retransmissions",
            Self::Timeouts => "timeouts",
            Self::FastRecoveries => "fast_recoveries",
            Self::ActiveOpens => "active_opens",
            Self::PassiveOpens => "passive_opens",
            Self::FailedOpens => "failed_opens",
            Self::ResetsIn => "resets_in",
            Self::ResetsOut => "resets_out",
            Self::AcceptQueueFull => "accept_queue_full",
            Self::SynQueueFull => "syn_queue_full",
            Self::CookiesSent => "cookies_sent",
            Self::CookiesTaken => "cookies_taken",
            Self::TableFull => "table_full",
            Self::BadAddress => "bad_address",
            Self::TooFar => "too_far",
            Self::OldTimestamp => "old_timestamp",
            Self::OutsideWindow => "outside_window",
            Self::Challenged => "challenged",
            Self::BadAck => "bad_ack",
            Self::NoAck => "no_ack",
            Self::NoConnection => "no_connection",
            Self::DuplicateData => "duplicate_data",
            Self::OutOfOrder => "out_of_order",
            Self::OutOfOrderFull => "out_of_order_full",
            Self::PoolFull => "pool_full",
            Self::TimeWaitOverflow => "time_wait_overflow",
        }
    }
}

const COUNT: usize = Counter::ALL.len();

/// A count of each.
#[derive(Clone, Copy, Debug)]
pub struct Counters([u64; COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl Counters {
    /// How often it happened.
    pub const fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Every counter with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Counter::ALL
            .into_iter()
            .map(|counter| (counter.name(), self.get(counter)))
    }

    pub(super) const fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    pub(super) const fn add(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] += count;
    }
}
