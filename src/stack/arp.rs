//! ARP (RFC 826): what is learned from it, and what is answered.
//!
//! Only a stack with addresses of its own answers, announces and defends them (RFC 5227); where
//! they are shared, the kernel does. Either kind asks, and learns from what it hears.

use core::net::Ipv4Addr;
use core::time::Duration;

use super::Stack;
use super::address;
use super::counters::Drop;
use super::outbox::Frame;
use super::time::Instant;
use super::wire::{arp, ethernet};

/// Least time between two defenses of an address (RFC 5227 section 1.1, DEFEND_INTERVAL).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

impl Stack {
    pub(super) fn receive_arp(&mut self, now: Instant, bytes: &[u8]) {
        let Ok((packet, _)) = arp::parse(bytes) else {
            return self.counters.drop(Drop::ArpMalformed);
        };
        let is_probe = packet.sender.is_unspecified();
        if ethernet::is_group(packet.sender_hardware)
            || !(is_probe || address::is_unicast(packet.sender))
        {
            return self.counters.drop(Drop::ArpMalformed);
        }
        if self.interface.is_ours(packet.sender) {
            return self.receive_conflict(now, &packet);
        }
        if !is_probe {
            self.learn(now, &packet);
        }
        let for_us = self.interface.is_ours(packet.target);
        if packet.operation == arp::Operation::Request && for_us && self.config.own_address {
            self.send_reply(&packet);
        }
    }

    /// RFC 826 "Packet Reception": an entry that exists is updated from any packet, a new one is
    /// made only of a sender who speaks to us.
    fn learn(&mut self, now: Instant, packet: &arp::Repr) {
        let (sender, hardware) = (packet.sender, packet.sender_hardware);
        let for_us = self.interface.is_ours(packet.target);
        let known = self.neighbors.knows(sender);
        let random = &mut self.random;
        let waiting = match packet.operation {
            arp::Operation::Reply if known && for_us => {
                self.neighbors.confirm(now, random, sender, hardware)
            }
            arp::Operation::Request if for_us => self.neighbors.hear(now, random, sender, hardware),
            _ if known => self.neighbors.hear(now, random, sender, hardware),
            _ => return,
        };
        self.send_waiting(hardware, waiting);
    }

    /// RFC 5227 section 2.4(b): defend the address, but not in a battle without end.
    fn receive_conflict(&mut self, now: Instant, packet: &arp::Repr) {
        if packet.sender_hardware == self.interface.hardware_address {
            return;
        }
        self.counters.drop(Drop::ArpConflict);
        let recently = |defended: Instant| now.since(defended) < DEFEND_INTERVAL;
        if self.config.own_address && !self.defended.is_some_and(recently) {
            self.defended = Some(now);
            self.announce(packet.sender);
        }
    }

    /// Says to all that `address` is ours (RFC 5227 section 2.3).
    pub(super) fn announce(&mut self, address: Ipv4Addr) {
        let frame = self.arp_frame(
            ethernet::BROADCAST,
            arp::Repr {
                operation: arp::Operation::Request,
                sender_hardware: self.interface.hardware_address,
                sender: address,
                target_hardware: [0; 6],
                target: address,
            },
        );
        self.push_frame(frame, &[]);
    }

    fn send_reply(&mut self, request: &arp::Repr) {
        let frame = self.arp_frame(
            request.sender_hardware,
            arp::Repr {
                operation: arp::Operation::Reply,
                sender_hardware: self.interface.hardware_address,
                sender: request.target,
                target_hardware: request.sender_hardware,
                target: request.sender,
            },
        );
        self.push_frame(frame, &[]);
    }

    pub(super) fn arp_frame(&self, destination: [u8; 6], packet: arp::Repr) -> Frame {
        let mut frame = Frame::new(ethernet::HEADER_LEN + arp::LEN);
        self.write_ethernet(&mut frame.header, destination, ethernet::ARP);
        packet.emit(&mut frame.header[ethernet::HEADER_LEN..]);
        frame
    }
}
