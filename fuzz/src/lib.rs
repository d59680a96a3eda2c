//! What a fuzzer's input means: a stack with a few sockets, then a sequence of frames, moments and
//! calls.
//!
//! Each step is a byte that says which, two bytes of length or amount, and for frames that many
//! bytes. Frames can have their addresses and IPv4 checksum made right, so that the fuzzer need
//! not find those out; transport checksums are trusted.

#[allow(
    unfulfilled_lint_expectations,
    reason = "what the library does not use is used here"
)]
#[path = "../../src/stack/mod.rs"]
pub mod stack;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use stack::Stack;
use stack::address::Ipv4Cidr;
use stack::config::{Config, Congestion, Limits};
use stack::error::Error;
use stack::ethernet::{Checksum, Facts};
use stack::ids::SocketId;
use stack::layout::Memory;
use stack::ports::Protocol;
use stack::routes::{Egress, Route};
use stack::sink::NoSink;
use stack::tcp::TcpOptions;
use stack::time::Instant;
use stack::transmit::Transmit;
use stack::udp::UdpOptions;
use stack::wire::checksum;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const POOL_LEN: usize = 1 << 20;

thread_local! {
    /// Used by one run after the other: a pool wants bytes that live for ever.
    static REGION: *mut [u8] = Box::leak(vec![0; POOL_LEN].into_boxed_slice());
}

/// A random input.
pub fn random(seed: u64) -> Vec<u8> {
    let mut random = stack::random::Random::new(seed);
    let len = random.below(4096);
    (0..len).map(|_| random.next_u64() as u8).collect()
}

/// Does what `input` says.
pub fn run(input: &[u8]) {
    // SAFETY: leaked, so it lives for ever, and the stack of this thread's last run was dropped.
    let region = unsafe { &mut *REGION.with(|region| *region) };
    let own_address = input.first().is_some_and(|byte| byte & 1 == 1);
    let mut session = Session::new(own_address, region);
    let mut rest = input.get(1..).unwrap_or_default();
    while let [step, high, low, bytes @ ..] = rest {
        let amount = usize::from(u16::from_be_bytes([*high, *low]));
        rest = session.step(*step, amount, bytes);
    }
    session.drain();
}

struct Session {
    stack: Stack,
    now: Instant,
    udp: SocketId,
    listener: SocketId,
    connections: Vec<SocketId>,
}

impl Session {
    fn new(own_address: bool, region: &'static mut [u8]) -> Self {
        let config = Config {
            hardware_address: HARDWARE,
            mtu: 1500,
            own_address,
            loopback: false,
            super_packets: true,
            congestion: Congestion::Cubic,
            limits: Limits::default(),
            secret: [7; 16],
            seed: 7,
        };
        let mut stack = Stack::new(config, Memory::create(region).expect("room for all"));
        stack.set_addresses(&[Ipv4Cidr::new(US, 24)]);
        stack.set_routes(vec![Route {
            destination: Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0),
            gateway: None,
            source: None,
            mtu: None,
            metric: 0,
            egress: Egress::Stack,
        }]);
        let now = Instant::from_nanos(1_000_000_000);
        stack.learn_neighbor(now, PEER, [2, 0, 0, 0, 0, 2]);
        let local = SocketAddrV4::new(US, 9);
        let udp = stack.udp_open(local, &UdpOptions::default());
        let options = TcpOptions::default();
        let listener = stack.tcp_listen(SocketAddrV4::new(US, 80), 4, &options);
        for port in [9, 80, 4000] {
            stack.set_port_owned(Protocol::Tcp, port, true);
            stack.set_port_owned(Protocol::Udp, port, true);
        }
        let (local, remote) = (SocketAddrV4::new(US, 4000), SocketAddrV4::new(PEER, 80));
        let client = stack.tcp_connect(now, local, remote, &options);
        Self {
            udp: udp.expect("the first socket"),
            listener: listener.expect("the first listener"),
            connections: client.into_iter().collect(),
            stack,
            now,
        }
    }

    /// Does one step and returns what follows it.
    fn step<'a>(&mut self, step: u8, amount: usize, bytes: &'a [u8]) -> &'a [u8] {
        match step % 7 {
            0 => {
                self.now = self.now + Duration::from_millis(amount as u64);
                self.stack.receive_timeout(self.now);
                bytes
            }
            1 => {
                let to = SocketAddrV4::new(PEER, amount as u16);
                let _ = self.stack.udp_send(self.now, self.udp, to, &[&[1; 100]]);
                bytes
            }
            2 => {
                self.drain();
                bytes
            }
            3 => {
                self.call(amount);
                bytes
            }
            kind => {
                let (frame, rest) = bytes.split_at(amount.min(bytes.len()));
                let mut frame = frame.to_vec();
                if kind > 4 {
                    correct(&mut frame);
                }
                // Some of the frames are put together from pieces.
                let facts = Facts {
                    segment: if frame.len().is_multiple_of(3) { 7 } else { 0 },
                    ..Facts::plain(Checksum::Trusted)
                };
                self.stack
                    .receive_frame(self.now, &frame, facts, &mut NoSink);
                rest
            }
        }
    }

    /// A user call on some connection.
    fn call(&mut self, amount: usize) {
        self.connections
            .extend(self.stack.tcp_accept(self.listener));
        let Some(&id) = self.connections.get(amount % self.connections.len().max(1)) else {
            return;
        };
        let now = self.now;
        let result = match amount >> 8 & 7 {
            0 => self.stack.tcp_shutdown_write(now, id),
            1 => {
                self.stack.tcp_close(now, id);
                Ok(())
            }
            2 => {
                self.stack.tcp_abort(now, id);
                Ok(())
            }
            3 => self.stack.tcp_send_urgent(now, id, core::iter::once(&b"!"[..])).map(drop),
            4 | 5 => self
                .stack
                .tcp_send_all(now, id, core::iter::once::<&[u8]>(&[7; 3000]), amount & 1 == 0)
                .map(drop),
            _ => {
                self.stack.tcp_consume(now, id, amount & 0xff);
                Ok(())
            }
        };
        assert_ne!(result, Err(Error::MessageSize), "no error of TCP's");
    }

    fn drain(&mut self) {
        let mut out = Transmit::default();
        self.stack.receive_lull();
        while self.stack.poll_transmit(self.now, &mut out) {
            out.complete(&self.stack, |frame| assert!(frame.len() <= 1514));
        }
        while self.stack.poll_dirty().is_some() {}
        let mut buffer = [0; 64];
        while self.stack.udp_receive(self.udp, &mut buffer).is_some() {}
    }
}

/// Makes the addresses of an IPv4 frame ours and its peer's, and its lengths and checksum right.
fn correct(frame: &mut [u8]) {
    let total_len = frame.len().saturating_sub(14);
    let Some(packet) = frame.get_mut(14..).filter(|packet| packet.len() >= 20) else {
        return;
    };
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(total_len as u16).to_be_bytes());
    packet[6..8].fill(0);
    packet[10..12].fill(0);
    packet[12..16].copy_from_slice(&PEER.octets());
    packet[16..20].copy_from_slice(&US.octets());
    let sum = checksum::of(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    frame[..6].copy_from_slice(&HARDWARE);
    frame[6] = 2;
    frame[12..14].copy_from_slice(&[8, 0]);
}
