//! Frames in and out: what the link gives is checked and handed up, what the stack sends gets the
//! neighbor's hardware address, or waits for it.

use core::net::Ipv4Addr;

use super::Stack;
use super::counters::Drop;
use super::neighbor::{self, Request};
use super::outbox::Frame;
use super::segments::Segment;
use super::sink::Sink;
use super::time::Instant;
use super::transmit::{Transmit, Treatment};
use super::wire::{arp, ethernet};

/// Who vouches for the transport checksum of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nobody: it must be verified.
    Verify,
    /// The kernel or the hardware verified it, or it never crossed a wire.
    Trusted,
}

/// What the link knows about a frame besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Who vouches for its transport checksum.
    pub checksum: Checksum,
    /// Bytes of payload of the pieces it was put together from; 0: it is a plain one.
    pub segment: u16,
    /// When the interface had it, as the driver counts; 0: not known.
    pub stamp: u64,
}

impl Facts {
    /// A plain frame of which nothing is known.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the tests"))]
    pub fn plain(checksum: Checksum) -> Self {
        Self {
            checksum,
            segment: 0,
            stamp: 0,
        }
    }
}

/// What is known about a packet besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) now: Instant,
    pub(super) checksum: Checksum,
    /// Payload bytes of each datagram it was put together from; 0: it is one.
    pub(super) segment: u16,
    /// Bytes of the longest packet that a fragmented one came in; 0: it came whole.
    pub(super) fragment: u16,
    /// When the interface had it; 0: not known.
    pub(super) stamp: u64,
    /// The link's header.
    pub(super) link: [u8; ethernet::HEADER_LEN],
    /// The frame was for all stations, or the packet for all hosts.
    pub(super) to_all: bool,
    /// It is one of our own, to an address of ours.
    pub(super) looped: bool,
}

impl Stack {
    /// Takes a frame from the link: Ethernet II, perhaps a super-frame of up to 64 KiB. What it leads
    /// to is in the queues, or was given to `sink`; answers come out of
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn receive_frame(&mut self, now: Instant, frame: &[u8], facts: Facts, sink: &mut dyn Sink) {
        self.outbox.release(&mut self.pool);
        self.counters.frames_received += 1;
        self.counters.bytes_received += frame.len() as u64;
        let Ok((header, header_len)) = ethernet::parse(frame) else {
            return self.counters.drop(Drop::EthernetMalformed);
        };
        if ethernet::is_group(header.source) {
            return self.counters.drop(Drop::EthernetMalformed);
        }
        let to_all = header.destination == ethernet::BROADCAST;
        if !to_all && header.destination != self.interface.hardware_address {
            return self.counters.drop(Drop::EthernetNotOurs);
        }
        let (link, payload) = frame.split_at(header_len);
        let arrival = Arrival {
            now,
            checksum: facts.checksum,
            segment: facts.segment,
            fragment: 0,
            stamp: facts.stamp,
            link: link.first_chunk().copied().unwrap_or_default(),
            to_all,
            looped: false,
        };
        match header.ethertype {
            ethernet::IPV4 => self.receive_ipv4(arrival, payload, sink),
            ethernet::ARP => self.receive_arp(now, payload),
            _ => self.counters.drop(Drop::EthernetType),
        }
    }

    /// Fills `out` with the next frame to send. Returns whether there was one.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Transmit) -> bool {
        self.loopback.begin();
        while !self.loopback.is_weary() && self.poll_frame(now, out) {
            if out.header.starts_with(&self.interface.hardware_address) {
                self.turn_round(now, out);
                // Its other end is here, and sees what the user does next.
                self.receive_lull();
            } else if self.interface.up {
                self.counters.frames_sent += 1;
                self.counters.bytes_sent += out.frame_len() as u64;
                return true;
            } else {
                self.counters.drop(Drop::LinkDown);
            }
        }
        false
    }

    fn poll_frame(&mut self, now: Instant, out: &mut Transmit) -> bool {
        loop {
            if let Some(request) = self.neighbors.poll_request() {
                self.make_request(request, out);
                return true;
            }
            if let Some(polled) = self.outbox.poll(&self.pool, out) {
                if let Some(owner) = polled.owner {
                    self.udp.sent(owner);
                }
                if let Some(stamped) = polled.stamped {
                    self.sendings.leaves(stamped, &self.copy_of(out));
                }
                return true;
            }
            let segment = self.poll_tcp(now, out);
            if let Some(told) = self.tcp.take_told() {
                let frame = self.copy_of(out);
                self.tcp.sent_in(told, &frame, out.header_len);
            }
            match segment {
                Segment::Ready => return true,
                // Its neighbor is to be asked for.
                Segment::Held => {}
                Segment::None => return false,
            }
        }
    }

    fn copy_of(&self, out: &Transmit) -> Vec<u8> {
        let mut frame = out.header[..out.header_len].to_vec();
        for &span in out.spans.as_slice() {
            frame.extend_from_slice(self.pool.bytes(span));
        }
        frame
    }

    fn make_request(&self, request: Request, out: &mut Transmit) {
        let frame = self.arp_frame(
            request.hardware.unwrap_or(ethernet::BROADCAST),
            arp::Repr {
                operation: arp::Operation::Request,
                sender_hardware: self.interface.hardware_address,
                sender: self.interface.source_towards(request.target),
                target_hardware: request.hardware.unwrap_or_default(),
                target: request.target,
            },
        );
        out.header = frame.header;
        out.header_len = frame.header_len;
        out.spans.clear();
        out.offload = None;
        out.treatment = Treatment::default();
    }

    /// Sends `frame`, complete but for its Ethernet header, to `next_hop`: at once, or when that
    /// has answered. Returns whether there was room.
    pub(super) fn send_frame(
        &mut self,
        now: Instant,
        next_hop: Ipv4Addr,
        mut frame: Frame,
        payload: &[&[u8]],
    ) -> bool {
        if let Some(hardware) = self.resolve(now, next_hop) {
            self.write_ethernet(&mut frame.header, hardware, ethernet::IPV4);
            return self.push_frame(frame, payload);
        }
        // Once it waits, the datagram no longer counts against its socket's send buffer: the
        // bounds of the neighbor hold.
        frame.owner = None;
        let payload = payload.concat().into_boxed_slice();
        self.hold(next_hop, neighbor::Waiting { frame, payload });
        true
    }

    /// The hardware address to send to, if it is known; if not, it is asked for.
    pub(super) fn resolve(&mut self, now: Instant, next_hop: Ipv4Addr) -> Option<[u8; 6]> {
        if self.interface.is_broadcast(next_hop) {
            return Some(ethernet::BROADCAST);
        }
        if self.interface.is_local(next_hop) {
            return Some(self.interface.hardware_address);
        }
        self.neighbors.resolve(now, &mut self.random, next_hop)
    }

    pub(super) fn hold(&mut self, next_hop: Ipv4Addr, waiting: neighbor::Waiting) {
        if !self.neighbors.wait(next_hop, waiting) {
            self.counters.drop(Drop::NeighborQueueFull);
        }
    }

    /// Sends frames that waited for the neighbor at `hardware`, and has TCP send what had no room among them.
    pub(super) fn send_waiting(&mut self, hardware: [u8; 6], waiting: Vec<neighbor::Waiting>) {
        self.tcp.look_for_ways();
        for neighbor::Waiting { mut frame, payload } in waiting {
            self.write_ethernet(&mut frame.header, hardware, ethernet::IPV4);
            self.push_frame(frame, &[&payload]);
        }
    }

    pub(super) fn push_frame(&mut self, frame: Frame, payload: &[&[u8]]) -> bool {
        let owner = frame.owner;
        let pushed = self.outbox.push(&mut self.pool, frame, payload);
        match owner {
            _ if !pushed => self.counters.drop(Drop::OutboxFull),
            Some(owner) => self.udp.queued(owner),
            None => {}
        }
        pushed
    }

    pub(super) fn write_ethernet(&self, header: &mut [u8], destination: [u8; 6], ethertype: u16) {
        let repr = ethernet::Repr {
            destination,
            source: self.interface.hardware_address,
            ethertype,
        };
        repr.emit(header);
    }
}
