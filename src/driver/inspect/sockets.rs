//! `ss`: a line a socket.

use core::fmt::{self, Write};
use core::net::SocketAddrV4;
use core::time::Duration;

use super::super::Engine;
use super::super::endpoint::{Endpoint, EndpointId};
use super::ends;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::tcp::{ListenerStatus, State, TcpStatus};
use crate::stack::time::Instant;
use crate::stack::udp::UdpStatus;
use crate::sys::raw;

/// The columns' names.
pub(super) const HEADER: &[u8] = b"Proto State Recv-Q Send-Q Local Peer Details\n";

/// What gets a line.
#[derive(Clone, Copy)]
pub(super) enum Row {
    /// A socket of the stack, if it is still there by then.
    Socket(SocketId),
    /// An endpoint without one.
    Endpoint(EndpointId),
    /// How many connections are in TIME-WAIT.
    TimeWait,
}

/// A line's words before the details.
pub(super) struct Words<'a> {
    pub(super) protocol: &'a str,
    pub(super) state: &'a str,
    pub(super) received: usize,
    pub(super) sent: usize,
    pub(super) local: Option<SocketAddrV4>,
    pub(super) peer: Option<SocketAddrV4>,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            state,
            received,
            sent,
            local,
            peer,
        } = self;
        write!(f, "{protocol} {state} {received} {sent}")?;
        for address in [local, peer] {
            match address {
                Some(address) => write!(f, " {address}")?,
                None => f.write_str(" *")?,
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Everything there is to list, the last first; of one guest's, what he has.
    pub(super) fn rows(&self, guest: Option<u32>) -> Vec<Row> {
        let is_shown = |his: Option<u32>| guest.is_none() || his == guest;
        let stack = &self.stack;
        let waiting = guest.is_none() && stack.tcp_time_wait_len() > 0;
        let waiting = waiting.then_some(Row::TimeWait).into_iter();
        let alone = self.without_socket();
        let alone = alone.filter(|&id| is_shown(self.guest(id)));
        let sockets = stack.udp_sockets();
        let sockets = sockets.chain(stack.tcp_connections());
        let sockets = sockets.chain(stack.tcp_listeners());
        let sockets = sockets.filter(|&id| is_shown(self.owner_of(id)));
        waiting
            .chain(alone.map(Row::Endpoint))
            .chain(sockets.map(Row::Socket))
            .collect()
    }

    /// The guest whose socket it is.
    fn owner_of(&self, id: SocketId) -> Option<u32> {
        self.guest(self.endpoints.of_socket(id)?)
    }

    /// Appends the line of `row`.
    pub(super) fn write_row(&self, row: Row, text: &mut String) {
        let start = text.len();
        let endpoint = match row {
            Row::TimeWait => {
                let count = self.stack.tcp_time_wait_len();
                return put(text, format_args!("tcp TIME-WAIT 0 0 * * count:{count}\n"));
            }
            Row::Socket(id) => {
                let endpoint = self.endpoints.of_socket(id);
                let endpoint = endpoint.and_then(|id| self.endpoints.get(id));
                self.write_socket(id, endpoint, text);
                endpoint
            }
            Row::Endpoint(id) => {
                if let Some(words) = self.words_without_socket(id) {
                    put(text, format_args!("{words}"));
                }
                self.endpoints.get(id)
            }
        };
        if text.len() == start {
            return;
        }
        if let Some(endpoint) = endpoint {
            ends::describe(endpoint, text);
        }
        text.push('\n');
    }

    fn write_socket(&self, id: SocketId, endpoint: Option<&Endpoint>, text: &mut String) {
        match id.kind {
            Kind::Listener => {
                if let Some(status) = self.stack.tcp_listener_status(id) {
                    listener(text, &status);
                }
            }
            Kind::Connection => {
                if let Some(status) = self.stack.tcp_status(id) {
                    connection(text, &status, endpoint);
                    times(text, &status, self.now());
                }
            }
            Kind::Datagram => {
                if let Some(status) = self.stack.udp_status(id) {
                    datagram(text, &status, endpoint);
                }
            }
        }
    }
}

/// Appends; a String takes everything.
fn put(text: &mut String, what: fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

fn listener(text: &mut String, status: &ListenerStatus) {
    let words = Words {
        protocol: "tcp",
        state: "LISTEN",
        received: status.queued as usize,
        sent: status.backlog as usize,
        local: Some(status.local),
        peer: None,
    };
    let (half_open, drops) = (status.half_open, status.drops);
    put(
        text,
        format_args!("{words} half_open:{half_open} drops:{drops}"),
    );
}

fn datagram(text: &mut String, status: &UdpStatus, endpoint: Option<&Endpoint>) {
    let words = Words {
        protocol: "udp",
        state: if status.remote.is_some() {
            "ESTAB"
        } else {
            "UNCONN"
        },
        received: status.receive_len + in_pair(endpoint),
        sent: endpoint.map_or(0, Endpoint::unsent_in_pair),
        local: Some(status.local),
        peer: status.remote,
    };
    let (queued, drops) = (status.queued, status.drops);
    put(text, format_args!("{words} queued:{queued} drops:{drops}"));
}

fn connection(text: &mut String, status: &TcpStatus, endpoint: Option<&Endpoint>) {
    let words = Words {
        protocol: "tcp",
        state: name(status.state),
        received: status.receive_len + in_pair(endpoint),
        sent: status.send_len + endpoint.map_or(0, Endpoint::unsent_in_pair),
        local: Some(status.local),
        peer: Some(status.remote),
    };
    put(text, format_args!("{words}"));
    if endpoint.is_none() {
        let waits = matches!(
            status.state,
            State::SynReceived | State::Established | State::CloseWait
        );
        text.push_str(if waits { " accepted:no" } else { " orphan:yes" });
    }
    options(text, status);
    sending(text, status);
    put(text, format_args!(" rcv_wnd:{}", status.rcv_wnd));
    if status.out_of_order > 0 {
        put(text, format_args!(" out_of_order:{}", status.out_of_order));
    }
    if let Some(error) = status.error {
        put(text, format_args!(" error:{error:?}"));
    }
}

/// What the SYNs negotiated.
fn options(text: &mut String, status: &TcpStatus) {
    put(text, format_args!(" {}", status.congestion.name()));
    if status.timestamps {
        text.push_str(" ts");
    }
    if status.sack {
        text.push_str(" sack");
    }
    if let Some((peer, own)) = status.window_scale {
        put(text, format_args!(" wscale:{peer},{own}"));
    }
}

fn sending(text: &mut String, status: &TcpStatus) {
    put(text, format_args!(" mss:{}", status.mss));
    if let Some(mtu) = status.path_mtu {
        put(text, format_args!(" pmtu:{mtu}"));
    }
    if status.srtt > Duration::ZERO {
        let (smoothed, variation) = (status.srtt.as_micros(), status.rttvar.as_micros());
        put(text, format_args!(" rtt:{smoothed}us/{variation}us"));
    }
    if let Some(least) = status.min_rtt {
        put(text, format_args!(" minrtt:{}us", least.as_micros()));
    }
    put(text, format_args!(" rto:{}ms", status.rto.as_millis()));
    put(text, format_args!(" cwnd:{}", status.cwnd));
    if status.ssthresh != u32::MAX {
        put(text, format_args!(" ssthresh:{}", status.ssthresh));
    }
    put(text, format_args!(" snd_wnd:{}", status.snd_wnd));
    if status.flight > 0 {
        put(text, format_args!(" unacked:{}", status.flight));
    }
    if status.sacked > 0 {
        put(text, format_args!(" sacked:{}", status.sacked));
    }
    if status.recovering {
        text.push_str(" recovering:yes");
    }
    if status.backoff > 0 {
        put(text, format_args!(" backoff:{}", status.backoff));
    }
    if status.probes > 0 {
        put(text, format_args!(" probes:{}", status.probes));
    }
    put(text, format_args!(" retransmits:{}", status.retransmits));
}

/// What happened when, and what will.
fn times(text: &mut String, status: &TcpStatus, now: Instant) {
    let ago = |at: Instant| now.since(at).as_millis();
    put(
        text,
        format_args!(" lastsnd:{}ms", ago(status.data_sent_at)),
    );
    if let Some(at) = status.data_received_at {
        put(text, format_args!(" lastrcv:{}ms", ago(at)));
    }
    put(text, format_args!(" heard:{}ms", ago(status.heard)));
    if let Some(at) = status.retransmit_at {
        put(
            text,
            format_args!(" timer:{}ms,{}", at.since(now).as_millis(), status.retries),
        );
    }
}

/// Bytes of the pair that the program has not read yet.
fn in_pair(endpoint: Option<&Endpoint>) -> usize {
    match endpoint {
        Some(endpoint) if endpoint.unread => raw::unread(endpoint.program).unwrap_or(0),
        _ => 0,
    }
}

/// The state as ss(8) has it.
const fn name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECV",
        State::Established => "ESTAB",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
    }
}
