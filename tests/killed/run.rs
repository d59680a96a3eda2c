//! A run: two hosts, of which one dies on the way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::app::{App, PORT, Stream};
use crate::memory::Region;
use crate::process::{self, Process, Task, TurnEnd, connects};
use crate::stack::random::Random;
use crate::stack::tcp::State;
use crate::stack::time::Instant;
use crate::support::host::{Host, PEER, US, at, hardware};

/// What becomes of the connections of a process that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Their users go on.
    GoOn,
    /// They are closed.
    CloseAll,
}

/// Connections each side opens.
const CONNECTS: u16 = 3;
/// No run needs more turns.
const MOST_TURNS: usize = 20_000;

pub(crate) struct Run {
    seed: u64,
    after: After,
    random: Random,
    now: Instant,
    peer: Host,
    peer_app: App,
    file: rustix::fd::OwnedFd,
    task: Task,
    to_peer: VecDeque<Vec<u8>>,
    to_process: VecDeque<Vec<u8>>,
    /// Frames lost, of a hundred.
    loss: usize,
}

impl Run {
    pub(crate) fn new(seed: u64, after: After) -> Self {
        let mut random = Random::new(seed);
        let (file, _) = Region::new().expect("a memory file").into_parts();
        let mut peer = Host::new(PEER, true, 8 << 20);
        peer.stack.learn_neighbor(peer.now, US, hardware(US));
        let mut peer_app = App::listen(&mut peer.stack, at(PEER, PORT));
        let task = Task {
            connects: CONNECTS,
            to_send: random.below(150_000),
            to_get: match after {
                After::GoOn => random.below(150_000),
                After::CloseAll => 0,
            },
            takes: random.below(2) == 0,
        };
        (peer_app.to_send, peer_app.to_get) = (task.to_get, task.to_send);
        let now = peer.now;
        for (local, remote) in connects(task) {
            peer_app.connect(&mut peer.stack, now, local, remote);
        }
        Self {
            seed,
            after,
            loss: [0, 0, 5][random.below(3)],
            random,
            now,
            peer,
            peer_app,
            file,
            task,
            to_peer: VecDeque::new(),
            to_process: VecDeque::new(),
        }
    }

    /// Runs until the process is killed and all it left is done, and checks what came of it.
    pub(crate) fn finish(mut self) {
        let known = self.run_process();
        let (mut host, restored) = self.adopt();
        assert!(
            restored.unreadable == 0 && restored.reset <= 1,
            "{self:?}: {restored:?}"
        );
        let mut app = App::new(restored.listeners[0].0);
        (app.to_send, app.to_get) = (self.task.to_send, self.task.to_get);
        let mut expected = Vec::new();
        for mut stream in known.streams {
            let Some(status) = host.stack.tcp_status(stream.id) else {
                continue;
            };
            let accepted = stream.sent;
            // Only bytes on their way to the user, and handshakes, cost a connection.
            let lives = status.error.is_none() || self.task.takes || stream.first.is_none();
            assert!(lives, "{self:?}: {stream:?} {status:?}");
            let open = stream.resume(&status) && status.error.is_none();
            if open {
                // Of what it began in its last turn nothing may have left.
                if status.state.is_synchronized() {
                    expected.push((stream, status.state, status.receive_len));
                }
                assert!(
                    stream.sent >= accepted,
                    "{self:?}: {stream:?} has lost bytes"
                );
                app.streams.push(stream);
            }
        }
        match self.after {
            After::GoOn => {
                // Nobody knows how far it has come with what it began in its last turn.
                let known = |id| app.streams.iter().any(|stream| stream.id == id);
                let users = restored.connections.iter().filter(|found| found.has_user);
                for found in users.filter(|found| !known(found.id)) {
                    host.stack.tcp_abort(self.now, found.id);
                }
                let done =
                    |run: &Self, app: &App, _: &Host| app.is_done(0) && run.peer_app.is_done(0);
                self.run_adopted(&mut host, &mut app, done);
                self.check_streams(&app.streams, self.task.to_send);
                self.check_got(&app.streams);
            }
            After::CloseAll => {
                host.stack.tcp_close_all(self.now);
                app.streams.clear();
                let done = |run: &Self, _: &App, host: &Host| {
                    run.peer_app.is_done(0) && host.stack.tcp_is_done()
                };
                self.run_adopted(&mut host, &mut app, done);
                let left = host.stack.tcp_connections().count();
                assert_eq!((left, host.stack.pool_used()), (0, 0), "{self:?}");
                self.check_closed(&expected);
            }
        }
    }

    /// Lets the process run and die; gives what it last said of itself.
    fn run_process(&mut self) -> TurnEnd {
        let mut process = Process::start(self.task, &self.file);
        let turns = self.random.below(700);
        let mut known = process.turn(self.now, &[]).end.expect("alive");
        for _ in 0..turns {
            let frame = self.next_frame(known.deadline);
            let turn = process.turn(self.now, &frame);
            known = turn.end.expect("alive");
            self.take(turn.frames);
        }
        let frame = self.next_frame(known.deadline);
        // A turn takes between one and ten thousand; more than its share come soon.
        let most = [2000, 8000][self.random.below(2)];
        let instructions = self.random.below(most);
        let turn = process.turn_killed(self.now, &frame, instructions);
        self.take(turn.frames);
        // A RST that is lost is not repeated.
        self.loss = 0;
        turn.end.unwrap_or(known)
    }

    fn adopt(&mut self) -> (Host, crate::stack::tcp::Restored) {
        let region = Region::open(process::duplicate(&self.file)).expect("a memory file");
        let (_, bytes) = region.into_parts();
        let (mut host, restored) = Host::restored(US, bytes, self.now);
        host.stack.learn_neighbor(self.now, PEER, hardware(PEER));
        (host, restored)
    }

    fn run_adopted(
        &mut self,
        host: &mut Host,
        app: &mut App,
        done: impl Fn(&Self, &App, &Host) -> bool,
    ) {
        for _ in 0..MOST_TURNS {
            let frame = self.next_frame(host.stack.next_deadline());
            host.now = self.now;
            process::turn(host, app, &frame);
            let frames = host.frames();
            self.take(frames);
            if done(self, app, host) {
                return;
            }
        }
        panic!(
            "{self:?} does not end: {:?} {:?}",
            app.streams, self.peer_app.streams
        );
    }

    /// Frames the process sent, and what the peer makes of them.
    fn take(&mut self, frames: Vec<Vec<u8>>) {
        self.to_peer.extend(frames);
    }

    /// Lets the peer run, and time pass if nothing else happens; the next frame for the process, if
    /// it is not time that has come.
    fn next_frame(&mut self, deadline: Option<Instant>) -> Vec<u8> {
        loop {
            self.run_peer();
            if let Some(frame) = self.to_process.pop_front() {
                self.now = self.now + Duration::from_micros(50);
                return frame;
            }
            let peer_deadline = self.peer.stack.next_deadline();
            let Some(next) = deadline.into_iter().chain(peer_deadline).min() else {
                return Vec::new();
            };
            self.now = self.now.max(next);
            if deadline.is_some_and(|deadline| deadline <= self.now) {
                return Vec::new();
            }
        }
    }

    fn run_peer(&mut self) {
        self.peer.now = self.now;
        while let Some(frame) = self.to_peer.pop_front() {
            if self.random.below(100) >= self.loss {
                self.peer.receive(&frame);
            }
        }
        self.peer.stack.receive_timeout(self.now);
        self.peer_app.run(&mut self.peer.stack, self.now);
        for frame in self.peer.frames() {
            if self.random.below(100) >= self.loss {
                self.to_process.push_back(frame);
            }
        }
    }

    /// The peer has got everything of each stream that was not reset.
    fn check_streams(&self, streams: &[Stream], all: usize) {
        for stream in streams.iter().filter(|stream| !stream.failed) {
            let peer = self.peer_stream(stream.key);
            assert!(
                peer.ended && !peer.failed && peer.got == all,
                "{self:?}: {stream:?} and {peer:?}"
            );
        }
    }

    fn check_got(&self, streams: &[Stream]) {
        for stream in streams.iter().filter(|stream| !stream.failed) {
            assert_eq!(stream.got, self.task.to_get, "{self:?}: {stream:?}");
        }
        let failed = streams.iter().filter(|stream| stream.failed).count();
        assert_eq!(failed, 0, "{self:?}: {streams:?}");
    }

    /// What was accepted has arrived, and the end of it, unless something was left unread.
    fn check_closed(&self, expected: &[(Stream, State, usize)]) {
        for (stream, state, unread) in expected {
            let peer = self.peer_stream(stream.key);
            assert!(
                peer.got == stream.sent || *unread > 0,
                "{self:?}: {stream:?} {state:?} and {peer:?}"
            );
            assert!(
                peer.ended || *unread > 0,
                "{self:?}: {stream:?} {state:?} and {peer:?}"
            );
        }
    }

    fn peer_stream(&self, key: u16) -> &Stream {
        let stream = self.peer_app.streams.iter().find(|peer| peer.key == key);
        stream.expect("both know it")
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} {:?}", self.seed, self.after)
    }
}
