//! A simulated Ethernet between two stacks. The same seed makes the same run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::host::{Host, hardware};
use crate::stack::random::Random;
use crate::stack::time::Instant;
use crate::stack::transmit::Transmit;
use crate::stack::wire::checksum::Sum;
use crate::stack::wire::{ethernet, ipv4, tcp};

/// What happens to frames on their way. Shares are of a thousand frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Impairment {
    /// Frames that get lost.
    pub(crate) loss: usize,
    /// Frames that take a detour of up to four times the delay.
    pub(crate) reorder: usize,
    /// Frames that arrive twice.
    pub(crate) duplicate: usize,
    /// Frames in which a bit changes behind the Ethernet header. ARP is spared: it has no checksum
    /// but the frame's.
    pub(crate) corrupt: usize,
    /// Time every frame takes.
    pub(crate) delay: Duration,
}

/// A frame under way: when it arrives, a number that keeps the order, to which host.
type Flying = Reverse<(Instant, u64, usize, Vec<u8>)>;

/// Two hosts and what flies between them.
pub(crate) struct Wire {
    pub(crate) hosts: [Host; 2],
    pub(crate) now: Instant,
    /// Frames sent, lost ones included.
    pub(crate) frames: u64,
    /// Kinds of TCP options that no SYN keeps on its way.
    pub(crate) stripped: &'static [u8],
    impairment: Impairment,
    random: Random,
    flying: BinaryHeap<Flying>,
    launched: u64,
}

impl Impairment {
    /// A wire no one would keep: a fifth is lost, a fifth late, a tenth twice, one in fifty spoilt.
    pub(crate) const HARSH: Self = Self {
        loss: 200,
        reorder: 200,
        duplicate: 100,
        corrupt: 20,
        delay: Duration::from_millis(5),
    };
}

impl Wire {
    pub(crate) fn new(hosts: [Host; 2], impairment: Impairment, seed: u64) -> Self {
        Self {
            now: hosts[0].now,
            hosts,
            frames: 0,
            stripped: &[],
            impairment,
            random: Random::new(seed),
            flying: BinaryHeap::new(),
            launched: 0,
        }
    }

    /// Lets time pass until `done`, asked after every step, is true. Returns whether it became so
    /// within `limit`.
    pub(crate) fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.collect();
            if done(self) {
                return true;
            }
            self.collect();
            let Some(next) = self.next_event().filter(|&next| next <= end) else {
                return false;
            };
            self.now = self.now.max(next);
            self.deliver();
            for host in &mut self.hosts {
                host.now = self.now;
                host.stack.receive_timeout(self.now);
            }
        }
    }

    /// Lets `duration` pass.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run(duration, |_| false);
        self.now = end;
        for host in &mut self.hosts {
            host.now = end;
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.flying.peek().map(|Reverse((due, ..))| *due);
        let deadlines = self.hosts.iter().map(|host| host.stack.next_deadline());
        deadlines.chain([arrival]).flatten().min()
    }

    /// What the hosts send now flies.
    pub(crate) fn collect(&mut self) {
        let mut sent = Vec::new();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            let mut out = Transmit::default();
            host.stack.receive_lull();
            while host.stack.poll_transmit(self.now, &mut out) {
                out.complete(&host.stack, |frame| sent.push((1 - index, frame.to_vec())));
            }
        }
        for (to, frame) in sent {
            self.send(to, frame);
        }
    }

    fn deliver(&mut self) {
        while self
            .flying
            .peek()
            .is_some_and(|Reverse((due, ..))| *due <= self.now)
        {
            if let Some(Reverse((_, _, to, frame))) = self.flying.pop() {
                let host = &mut self.hosts[to];
                host.now = self.now;
                host.receive(&frame);
            }
        }
    }

    fn send(&mut self, to: usize, mut frame: Vec<u8>) {
        self.frames += 1;
        strip(&mut frame, self.stripped);
        let destination: [u8; 6] = frame[..6].try_into().expect("a whole frame");
        let for_host = destination == hardware(self.hosts[to].address);
        if !for_host && destination != ethernet::BROADCAST || self.happens(self.impairment.loss) {
            return;
        }
        if self.happens(self.impairment.duplicate) {
            self.launch(to, frame.clone());
        }
        let is_arp = frame[12..14] == ethernet::ARP.to_be_bytes();
        if !is_arp && self.happens(self.impairment.corrupt) {
            let byte = ethernet::HEADER_LEN + self.random.below(frame.len() - ethernet::HEADER_LEN);
            frame[byte] ^= 1 << self.random.below(8);
        }
        self.launch(to, frame);
    }

    fn launch(&mut self, to: usize, frame: Vec<u8>) {
        let mut due = self.now + self.impairment.delay;
        if self.happens(self.impairment.reorder) {
            let detour = 4 * self.impairment.delay.as_nanos() as usize;
            due = due + Duration::from_nanos(self.random.below(detour) as u64);
        }
        self.launched += 1;
        self.flying.push(Reverse((due, self.launched, to, frame)));
    }

    fn happens(&mut self, share: usize) -> bool {
        share > 0 && self.random.below(1000) < share
    }
}

/// Takes the options of these `kinds` off a SYN.
fn strip(frame: &mut [u8], kinds: &[u8]) {
    const TCP: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    let is_tcp = frame.len() >= TCP + 20 && frame[ethernet::HEADER_LEN + 9] == ipv4::TCP;
    if kinds.is_empty() || !is_tcp || frame[TCP + 13] & 2 == 0 {
        return;
    }
    let end = TCP + usize::from(frame[TCP + 12] >> 4) * 4;
    let mut at = TCP + 20;
    while at < end && frame[at] != 0 {
        let len = if frame[at] == 1 {
            1
        } else {
            usize::from(frame[at + 1])
        };
        if kinds.contains(&frame[at]) {
            frame[at..at + len].fill(1);
        }
        at += len;
    }
    let (ip, _) = ipv4::parse(&frame[ethernet::HEADER_LEN..]).expect("an IPv4 packet");
    let segment = &mut frame[TCP..];
    segment[tcp::CHECKSUM].fill(0);
    let sum = Sum::pseudo_header(ip.source, ip.destination, ipv4::TCP, segment.len());
    let checksum = sum.add(segment).finish();
    segment[tcp::CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
}
