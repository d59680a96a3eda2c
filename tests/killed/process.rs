//! The process that is killed, and how the test talks to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::sleep;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send};

use crate::app::{App, PORT, Stream};
use crate::stack::time::Instant;
use crate::support::host::{Host, PEER, US, at, hardware};
use crate::users::Users;

/// A message's longest.
const LONGEST: usize = 4096;

/// What the process is to do.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// Connections it opens; as many are opened to it.
    pub(crate) connects: u16,
    pub(crate) to_send: usize,
    pub(crate) to_get: usize,
    /// Others read and write on its connections.
    pub(crate) passes: bool,
}

/// What came of a turn.
pub(crate) struct Turn {
    pub(crate) frames: Vec<Vec<u8>>,
    /// None: the process died first.
    pub(crate) end: Option<TurnEnd>,
}

#[derive(Clone)]
pub(crate) struct TurnEnd {
    pub(crate) deadline: Option<Instant>,
    pub(crate) streams: Vec<Stream>,
}

/// The process, stopped between two turns.
pub(crate) struct Process {
    pid: libc::pid_t,
    socket: OwnedFd,
    /// What the process writes about its streams; read only while it is stopped or waits.
    shared: *mut Shared,
    users: Option<Users>,
}

/// In memory of both.
struct Shared {
    deadline: Option<Instant>,
    len: usize,
    streams: [Option<Stream>; 32],
}

impl Process {
    /// Starts it. `memory` is called in the process and says where its stack lies.
    pub(crate) fn start(
        task: Task,
        users: Option<Users>,
        memory: impl FnOnce() -> &'static mut [u8],
    ) -> Self {
        let kind = SocketType::SEQPACKET;
        let (socket, other) =
            rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
                .expect("a pair of sockets");
        let shared = share::<Shared>(size_of::<Shared>());
        let empty = Shared {
            deadline: None,
            len: 0,
            streams: [None; 32],
        };
        // SAFETY: mapped just now, and large enough.
        unsafe { shared.write(empty) };
        // SAFETY: the child uses what it has inherited, allocates, and never returns from here.
        match unsafe { libc::fork() } {
            -1 => panic!("no process"),
            0 => {
                let work =
                    AssertUnwindSafe(|| serve(task, users.as_ref(), &other, memory(), shared));
                let failed = catch_unwind(work).is_err();
                // SAFETY: ends the process.
                unsafe { libc::_exit(i32::from(failed)) }
            }
            pid => Self {
                pid,
                socket,
                shared,
                users,
            },
        }
    }

    /// One turn: at `now`, with a frame or without.
    pub(crate) fn turn(&mut self, now: Instant, frame: &[u8]) -> Turn {
        self.ask(now, frame);
        let mut frames = Vec::new();
        loop {
            let message = self.receive(RecvFlags::empty());
            let message = message.expect("the process is there");
            if message.is_empty() {
                let end = Some(self.turn_end());
                return Turn { frames, end };
            }
            frames.push(message);
        }
    }

    /// The last turn: the process is killed after so many instructions, or at its end.
    pub(crate) fn turn_killed(self, now: Instant, frame: &[u8], instructions: usize) -> Turn {
        let mut left = instructions;
        self.turn_stepped(now, frame, || {
            left = left.saturating_sub(1);
            left > 0
        })
    }

    /// A turn in single steps: after each instruction `goes_on` is asked.
    pub(crate) fn turn_stepped(
        &self,
        now: Instant,
        frame: &[u8],
        mut goes_on: impl FnMut() -> bool,
    ) -> Turn {
        self.trace(libc::PTRACE_ATTACH);
        self.wait_stopped();
        self.ask(now, frame);
        let mut turn = Turn {
            frames: Vec::new(),
            end: None,
        };
        while goes_on() {
            self.trace(libc::PTRACE_SINGLESTEP);
            self.wait_stopped();
            match self.receive(RecvFlags::DONTWAIT) {
                Some(message) if message.is_empty() => {
                    turn.end = Some(self.turn_end());
                    break;
                }
                Some(message) => turn.frames.push(message),
                None => {}
            }
        }
        turn
    }

    /// Lets it run again after a turn in single steps.
    pub(crate) fn run_on(&self) {
        self.trace(libc::PTRACE_DETACH);
    }

    fn ask(&self, now: Instant, frame: &[u8]) {
        if let Some(users) = &self.users {
            users.run();
        }
        let message = [&now.as_nanos().to_ne_bytes(), frame].concat();
        send(&self.socket, &message, SendFlags::empty()).expect("the process listens");
    }

    /// A message of the process; `None` if there is none.
    fn receive(&self, flags: RecvFlags) -> Option<Vec<u8>> {
        let mut buffer = vec![0; LONGEST];
        let (len, _) = recv(&self.socket, &mut buffer[..], flags).ok()?;
        // The end of a turn is one byte; nothing is the end of the process.
        assert!(len > 0, "the process failed");
        buffer.truncate(if len == 1 { 0 } else { len });
        Some(buffer)
    }

    fn turn_end(&self) -> TurnEnd {
        // SAFETY: mapped until the test ends; the process waits for the next turn, or is stopped.
        let shared = unsafe { &*self.shared };
        TurnEnd {
            deadline: shared.deadline,
            streams: shared
                .streams
                .iter()
                .take(shared.len)
                .flatten()
                .copied()
                .collect(),
        }
    }

    fn trace(&self, request: libc::c_uint) {
        // SAFETY: a request without arguments about a child of ours.
        let result = unsafe { libc::ptrace(request, self.pid, 0, 0) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    fn wait_stopped(&self) {
        let mut status = 0;
        // SAFETY: a plain call.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        let stopped = pid == self.pid && libc::WIFSTOPPED(status);
        assert!(stopped, "the process ended: {status:#x}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: a child of ours that was not waited for.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            let mut status = 0;
            while libc::waitpid(self.pid, &raw mut status, 0) == self.pid
                && libc::WIFSTOPPED(status)
            {}
            libc::munmap(self.shared.cast(), size_of::<Shared>());
        }
    }
}

/// Has another process do something over and over, and kills it after so many microseconds.
pub(crate) fn repeat_until_killed(microseconds: u64, work: impl Fn()) {
    // SAFETY: the child uses what it has inherited, allocates, and never returns from here.
    let pid = match unsafe { libc::fork() } {
        -1 => panic!("no process"),
        0 => {
            let work = AssertUnwindSafe(|| {
                loop {
                    work();
                }
            });
            let _ = catch_unwind(work);
            // SAFETY: ends the process.
            unsafe { libc::_exit(1) }
        }
        pid => pid,
    };
    sleep(Duration::from_micros(microseconds));
    let mut status = 0;
    // SAFETY: a child of ours that was not waited for.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
    }
    assert!(libc::WIFSIGNALED(status), "the process failed");
}

/// Zeros that children share.
pub(crate) fn share<T>(len: usize) -> *mut T {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), len, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

/// The process's life.
fn serve(
    task: Task,
    users: Option<&Users>,
    socket: &OwnedFd,
    bytes: &'static mut [u8],
    shared: *mut Shared,
) {
    // SAFETY: a plain call: nothing of this is to outlive the test.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut host = Host::with_config(US, bytes, |_| {});
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    let mut app = App::listen(&mut host.stack, at(US, PORT));
    (app.to_send, app.to_get) = (task.to_send, task.to_get);
    app.users = users.cloned().zip(host.stack.take_road());
    for port in 0..task.connects {
        let local = at(US, 40_000 + port);
        app.connect(&mut host.stack, host.now, local, at(PEER, PORT));
    }
    let mut buffer = [0; LONGEST];
    loop {
        let received = recv(socket, &mut buffer[..], RecvFlags::empty());
        let (len, _) = received.expect("the test is there");
        let Some((now, frame)) = buffer[..len].split_first_chunk::<8>() else {
            return;
        };
        host.now = Instant::from_nanos(u64::from_ne_bytes(*now));
        turn(&mut host, &mut app, frame);
        for frame in host.frames() {
            send(socket, &frame, SendFlags::empty()).expect("the test listens");
        }
        // SAFETY: mapped by `share`; the test reads when the turn has ended.
        let shared = unsafe { &mut *shared };
        shared.deadline = host.stack.next_deadline();
        shared.len = app.streams.len();
        for (stream, place) in app.streams.iter().zip(&mut shared.streams) {
            *place = Some(*stream);
        }
        send(socket, &[0], SendFlags::empty()).expect("the test listens");
    }
}

/// What a host does when a frame comes, or time has passed.
pub(crate) fn turn(host: &mut Host, app: &mut App, frame: &[u8]) {
    let now = host.now;
    if !frame.is_empty() {
        host.receive_into(frame, app);
    }
    host.stack.receive_timeout(now);
    app.run(&mut host.stack, now);
}
