//! The other side: the peer, what is on its way, and the time, which passes when nothing else happens.

use std::collections::VecDeque;
use std::time::Duration;

use crate::app::{App, PORT, Stream};
use crate::process::{Process, Task, TurnEnd};
use crate::stack::random::Random;
use crate::stack::time::Instant;
use crate::support::host::{Host, PEER, US, at, hardware};

pub(crate) struct Peer {
    pub(crate) random: Random,
    pub(crate) now: Instant,
    pub(crate) app: App,
    /// Frames lost, of a hundred.
    pub(crate) loss: usize,
    host: Host,
    arriving: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
}

/// What both sides know the streams of a process by that has `task`: those it opens, and those that are opened to it.
pub(crate) fn keys(task: &Task) -> impl Iterator<Item = u16> + use<> {
    let connects = task.connects;
    (0..connects).flat_map(|port| [40_000 + port, 50_000 + port])
}

impl Peer {
    /// The peer of a process that has `task`.
    pub(crate) fn new(task: Task, mut random: Random) -> Self {
        let mut host = Host::new(PEER, true, 8 << 20);
        host.stack.learn_neighbor(host.now, US, hardware(US));
        let mut app = App::listen(&mut host.stack, at(PEER, PORT));
        (app.to_send, app.to_get) = (task.to_get, task.to_send);
        let now = host.now;
        for port in 0..task.connects {
            let local = at(PEER, 50_000 + port);
            app.connect(&mut host.stack, now, local, at(US, PORT));
        }
        Self {
            loss: [0, 0, 5][random.below(3)],
            random,
            now,
            app,
            host,
            arriving: VecDeque::new(),
            leaving: VecDeque::new(),
        }
    }

    /// Lets a process and the peer run for so many turns of the process's; gives what it last said.
    pub(crate) fn run_process(&mut self, process: &mut Process, turns: usize) -> TurnEnd {
        let mut last = process.turn(self.now, &[]).end.expect("alive");
        for _ in 0..turns {
            let frame = self.next_frame(last.deadline);
            let turn = process.turn(self.now, &frame);
            last = turn.end.expect("alive");
            self.receive(turn.frames);
        }
        last
    }

    /// What the other side has sent.
    pub(crate) fn receive(&mut self, frames: Vec<Vec<u8>>) {
        self.arriving.extend(frames);
    }

    /// The next frame for the other side; empty if it is its time that has come.
    pub(crate) fn next_frame(&mut self, deadline: Option<Instant>) -> Vec<u8> {
        loop {
            self.run();
            if let Some(frame) = self.leaving.pop_front() {
                self.now = self.now + Duration::from_micros(50);
                return frame;
            }
            let deadlines = [deadline, self.host.stack.next_deadline()];
            let Some(next) = deadlines.into_iter().flatten().min() else {
                return Vec::new();
            };
            self.now = self.now.max(next);
            if deadline.is_some_and(|deadline| deadline <= self.now) {
                return Vec::new();
            }
        }
    }

    fn run(&mut self) {
        self.host.now = self.now;
        while let Some(frame) = self.arriving.pop_front() {
            if !self.loses() {
                self.host.receive(&frame);
            }
        }
        self.host.stack.receive_timeout(self.now);
        self.app.run(&mut self.host.stack, self.now);
        for frame in self.host.frames() {
            if !self.loses() {
                self.leaving.push_back(frame);
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.random.below(100) < self.loss
    }

    /// Its end of a stream.
    pub(crate) fn stream(&self, key: u16) -> &Stream {
        let stream = self.app.streams.iter().find(|stream| stream.key == key);
        stream.expect("both know it")
    }
}
