//! The border between IP and TCP: segments up, segments down.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::Stack;
use super::counters::Drop;
use super::ethernet::{Arrival, Checksum};
use super::icmp::Trouble;
use super::ipv4::{Packet, TRANSPORT};
use super::neighbor::Waiting;
use super::outbox::Frame;
use super::ports::Protocol;
use super::routes::RouteDecision;
use super::sink::Sink;
use super::tcp::{IcmpError, IpInfo, PathInfo, SegmentOut};
use super::time::Instant;
use super::transmit::{Gso, Offload, Transmit};
use super::wire::checksum::Sum;
use super::wire::icmpv4::Quote;
use super::wire::tcp::Seq;
use super::wire::{ethernet, ipv4, tcp};

/// What came of asking TCP for a segment.
pub(super) enum Segment {
    /// It has none.
    None,
    /// It waits for its neighbor to answer.
    Held,
    /// It is a frame.
    Ready,
}

impl Stack {
    pub(super) fn receive_tcp(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        sink: &mut dyn Sink,
    ) {
        let Ok((segment, header_len)) = tcp::parse(packet.payload) else {
            return self.counters.drop(Drop::TcpMalformed);
        };
        // RFC 9293 section 3.9.2.3, MUST-57: never from or to more than one.
        if arrival.to_all {
            return self.counters.drop(Drop::TcpBroadcast);
        }
        if !self.may_receive(&arrival, Protocol::Tcp, segment.destination_port) {
            return self.counters.drop(Drop::PortNotOwned);
        }
        if arrival.checksum == Checksum::Verify && !checksum_ok(packet) {
            return self.counters.drop(Drop::TcpChecksum);
        }
        let local = SocketAddrV4::new(packet.ip.destination, segment.destination_port);
        let remote = SocketAddrV4::new(packet.ip.source, segment.source_port);
        let shared = &self.shared_ports;
        let ip = IpInfo {
            ttl: packet.ip.ttl,
            tos: packet.ip.tos,
            source: packet.ip.source,
            destination: packet.ip.destination,
            answer_unknown: arrival.looped || shared.answers(Protocol::Tcp, local.port()),
            opens: arrival.looped
                || !segment.flags.contains(tcp::Flags::SYN)
                || shared.takes(Protocol::Tcp, local, remote),
            headers: [&arrival.link, packet.header, &packet.payload[..header_len]],
        };
        self.tcp.receive_segment(
            arrival.now,
            &ip,
            &segment,
            &packet.payload[header_len..],
            &mut self.pool,
            &mut |id, data, passing| sink.deliver(id, data, passing),
        );
    }

    /// Takes in what an ICMP error says about a segment from `local` to `remote` with sequence
    /// number `seq`. Returns whether there is a connection that may have sent it.
    pub(super) fn tcp_receive_trouble(
        &mut self,
        now: Instant,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        trouble: &Trouble,
        quote: &Quote<'_>,
    ) -> bool {
        let error = IcmpError {
            error: trouble.error,
            mtu: trouble
                .mtu
                .map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX)),
            local,
            remote,
            seq: Seq(quote.seq),
        };
        // As on Linux, a connection that is there has an error, but no entry in its queue.
        let attempt = self.tcp.attempt(local, remote);
        let believed = self.tcp.receive_icmp_error(now, &error, &mut self.pool);
        if let Some(id) = attempt.filter(|_| believed && error.mtu.is_none()) {
            let report = trouble.report(remote, quote.transport);
            self.reports.push(id, report);
        }
        believed
    }

    /// Fills `out` with the next segment in a frame. Those whose neighbor is not known yet wait
    /// for it.
    pub(super) fn poll_tcp(&mut self, now: Instant, out: &mut Transmit) -> Segment {
        while let Some(route) = self.poll_segment(now) {
            let RouteDecision::Stack { next_hop, .. } = route else {
                self.counters.drop(Drop::NoRoute);
                continue;
            };
            write_segment(&self.segment, out);
            if let Some(hardware) = self.resolve(now, next_hop) {
                self.write_ethernet(&mut out.header, hardware, ethernet::IPV4);
                return Segment::Ready;
            }
            self.hold_segment(next_hop, out);
            return Segment::Held;
        }
        Segment::None
    }

    /// Takes the next segment into `self.segment` and returns where it goes.
    fn poll_segment(&mut self, now: Instant) -> Option<RouteDecision> {
        let (interface, neighbors) = (&self.interface, &self.neighbors);
        let mut asked: Option<(Ipv4Addr, RouteDecision)> = None;
        let mut path = |remote| {
            let route = interface.route(remote);
            asked = Some((remote, route));
            match route {
                RouteDecision::Stack { next_hop, mtu, .. } => {
                    let longest = interface.longest_segment(mtu);
                    Some(PathInfo {
                        // No packet is longer than IPv4 allows, whatever the path would take.
                        mtu: mtu.min(ipv4::MAX_LEN),
                        longest: longest.min(neighbors.segment_room(next_hop, mtu)?),
                    })
                }
                RouteDecision::Kernel | RouteDecision::Unreachable => None,
            }
        };
        let segment = &mut self.segment;
        if !self.tcp.poll_segment(now, &self.pool, &mut path, segment) {
            return None;
        }
        // Replies that belong to no connection leave without asking.
        let remote = *segment.remote.ip();
        match asked {
            Some((asked, route)) if asked == remote => Some(route),
            _ => Some(interface.route(remote)),
        }
    }

    /// Keeps a copy of the frame until its neighbor answers.
    fn hold_segment(&mut self, next_hop: Ipv4Addr, out: &Transmit) {
        let spans = out.spans.as_slice().iter();
        let payload: Vec<&[u8]> = spans.map(|&span| self.pool.bytes(span)).collect();
        let waiting = Waiting {
            frame: Frame {
                header: out.header,
                header_len: out.header_len,
                offload: out.offload,
                treatment: out.treatment,
                owner: None,
                stamped: None,
            },
            payload: payload.concat().into_boxed_slice(),
        };
        self.hold(next_hop, waiting);
    }
}

fn checksum_ok(packet: &Packet<'_>) -> bool {
    let (ip, bytes) = (&packet.ip, packet.payload);
    let sum = Sum::pseudo_header(ip.source, ip.destination, ipv4::TCP, bytes.len());
    sum.add(bytes).finish() == 0
}

/// Makes a frame of a segment, complete but for the Ethernet header.
fn write_segment(segment: &SegmentOut, out: &mut Transmit) {
    let (source, destination) = (*segment.local.ip(), *segment.remote.ip());
    let header_len = segment.repr.header_len();
    let len = header_len + segment.payload_len;
    let ip = ipv4::Repr {
        source,
        destination,
        protocol: ipv4::TCP,
        ttl: segment.ttl,
        tos: segment.tos,
        // Any will do with DF (RFC 6864 section 4.1). This one tells nothing about other flows,
        // and differs between the segments of one where a box on the way clears DF.
        id: segment.repr.seq.0 as u16,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        payload_len: u16::try_from(len).unwrap_or(u16::MAX),
    };
    ip.emit(&mut out.header[ethernet::HEADER_LEN..]);
    let transport = &mut out.header[TRANSPORT..TRANSPORT + header_len];
    segment.repr.emit(transport);
    let pseudo = Sum::pseudo_header(source, destination, ipv4::TCP, len);
    transport[tcp::CHECKSUM].copy_from_slice(&pseudo.folded().to_be_bytes());
    out.header_len = TRANSPORT + header_len;
    out.treatment = segment.treatment;
    out.spans.clear();
    for &span in segment.spans() {
        out.spans.push(span);
    }
    out.offload = Some(Offload {
        checksum_start: TRANSPORT as u16,
        checksum_offset: tcp::CHECKSUM.start as u16,
        gso: (segment.gso_size > 0).then_some(Gso {
            size: segment.gso_size,
            header_len: out.header_len as u16,
        }),
    });
}
