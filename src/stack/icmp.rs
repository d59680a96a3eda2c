//! ICMP (RFC 792, RFC 1122 section 3.2.2): errors about our packets, echo, and errors we send.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use super::Stack;
use super::counters::Drop;
use super::error::Error;
use super::ethernet::{Arrival, Checksum};
use super::ip_options::IpOptions;
use super::ipv4::{Packet, TRANSPORT};
use super::outbox::Frame;
use super::reports::{Origin, Report};
use super::routes::RouteDecision;
use super::time::Instant;
use super::wire::icmpv4::{self, Kind, Quote};
use super::wire::{checksum, ipv4, udp};

/// The longest error message as a packet, in bytes (RFC 1812 section 4.3.2.3).
const MAX_ERROR_LEN: usize = 576;

/// How many messages of a kind may be sent: so many at once, and then one an interval.
#[derive(Debug)]
pub(super) struct RateLimit {
    burst: u32,
    interval: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl RateLimit {
    /// Errors: a thousand a second, fifty at once, as Linux's icmp_msgs_per_sec and burst.
    pub(super) const fn errors() -> Self {
        Self {
            burst: 50,
            interval: Duration::from_millis(1),
            full_at: Instant::from_nanos(0),
        }
    }

    /// Echo replies: enough for any ping, too few to be worth a flood.
    pub(super) const fn echo_replies() -> Self {
        Self {
            burst: 1000,
            interval: Duration::from_micros(100),
            full_at: Instant::from_nanos(0),
        }
    }

    fn admits(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        let admitted = full_at.since(now) <= self.interval * self.burst;
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }
}

/// What an ICMP error means for the socket whose packet it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) error: Error,
    /// Whether a connected UDP socket hears of it unasked.
    pub(super) is_fatal: bool,
    /// Longest packet the path takes, in bytes, if that is the trouble.
    pub(super) mtu: Option<usize>,
    /// Who says so.
    pub(super) origin: Origin,
}

impl Trouble {
    /// Nobody answered on the link: as Linux, an ICMP message from ourselves.
    pub(super) const fn unreachable_neighbor(ours: Ipv4Addr) -> Self {
        Self {
            error: Error::HostUnreachable,
            is_fatal: false,
            mtu: None,
            origin: Origin::Icmp {
                offender: ours,
                ttl: 64,
                kind: icmpv4::UNREACHABLE,
                code: icmpv4::HOST_UNREACHABLE,
            },
        }
    }

    /// As Linux maps types and codes; none for those it ignores.
    fn from_message(ip: &ipv4::Repr, message: &icmpv4::Repr, quote: &Quote<'_>) -> Option<Self> {
        let (error, is_fatal) = meaning(message.kind, message.code)?;
        Some(Self {
            error,
            is_fatal,
            mtu: (error == Error::MessageSize).then(|| path_mtu(message, quote)),
            origin: Origin::Icmp {
                offender: ip.source,
                ttl: ip.ttl,
                kind: message.kind.number(),
                code: message.code,
            },
        })
    }

    /// What came by another way than the link; none of what Linux ignores.
    pub(super) fn told(origin: Origin, mtu: usize) -> Option<Self> {
        let Origin::Icmp { kind, code, .. } = origin else {
            return None;
        };
        let (error, is_fatal) = meaning(Kind::from_number(kind), code)?;
        Some(Self {
            error,
            is_fatal,
            mtu: (error == Error::MessageSize).then_some(mtu),
            origin,
        })
    }

    /// It as one of a socket's errors (IP_RECVERR).
    pub(super) fn report(&self, destination: SocketAddrV4, payload: &[u8]) -> Report {
        Report {
            error: self.error,
            origin: self.origin,
            mtu: self.mtu.map_or(0, |mtu| mtu as u32),
            destination,
            payload: payload.to_vec(),
        }
    }
}

/// What a message means, and whether a connected UDP socket hears of it unasked.
fn meaning(kind: Kind, code: u8) -> Option<(Error, bool)> {
    match kind {
        Kind::Unreachable => match code {
            0 | 11 => Some((Error::NetworkUnreachable, false)),
            icmpv4::HOST_UNREACHABLE | 12 => Some((Error::HostUnreachable, false)),
            icmpv4::PROTOCOL_UNREACHABLE => Some((Error::ProtocolUnreachable, true)),
            icmpv4::PORT_UNREACHABLE => Some((Error::ConnectionRefused, true)),
            icmpv4::FRAGMENTATION_NEEDED => Some((Error::MessageSize, true)),
            5 => Some((Error::NotSupported, false)),
            6 | 9 => Some((Error::NetworkUnreachable, true)),
            7 => Some((Error::HostDown, true)),
            8 => Some((Error::NoNetwork, true)),
            10 | 13..=15 => Some((Error::HostUnreachable, true)),
            _ => None,
        },
        Kind::TimeExceeded => Some((Error::HostUnreachable, false)),
        Kind::ParameterProblem => Some((Error::ParameterProblem, true)),
        _ => None,
    }
}

/// The MTU a fragmentation needed message tells, or guesses one below the quoted packet for
/// routers that tell none: RFC 1191 section 7's table of common ones.
fn path_mtu(message: &icmpv4::Repr, quote: &Quote<'_>) -> usize {
    const PLATEAUS: [usize; 10] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];
    match usize::from(message.next_hop_mtu()) {
        0 => {
            let below = |&plateau: &usize| plateau < quote.packet_len;
            PLATEAUS.into_iter().find(below).unwrap_or(68)
        }
        mtu => mtu,
    }
}

/// Whether `packet` is an ICMP message that is not certain to be a question.
fn may_be_error(packet: &Packet<'_>) -> bool {
    let question = |(message, _): (icmpv4::Repr, usize)| message.kind == Kind::EchoRequest;
    packet.ip.protocol == ipv4::ICMP && !icmpv4::parse(packet.payload).is_ok_and(question)
}

impl Stack {
    pub(super) fn receive_icmp(&mut self, arrival: Arrival, packet: &Packet<'_>) {
        let Ok((message, header_len)) = icmpv4::parse(packet.payload) else {
            return self.counters.drop(Drop::IcmpMalformed);
        };
        if arrival.checksum == Checksum::Verify && checksum::of(packet.payload) != 0 {
            return self.counters.drop(Drop::IcmpChecksum);
        }
        let data = &packet.payload[header_len..];
        match message.kind {
            Kind::EchoRequest => self.receive_echo(arrival, packet, &message, data),
            Kind::Unreachable | Kind::TimeExceeded | Kind::ParameterProblem => {
                self.receive_icmp_error(arrival.now, &packet.ip, &message, data);
            }
            Kind::EchoReply | Kind::SourceQuench | Kind::Other(_) => {
                self.counters.drop(Drop::IcmpIgnored);
            }
        }
    }

    fn receive_icmp_error(
        &mut self,
        now: Instant,
        ip: &ipv4::Repr,
        message: &icmpv4::Repr,
        data: &[u8],
    ) {
        let Ok(quote) = icmpv4::parse_quote(data) else {
            return self.counters.drop(Drop::IcmpMalformed);
        };
        if !self.interface.is_local(quote.source) {
            return self.counters.drop(Drop::IcmpUnmatched);
        }
        match Trouble::from_message(ip, message, &quote) {
            Some(trouble) => self.receive_trouble(now, &quote, trouble),
            None => self.counters.drop(Drop::IcmpIgnored),
        }
    }

    /// Tells the socket that sent the quoted packet.
    pub(super) fn receive_trouble(&mut self, now: Instant, quote: &Quote<'_>, trouble: Trouble) {
        let local = SocketAddrV4::new(quote.source, quote.source_port);
        let remote = SocketAddrV4::new(quote.destination, quote.destination_port);
        let matched = match quote.protocol {
            ipv4::UDP => {
                let payload = quote.transport.get(udp::HEADER_LEN..).unwrap_or_default();
                self.udp_receive_trouble(local, remote, &trouble, payload)
            }
            ipv4::TCP => self.tcp_receive_trouble(now, local, remote, &trouble, quote),
            _ => false,
        };
        match trouble.mtu {
            _ if !matched => self.counters.drop(Drop::IcmpUnmatched),
            Some(mtu) => self.interface.path_mtus.learn(now, *remote.ip(), mtu),
            None => {}
        }
    }

    /// RFC 1122 section 3.2.2.6: same data, source and destination exchanged. Echo requests to
    /// all are not answered, as Linux has it (icmp_echo_ignore_broadcasts).
    fn receive_echo(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        request: &icmpv4::Repr,
        data: &[u8],
    ) {
        if !self.config.own_address || arrival.to_all {
            return self.counters.drop(Drop::IcmpIgnored);
        }
        if !self.echo_replies.admits(arrival.now) {
            return self.counters.drop(Drop::IcmpRateLimited);
        }
        let reply = icmpv4::Repr {
            kind: Kind::EchoReply,
            ..*request
        };
        self.send_icmp(arrival.now, &packet.ip, reply, &[data]);
    }

    /// Says what became of `packet`, which may be the first fragment of one. RFC 1122 section 3.2.2:
    /// never about what was sent to all, a later fragment, nor an ICMP error.
    pub(super) fn send_icmp_error(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        error: icmpv4::Repr,
    ) {
        if arrival.to_all || packet.ip.fragment_offset != 0 || may_be_error(packet) {
            return;
        }
        // As Linux: no limit within the host.
        if !arrival.looped && !self.icmp_errors.admits(arrival.now) {
            return self.counters.drop(Drop::IcmpRateLimited);
        }
        let room = MAX_ERROR_LEN - ipv4::HEADER_LEN - icmpv4::HEADER_LEN - packet.header.len();
        let quoted = &packet.payload[..packet.payload.len().min(room)];
        self.send_icmp(arrival.now, &packet.ip, error, &[packet.header, quoted]);
    }

    /// Sends a message to the source of `cause`, from the address that was sent to.
    fn send_icmp(
        &mut self,
        now: Instant,
        cause: &ipv4::Repr,
        message: icmpv4::Repr,
        data: &[&[u8]],
    ) {
        let destination = cause.source;
        let RouteDecision::Stack { next_hop, mtu, .. } = self.interface.route(destination) else {
            return self.counters.drop(Drop::NoRoute);
        };
        let len = icmpv4::HEADER_LEN + data.iter().map(|piece| piece.len()).sum::<usize>();
        let ip = self.icmp_header(cause.destination, destination, len);
        let header = (&ip, &IpOptions::NONE);
        if ipv4::HEADER_LEN + len > mtu {
            let mut bytes = vec![0; icmpv4::HEADER_LEN];
            bytes.extend(data.concat());
            message.emit(&mut bytes, data);
            let frame = |_, _| Frame::new(TRANSPORT);
            self.send_fragments(now, (next_hop, mtu), header, &bytes, frame);
            return;
        }
        let mut frame = Frame::new(TRANSPORT + icmpv4::HEADER_LEN);
        message.emit(&mut frame.header[TRANSPORT..], data);
        self.send_ipv4(now, next_hop, header, frame, data);
    }

    fn icmp_header(&mut self, source: Ipv4Addr, destination: Ipv4Addr, len: usize) -> ipv4::Repr {
        ipv4::Repr {
            source,
            destination,
            protocol: ipv4::ICMP,
            ttl: 64,
            tos: 0,
            id: self.next_id(destination),
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            payload_len: len as u16,
        }
    }
}
