//! The user calls of UDP.

use core::hash::Hash;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::{PathMtuDiscovery, UdpOptions, UdpStatus};
use crate::stack::Stack;
use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::interface::Interface;
use crate::stack::ip_options::IpOptions;
use crate::stack::ipv4::TRANSPORT;
use crate::stack::outbox::{Frame, Owner};
use crate::stack::reports::Report;
use crate::stack::routes::RouteDecision;
use crate::stack::sendings::Stamped;
use crate::stack::sink::{Datagram, NoSink};
use crate::stack::time::Instant;
use crate::stack::transmit::Offload;
use crate::stack::wire::checksum::Sum;
use crate::stack::wire::{ipv4, udp};

/// A datagram about to be sent.
struct Outgoing<'a> {
    id: SocketId,
    options: UdpOptions,
    /// Those of the packet's header, with what this host notes in them.
    ip_options: IpOptions,
    from: SocketAddrV4,
    to: SocketAddrV4,
    next_hop: Ipv4Addr,
    /// Longest packet the path takes, in bytes.
    mtu: usize,
    data: &'a [&'a [u8]],
    len: usize,
}

impl Stack {
    /// Makes a socket with the address `local`, whose port is leased already; the IP address may
    /// be unspecified. No error as yet: what bounds the sockets is the program's descriptors.
    pub fn udp_open(
        &mut self,
        local: SocketAddrV4,
        options: &UdpOptions,
    ) -> Result<SocketId, Error> {
        Ok(self.udp.insert(local, &self.config.limits, options))
    }

    /// Gives a socket another address.
    pub fn udp_set_local(&mut self, id: SocketId, local: SocketAddrV4) {
        let Some(socket) = self.udp.get_mut(id) else {
            return;
        };
        let old = core::mem::replace(&mut socket.local, local);
        socket.bound = local;
        self.udp.leave_port(id, old.port());
        self.udp.ports.entry(local.port()).or_default().push(id);
    }

    /// Associates a socket with a remote one, or dissolves that (connect(2)). An unspecified local
    /// address becomes the route's; one that means all hosts stays, and receives as before.
    ///
    /// Errors: `Invalid` for a stale handle, `NetworkUnreachable` without a route of the stack's,
    /// `Access` for a broadcast address without SO_BROADCAST.
    pub fn udp_connect(&mut self, id: SocketId, remote: Option<SocketAddrV4>) -> Result<(), Error> {
        let socket = self.udp.get(id).ok_or(Error::Invalid)?;
        let mut local = socket.bound;
        if let Some(remote) = remote {
            if self.interface.is_broadcast(*remote.ip()) && !socket.options.broadcast {
                return Err(Error::Access);
            }
            let RouteDecision::Stack { source: route, .. } = self.interface.route(*remote.ip())
            else {
                return Err(Error::NetworkUnreachable);
            };
            if local.ip().is_unspecified() {
                local.set_ip(route);
            }
        }
        if let Some(socket) = self.udp.get_mut(id) {
            socket.local = local;
            socket.remote = remote;
        }
        Ok(())
    }

    /// Sends a datagram, given in pieces, to `to`. What exceeds the path's MTU is cut into
    /// fragments unless the options forbid it.
    ///
    /// Errors: what an ICMP error left to be told; `Invalid` for a stale handle, `MessageSize`,
    /// `Access` for a broadcast address without SO_BROADCAST, `NetworkUnreachable`
    /// without a route of the stack's, `NetworkDown`, `WouldBlock` when the send buffer is full.
    pub fn udp_send(
        &mut self,
        now: Instant,
        id: SocketId,
        to: SocketAddrV4,
        data: &[&[u8]],
    ) -> Result<(), Error> {
        self.outbox.release(&mut self.pool);
        let len = data.iter().map(|piece| piece.len()).sum();
        let outgoing = self.prepare(id, to, data, len)?;
        let whole = outgoing.options.headers_len() + len;
        let pushed = if whole <= outgoing.mtu {
            self.send_whole(now, &outgoing)
        } else {
            self.send_cut(now, &outgoing)
        };
        if pushed {
            self.counters.udp_sent += 1;
            if self.interface.is_broadcast(*to.ip()) {
                self.hear_oneself(&outgoing);
            }
            Ok(())
        } else {
            Err(Error::NoBuffers)
        }
    }

    /// Whether a datagram of `len` bytes to `to` would have to be cut, which the options forbid: it is refused before
    /// anything else.
    pub fn udp_is_too_long(&self, options: &UdpOptions, to: Ipv4Addr, len: usize) -> bool {
        match self.interface.route(to) {
            RouteDecision::Stack { mtu, .. } => {
                is_too_long(options, self.interface.udp_mtu(options, mtu), len)
            }
            _ => false,
        }
    }

    /// What was to be sent to `to` is too long for the path, or for a datagram: tells who asks for errors (IP_RECVERR).
    pub fn udp_report_too_long(&mut self, id: SocketId, to: Ipv4Addr) {
        let socket = self.udp.get(id);
        let Some(socket) = socket.filter(|held| held.options.receive_errors) else {
            return;
        };
        let RouteDecision::Stack { mtu, .. } = self.interface.route(to) else {
            return;
        };
        let port = socket.remote.map_or(0, |remote| remote.port());
        let mtu = self.interface.udp_mtu(&socket.options, mtu) - socket.options.ip_options_len();
        let report = Report::too_long(mtu, SocketAddrV4::new(to, port));
        self.reports.push(id, report);
    }

    /// What is sent to all hosts is for this one, too.
    fn hear_oneself(&mut self, outgoing: &Outgoing<'_>) {
        let sent = outgoing.ip_options.as_bytes();
        let Ok(options) = self.options_received(sent, *outgoing.from.ip()) else {
            return self.counters.drop(Drop::Ipv4Malformed);
        };
        let datagram = Datagram {
            from: outgoing.from,
            to: *outgoing.to.ip(),
            len: outgoing.len,
            ttl: outgoing.options.ttl,
            tos: outgoing.options.tos,
            segment: 0,
            fragment: 0,
            stamp: 0,
            drops: 0,
            options,
        };
        let data = outgoing.data.concat();
        for id in self.udp.find_all(outgoing.to, outgoing.from) {
            self.deliver(id, &datagram, &data, &mut NoSink);
        }
    }

    fn prepare<'a>(
        &mut self,
        id: SocketId,
        to: SocketAddrV4,
        data: &'a [&'a [u8]],
        len: usize,
    ) -> Result<Outgoing<'a>, Error> {
        let socket = self.udp.get_mut(id).ok_or(Error::Invalid)?;
        // Who connected to all hosts was asked then.
        if self.interface.is_broadcast(*to.ip())
            && !socket.options.broadcast
            && socket.remote != Some(to)
        {
            return Err(Error::Access);
        }
        let (source, next_hop, mtu) = way(&self.interface, *to.ip())?;
        let (options, local) = (socket.options, socket.local);
        let mtu = self.interface.udp_mtu(&options, mtu);
        if options.headers_len() + len > ipv4::MAX_LEN || is_too_long(&options, mtu, len) {
            self.udp_report_too_long(id, *to.ip());
            return Err(Error::MessageSize);
        }
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if socket.sending >= socket.send_buffer {
            socket.wants_room = true;
            return Err(Error::WouldBlock);
        }
        let bound_to_all = local.ip().is_unspecified() || self.interface.is_broadcast(*local.ip());
        let from = match bound_to_all {
            true => SocketAddrV4::new(source, local.port()),
            false => local,
        };
        let ip_options = match options.ip_options {
            Some((asked, time)) => self.options_sent(asked, *from.ip())?.at(time),
            None => IpOptions::NONE,
        };
        Ok(Outgoing {
            id,
            options,
            ip_options,
            from,
            to,
            next_hop,
            mtu,
            data,
            len,
        })
    }

    fn send_whole(&mut self, now: Instant, outgoing: &Outgoing<'_>) -> bool {
        let transport = outgoing.transport();
        let mut frame = Frame::new(transport + udp::HEADER_LEN);
        let pseudo = outgoing.pseudo_header();
        let checksum = if outgoing.options.checksum {
            frame.offload = Some(Offload {
                checksum_start: transport as u16,
                checksum_offset: udp::field::CHECKSUM.start as u16,
                gso: None,
            });
            pseudo.folded()
        } else {
            0
        };
        outgoing
            .header(checksum)
            .emit(&mut frame.header[transport..]);
        let ip = ipv4::Repr {
            dont_fragment: outgoing.options.path_mtu_discovery.forbids_routers(),
            ..self.udp_ip_header(outgoing)
        };
        frame.treatment = outgoing.options.treatment;
        frame.owner = Some(Owner::new(outgoing.id, outgoing.len));
        frame.stamped = outgoing.stamped();
        let header = (&ip, &outgoing.ip_options);
        self.send_ipv4(now, outgoing.next_hop, header, frame, outgoing.data)
    }

    fn send_cut(&mut self, now: Instant, outgoing: &Outgoing<'_>) -> bool {
        let mut datagram = vec![0; udp::HEADER_LEN];
        for piece in outgoing.data {
            datagram.extend_from_slice(piece);
        }
        outgoing.header(0).emit(&mut datagram);
        if outgoing.options.checksum {
            let checksum = match outgoing.pseudo_header().add(&datagram).finish() {
                0 => 0xffff,
                checksum => checksum,
            };
            outgoing.header(checksum).emit(&mut datagram);
        }
        let whole = self.udp_ip_header(outgoing);
        let path = (outgoing.next_hop, outgoing.mtu);
        let header = (&whole, &outgoing.ip_options);
        self.send_fragments(now, path, header, &datagram, |len, is_last| {
            let mut frame = Frame::new(outgoing.transport());
            frame.treatment = outgoing.options.treatment;
            frame.owner = Some(Owner::new(outgoing.id, len));
            frame.stamped = outgoing.stamped().filter(|_| is_last);
            frame
        })
    }

    fn udp_ip_header(&mut self, outgoing: &Outgoing<'_>) -> ipv4::Repr {
        let destination = *outgoing.to.ip();
        ipv4::Repr {
            source: *outgoing.from.ip(),
            destination,
            protocol: ipv4::UDP,
            ttl: outgoing.options.ttl,
            tos: outgoing.options.tos,
            id: self.next_id(destination),
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            payload_len: (udp::HEADER_LEN + outgoing.len) as u16,
        }
    }

    /// Says of those that have come since this was called last, and of which the link did not tell, when they came.
    pub fn udp_stamp(&mut self, id: SocketId, now: impl FnOnce() -> u64) {
        let Some(socket) = self.udp.get_mut(id) else {
            return;
        };
        let is_new = |datagram: &&mut Datagram| datagram.stamp == 0;
        let mut new = socket
            .datagrams
            .iter_mut()
            .rev()
            .take_while(is_new)
            .peekable();
        if new.peek().is_some() {
            let now = now();
            new.for_each(|datagram| datagram.stamp = now);
        }
    }

    /// The datagram [`udp_receive`](Self::udp_receive) would give; none if none is queued.
    pub fn udp_front(&self, id: SocketId) -> Option<Datagram> {
        let socket = self.udp.get(id)?;
        socket.datagrams.front().copied()
    }

    /// Copies the oldest datagram's first bytes into `buffer`, leaving it queued. Returns how many.
    pub fn udp_peek(&self, id: SocketId, buffer: &mut [u8]) -> usize {
        let Some(datagram) = self.udp_front(id) else {
            return 0;
        };
        let len = buffer.len().min(datagram.len);
        let socket = self.udp.get(id);
        socket.map_or(0, |socket| {
            socket.payloads.peek(&self.pool, 0, &mut buffer[..len])
        })
    }

    /// Takes the oldest datagram off the queue and copies as much of it as fits into `buffer`; the
    /// rest is lost. The datagram's `len` is that of the whole.
    pub fn udp_receive(&mut self, id: SocketId, buffer: &mut [u8]) -> Option<Datagram> {
        self.udp_peek(id, buffer);
        let socket = self.udp.get_mut(id)?;
        let datagram = socket.datagrams.pop_front()?;
        socket.payloads.consume(&mut self.pool, datagram.len);
        Some(datagram)
    }

    /// The error that waits to be told (SO_ERROR). It is told once.
    pub fn udp_take_error(&mut self, id: SocketId) -> Option<Error> {
        self.udp.get_mut(id)?.error.take()
    }

    /// The user is gone; what is queued to be received goes with the socket, what is queued to be
    /// sent is sent.
    pub fn udp_close(&mut self, id: SocketId) {
        self.udp.remove(&mut self.pool, id);
    }

    /// What the socket's outside shows; none for a stale handle.
    pub(in crate::stack) fn udp_memory_of(&self, id: SocketId) -> usize {
        let socket = self.udp.get(id);
        socket.map_or(0, |socket| socket.payloads.memory())
    }

    pub(in crate::stack) fn udp_ration(&mut self, id: SocketId, most: usize) {
        if let Some(socket) = self.udp.get_mut(id) {
            socket.receive_buffer = socket.receive_buffer.min(most);
        }
    }

    /// What is known of a socket; none for a stale handle.
    pub fn udp_status(&self, id: SocketId) -> Option<UdpStatus> {
        let socket = self.udp.get(id)?;
        Some(UdpStatus {
            local: socket.local,
            remote: socket.remote,
            error: socket.error,
            has_heard: socket.has_heard,
            queued: socket.datagrams.len(),
            receive_len: socket.payloads.len(),
            receive_buffer: socket.receive_buffer,
            send_space: socket.send_buffer.saturating_sub(socket.sending),
            drops: socket.drops,
        })
    }

    /// Takes in what setsockopt changed.
    pub fn udp_set_options(&mut self, id: SocketId, options: &UdpOptions) {
        let limits = self.config.limits;
        if let Some(socket) = self.udp.get_mut(id) {
            socket.set_options(&limits, options);
        }
    }

    /// Whether a socket on `port` wants to hear of ICMP errors (IP_RECVERR).
    pub fn udp_hears_errors(&self, port: u16) -> bool {
        let hears = |id| {
            let socket = self.udp.get(id);
            socket.is_some_and(|held| held.options.receive_errors)
        };
        self.udp.with_port(port).iter().copied().any(hears)
    }

    /// Of the sockets without a peer that are bound to all addresses, and for which `fits` holds, the
    /// one that the datagrams of a peer are for: IPv6's, say.
    pub fn udp_on_all_addresses(
        &self,
        port: u16,
        peer: &impl Hash,
        fits: impl Fn(SocketId) -> bool,
    ) -> Option<SocketId> {
        self.udp.find_everywhere(port, peer, fits)
    }

    /// All UDP sockets, in no order.
    pub fn udp_sockets(&self) -> impl Iterator<Item = SocketId> {
        self.udp.ids()
    }
}

impl Interface {
    /// Longest packet a socket sends by a path whose own is `path`, in bytes.
    fn udp_mtu(&self, options: &UdpOptions, path: usize) -> usize {
        match options.path_mtu_discovery.ignores_path() {
            true => self.mtu.max(path),
            false => path,
        }
    }
}

/// From which address a datagram leaves that is bound to none, by whom, and the path's longest packet in bytes.
fn way(interface: &Interface, to: Ipv4Addr) -> Result<(Ipv4Addr, Ipv4Addr, usize), Error> {
    match interface.route(to) {
        RouteDecision::Stack { next_hop, .. } if !interface.up && !interface.is_local(next_hop) => {
            Err(Error::NetworkDown)
        }
        RouteDecision::Stack {
            source,
            next_hop,
            mtu,
        } => Ok((source, next_hop, mtu)),
        _ => Err(Error::NetworkUnreachable),
    }
}

fn is_too_long(options: &UdpOptions, mtu: usize, len: usize) -> bool {
    let whole = options.headers_len() + len;
    let discovery: PathMtuDiscovery = options.path_mtu_discovery;
    whole > mtu && !discovery.may_fragment()
}

impl Outgoing<'_> {
    fn stamped(&self) -> Option<Stamped> {
        let (stamps, key) = self.options.stamps?;
        Some(Stamped {
            socket: self.id,
            key,
            stamps,
        })
    }

    /// Where the UDP header is in a frame.
    fn transport(&self) -> usize {
        TRANSPORT + self.ip_options.as_bytes().len()
    }

    fn pseudo_header(&self) -> Sum {
        let len = udp::HEADER_LEN + self.len;
        Sum::pseudo_header(*self.from.ip(), *self.to.ip(), ipv4::UDP, len)
    }

    fn header(&self, checksum: u16) -> udp::Repr {
        udp::Repr {
            source_port: self.from.port(),
            destination_port: self.to.port(),
            length: (udp::HEADER_LEN + self.len) as u16,
            checksum,
        }
    }
}
