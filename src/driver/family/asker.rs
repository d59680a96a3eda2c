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

/// How long an owner may take, in nanoseconds: it may be waiting for its processor.
const PATIENCE: u64 = 3_000_000_000;
/// How long one that took longer is not asked again, in nanoseconds.
const SILENCE: u64 = 1_000_000_000;
/// Between two attempts to reach an owner at whose desk too many wait, or who is yet to come.
const QUEUE: Duration = Duration::from_millis(1);
/// How long it may take until somebody goes on for an owner who was killed, in nanoseconds, and how long if a keeper
/// has to have its processor before.
const TAKEOVER: u64 = 300_000_000;
const BEGINNING: Duration = Duration::from_secs(10);

/// The engine for which nobody did, the last that there was.
static GONE: AtomicU64 = AtomicU64::new(0);

/// The engine whose owner took longer, the last that there was, and until when it is not asked, in monotonic
/// nanoseconds.
static SILENT: AtomicU64 = AtomicU64::new(0);
static SILENT_UNTIL: AtomicU64 = AtomicU64::new(0);

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
    patiently(name.engine, |deadline| {
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
        let told = patiently(with.engine, |deadline| {
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

/// Asks who has `engine`, until a deadline, unless he was silent a moment ago.
fn patiently<T>(engine: u64, ask: impl FnOnce(&mut u64) -> Option<T>) -> Option<T> {
    let now = clock::monotonic();
    let is_silent = SILENT.load(Ordering::Relaxed) == engine;
    if is_silent && now < SILENT_UNTIL.load(Ordering::Relaxed) {
        return None;
    }
    let mut deadline = now.saturating_add(PATIENCE);
    let answer = ask(&mut deadline);
    if answer.is_none() {
        count_passed(Passed::Unanswered);
        let now = clock::monotonic();
        if now >= deadline {
            SILENT.store(engine, Ordering::Relaxed);
            SILENT_UNTIL.store(now.saturating_add(SILENCE), Ordering::Relaxed);
        }
    }
    answer
}

/// The other descriptor that came with an answer is in its place: has the old pair hang up.
pub fn take_leave(desk: &OwnedFd) {
    let deadline = clock::monotonic().saturating_add(PATIENCE);
    if rustix::net::shutdown(desk, Shutdown::Write).is_ok() {
        await_answer(desk, deadline);
    }
}

/// Asks to be told of other news of `fd` than `news`: what is given is readable then. `None`: nobody will tell.
pub fn await_news(fd: RawFd, name: Name, news: u32) -> Option<OwnedFd> {
    let mut deadline = clock::monotonic().saturating_add(PATIENCE);
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
    deadline: &mut u64,
) -> Option<(Said, OwnedFd)> {
    let message = question.encode();
    // An owner with too many clients dismisses the oldest unheard.
    while clock::monotonic() < *deadline {
        let desk = reach_owner(engine, deadline)?;
        if !is_trusted(&desk, maker) {
            return None;
        }
        if pair::give_descriptor(&desk, &message, borrow(shown)).is_ok()
            && let Some(answer) = receive(&desk, *deadline)
        {
            return Some((answer, desk));
        }
    }
    None
}

/// Connects to who has the engine. `None`: nobody does, nor is about to. An owner who had to be waited for has as long
/// to answer as any.
fn reach_owner(engine: u64, deadline: &mut u64) -> Option<OwnedFd> {
    let name = desk(engine);
    if let Some(desk) = reach(&name, *deadline) {
        return Some(desk);
    }
    if GONE.load(Ordering::Relaxed) == engine {
        return None;
    }
    // The keeper may hear of the question before it hears of the death.
    for _ in 0..2 {
        let kept = estate::await_executors(local::own_user(), BEGINNING);
        let found = reach_soon(&name);
        if found.is_some() {
            *deadline = clock::monotonic().saturating_add(PATIENCE);
            return found;
        }
        if !kept {
            break;
        }
    }
    GONE.store(engine, Ordering::Relaxed);
    None
}

/// Connects to who is about to listen under `name`.
fn reach_soon(name: &str) -> Option<OwnedFd> {
    let deadline = clock::monotonic().saturating_add(TAKEOVER);
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
