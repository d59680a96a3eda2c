//! Sending datagrams: sendto(2), sendmsg(2) and their kin.

use core::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::ancillary::Asked;
use super::held::{Held, send_held};
use super::{asking, fragments, leave, opened, unsendable};
use crate::control::ephemeral::Protocol;
use crate::driver::keeper::First;
use crate::driver::{self, Departing, Engine, Passed, has_notice};
use crate::socket::address::Given;
use crate::socket::bind::to_kernel;
use crate::socket::connect;
use crate::socket::create::claim;
use crate::socket::served::{go_over, may_go_over};
use crate::socket::way::{Way, decide_from};
use crate::socket::{Family, Socket, State, address, away, errno, table};
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::ip_options::IpOptions;
use crate::sys::raw;
use crate::sys::user::Buffers;

/// Longest UDP payload over IPv4, in bytes (RFC 768, RFC 791).
const LONGEST: usize = 65_507;
/// Most datagrams one call may be cut into (UDP_MAX_SEGMENTS).
const MOST_SEGMENTS: usize = 128;

/// Sends one datagram to `to`, or to the connected peer. `None`: the descriptor is the kernel's,
/// make the call on it.
pub fn send(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    to: Option<Given>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    let first = || match to {
        Some(Given::V4(to)) => {
            let (bytes, count) = address::write(to, socket.family());
            Some(First::Remote(bytes[..count].to_vec()))
        }
        // It has a port then, and nobody to send to.
        None | Some(Given::Unspecified) => Some(First::Any),
        Some(Given::V6(_) | Given::AnyV6(_)) => None,
    };
    if let Err(errno) = claim(fd, socket, first) {
        return Some(Err(errno));
    }
    if !table::is_ours(fd) {
        return None;
    }
    let engine = driver::lock();
    let mut state = socket.state();
    let Some(mut engine) = engine.filter(|_| state.endpoint.is_some()) else {
        drop(state);
        return send_beside(fd, socket, data, to, flags, asked);
    };
    let call = Call {
        socket,
        data,
        flags,
        asked,
        stays: false,
    };
    call.send(&mut engine, &mut state, to).transpose()
}

/// What Linux looks at before all else: whether IPv6's call has a destination, the length and the flags.
pub fn check_call(socket: &Socket, aimed: bool, len: usize, flags: i32) -> Result<(), Errno> {
    if socket.family() == Family::Inet6 && !aimed {
        return Err(Errno::DESTADDRREQ);
    }
    if len > usize::from(u16::MAX) {
        return Err(Errno::MSGSIZE);
    }
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    Ok(())
}

/// Sends one for another process that holds the socket. ENETUNREACH: only the kernel could.
pub(super) fn send_in(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    (data, to, flags): (&Buffers<'_>, Option<Given>, i32),
    asked: &Asked,
) -> Result<usize, Errno> {
    let call = Call {
        socket,
        data,
        flags,
        asked,
        stays: true,
    };
    call.send(engine, state, to)?.ok_or(Errno::NETUNREACH)
}

/// Gives a datagram to the stack of the process that made the socket.
fn send_beside(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    to: Option<Given>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    // One that has left its peer has no port.
    asking::bind(fd, socket);
    if let Some(sent) = asking::send(fd, socket, data, to, flags, asked) {
        return match sent {
            Err(Errno::NETUNREACH) if may_go_over(socket) => go_over(socket).err().map(Err),
            sent => Some(sent),
        };
    }
    let connected = to.is_none();
    let to: SocketAddr = match to {
        Some(Given::V4(to)) => to.into(),
        None | Some(Given::Unspecified) => {
            let known = socket.state().remote;
            match known.or_else(|| connect::peer(fd, socket)) {
                Some(to) => to.into(),
                None => return Some(Err(Errno::DESTADDRREQ)),
            }
        }
        Some(Given::V6(to)) => to.into(),
        Some(Given::AnyV6(port)) => (Ipv6Addr::LOCALHOST, port).into(),
    };
    if data.asked() > LONGEST {
        return Some(Err(Errno::MSGSIZE));
    }
    if to.port() == 0 && !connected {
        return Some(Err(Errno::INVAL));
    }
    if let Err(errno) = data.whole() {
        return Some(Err(errno));
    }
    let broadcast = matches!(to, SocketAddr::V4(to) if to.ip().is_broadcast());
    if broadcast && !socket.state().options.broadcast {
        return Some(Err(Errno::ACCESS));
    }
    if has_notice(fd)
        && let Some(errno) = away::pending_error(fd, socket)
    {
        return Some(Err(errno));
    }
    if socket.state().writes_no_more {
        return Some(Err(Errno::PIPE));
    }
    let header = Departing { to: Some(to) }.encode();
    let sent = raw::send_message(fd, &header, data.parts(), flags);
    Some(sent.map(|count| count.saturating_sub(header.len())))
}

struct Call<'a, 'b> {
    socket: &'a Arc<Socket>,
    data: &'a Buffers<'b>,
    flags: i32,
    asked: &'a Asked,
    /// The kernel cannot take the socket over.
    stays: bool,
}

impl Call<'_, '_> {
    fn send(
        &self,
        engine: &mut Engine,
        state: &mut State,
        to: Option<Given>,
    ) -> Result<Option<usize>, Errno> {
        let aimed = to.is_some() || state.remote.is_some() || state.held.is_some();
        check_call(self.socket, aimed, self.data.asked(), self.flags)?;
        if let Some(held) = state.held.take() {
            return self.append(engine, state, held).map(Some);
        }
        // As on Linux, where a mapped peer is given to IPv4's call as if it was the call's.
        let connected = to.is_none() && self.socket.family() == Family::Inet;
        let to = match to {
            Some(Given::V4(_)) if state.options.v6_only => return Err(Errno::NETUNREACH),
            Some(Given::V4(to)) => to,
            Some(Given::V6(to)) => return self.send_inet6(engine, state, to),
            Some(Given::AnyV6(port)) => {
                let to = SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0);
                return self.send_inet6(engine, state, to);
            }
            Some(Given::Unspecified) | None => {
                let peer = state.remote.ok_or(Errno::DESTADDRREQ)?;
                let flow = state.flow.filter(|_| connected && !self.holds(state));
                flow.unwrap_or(peer)
            }
        };
        if to.port() == 0 && !connected {
            return Err(Errno::INVAL);
        }
        let bound = state.local.map(|local| *local.ip());
        let from = self.asked.source.or(bound);
        let way = decide_from(engine, Protocol::Udp, state, from, to)?;
        if !connected && engine.stack.is_broadcast(*to.ip()) && !state.options.broadcast {
            return Err(Errno::ACCESS);
        }
        if self.data.asked() > LONGEST {
            return Err(self.too_long(engine, state, to));
        }
        if self.holds(state) {
            state.flow = Some(to);
        }
        if connected {
            state.unrouted = None;
        }
        if !self.is_too_long(engine, state, to)
            && let Some(errno) = unsendable(engine, state)
        {
            return Err(errno);
        }
        if self.segment(state) == 0 {
            let options = self.asked.ip_options.unwrap_or(IpOptions::NONE);
            let lens = (options.as_bytes().len(), self.data.asked());
            fragments::check(engine, state, *to.ip(), lens)?;
        }
        self.data.whole()?;
        let Some(Way { remote: to, .. }) = way else {
            return self.send_by_kernel(engine, state, to);
        };
        self.check_asked(engine)?;
        let datagram = opened(engine, self.socket, state)?;
        if self.holds(state) {
            state.held = Some(Box::new(Held {
                to,
                asked: *self.asked,
                data: self.gathered(),
            }));
            return Ok(Some(self.data.len()));
        }
        self.asked
            .around(engine, state, datagram, |engine, state| {
                self.send_segments(engine, state, datagram, to)
            })?;
        self.tell_of_zero_copy(engine, state);
        Ok(Some(self.data.len()))
    }

    /// It is longer than any datagram, which an error queue tells of.
    fn too_long(&self, engine: &mut Engine, state: &mut State, to: SocketAddrV4) -> Errno {
        if let Ok(datagram) = opened(engine, self.socket, state) {
            engine.stack.udp_report_too_long(datagram, *to.ip());
            engine.finish_pass();
        }
        Errno::MSGSIZE
    }

    /// Whether it is too long for the path, which the stack tells before all that the socket has to tell.
    fn is_too_long(&self, engine: &Engine, state: &State, to: SocketAddrV4) -> bool {
        let stack = &engine.stack;
        self.segment(state) == 0
            && stack.udp_is_too_long(
                &self.asked.with_ip_options(state.options.udp()),
                *to.ip(),
                self.data.asked(),
            )
    }

    /// UDP_SEGMENT.
    fn segment(&self, state: &State) -> usize {
        usize::from(self.asked.segment.unwrap_or(state.options.segment))
    }

    fn tell_of_zero_copy(&self, engine: &mut Engine, state: &State) {
        let asked = self.flags & libc::MSG_ZEROCOPY != 0 && state.options.zero_copy;
        if let Some(id) = state.endpoint
            && asked
        {
            engine.sent_zero_copy(id);
        }
    }

    /// What the control messages ask for must be ours to give. ENODEV, ENETUNREACH; EOPNOTSUPP for a source route.
    fn check_asked(&self, engine: &Engine) -> Result<(), Errno> {
        if self.asked.interface != 0 && self.asked.interface != engine.interface_index() {
            return Err(Errno::NODEV);
        }
        if self
            .asked
            .ip_options
            .is_some_and(|options| options.has_source_route())
        {
            return Err(Errno::OPNOTSUPP);
        }
        match self.asked.source {
            Some(source) if !source.is_unspecified() && !engine.is_local(source) => {
                Err(Errno::NETUNREACH)
            }
            _ => Ok(()),
        }
    }

    /// Whether the datagram is not complete yet.
    fn holds(&self, state: &State) -> bool {
        state.options.cork || self.flags & libc::MSG_MORE != 0
    }

    /// One more part of what is held back; the address is the first part's. As on Linux what
    /// becomes too long is lost.
    fn append(
        &self,
        engine: &mut Engine,
        state: &mut State,
        mut held: Box<Held>,
    ) -> Result<usize, Errno> {
        if held.data.len() + self.data.asked() > LONGEST {
            return Err(self.too_long(engine, state, held.to));
        }
        self.data.whole()?;
        // connect(2) with AF_UNSPEC may have taken its port.
        opened(engine, self.socket, state)?;
        self.data
            .runs(0)
            .for_each(|run| held.data.extend_from_slice(run));
        let holds = self.holds(state);
        state.held = Some(held);
        if !holds {
            send_held(engine, state)?;
        }
        Ok(self.data.len())
    }

    /// Sends the data whole, or cut up as UDP_SEGMENT asks.
    fn send_segments(
        &self,
        engine: &mut Engine,
        state: &State,
        datagram: SocketId,
        to: SocketAddrV4,
    ) -> Result<(), Errno> {
        let segment = self.segment(state);
        if segment > 0 && segment < self.data.len() {
            return send_cut(engine, datagram, to, &self.gathered(), segment);
        }
        let mut slices: [&[u8]; 16] = [&[]; 16];
        let mut count = 0;
        for run in self.data.runs(0) {
            if count == slices.len() {
                return transmit(engine, datagram, to, &[&self.gathered()]);
            }
            slices[count] = run;
            count += 1;
        }
        transmit(engine, datagram, to, &slices[..count])
    }

    fn gathered(&self) -> Vec<u8> {
        self.data.runs(0).flatten().copied().collect()
    }

    /// A destination that is the kernel's: by the kernel socket that holds our port, so that the
    /// answer finds us; a socket without a port goes over to the kernel altogether.
    fn send_by_kernel(
        &self,
        engine: &mut Engine,
        state: &mut State,
        to: SocketAddrV4,
    ) -> Result<Option<usize>, Errno> {
        let Some(port) = state
            .local
            .map(|local| local.port())
            .filter(|&port| port > 0)
        else {
            if self.stays {
                return Err(Errno::NETUNREACH);
            }
            return to_kernel(engine, self.socket, state, Passed::Destination).map(|_| None);
        };
        let data = self.gathered();
        let sent = engine.send_by_kernel(port, to.into(), &data, &self.asked.route6, 0);
        sent.map(Some)
    }

    /// An IPv6 destination is the kernel's likewise: what answers it comes by the socket that holds our
    /// port. Where that is none of IPv6's, the kernel serves the socket altogether.
    fn send_inet6(
        &self,
        engine: &mut Engine,
        state: &mut State,
        to: SocketAddrV6,
    ) -> Result<Option<usize>, Errno> {
        let port = state.local.map_or(0, |local| local.port());
        self.data.whole()?;
        let Some(side) = engine.inet6_side(port) else {
            if self.stays {
                return Err(Errno::NETUNREACH);
            }
            return leave(engine, self.socket, state, Passed::Inet6).map(|_| None);
        };
        state.options.replay_inet6(side.fd().as_raw_fd());
        let data = self.gathered();
        let segment = self.segment(state);
        let segment = if segment == 0 { data.len() } else { segment };
        let flags = self.flags & (libc::MSG_MORE | libc::MSG_DONTROUTE | libc::MSG_CONFIRM);
        let mut send =
            |piece: &[u8]| engine.send_by_kernel(port, to.into(), piece, &self.asked.route6, flags);
        if data.is_empty() {
            send(&data)?;
        }
        for piece in data.chunks(segment.max(1)) {
            send(piece)?;
        }
        Ok(Some(data.len()))
    }
}

/// Sends `data` in datagrams of `segment` bytes (UDP_SEGMENT), or whole. EINVAL: those were too many.
pub(super) fn send_cut(
    engine: &mut Engine,
    datagram: SocketId,
    to: SocketAddrV4,
    data: &[u8],
    segment: usize,
) -> Result<(), Errno> {
    if segment == 0 || data.len() <= segment {
        return transmit(engine, datagram, to, &[data]);
    }
    if data.len().div_ceil(segment) > MOST_SEGMENTS {
        return Err(Errno::INVAL);
    }
    data.chunks(segment)
        .try_for_each(|piece| transmit(engine, datagram, to, &[piece]))
}

fn transmit(
    engine: &mut Engine,
    datagram: SocketId,
    to: SocketAddrV4,
    pieces: &[&[u8]],
) -> Result<(), Errno> {
    let now = engine.now();
    match engine.stack.udp_send(now, datagram, to, pieces) {
        // What fills the send buffer leaves it with the next pass.
        Err(Error::WouldBlock) => {
            engine.finish_pass();
            engine.stack.udp_send(now, datagram, to, pieces)
        }
        result => result,
    }
    .map_err(errno::of)
}
