//! A simulated wire between two TCPs.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::random::Random;
use crate::region::Region;
use crate::stack::config::Limits;
use crate::stack::ids::SocketId;
use crate::stack::layout::Memory;
use crate::stack::pool::Pool;
use crate::stack::tcp::{
    Config, Congestion, IpInfo, PathInfo, SUPER_PAYLOAD, SegmentOut, State, Tcp, TcpOptions,
};
use crate::stack::time::Instant;
use crate::stack::wire::tcp::Repr;

/// What the wire does to segments, in parts of 100.
#[derive(Clone, Copy)]
pub(crate) struct Impairment {
    loss: u64,
    duplicate: u64,
    reorder: u64,
    corrupt: u64,
}

impl Impairment {
    pub(crate) const NONE: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        corrupt: 0,
    };
    pub(crate) const HARSH: Self = Self {
        loss: 20,
        duplicate: 2,
        reorder: 5,
        corrupt: 1,
    };
}

/// A TCP, its bytes, and the application on it.
struct Host {
    tcp: Tcp,
    pool: Pool,
    config: Config,
    region: Region,
    address: Ipv4Addr,
    id: Option<SocketId>,
    to_send: usize,
    sent: usize,
    expected: usize,
    got: usize,
    /// Whether payload is taken as it arrives or read from the queue.
    takes: bool,
}

const REGION: usize = 32 << 20;
const DELAY: Duration = Duration::from_millis(10);
const PORT: u16 = 80;
/// Data may go with SYNs, and needs no cookies (bits of net.ipv4.tcp_fastopen).
const FAST_OPEN: u32 = 0x207;

/// The byte at `position` of a stream.
fn byte_at(position: usize) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)) as u8
}

/// 64 KiB of the stream from `position` on, made once.
fn pattern(position: usize, buffer: &mut [u8]) {
    for (i, byte) in buffer.iter_mut().enumerate() {
        *byte = byte_at(position + i);
    }
}

fn check(position: usize, bytes: &[u8]) {
    let wrong = bytes
        .iter()
        .enumerate()
        .find(|(i, byte)| **byte != byte_at(position + i));
    assert!(wrong.is_none(), "byte {position}+{wrong:?} is wrong");
}

impl Host {
    fn new(address: Ipv4Addr, seed: u64, super_packets: bool, fast: bool) -> Self {
        let (region, bytes) = Region::new(REGION);
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        let memory = Memory::create(bytes).expect("room for all");
        let config = Config {
            congestion: if seed.is_multiple_of(3) {
                Congestion::Reno
            } else {
                Congestion::Cubic
            },
            super_packets,
            limits: Limits {
                fast_open: if fast { FAST_OPEN } else { 0 },
                ..Limits::default()
            },
            secret,
        };
        Self {
            tcp: Tcp::new(config, memory.tables),
            pool: memory.pool,
            config,
            region,
            address,
            id: None,
            to_send: 0,
            sent: 0,
            expected: 0,
            got: 0,
            takes: seed % 5 < 3,
        }
    }

    /// Goes on as another process would that has nothing but the memory.
    fn restart(&mut self, now: Instant) {
        let memory = Memory::open(self.region.again()).expect("a memory file");
        let Memory { tables, pool, road } = memory;
        let (tcp, pool, restored) = Tcp::restore(self.config, tables, pool, road, now);
        assert_eq!((restored.reset, restored.unreadable), (0, 0));
        (self.tcp, self.pool) = (tcp, pool);
    }

    fn receive(&mut self, now: Instant, from: Ipv4Addr, repr: &Repr, payload: &[u8]) {
        let ip = IpInfo {
            ttl: 64,
            tos: 0,
            source: from,
            destination: self.address,
            answer_unknown: true,
            opens: true,
            headers: [&[], &[], &[]],
        };
        let (got, takes) = (&mut self.got, self.takes);
        self.tcp.receive_segment(
            now,
            &ip,
            repr,
            payload,
            &mut self.pool,
            &mut |_, data, _| {
                if !takes {
                    return 0;
                }
                check(*got, data);
                *got += data.len();
                data.len()
            },
        );
    }

    /// What the application does whenever it may: read, write, close.
    fn run(&mut self, now: Instant) {
        while self.tcp.poll_dirty().is_some() {}
        let Some(id) = self.id else { return };
        loop {
            let front = self.tcp.received(id, &self.pool);
            if front.is_empty() {
                break;
            }
            check(self.got, front);
            let len = front.len();
            self.got += len;
            self.tcp.consume(now, id, len, &mut self.pool);
        }
        self.write(now, id);
    }

    fn write(&mut self, now: Instant, id: SocketId) {
        let Some(status) = self.tcp.status(id) else {
            return;
        };
        let may_write = match status.state {
            State::Established | State::CloseWait => true,
            // Fast Open.
            State::SynReceived => !status.opening,
            _ => false,
        };
        if !may_write || status.write_closed {
            return;
        }
        let mut buffer = [0; 4096];
        let has_room = |tcp: &Tcp| {
            let status = tcp.status(id);
            status.is_some_and(|status| status.send_space >= 4096)
        };
        while self.sent < self.to_send && has_room(&self.tcp) {
            let len = (self.to_send - self.sent).min(buffer.len());
            pattern(self.sent, &mut buffer[..len]);
            let sent = self.tcp.send_all(
                now,
                id,
                core::iter::once::<&[u8]>(&buffer[..len]),
                false,
                &mut self.pool,
            );
            let sent = sent.expect("room was promised");
            self.sent += sent;
        }
        if self.sent == self.to_send {
            self.tcp
                .shutdown_write(now, id, &mut self.pool)
                .expect("connected");
        }
    }

    /// What the stack lets go with the SYN.
    fn open_fast(&mut self, now: Instant, id: SocketId) {
        let mut buffer = [0; 4096];
        let len = self.to_send.min(buffer.len());
        pattern(0, &mut buffer[..len]);
        let runs = core::iter::once(&buffer[..len]);
        self.sent = self.tcp.open_fast(now, id, runs, &mut self.pool);
    }

    fn done(&self) -> bool {
        let status = self.id.and_then(|id| self.tcp.status(id));
        self.got == self.expected && status.is_some_and(|s| s.fin_received && s.fin_acked)
    }
}

/// A segment on its way.
struct Flight {
    arrives: Instant,
    order: u64,
    to: usize,
    repr: Repr,
    payload: Vec<u8>,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Flight {}
impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrives, self.order).cmp(&(other.arrives, other.order))
    }
}

/// Two hosts and what is between them.
pub(crate) struct Wire {
    seed: u64,
    hosts: [Host; 2],
    impairment: Impairment,
    random: Random,
    /// How often, in parts of 100, an event is followed by a restart of a host.
    restarts: u64,
    now: Instant,
    flights: BinaryHeap<Reverse<Flight>>,
    /// Buffers of segments that arrived, used again.
    buffers: Vec<Vec<u8>>,
    pub(crate) segments: u64,
}

impl Wire {
    pub(crate) fn new(seed: u64, impairment: Impairment, super_packets: bool) -> Self {
        let fast = seed % 4 == 1;
        let hosts = [
            Host::new(Ipv4Addr::new(10, 0, 0, 1), seed, super_packets, fast),
            Host::new(Ipv4Addr::new(10, 0, 0, 2), seed ^ 0xff, super_packets, fast),
        ];
        Self {
            seed,
            hosts,
            impairment,
            random: Random(seed),
            restarts: 0,
            now: Instant::from_nanos(1_000_000_000),
            flights: BinaryHeap::new(),
            buffers: Vec::new(),
            segments: 0,
        }
    }

    /// The same, with hosts that begin anew now and then with nothing but their memory.
    pub(crate) fn with_restarts(seed: u64, impairment: Impairment, restarts: u64) -> Self {
        let wire = Self::new(seed, impairment, seed.is_multiple_of(2));
        Self { restarts, ..wire }
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.since(Instant::from_nanos(1_000_000_000))
    }

    /// Connects, sends `there` bytes one way and `back` bytes the other, closes.
    pub(crate) fn transfer(&mut self, there: usize, back: usize) {
        let options = TcpOptions {
            syn_count: 20,
            // On a wire this bad, fifteen timeouts in a row do happen once in a million.
            user_timeout: Some(Duration::from_secs(100_000)),
            fast_open: 1,
            ..TcpOptions::default()
        };
        let local = SocketAddrV4::new(self.hosts[0].address, 40_000);
        let remote = SocketAddrV4::new(self.hosts[1].address, PORT);
        let listener = self.hosts[1].tcp.listen(remote, 8, &options);
        let listener = listener.expect("the port is free");
        let [client, server] = &mut self.hosts;
        (client.to_send, server.expected) = (there, there);
        (server.to_send, client.expected) = (back, back);
        let id = client
            .tcp
            .connect(self.now, local, remote, &options, &mut client.pool);
        let id = *client.id.insert(id.expect("the tuple is free"));
        client.open_fast(self.now, id);
        while !(self.hosts[0].done() && self.hosts[1].done()) {
            if self.hosts[1].id.is_none() {
                self.hosts[1].id = self.hosts[1].tcp.accept(listener);
            }
            self.step();
            assert!(
                self.elapsed() < Duration::from_secs(36_000),
                "too slow: {:?}",
                self.status()
            );
        }
    }

    /// One event: everything that is said now, then the next thing that happens.
    fn step(&mut self) {
        for host in 0..2 {
            self.hosts[host].run(self.now);
            self.restart_by_chance(host);
            self.transmit(host);
            self.restart_by_chance(host);
        }
        let arrival = self.flights.peek().map(|f| f.0.arrives);
        let timers = self.hosts.iter().filter_map(|h| h.tcp.next_deadline());
        let Some(next) = timers.chain(arrival).min() else {
            panic!(
                "seed {}: nothing will ever happen again: {:?}",
                self.seed,
                self.status()
            );
        };
        self.now = self.now.max(next);
        for host in &mut self.hosts {
            host.tcp.receive_timeout(self.now, &mut host.pool);
        }
        while self.flights.peek().is_some_and(|f| f.0.arrives <= self.now) {
            let Some(Reverse(flight)) = self.flights.pop() else {
                break;
            };
            let from = self.hosts[1 - flight.to].address;
            self.hosts[flight.to].receive(self.now, from, &flight.repr, &flight.payload);
            self.buffers.push(flight.payload);
        }
    }

    fn restart_by_chance(&mut self, host: usize) {
        if self.random.percent(self.restarts) {
            self.hosts[host].restart(self.now);
        }
    }

    fn status(&self) -> Vec<String> {
        let status = |h: &Host| format!("{:?}", h.id.and_then(|id| h.tcp.status(id)));
        self.hosts.iter().map(status).collect()
    }

    fn transmit(&mut self, from: usize) {
        let mut out = SegmentOut::default();
        let mut path = |_| {
            Some(PathInfo {
                mtu: 1500,
                longest: SUPER_PAYLOAD,
            })
        };
        self.hosts[from].tcp.receive_lull();
        loop {
            let host = &mut self.hosts[from];
            if !host
                .tcp
                .poll_segment(self.now, &host.pool, &mut path, &mut out)
            {
                return;
            }
            let mut payload = self.buffers.pop().unwrap_or_default();
            payload.clear();
            for span in out.spans() {
                payload.extend_from_slice(self.hosts[from].pool.bytes(*span));
            }
            assert_eq!(payload.len(), out.payload_len);
            if std::env::var("TRACE").is_ok() {
                println!(
                    "{:?} {from} {}",
                    self.now.since(Instant::from_nanos(1_000_000_000)),
                    out.repr.display(out.payload_len)
                );
            }
            self.cut(from, &out.repr, payload, usize::from(out.gso_size));
        }
    }

    /// Segmentation: what does not fit the MTU is cut.
    fn cut(&mut self, from: usize, repr: &Repr, payload: Vec<u8>, gso_size: usize) {
        if gso_size == 0 {
            assert!(repr.header_len() + payload.len() <= 1480, "beyond the MTU");
            self.launch(from, *repr, payload);
            return;
        }
        use crate::stack::wire::tcp::Flags;
        let last_flags = Flags(Flags::FIN.0 | Flags::PSH.0);
        let pieces = payload.len().div_ceil(gso_size);
        for (i, piece) in payload.chunks(gso_size).enumerate() {
            let mut cut = *repr;
            cut.seq += (i * gso_size) as u32;
            if i + 1 < pieces {
                cut.flags = Flags(cut.flags.0 & !last_flags.0);
            }
            assert!(repr.header_len() + piece.len() <= 1480, "beyond the MTU");
            let mut buffer = self.buffers.pop().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(piece);
            self.launch(from, cut, buffer);
        }
        self.buffers.push(payload);
    }

    fn launch(&mut self, from: usize, repr: Repr, payload: Vec<u8>) {
        self.segments += 1;
        let impairment = self.impairment;
        if self.random.percent(impairment.loss) || self.random.percent(impairment.corrupt) {
            self.buffers.push(payload);
            return;
        }
        if self.random.percent(impairment.duplicate) {
            self.put(from, repr, payload.clone());
        }
        self.put(from, repr, payload);
    }

    fn put(&mut self, from: usize, repr: Repr, payload: Vec<u8>) {
        let mut arrives = self.now + DELAY;
        if self.random.percent(self.impairment.reorder) {
            arrives = arrives + Duration::from_micros(self.random.next() % 20_000);
        }
        self.flights.push(Reverse(Flight {
            arrives,
            order: self.segments * 2 + u64::from(self.random.next().is_multiple_of(2)),
            to: 1 - from,
            repr,
            payload,
        }));
    }
}
