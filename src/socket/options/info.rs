//! TCP_INFO (tcp(7)): `struct tcp_info` of linux/tcp.h, field by field.

use core::time::Duration;

use crate::driver::{Endpoint, Engine};
use crate::socket::Stage;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::routes::RouteDecision;
use crate::stack::tcp::fast_open::FastOutcome;
use crate::stack::tcp::{State, TcpStatus};
use crate::stack::time::Instant;

/// Bytes of the structure as of Linux 6.18.
const LEN: usize = 280;
/// Bit of `tcpi_options`: timestamps.
const OPTION_TIMESTAMPS: u8 = 1;
/// Bit of `tcpi_options`: selective acknowledgements.
const OPTION_SACK: u8 = 2;
/// Bit of `tcpi_options`: window scaling.
const OPTION_SCALE: u8 = 4;
/// Bit of `tcpi_options`: the SYN's data was taken.
const OPTION_SYN_DATA: u8 = 32;
/// TCP_ESTABLISHED, TCP_CLOSE and TCP_LISTEN of linux/tcp_states.h.
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Segments a connection begins with (RFC 6928), and reordering it reckons with from the start.
const FIRST_WINDOW: u64 = 10;
const REORDERING: u64 = 3;
/// Linux's TCP_INFINITE_SSTHRESH.
const NO_THRESHOLD: u64 = 0x7fff_ffff;
/// Before the first round trip: the timeout (RFC 6298), and what Linux takes for the variation, in
/// microseconds.
const INITIAL_TIMEOUT: u64 = 1_000_000;
const INITIAL_VARIATION: u64 = 250_000;
/// Before there is a peer (RFC 9293 section 3.7.1).
const DEFAULT_MSS: u64 = 536;
/// How long an acknowledgment waits for data, in microseconds.
const DELAYED_ACK: u64 = 40_000;

/// Bytes of the structure at known offsets.
struct Info([u8; LEN]);

impl Info {
    fn byte(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    fn short(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }

    fn word(&mut self, at: usize, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn long(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
}

/// The structure's bytes for a socket.
pub fn tcp_info(engine: Option<&Engine>, socket: Option<SocketId>, stage: Stage) -> Vec<u8> {
    let mut info = Info([0; LEN]);
    info.word(80, FIRST_WINDOW);
    info.word(88, REORDERING);
    info.long(104, u64::MAX);
    info.long(112, u64::MAX);
    match socket {
        Some(id) if id.kind == Kind::Listener => {
            info.byte(0, LISTEN);
            if let Some(engine) = engine
                && let Some(status) = engine.stack.tcp_listener_status(id)
            {
                info.word(24, u64::from(status.queued) + engine.in_flight(id));
                info.word(28, u64::from(status.backlog));
            }
        }
        Some(id) => match engine.and_then(|engine| engine.stack.tcp_status(id)) {
            Some(mut status) => {
                let now = engine.map_or(status.heard, Engine::now);
                status.send_unsent += engine.map_or(0, |engine| unsent_in_pair(engine, id));
                fill(&mut info, &status, now);
                let route = engine.map(|engine| engine.stack.route(*status.remote.ip()));
                if let Some(RouteDecision::Stack { mtu, .. }) = route {
                    info.word(60, mtu as u64);
                }
            }
            None => fill_unopened(&mut info),
        },
        None if stage == Stage::Listening => info.byte(0, LISTEN),
        // Its owner does not answer: nothing more is known.
        None if engine.is_none() && stage == Stage::Connected => info.byte(0, ESTABLISHED),
        None => fill_unopened(&mut info),
    }
    info.0.to_vec()
}

/// What other processes have written, and the send queue has no room for.
fn unsent_in_pair(engine: &Engine, id: SocketId) -> usize {
    let endpoint = engine.endpoints.of_socket(id);
    let endpoint = endpoint.and_then(|id| engine.endpoints.get(id));
    endpoint.map_or(0, Endpoint::unsent_in_pair)
}

/// What a connection would begin with.
fn fill_unopened(info: &mut Info) {
    info.byte(0, CLOSE);
    info.byte(7, 1);
    info.word(8, INITIAL_TIMEOUT);
    info.word(16, DEFAULT_MSS);
    info.word(72, INITIAL_VARIATION);
    info.word(76, NO_THRESHOLD);
    info.word(148, u64::MAX);
}

fn state_number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => CLOSE,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn fill(info: &mut Info, status: &TcpStatus, now: Instant) {
    info.byte(0, state_number(status.state));
    let mut options = 0;
    let agreed = status.state != State::SynSent;
    if agreed && status.timestamps {
        options |= OPTION_TIMESTAMPS;
    }
    if agreed && status.sack {
        options |= OPTION_SACK;
    }
    if agreed && let Some((send, receive)) = status.window_scale {
        options |= OPTION_SCALE;
        info.byte(6, send & 15 | receive << 4);
    }
    if status.fast_open == FastOutcome::Taken {
        options |= OPTION_SYN_DATA;
    }
    info.byte(5, options);
    fill_sender(info, status, now);
    fill_receiver(info, status, now);
    fill_counts(info, status, now);
}

/// ca_state of linux/tcp.h: TCP_CA_Open, Disorder, Recovery, Loss.
fn congestion_state(status: &TcpStatus) -> u8 {
    match (status.recovering, status.timed_out) {
        (false, _) if status.sacked > 0 => 1,
        (false, _) => 0,
        (true, false) => 3,
        (true, true) => 4,
    }
}

fn fill_sender(info: &mut Info, status: &TcpStatus, now: Instant) {
    let mss = u64::from(status.mss).max(1);
    let segments = |bytes: u32| u64::from(bytes).div_ceil(mss);
    info.byte(1, congestion_state(status));
    info.byte(2, status.retries);
    info.byte(3, status.probes);
    info.byte(4, status.backoff);
    // The last measured rate is the program's, not the path's, while the window is not full.
    let limited = u8::from(status.flight + status.mss <= status.cwnd);
    info.byte(7, limited | fast_open_failure(status) << 1);
    info.word(8, micros(status.rto));
    info.word(16, u64::from(status.mss));
    info.word(24, segments(status.flight));
    info.word(28, segments(status.sacked));
    info.word(32, segments(status.lost));
    info.word(36, segments(status.repeated));
    info.word(44, millis(now.since(status.data_sent_at)));
    info.word(68, micros(status.srtt));
    info.word(72, micros(status.rttvar));
    info.word(76, slow_start_threshold(status));
    info.word(80, u64::from(status.cwnd) / mss);
    info.word(100, u64::from(status.retransmits));
    let most = status.pacing_rate.unwrap_or(u64::MAX);
    info.long(104, pacing_rate(status).min(most));
    info.long(112, most);
    info.word(144, status.send_unsent as u64);
    info.word(148, status.min_rtt.map_or(u64::MAX, micros));
    info.word(228, u64::from(status.snd_wnd));
}

/// `tcpi_fastopen_client_fail`.
const fn fast_open_failure(status: &TcpStatus) -> u8 {
    match status.fast_open {
        FastOutcome::Unknown | FastOutcome::Taken => 0,
        FastOutcome::NoCookie => 1,
        FastOutcome::NotAcknowledged => 2,
        FastOutcome::SentAgain => 3,
    }
}

/// In segments; none before the first loss.
fn slow_start_threshold(status: &TcpStatus) -> u64 {
    match status.ssthresh {
        u32::MAX => NO_THRESHOLD,
        bytes => u64::from(bytes / status.mss.max(1)),
    }
}

/// What Linux would pace at if it did: the window in a round trip, and some more for it to grow.
fn pacing_rate(status: &TcpStatus) -> u64 {
    let percent = if status.cwnd < status.ssthresh / 2 {
        200
    } else {
        120
    };
    let nanoseconds = status.srtt.as_nanos() as u64;
    match nanoseconds {
        0 => u64::MAX,
        _ => u64::from(status.cwnd) * percent / 100 * 1_000_000 / (nanoseconds / 1000).max(1),
    }
}

fn fill_receiver(info: &mut Info, status: &TcpStatus, now: Instant) {
    let heard_of = status.data_received_at.unwrap_or(status.data_sent_at);
    if status.data_received_at.is_some() {
        info.word(12, DELAYED_ACK);
    }
    info.word(20, u64::from(status.rcv_mss));
    info.word(52, millis(now.since(heard_of)));
    info.word(56, millis(now.since(status.heard)));
    info.word(64, status.receive_limit as u64);
    info.word(84, u64::from(status.announced_mss));
    info.word(92, micros(status.receive_rtt));
    let initial = 10 * status.announced_mss;
    info.word(96, u64::from(status.receive_space.max(initial)));
    info.word(232, u64::from(status.rcv_wnd));
}

fn fill_counts(info: &mut Info, status: &TcpStatus, now: Instant) {
    let tally = status.tally(now);
    let outstanding =
        (status.flight - status.sacked.min(status.flight)).div_ceil(status.mss.max(1));
    let first_sent = tally.data_segments_out.saturating_sub(status.retransmits);
    // The SYN counts, and the FIN.
    let delivered = first_sent.saturating_sub(outstanding) + 1 + u32::from(status.fin_acked);
    info.long(120, tally.acked);
    info.long(128, tally.received);
    info.word(136, u64::from(tally.segments_out));
    info.word(140, u64::from(tally.segments_in));
    info.word(152, u64::from(tally.data_segments_in));
    info.word(156, u64::from(tally.data_segments_out));
    info.long(160, tally.delivery_rate);
    info.long(168, tally.busy / 1_000);
    info.long(176, tally.window_limited / 1_000);
    info.long(184, tally.buffer_limited / 1_000);
    info.word(192, u64::from(delivered));
    info.long(200, tally.sent);
    info.long(208, tally.sent_again);
    info.word(216, u64::from(tally.duplicates));
    info.word(88, u64::from(tally.reordering).max(REORDERING));
    info.word(220, u64::from(tally.reorderings));
    info.word(224, u64::from(tally.out_of_order));
    info.short(240, tally.timeouts);
    info.short(242, tally.timeout_recoveries);
    info.word(244, u64::from(tally.timeout_time));
}
