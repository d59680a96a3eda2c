//! How fast, and how large. Measurements, not checks:
//! `cargo test --release --test tcp_sim speed -- --ignored --nocapture --test-threads 1`

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::time::Instant as Clock;

use crate::stack::config::Limits;
use crate::stack::ids::SocketId;
use crate::stack::layout::Memory;
use crate::stack::passing::Passing;
use crate::stack::pool::Pool;
use crate::stack::tcp::{
    Config, Congestion, IpInfo, PathInfo, SUPER_PAYLOAD, SegmentOut, Tcp, TcpOptions,
};
use crate::stack::time::Instant;

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

/// Two TCPs joined without a wire.
struct Pair {
    tcps: [Tcp; 2],
    pools: [Pool; 2],
    now: Instant,
    payload: Vec<u8>,
    /// Segments and bytes of payload moved.
    segments: u64,
    bytes: u64,
}

impl Pair {
    fn new(super_packets: bool) -> Self {
        let config = Config {
            congestion: Congestion::Cubic,
            super_packets,
            limits: Limits::default(),
            secret: [1; 16],
        };
        let memory = || Memory::create(Box::leak(vec![0; 1 << 30].into_boxed_slice()));
        let [one, other] = [memory(), memory()].map(|made| made.expect("room for all"));
        Self {
            tcps: [one.tables, other.tables].map(|tables| Tcp::new(config, tables)),
            pools: [one.pool, other.pool],
            now: Instant::from_nanos(1_000_000_000),
            payload: Vec::new(),
            segments: 0,
            bytes: 0,
        }
    }

    /// Moves segments until neither side has any.
    fn settle(&mut self) {
        loop {
            let before = self.segments;
            self.transmit(0, 1);
            self.transmit(1, 0);
            if self.segments == before {
                return;
            }
        }
    }

    fn transmit(&mut self, from: usize, to: usize) {
        self.now = self.now + Duration::from_micros(10);
        let mut out = SegmentOut::default();
        let mut path = |_| {
            Some(PathInfo {
                mtu: 1500,
                longest: SUPER_PAYLOAD,
            })
        };
        let ip = IpInfo {
            ttl: 64,
            tos: 0,
            source: ADDRESSES[from],
            destination: ADDRESSES[to],
            answer_unknown: true,
            opens: true,
            headers: [&[], &[], &[]],
        };
        self.tcps[from].receive_lull();
        while self.tcps[from].poll_segment(self.now, &self.pools[from], &mut path, &mut out) {
            self.payload.clear();
            for span in out.spans() {
                let bytes = self.pools[from].bytes(*span);
                self.payload.extend_from_slice(bytes);
            }
            self.segments += 1;
            let bytes = &mut self.bytes;
            let mut deliver = |_, data: &[u8], _: &mut Passing| {
                *bytes += data.len() as u64;
                data.len()
            };
            let pool = &mut self.pools[to];
            let payload = &self.payload;
            self.tcps[to].receive_segment(self.now, &ip, &out.repr, payload, pool, &mut deliver);
            while self.tcps[to].poll_dirty().is_some() {}
        }
    }

    fn open(&mut self, port: u16, listener: SocketId) -> [SocketId; 2] {
        let local = SocketAddrV4::new(ADDRESSES[0], port);
        let remote = SocketAddrV4::new(ADDRESSES[1], 80);
        let options = TcpOptions::default();
        let client = self.tcps[0]
            .connect(self.now, local, remote, &options, &mut self.pools[0])
            .expect("free");
        self.settle();
        let server = self.tcps[1].accept(listener).expect("connected");
        [client, server]
    }

    fn listen(&mut self) -> SocketId {
        let address = SocketAddrV4::new(ADDRESSES[1], 80);
        self.tcps[1]
            .listen(address, 4096, &TcpOptions::default())
            .expect("free")
    }
}

#[test]
#[ignore = "a measurement"]
fn bulk() {
    let data = vec![5; 256 << 10];
    for super_packets in [false, true] {
        let mut pair = Pair::new(super_packets);
        let listener = pair.listen();
        let [client, _] = pair.open(1000, listener);
        let (start, segments) = (Clock::now(), pair.segments);
        while pair.bytes < 4 << 30 {
            let (now, pool) = (pair.now, &mut pair.pools[0]);
            let sent =
                pair.tcps[0].send_all(now, client, core::iter::once::<&[u8]>(&data), false, pool);
            assert!(sent.is_ok(), "{sent:?}");
            pair.settle();
        }
        let seconds = start.elapsed().as_secs_f64();
        let segments = pair.segments - segments;
        println!(
            "bulk, super-packets {super_packets}: {:.1} Gbit/s, {:.0} ns a segment of {} bytes",
            pair.bytes as f64 * 8e-9 / seconds,
            seconds * 1e9 / segments as f64,
            pair.bytes / segments,
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn requests() {
    const ROUNDS: u32 = 2_000_000;
    let mut pair = Pair::new(true);
    let listener = pair.listen();
    let ids = pair.open(1000, listener);
    let (start, segments) = (Clock::now(), pair.segments);
    for _ in 0..ROUNDS {
        for (side, id) in ids.into_iter().enumerate() {
            let (now, pool) = (pair.now, &mut pair.pools[side]);
            let sent =
                pair.tcps[side].send_all(now, id, core::iter::once::<&[u8]>(&[1; 64]), false, pool);
            assert_eq!(sent, Ok(64));
            pair.settle();
        }
    }
    let segments = f64::from(ROUNDS) / (pair.segments - segments) as f64;
    let each = start.elapsed().as_nanos() / u128::from(ROUNDS);
    println!(
        "request and answer: {each} ns, {:.2} segments",
        1.0 / segments
    );
}

#[test]
#[ignore = "a measurement"]
fn connections() {
    const ROUNDS: u32 = 300_000;
    let mut pair = Pair::new(true);
    let listener = pair.listen();
    let start = Clock::now();
    for i in 0..ROUNDS {
        let [client, server] = pair.open((i % 60_000) as u16 + 1000, listener);
        for (side, id) in [(0, client), (1, server)] {
            let (now, pool) = (pair.now, &mut pair.pools[side]);
            pair.tcps[side].close(now, id, pool);
            pair.settle();
        }
        pair.now = pair.now + Duration::from_millis(2);
        pair.tcps[0].receive_timeout(pair.now, &mut pair.pools[0]);
    }
    let each = start.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("connection opened and closed, both sides: {each} ns");
}

/// Resident memory in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

#[test]
#[ignore = "a measurement"]
fn idle_connections() {
    const CONNECTIONS: usize = 50_000;
    let mut pair = Pair::new(true);
    let listener = pair.listen();
    let before = resident();
    for i in 0..CONNECTIONS {
        pair.open(i as u16 + 1000, listener);
    }
    let each = (resident() - before) / (2 * CONNECTIONS);
    println!("idle connection: {each} bytes");
    let start = Clock::now();
    for _ in 0..100_000 {
        std::hint::black_box(pair.tcps[0].next_deadline());
    }
    println!("next_deadline: {} ns", start.elapsed().as_nanos() / 100_000);
}
