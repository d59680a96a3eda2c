//! The side that holds a descriptor of another process's socket.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use rustix::net::Shutdown;

use super::super::endpoint::EndpointId;
use super::super::estate;
use super::super::lifeline::Parent;
use super::super::passed::{Passed, count_passed};
use super::name::desk;
use super::questions::{self, Answer, Question};
use super::{LONGEST, Name};
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{borrow, entry, poll_for};
use crate::sys::{clock, pair};

/// How long an owner may take: it may be waiting for its processor.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one that took longer is not asked again by who has no more patience.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two attempts to reach an owner at whose desk too many wait, or who is yet to come.
const QUEUE: Duration = Duration::from_millis(1);
/// How long it may take until somebody goes on for an owner who was killed, and how long if a keeper has to have its
/// processor before.
const TAKEOVER: Duration = Duration::from_millis(300);
const BEGINNING: Duration = Duration::from_secs(10);

/// The engine for which nobody did, the last that there was.
static GONE: AtomicU64 = AtomicU64::new(0);

/// The engine whose owner took longer, the last that there was; until when it is not asked, in monotonic nanoseconds, and
/// with what patience it was, in nanoseconds.
static SILENT: AtomicU64 = AtomicU64::new(0);
static SILENT_UNTIL: AtomicU64 = AtomicU64::new(0);
static SILENT_TO: AtomicU64 = AtomicU64::new(0);

/// How long who asks waits.
#[derive(Clone, Copy)]
struct Patience {
    /// For the answer.
    answer: Duration,
    /// For somebody to go on who may answer.
    beginning: Duration,
}

impl Patience {
    const USUAL: Self = Self {
        answer: PATIENCE,
        beginning: BEGINNING,
    };

    /// Of who waits no longer than that for anything.
    const fn of(limit: Duration) -> Self {
        Self {
            answer: limit,
            beginning: limit,
        }
    }

    /// The answer is waited for from now on.
    fn begin(self) -> Deadline {
        Deadline {
            patience: self,
            time: after(self.answer),
        }
    }
}

/// When the patience ends.
struct Deadline {
    patience: Patience,
    /// In monotonic nanoseconds.
    time: u64,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        clock::monotonic() >= self.time
    }
}

/// So long from now, in monotonic nanoseconds.
fn after(time: Duration) -> u64 {
    clock::monotonic().saturating_add(time.as_nanos() as u64)
}

/// A socket of another process's stack, of which the owner gives the program's descriptor.
pub struct Served {
    /// What it is called.
    pub name: Name,
    /// The program's descriptor; it blocks.
    pub program: OwnedFd,
}

/// What an owner says. A descriptor that comes with the answer is to take the place of the one that was shown.
type Said = (Answer, Option<Served>);

/// Asks the owner of `name`, which is what `fd` is. `None`: there is no answer.
pub fn ask(fd: RawFd, name: Name, question: &Question) -> Option<Said> {
    ask_and_stay(fd, name, question).map(|(said, _)| said)
}

/// The same, and the connection by which it was asked.
pub fn ask_and_stay(fd: RawFd, name: Name, question: &Question) -> Option<(Said, OwnedFd)> {
    ask_with(fd, name, question, Patience::USUAL)
}

/// The same, of who waits no longer than that.
pub fn ask_briefly(
    fd: RawFd,
    name: Name,
    question: &Question,
    limit: Duration,
) -> Option<(Said, OwnedFd)> {
    ask_with(fd, name, question, Patience::of(limit))
}

fn ask_with(
    fd: RawFd,
    name: Name,
    question: &Question,
    patience: Patience,
) -> Option<(Said, OwnedFd)> {
    patiently(name.engine, patience, |deadline| {
        // A forked child's descriptor has no name yet.
        name.give(fd).then_some(())?;
        let maker = local::peer_user(borrow(fd)).ok();
        ask_until(fd, maker, name.engine, question, deadline)
    })
}

/// Says to a process this one was forked from that these sockets of its stack go farther than to processes forked from it;
/// whether it has heard that.
pub(in crate::driver) fn share(with: Parent, endpoints: &[EndpointId]) -> bool {
    endpoints.chunks(Question::SOCKETS).all(|some| {
        let endpoints = some.to_vec();
        let question = Question::Share { endpoints };
        let told = patiently(with.engine, Patience::USUAL, |deadline| {
            ask_until(
                with.lifeline,
                Some(with.user),
                with.engine,
                &question,
                deadline,
            )
        });
        told.is_some_and(|((answer, _), _)| answer.is_ok())
    })
}

/// Asks who has `engine`, as long as `patience` lasts, unless he was silent to as much a moment ago.
fn patiently<T>(
    engine: u64,
    patience: Patience,
    ask: impl FnOnce(&mut Deadline) -> Option<T>,
) -> Option<T> {
    let limit = patience.answer.as_nanos() as u64;
    let is_silent =
        SILENT.load(Ordering::Relaxed) == engine && limit <= SILENT_TO.load(Ordering::Relaxed);
    if is_silent && clock::monotonic() < SILENT_UNTIL.load(Ordering::Relaxed) {
        return None;
    }
    let mut deadline = patience.begin();
    let answer = ask(&mut deadline);
    if answer.is_none() {
        count_passed(Passed::Unanswered);
        if deadline.has_passed() {
            SILENT.store(engine, Ordering::Relaxed);
            SILENT_TO.store(limit, Ordering::Relaxed);
            SILENT_UNTIL.store(after(SILENCE), Ordering::Relaxed);
        }
    }
    answer
}

/// The other descriptor that came with an answer is in its place: has the old pair hang up.
pub fn take_leave(desk: &OwnedFd) {
    if rustix::net::shutdown(desk, Shutdown::Write).is_ok() {
        await_answer(desk, after(PATIENCE));
    }
}

/// Asks to be told of other news of `fd` than `news`: what is given is readable then. `None`: nobody will tell.
pub fn await_news(fd: RawFd, name: Name, news: u32) -> Option<OwnedFd> {
    let mut deadline = Patience::USUAL.begin();
    let desk = reach_owner(name.engine, &mut deadline)?;
    let message = Question::Await { news }.encode();
    let maker = local::peer_user(borrow(fd)).ok();
    let asked =
        is_trusted(&desk, maker) && pair::give_descriptor(&desk, &message, borrow(fd)).is_ok();
    asked.then_some(desk)
}

fn ask_until(
    shown: RawFd,
    maker: Option<u32>,
    engine: u64,
    question: &Question,
    deadline: &mut Deadline,
) -> Option<(Said, OwnedFd)> {
    let message = question.encode();
    // An owner with too many clients dismisses the oldest unheard.
    while !deadline.has_passed() {
        let desk = reach_owner(engine, deadline)?;
        if !is_trusted(&desk, maker) {
            return None;
        }
        if pair::give_descriptor(&desk, &message, borrow(shown)).is_ok()
            && let Some(answer) = receive(&desk, deadline.time)
        {
            return Some((answer, desk));
        }
    }
    None
}

/// Connects to who has the engine. `None`: nobody does, nor is about to. An owner who had to be waited for has as long
/// to answer as any.
fn reach_owner(engine: u64, deadline: &mut Deadline) -> Option<OwnedFd> {
    let name = desk(engine);
    if let Some(desk) = reach(&name, deadline.time) {
        return Some(desk);
    }
    if GONE.load(Ordering::Relaxed) == engine {
        return None;
    }
    // The keeper may hear of the question before it hears of the death.
    let patience = deadline.patience;
    for _ in 0..2 {
        let kept = estate::await_executors(local::own_user(), patience.beginning);
        let found = reach_soon(&name, TAKEOVER.min(patience.beginning));
        if found.is_some() {
            *deadline = patience.begin();
            return found;
        }
        if !kept {
            break;
        }
    }
    if patience.beginning >= BEGINNING {
        GONE.store(engine, Ordering::Relaxed);
    }
    None
}

/// Connects to who is about to listen under `name`.
fn reach_soon(name: &str, patience: Duration) -> Option<OwnedFd> {
    let deadline = after(patience);
    loop {
        if let Some(desk) = reach(name, deadline) {
            return Some(desk);
        }
        if clock::monotonic() >= deadline {
            return None;
        }
        let _ = poll_for(&mut [], Some(QUEUE), None);
    }
}

/// Connects to who listens under `name`. `None`: nobody does.
pub(in crate::driver) fn reach(name: &str, deadline: u64) -> Option<OwnedFd> {
    loop {
        match local::connect_to(Sort::Messages, name.as_bytes()) {
            Ok(desk) => return Some(desk),
            Err(Errno::AGAIN) if clock::monotonic() < deadline => {
                let _ = poll_for(&mut [], Some(QUEUE), None);
            }
            Err(_) => return None,
        }
    }
}

/// Whether who sits at the desk may be shown a descriptor of this user's making (invariant 3).
fn is_trusted(desk: &OwnedFd, maker: Option<u32>) -> bool {
    local::peer_user(desk)
        .is_ok_and(|user| user == 0 || user == local::own_user() || Some(user) == maker)
}

/// Waits until something comes from a door, or its connection ends. `None`: it does not in time.
pub(in crate::driver) fn await_answer(door: &OwnedFd, deadline: u64) -> Option<()> {
    loop {
        let left = deadline.saturating_sub(clock::monotonic());
        if left == 0 {
            return None;
        }
        let mut fds = [entry(door.as_raw_fd(), libc::POLLIN)];
        match poll_for(&mut fds, Some(Duration::from_nanos(left)), None) {
            Ok(1) => return Some(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

fn receive(desk: &OwnedFd, deadline: u64) -> Option<Said> {
    await_answer(desk, deadline)?;
    let mut message = [0; LONGEST];
    let (count, program) = pair::take_message(desk, &mut message, true).ok()?;
    let message = &message[..count];
    match program {
        Some(program) => {
            let (answer, name) = questions::decode_renewed(message)?;
            Some((answer, Some(Served { name, program })))
        }
        None => Some((questions::decode(message)?, None)),
    }
}
