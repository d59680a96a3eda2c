//! Nothing rests without a reason: two programs of any habits, on a wire that loses nothing and on one that does.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::stack::address::Ipv4Cidr;
use crate::stack::ids::SocketId;
use crate::stack::random::Random;
use crate::stack::routes::{Egress, Route};
use crate::stack::tcp::{Counter, State, TcpOptions};
use crate::stack::time::Instant;
use crate::support::host::{Host, PEER, US, at, hardware};
use crate::support::region::Region;
use crate::support::wire::{Impairment, Wire};

const LO: Ipv4Addr = Ipv4Addr::LOCALHOST;
const REGION_LEN: usize = 16 << 20;
/// A delayed ACK, and another for a segment that Nagle's algorithm kept back until then.
const ACKS: Duration = Duration::from_millis(90);
/// What MSG_MORE and TCP_CORK hold back.
const HELD: Duration = Duration::from_millis(210);
/// The least retransmission timeout, after which a window smaller than a segment is used, and what it varies by.
const PERSIST: Duration = Duration::from_millis(300);
/// Where segments are lost, as many timeouts as a run of losses takes.
const LOSSES: Duration = Duration::from_secs(30);

struct Chance(Random);

impl Chance {
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len())]
    }

    fn percent(&mut self, share: usize) -> bool {
        self.0.below(100) < share
    }

    fn millis(&mut self, most: usize) -> Duration {
        Duration::from_micros(self.0.below(most * 1000) as u64)
    }

    /// One to `most`, small ones as often as large ones.
    fn size(&mut self, most: usize) -> usize {
        let bits = 1 + self.0.below(most.ilog2() as usize + 1);
        1 + self.0.below(1 << bits).min(most - 1)
    }

    fn maybe(&mut self, share: usize, least: usize, most: usize) -> Option<usize> {
        let size = least + self.size(most);
        self.percent(share).then_some(size)
    }

    fn options(&mut self) -> TcpOptions {
        TcpOptions {
            nodelay: self.percent(50),
            cork: self.percent(10),
            quickack: self.of(&[None, Some(true), Some(false)]).into(),
            receive_buffer: self.maybe(50, 1152, 200_000),
            send_buffer: self.maybe(50, 2304, 200_000),
            max_segment: self.maybe(20, 88, 10_000).map(|size| size as u16),
            window_clamp: self.maybe(20, 1152, 100_000).map(|size| size as u32),
            unsent_low_water: self.maybe(10, 0, 100_000).map(|size| size as u32),
            user_timeout: Some(Duration::from_secs(100_000)),
            ..TcpOptions::default()
        }
    }
}

const fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// A program with one end of the connection. It does something once it is told that it can.
struct Program {
    host: usize,
    id: SocketId,
    options: TcpOptions,
    to_send: usize,
    sent: usize,
    received: usize,
    /// Most bytes of a call.
    write: usize,
    read: usize,
    /// Whether it writes only when all that it wrote has arrived.
    waits: bool,
    full: bool,
    more: bool,
    /// Until when what it wrote may be held back.
    held: Instant,
    readable: bool,
    closed: bool,
    ended: bool,
    writes_at: Instant,
    reads_at: Instant,
    changes_at: Instant,
    /// When it last received something, or had less reason to.
    moved: Instant,
}

impl Program {
    fn new(
        host: usize,
        id: SocketId,
        options: TcpOptions,
        now: Instant,
        chance: &mut Chance,
    ) -> Self {
        Self {
            host,
            id,
            options,
            to_send: chance.size(1 << 20),
            sent: 0,
            received: 0,
            write: chance.size(200_000),
            read: chance.size(200_000),
            waits: chance.percent(40),
            full: false,
            more: false,
            held: now,
            readable: true,
            closed: false,
            ended: false,
            writes_at: now,
            reads_at: now,
            changes_at: now + chance.millis(300),
            moved: now,
        }
    }

    /// What it does now; whether that was anything. `arrived` is how much the other has received.
    fn act(&mut self, wire: &mut Wire, told: bool, arrived: usize, chance: &mut Chance) -> bool {
        let now = wire.now;
        let stack = &mut wire.hosts[self.host].stack;
        let Some(progress) = stack.tcp_progress(self.id) else {
            return !core::mem::replace(&mut self.ended, true);
        };
        self.readable |= told;
        self.full &= !(told && progress.writable);
        if self.more || self.options.cork {
            self.held = now + HELD;
        }
        let mut any = false;
        if now >= self.changes_at {
            self.changes_at = now + chance.millis(300);
            self.moved = self.moved.max(now);
            self.change(chance);
            stack.tcp_set_options(now, self.id, &self.options);
            any = true;
        }
        let writes = progress.state != State::SynSent && !self.closed && !self.full;
        if writes && now >= self.writes_at && (!self.waits || arrived == self.sent) {
            self.write(wire, chance);
            any = true;
        }
        if self.readable && now >= self.reads_at {
            self.read(wire, chance);
            any = true;
        }
        any
    }

    fn write(&mut self, wire: &mut Wire, chance: &mut Chance) {
        let (now, stack) = (wire.now, &mut wire.hosts[self.host].stack);
        if self.sent == self.to_send {
            self.closed = stack.tcp_shutdown_write(now, self.id).is_ok();
            return;
        }
        let len = chance.size(self.write).min(self.to_send - self.sent);
        let data: Vec<u8> = (self.sent..self.sent + len).map(byte).collect();
        let more = chance.percent(5);
        let run = core::iter::once(&data[..]);
        let taken = stack.tcp_send_all(now, self.id, run, more).unwrap_or(0);
        self.sent += taken;
        self.full = taken < len;
        self.more = more && !self.full;
        if chance.percent(10) {
            self.writes_at = now + chance.millis(60);
        }
    }

    fn read(&mut self, wire: &mut Wire, chance: &mut Chance) {
        let (now, stack) = (wire.now, &mut wire.hosts[self.host].stack);
        let bytes = stack.tcp_received(self.id);
        let len = bytes.len().min(chance.size(self.read));
        let expected = (self.received..).map(byte);
        assert!(
            bytes[..len].iter().copied().eq(expected.take(len)),
            "other bytes"
        );
        if len == 0 {
            self.readable = false;
            self.ended = stack.tcp_progress(self.id).is_none_or(|now| now.is_last());
            return;
        }
        self.received += len;
        stack.tcp_consume(now, self.id, len);
        if chance.percent(3) {
            self.reads_at = now + chance.millis(400);
        }
        self.moved = self.reads_at.max(now);
    }

    fn change(&mut self, chance: &mut Chance) {
        let drawn = chance.options();
        match chance.0.below(11) {
            0 => self.options.nodelay = drawn.nodelay,
            1 => self.options.cork = drawn.cork,
            2 => self.options.quickack = drawn.quickack,
            3 => self.options.receive_buffer = drawn.receive_buffer,
            4 => self.options.send_buffer = drawn.send_buffer,
            5 => self.options.window_clamp = drawn.window_clamp,
            6 => self.options.unsent_low_water = drawn.unsent_low_water,
            7 => self.write = chance.size(200_000),
            8 => self.read = chance.size(200_000),
            9 => self.waits = chance.percent(40),
            _ => self.options.cork = false,
        }
    }
}

/// Two programs and what is between them.
struct Run {
    wire: Wire,
    programs: [Program; 2],
    chance: Chance,
    delay: Duration,
    lossy: bool,
}

fn loopback() -> Route {
    Route {
        destination: Ipv4Cidr::new(LO, 8),
        gateway: None,
        source: Some(LO),
        mtu: None,
        metric: 0,
        egress: Egress::Local,
    }
}

impl Run {
    fn new(seed: u64, regions: [&'static mut [u8]; 2], lossy: bool) -> Self {
        let mut chance = Chance(Random::new(seed));
        let inside = chance.percent(20);
        let mtu = chance.of(&[68, 296, 576, 1280, 1500, 4000, 9000, 32_000, 65_535]);
        let takes_long = chance.percent(30);
        let [us, peer] = regions;
        let hosts = [(US, us), (PEER, peer)].map(|(address, region)| {
            let mut host = Host::with_config(address, region, |config| {
                config.seed = seed;
                config.mtu = mtu;
                config.super_packets = chance.percent(60);
                config.loopback = inside;
                config.own_address = !inside;
            });
            host.stack.set_takes_long(takes_long);
            if inside {
                host.stack.set_routes(vec![loopback()]);
            }
            for other in [US, PEER] {
                let now = host.now;
                host.stack.learn_neighbor(now, other, hardware(other));
            }
            host
        });
        let delay = Duration::from_micros(chance.of(&[0, 20, 1000, 20_000]));
        let mut share = |most| if lossy { chance.0.below(most) } else { 0 };
        let impairment = Impairment {
            loss: share(100),
            reorder: share(300),
            duplicate: share(100),
            corrupt: 0,
            delay,
        };
        let mut wire = Wire::new(hosts, impairment, seed);
        let kinds: [&[u8]; 6] = [&[], &[], &[3], &[4], &[4, 8], &[2, 3, 4, 8]];
        wire.stripped = chance.of(&kinds);
        let programs = connect(&mut wire, inside, &mut chance);
        Self {
            wire,
            programs,
            chance,
            delay,
            lossy,
        }
    }

    /// All that can be done without time passing.
    fn act(&mut self) {
        loop {
            self.wire.collect();
            let mut any = false;
            let told = self.wire.hosts.each_mut().map(Host::dirty);
            for index in 0..2 {
                let arrived = self.programs[1 - index].received;
                let program = &mut self.programs[index];
                let told = told[program.host].contains(&program.id);
                any |= told | program.act(&mut self.wire, told, arrived, &mut self.chance);
            }
            if !any {
                return;
            }
        }
    }

    /// The next moment at which something can happen.
    fn pass(&mut self) {
        let users = self.programs.iter();
        let users = users.flat_map(|user| [user.writes_at, user.reads_at, user.changes_at]);
        let now = self.wire.now;
        let next = users.filter(|&at| at > now).min();
        let next = next.unwrap_or(now + PERSIST).min(now + PERSIST);
        let mut before = true;
        let something = self
            .wire
            .run(next.since(now), |_| !core::mem::take(&mut before));
        if !something {
            self.wire.pass(next.since(now));
        }
    }

    /// How long what goes to a program may rest.
    fn patience(&self, reader: &Program, writer: &Program) -> Duration {
        if self.lossy {
            return LOSSES;
        }
        let status = |of: &Program| self.wire.hosts[of.host].stack.tcp_status(of.id);
        let (Some(sender), Some(receiver)) = (status(writer), status(reader)) else {
            return ACKS + 6 * self.delay;
        };
        let clamp = reader
            .options
            .window_clamp
            .map_or(usize::MAX, |clamp| clamp as usize);
        let small = receiver.receive_limit.min(clamp) < 3 * sender.mss as usize;
        let persist = if small {
            PERSIST + 4 * sender.srtt
        } else {
            Duration::ZERO
        };
        let held = if self.wire.now < writer.held {
            HELD
        } else {
            Duration::ZERO
        };
        ACKS + held + persist + 6 * self.delay
    }

    /// What goes to the program with this number rests.
    fn rests(&mut self, index: usize) -> bool {
        let (reader, writer) = (&self.programs[index], &self.programs[1 - index]);
        let owed = writer.sent > reader.received;
        let due = owed || writer.full || writer.closed && !reader.ended;
        let now = self.wire.now;
        let rests = due && now > reader.moved + self.patience(reader, writer);
        if !due {
            let moved = &mut self.programs[index].moved;
            *moved = now.max(*moved);
        }
        rests
    }

    fn is_done(&self) -> bool {
        let [first, second] = &self.programs;
        let done = |one: &Program, other: &Program| {
            one.closed && one.ended && one.received == other.to_send
        };
        done(first, second) && done(second, first)
    }

    fn play(mut self, seed: u64) {
        loop {
            self.act();
            for index in 0..2 {
                assert!(
                    !self.rests(index),
                    "seed {seed}: nothing goes to program {index}: {}",
                    self.account()
                );
            }
            if self.is_done() {
                break;
            }
            self.pass();
        }
        for host in &self.wire.hosts {
            let timeouts = host.stack.tcp_counters().get(Counter::Timeouts);
            assert!(
                self.lossy || timeouts == 0,
                "seed {seed}: {timeouts} timeouts: {}",
                self.account()
            );
        }
    }

    fn account(&self) -> String {
        let each = self.programs.each_ref().map(|of| {
            let status = self.wire.hosts[of.host].stack.tcp_status(of.id);
            format!(
                "\n{} of {} sent, {} received, full {}, {:?}\n{status:#?}",
                of.sent, of.to_send, of.received, of.full, of.options
            )
        });
        each.concat()
    }
}

fn connect(wire: &mut Wire, inside: bool, chance: &mut Chance) -> [Program; 2] {
    let (host, from, to) = if inside { (0, LO, LO) } else { (1, US, PEER) };
    let options = [chance.options(), chance.options()];
    let now = wire.now;
    let stack = &mut wire.hosts[host].stack;
    let listener = stack.tcp_listen(at(to, 80), 8, &options[1]).unwrap();
    let stack = &mut wire.hosts[0].stack;
    let client = stack.tcp_connect(now, at(from, 4000), at(to, 80), &options[0]);
    let mut server = None;
    wire.run(LOSSES, |wire| {
        server = wire.hosts[host].stack.tcp_accept(listener);
        server.is_some()
    });
    let ids = [client.unwrap(), server.expect("a connection")];
    let [first, second] = options;
    let now = wire.now;
    [
        Program::new(0, ids[0], first, now, chance),
        Program::new(host, ids[1], second, now, chance),
    ]
}

/// A few hundred each time the tests run; `SEEDS` sets how many.
fn play_seeds(lossy: bool) {
    let seeds = std::env::var("SEEDS").map_or(300, |seeds| seeds.parse().expect("SEEDS: a number"));
    let memory = [(); 2].map(|()| Region::new(REGION_LEN).0);
    for seed in 0..seeds {
        let regions = memory.each_ref().map(Region::again);
        Run::new(seed, regions, lossy).play(seed);
    }
}

#[test]
fn nothing_rests_on_a_good_wire() {
    play_seeds(false);
}

#[test]
fn nothing_rests_for_long_on_a_bad_wire() {
    play_seeds(true);
}
