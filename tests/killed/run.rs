//! A run: a process with a stack dies on the way, and what it left is taken over.

use crate::app::{App, Stream, key};
use crate::memory::Region;
use crate::peer::{Peer, keys};
use crate::process::{self, Process, Task, TurnEnd};
use crate::stack::random::Random;
use crate::stack::tcp::Restored;
use crate::support::host::{Host, PEER, US, hardware};
use crate::sys::owned::OwnedFd;
use crate::users::Users;

/// What becomes of the connections of a process that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Their users go on.
    GoOn,
    /// They are closed.
    CloseAll,
}

/// No run needs more turns.
const MOST_TURNS: usize = 20_000;

pub(crate) struct Run {
    seed: u64,
    after: After,
    /// Turns before the last one, at most.
    most_before: usize,
    task: Task,
    file: OwnedFd,
    peer: Peer,
    users: Option<Users>,
}

/// Maps the memory file.
fn open(file: &OwnedFd) -> &'static mut [u8] {
    let file = rustix::io::dup(file).expect("a descriptor");
    let region = Region::open(file.into()).expect("a memory file");
    region.into_parts().1
}

impl Run {
    pub(crate) fn new(seed: u64, after: After, most_before: usize) -> Self {
        let mut random = Random::new(seed);
        let task = Task {
            connects: 3,
            to_send: random.below(150_000),
            to_get: match after {
                After::GoOn => random.below(150_000),
                After::CloseAll => 0,
            },
            passes: random.below(2) == 0,
        };
        let users = task.passes.then(|| Users::new(&task, keys(&task)));
        let (file, _) = Region::new().expect("a memory file").into_parts();
        Self {
            seed,
            after,
            most_before,
            task,
            file,
            peer: Peer::new(task, random),
            users,
        }
    }

    /// Runs until the process is killed and all it left is done, and checks what came of it.
    pub(crate) fn finish(mut self) {
        let known = self.run_process();
        self.go_on_in_vain();
        let (mut host, restored) = Host::restored(US, open(&self.file), self.peer.now);
        host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
        let readable = restored.unreadable == 0 && restored.reset == 0;
        assert!(readable, "{self:?}: {restored:?}");
        let streams = self.resume(&host, &known);
        match self.after {
            After::GoOn => self.go_on(&mut host, &restored, streams),
            After::CloseAll => self.close_all(&mut host, &streams),
        }
    }

    /// Those who go on with what it left may be killed, too, before they have said anything.
    fn go_on_in_vain(&mut self) {
        let now = self.peer.now;
        let moment = self.peer.random.below(8000) as u64;
        process::repeat_until_killed(moment, || {
            Host::restored(US, open(&self.file), now);
        });
    }

    /// Lets the process run and die; gives what it last said of itself.
    fn run_process(&mut self) -> TurnEnd {
        let file = &self.file;
        let mut process = Process::start(self.task, self.users.clone(), || open(file));
        let peer = &mut self.peer;
        let turns = peer.random.below(self.most_before);
        let known = peer.run_process(&mut process, turns);
        let frame = peer.next_frame(known.deadline);
        // A turn takes between one and ten thousand; more than their share come soon.
        let most = [2000, 8000][peer.random.below(2)];
        let instructions = peer.random.below(most);
        let turn = process.turn_killed(peer.now, &frame, instructions);
        peer.receive(turn.frames);
        // A RST that is lost is not repeated.
        peer.loss = 0;
        turn.end.unwrap_or(known)
    }

    /// The streams that are still there, as far as they have come.
    fn resume(&self, host: &Host, known: &TurnEnd) -> Vec<Stream> {
        let mut streams = Vec::new();
        for mut stream in known.streams.iter().copied() {
            let Some(status) = host.stack.tcp_status(stream.id) else {
                continue;
            };
            assert!(status.error.is_none(), "{self:?}: {stream:?} {status:?}");
            let accepted = stream.sent;
            if status.error.is_none() && stream.resume(&status) {
                assert!(stream.sent >= accepted, "{self:?}: {stream:?} lost bytes");
                self.check_passed(&stream);
                streams.push(stream);
            }
        }
        streams
    }

    /// What the stack knows to be passed is what the users have, and no more of theirs is gone than it has.
    fn check_passed(&self, stream: &Stream) {
        if let (Some(users), Some(_)) = (&self.users, stream.first) {
            let passed = users.passed(stream.key);
            assert_eq!(passed, (stream.sent, stream.got), "{self:?}: {stream:?}");
        }
    }

    fn go_on(mut self, host: &mut Host, restored: &Restored, streams: Vec<Stream>) {
        let mut app = App::new(restored.listeners[0].0);
        (app.to_send, app.to_get) = (self.task.to_send, self.task.to_get);
        app.streams = streams;
        app.users = self.users.clone().zip(host.stack.take_road());
        let mut aborted = Vec::new();
        for found in restored.connections.iter().filter(|found| found.has_user) {
            // Nobody knows how far it has come with what it began in its last turn.
            if !app.streams.iter().any(|stream| stream.id == found.id) {
                host.stack.tcp_abort(host.now, found.id);
                aborted.push(key(found.local, found.remote));
            }
        }
        self.run_adopted(host, &mut app, |app, _| app.is_done(0));
        for peer in self.peer.app.streams.iter().filter(|peer| peer.failed) {
            assert!(aborted.contains(&peer.key), "{self:?}: {peer:?}");
        }
        for stream in &app.streams {
            let peer = self.peer.stream(stream.key);
            let whole = peer.got == self.task.to_send && stream.got == self.task.to_get;
            let ended = !peer.failed && !stream.failed;
            assert!(whole && ended, "{self:?}: {stream:?} and {peer:?}");
            self.check_passed(stream);
        }
    }

    fn close_all(mut self, host: &mut Host, streams: &[Stream]) {
        let status = |stream: &&Stream| host.stack.tcp_status(stream.id);
        // Of what it began in its last turn nothing may have left.
        let open = |stream: &&Stream| status(stream).is_some_and(|s| s.state.is_synchronized());
        let open: Vec<_> = streams.iter().filter(open).collect();
        host.stack.tcp_reset_all_but(host.now, |_| false);
        host.stack.tcp_close_all_but(host.now, |_| false);
        let mut app = App::nobody();
        self.run_adopted(host, &mut app, |_, host| host.stack.tcp_is_done());
        let left = host.stack.tcp_connections().count();
        assert_eq!((left, host.stack.pool_used()), (0, 0), "{self:?}");
        for stream in open {
            let peer = self.peer.stream(stream.key);
            let delivered = peer.got == stream.sent && peer.ended;
            assert!(delivered, "{self:?}: {stream:?} and {peer:?}");
        }
    }

    /// Lets both hosts run until the peer has all it gets, and `done` holds.
    fn run_adopted(&mut self, host: &mut Host, app: &mut App, done: impl Fn(&App, &Host) -> bool) {
        for _ in 0..MOST_TURNS {
            let frame = self.peer.next_frame(host.stack.next_deadline());
            if let Some(users) = &self.users {
                users.run();
            }
            host.now = self.peer.now;
            process::turn(host, app, &frame);
            self.peer.receive(host.frames());
            if self.peer.app.is_done(0) && done(app, host) {
                return;
            }
        }
        let (ours, theirs) = (&app.streams, &self.peer.app.streams);
        panic!("{self:?} does not end: {ours:?} {theirs:?}");
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} {:?}", self.seed, self.after)
    }
}
