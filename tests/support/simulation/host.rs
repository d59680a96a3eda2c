//! A stack with a fake clock, and the frames a peer would send it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::stack::Stack;
use crate::stack::address::Ipv4Cidr;
use crate::stack::config::{Config, Congestion, Limits};
use crate::stack::counters::Drop;
use crate::stack::ethernet::{Checksum, Facts};
use crate::stack::ids::SocketId;
use crate::stack::layout::Memory;
use crate::stack::routes::{Egress, Route};
use crate::stack::sink::{NoSink, Sink};
use crate::stack::tcp::Restored;
use crate::stack::time::Instant;
use crate::stack::transmit::Transmit;
use crate::stack::wire::checksum::Sum;
use crate::stack::wire::icmpv4::{self, Kind};
use crate::stack::wire::{Summary, arp, ethernet, ipv4, tcp, udp};

/// The address of the stack under test.
pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// A neighbor of it.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The router of its default route.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
/// A host behind the router.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// The hardware address of a host of the test network.
pub(crate) fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [2, 0, a, b, c, d]
}

/// A stack and its clock.
pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
    pub(crate) address: Ipv4Addr,
}

impl Host {
    /// A stack at `address` whose queues share `pool_len` bytes.
    pub(crate) fn new(address: Ipv4Addr, own_address: bool, pool_len: usize) -> Self {
        let region = Box::leak(vec![0; pool_len].into_boxed_slice());
        Self::with_config(address, region, |config| config.own_address = own_address)
    }

    /// The same, with a region of the caller's and its configuration changed.
    pub(crate) fn with_config(
        address: Ipv4Addr,
        region: &'static mut [u8],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config(address);
        change(&mut config);
        let stack = Stack::new(config, Memory::create(region).expect("room for all"));
        let now = Instant::from_nanos(1_000_000_000_000);
        Self::with_routes(stack, now, address)
    }

    /// A stack that goes on with what another at `address` left in its region.
    pub(crate) fn restored(
        address: Ipv4Addr,
        region: &'static mut [u8],
        now: Instant,
    ) -> (Self, Restored) {
        let memory = Memory::open(region).expect("a memory file");
        let mut config = config(address);
        // Each process makes its own.
        config.secret = config.secret.map(|byte| !byte);
        let (stack, restored) = Stack::restore(config, memory, now);
        (Self::with_routes(stack, now, address), restored)
    }

    fn with_routes(mut stack: Stack, now: Instant, address: Ipv4Addr) -> Self {
        stack.set_addresses(&[Ipv4Cidr::new(address, 24)]);
        stack.set_routes(ways());
        Self {
            stack,
            now,
            address,
        }
    }

    /// The routes are gone.
    pub(crate) fn lose_ways(&mut self) {
        self.stack.set_routes(Vec::new());
    }

    /// They are there again.
    pub(crate) fn find_ways(&mut self) {
        self.stack.set_routes(ways());
    }

    /// The stack of most tests: alone at [`US`], its announcement sent, [`PEER`] known.
    pub(crate) fn own() -> Self {
        Self::settled(true)
    }

    /// The same, sharing [`US`] with the kernel.
    pub(crate) fn shared() -> Self {
        Self::settled(false)
    }

    fn settled(own_address: bool) -> Self {
        let mut host = Self::new(US, own_address, 1 << 20);
        host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
        host.frames();
        host
    }

    /// Takes in a frame whose checksum nobody vouches for.
    pub(crate) fn receive(&mut self, frame: &[u8]) {
        self.receive_into(frame, &mut NoSink);
    }

    /// The same, with a sink.
    pub(crate) fn receive_into(&mut self, frame: &[u8], sink: &mut dyn Sink) {
        self.stack
            .receive_frame(self.now, frame, Facts::plain(Checksum::Verify), sink);
    }

    /// What the stack sends now, cut and summed as the link would.
    pub(crate) fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut out = Transmit::default();
        self.stack.receive_lull();
        while self.stack.poll_transmit(self.now, &mut out) {
            out.complete(&self.stack, |frame| frames.push(frame.to_vec()));
        }
        frames
    }

    /// The same in tcpdump's words, each checked to be right in all its checksums.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let frames = self.frames();
        frames.iter().map(|frame| summarize(frame)).collect()
    }

    /// The sockets whose status may have changed.
    pub(crate) fn dirty(&mut self) -> Vec<SocketId> {
        core::iter::from_fn(|| self.stack.poll_dirty()).collect()
    }

    /// Lets time pass, and what is due happen when it is due.
    pub(crate) fn advance(&mut self, duration: Duration) -> Vec<String> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        while let Some(due) = self.stack.next_deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.stack.receive_timeout(self.now);
            sent.append(&mut self.sent());
        }
        self.now = end;
        sent
    }

    /// How often something was dropped for `reason`.
    pub(crate) fn drops(&self, reason: Drop) -> u64 {
        self.stack.counters().drops(reason)
    }

    /// What arrived on a UDP socket.
    pub(crate) fn received(&mut self, id: SocketId) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let datagram = self.stack.udp_receive(id, &mut buffer)?;
        buffer.truncate(datagram.len);
        Some(buffer)
    }
}

fn config(address: Ipv4Addr) -> Config {
    Config {
        hardware_address: hardware(address),
        mtu: 1500,
        own_address: true,
        loopback: false,
        super_packets: true,
        congestion: Congestion::Cubic,
        limits: Limits::default(),
        secret: [address.octets()[3]; 16],
        seed: u64::from(address.to_bits()),
    }
}

/// To the network of a stack's address, and by a router to all others.
fn ways() -> Vec<Route> {
    vec![
        route(Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0), Some(ROUTER)),
        route(Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 0), 24), None),
    ]
}

/// A route through the stack's interface.
pub(crate) fn route(destination: Ipv4Cidr, gateway: Option<Ipv4Addr>) -> Route {
    Route {
        destination,
        gateway,
        source: None,
        mtu: None,
        metric: 0,
        egress: Egress::Stack,
    }
}

/// A frame in tcpdump's words.
///
/// # Panics
///
/// If a checksum in it is wrong.
pub(crate) fn summarize(frame: &[u8]) -> String {
    assert_checksums(frame);
    Summary(frame).to_string()
}

fn assert_checksums(frame: &[u8]) {
    let (header, header_len) = ethernet::parse(frame).expect("an Ethernet frame");
    if header.ethertype != ethernet::IPV4 {
        return;
    }
    let bytes = &frame[header_len..];
    let (ip, header_len) = ipv4::parse(bytes).expect("an IPv4 packet");
    assert!(ipv4::checksum_ok(bytes, header_len), "IPv4 checksum");
    let payload = &bytes[header_len..];
    let sum = match ip.protocol {
        _ if ip.is_fragment() => return,
        ipv4::ICMP => Sum::default(),
        protocol => Sum::pseudo_header(ip.source, ip.destination, protocol, payload.len()),
    };
    assert_eq!(sum.add(payload).finish(), 0, "transport checksum");
}

/// An Ethernet frame to [`US`].
pub(crate) fn frame(source: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let header = ethernet::Repr {
        destination: hardware(US),
        source,
        ethertype,
    };
    let mut frame = vec![0; ethernet::HEADER_LEN];
    header.emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// An ARP packet in a frame to [`US`].
pub(crate) fn arp(operation: arp::Operation, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let from = if sender.is_unspecified() {
        PEER
    } else {
        sender
    };
    let packet = arp::Repr {
        operation,
        sender_hardware: hardware(from),
        sender,
        target_hardware: hardware(target),
        target,
    };
    let mut bytes = vec![0; arp::LEN];
    packet.emit(&mut bytes);
    frame(hardware(from), ethernet::ARP, &bytes)
}

/// An IPv4 packet in a frame from [`PEER`] to [`US`].
pub(crate) fn packet(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = ipv4::Repr {
        source,
        destination,
        protocol,
        ttl: 61,
        tos: 0,
        id: 7,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        payload_len: payload.len() as u16,
    };
    let mut bytes = vec![0; ipv4::HEADER_LEN];
    header.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    frame(hardware(PEER), ethernet::IPV4, &bytes)
}

/// A UDP datagram in a frame from [`PEER`] to [`US`].
pub(crate) fn datagram(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let bytes = udp_bytes(from, to, data);
    packet(*from.ip(), *to.ip(), ipv4::UDP, &bytes)
}

fn udp_bytes(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Vec<u8> {
    let mut header = udp::Repr {
        source_port: from.port(),
        destination_port: to.port(),
        length: (udp::HEADER_LEN + data.len()) as u16,
        checksum: 0,
    };
    let mut bytes = vec![0; udp::HEADER_LEN];
    header.emit(&mut bytes);
    bytes.extend_from_slice(data);
    let sum = Sum::pseudo_header(*from.ip(), *to.ip(), ipv4::UDP, bytes.len());
    header.checksum = match sum.add(&bytes).finish() {
        0 => 0xffff,
        checksum => checksum,
    };
    header.emit(&mut bytes);
    bytes
}

/// An ICMP message from `source` in a frame from [`PEER`] to [`US`].
pub(crate) fn icmp(source: Ipv4Addr, kind: Kind, code: u8, rest: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; icmpv4::HEADER_LEN];
    icmpv4::Repr { kind, code, rest }.emit(&mut bytes, &[data]);
    bytes.extend_from_slice(data);
    packet(source, US, ipv4::ICMP, &bytes)
}

/// What an ICMP error quotes of `frame`: its IPv4 header and 8 bytes more.
pub(crate) fn quote(frame: &[u8]) -> &[u8] {
    &frame[ethernet::HEADER_LEN..ethernet::HEADER_LEN + ipv4::HEADER_LEN + 8]
}

/// A socket address.
pub(crate) fn at(address: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address, port)
}

/// The header of a SYN from one port to another.
pub(crate) fn syn(source_port: u16, destination_port: u16) -> tcp::Repr {
    tcp::Repr {
        source_port,
        destination_port,
        seq: tcp::Seq(1000),
        flags: tcp::Flags::SYN,
        window: 65_535,
        ..tcp::Repr::default()
    }
}

/// A TCP segment in a frame from [`PEER`] to [`US`].
pub(crate) fn segment(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    header: &tcp::Repr,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; header.header_len()];
    header.emit(&mut bytes);
    bytes.extend_from_slice(data);
    let sum = Sum::pseudo_header(source, destination, ipv4::TCP, bytes.len());
    let checksum = sum.add(&bytes).finish();
    bytes[tcp::CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    packet(source, destination, ipv4::TCP, &bytes)
}
