//! The user calls of [`tcp::repair`](super::tcp), with what the rest of the stack knows.

use core::net::SocketAddrV4;

use super::Stack;
use super::error::Error;
use super::ids::SocketId;
use super::routes::RouteDecision;
use super::tcp::{Agreed, Places, TcpOptions, Windows};
use super::time::Instant;

impl Stack {
    /// Active OPEN of a connection that stands between `ends`, ours first, under repair; see
    /// [`tcp_connect`](Self::tcp_connect).
    pub fn tcp_resume(
        &mut self,
        now: Instant,
        ends: [SocketAddrV4; 2],
        places: Places,
        options: &TcpOptions,
    ) -> Result<SocketId, Error> {
        let remote = *ends[1].ip();
        let routed = matches!(self.interface.route(remote), RouteDecision::Stack { .. });
        if !routed || self.interface.is_broadcast(remote) {
            return Err(Error::NetworkUnreachable);
        }
        self.tcp.resume(now, ends, places, options, &mut self.pool)
    }

    /// A connection is under repair from now on: its user leaves without a word to the peer.
    pub fn tcp_begin_repair(&mut self, id: SocketId) {
        self.tcp.begin_repair(id);
    }

    /// It is no longer. `probe`: the peer is asked for an acknowledgment.
    pub fn tcp_end_repair(&mut self, now: Instant, id: SocketId, probe: bool) {
        self.tcp.end_repair(now, id, probe, &mut self.pool);
    }

    /// Puts bytes into the receive queue, as if they had come; how many there was room for.
    pub fn tcp_put_received<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
    ) -> usize {
        self.tcp.put_received(now, id, runs, &mut self.pool)
    }

    /// Puts bytes into the send queue, as if they had been sent; how many there was room for. Errors as
    /// [`tcp_send_all`](Self::tcp_send_all).
    pub fn tcp_put_sent<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Error> {
        self.tcp.put_sent(now, id, runs, &mut self.pool)
    }

    /// Copies bytes of the send queue from `offset` on; gives how many.
    pub fn tcp_peek_sent(&self, id: SocketId, offset: usize, buffer: &mut [u8]) -> usize {
        self.tcp.peek_sent(id, offset, buffer, &self.pool)
    }

    /// Where both directions of a connection are; none for a stale handle.
    pub fn tcp_places(&self, id: SocketId) -> Option<Places> {
        self.tcp.places(id)
    }

    /// What a connection's timestamps add to the clock.
    pub fn tcp_set_timestamp_offset(&mut self, id: SocketId, offset: u32) {
        self.tcp.set_timestamp_offset(id, offset);
    }

    /// A connection's windows; none for a stale handle.
    pub fn tcp_windows(&self, id: SocketId) -> Option<Windows> {
        self.tcp.windows(id)
    }

    /// Takes over the windows that a connection had. False: they cannot be its own.
    pub fn tcp_set_windows(&mut self, id: SocketId, windows: &Windows) -> bool {
        self.tcp.set_windows(id, windows)
    }

    /// Takes over what the handshake had agreed on.
    pub fn tcp_agree(&mut self, id: SocketId, agreed: Agreed) {
        self.tcp.agree(id, agreed);
    }

    /// Whether a connection is established, and nothing of it was sent yet.
    pub fn tcp_may_agree(&self, id: SocketId) -> bool {
        self.tcp.may_agree(id)
    }

    /// The peer's segment size, as it has said; none for a stale handle.
    pub fn tcp_peer_mss(&self, id: SocketId) -> Option<u16> {
        self.tcp.peer_mss(id)
    }
}
