//! TCP_INFO (tcp(7)): `struct tcp_info` of linux/tcp.h, field by field.

use core::time::Duration;

use crate::driver::Engine;
use crate::socket::Stage;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::routes::RouteDecision;
use crate::stack::tcp::{State, TcpStatus};

/// Bytes of the structure as of Linux 6.18.
const LEN: usize = 280;
/// Bit of `tcpi_options`: timestamps.
const OPTION_TIMESTAMPS: u8 = 1;
/// Bit of `tcpi_options`: selective acknowledgements.
const OPTION_SACK: u8 = 2;
/// Bit of `tcpi_options`: window scaling.
const OPTION_SCALE: u8 = 4;
/// TCP_ESTABLISHED, TCP_CLOSE and TCP_LISTEN of linux/tcp_states.h.
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Bytes of the structure at known offsets.
struct Info([u8; LEN]);

impl Info {
    fn byte(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    fn word(&mut self, at: usize, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

/// The structure's bytes for a socket.
pub fn tcp_info(engine: Option<&Engine>, socket: Option<SocketId>, stage: Stage) -> Vec<u8> {
    let mut info = Info([0; LEN]);
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
            Some(status) => {
                fill(&mut info, &status);
                let route = engine.map(|engine| engine.stack.route(*status.remote.ip()));
                if let Some(RouteDecision::Stack { mtu, .. }) = route {
                    info.word(60, mtu as u64);
                }
            }
            None => info.byte(0, CLOSE),
        },
        None if stage == Stage::Listening => info.byte(0, LISTEN),
        // Its owner does not answer: nothing more is known.
        None if engine.is_none() && stage == Stage::Connected => info.byte(0, ESTABLISHED),
        None => info.byte(0, CLOSE),
    }
    info.0.to_vec()
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn fill(info: &mut Info, status: &TcpStatus) {
    info.byte(0, state_number(status.state));
    let mut options = 0;
    if status.timestamps {
        options |= OPTION_TIMESTAMPS;
    }
    if status.sack {
        options |= OPTION_SACK;
    }
    if let Some((send, receive)) = status.window_scale {
        options |= OPTION_SCALE;
        info.byte(6, send & 15 | receive << 4);
    }
    info.byte(5, options);
    info.word(8, micros(status.rto));
    info.word(16, u64::from(status.mss));
    info.word(20, u64::from(status.rcv_mss));
    let mss = u64::from(status.mss).max(1);
    info.word(24, u64::from(status.flight).div_ceil(mss));
    info.word(68, micros(status.srtt));
    info.word(72, micros(status.rttvar));
    info.word(76, (u64::from(status.ssthresh) / mss).min(0x7fff_ffff));
    info.word(80, u64::from(status.cwnd) / mss);
    info.word(84, u64::from(status.announced_mss));
    info.word(88, 3);
    info.word(100, u64::from(status.retransmits));
    info.word(144, status.send_unsent as u64);
}
