//! Receiving datagrams: recvfrom(2), recvmsg(2) and their kin.

use core::cell::Cell;
use core::sync::atomic::Ordering;
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use crate::driver::{
    self, Arrived, Caller, Direct, EndpointId, Engine, Guard, Role, Wait, has_notice, wait,
};
use crate::socket::sleeper::Sleeper;
use crate::socket::waiting::{self, deadline, resume};
use crate::socket::{Socket, abroad, away, errno, table};
use crate::sys::user::Buffers;
use crate::sys::wait::{poll_for, poll_now};
use crate::sys::{process, raw};

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its whole length in bytes, which may be more than was copied.
    pub len: usize,
    /// Bytes copied.
    pub copied: usize,
    /// Where it is from; `None`: the socket is shut down for reading, and there was none.
    pub arrived: Option<Arrived>,
}

/// Between two looks at a pair in which there may be nothing new.
const PAUSE: Duration = Duration::from_millis(1);

/// What a socket that is shut down for reading gives.
const NOTHING: Received = Received {
    len: 0,
    copied: 0,
    arrived: None,
};

impl Received {
    pub(super) fn of(arrived: &Arrived, len: usize, room: usize) -> Self {
        Self {
            len,
            copied: len.min(room),
            arrived: Some(*arrived),
        }
    }
}

/// Receives one datagram.
pub fn receive(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Result<Received, Errno> {
    let received = receive_one(fd, socket, data, flags);
    if let Ok(Received {
        arrived: Some(arrived),
        ..
    }) = &received
    {
        socket.arrival.store(arrived.at, Ordering::Relaxed);
    }
    received
}

fn receive_one(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
) -> Result<Received, Errno> {
    let engine = driver::lock();
    let state = socket.state();
    let timeout = state.options.receive_timeout;
    let endpoint = state.endpoint;
    let onward = usize::try_from(state.options.peek_offset).ok();
    drop(state);
    // Without an endpoint the engine's lock is given back here: what follows waits.
    let received = match engine.zip(endpoint) {
        Some((mut engine, id)) => {
            let call = Call {
                fd: Cell::new(fd),
                socket,
                id,
                timeout,
                data,
                flags,
                onward,
            };
            call.run(&mut engine)?
        }
        None => receive_elsewhere(fd, socket, data, flags, onward)?,
    };
    // As on Linux, it stays where the program has no memory for what is there.
    let is_lost = received.len > data.len() && data.whole().is_err();
    if let Some(offset) = onward.filter(|_| !is_lost) {
        let offset = match flags & libc::MSG_PEEK != 0 {
            true => offset + received.copied,
            false => offset.saturating_sub(received.len),
        };
        socket.state().options.peek_offset = i32::try_from(offset).unwrap_or(i32::MAX);
    }
    Ok(received)
}

/// Receives from another process's stack. `onward`: where MSG_PEEK begins (SO_PEEK_OFF).
fn receive_elsewhere(
    fd: RawFd,
    socket: &Arc<Socket>,
    data: &Buffers<'_>,
    flags: i32,
    onward: Option<usize>,
) -> Result<Received, Errno> {
    let mut call = Sleeper::to_receive(fd, socket);
    loop {
        let received = match onward.filter(|_| flags & libc::MSG_PEEK != 0) {
            Some(offset) => peek_beside(&call, data, flags, offset),
            None => receive_beside(&call, data, flags),
        };
        match received {
            // Another thread has given a fresh socket its first address: the call goes on in the pair that this has brought.
            Err(Errno::PIPE) if call.has_moved() => call = call.anew().ok_or(Errno::BADF)?,
            received => return received,
        }
    }
}

/// Takes a datagram out of a pair that another process's stack fills.
fn receive_beside(call: &Sleeper<'_>, data: &Buffers<'_>, flags: i32) -> Result<Received, Errno> {
    let socket = call.socket();
    let asked = flags;
    let mut flags = flags;
    loop {
        let mut header = [0; Arrived::LEN];
        let at_once = socket.shows_more() && call.waits(asked);
        let received = match at_once {
            true => receive_message(call, &mut header, data, flags | libc::MSG_DONTWAIT),
            false => receive_message(call, &mut header, data, flags),
        };
        let count = match received {
            Err(Errno::AGAIN) if at_once && abroad::is_shut(call.fd(), socket) => {
                return Ok(NOTHING);
            }
            Err(Errno::AGAIN) if at_once => receive_message(call, &mut header, data, flags)?,
            received => received?,
        };
        let fd = call.fd();
        if count < header.len() {
            // Shut down.
            return Ok(NOTHING);
        }
        let arrived = Arrived::decode(&header);
        if !arrived.notice {
            return Ok(Received::of(&arrived, count - header.len(), data.len()));
        }
        pass_over(fd, flags);
        socket.set_shows_more(true);
        if let Some(errno) = away::pending_error(fd, socket) {
            return Err(errno);
        }
        if abroad::is_shut(fd, socket) {
            if has_notice(fd) || raw::unread(fd) == Ok(0) {
                return match call.waits(asked) {
                    true => Ok(NOTHING),
                    // As on Linux.
                    false => Err(Errno::AGAIN),
                };
            }
            // What has come since is received all the same.
            flags |= libc::MSG_DONTWAIT;
        }
    }
}

/// Takes a message out of the pair. A thread that may be cancelled waits where that is heard.
fn receive_message(
    call: &Sleeper<'_>,
    header: &mut [u8],
    data: &Buffers<'_>,
    flags: i32,
) -> Result<usize, Errno> {
    if process::is_single_threaded() {
        return raw::receive_message(call.fd(), header, data.parts(), flags);
    }
    loop {
        let at_once = flags | libc::MSG_DONTWAIT;
        match raw::receive_message(call.fd(), header, data.parts(), at_once) {
            // A fresh one, which is the kernel's, was shut down by another thread: who waits gets nothing.
            Err(Errno::AGAIN) if call.waits(flags) && is_shut_fresh(call) => return Ok(0),
            Err(Errno::AGAIN) if call.waits(flags) => {
                call.wait_for(libc::POLLIN)?;
            }
            received => return received,
        }
    }
}

fn is_shut_fresh(call: &Sleeper<'_>) -> bool {
    call.socket().away().is_none() && poll_now(call.fd(), libc::POLLRDHUP) != 0
}

/// Looks at what SO_PEEK_OFF has come to, in a pair that another process's stack fills.
fn peek_beside(
    call: &Sleeper<'_>,
    data: &Buffers<'_>,
    flags: i32,
    offset: usize,
) -> Result<Received, Errno> {
    loop {
        if let Some(received) = super::peek::look(call.fd(), data, offset) {
            return Ok(received);
        }
        if !call.waits(flags) {
            return Err(Errno::AGAIN);
        }
        if has_notice(call.fd()) && abroad::is_shut(call.fd(), call.socket()) {
            return Ok(NOTHING);
        }
        call.wait_for(libc::POLLIN)?;
        // What was seen already keeps the pair readable.
        let _ = poll_for(&mut [], Some(PAUSE), None);
    }
}

/// Takes a notice that was only peeked at out of the pair.
fn pass_over(fd: RawFd, flags: i32) {
    if flags & libc::MSG_PEEK != 0 {
        let _ = raw::discard(fd, 1, 0);
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
    /// SO_PEEK_OFF.
    onward: Option<usize>,
}

impl Call<'_, '_> {
    fn peeks(&self) -> bool {
        self.flags & libc::MSG_PEEK != 0
    }

    fn waits(&self, engine: &Engine) -> bool {
        waiting::waits(engine, self.id, self.fd.get(), self.socket, self.flags)
    }

    fn run(&self, engine: &mut Guard) -> Result<Received, Errno> {
        if let Some(result) = self.attempt(engine) {
            return result;
        }
        if !self.waits(engine) {
            engine.glance(None);
            return self.attempt(engine).unwrap_or(Err(Errno::AGAIN));
        }
        self.wait(engine)
    }

    fn wait(&self, engine: &mut Guard) -> Result<Received, Errno> {
        let deadline = deadline(self.timeout);
        let taken = Cell::new(None);
        let mut take = |datagram: &crate::stack::sink::Datagram, bytes: &[u8]| {
            self.data.put(0, bytes);
            let arrived = Arrived::now(datagram);
            taken.set(Some(Received::of(&arrived, bytes.len(), self.data.len())));
        };
        let socket = engine
            .endpoints
            .get(self.id)
            .and_then(|endpoint| endpoint.socket());
        let mut none = |_: &[u8]| 0;
        let mut direct = socket.filter(|_| !self.peeks()).map(|socket| Direct {
            socket,
            take: &mut none,
            take_datagram: &mut take,
            taken: 0,
            full: false,
        });
        loop {
            let mut request = Wait {
                deadline,
                caller: Some(Caller {
                    id: self.id,
                    fd: &self.fd,
                    events: libc::POLLIN,
                }),
                ..Wait::default()
            };
            let outcome = wait(engine, &mut request, direct.as_mut(), |engine, _| {
                taken.take().map(Ok).or_else(|| self.attempt(engine))
            });
            match outcome {
                Ok(result) => return result,
                Err(interruption) => resume(interruption, self.timeout)?,
            }
        }
    }

    /// The oldest datagram: from the pair first, then from the socket's queue.
    fn attempt(&self, engine: &mut Engine) -> Option<Result<Received, Errno>> {
        let outcome = self.look(engine);
        if let Some(Ok(_)) = outcome {
            engine.found_some(self.id);
        }
        outcome
    }

    fn look(&self, engine: &mut Engine) -> Option<Result<Received, Errno>> {
        let endpoint = engine.endpoints.get_mut(self.id)?;
        if endpoint.program < 0 {
            // Another thread has closed it: the number may be somebody else's by now.
            return Some(Err(Errno::BADF));
        }
        table::follow(&self.fd, self.socket, endpoint.program);
        if let Some(error) = endpoint.take_error() {
            engine.withdraw(self.id);
            return Some(Err(errno::of(error)));
        }
        if let Some(offset) = self.onward.filter(|_| self.peeks()) {
            let now = engine.now();
            engine.settle(now, self.id);
            let found = super::peek::look(self.fd.get(), self.data, offset).map(Ok);
            return found.or_else(|| self.nothing(engine));
        }
        if endpoint.unread
            && !(endpoint.read_finished && endpoint.has_only_notices())
            && let Some(received) = self.take_from_pair(engine)
        {
            return Some(Ok(received));
        }
        let endpoint = engine.endpoints.get_mut(self.id)?;
        let Role::Datagram(datagram) = endpoint.role else {
            return self.nothing(engine);
        };
        if let Some(front) = engine.stack.udp_front(datagram) {
            let mut payload = vec![0; front.len.min(self.data.len())];
            engine.stack.udp_peek(datagram, &mut payload);
            self.data.put(0, &payload);
            if !self.peeks() {
                engine.stack.udp_receive(datagram, &mut []);
            }
            let arrived = Arrived::now(&front);
            return Some(Ok(Received::of(&arrived, front.len, self.data.len())));
        }
        if let Some(error) = engine.stack.udp_take_error(datagram) {
            return Some(Err(errno::of(error)));
        }
        self.nothing(engine)
    }

    /// What there is once the socket was shut down for reading. Who does not wait is told to (EAGAIN), as on Linux.
    fn nothing(&self, engine: &Engine) -> Option<Result<Received, Errno>> {
        let endpoint = engine.endpoints.get(self.id)?;
        (endpoint.read_finished && self.waits(engine)).then_some(Ok(NOTHING))
    }

    fn take_from_pair(&self, engine: &mut Engine) -> Option<Received> {
        let flags = self.flags | libc::MSG_DONTWAIT;
        let mut header = [0; Arrived::LEN];
        while let Ok(count) =
            raw::receive_message(self.fd.get(), &mut header, self.data.parts(), flags)
            && count >= header.len()
        {
            let arrived = Arrived::decode(&header);
            if arrived.notice {
                pass_over(self.fd.get(), flags);
                engine.endpoints.get_mut(self.id)?.notices = 0;
                continue;
            }
            if engine.endpoints.get(self.id)?.full {
                engine.refill(self.id);
            }
            return Some(Received::of(
                &arrived,
                count - header.len(),
                self.data.len(),
            ));
        }
        engine.endpoints.get_mut(self.id)?.unread = false;
        engine.stay_readable(self.id);
        None
    }
}
