//! Sending on a connection: send(2), sendto(2), sendmsg(2), write(2), writev(2).

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::datagram::Asked;
use super::sleeper::Sleeper;
use super::waiting::{self, deadline, partial, resume};
use super::{Kind, Socket, State, away, errno, readiness, repair, table};
use crate::driver::{
    self, Caller, Endpoint, EndpointId, Engine, Guard, Question, Role, Wait, wait,
};
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::sendings::Stamps;
use crate::sys::signal;
use crate::sys::user::Buffers;
use crate::sys::wait::{entry, poll_now};
use crate::sys::{process, raw};

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
        return send_beside(fd, socket, data, flags, asked);
    };
    if state.options.repair.is_some()
        && let Some(sent) = repair::send(&mut engine, &state, data)
    {
        return Some(sent);
    }
    let timeout = state.options.send_timeout;
    let tells = flags & libc::MSG_ZEROCOPY != 0 && state.options.zero_copy;
    let stamps = state.options.stamping.of_bytes(asked.stamping);
    drop(state);
    let call = Call {
        fd: Cell::new(fd),
        socket,
        id,
        timeout,
        data,
        flags,
        stamps,
    };
    let result = call.run(&mut engine);
    if stamps.any()
        && result.is_ok_and(|count| count > 0 && count < data.len())
        && let Some(connection) = engine.endpoints.get(id).and_then(Endpoint::socket)
    {
        engine.stack.tcp_stamp(connection, Some(stamps));
        engine.finish_pass();
    }
    if tells && result.is_ok_and(|count| count > 0) {
        engine.sent_zero_copy(id);
    }
    drop(engine);
    Some(with_signal(result, flags))
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
pub fn wait_for_room(fd: RawFd, socket: &Socket) -> Result<(), Errno> {
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
fn with_signal(result: Result<usize, Errno>, flags: i32) -> Result<usize, Errno> {
    if result == Err(Errno::PIPE) && flags & libc::MSG_NOSIGNAL == 0 {
        signal::raise_broken_pipe();
    }
    result
}

/// Gives bytes to the stack of another process, by the pair. Where the pair is shut, the owner knows
/// whether that is for an error.
fn send_beside(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
    asked: &Asked,
) -> Option<Result<usize, Errno>> {
    socket.away()?;
    let call = Sleeper::to_send(fd, socket);
    if !away::is_connected(fd, socket) {
        let errno = away::pending_error(fd, socket).unwrap_or(Errno::PIPE);
        return Some(with_signal(Err(errno), flags));
    }
    if let Err(errno) = may_send(&call, data.len() > 0, flags) {
        return Some(with_signal(Err(errno), flags));
    }
    // A program that confines itself may have left itself write(2) and no more (seccomp(2)).
    let plain = flags == 0 && data.len() > 0 && process::is_single_threaded();
    // What a pair refuses: no urgent byte, and what no socket looks at here (MSG_CMSG_COMPAT).
    let flags = match data.len() {
        0 => flags & !(libc::MSG_OOB | i32::MIN),
        _ => flags & !i32::MIN,
    };
    let result = if plain {
        raw::write(call.fd(), data.parts())
    } else {
        write_beside(&call, data, flags)
    };
    let fd = call.fd();
    let result = match result {
        Err(errno @ (Errno::PIPE | Errno::CONNRESET)) => {
            Err(away::pending_error(fd, socket).unwrap_or(errno))
        }
        result => result,
    };
    if result.is_ok_and(|count| count > 0) {
        tell_of_sent(fd, socket, flags, asked);
    }
    Some(if plain {
        result
    } else {
        with_signal(result, flags)
    })
}

/// Whether the other process takes something, but for lack of room, which is waited for here: as it is shut meanwhile, the
/// kernel has no signal for who sleeps in write(2). It is looked for before, as the kernel has a signal for who writes to a
/// pair that has hung up, and Linux none for a connection that has an error. EAGAIN: it is not connected yet.
fn may_send(call: &Sleeper<'_>, any: bool, flags: i32) -> Result<(), Errno> {
    let (fd, socket) = (call.fd(), call.socket());
    let revents = poll_now(fd, libc::POLLOUT);
    if revents & (libc::POLLHUP | libc::POLLERR) != 0 {
        return Err(away::pending_error(fd, socket).unwrap_or(Errno::PIPE));
    }
    let unconfirmed = socket.state().connect_unconfirmed;
    if revents & libc::POLLOUT != 0 || !any && !unconfirmed {
        return Ok(());
    }
    if !call.waits(flags) {
        return (!unconfirmed).then_some(()).ok_or(Errno::AGAIN);
    }
    match call.wait_for(libc::POLLOUT) {
        Ok(()) => {}
        // Who may open no descriptor may not poll either (RLIMIT_NOFILE): the write waits.
        Err(Errno::INVAL) => return Ok(()),
        // Another thread has given the connection up.
        Err(Errno::PIPE) => return Err(away::pending_error(fd, socket).unwrap_or(Errno::PIPE)),
        Err(errno) => return Err(errno),
    }
    may_send(call, any, libc::MSG_DONTWAIT)
}

/// Tells the owner what is to be told of the bytes that were written to the pair last.
fn tell_of_sent(fd: RawFd, socket: &Socket, flags: i32, asked: &Asked) {
    let state = socket.state();
    let tells = flags & libc::MSG_ZEROCOPY != 0 && state.options.zero_copy;
    let stamps = state.options.stamping.of_bytes(asked.stamping).any();
    drop(state);
    if tells || stamps {
        let stamping = asked.stamping;
        away::ask(fd, socket, &Question::Sent { flags, stamping });
    }
}

/// Bytes that another process has sent with `flags` are in the pair. What of them finds no room in the send queue is not
/// noted.
pub(super) fn note_sent(engine: &mut Engine, state: &State, flags: i32, stamping: Option<u32>) {
    let Some(id) = state.endpoint else { return };
    engine.look_at(id);
    let stamps = state.options.stamping.of_bytes(stamping);
    if stamps.any()
        && let Some(connection) = engine.endpoints.get(id).and_then(Endpoint::socket)
    {
        engine.stack.tcp_stamp(connection, Some(stamps));
    }
    if flags & libc::MSG_ZEROCOPY != 0 && state.options.zero_copy {
        engine.sent_zero_copy(id);
    }
}

/// Writes to the pair. A thread that may be cancelled waits where that is heard.
fn write_beside(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32) -> Result<usize, Errno> {
    let direct = flags | libc::MSG_NOSIGNAL;
    if flags & (libc::MSG_DONTWAIT | libc::MSG_OOB) != 0 || data.len() == 0 {
        return raw::send_message(call.fd(), &[], data.parts(), direct);
    }
    let sent = Cell::new(0);
    loop {
        let parts = data.parts_from(sent.get());
        match raw::send_message(call.fd(), &[], &parts, direct | libc::MSG_DONTWAIT) {
            Ok(count) => {
                sent.set(sent.get() + count);
                if sent.get() >= data.len() {
                    return Ok(sent.get());
                }
            }
            Err(Errno::AGAIN) if call.waits(flags) => {
                if let Err(errno) = call.wait_for(libc::POLLOUT) {
                    return partial(&sent, errno);
                }
            }
            Err(errno) => return partial(&sent, errno),
        }
    }
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
}

impl Call<'_, '_> {
    fn waits(&self, engine: &Engine) -> bool {
        waiting::waits(engine, self.id, self.fd.get(), self.socket, self.flags)
    }

    fn run(&self, engine: &mut Guard) -> Result<usize, Errno> {
        let sent = Cell::new(0);
        if let Some(result) = self.attempt(engine, &sent) {
            return result;
        }
        if !self.waits(engine) {
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
                        return partial(sent, errno);
                    }
                }
            }
        }
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
        let Some(endpoint) = engine.endpoints.get_mut(self.id) else {
            return Some(partial(sent, self.given_up(engine)));
        };
        table::follow(&self.fd, self.socket, endpoint.program);
        if let Some(error) = endpoint.take_error() {
            return Some(partial(sent, errno::of(error)));
        }
        let connection = match endpoint.role {
            Role::Connection(connection) if !endpoint.write_finished => connection,
            Role::Connecting(_) => return None,
            _ => return Some(partial(sent, Errno::PIPE)),
        };
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
