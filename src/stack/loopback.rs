//! Packets to the host itself: they turn round where the link would take them.
//!
//! ```text
//!   poll_transmit ─► poll_frame ─┬─► the link
//!                                └─► turn_round ─► receive_ipv4 ─► queues; answers ─► poll_frame
//! ```
//!
//! 1. A frame that turns round is taken in before the next one is made, so order is kept, nothing
//!    is queued twice, and no call goes deeper.
//! 2. One call of `poll_transmit` turns [`AT_ONCE`] frames at most. If there are more, a deadline
//!    that has passed says so.
//! 3. Its checksum is nobody's concern, and its payload may be as long as IPv4 allows.

use core::net::SocketAddrV4;

use super::Stack;
use super::ethernet::{Arrival, Checksum};
use super::ports::Protocol;
use super::sink::NoSink;
use super::time::Instant;
use super::transmit::Transmit;
use super::wire::ethernet;

/// Frames that turn round in one call: a large window's worth.
const AT_ONCE: usize = 256;

/// The header that the kernel's loopback has: of no station, IPv4.
const LINK: [u8; ethernet::HEADER_LEN] = {
    let [high, low] = ethernet::IPV4.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low]
};

/// How far the turning round has come.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    /// The packet that turns round; kept for its memory.
    packet: Vec<u8>,
    /// Frames since `poll_transmit` was called.
    turned: usize,
}

impl Loopback {
    /// A call of `poll_transmit` begins.
    pub(super) fn begin(&mut self) {
        self.turned = 0;
    }

    /// Whether the call has done its share.
    pub(super) fn is_weary(&self) -> bool {
        self.turned >= AT_ONCE
    }

    /// At once, if the last call left something.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.is_weary().then_some(Instant::from_nanos(0))
    }
}

impl Stack {
    /// Takes in a frame of ours to an address of the host, as a link to ourselves would.
    pub(super) fn turn_round(&mut self, now: Instant, out: &Transmit) {
        self.loopback.turned += 1;
        let mut packet = core::mem::take(&mut self.loopback.packet);
        packet.clear();
        packet.extend_from_slice(&out.header[ethernet::HEADER_LEN..out.header_len]);
        for &span in out.spans.as_slice() {
            packet.extend_from_slice(self.pool.bytes(span));
        }
        let arrival = Arrival {
            now,
            checksum: Checksum::Trusted,
            segment: 0,
            fragment: 0,
            stamp: 0,
            link: LINK,
            to_all: false,
            looped: true,
        };
        self.receive_ipv4(arrival, &packet, &mut NoSink);
        self.loopback.packet = packet;
    }

    /// Whether what is sent to `to`, from `from`, is the stack's to deliver if the kernel could do
    /// it as well: to an address of the host that both of them have, a socket of this stack must
    /// be there. Everything else has only one way.
    pub fn delivers(&self, protocol: Protocol, from: SocketAddrV4, to: SocketAddrV4) -> bool {
        let shared = !(self.config.own_address && self.interface.is_ours(*to.ip()));
        if !shared || !self.interface.is_local(*to.ip()) {
            return true;
        }
        match protocol {
            Protocol::Tcp => self.tcp.has_listener(to, from),
            // One that hears another peer alone refuses, unless there may be others' on its port.
            Protocol::Udp if self.is_port_shared(protocol, to.port()) => self.udp.hears(to, from),
            Protocol::Udp => self.udp.has_socket(to),
        }
    }
}
