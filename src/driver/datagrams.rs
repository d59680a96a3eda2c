//! Datagrams in a pair: messages with a header, so that whoever holds the descriptor knows their
//! addresses.

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId};
use super::passed::{Passed, count_passed};
use super::settle::watch;
use crate::control::ephemeral::Protocol;
use crate::stack::ids::SocketId;
use crate::stack::routes::RouteDecision;
use crate::stack::sink::Datagram;
use crate::sys::{clock, pair, raw};

/// Longest message, in bytes: a UDP payload with a header.
const LONGEST: usize = 64 * 1024;

/// What stands before each datagram that has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// The address it was sent to.
    pub to: Ipv4Addr,
    /// Time to live it arrived with.
    pub ttl: u8,
    /// DSCP and ECN it arrived with.
    pub tos: u8,
    /// When the interface had it, or else when the stack passed it on, in nanoseconds since 1970.
    pub at: u64,
    /// It is no datagram: it only makes the descriptor readable, for an error or an end.
    pub notice: bool,
    /// Bytes of each datagram it was put together from (UDP_GRO); 0: it is one.
    pub segment: u16,
    /// Datagrams the socket had lost when this one came (SO_RXQ_OVFL).
    pub drops: u32,
}

impl Arrived {
    /// Bytes of the header.
    pub const LEN: usize = 28;

    /// Of a datagram that arrives now.
    pub fn now(datagram: &Datagram) -> Self {
        Self {
            from: datagram.from,
            to: datagram.to,
            ttl: datagram.ttl,
            tos: datagram.tos,
            at: match datagram.stamp {
                0 => clock::realtime(),
                stamp => stamp,
            },
            notice: false,
            segment: datagram.segment,
            drops: datagram.drops,
        }
    }

    /// The header.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        header[..4].copy_from_slice(&self.from.ip().octets());
        header[4..6].copy_from_slice(&self.from.port().to_be_bytes());
        header[6] = self.ttl;
        header[7] = self.tos;
        header[8..12].copy_from_slice(&self.to.octets());
        header[12] = u8::from(self.notice);
        header[14..16].copy_from_slice(&self.segment.to_ne_bytes());
        header[16..24].copy_from_slice(&self.at.to_ne_bytes());
        header[24..].copy_from_slice(&self.drops.to_ne_bytes());
        header
    }

    /// Reads a header.
    pub fn decode(header: &[u8; Self::LEN]) -> Self {
        let [
            a,
            b,
            c,
            d,
            high,
            low,
            ttl,
            tos,
            e,
            f,
            g,
            h,
            notice,
            _,
            s0,
            s1,
            at @ ..,
            d0,
            d1,
            d2,
            d3,
        ] = *header;
        Self {
            from: SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low])),
            to: [e, f, g, h].into(),
            ttl,
            tos,
            at: u64::from_ne_bytes(at),
            notice: notice != 0,
            segment: u16::from_ne_bytes([s0, s1]),
            drops: u32::from_ne_bytes([d0, d1, d2, d3]),
        }
    }
}

/// What stands before each datagram that a forked child gives to its parent's stack. Messages
/// without it were written where we could not see it, and are for the connected peer.
#[derive(Clone, Copy, Debug)]
pub struct Departing {
    /// Whom it is for; `None`: the connected peer.
    pub to: Option<SocketAddrV4>,
}

impl Departing {
    /// Bytes of the header.
    pub const LEN: usize = 16;
    /// What no payload begins with by accident.
    const MARK: [u8; 8] = [0xff, b's', b'i', b'd', b'e', 0xfe, 0x00, 0x9d];

    /// The header.
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut header = [0; Self::LEN];
        header[..8].copy_from_slice(&Self::MARK);
        if let Some(to) = self.to {
            header[8..12].copy_from_slice(&to.ip().octets());
            header[12..14].copy_from_slice(&to.port().to_be_bytes());
        }
        header
    }

    /// The header of a message and its payload.
    fn split(message: &[u8]) -> (Self, &[u8]) {
        let Some((header, payload)) = message.split_first_chunk::<{ Self::LEN }>() else {
            return (Self { to: None }, message);
        };
        let [mark @ .., a, b, c, d, high, low, _, _] = *header;
        if mark != Self::MARK {
            return (Self { to: None }, message);
        }
        let to = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low]));
        let to = (to.port() != 0).then_some(to);
        (Self { to }, payload)
    }
}

impl Engine {
    /// Makes a datagram socket's descriptor readable though there is no datagram.
    pub fn notify(&mut self, id: EndpointId) {
        let is_there = |held: &Endpoint| held.notices > 0 && raw::unread(held.program) != Ok(0);
        if self.endpoints.get(id).is_some_and(is_there) {
            return;
        }
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let notice = Arrived {
            from: nobody,
            to: *nobody.ip(),
            ttl: 0,
            tos: 0,
            at: 0,
            notice: true,
            segment: 0,
            drops: 0,
        };
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && let Some(end) = &endpoint.end
            && pair::give_message(end, &notice.encode(), &[]).is_ok()
        {
            endpoint.unread = true;
            endpoint.notices = 1;
        }
    }

    /// Makes a datagram socket's pair agree with it: what has arrived, and an error to tell of.
    pub(super) fn settle_datagram(&mut self, id: EndpointId, socket: SocketId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        if let Some(error) = self.stack.udp_take_error(socket) {
            endpoint.error = Some(error);
            self.notify(id);
            self.show_beyond(id);
        }
        if self.stack.udp_front(socket).is_some()
            && self
                .endpoints
                .get(id)
                .is_some_and(|held| held.read_finished)
        {
            // The datagrams keep it readable.
            self.take_notice(id);
        }
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        let Some(end) = &endpoint.end else { return };
        endpoint.full = false;
        let mut payload = vec![0; LONGEST];
        while let Some(datagram) = self.stack.udp_front(socket) {
            let header = Arrived::now(&datagram).encode();
            let len = self.stack.udp_peek(socket, &mut payload);
            match pair::give_message(end, &header, &payload[..len]) {
                Ok(_) => endpoint.unread = true,
                Err(Errno::AGAIN) => {
                    endpoint.full = true;
                    break;
                }
                Err(_) => {}
            }
            self.stack.udp_receive(socket, &mut []);
        }
        let also = if endpoint.full {
            EventFlags::OUT
        } else {
            EventFlags::empty()
        };
        watch(&self.set, endpoint, id.token(), also);
    }

    /// Sends what others than this process's calls have written to a datagram socket.
    pub(super) fn take_datagrams(&mut self, id: EndpointId, socket: SocketId) {
        let Some(end) = self
            .endpoints
            .get(id)
            .and_then(|endpoint| endpoint.end.as_ref())
        else {
            return;
        };
        let now = self.now();
        let mut buffer = vec![0; LONGEST + Departing::LEN];
        loop {
            let message = match pair::take(end, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => &buffer[..count],
            };
            let (header, payload) = Departing::split(message);
            let Some(status) = self.stack.udp_status(socket) else {
                return;
            };
            let Some(to) = header.to.or(status.remote) else {
                continue;
            };
            // What cannot be sent is lost, as on the wire: the writer is elsewhere.
            if self.stack.route(*to.ip()) == RouteDecision::Kernel {
                self.send_by_kernel(status.local.port(), to, payload);
            } else {
                let _ = self.stack.udp_send(now, socket, to, &[payload]);
            }
        }
    }

    /// A destination that is the kernel's: by the kernel socket that holds the port, so that the answer
    /// finds it.
    fn send_by_kernel(&self, port: u16, to: SocketAddrV4, payload: &[u8]) {
        count_passed(Passed::Datagram);
        if let Some(lease) = self.ports.kernel_sockets(Protocol::Udp, port).first() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let _ = rustix::net::sendto(lease.fd(), payload, flags, &to);
        }
    }
}
