//! What talks over the stacks: streams whose bytes say where they belong.

use std::net::SocketAddrV4;
use std::sync::LazyLock;

use crate::stack::Stack;
use crate::stack::ids::SocketId;
use crate::stack::passing::{Passing, Road};
use crate::stack::random::Random;
use crate::stack::sink::{Datagram, Sink};
use crate::stack::tcp::{State, TcpOptions, TcpStatus};
use crate::stack::time::Instant;
use crate::stack::wire::{ethernet, ipv4, tcp};
use crate::users::Users;

/// The port that is listened on, on both sides.
pub(crate) const PORT: u16 = 80;

/// One connection as its user sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) id: SocketId,
    /// The ephemeral port of the two: both sides know the stream by it.
    pub(crate) key: u16,
    /// Sequence numbers of the first byte sent and received, once connected.
    pub(crate) first: Option<(u32, u32)>,
    pub(crate) sent: usize,
    pub(crate) got: usize,
    /// All was received, and the end of it.
    pub(crate) ended: bool,
    /// It ended by an error.
    pub(crate) failed: bool,
}

/// The user of all connections of a stack.
pub(crate) struct App {
    listener: Option<SocketId>,
    pub(crate) streams: Vec<Stream>,
    /// How much each stream sends, and gets.
    pub(crate) to_send: usize,
    pub(crate) to_get: usize,
    /// Who reads and writes instead, by which road.
    pub(crate) users: Option<(Users, &'static mut Road)>,
}

/// What all streams consist of, each beginning somewhere else; a prime number of bytes.
const PERIOD: usize = 65_521;
/// No more is sent or read at once.
const MOST: usize = 5000;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(1);
    let period: Vec<u8> = (0..PERIOD).map(|_| random.below(256) as u8).collect();
    [&period[..], &period[..MOST]].concat()
});

/// The bytes of a stream from `position` on. Made beforehand, so that it is the stack that a process
/// is killed in.
pub(crate) fn bytes_at(key: u16, position: usize, len: usize) -> &'static [u8] {
    let start = (position + usize::from(key) * 7919) % PERIOD;
    &BYTES[start..start + len]
}

pub(crate) fn check(key: u16, position: usize, bytes: &[u8]) {
    let right = bytes == bytes_at(key, position, bytes.len());
    assert!(right, "stream {key} is wrong after {position}");
}

/// What both sides know a stream between these ends by.
pub(crate) fn key(local: SocketAddrV4, remote: SocketAddrV4) -> u16 {
    match remote.port() {
        PORT => local.port(),
        port => port,
    }
}

/// How far the stack has come with a stream: bytes taken from its user, and given to it.
fn positions(status: &TcpStatus, (sent, got): (u32, u32)) -> (usize, usize) {
    let queued_to = status.snd_una.wrapping_add(status.send_len as u32);
    let fin = u32::from(status.fin_acked);
    let read_to = status.rcv_nxt.wrapping_sub(status.receive_len as u32);
    let peer_fin = u32::from(status.fin_received);
    (
        queued_to.wrapping_sub(sent).wrapping_sub(fin) as usize,
        read_to.wrapping_sub(got).wrapping_sub(peer_fin) as usize,
    )
}

impl Stream {
    fn new(id: SocketId, key: u16) -> Self {
        Self {
            id,
            key,
            first: None,
            sent: 0,
            got: 0,
            ended: false,
            failed: false,
        }
    }

    fn learn(&mut self, status: &TcpStatus) {
        if self.first.is_none() && status.state.is_synchronized() {
            let (sent, got) = positions(status, (0, 0));
            self.first = Some((sent as u32, got as u32));
        }
    }

    /// The user counts what `status` of the restored stack says. False: it was opened just then, and
    /// the user does not know how it began.
    pub(crate) fn resume(&mut self, status: &TcpStatus) -> bool {
        match self.first {
            None => !status.state.is_synchronized(),
            Some(first) => {
                (self.sent, self.got) = positions(status, first);
                true
            }
        }
    }

    /// What waits to be read is what comes next.
    pub(crate) fn check_received(&self, stack: &Stack) {
        let bytes = stack.tcp_received(self.id);
        check(self.key, self.got, &bytes[..bytes.len().min(MOST)]);
    }

    fn run(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        to_send: usize,
        users: &mut Option<(Users, &'static mut Road)>,
    ) {
        let Some(status) = stack.tcp_status(self.id) else {
            return;
        };
        self.learn(&status);
        loop {
            let bytes = stack.tcp_received(self.id);
            if bytes.is_empty() {
                break;
            }
            // Not always all, so that chunks are left half read.
            let len = bytes.len().min(MOST);
            check(self.key, self.got, &bytes[..len]);
            let taken = match users {
                None => {
                    stack.tcp_consume(now, self.id, len);
                    len
                }
                Some((users, road)) => users.deliver(stack, now, (self.id, self.key), len, road),
            };
            self.got += taken;
            if taken == 0 {
                break;
            }
        }
        if matches!(status.state, State::Established | State::CloseWait) && !status.write_closed {
            self.write(stack, now, to_send, users);
        }
        let status = stack.tcp_status(self.id).expect("it is not closed");
        self.ended = status.fin_received;
        self.failed = status.error.is_some();
        if self.failed || self.ended && status.write_closed {
            stack.tcp_close(now, self.id);
        }
    }

    fn write(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        to_send: usize,
        users: &mut Option<(Users, &'static mut Road)>,
    ) {
        let len = (to_send - self.sent).min(3000);
        if len == 0 {
            let _ = stack.tcp_shutdown_write(now, self.id);
            return;
        }
        self.sent += match users {
            None => {
                let bytes = bytes_at(self.key, self.sent, len);
                stack
                    .tcp_send_all(now, self.id, core::iter::once(bytes), false)
                    .unwrap_or(0)
            }
            Some((users, road)) => users.send(stack, now, (self.id, self.key), len, road),
        };
    }
}

impl App {
    pub(crate) fn listen(stack: &mut Stack, local: SocketAddrV4) -> Self {
        LazyLock::force(&BYTES);
        let listener = stack.tcp_listen(local, 16, &options());
        Self::new(listener.expect("the port is free"))
    }

    pub(crate) fn new(listener: SocketId) -> Self {
        Self {
            listener: Some(listener),
            streams: Vec::new(),
            to_send: 0,
            to_get: 0,
            users: None,
        }
    }

    /// No user at all.
    pub(crate) fn nobody() -> Self {
        Self {
            listener: None,
            streams: Vec::new(),
            to_send: 0,
            to_get: 0,
            users: None,
        }
    }

    pub(crate) fn connect(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) {
        let id = stack.tcp_connect(now, local, remote, &options());
        let id = id.expect("the ends are free");
        self.streams.push(Stream::new(id, local.port()));
    }

    /// Whatever can be done now.
    pub(crate) fn run(&mut self, stack: &mut Stack, now: Instant) {
        while stack.poll_dirty().is_some() {}
        while let Some(id) = self
            .listener
            .and_then(|listener| stack.tcp_accept(listener))
        {
            let status = stack.tcp_status(id).expect("just accepted");
            self.streams
                .push(Stream::new(id, key(status.local, status.remote)));
        }
        for stream in &mut self.streams {
            stream.run(stack, now, self.to_send, &mut self.users);
        }
    }

    pub(crate) fn is_done(&self, streams: usize) -> bool {
        let done = |stream: &Stream| stream.failed || stream.ended;
        self.streams.len() >= streams && self.streams.iter().all(done)
    }
}

fn options() -> TcpOptions {
    TcpOptions {
        nodelay: true,
        ..TcpOptions::default()
    }
}

impl Sink for App {
    fn deliver(&mut self, id: SocketId, data: &[u8], passing: &mut Passing) -> usize {
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        let stream = stream.filter(|stream| stream.first.is_some());
        let (Some(stream), Some((users, road))) = (stream, &mut self.users) else {
            return 0;
        };
        let data = &data[..data.len().min(700)];
        check(stream.key, stream.got, data);
        let given = users.offer(stream.key, data, passing, road);
        stream.got += given;
        given
    }

    fn deliver_datagram(&mut self, _: SocketId, _: &Datagram, _: &[u8]) -> bool {
        false
    }
}

/// A frame carries bytes of the stream it belongs to, from the right place.
pub(crate) fn check_frame(frame: &[u8], streams: &[Stream]) {
    let packet = &frame[ethernet::HEADER_LEN..];
    let Ok((ip, ip_len)) = ipv4::parse(packet) else {
        return;
    };
    let segment = &packet[ip_len..ip_len + usize::from(ip.payload_len)];
    let (header, header_len) = tcp::parse(segment).expect("a segment");
    let key = match header.destination_port {
        PORT => header.source_port,
        port => port,
    };
    let stream = streams.iter().find(|stream| stream.key == key);
    let payload = &segment[header_len..];
    if let Some((first, _)) = stream.and_then(|stream| stream.first)
        && !payload.is_empty()
    {
        check(key, header.seq.0.wrapping_sub(first) as usize, payload);
    }
}
