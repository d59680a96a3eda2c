//! IPv4 (RFC 791, RFC 1122 section 3.2.1): which packets are ours, and the header of those we send.

use core::net::Ipv4Addr;

use super::Stack;
use super::address;
use super::counters::Drop;
use super::error::Error;
use super::ethernet::Arrival;
use super::ip_options::{IpOptions, Problem};
use super::outbox::Frame;
use super::sink::Sink;
use super::time::Instant;
use super::wire::{ethernet, icmpv4, ipv4};

/// Where the transport header is in the frames the stack sends, if their IP header has no options.
pub(super) const TRANSPORT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// Counters of identifications, each shared by the destinations that hash to it.
const IDENTIFICATIONS: usize = 256;

/// A packet for us: its header as read, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) ip: ipv4::Repr,
    /// The header's bytes, with options.
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Stack {
    pub(super) fn receive_ipv4(&mut self, arrival: Arrival, bytes: &[u8], sink: &mut dyn Sink) {
        let Ok((ip, header_len)) = ipv4::parse(bytes) else {
            return self.counters.drop(Drop::Ipv4Malformed);
        };
        if !ipv4::checksum_ok(bytes, header_len) {
            return self.counters.drop(Drop::Ipv4Checksum);
        }
        let broadcast = self.interface.is_broadcast(ip.destination);
        if let Err(reason) = self.check_addresses(&arrival, &ip, broadcast) {
            return self.counters.drop(reason);
        }
        let packet = Packet {
            ip,
            header: &bytes[..header_len],
            payload: &bytes[header_len..header_len + usize::from(ip.payload_len)],
        };
        let arrival = Arrival {
            to_all: arrival.to_all || broadcast,
            ..arrival
        };
        match self.options_of(&packet) {
            // As Linux (accept_source_route): with one, whoever likes can have answers to any source.
            Ok(options) if options.has_source_route() => {
                return self.counters.drop(Drop::Ipv4SourceRoute);
            }
            Ok(_) => {}
            Err(problem) => return self.refuse_options(arrival, &packet, problem),
        }
        match ip.is_fragment() {
            true => self.receive_fragment(arrival, &packet, sink),
            false => self.receive_packet(arrival, &packet, sink),
        }
    }

    /// What a packet's options say here. RFC 1122 section 3.2.1.8: those that are not known are passed over.
    pub(super) fn options_of(&self, packet: &Packet<'_>) -> Result<IpOptions, Problem> {
        let bytes = &packet.header[ipv4::HEADER_LEN..];
        if bytes.is_empty() {
            return Ok(IpOptions::NONE);
        }
        let host = self.host_for(packet.ip.source, packet.ip.destination);
        self.options_received(bytes, host)
    }

    /// What options say that have come to `host`, an address of this one.
    pub(super) fn options_received(
        &self,
        bytes: &[u8],
        host: Ipv4Addr,
    ) -> Result<IpOptions, Problem> {
        IpOptions::received(bytes, host, |at| self.is_elsewhere(at))
    }

    /// What options say that leave from `host`, an address of this one.
    pub(super) fn options_sent(
        &self,
        options: IpOptions,
        host: Ipv4Addr,
    ) -> Result<IpOptions, Error> {
        let sent = options.sent(host, |at| self.is_elsewhere(at));
        sent.map_err(|_| Error::Invalid)
    }

    /// Whether an address is another host's.
    fn is_elsewhere(&self, at: Ipv4Addr) -> bool {
        address::is_unicast(at) && !self.is_local(at) && !self.is_broadcast(at)
    }

    /// RFC 1122 section 3.2.2.5: the sender is told, where no kernel does.
    fn refuse_options(&mut self, arrival: Arrival, packet: &Packet<'_>, Problem(at): Problem) {
        self.counters.drop(Drop::Ipv4Malformed);
        if self.config.own_address || arrival.looped {
            let pointer = (ipv4::HEADER_LEN + at) as u32;
            let error = icmpv4::Repr {
                kind: icmpv4::Kind::ParameterProblem,
                code: 0,
                rest: pointer << 24,
            };
            self.send_icmp_error(arrival, packet, error);
        }
    }

    /// Takes in a packet that is whole.
    pub(super) fn receive_packet(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        sink: &mut dyn Sink,
    ) {
        match packet.ip.protocol {
            ipv4::TCP => self.receive_tcp(arrival, packet, sink),
            ipv4::UDP => self.receive_udp(arrival, packet, sink),
            ipv4::ICMP => self.receive_icmp(arrival, packet),
            _ => self.receive_unknown_protocol(arrival, packet),
        }
    }

    /// RFC 1122 section 3.2.2.1, where no kernel says so.
    fn receive_unknown_protocol(&mut self, arrival: Arrival, packet: &Packet<'_>) {
        self.counters.drop(Drop::Ipv4Protocol);
        if self.config.own_address {
            let error = icmpv4::Repr::unreachable(icmpv4::PROTOCOL_UNREACHABLE);
            self.send_icmp_error(arrival, packet, error);
        }
    }

    /// RFC 1122 section 3.2.1.3: "A host MUST silently discard an incoming datagram containing an
    /// IP source address that is invalid", and one that is not destined for it.
    fn check_addresses(
        &self,
        arrival: &Arrival,
        ip: &ipv4::Repr,
        broadcast: bool,
    ) -> Result<(), Drop> {
        if arrival.looped {
            // Not what a neighbor that claims our hardware address is sent.
            let ours = self.interface.is_local(ip.destination);
            return ours.then_some(()).ok_or(Drop::Ipv4NotOurs);
        }
        if !address::is_unicast(ip.source)
            || self.interface.is_broadcast(ip.source)
            || self.interface.is_ours(ip.source)
        {
            return Err(Drop::Ipv4Martian);
        }
        if broadcast || self.interface.is_ours(ip.destination) {
            return Ok(());
        }
        Err(Drop::Ipv4NotOurs)
    }

    /// Sends `frame`, whose transport header is where the header of `ip` and `options` ends, with that before
    /// it and `payload` behind it. Returns whether there was room.
    pub(super) fn send_ipv4(
        &mut self,
        now: Instant,
        next_hop: Ipv4Addr,
        (ip, options): (&ipv4::Repr, &IpOptions),
        mut frame: Frame,
        payload: &[&[u8]],
    ) -> bool {
        let header = &mut frame.header[ethernet::HEADER_LEN..];
        ip.emit_with(options.as_bytes(), header);
        self.send_frame(now, next_hop, frame, payload)
    }

    /// Sends `payload` behind the header `whole` in fragments for a path that takes `mtu` bytes, in
    /// the frames that `frame_for` makes of a piece's length and whether it is the last. RFC 791
    /// section 3.2: every piece but the last carries a multiple of eight bytes, and not every option is each one's.
    pub(super) fn send_fragments(
        &mut self,
        now: Instant,
        (next_hop, mtu): (Ipv4Addr, usize),
        (whole, options): (&ipv4::Repr, &IpOptions),
        payload: &[u8],
        frame_for: impl Fn(usize, bool) -> Frame,
    ) -> bool {
        let piece_len = (mtu - ipv4::HEADER_LEN - options.as_bytes().len()) & !7;
        let last = (payload.len() - 1) / piece_len;
        let mut pushed = true;
        for (index, piece) in payload.chunks(piece_len).enumerate() {
            let ip = ipv4::Repr {
                more_fragments: index < last,
                fragment_offset: (index * piece_len) as u16,
                payload_len: piece.len() as u16,
                ..*whole
            };
            let options = match index {
                0 => *options,
                _ => options.copied(),
            };
            let frame = frame_for(piece.len(), index == last);
            pushed &= self.send_ipv4(now, next_hop, (&ip, &options), frame, &[piece]);
        }
        pushed
    }

    /// An identification for a packet to `destination`: not one it saw lately (RFC 6864).
    pub(super) fn next_id(&mut self, destination: Ipv4Addr) -> u16 {
        self.identifications.next(destination)
    }
}

/// Identifications of packets sent: a counter for each group of destinations, started and grouped
/// so that a stranger cannot tell from his own what others got (RFC 7739 section 5.3, for IPv4).
#[derive(Debug)]
pub(super) struct Identifications {
    keyed: super::random::Keyed,
    counters: Box<[u16; IDENTIFICATIONS]>,
}

impl Identifications {
    pub(super) fn new(keyed: super::random::Keyed, random: &mut super::random::Random) -> Self {
        let mut counters = Box::new([0; IDENTIFICATIONS]);
        counters.fill_with(|| random.next_u64() as u16);
        Self { keyed, counters }
    }

    fn next(&mut self, destination: Ipv4Addr) -> u16 {
        use core::hash::BuildHasher;
        let group = self.keyed.hash_one(destination) as usize % IDENTIFICATIONS;
        let counter = &mut self.counters[group];
        *counter = counter.wrapping_add(1);
        *counter
    }
}
