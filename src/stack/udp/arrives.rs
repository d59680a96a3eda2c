//! Datagrams and ICMP errors that arrive.

use core::net::SocketAddrV4;

use super::OVERHEAD;
use crate::stack::Stack;
use crate::stack::counters::Drop;
use crate::stack::ethernet::{Arrival, Checksum};
use crate::stack::icmp::Trouble;
use crate::stack::ids::SocketId;
use crate::stack::ip_options::IpOptions;
use crate::stack::ipv4::Packet;
use crate::stack::ports::Protocol;
use crate::stack::reports::Origin;
use crate::stack::sink::{Datagram, NoSink, Sink};
use crate::stack::wire::checksum::Sum;
use crate::stack::wire::icmpv4;
use crate::stack::wire::{ipv4, udp};

impl Stack {
    pub(in crate::stack) fn receive_udp(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        sink: &mut dyn Sink,
    ) {
        let Ok((header, header_len)) = udp::parse(packet.payload) else {
            return self.counters.drop(Drop::UdpMalformed);
        };
        if !self.may_receive(&arrival, Protocol::Udp, header.destination_port) {
            return self.counters.drop(Drop::PortNotOwned);
        }
        let bytes = &packet.payload[..usize::from(header.length)];
        let unverified = arrival.checksum == Checksum::Verify && header.checksum != 0;
        if unverified && !checksum_ok(packet, bytes) {
            return self.counters.drop(Drop::UdpChecksum);
        }
        let data = &bytes[header_len..];
        let local = SocketAddrV4::new(packet.ip.destination, header.destination_port);
        let datagram = Datagram {
            from: SocketAddrV4::new(packet.ip.source, header.source_port),
            to: packet.ip.destination,
            len: data.len(),
            ttl: packet.ip.ttl,
            tos: packet.ip.tos,
            segment: arrival.segment,
            fragment: arrival.fragment,
            stamp: arrival.stamp,
            drops: 0,
            options: self.options_of(packet).unwrap_or(IpOptions::NONE),
        };
        if self.interface.is_broadcast(datagram.to) {
            for id in self.udp.find_all(local, datagram.from) {
                self.deliver(id, &datagram, data, sink);
            }
        } else if let Some(id) = self.udp.find(local, datagram.from) {
            let shares = !arrival.looped && self.udp.get(id).is_some_and(super::Socket::shares);
            let takes = || self.shared_ports.takes(Protocol::Udp, local, datagram.from);
            if shares && !takes() {
                return self.counters.drop(Drop::PortNotOwned);
            }
            self.deliver(id, &datagram, data, sink);
        } else {
            self.counters.drop(Drop::UdpNoSocket);
            if self.config.own_address || arrival.looped {
                let error = icmpv4::Repr::unreachable(icmpv4::PORT_UNREACHABLE);
                self.send_icmp_error(arrival, packet, error);
            }
        }
    }

    /// A datagram that came by another way than the link, for a socket on `port`: the kernel's
    /// side of a shared port has received it.
    pub fn udp_receive_local(&mut self, port: u16, datagram: &Datagram, data: &[u8]) {
        let local = SocketAddrV4::new(datagram.to, port);
        let to_group = datagram.to.is_multicast();
        if to_group || self.interface.is_broadcast(datagram.to) {
            for id in self.udp.find_all(local, datagram.from) {
                let hears = |socket: &super::Socket| !to_group || socket.options.all_groups;
                if self.udp.get(id).is_some_and(hears) {
                    self.deliver(id, datagram, data, &mut NoSink);
                }
            }
            return;
        }
        match self.udp.find(local, datagram.from) {
            Some(id) => self.deliver(id, datagram, data, &mut NoSink),
            None => self.counters.drop(Drop::UdpNoSocket),
        }
    }

    /// An ICMP error that came likewise, about a datagram from `local` to `remote` that began with `payload`.
    pub fn udp_receive_local_error(
        &mut self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        (origin, mtu): (Origin, usize),
        payload: &[u8],
    ) {
        if let Some(trouble) = Trouble::told(origin, mtu) {
            self.udp_receive_trouble(local, remote, &trouble, payload);
        }
    }

    /// Delivers a datagram, or those it was put together from, unless the socket takes it whole
    /// (UDP_GRO).
    pub(super) fn deliver(
        &mut self,
        id: SocketId,
        datagram: &Datagram,
        data: &[u8],
        sink: &mut dyn Sink,
    ) {
        let segment = usize::from(datagram.segment);
        let joins = |socket: &super::Socket| socket.options.receive_joined;
        let whole = segment == 0 || self.udp.get(id).is_some_and(joins);
        if whole || data.len() <= segment {
            return self.deliver_one(id, datagram, data, sink);
        }
        for piece in data.chunks(segment) {
            let datagram = Datagram {
                len: piece.len(),
                segment: 0,
                ..*datagram
            };
            self.deliver_one(id, &datagram, piece, sink);
        }
    }

    fn deliver_one(&mut self, id: SocketId, datagram: &Datagram, data: &[u8], sink: &mut dyn Sink) {
        let Some(socket) = self.udp.get_mut(id) else {
            return;
        };
        self.counters.udp_received += 1;
        socket.has_heard |= socket.remote.is_some();
        let datagram = Datagram {
            drops: socket.drops as u32,
            ..*datagram
        };
        if socket.datagrams.is_empty() && sink.deliver_datagram(id, &datagram, data) {
            return;
        }
        let room = socket.charge() + OVERHEAD <= socket.receive_buffer
            && socket.datagrams.try_reserve(1).is_ok();
        if !room || !socket.payloads.append_all(&mut self.pool, &[data]) {
            socket.drops += 1;
            return self.counters.drop(Drop::UdpQueueFull);
        }
        socket.datagrams.push_back(datagram);
        self.udp.dirty.mark(id);
    }

    /// Takes in what an ICMP error says about a datagram from `local` to `remote`. Returns whether
    /// there is a socket that may have sent it.
    pub(in crate::stack) fn udp_receive_trouble(
        &mut self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        trouble: &Trouble,
        payload: &[u8],
    ) -> bool {
        let Some(id) = self.udp.find(local, remote) else {
            return false;
        };
        let Some(socket) = self.udp.get(id) else {
            return false;
        };
        if socket.options.receive_errors {
            self.reports.push(id, trouble.report(remote, payload));
        }
        if socket.options.receive_errors || (socket.remote.is_some() && trouble.is_fatal) {
            self.udp.set_error(id, trouble.error);
        }
        true
    }
}

fn checksum_ok(packet: &Packet<'_>, bytes: &[u8]) -> bool {
    let ip = &packet.ip;
    let sum = Sum::pseudo_header(ip.source, ip.destination, ipv4::UDP, bytes.len());
    sum.add(bytes).finish() == 0
}
