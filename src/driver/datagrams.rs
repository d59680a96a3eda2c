//! Datagrams in a pair: messages with a header ([`super::envelope`]).

use core::net::SocketAddr;
use rustix::event::epoll::EventFlags;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use super::envelope::{Arrived, Departing};
use super::errors::has_notice;
use super::settle::watch;
use crate::stack::ids::SocketId;
use crate::stack::routes::RouteDecision;
use crate::sys::datagram::Route6;
use crate::sys::owned::OwnedFd;
use crate::sys::{option, pair, raw};

/// Longest message, in bytes: a UDP payload with a header.
const LONGEST: usize = 64 * 1024;

/// Gives a message however long it is: to the kernel, no message may be longer than the pair's bound, but SO_RCVBUF is
/// about what waits when a datagram arrives.
fn give_whole(end: &OwnedFd, header: &[u8], payload: &[u8]) -> Result<usize, Errno> {
    let given = pair::give_message(end, header, payload);
    if given != Err(Errno::MSGSIZE) {
        return given;
    }
    sockopt::set_socket_send_buffer_size(end, header.len() + payload.len())?;
    pair::give_message(end, header, payload)
}

impl Engine {
    /// Makes a datagram socket's descriptor readable though there is no datagram.
    pub fn notify(&mut self, id: EndpointId) {
        // Whether one that only other processes could read is there nobody here can tell.
        let is_there = |held: &Endpoint| {
            held.notices > 0 && held.program >= 0 && raw::unread(held.program) != Ok(0)
        };
        if self.endpoints.get(id).is_some_and(is_there) {
            return;
        }
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && let Some(end) = &endpoint.end
            && pair::give_message(end, &Arrived::notice().encode(), &[]).is_ok()
        {
            endpoint.unread = true;
            endpoint.notices = 1;
        }
    }

    /// Others have a datagram socket: as much is to wait in its pair as would in Linux's socket, since that is there, too,
    /// if this process is killed.
    pub(super) fn widen_pair(&self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        if let (Some(end), Role::Datagram(socket)) = (&endpoint.end, endpoint.role)
            && let Some(status) = self.stack.udp_status(socket)
        {
            // The kernel doubles what it is told, and bounds it for who has no right to more.
            let size = (status.receive_buffer / 2) as i32;
            let set = |name| option::set_integer(end.as_fd(), libc::SOL_SOCKET, name, size);
            let _ = set(libc::SO_SNDBUFFORCE).or_else(|_| set(libc::SO_SNDBUF));
        }
    }

    /// Takes notices out of a datagram socket's pair that stand before something else there: who asks, or receives,
    /// learns of it all the same.
    pub fn pass_notices(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(id) else {
            return;
        };
        let more = |fd| raw::unread(fd).is_ok_and(|count| count > Arrived::LEN);
        while more(endpoint.program) && has_notice(endpoint.program) {
            let _ = raw::discard(endpoint.program, 1, libc::MSG_DONTWAIT);
        }
    }

    /// A datagram socket that is shut down for reading is readable for ever.
    pub fn stay_readable(&mut self, id: EndpointId) {
        if self
            .endpoints
            .get(id)
            .is_some_and(|held| held.read_finished)
        {
            self.notify(id);
        }
    }

    /// Makes a datagram socket's pair agree with it: what has arrived, and an error to tell of.
    pub(super) fn settle_datagram(&mut self, id: EndpointId, socket: SocketId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        if let Some(error) = self.stack.udp_take_error(socket) {
            // Other processes ask for it once they have found the notice of it.
            let is_told = endpoint.program < 0 && endpoint.errs();
            endpoint.error = Some(error);
            if !is_told {
                self.notify(id);
            }
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
        let interface = self.interface_index();
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return;
        };
        let Some(end) = &endpoint.end else { return };
        endpoint.full = false;
        let payload = &mut self.frame[..LONGEST];
        while let Some(datagram) = self.stack.udp_front(socket) {
            let header = Arrived {
                interface,
                host: self.stack.host_for(*datagram.from.ip(), datagram.to),
                ..Arrived::now(&datagram)
            }
            .encode();
            let len = self.stack.udp_peek(socket, payload);
            match give_whole(end, &header, &payload[..len]) {
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
        let now = self.now();
        let mut buffer = vec![0; LONGEST + Departing::LEN];
        while let Some(end) = self.endpoints.get(id).and_then(|held| held.end.as_ref()) {
            let message = match pair::take(end, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => &buffer[..count],
            };
            let (header, payload) = Departing::split(message);
            let Some(status) = self.stack.udp_status(socket) else {
                return;
            };
            let Some(to) = header.to.or(status.remote.map(SocketAddr::V4)) else {
                continue;
            };
            // What cannot be sent is lost, as on the wire: the writer is elsewhere.
            match to {
                SocketAddr::V4(to) if self.stack.route(*to.ip()) != RouteDecision::Kernel => {
                    let _ = self.stack.udp_send(now, socket, to, &[payload]);
                }
                to => {
                    let port = status.local.port();
                    let _ = self.send_by_kernel(port, to, payload, &Route6::default(), 0);
                }
            }
        }
    }
}
