//! Runs packet scripts against one TCP with a clock of their own.
//!
//! A line is one of
//!
//! ```text
//! < SEGMENT          a segment arrives
//! > SEGMENT          this segment is sent, and is the next one to be sent
//! +0.2 > SEGMENT     it is sent after exactly so many seconds, and nothing before
//! +0.2               nothing is sent for so many seconds
//! ! CALL ARGUMENTS   a user call; see `Script::call`
//! = FACT VALUE       something is so; see `Script::fact`
//! ```
//!
//! Whatever is sent must be expected. The peer's initial sequence number is as the script says; ours
//! counts from 0, as does our timestamps' clock. `>` compares flags, range and, where they are
//! written, ack, window, urgent pointer and options.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use crate::parse::{Line, parse};
use crate::stack::config::Limits;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::layout::Memory;
use crate::stack::pool::Pool;
use crate::stack::tcp::{
    Config, Congestion, IcmpError, IpInfo, PathInfo, SUPER_PAYLOAD, SegmentOut, Tcp, TcpOptions,
};
use crate::stack::time::Instant;
use crate::stack::wire::tcp::{Flags, Repr, Seq};

const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 8080);
const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 9), 3000);
/// How far from the moment a script names a segment may be sent.
const TOLERANCE: Duration = Duration::from_millis(2);

struct Sent {
    at: Instant,
    repr: Repr,
    payload: Vec<u8>,
}

/// See the module.
pub(crate) struct Script {
    pub(crate) tcp: Tcp,
    pub(crate) pool: Pool,
    pub(crate) options: TcpOptions,
    /// Whether in-order payload is taken as it arrives.
    pub(crate) takes: bool,
    /// Whether the user may answer what arrives, and does not wait for more before.
    pub(crate) answers: bool,
    pub(crate) mtu: usize,
    /// The longest payload of a super-packet.
    pub(crate) longest: u32,
    now: Instant,
    taken: usize,
    /// Bytes that went with the SYN.
    fast: usize,
    listener: Option<SocketId>,
    id: Option<SocketId>,
    /// Another connection; see `swap`.
    aside: Option<SocketId>,
    /// Our initial sequence number towards each port of the peer's, and the offset of our
    /// timestamps, once they are seen.
    iss: HashMap<u16, Seq>,
    timestamp_base: u32,
    sent: VecDeque<Sent>,
    /// The port segments come from; another one for another connection.
    remote: SocketAddrV4,
}

/// Runs a script with options as they are by default.
pub(crate) fn run(lines: &str) {
    Script::new().run(lines);
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A script on a TCP whose configuration is changed by `change`.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            congestion: Congestion::Reno,
            super_packets: false,
            limits: Limits::default(),
            secret: [7; 16],
        };
        change(&mut config);
        let region = vec![0; 8 << 20].into_boxed_slice();
        let memory = Memory::create(Box::leak(region)).expect("room for all");
        Self {
            tcp: Tcp::new(config, memory.tables),
            pool: memory.pool,
            options: TcpOptions::default(),
            takes: false,
            answers: false,
            mtu: 1500,
            longest: SUPER_PAYLOAD,
            now: Instant::from_nanos(1_000_000_000_000),
            taken: 0,
            fast: 0,
            listener: None,
            id: None,
            aside: None,
            iss: HashMap::new(),
            timestamp_base: 0,
            sent: VecDeque::new(),
            remote: REMOTE,
        }
    }

    pub(crate) fn run(&mut self, lines: &str) -> &mut Self {
        for line in lines.lines().map(str::trim) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                self.line(line);
            }
        }
        self.expect_silence("the end");
        self
    }

    fn line(&mut self, line: &str) {
        let mut rest = line;
        if let Some(timed) = line.strip_prefix('+') {
            let (seconds, after) = timed.split_once(' ').unwrap_or((timed, ""));
            let seconds: f64 = seconds
                .parse()
                .unwrap_or_else(|_| panic!("no time: {line}"));
            rest = after.trim();
            self.expect_silence(line);
            self.advance(
                Duration::from_secs_f64(seconds),
                line,
                rest.starts_with('>'),
            );
        }
        let Some((kind, rest)) = rest.split_at_checked(1) else {
            return;
        };
        let rest = rest.trim();
        match kind {
            "<" => {
                self.expect_silence(line);
                self.arrive(&parse(rest));
            }
            ">" => self.expect(&parse(rest), line),
            "!" => {
                self.expect_silence(line);
                self.call(rest);
            }
            "=" => self.fact(rest, line),
            _ => panic!("not a line: {line}"),
        }
        self.collect();
    }

    fn arrive(&mut self, line: &Line) {
        let port = self.remote.port();
        let base = self.iss.get(&port).copied().unwrap_or_default();
        let mut options = line.options.unwrap_or_default();
        if let Some(timestamps) = &mut options.timestamps
            && timestamps.echo != 0
        {
            timestamps.echo = timestamps.echo.wrapping_add(self.timestamp_base);
        }
        let mut sack = crate::stack::wire::tcp::SackBlocks::default();
        for (left, right) in options.sack.as_slice() {
            sack.push(base + left.0, base + right.0);
        }
        options.sack = sack;
        let repr = Repr {
            source_port: self.remote.port(),
            destination_port: LOCAL.port(),
            seq: Seq(line.seq),
            ack: base + line.ack.unwrap_or_default(),
            flags: line.flags,
            window: line.window.unwrap_or(65_535),
            urgent: line.urgent.unwrap_or_default(),
            options,
        };
        let ip = IpInfo {
            ttl: 64,
            tos: 0,
            source: *self.remote.ip(),
            destination: *LOCAL.ip(),
            answer_unknown: true,
            opens: true,
            headers: [&[], &[], &[]],
        };
        let payload: Vec<u8> = (0..line.len)
            .map(|i| (line.seq as usize + i) as u8)
            .collect();
        let (takes, taken) = (self.takes, &mut self.taken);
        self.tcp.receive_segment(
            self.now,
            &ip,
            &repr,
            &payload,
            &mut self.pool,
            &mut |_, data, _| {
                let count = if takes { data.len() } else { 0 };
                *taken += count;
                count
            },
        );
    }

    /// Lets time pass, timer by timer. Output before the end is a failure, unless a segment is
    /// expected then.
    fn advance(&mut self, duration: Duration, line: &str, sends: bool) {
        let end = self.now + duration;
        // A segment that is expected may come a little early or late; what else is due then, too.
        let limit = if sends { end + TOLERANCE } else { end };
        while let Some(at) = self.tcp.next_deadline().filter(|&at| at <= limit) {
            self.now = self.now.max(at);
            self.tcp.receive_timeout(self.now, &mut self.pool);
            self.collect();
            if sends && !self.sent.is_empty() {
                let early = end.since(self.now);
                assert!(
                    early <= TOLERANCE,
                    "sent {early:?} before its time: {line}: {}",
                    self.pending()
                );
                return;
            }
            self.expect_silence(line);
        }
        self.now = self.now.max(end);
    }

    fn collect(&mut self) {
        let mtu = self.mtu;
        let longest = self.longest;
        let mut path = |_| Some(PathInfo { mtu, longest });
        let mut out = SegmentOut::default();
        if !self.answers {
            self.tcp.receive_lull();
        }
        while self
            .tcp
            .poll_segment(self.now, &self.pool, &mut path, &mut out)
        {
            let mut payload = Vec::new();
            for span in out.spans() {
                payload.extend_from_slice(self.pool.bytes(*span));
            }
            assert_eq!(payload.len(), out.payload_len);
            let port = out.remote.port();
            let known = self.iss.get(&port).copied();
            if out.repr.flags.contains(Flags::SYN) && known != Some(out.repr.seq) {
                self.iss.insert(port, out.repr.seq);
                if let Some(timestamps) = out.repr.options.timestamps {
                    self.timestamp_base = timestamps.value;
                }
            }
            self.sent.push_back(Sent {
                at: self.now,
                repr: out.repr,
                payload,
            });
        }
    }

    fn pending(&self) -> String {
        let relative = |sent: &Sent| {
            format!(
                "at {:?} {}",
                sent.at,
                self.relative(&sent.repr).display(sent.payload.len())
            )
        };
        self.sent
            .iter()
            .map(relative)
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn expect_silence(&mut self, line: &str) {
        self.collect();
        assert!(
            self.sent.is_empty(),
            "before `{line}`: unexpected {}",
            self.pending()
        );
    }

    /// As the script sees it: our numbers counted from 0.
    fn relative(&self, repr: &Repr) -> Repr {
        let mut repr = *repr;
        // A RST to what has no connection may count from 0.
        if let Some(iss) = self.iss.get(&repr.destination_port)
            && repr.seq != Seq(0)
        {
            repr.seq = Seq(repr.seq.since(*iss));
        }
        if let Some(timestamps) = &mut repr.options.timestamps {
            timestamps.value = timestamps.value.wrapping_sub(self.timestamp_base);
        }
        repr
    }

    fn expect(&mut self, line: &Line, text: &str) {
        self.collect();
        let Some(sent) = self.sent.pop_front() else {
            panic!("nothing was sent: {text}");
        };
        let repr = self.relative(&sent.repr);
        let same = repr.flags == line.flags
            && repr.seq == Seq(line.seq)
            && sent.payload.len() == line.len
            && line.ack.is_none_or(|ack| repr.ack == Seq(ack))
            && line.window.is_none_or(|window| repr.window == window)
            && line.urgent.is_none_or(|urgent| repr.urgent == urgent)
            && line.options.is_none_or(|options| repr.options == options);
        let got = repr.display(sent.payload.len()).to_string();
        assert!(same, "expected {text}\n     got {got}");
    }

    /// User calls.
    fn call(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let count: usize = words.next().map_or(0, |w| w.parse().expect("a number"));
        let (now, id) = (self.now, self.id);
        let pool = &mut self.pool;
        let open = || id.unwrap_or_else(|| panic!("no connection: {text}"));
        match name {
            "listen" => {
                let id = self.tcp.listen(LOCAL, count as u32, &self.options);
                self.listener = Some(id.expect("listen"));
            }
            "connect" => {
                let id = self
                    .tcp
                    .connect(now, LOCAL, self.remote, &self.options, pool);
                self.id = Some(id.expect("connect"));
            }
            "connect_held" => {
                let id = self
                    .tcp
                    .connect(now, LOCAL, self.remote, &self.options, pool);
                let id = *self.id.insert(id.expect("connect"));
                assert_eq!(usize::from(self.tcp.hold_syn(now, id)), count, "{text}");
            }
            "connect_fast" | "open_fast" => {
                if name == "connect_fast" {
                    let id = self
                        .tcp
                        .connect(now, LOCAL, self.remote, &self.options, pool);
                    self.id = Some(id.expect("connect"));
                }
                let data: Vec<u8> = (0..count).map(|i| i as u8).collect();
                let runs = core::iter::once(&data[..]);
                let id = self.id.expect("a connection");
                self.fast = self.tcp.open_fast(now, id, runs, pool);
            }
            "accept" => {
                let listener = self.listener.expect("a listener");
                self.id = Some(self.tcp.accept(listener).expect("something to accept"));
            }
            "send" | "send_more" | "send_refused" => {
                let data: Vec<u8> = (0..count).map(|i| i as u8).collect();
                let more = name == "send_more";
                let expected = match name {
                    "send_refused" => Err(Error::WouldBlock),
                    _ => Ok(count),
                };
                let sent = self
                    .tcp
                    .send_all(now, open(), core::iter::once(&data[..]), more, pool);
                assert_eq!(sent, expected, "{text}");
                self.tcp.stamp(open(), None);
            }
            "send_urgent" => {
                let data = vec![0; count];
                let runs = core::iter::once(&data[..]);
                assert_eq!(self.tcp.send_urgent(now, open(), runs, pool), Ok(count));
            }
            "read" => self.tcp.consume(now, open(), count, pool),
            "shutdown" => self
                .tcp
                .shutdown_write(now, open(), pool)
                .expect("shutdown"),
            "close" => self.tcp.close(now, open(), pool),
            "close_listener" => self
                .tcp
                .close(now, self.listener.expect("a listener"), pool),
            "abort" => self.tcp.abort(now, open(), pool),
            "swap" => core::mem::swap(&mut self.id, &mut self.aside),
            "peer_port" => self.remote.set_port(count as u16),
            "mtu" => self.icmp(Some(count as u16)),
            "unreachable" => self.icmp(None),
            "options" => self.tcp.set_options(now, open(), &self.options, pool),
            _ => panic!("no such call: {text}"),
        }
    }

    /// An ICMP error about the oldest segment in flight.
    fn icmp(&mut self, mtu: Option<u16>) {
        let icmp = IcmpError {
            error: crate::stack::error::Error::HostUnreachable,
            mtu,
            local: LOCAL,
            remote: REMOTE,
            seq: self.oldest(),
        };
        self.tcp.receive_icmp_error(self.now, &icmp, &mut self.pool);
    }

    fn oldest(&self) -> Seq {
        let status = self.id.and_then(|id| self.tcp.status(id));
        let una = status.map(|s| Seq(s.snd_una));
        una.expect("a connection")
    }

    /// What is so.
    fn fact(&mut self, text: &str, line: &str) {
        self.collect();
        let (name, value) = text.split_once(' ').unwrap_or((text, ""));
        let status = self.id.and_then(|id| self.tcp.status(id));
        if name == "gone" {
            assert!(status.is_none(), "{line}: {status:?}");
            return;
        }
        let listener = self.listener.and_then(|id| self.tcp.listener_status(id));
        let got = match name {
            "error" => format!("{:?}", self.id.and_then(|id| self.tcp.take_error(id))),
            "time_wait" => self.tcp.time_wait_len().to_string(),
            "taken" => self.taken.to_string(),
            "fast" => self.fast.to_string(),
            "urgent" => format!("{:?}", self.id.and_then(|id| self.tcp.urgent_offset(id))),
            "run" => {
                let id = self.id.expect("a connection");
                self.tcp.received(id, &self.pool).len().to_string()
            }
            "connections" => self.tcp.connections().count().to_string(),
            "queued" => listener.map_or(0, |l| l.queued).to_string(),
            "half_open" => listener.map_or(0, |l| l.half_open).to_string(),
            _ => {
                let status = status.unwrap_or_else(|| panic!("no connection: {line}"));
                match name {
                    "fast_open" => format!("{:?}", status.fast_open),
                    "state" => format!("{:?}", status.state),
                    "received" => status.receive_len.to_string(),
                    "unacked" => status.send_len.to_string(),
                    "cwnd" => status.cwnd.to_string(),
                    "fin_received" => status.fin_received.to_string(),
                    "mss" => status.mss.to_string(),
                    "reordering" => {
                        let tally = status.tally(self.now);
                        format!("{} {}", tally.reorderings, tally.reordering)
                    }
                    "duplicates" => status.tally(self.now).duplicates.to_string(),
                    "timeouts" => {
                        let tally = status.tally(self.now);
                        let count = (tally.timeouts, tally.timeout_recoveries);
                        format!("{} {} {}", count.0, count.1, tally.timeout_time)
                    }
                    _ => panic!("no such fact: {line}"),
                }
            }
        };
        assert_eq!(got, value, "{line}");
    }
}
