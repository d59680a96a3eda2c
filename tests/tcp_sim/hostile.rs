//! Segments no peer would send, at random, into connections in every state: nothing panics, nothing
//! grows, and the bounds hold.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use crate::random::Random;
use crate::stack::config::Limits;
use crate::stack::ids::SocketId;
use crate::stack::layout::Memory;
use crate::stack::pool::Pool;
use crate::stack::tcp::{
    Config, Congestion, IcmpError, IpInfo, PathInfo, SUPER_PAYLOAD, SegmentOut, Tcp, TcpOptions,
};
use crate::stack::time::Instant;
use crate::stack::wire::tcp::{FastOpenCookie, Flags, Repr, SackBlocks, Seq, Timestamps};

const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 80);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const REGION: usize = 8 << 20;

struct Target {
    tcp: Tcp,
    pool: Pool,
    random: Random,
    now: Instant,
    listener: SocketId,
    open: Vec<SocketId>,
    /// The last header we sent: what a forger would build on.
    last: Repr,
    payload: Vec<u8>,
}

impl Target {
    fn new(seed: u64) -> Self {
        let region = Box::leak(vec![0; REGION].into_boxed_slice());
        let memory = Memory::create(region).expect("room for all");
        let config = Config {
            congestion: if seed.is_multiple_of(2) {
                Congestion::Cubic
            } else {
                Congestion::Reno
            },
            super_packets: seed.is_multiple_of(3),
            limits: Limits {
                max_connections: 20,
                max_time_wait: 5,
                fast_open: [3, 0x207][(seed / 2) as usize % 2],
                ..Limits::default()
            },
            secret: [seed as u8; 16],
        };
        let mut tcp = Tcp::new(config, memory.tables);
        let options = TcpOptions {
            keepalive: seed.is_multiple_of(5),
            receive_buffer: seed.is_multiple_of(7).then_some(3000),
            fast_open: (seed % 4) as u32,
            ..TcpOptions::default()
        };
        let listener = tcp.listen(LOCAL, 3, &options).expect("free");
        Self {
            tcp,
            pool: memory.pool,
            random: Random(seed),
            now: Instant::from_nanos(1_000_000_000),
            listener,
            open: Vec::new(),
            last: Repr::default(),
            payload: vec![7; 70_000],
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.next() % 16 {
                0 => self.user_call(),
                1 => self.pass_time(),
                2 => self.icmp(),
                _ => self.segment(),
            }
            self.drain();
            assert!(self.tcp.connections().count() <= 20 && self.tcp.time_wait_len() <= 5);
            assert!(self.pool.used() <= REGION);
        }
    }

    /// A number near `base`, or anywhere.
    fn near(&mut self, base: Seq) -> Seq {
        match self.random.next() % 8 {
            0..=3 => base,
            4 => base + (self.random.next() % 3000) as u32,
            5 => base - (self.random.next() % 3000) as u32,
            6 => base + (self.random.next() % 200_000) as u32,
            _ => Seq(self.random.next() as u32),
        }
    }

    fn segment(&mut self) {
        let last = self.last;
        let flags = match self.random.next() % 8 {
            0 => Flags::SYN,
            1 => Flags::SYN.with(Flags::ACK),
            2 => Flags::FIN.with(Flags::ACK),
            3 if self.random.percent(20) => Flags::RST,
            4 if self.random.percent(20) => Flags(self.random.next() as u16 & 0x1ff),
            _ => Flags::ACK,
        };
        let mut repr = Repr {
            source_port: match self.random.next() % 4 {
                0 => 1000 + (self.random.next() % 8) as u16,
                _ => last.destination_port,
            },
            destination_port: 80,
            seq: self.near(last.ack),
            ack: self.near(last.seq + 1),
            flags,
            window: self.random.next() as u16,
            urgent: self.random.next() as u16,
            ..Repr::default()
        };
        self.add_options(&mut repr, &last);
        let len = match self.random.next() % 4 {
            0 | 1 => 0,
            2 => self.random.next() as usize % 1500,
            _ => self.random.next() as usize % 65_000,
        };
        let ip = IpInfo {
            ttl: 64,
            tos: 0,
            source: PEER,
            destination: *LOCAL.ip(),
            answer_unknown: true,
            opens: true,
            headers: [&[], &[], &[]],
        };
        let take = self.random.percent(50);
        let payload = &self.payload[..len];
        self.tcp.receive_segment(
            self.now,
            &ip,
            &repr,
            payload,
            &mut self.pool,
            &mut |_, data, _| {
                if take { data.len() } else { data.len() / 2 }
            },
        );
    }

    fn add_options(&mut self, repr: &mut Repr, last: &Repr) {
        let random = self.random.next();
        repr.options.mss = random.is_multiple_of(3).then_some((random >> 8) as u16);
        repr.options.window_scale = (random % 5 < 2).then_some((random >> 16) as u8);
        repr.options.sack_permitted = random.is_multiple_of(2);
        repr.options.timestamps = (random % 7 < 4).then_some(Timestamps {
            value: if random % 64 < 56 {
                self.now.as_millis_wrapping()
            } else {
                (random >> 40) as u32 & 0xffff
            },
            echo: last.options.timestamps.map_or(0, |t| t.value),
        });
        let cookie = &self.payload[..2 * (random >> 24) as usize % 20];
        repr.options.fast_open = (random >> 30)
            .is_multiple_of(3)
            .then(|| FastOpenCookie::new(cookie))
            .flatten();
        let mut sack = SackBlocks::default();
        for _ in 0..self.random.next() % 5 {
            let (left, right) = (self.near(last.seq), self.near(last.seq));
            sack.push(left, right);
        }
        repr.options.sack = sack;
    }

    fn user_call(&mut self) {
        if let Some(id) = self.tcp.accept(self.listener) {
            self.open.push(id);
        }
        if self.random.percent(20) {
            let remote = SocketAddrV4::new(PEER, 1000 + (self.random.next() % 8) as u16);
            let options = TcpOptions::default();
            let id = self
                .tcp
                .connect(self.now, LOCAL, remote, &options, &mut self.pool);
            if let Ok(id) = id {
                self.open_fast(id);
                self.open.push(id);
            }
        }
        if self.open.is_empty() {
            return;
        }
        let at = self.random.next() as usize % self.open.len();
        let id = self.open[at];
        let (now, pool) = (self.now, &mut self.pool);
        // What the calls give does not matter; that they survive does.
        match self.random.next() % 8 {
            0 => self.tcp.close(now, self.open.swap_remove(at), pool),
            1 => self.tcp.abort(now, self.open.swap_remove(at), pool),
            2 => {
                let _ = self.tcp.shutdown_write(now, id, pool);
            }
            3 | 4 => {
                let len = self.random.next() as usize % 40_000;
                let (data, more) = (&self.payload[..len], len.is_multiple_of(2));
                let _ = self
                    .tcp
                    .send_all(now, id, core::iter::once::<&[u8]>(data), more, pool);
            }
            5 => {
                let _ = self
                    .tcp
                    .send_urgent(now, id, core::iter::once(&[1, 2, 3][..]), pool);
            }
            _ => {
                let count = self.random.next() as usize % 100_000;
                self.tcp.consume(now, id, count, pool);
            }
        }
    }

    /// Data with a SYN, or a SYN that waits for it.
    fn open_fast(&mut self, id: SocketId) {
        let len = self.random.next() as usize % 3000;
        match self.random.next() % 4 {
            0 => {
                self.tcp.hold_syn(self.now, id);
            }
            1 => {
                let runs = core::iter::once(&self.payload[..len]);
                self.tcp.open_fast(self.now, id, runs, &mut self.pool);
            }
            _ => {}
        }
    }

    fn icmp(&mut self) {
        let seq = self.near(self.last.seq);
        let icmp = IcmpError {
            error: crate::stack::error::Error::HostUnreachable,
            mtu: self.random.percent(50).then_some(self.random.next() as u16),
            local: LOCAL,
            remote: SocketAddrV4::new(PEER, 1000 + (self.random.next() % 8) as u16),
            seq,
        };
        self.tcp.receive_icmp_error(self.now, &icmp, &mut self.pool);
    }

    fn pass_time(&mut self) {
        self.now = self.now + Duration::from_micros(1 << (self.random.next() % 26));
        self.tcp.receive_timeout(self.now, &mut self.pool);
    }

    fn drain(&mut self) {
        let mut out = SegmentOut::default();
        let mtu = if self.random.percent(5) { 576 } else { 1500 };
        let mut path = |_| {
            Some(PathInfo {
                mtu,
                longest: SUPER_PAYLOAD,
            })
        };
        let mut segments = 0;
        if self.random.percent(50) {
            self.tcp.receive_lull();
        }
        while self
            .tcp
            .poll_segment(self.now, &self.pool, &mut path, &mut out)
        {
            let spanned: usize = out.spans().iter().map(|span| span.len).sum();
            assert_eq!(spanned, out.payload_len);
            assert!(out.repr.header_len() + out.payload_len <= 65_535);
            self.last = out.repr;
            segments += 1;
            assert!(
                segments < 5000,
                "endless output: {}",
                out.repr.display(out.payload_len)
            );
        }
        while self.tcp.poll_dirty().is_some() {}
    }
}

#[test]
fn anything_in_any_state() {
    for seed in 0..100 {
        let mut target = Target::new(seed);
        target.run(3000);
        for id in std::mem::take(&mut target.open) {
            target.tcp.abort(target.now, id, &mut target.pool);
        }
        target
            .tcp
            .close(target.now, target.listener, &mut target.pool);
        for _ in 0..200 {
            target.now = target.now + Duration::from_secs(30);
            target.tcp.receive_timeout(target.now, &mut target.pool);
            target.drain();
        }
        assert_eq!(target.tcp.connections().count(), 0, "seed {seed}");
        assert_eq!(target.pool.used(), 0, "seed {seed}: bytes are left behind");
    }
}
