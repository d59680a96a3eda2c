//! Receiving from a connection: recv(2), recvfrom(2), recvmsg(2), read(2), readv(2).

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::waiting::{self, deadline, partial, resume};
use super::{Kind, Socket, away, errno, receiving, repair, table, urgent};
use crate::driver::{
    self, Caller, Direct, Endpoint, EndpointId, Engine, Guard, Interruption, Mark, Question, Role,
    Wait, wait,
};
use crate::stack::error::Error;
use crate::stack::sink::Datagram;
use crate::sys::user::Buffers;
use crate::sys::{clock, handlers, raw};

/// How long, in nanoseconds, a call sleeps at most that waits for more than it peeks at.
pub(super) const PEEKED: u64 = 5_000_000;

/// Receives into `data`; how many bytes. `None`: the descriptor works by itself, make the call on
/// it.
pub fn receive(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Option<Result<usize, Errno>> {
    debug_assert_eq!(socket.kind, Kind::Stream);
    let engine = driver::lock();
    let state = socket.state();
    let (Some(mut engine), Some(id)) = (engine, state.endpoint) else {
        drop(state);
        return receiving::receive(fd, socket, data, flags);
    };
    if state.options.repair.is_some()
        && let Some(received) = repair::receive(&engine, &state, data, flags)
    {
        return Some(received);
    }
    let timeout = state.options.receive_timeout;
    let low_water = state.options.receive_low_water;
    let onward = state.options.peek_offset >= 0;
    let inline = state.options.urgent_inline;
    drop(state);
    if flags & libc::MSG_OOB != 0 && flags & libc::MSG_ERRQUEUE == 0 {
        return Some(urgent::receive(&mut engine, id, data, flags, inline));
    }
    let wanted = match flags & libc::MSG_WAITALL {
        0 => low_water.min(data.len()),
        _ => data.len(),
    };
    let call = Call {
        fd: Cell::new(fd),
        socket,
        id,
        timeout,
        data,
        flags,
        enough: wanted.max(1),
        onward,
        inline,
        waited: Cell::new(false),
    };
    Some(call.run(&mut engine))
}

/// Whether what there is to receive, and the end of it, is to be had from the pair itself.
pub fn is_all_in_pair(fd: RawFd, socket: &Socket) -> bool {
    if socket.away().is_some() {
        // Datagrams have a header there, a listener's pair has descriptors, and the owner knows how a stream ends.
        let has_bytes = || raw::unread(fd).is_ok_and(|count| count > 0) && !raw::at_mark(fd);
        return socket.kind == Kind::Stream && away::is_connected(fd, socket) && has_bytes();
    }
    let Some(engine) = driver::lock() else {
        return true;
    };
    let id = socket.state().endpoint;
    let endpoint = id.and_then(|id| engine.endpoints.get(id));
    endpoint.is_none_or(|held| {
        matches!(held.role, Role::Connection(_)) && !held.read_finished && held.mark == Mark::None
    })
}

/// recv(2) without waiting, for another process that holds the connection.
pub(super) fn receive_in(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Arc<Socket>,
    flags: i32,
    room: i32,
) -> Result<Vec<u8>, Errno> {
    let room = usize::try_from(room).unwrap_or(0).min(Question::ROOM);
    let mut bytes = vec![0; room];
    let state = socket.state();
    let (id, options) = (state.endpoint, &state.options);
    let (onward, inline) = (options.peek_offset >= 0, options.urgent_inline);
    drop(state);
    let id = id.ok_or(Errno::NOTSOCK)?;
    if flags & libc::MSG_OOB != 0 {
        let count = urgent::receive(engine, id, &Buffers::over(&mut bytes), flags, inline)?;
        bytes.truncate(count);
        return Ok(bytes);
    }
    let call = Call {
        fd: Cell::new(fd),
        socket,
        id,
        timeout: None,
        data: &Buffers::over(&mut bytes),
        flags: flags | libc::MSG_DONTWAIT,
        enough: 1,
        onward,
        inline,
        waited: Cell::new(false),
    };
    let got = call.attempt(engine, &Cell::new(0));
    let count = got.unwrap_or(Err(Errno::AGAIN))?;
    bytes.truncate(count);
    Ok(bytes)
}

struct Call<'a, 'b> {
    /// The descriptor: another thread may close the number while the call sleeps.
    fd: Cell<RawFd>,
    socket: &'a Arc<Socket>,
    id: EndpointId,
    timeout: Option<Duration>,
    data: &'a Buffers<'b>,
    flags: i32,
    /// Bytes to wait for.
    enough: usize,
    /// SO_PEEK_OFF is in use: all goes through the pair, which keeps the offset.
    onward: bool,
    /// SO_OOBINLINE.
    inline: bool,
    /// It has found nothing before.
    waited: Cell<bool>,
}

impl Call<'_, '_> {
    fn peeks(&self) -> bool {
        self.flags & libc::MSG_PEEK != 0
    }

    fn waits(&self, engine: &Engine) -> bool {
        waiting::waits(engine, self.id, self.fd.get(), self.socket, self.flags)
    }

    /// Whether the bytes are thrown away instead of copied (tcp(7), MSG_TRUNC).
    fn discards(&self) -> bool {
        self.flags & libc::MSG_TRUNC != 0
    }

    fn run(&self, engine: &mut Guard) -> Result<usize, Errno> {
        let got = Cell::new(0);
        if let Some(result) = self.attempt(engine, &got) {
            return result;
        }
        if !self.waits(engine) {
            engine.look_again(self.id);
            return self
                .attempt(engine, &got)
                .unwrap_or_else(|| partial(&got, Errno::AGAIN));
        }
        self.wait(engine, &got)
    }

    fn wait(&self, engine: &mut Guard, got: &Cell<usize>) -> Result<usize, Errno> {
        self.waited.set(true);
        let deadline = deadline(self.timeout);
        let connection = engine
            .endpoints
            .get(self.id)
            .and_then(|endpoint| endpoint.socket());
        let mut take = |bytes: &[u8]| {
            let count = self.data.put(got.get(), bytes);
            got.set(got.get() + count);
            count
        };
        let mut none = |_: &Datagram, _: &[u8]| {};
        let mut direct = connection.map(|socket| Direct {
            socket,
            take: &mut take,
            take_datagram: &mut none,
            taken: 0,
            full: false,
        });
        loop {
            // What was peeked at, and is not enough, keeps the pair readable.
            let stays = self.peeks() && got.get() > 0;
            let next_look = stays.then(|| clock::monotonic().saturating_add(PEEKED));
            let until = [deadline, next_look].into_iter().flatten().min();
            let mut request = Wait {
                deadline: until,
                caller: Some(Caller {
                    id: self.id,
                    fd: &self.fd,
                    events: if stays { 0 } else { libc::POLLIN },
                }),
                ..Wait::default()
            };
            let offered = if self.peeks() || self.discards() || self.onward {
                None
            } else {
                direct.as_mut()
            };
            let outcome = wait(engine, &mut request, offered, |engine, _| {
                let attempted = self.attempt(engine, got);
                let begins_to_stay = self.peeks() && got.get() > 0 && !stays;
                (attempted.is_some() || begins_to_stay).then_some(attempted)
            });
            match outcome {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(Interruption::TimedOut) if until != deadline => {}
                Err(interruption) => match resume(interruption, self.timeout) {
                    // As on Linux, who asks for nothing waits, and gets it.
                    Err(Errno::AGAIN) if self.data.len() == 0 => return Ok(0),
                    Err(errno) => return partial(got, errno),
                    Ok(()) => {}
                },
            }
        }
    }

    /// Takes what is there: from the pair first, then from the receive queue. `None`: not enough.
    fn attempt(&self, engine: &mut Engine, got: &Cell<usize>) -> Option<Result<usize, Errno>> {
        if self.peeks() && !self.onward {
            got.set(0);
        }
        if self.onward {
            let now = engine.now();
            engine.settle(now, self.id);
        }
        let Some(endpoint) = engine.endpoints.get_mut(self.id) else {
            return Some(self.take_rest(got));
        };
        if endpoint.program < 0 {
            // Another thread has closed it: the number may be somebody else's by now.
            return Some(partial(got, Errno::BADF));
        }
        table::follow(&self.fd, self.socket, endpoint.program);
        match endpoint.role {
            Role::Undecided => {
                return Some(match endpoint.take_error() {
                    Some(error) => Err(errno::of(error)),
                    None if endpoint.read_finished => Ok(0),
                    None => Err(Errno::NOTCONN),
                });
            }
            Role::Listener(_) => return Some(Err(Errno::NOTCONN)),
            role @ (Role::Connection(_) | Role::Ended) if self.data.len() == 0 => {
                let unread =
                    endpoint.unread && raw::unread(self.fd.get()).is_ok_and(|count| count > 0);
                let queued = match role {
                    Role::Connection(connection) => engine.stack.tcp_receive_len(connection) > 0,
                    _ => false,
                };
                if unread || queued {
                    return Some(Ok(0));
                }
                return self.at_end(engine, got);
            }
            // As on Linux, who reads at the mark passes it, whatever comes of it.
            _ if !self.peeks() => endpoint.pass_mark(),
            _ => {}
        }
        let ended = if engine.is_marked(self.id) {
            engine.bring_mark(self.id);
            if handlers::any_wait() && self.waits(engine) {
                // SIGURG's may take the byte before this call passes it.
                return None;
            }
            self.take_to_mark(engine, got)
        } else {
            self.take_from_pair(engine, got)
        };
        if ended.is_some() {
            return ended;
        }
        if !self.peeks() || got.get() == 0 || !engine.is_marked(self.id) {
            self.take_from_queue(engine, got);
        }
        if got.get() > 0 {
            engine.found_some(self.id);
        }
        if got.get() >= self.enough {
            return Some(Ok(got.get()));
        }
        self.at_end(engine, got)
    }

    /// Both ways are shut and the stack has let go: what is left is in the pair. Or another thread has
    /// closed the socket, or given the connection up (connect(2), AF_UNSPEC).
    fn take_rest(&self, got: &Cell<usize>) -> Result<usize, Errno> {
        if !table::holds(self.fd.get(), self.socket) {
            return partial(got, Errno::BADF);
        }
        if self.socket.state().endpoint != Some(self.id) {
            return partial(got, Errno::PIPE);
        }
        let flags = self.flags & libc::MSG_PEEK;
        match raw::receive(self.fd.get(), self.data.parts(), got.get(), flags) {
            Ok(count) => Ok(got.get() + count),
            Err(errno) => partial(got, errno),
        }
    }

    /// Takes bytes from the pair, as far as the urgent mark: a call that has some ends there.
    fn take_to_mark(&self, engine: &mut Engine, got: &Cell<usize>) -> Option<Result<usize, Errno>> {
        if self.has_come_to_mark(engine, got) {
            return Some(Ok(got.get()));
        }
        if !self.peeks()
            && let Some(endpoint) = engine.endpoints.get_mut(self.id)
        {
            endpoint.give_mark_up();
        }
        self.take_from_pair(engine, got)
            .or_else(|| self.has_come_to_mark(engine, got).then(|| Ok(got.get())))
    }

    fn has_come_to_mark(&self, engine: &Engine, got: &Cell<usize>) -> bool {
        let endpoint = engine.endpoints.get(self.id);
        got.get() > 0 && endpoint.is_some_and(Endpoint::is_at_mark)
    }

    /// Takes bytes from the pair. Something is given only if that ends the call.
    fn take_from_pair(
        &self,
        engine: &mut Engine,
        got: &Cell<usize>,
    ) -> Option<Result<usize, Errno>> {
        let unread = engine
            .endpoints
            .get(self.id)
            .is_some_and(|held| held.unread);
        // A buffer that was filled directly has no room to ask the pair with: it would say nothing.
        if !unread || got.get() >= self.data.len() {
            return None;
        }
        let flags = self.flags & libc::MSG_PEEK;
        let taken = if self.discards() {
            raw::discard(self.fd.get(), self.data.len() - got.get(), flags)
        } else {
            raw::receive(self.fd.get(), self.data.parts(), got.get(), flags)
        };
        let endpoint = engine.endpoints.get_mut(self.id)?;
        match taken {
            // What was peeked at already is there still.
            Err(Errno::AGAIN) if self.peeks() && self.onward => {}
            Ok(0) | Err(Errno::AGAIN) if self.peeks() && endpoint.mark == Mark::InPair => {}
            Ok(0) | Err(Errno::AGAIN) => endpoint.found_pair_empty(),
            Ok(count) => {
                got.set(got.get() + count);
                if !self.peeks() {
                    endpoint.passed = endpoint.passed.saturating_sub(count);
                }
                if got.get() < self.data.len() && !self.peeks() {
                    // The pair gave all it had, or all before the mark.
                    endpoint.unread = endpoint.mark == Mark::InPair;
                } else if endpoint.full && !self.peeks() {
                    engine.refill(self.id);
                }
            }
            Err(errno) => {
                return Some(match endpoint.error {
                    Some(Error::BrokenPipe) => Ok(got.get()),
                    Some(_) => partial(got, endpoint.take_error().map_or(errno, errno::of)),
                    None => partial(got, errno),
                });
            }
        }
        engine.note_read(self.id);
        None
    }

    fn take_from_queue(&self, engine: &mut Engine, got: &Cell<usize>) {
        let Some(endpoint) = engine.endpoints.get(self.id) else {
            return;
        };
        let Role::Connection(connection) = endpoint.role else {
            return;
        };
        // No pair takes it out of line any more.
        let passes_mark = endpoint.read_finished && !self.inline;
        if self.peeks() && self.onward {
            return;
        }
        let at_mark = |engine: &Engine| engine.stack.tcp_urgent_offset(connection) == Some(0);
        if self.peeks() {
            let skipped = usize::from(passes_mark && at_mark(engine));
            self.peek_queue(engine, connection, skipped, got);
            return;
        }
        let now = engine.now();
        let mut any = false;
        while got.get() < self.data.len() {
            let bytes = engine.stack.tcp_received(connection);
            let at_mark = at_mark(engine);
            if bytes.is_empty() || at_mark && got.get() > 0 {
                break;
            }
            any = true;
            if at_mark && passes_mark {
                engine.stack.tcp_consume(now, connection, 1);
                continue;
            }
            let count = if self.discards() {
                bytes.len().min(self.data.len() - got.get())
            } else {
                self.data.put(got.get(), bytes)
            };
            got.set(got.get() + count);
            engine.stack.tcp_consume(now, connection, count);
        }
        if any {
            engine.finish_pass();
        }
    }

    #[inline(never)] // As `raw::discard`.
    fn peek_queue(
        &self,
        engine: &mut Engine,
        connection: crate::stack::ids::SocketId,
        skipped: usize,
        got: &Cell<usize>,
    ) {
        let stack = &engine.stack;
        let mut piece = [0; 4096];
        let before = got.get();
        while got.get() < self.data.len() {
            let most = piece.len().min(self.data.len() - got.get());
            let offset = skipped + got.get() - before;
            let count = stack.tcp_peek(connection, offset, &mut piece[..most]);
            if count == 0 {
                break;
            }
            if !self.discards() {
                self.data.put(got.get(), &piece[..count]);
            }
            got.set(got.get() + count);
        }
    }

    /// Nothing more is there now. `None`: something may come.
    fn at_end(&self, engine: &mut Engine, got: &Cell<usize>) -> Option<Result<usize, Errno>> {
        let endpoint = engine.endpoints.get_mut(self.id)?;
        let (over, troubled) = match endpoint.role {
            // As on Linux, what was shut before has its end, connected or not.
            Role::Connecting(_) => (endpoint.read_finished, false),
            Role::Connection(connection) => {
                let progress = engine.stack.tcp_progress(connection);
                let ended =
                    progress.is_none_or(|progress| progress.is_last() && progress.receive_len == 0);
                let troubled = progress.is_some_and(|progress| progress.troubled);
                (
                    endpoint.read_finished || ended,
                    troubled || endpoint.error.is_some(),
                )
            }
            _ => (true, false),
        };
        // Who asks for nothing, and has waited for it, is told of no error that has come.
        if self.data.len() == 0 && self.waited.get() {
            return (over || troubled).then_some(Ok(0));
        }
        if got.get() == 0 && (over || troubled) {
            let now = engine.now();
            engine.settle(now, self.id);
            // After the end of the stream an error is only the senders' (EPIPE).
            if let Some(endpoint) = engine.endpoints.get_mut(self.id)
                && endpoint.error != Some(Error::BrokenPipe)
                && let Some(error) = endpoint.take_error()
            {
                return Some(Err(errno::of(error)));
            }
        }
        over.then(|| Ok(got.get()))
    }
}
