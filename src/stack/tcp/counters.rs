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
    /// SYNs dropped, or connections refused, because the table was full.
    TableFull,
    /// Dropped: from or to an address no TCP has.
    BadAddress,
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

const COUNT: usize = Counter::TimeWaitOverflow as usize + 1;

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

    pub(super) const fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    pub(super) const fn add(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] += count;
    }
}
