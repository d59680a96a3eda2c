//! STATUS (RFC 9293 section 3.10.6): everything TCP_INFO, `ss` and the socket layer ask for.

use core::net::SocketAddrV4;
use core::time::Duration;

use super::congestion::Congestion;
use super::fast_open::FastOutcome;
use super::handshake::Handshake;
use super::listener::Listener;
use super::loss::Phase;
use super::tally::Tally;
use super::tcb::{State, Tcb};
use super::timers::Timer;
use crate::stack::error::Error;
use crate::stack::time::Instant;

/// What there is to know about a connection.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "the tests ask for all"))]
pub struct TcpStatus {
    /// State. TIME-WAIT shows as `Closed`, as on Linux: the user's part is over.
    pub state: State,
    /// Our address and port.
    pub local: SocketAddrV4,
    /// The peer's.
    pub remote: SocketAddrV4,
    /// Why it ended, if it did with an error that nobody took yet.
    pub error: Option<Error>,
    /// What ICMP reported without ending it.
    pub soft_error: Option<Error>,
    /// Bytes in order, not read.
    pub receive_len: usize,
    /// Bytes not acknowledged or not sent.
    pub send_len: usize,
    /// Bytes not sent.
    pub send_unsent: usize,
    /// Sequence numbers that are given out and not acknowledged, a SYN's and a FIN's among them.
    pub outstanding: u32,
    /// Those that were not sent.
    pub outstanding_unsent: u32,
    /// The largest window that the peer has advertised, in bytes.
    pub max_snd_wnd: u32,
    /// Bytes SEND would take.
    pub send_space: usize,
    /// Bound of the receive queue in bytes.
    pub receive_limit: usize,
    /// Which of its listener's options it has; see [`TcpOptions::edition`](super::TcpOptions::edition).
    pub edition: u16,
    /// What completed the handshake, if it was accepted.
    pub handshake: Option<Handshake>,
    /// The bound that the user set, here or at the listener.
    pub receive_buffer: Option<usize>,
    /// The peer's FIN was reached: nothing is missing before it.
    pub fin_received: bool,
    /// The sending side was closed by the user.
    pub write_closed: bool,
    /// Whether the FIN was acknowledged.
    pub fin_acked: bool,
    /// Payload bytes of a full segment.
    pub mss: u32,
    /// Payload bytes of the peer's full segments, as far as seen.
    pub rcv_mss: u32,
    /// What we announced, less the options in every segment.
    pub announced_mss: u32,
    /// The user answers what comes, and the answers carry the ACKs.
    pub answered: bool,
    /// Smoothed round-trip time; zero before the first measurement.
    pub srtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// The smallest round-trip time measured.
    pub min_rtt: Option<Duration>,
    /// Retransmission timeout, with backoff.
    pub rto: Duration,
    /// The highest rate to send at, in bytes a second.
    pub pacing_rate: Option<u64>,
    /// Congestion window in bytes.
    pub cwnd: u32,
    /// Slow start threshold in bytes; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Bytes sent and not acknowledged.
    pub flight: u32,
    /// Bytes SACKed.
    pub sacked: u32,
    /// Bytes thought to be lost and not sent again.
    pub lost: u32,
    /// Bytes sent again and not acknowledged.
    pub repeated: u32,
    /// Whether loss recovery is under way.
    pub recovering: bool,
    /// Whether that is after a timeout.
    pub timed_out: bool,
    /// Round-trip time as a receiver sees it; zero before the first measurement.
    pub receive_rtt: Duration,
    /// Most bytes the user took in a round trip.
    pub receive_space: u32,
    /// Counts of the connection, without the times that run.
    pub tally: Tally,
    /// Congestion control.
    pub congestion: Congestion,
    /// What came of Fast Open.
    pub fast_open: FastOutcome,
    /// Whether no user knows it as a connection yet.
    pub opening: bool,
    /// Segments sent again, in all.
    pub retransmits: u32,
    /// Timeouts in a row.
    pub retries: u8,
    /// Doublings of the timeout.
    pub backoff: u8,
    /// Probes unanswered.
    pub probes: u8,
    /// Window we advertise, in bytes.
    pub rcv_wnd: u32,
    /// Window the peer advertises, in bytes.
    pub snd_wnd: u32,
    /// SACK is in use.
    pub sack: bool,
    /// Timestamps are in use.
    pub timestamps: bool,
    /// Shifts of the windows, the peer's and ours; `None` if window scaling is not in use.
    pub window_scale: Option<(u8, u8)>,
    /// When the peer was last heard.
    pub heard: Instant,
    /// When data last came.
    pub data_received_at: Option<Instant>,
    /// When data was last sent.
    pub data_sent_at: Instant,
    /// When the retransmission timer runs out.
    pub retransmit_at: Option<Instant>,
    /// Oldest unacknowledged sequence number.
    pub snd_una: u32,
    /// Next sequence number expected.
    pub rcv_nxt: u32,
    /// Bytes waiting out of order.
    pub out_of_order: u32,
    /// Path MTU learned by ICMP, in bytes.
    pub path_mtu: Option<u16>,
}

impl TcpStatus {
    /// The counts, with the times up to now.
    pub fn tally(&self, now: Instant) -> Tally {
        self.tally.until(now)
    }
}

/// What there is to know about a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerStatus {
    /// Its address.
    pub local: SocketAddrV4,
    /// Connections in the accept queue.
    pub queued: u32,
    /// Half-open connections.
    pub half_open: u32,
    /// Backlog in force.
    pub backlog: u32,
    /// SYNs and last ACKs dropped because a queue was full.
    pub drops: u64,
    /// Connections that have come into the accept queue so far.
    pub completed: u64,
}

impl Listener {
    pub(super) fn status(&self) -> ListenerStatus {
        ListenerStatus {
            local: self.local.get(),
            queued: self.queued,
            half_open: self.half_open,
            backlog: self.backlog,
            drops: self.drops,
            completed: self.completed,
        }
    }
}

impl Tcb {
    pub(super) fn status(&self) -> TcpStatus {
        TcpStatus {
            state: self.state,
            local: self.local.get(),
            remote: self.remote.get(),
            error: self.error.get(),
            soft_error: self.soft_error.get(),
            receive_len: self.rcv.queue.len(),
            send_len: self.snd.queue.len(),
            send_unsent: self.snd.unsent() as usize,
            outstanding: self.snd.outstanding(),
            outstanding_unsent: self.snd.unsent() + u32::from(self.snd.fin_unsent()),
            max_snd_wnd: self.snd.max_wnd,
            send_space: self.snd.space(),
            receive_limit: self.rcv.limit(),
            edition: self.options.edition,
            handshake: (self.handshake.ttl != 0).then_some(self.handshake),
            receive_buffer: self.options.receive_buffer.get(),
            fin_received: self.rcv.fin_received,
            write_closed: self.snd.fin,
            fin_acked: self.snd.fin_acked,
            mss: self.snd.mss,
            rcv_mss: self.rcv.mss,
            announced_mss: self.rcv.announced_mss,
            answered: self.rcv.answered,
            srtt: self.rtt.smoothed().unwrap_or_default(),
            rttvar: self.rtt.variation(),
            min_rtt: self.rtt.minimum(),
            pacing_rate: self.options.pacing_rate.get().filter(|&rate| rate > 0),
            rto: self.rtt.rto(),
            cwnd: self.window.cwnd(),
            ssthresh: self.window.ssthresh(),
            flight: self.snd.flight(),
            sacked: self.loss.sacked.total(),
            lost: self.loss.lost(),
            repeated: self.loss.repeated(),
            recovering: self.is_recovering(),
            timed_out: self.loss.phase == Phase::Timeout,
            receive_rtt: self.rcv.round_trip(),
            receive_space: self.rcv.most_consumed(),
            tally: self.tally,
            congestion: self.window.algorithm(),
            fast_open: self.fast_outcome,
            opening: self.is_opening(),
            retransmits: self.retransmits,
            retries: self.retries,
            backoff: self.rtt.backoff,
            probes: self.probes,
            rcv_wnd: self.rcv.wnd(),
            snd_wnd: self.snd.wnd,
            sack: self.sack,
            timestamps: self.timestamping.enabled,
            window_scale: self.scaled.then_some((self.snd.scale, self.rcv.scale)),
            heard: self.heard,
            data_received_at: self.rcv.data_at.get(),
            data_sent_at: self.snd.sent_at,
            retransmit_at: self.deadlines.get(Timer::Retransmit),
            snd_una: self.snd.una.0,
            rcv_nxt: self.rcv.nxt.0,
            out_of_order: self.rcv.out_of_order.total(),
            path_mtu: (self.snd.path_mtu != u16::MAX).then_some(self.snd.path_mtu),
        }
    }
}
