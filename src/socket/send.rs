//! Sending on a connection: send(2), sendto(2), sendmsg(2), write(2), writev(2).

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::datagram::Asked;
use super::options::Options;
use super::waiting::{self, deadline, partial, resume};
use super::{Kind, Socket, away, errno, readiness, repair, sending, table};
use crate::driver::{self, Caller, Endpoint, EndpointId, Engine, Guard, Role, Wait, wait};
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::sendings::Stamps;
use crate::sys::signal;
use crate::sys::user::Buffers;
use crate::sys::wait::entry;

/// Sends `data`; how many bytes were taken. `None`: the descriptor works by itself, make the call
/// on it.
pub fn send(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    debug_assert_eq!(socket.kind, Kind::Stream);
    let engine = driver::lock();
    let state = socket.state();
    let (Some(mut engine), Some(id)) = (engine, state.endpoint) else {
        drop(state);
        return sending::send(fd, socket, data, flags, asked);
    };
    if state.options.repair.is_some()
        && let Some(sent) = repair::send(&mut engine, &state, data)
    {
        return Some(sent);
    }
    let timeout = state.options.send_timeout;
    let tells = flags & libc::MSG_ZEROCOPY != 0 && state.options.zero_copy;
    let stamps = stamps_of(&state.options, data, asked.stamping);
    drop(state);
    let call = Call {
        fd: Cell::new(fd),
        socket,
        id,
        timeout,
        data,
        flags,
        stamps,
        beside_syn: Cell::new(None),
    };
    let result = call.run(&mut engine);
    call.note_sent(&mut engine, result, tells);
    drop(engine);
    Some(with_signal(result, flags))
}

/// Sends for another process, which waits by itself; `fd` is its descriptor.
pub(super) fn send_in(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    (flags, stamping): (i32, Option<u32>),
) -> Result<usize, Errno> {
    let state = socket.state();
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    let tells = flags & libc::MSG_ZEROCOPY != 0 && state.options.zero_copy;
    let stamps = stamps_of(&state.options, data, stamping);
    drop(state);
    let call = Call {
        fd: Cell::new(fd),
        socket,
        id,
        timeout: None,
        data,
        flags: flags | libc::MSG_DONTWAIT,
        stamps,
        beside_syn: Cell::new(None),
    };
    let sent = Cell::new(0);
    // What was written to the pair before it leaves before it.
    let now = engine.now();
    engine.take_overflow(now, id);
    let result = call.attempt(engine, &sent).unwrap_or_else(|| {
        engine.stuff(id);
        partial(&sent, Errno::AGAIN)
    });
    call.note_sent(engine, result, tells);
    result
}

/// What is to be told of the bytes of a call, which a control message may have asked for: nothing, if there are none.
fn stamps_of(options: &Options, data: &Buffers<'_>, asked: Option<u32>) -> Stamps {
    match data.len() {
        0 => Stamps::default(),
        _ => options.stamping.of_bytes(asked),
    }
}

/// Why nothing can be sent now, whatever it is.
pub fn refusal(fd: RawFd, socket: &Arc<Socket>, flags: i32) -> Option<Errno> {
    match socket.kind {
        Kind::Datagram => super::datagram::refusal(socket),
        Kind::Stream => match send(fd, socket, &Buffers::none(), flags, &Asked::default()) {
            Some(sent) => sent.err(),
            None if socket.state().is_fresh() => with_signal(Err(Errno::PIPE), flags).err(),
            None => None,
        },
    }
}

/// Waits, as the descriptor says, while the program was told that the send queue has no room. EAGAIN.
pub fn wait_for_room(fd: RawFd, socket: &Arc<Socket>) -> Result<(), Errno> {
    if socket.away().is_some() {
        return sending::wait_for_room(fd, socket);
    }
    let state = socket.state();
    let (id, timeout) = (state.endpoint, state.options.send_timeout);
    drop(state);
    let held = driver::lock().zip(id);
    let is_full = held.is_some_and(|(engine, id)| {
        let endpoint = engine.endpoints.get(id);
        endpoint.is_some_and(|endpoint| endpoint.filler > 0)
    });
    if !is_full {
        return Ok(());
    }
    let timeout = match away::waits(fd, 0) {
        true => timeout,
        false => Some(Duration::ZERO),
    };
    match readiness::poll(&mut [entry(fd, libc::POLLOUT)], timeout, None) {
        Some(Ok(0)) => Err(Errno::AGAIN),
        Some(Err(errno)) => Err(errno),
        _ => Ok(()),
    }
}

/// EPIPE comes with SIGPIPE, unless the program asks otherwise.
pub(super) fn with_signal(result: Result<usize, Errno>, flags: i32) -> Result<usize, Errno> {
    if result == Err(Errno::PIPE) && flags & libc::MSG_NOSIGNAL == 0 {
        signal::raise_broken_pipe();
    }
    result
}

struct Call<'a, 'b> {
    /// The descriptor: another thread may close the number while the call sleeps.
    fd: Cell<RawFd>,
    socket: &'a Arc<Socket>,
    id: EndpointId,
    timeout: Option<Duration>,
    data: &'a Buffers<'b>,
    flags: i32,
    /// What is to be told of the sending of the last byte.
    stamps: Stamps,
    /// Bytes that went with a SYN that has waited for them. They count once the connection stands, or is not waited for.
    beside_syn: Cell<Option<usize>>,
}

impl Call<'_, '_> {
    /// What is to be told of the bytes that were taken.
    fn note_sent(&self, engine: &mut Engine, result: Result<usize, Errno>, tells: bool) {
        if self.stamps.any()
            && result.is_ok_and(|count| count > 0 && count < self.data.len())
            && let Some(connection) = engine.endpoints.get(self.id).and_then(Endpoint::socket)
        {
            engine.stack.tcp_stamp(connection, Some(self.stamps));
            engine.finish_pass();
        }
        if tells && result.is_ok_and(|count| count > 0) {
            engine.sent_zero_copy(self.id);
        }
    }

    fn waits(&self, engine: &Engine) -> bool {
        waiting::waits(engine, self.id, self.fd.get(), self.socket, self.flags)
    }

    fn run(&self, engine: &mut Guard) -> Result<usize, Errno> {
        let sent = Cell::new(0);
        if let Some(result) = self.attempt(engine, &sent) {
            return result;
        }
        if !self.waits(engine) {
            if self.beside_syn.get().is_some() {
                return self.leave_opening(engine, &sent);
            }
            // The acknowledgements that make room may be waiting at the link.
            engine.glance(None);
            if let Some(result) = self.attempt(engine, &sent) {
                return result;
            }
            engine.stuff(self.id);
            return partial(&sent, Errno::AGAIN);
        }
        self.wait(engine, &sent)
    }

    fn wait(&self, engine: &mut Guard, sent: &Cell<usize>) -> Result<usize, Errno> {
        let deadline = deadline(self.timeout);
        loop {
            if engine.seat_is_taken() {
                engine.stuff(self.id);
            }
            let mut request = Wait {
                deadline,
                caller: Some(Caller {
                    id: self.id,
                    fd: &self.fd,
                    events: libc::POLLOUT,
                }),
                ..Wait::default()
            };
            let outcome = wait(engine, &mut request, None, |engine, _| {
                self.attempt(engine, sent)
            });
            match outcome {
                Ok(result) => return result,
                Err(interruption) => {
                    if let Err(errno) = resume(interruption, self.timeout) {
                        if errno == Errno::AGAIN {
                            self.count_beside_syn(sent);
                        }
                        return partial(sent, errno);
                    }
                }
            }
        }
    }

    /// The SYN has waited for these bytes.
    fn open_fast(&self, engine: &mut Engine, connection: SocketId) {
        if engine.stack.tcp_holds_syn(connection) {
            let now = engine.now();
            // An urgent byte goes by itself.
            let from = match self.flags & libc::MSG_OOB {
                0 => 0,
                _ => self.data.len(),
            };
            let runs = self.data.runs(from);
            let taken = engine.stack.tcp_open_fast(now, connection, runs);
            self.beside_syn.set(Some(taken));
            engine.finish_pass();
        }
    }

    fn count_beside_syn(&self, sent: &Cell<usize>) {
        sent.set(sent.get() + self.beside_syn.take().unwrap_or(0));
    }

    /// The handshake ends without this call. EINPROGRESS, if nothing went with the SYN.
    fn leave_opening(&self, engine: &mut Engine, sent: &Cell<usize>) -> Result<usize, Errno> {
        engine.stuff(self.id);
        self.socket.state().connect_unconfirmed = true;
        self.count_beside_syn(sent);
        partial(sent, Errno::INPROGRESS)
    }

    /// Why the connection is gone: another thread has closed it, or given it up (connect(2),
    /// AF_UNSPEC), which leaves an error to report.
    fn given_up(&self, engine: &mut Engine) -> Errno {
        if !table::holds(self.fd.get(), self.socket) {
            return Errno::BADF;
        }
        let anew = self.socket.state().endpoint;
        let endpoint = anew.and_then(|id| engine.endpoints.get_mut(id));
        let error = endpoint.and_then(Endpoint::take_error);
        error.map_or(Errno::PIPE, errno::of)
    }

    /// Queues and transmits what fits; `None`: there is more, and it does not fit now.
    fn attempt(&self, engine: &mut Engine, sent: &Cell<usize>) -> Option<Result<usize, Errno>> {
        engine.hear_forks();
        let Some(endpoint) = engine.endpoints.get_mut(self.id) else {
            return Some(partial(sent, self.given_up(engine)));
        };
        table::follow(&self.fd, self.socket, endpoint.program);
        if let Some(error) = endpoint.take_error() {
            return Some(partial(sent, errno::of(error)));
        }
        let connection = match endpoint.role {
            Role::Connection(connection) if !endpoint.write_finished => connection,
            Role::Connecting(connection) => {
                self.open_fast(engine, connection);
                return None;
            }
            _ => return Some(partial(sent, Errno::PIPE)),
        };
        self.count_beside_syn(sent);
        let stuffed = endpoint.filler > 0;
        if endpoint.is_shared() || endpoint.overflow {
            let now = engine.now();
            engine.take_overflow(now, self.id);
            if engine
                .endpoints
                .get(self.id)
                .is_none_or(|endpoint| endpoint.overflow)
            {
                return None;
            }
        }
        if self.flags & libc::MSG_OOB != 0 {
            return Some(self.urgent(engine, connection));
        }
        // Waiting for a third of the queue keeps a blocked sender from waking for every segment.
        let rest = self.data.len() - sent.get();
        let space = engine.stack.tcp_send_space(connection);
        let writable = engine
            .stack
            .tcp_progress(connection)
            .is_some_and(|held| held.writable);
        // Nor does one that was told that the queue is full take the first byte that gets free.
        let was_full = stuffed && self.waits(engine);
        if (sent.get() > 0 || was_full) && space < rest && !writable {
            return None;
        }
        loop {
            let queued = self.queue(engine, connection, sent);
            engine.finish_pass();
            if let Err(errno) = queued {
                return Some(partial(sent, errno));
            }
            if sent.get() == self.data.len() {
                return Some(Ok(sent.get()));
            }
            // What has turned round in the stack has made room again.
            let progress = engine.stack.tcp_progress(connection);
            if !progress.is_some_and(|held| held.writable) {
                return None;
            }
        }
    }

    /// Queues what fits.
    fn queue(
        &self,
        engine: &mut Engine,
        connection: SocketId,
        sent: &Cell<usize>,
    ) -> Result<(), Errno> {
        let now = engine.now();
        let more = self.flags & libc::MSG_MORE != 0;
        let runs = self.data.runs(sent.get());
        match engine.stack.tcp_send_all(now, connection, runs, more) {
            Ok(count) => sent.set(sent.get() + count),
            Err(Error::WouldBlock) => {}
            Err(error) => return Err(errno::of(error)),
        }
        if self.stamps.any() && sent.get() == self.data.len() {
            engine.stack.tcp_stamp(connection, Some(self.stamps));
        }
        Ok(())
    }

    fn urgent(&self, engine: &mut Engine, connection: SocketId) -> Result<usize, Errno> {
        let now = engine.now();
        let sent = engine
            .stack
            .tcp_send_urgent(now, connection, self.data.runs(0))
            .map_err(errno::of)?;
        if self.stamps.any() {
            engine.stack.tcp_stamp(connection, Some(self.stamps));
        }
        engine.finish_pass();
        Ok(sent)
    }
}
