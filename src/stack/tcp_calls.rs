//! The user calls of TCP: those of [`Tcp`](super::tcp::Tcp), with what the rest of the stack knows.

use core::net::SocketAddrV4;

use super::Stack;
use super::error::Error;
use super::ids::{Kind, SocketId};
use super::passing::{Road, Way};
use super::routes::RouteDecision;
use super::sendings::Stamps;
use super::tcp::{self, ListenerStatus, Progress, TcpOptions, TcpStatus, Urgent, ZeroCopies};
use super::time::Instant;

impl Stack {
    /// Active OPEN. `local` is an address of ours with a leased port.
    ///
    /// Errors: `NetworkUnreachable` without a route of the stack's or to a broadcast address,
    /// `AddressNotAvailable` if the pair of addresses is taken, `NoBuffers` if there are too many
    /// connections.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        options: &TcpOptions,
    ) -> Result<SocketId, Error> {
        let route = self.interface.route(*remote.ip());
        let routed = matches!(route, RouteDecision::Stack { .. });
        if !routed || self.interface.is_broadcast(*remote.ip()) {
            return Err(Error::NetworkUnreachable);
        }
        self.outbox.release(&mut self.pool);
        self.tcp
            .connect(now, local, remote, options, &mut self.pool)
    }

    /// Fast Open (RFC 7413), right after [`tcp_connect`](Self::tcp_connect): whether the SYN waits for data, as the peer's
    /// cookie is known; else it asks for one.
    pub fn tcp_hold_syn(&mut self, now: Instant, connection: SocketId) -> bool {
        self.tcp.hold_syn(now, connection)
    }

    /// Whether anybody may (net.ipv4.tcp_fastopen).
    pub const fn tcp_may_open_fast(&self) -> bool {
        self.tcp.may_open_fast()
    }

    /// Whether it does.
    pub fn tcp_holds_syn(&self, connection: SocketId) -> bool {
        self.tcp.holds_syn(connection)
    }

    /// It leaves, with as much of `runs` as there is room for; gives how many bytes that are.
    pub fn tcp_open_fast<'a>(
        &mut self,
        now: Instant,
        connection: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
    ) -> usize {
        self.tcp.open_fast(now, connection, runs, &mut self.pool)
    }

    /// How many bytes there is room for.
    pub fn tcp_room_beside_syn(&self, connection: SocketId) -> usize {
        self.tcp.room_beside_syn(connection).min(self.pool.room())
    }

    /// What makes the cookies that clients are given.
    pub fn tcp_set_fast_open_key(&mut self, key: [u8; 16]) {
        self.tcp.set_fast_open_key(key);
    }

    /// Says that there is no memory for what stays: no connection is made, until it is said that there is.
    pub const fn tcp_set_short(&mut self, short: bool) {
        self.tcp.set_short(short);
    }

    /// Whether no connection, in TIME-WAIT or otherwise, has these ends.
    pub fn tcp_tuple_free(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        self.tcp.tuple_free(local, remote)
    }

    /// Passive OPEN on `local`, whose port is leased; the IP address may be unspecified.
    ///
    /// Errors: `AddressInUse` if another listener has exactly this address and not both share it.
    pub fn tcp_listen(
        &mut self,
        local: SocketAddrV4,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<SocketId, Error> {
        self.tcp.listen(local, backlog, options)
    }

    /// Changes how many connections may wait to be accepted.
    pub fn tcp_set_backlog(&mut self, listener: SocketId, backlog: u32) {
        self.tcp.set_backlog(listener, backlog);
    }

    /// The connection that has waited longest to be accepted. It may have ended meanwhile.
    pub fn tcp_accept(&mut self, listener: SocketId) -> Option<SocketId> {
        self.tcp.accept(listener)
    }

    /// The same, while it is on its way to a user who may take it or not; one at a time. It counts as the listener's, and is
    /// reset with what waits there, until it is [taken](Self::tcp_taken).
    pub fn tcp_offer(&mut self, listener: SocketId) -> Option<SocketId> {
        self.tcp.offer(listener)
    }

    /// What was offered last could not be: it waits again, as the next one.
    pub fn tcp_withdraw(&mut self, listener: SocketId) {
        self.tcp.withdraw(listener);
    }

    /// What was offered last and is not known to be taken.
    pub fn tcp_offered(&self, listener: SocketId) -> Option<SocketId> {
        self.tcp.offered(listener)
    }

    /// What was offered last was taken, or may have been.
    pub fn tcp_taken(&mut self, listener: SocketId) {
        self.tcp.taken(listener);
    }

    /// SEND of bytes that were taken from the user already, and are queued whatever bounds the queue; see
    /// [`tcp_pool_room`](Self::tcp_pool_room).
    pub fn tcp_send_taken(
        &mut self,
        now: Instant,
        id: SocketId,
        data: &[u8],
    ) -> Result<usize, Error> {
        let run = core::iter::once(data);
        self.tcp
            .send_within(now, id, data.len(), run, false, &mut self.pool)
    }

    /// SEND: queues as much of `runs` as there is room for and returns how many bytes that was.
    /// With `more` the end of it waits for what follows (MSG_MORE).
    ///
    /// Errors: `WouldBlock` if there is no room, or no connection yet; `BrokenPipe` if the sending
    /// side is closed; `Invalid` for a stale handle; what ended the connection, once.
    pub fn tcp_send_all<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
        more: bool,
    ) -> Result<usize, Error> {
        self.tcp.send_all(now, id, runs, more, &mut self.pool)
    }

    /// The user has more to send than there is room for: it is told, as after a SEND that did not take all.
    pub fn tcp_await_room(&mut self, id: SocketId) {
        self.tcp.await_room(id);
    }

    /// There is to be room for the last `count` bytes that are sent, whatever bounds the send queue.
    pub fn tcp_make_room(&mut self, id: SocketId, count: usize) {
        self.tcp.make_room(id, count);
    }

    /// A call has sent something: of its last byte is to be told what `stamps` say, or else the socket's
    /// options; see [`poll_sending`](Self::poll_sending).
    pub fn tcp_stamp(&mut self, id: SocketId, stamps: Option<Stamps>) {
        self.tcp.stamp(id, stamps);
    }

    /// SEND with the URGENT flag (MSG_OOB). Errors as [`tcp_send_all`](Self::tcp_send_all).
    pub fn tcp_send_urgent<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Error> {
        self.tcp.send_urgent(now, id, runs, &mut self.pool)
    }

    /// RECEIVE: the first run of bytes that lie side by side in the receive queue; empty only if
    /// none is queued. It ends before the urgent byte, which is a run by itself.
    pub fn tcp_received(&self, id: SocketId) -> &[u8] {
        self.tcp.received(id, &self.pool)
    }

    /// Calls `visit` with [that](Self::tcp_received) run and those after it, which end before the urgent byte.
    pub fn tcp_received_runs<'a>(&'a self, id: SocketId, visit: impl FnMut(&'a [u8])) {
        self.tcp.received_runs(id, &self.pool, visit);
    }

    /// How many queued bytes come before the urgent one, if one was announced and is not taken. It
    /// may not have arrived.
    pub fn tcp_urgent_offset(&self, id: SocketId) -> Option<usize> {
        self.tcp.urgent_offset(id)
    }

    /// The urgent byte that the receive queue has, or is to have.
    pub fn tcp_urgent(&self, id: SocketId) -> Urgent {
        self.tcp.urgent(id, &self.pool)
    }

    /// The user has received that byte by itself, whose place in the queue is left.
    pub fn tcp_take_urgent(&mut self, id: SocketId) {
        self.tcp.take_urgent(id);
    }

    /// Whether an urgent byte came with what was answered by a reset.
    pub fn tcp_has_lost_urgent(&self, id: SocketId) -> bool {
        self.tcp.has_lost_urgent(id)
    }

    /// All bytes in the receive queue that are in order.
    pub fn tcp_receive_len(&self, id: SocketId) -> usize {
        self.tcp.receive_len(id)
    }

    /// Copies queued bytes from `offset` on into `buffer` and returns how many.
    pub fn tcp_peek(&self, id: SocketId, offset: usize, buffer: &mut [u8]) -> usize {
        self.tcp.peek(id, offset, buffer, &self.pool)
    }

    /// Takes `count` bytes off the receive queue. The peer hears of the room once it is worth
    /// telling (RFC 9293 section 3.8.6.2.2).
    pub fn tcp_consume(&mut self, now: Instant, id: SocketId, count: usize) {
        self.tcp.consume(now, id, count, &mut self.pool);
    }

    /// Bytes are about to be moved between a connection and its user by `road`, on which others see them, as
    /// [`Passing`](super::passing::Passing) says. It ends when they are consumed.
    pub fn tcp_begin_passing(&mut self, id: SocketId, way: Way, road: &mut Road) {
        self.tcp.begin_passing(id, way, road);
    }

    /// None were, or they have been sent.
    pub fn tcp_end_passing(&mut self, id: SocketId) {
        self.tcp.end_passing(id);
    }

    /// So many bytes that mean nothing come before the user's, on a road on which others see them: a
    /// note for who goes on with the stack.
    pub fn tcp_note_filler(&mut self, id: SocketId, count: usize) {
        self.tcp.note_filler(id, count);
    }

    /// What was noted last.
    pub fn tcp_filler(&self, id: SocketId) -> usize {
        self.tcp.filler(id)
    }

    /// So many sends of the connection's with MSG_ZEROCOPY there were: a note likewise.
    pub fn tcp_note_zero_copies(&mut self, id: SocketId, sends: ZeroCopies) {
        self.tcp.note_zero_copies(id, sends);
    }

    /// What was noted last.
    pub fn tcp_zero_copies(&self, id: SocketId) -> ZeroCopies {
        self.tcp.zero_copies(id)
    }

    /// The user has read all that was passed on to it.
    pub fn tcp_all_read(&mut self, id: SocketId) {
        self.tcp.all_read(id);
    }

    /// The user expects to receive nothing more. Once the sending side is closed, too, what comes is answered with RST.
    pub fn tcp_shutdown_read(&mut self, id: SocketId) {
        self.tcp.shutdown_read(id);
    }

    /// CLOSE of the sending side: a FIN after what is queued.
    ///
    /// Errors: `NotConnected` if there is no connection, `Invalid` for a stale handle.
    pub fn tcp_shutdown_write(&mut self, now: Instant, id: SocketId) -> Result<(), Error> {
        self.tcp.shutdown_write(now, id, &mut self.pool)
    }

    /// The user of a connection or listener is gone. What was sent is still delivered, unless data
    /// was left unread; the place frees itself in the end.
    pub fn tcp_close(&mut self, now: Instant, id: SocketId) {
        self.tcp.close(now, id, &mut self.pool);
    }

    /// ABORT: a RST to the peer, and the place is free.
    pub fn tcp_abort(&mut self, now: Instant, id: SocketId) {
        self.tcp.abort(now, id, &mut self.pool);
    }

    /// Why the connection ended, or what ICMP said about it (SO_ERROR). It is told once.
    pub fn tcp_take_error(&mut self, id: SocketId) -> Option<Error> {
        self.tcp.take_error(id)
    }

    /// STATUS; none for a stale handle.
    pub fn tcp_status(&self, id: SocketId) -> Option<TcpStatus> {
        self.tcp.status(id)
    }

    /// STATUS of a listener; none for a stale handle.
    pub fn tcp_listener_status(&self, id: SocketId) -> Option<ListenerStatus> {
        self.tcp.listener_status(id)
    }

    /// [`TcpOptions::edition`] of the connection that came last into a listener's accept queue.
    pub fn tcp_newest_edition(&self, id: SocketId) -> Option<u16> {
        self.tcp.newest_edition(id)
    }

    /// The headers of the SYN that opened a connection (TCP_SAVED_SYN); none if its listener
    /// did not ask for them, or they were let go.
    pub fn tcp_saved_syn(&self, id: SocketId) -> Option<&[u8]> {
        self.tcp.saved_syn(id)
    }

    /// Lets go of them.
    pub fn tcp_forget_saved_syn(&mut self, id: SocketId) {
        self.tcp.forget_saved_syn(id);
    }

    /// How many bytes of a connection's stream are acknowledged, and how many there are; they wrap
    /// around.
    pub fn tcp_sent_places(&self, id: SocketId) -> Option<(u32, u32)> {
        self.tcp.sent_places(id)
    }

    /// Takes in what setsockopt changed on a connection or listener.
    pub fn tcp_set_options(&mut self, now: Instant, id: SocketId, options: &TcpOptions) {
        self.tcp.set_options(now, id, options, &mut self.pool);
    }

    /// TCP_QUICKACK was set to `value`.
    pub fn tcp_set_quickack(&mut self, now: Instant, id: SocketId, value: i32) {
        self.tcp.set_quickack(now, id, value, &mut self.pool);
    }

    /// All connections, half-open and unaccepted ones included, in no order.
    pub fn tcp_connections(&self) -> impl Iterator<Item = SocketId> {
        self.tcp.connections()
    }

    /// All listeners, in no order.
    pub fn tcp_listeners(&self) -> impl Iterator<Item = SocketId> {
        self.tcp.listeners()
    }

    /// How many connections are in TIME-WAIT.
    pub fn tcp_time_wait_len(&self) -> usize {
        self.tcp.time_wait_len()
    }

    /// What TCP counted since the stack was made.
    pub fn tcp_counters(&self) -> &tcp::Counters {
        self.tcp.counters()
    }

    /// How far a connection has come; none for a stale handle.
    pub fn tcp_progress(&self, id: SocketId) -> Option<Progress> {
        self.tcp.progress(id)
    }

    /// How many bytes SEND would take.
    pub fn tcp_send_space(&self, id: SocketId) -> usize {
        self.tcp.send_space(id, &self.pool)
    }

    /// How many bytes [`tcp_send_taken`](Self::tcp_send_taken) would take.
    pub fn tcp_pool_room(&self) -> usize {
        self.pool.room()
    }

    /// Whether TCP_NOTSENT_LOWAT bounds what is unsent.
    pub fn tcp_bounds_unsent(&self, id: SocketId) -> bool {
        self.tcp.bounds_unsent(id)
    }

    /// Whether everything sent, and the FIN if it is due, was acknowledged.
    pub fn tcp_all_acknowledged(&self, id: SocketId) -> bool {
        self.tcp.all_acknowledged(id)
    }

    /// Whether no connection has anything left to be acknowledged.
    pub fn tcp_is_quiet(&self) -> bool {
        self.tcp.is_quiet()
    }

    /// Whether no connection waits for anything any more, TIME-WAIT apart.
    pub fn tcp_is_done(&self) -> bool {
        self.tcp.is_done()
    }

    /// How many connections there are, those included that are closed and not taken note of.
    pub const fn tcp_connection_count(&self) -> usize {
        self.tcp.connection_count()
    }

    /// The ends, ours first, of the connections on a port, TIME-WAIT apart; and of each whether nothing
    /// is missing but the acknowledgment of our FIN.
    pub fn tcp_ends_on(
        &self,
        port: u16,
    ) -> impl Iterator<Item = ((SocketAddrV4, SocketAddrV4), bool)> {
        self.tcp.ends_on(port)
    }

    /// Whether a connection has these ends, TIME-WAIT apart.
    pub fn tcp_is_between(&self, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        self.tcp.is_between(local, remote)
    }

    /// What ICMP said about a connection that goes on; told once.
    pub fn tcp_take_soft_error(&mut self, id: SocketId) -> Option<Error> {
        self.tcp.take_soft_error(id)
    }

    /// Whether the handle stands for something.
    pub fn exists(&self, id: SocketId) -> bool {
        match id.kind {
            Kind::Datagram => self.udp_status(id).is_some(),
            _ => self.tcp.exists(id),
        }
    }

    /// A socket whose place was freed: what was kept for it outside can go.
    pub fn poll_freed(&mut self) -> Option<SocketId> {
        self.tcp.poll_freed()
    }
}
