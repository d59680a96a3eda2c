//! Reassembly of fragments (RFC 791 section 3.2, RFC 815, RFC 1122 section 3.3.2).
//!
//! ```text
//!   receive_ipv4 ─► receive_fragment ─► datagram by (source, destination, protocol, identification)
//!                                          │ whole ─────► receive_packet, as one that came whole
//!                                          │ broken ────► dropped, with all its pieces
//!                                          └ too old ───► dropped; time exceeded, with an own address
//! ```
//!
//! As Linux has it, and as RFC 5722 says why:
//!
//! 1. A piece that overlaps others, or contradicts them about the length, drops the datagram: who
//!    overlaps wants one to be read that others did not see. One that lies within what came is nothing.
//! 2. All pieces together may take [`Limits::fragment_memory`], their overhead counted, so that it
//!    bounds their number, too. Beyond it the oldest datagram goes, and not, as on Linux, the newest:
//!    of a shared address, other programs' fragments arrive here as well, without their first piece
//!    (that one has ports for the packet socket's filter). They never become whole, and must
//!    not keep ours out.
//! 3. All have the same time, so the oldest is the first to expire.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

use super::Stack;
use super::config::Limits;
use super::counters::Drop;
use super::ethernet::{Arrival, Checksum};
use super::ipv4::Packet;
use super::random::Keyed;
use super::sink::Sink;
use super::time::Instant;
use super::udp::OVERHEAD;
use super::wire::{icmpv4, ipv4};

/// What the pieces of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    id: u16,
}

impl Key {
    const fn of(ip: &ipv4::Repr) -> Self {
        Self {
            source: ip.source,
            destination: ip.destination,
            protocol: ip.protocol,
            id: ip.id,
        }
    }
}

/// Pieces that no datagram has.
#[derive(Debug)]
struct Broken;

/// The header of the first piece, which becomes the datagram's.
#[derive(Debug)]
struct Head {
    ip: ipv4::Repr,
    header: Box<[u8]>,
}

/// A datagram that is whole.
#[derive(Debug)]
struct Whole {
    arrival: Arrival,
    head: Head,
    payload: Vec<u8>,
}

/// A datagram of which pieces came.
#[derive(Debug)]
struct Datagram {
    key: Key,
    expires: Instant,
    /// Of the piece that came last; to all if one of them was.
    arrival: Arrival,
    head: Option<Head>,
    /// By offset. None is empty, none overlaps another.
    pieces: BTreeMap<u16, Box<[u8]>>,
    /// Bytes in them.
    received: usize,
    /// Where the furthest of them ends.
    end: usize,
    /// Whether the last piece came, so that `end` is the datagram's.
    is_end_known: bool,
    /// A bit for each ECN codepoint that came.
    ecn: u8,
}

impl Datagram {
    fn new(key: Key, expires: Instant, arrival: Arrival) -> Self {
        Self {
            key,
            expires,
            arrival,
            head: None,
            pieces: BTreeMap::new(),
            received: 0,
            end: 0,
            is_end_known: false,
            ecn: 0,
        }
    }

    /// The memory it takes.
    fn charge(&self) -> usize {
        self.received + (1 + self.pieces.len()) * OVERHEAD
    }

    fn is_whole(&self) -> bool {
        self.is_end_known && self.received == self.end
    }

    fn receive(&mut self, arrival: Arrival, packet: &Packet<'_>) -> Result<(), Broken> {
        let ip = &packet.ip;
        let offset = ip.fragment_offset;
        let end = usize::from(offset) + packet.payload.len();
        self.check_length(end, packet)?;
        self.is_end_known |= !ip.more_fragments;
        if self.covers(offset, end) {
            return Ok(());
        }
        self.check_overlap(offset, end)?;
        self.end = self.end.max(end);
        self.received += packet.payload.len();
        self.ecn |= 1 << (ip.tos & ipv4::ECN);
        let len = packet.header.len() + packet.payload.len();
        self.arrival = Arrival {
            to_all: arrival.to_all || self.arrival.to_all,
            fragment: self.arrival.fragment.max(len as u16),
            ..arrival
        };
        if offset == 0 {
            self.head = Some(Head {
                ip: *ip,
                header: packet.header.into(),
            });
        }
        self.pieces.insert(offset, packet.payload.into());
        Ok(())
    }

    /// Whether all from `offset` to `end` has come.
    fn covers(&self, offset: u16, end: usize) -> bool {
        let first = self.pieces.range(..=offset).next_back();
        let start = first.map_or(offset, |(&start, _)| start);
        let mut covered = usize::from(offset);
        for (&at, piece) in self.pieces.range(start..) {
            if usize::from(at) > covered {
                break;
            }
            covered = covered.max(usize::from(at) + piece.len());
        }
        covered >= end
    }

    fn check_length(&self, end: usize, packet: &Packet<'_>) -> Result<(), Broken> {
        let len = packet.payload.len();
        let is_last = !packet.ip.more_fragments;
        let well_formed = len > 0
            && (is_last || len.is_multiple_of(8))
            && packet.header.len() + end <= ipv4::MAX_LEN;
        let beyond = match is_last {
            true => end < self.end || (self.is_end_known && end != self.end),
            false => self.is_end_known && end > self.end,
        };
        (well_formed && !beyond).then_some(()).ok_or(Broken)
    }

    fn check_overlap(&self, offset: u16, end: usize) -> Result<(), Broken> {
        let before = self.pieces.range(..=offset).next_back();
        let overlaps_before =
            before.is_some_and(|(&at, piece)| usize::from(at) + piece.len() > usize::from(offset));
        let after = self.pieces.range(offset..).next();
        let overlaps_after = after.is_some_and(|(&at, _)| usize::from(at) < end);
        (!overlaps_before && !overlaps_after)
            .then_some(())
            .ok_or(Broken)
    }

    /// The whole of it. Its pieces are all there.
    fn join(self) -> Result<Whole, Broken> {
        let mut head = self.head.ok_or(Broken)?;
        if head.header.len() + self.end > ipv4::MAX_LEN {
            return Err(Broken);
        }
        head.ip = ipv4::Repr {
            tos: joined_tos(head.ip.tos, self.ecn)?,
            more_fragments: false,
            dont_fragment: false,
            payload_len: self.end as u16,
            ..head.ip
        };
        head.ip.rewrite(&mut head.header);
        let mut payload = Vec::with_capacity(self.end);
        for piece in self.pieces.values() {
            payload.extend_from_slice(piece);
        }
        // What vouches for a piece's checksum does not for the sum of all.
        let arrival = Arrival {
            checksum: Checksum::Verify,
            ..self.arrival
        };
        Ok(Whole {
            arrival,
            head,
            payload,
        })
    }
}

/// RFC 3168 section 5.3: one piece that met congestion says so for all, and those of a sender
/// without ECN cannot have.
fn joined_tos(tos: u8, ecn: u8) -> Result<u8, Broken> {
    let has = |codepoint: u8| ecn & 1 << codepoint != 0;
    match (has(ipv4::ECN), has(0)) {
        (false, _) => Ok(tos),
        (true, false) => Ok(tos | ipv4::ECN),
        (true, true) => Err(Broken),
    }
}

/// The datagrams that are not whole yet.
#[derive(Debug)]
pub(super) struct Reassembly {
    lifetime: Duration,
    most: usize,
    /// Memory that the datagrams take.
    used: usize,
    /// By age: their numbers grow.
    datagrams: BTreeMap<u64, Datagram>,
    numbers: HashMap<Key, u64, Keyed>,
    next_number: u64,
}

impl Reassembly {
    pub(super) fn new(limits: &Limits, keyed: Keyed) -> Self {
        Self {
            lifetime: limits.fragment_lifetime,
            most: limits.fragment_memory,
            used: 0,
            datagrams: BTreeMap::new(),
            numbers: HashMap::with_hasher(keyed),
            next_number: 0,
        }
    }

    /// Takes in a piece; gives the datagram if that makes it whole.
    fn receive(&mut self, arrival: Arrival, packet: &Packet<'_>) -> Result<Option<Whole>, Broken> {
        let number = self.number_of(arrival, Key::of(&packet.ip));
        let Some(datagram) = self.datagrams.get_mut(&number) else {
            return Err(Broken);
        };
        let before = datagram.charge();
        let received = datagram.receive(arrival, packet);
        self.used += datagram.charge() - before;
        if received.is_ok() && !datagram.is_whole() {
            return Ok(None);
        }
        let datagram = self.remove(number).ok_or(Broken)?;
        received.and_then(|()| datagram.join()).map(Some)
    }

    /// The number of the datagram with `key`, which may be new.
    fn number_of(&mut self, arrival: Arrival, key: Key) -> u64 {
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let number = self.next_number;
        self.next_number += 1;
        let datagram = Datagram::new(key, arrival.now + self.lifetime, arrival);
        self.used += datagram.charge();
        self.datagrams.insert(number, datagram);
        self.numbers.insert(key, number);
        number
    }

    fn remove(&mut self, number: u64) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&number)?;
        self.numbers.remove(&datagram.key);
        self.used -= datagram.charge();
        Some(datagram)
    }

    /// Drops the oldest until there is no more than may be. Returns how many.
    fn evict(&mut self) -> u64 {
        let mut evicted = 0;
        while self.used > self.most
            && let Some((&oldest, _)) = self.datagrams.first_key_value()
        {
            self.remove(oldest);
            evicted += 1;
        }
        evicted
    }

    /// A datagram whose time is up.
    fn take_expired(&mut self, now: Instant) -> Option<Datagram> {
        let (&oldest, datagram) = self.datagrams.first_key_value()?;
        match datagram.expires <= now {
            true => self.remove(oldest),
            false => None,
        }
    }

    /// When the first datagram's time is up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.datagrams.first_key_value()?;
        Some(oldest.expires)
    }
}

impl Stack {
    /// Takes in a piece of a datagram, and the datagram if that was the last to come.
    pub(super) fn receive_fragment(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        sink: &mut dyn Sink,
    ) {
        match self.reassembly.receive(arrival, packet) {
            Ok(None) => {
                let evicted = self.reassembly.evict();
                self.counters.add(Drop::Ipv4ReassemblyFull, evicted);
            }
            Ok(Some(whole)) => {
                self.counters.ipv4_reassembled += 1;
                let packet = Packet {
                    ip: whole.head.ip,
                    header: &whole.head.header,
                    payload: &whole.payload,
                };
                self.receive_packet(whole.arrival, &packet, sink);
            }
            Err(Broken) => self.counters.drop(Drop::Ipv4ReassemblyFailed),
        }
    }

    /// Drops the datagrams whose time is up. RFC 1122 section 3.3.2: their senders are told, if the
    /// first piece came and no kernel tells them.
    pub(super) fn expire_fragments(&mut self, now: Instant) {
        while let Some(datagram) = self.reassembly.take_expired(now) {
            let (Some(head), Some(first)) = (&datagram.head, datagram.pieces.get(&0)) else {
                self.counters.drop(Drop::Ipv4ReassemblyHeadless);
                continue;
            };
            self.counters.drop(Drop::Ipv4ReassemblyExpired);
            if !self.config.own_address {
                continue;
            }
            let packet = Packet {
                ip: head.ip,
                header: &head.header,
                payload: first,
            };
            let arrival = Arrival {
                now,
                ..datagram.arrival
            };
            let error = icmpv4::Repr {
                kind: icmpv4::Kind::TimeExceeded,
                code: icmpv4::REASSEMBLY_TIME,
                rest: 0,
            };
            self.send_icmp_error(arrival, &packet, error);
        }
    }
}
