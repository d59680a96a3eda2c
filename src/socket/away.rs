//! Sockets whose stack is in another process: recognising them, and asking their owner.
//!
//! See the driver's `family` for who answers, and how. Here is what this process does with it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::{Family, Kind, Socket, Stage, abroad, answers, create, served, table, watched};
use crate::driver::{self, Answer, Description, Name, Question, Served};
use crate::sys::owned::OwnedFd;
use crate::sys::{process, raw};

impl Socket {
    /// Whom to ask about it; `None`: this process's own stack serves it.
    pub(super) fn away(&self) -> Option<Name> {
        let state = self.state();
        match state.endpoint {
            Some(_) => None,
            None => state.away,
        }
    }
}

/// Asks the owner of `fd`. `None`: there is none, or it does not answer. If the socket has another pair by now, that takes
/// the place of the one it had.
pub(super) fn ask(fd: RawFd, socket: &Socket, question: &Question) -> Option<Answer> {
    ask_for_end(fd, socket, question).filter(is_known)
}

/// Whether the owner knows the descriptor. If not, the connection is over, and the pair tells the rest.
fn is_known(answer: &Answer) -> bool {
    *answer != Err(Errno::NOTSOCK)
}

/// The same. ENOTSOCK: the owner knows nothing of the descriptor any more, since another thread may have had it changed.
pub(super) fn ask_for_end(fd: RawFd, socket: &Socket, question: &Question) -> Option<Answer> {
    let ((answer, renewed), desk) = ask_for(fd, socket, question)?;
    if let Some(served) = renewed
        && let Some(entered) = table::entered(socket)
        && served::settle_in(fd, &entered, served).is_ok()
    {
        refresh(fd, socket);
        served::show(&entered);
        driver::take_leave(&desk);
    }
    Some(answer)
}

fn ask_for(
    fd: RawFd,
    socket: &Socket,
    question: &Question,
) -> Option<((Answer, Option<Served>), OwnedFd)> {
    let name = socket.away()?;
    if driver::is_inside() {
        return None;
    }
    let answered = driver::ask_and_stay(fd, name, question)?;
    if !is_known(&answered.0.0) {
        socket.state().remote = None;
    }
    Some(answered)
}

/// Asks the owner of `fd`, if another process has it, how far the socket has come, and remembers
/// that.
pub fn refresh(fd: RawFd, socket: &Socket) {
    if let Some(Ok(bytes)) = ask(fd, socket, &Question::Describe)
        && let Some(described) = Description::decode(&bytes)
    {
        remember(socket, &described);
    }
}

/// Whether a TCP socket of another process's stack is, or has been, connected. The pair of one that is not would take
/// what is written, and that of a listener carries connections.
pub(super) fn is_connected(fd: RawFd, socket: &Socket) -> bool {
    if socket.state().stage == Stage::Idle {
        // Another process may have connected it.
        refresh(fd, socket);
    }
    !matches!(socket.state().stage, Stage::Idle | Stage::Listening)
}

fn remember(socket: &Socket, described: &Description) {
    let mut state = socket.state();
    if !described.inet6 && socket.family() == Family::Inet6 {
        socket.become_inet(&mut state);
    }
    state.local = described.local;
    state.remote = described.remote;
    state.former = described.former;
    state.stage = match (described.listening, described.connected) {
        (true, _) => Stage::Listening,
        (_, true) => Stage::Connected,
        _ => Stage::Idle,
    };
}

/// The error the owner, or else the pair, has for `fd`, once.
pub(super) fn pending_error(fd: RawFd, socket: &Socket) -> Option<Errno> {
    let question = Question::Get {
        level: libc::SOL_SOCKET,
        name: libc::SO_ERROR,
        room: 4,
    };
    let answer = ask(fd, socket, &question)
        .unwrap_or_else(|| raw::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, 4));
    if socket.kind == Kind::Stream {
        socket.set_shows_more(false);
    }
    let errno = i32::from_ne_bytes(*answer.ok()?.first_chunk()?);
    (errno != 0).then(|| Errno::from_raw_os_error(errno))
}

/// How long calls on the descriptor wait: what SO_RCVTIMEO or SO_SNDTIMEO was set to in any of the
/// processes that hold it.
pub(super) fn patience(fd: RawFd, option: i32) -> Option<Duration> {
    let value = raw::getsockopt(fd, libc::SOL_SOCKET, option, 16).ok()?;
    let word = |at: usize| {
        let eight = value.get(at..)?.first_chunk()?;
        u64::try_from(i64::from_ne_bytes(*eight)).ok()
    };
    let limit = Duration::from_secs(word(0)?) + Duration::from_micros(word(8)?);
    (limit > Duration::ZERO).then_some(limit)
}

/// Says to the descriptor of a socket how long the kernel's own calls on it may wait. One whose stack is elsewhere knows.
pub fn tell_patience(fd: RawFd, socket: &Socket) {
    if socket.away().is_none() {
        socket.state().options.limit_waits(fd);
    }
}

/// Calls on the descriptor `to`, which takes the place of `from`, wait as long as there.
pub(super) fn keep_patience(from: RawFd, to: RawFd) {
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        if let Ok(limit) = raw::getsockopt(from, libc::SOL_SOCKET, option, 16) {
            let _ = raw::setsockopt(to, libc::SOL_SOCKET, option, &limit);
        }
    }
}

/// Whether a call with these flags waits on the descriptor, whichever process has set O_NONBLOCK or not.
pub fn waits(fd: RawFd, flags: i32) -> bool {
    let held = || raw::fcntl(fd, libc::F_GETFL, 0);
    flags & libc::MSG_DONTWAIT == 0
        && held().is_ok_and(|held| held & libc::O_NONBLOCK as usize == 0)
}

/// A descriptor has come by SCM_RIGHTS, from whichever process. If this one has the socket of another's stack by a number
/// already, it is the same.
pub fn arrived(fd: RawFd) {
    table::note_arrival(fd);
    if !abroad::are_any() {
        return;
    }
    let Some(name) = Name::of(fd) else { return };
    let mut held = table::all().into_iter();
    if let Some((_, socket)) = held.find(|(_, socket)| socket.away() == Some(name)) {
        table::insert(fd, socket);
    }
}

/// Looks at a descriptor this process did not make: enters it if it is a socket of ours.
#[cold]
pub(super) fn meet(fd: RawFd) -> Option<Arc<Socket>> {
    if driver::is_inside() || process::is_vfork_child() {
        return None;
    }
    let Some(name) = Name::of(fd) else {
        table::note_foreign(fd);
        return None;
    };
    let socket = if name.engine == driver::engine_id() {
        come_home(fd, name)?
    } else {
        introduce(fd, name)?
    };
    create::hook();
    socket.named.store(true, Ordering::Relaxed);
    table::insert(fd, socket.clone());
    Some(socket)
}

/// A socket of this process's own stack that has come back.
fn come_home(fd: RawFd, name: Name) -> Option<Arc<Socket>> {
    let mut engine = driver::lock()?;
    let socket = answers::socket_of(&mut engine, name.endpoint)?;
    if let Some(endpoint) = engine.endpoints.get_mut(name.endpoint)
        && endpoint.program < 0
    {
        endpoint.program = fd;
    }
    Some(socket)
}

/// A socket of another process's stack.
fn introduce(fd: RawFd, name: Name) -> Option<Arc<Socket>> {
    let described = Description::decode(&driver::ask(fd, name, &Question::Describe)?.0.ok()?)?;
    let family = match described.inet6 {
        true => Family::Inet6,
        false => Family::Inet,
    };
    let kind = match described.datagram {
        true => Kind::Datagram,
        false => Kind::Stream,
    };
    let flags = raw::fcntl(fd, libc::F_GETFL, 0).unwrap_or(0);
    let nonblocking = flags & libc::O_NONBLOCK as usize != 0;
    let socket = Socket::new(family, kind, nonblocking, None);
    {
        let mut state = socket.state();
        state.away = Some(name);
        // What has a name is no fresh one, whatever has become of its address.
        state.made_away = true;
    }
    abroad::note_any();
    remember(&socket, &described);
    Some(socket)
}

/// The socket is about to reach another process by `fd`: gives it the name by which it is
/// recognised there, and has its calls wait there as long as here.
pub fn set_out(fd: RawFd, socket: &Socket) {
    if socket.named.swap(true, Ordering::Relaxed) {
        return;
    }
    // What has no address yet is nobody's: see `create::leave_if_fresh`.
    let fresh = create::is_fresh(fd, socket);
    let state = socket.state();
    let own = state.endpoint.map(|endpoint| Name {
        engine: driver::engine_id(),
        endpoint,
    });
    match own.or(state.away) {
        Some(name) if !fresh && name.give(fd) => state.options.limit_waits(fd),
        _ => socket.named.store(false, Ordering::Relaxed),
    }
}

/// A child of vfork(2) has duplicated a socket's descriptor, to a number that no table knows.
static DUPLICATED: AtomicBool = AtomicBool::new(false);

/// The same of the socket that a child of vfork(2) has under a number, and duplicates.
pub fn set_out_by(fd: RawFd) {
    if let Some(socket) = table::get(fd) {
        set_out(fd, &socket);
        DUPLICATED.store(true, Ordering::Relaxed);
    }
}

/// All sockets may be about to reach a program that this process starts beside itself.
pub fn set_all_out() {
    for (fd, socket) in table::all() {
        set_out(fd, &socket);
    }
    driver::note_set_out();
}

/// This process is about to become another program, which inherits what is not close-on-exec.
pub fn leave_fresh() {
    for (fd, socket) in left_to_program() {
        create::leave_if_fresh(fd, &socket);
    }
}

/// This process, or a vfork(2) child of it, is about to become another program, to which those
/// sockets go that are not close-on-exec.
pub fn set_out_by_exec() {
    let left: Vec<_> = left_to_program().collect();
    for (fd, socket) in &left {
        set_out(*fd, socket);
    }
    let sockets = left.iter().map(|(_, socket)| &**socket);
    let shared = share_farther(sockets);
    driver::note_set_out();
    driver::end_at_exec(shared);
}

/// These sockets reach a process that is not forked from their owners, as far as those are others: tells them; whether all
/// have heard it.
pub(super) fn share_farther<'a>(sockets: impl Iterator<Item = &'a Socket>) -> bool {
    let away: Vec<_> = sockets.filter_map(Socket::away).collect();
    driver::share_farther(&away)
}

/// Whether a program that takes this one's place, or its vfork(2) child's, inherits any socket of ours.
pub fn leaves_any() -> bool {
    let duplicated = process::is_vfork_child() && DUPLICATED.swap(false, Ordering::Relaxed);
    duplicated || table::numbers().into_iter().any(is_inherited)
}

/// The sockets that an executed program has.
fn left_to_program() -> impl Iterator<Item = (RawFd, Arc<Socket>)> {
    let numbers = table::numbers().into_iter().filter(|&fd| is_inherited(fd));
    numbers.filter_map(|fd| Some((fd, table::get(fd)?)))
}

/// Whether an executed program has the descriptor.
fn is_inherited(fd: RawFd) -> bool {
    raw::fcntl(fd, libc::F_GETFD, 0).is_ok_and(|flags| flags & libc::FD_CLOEXEC as usize == 0)
}

/// An heir has taken the engine over.
pub(super) fn disowned(engine: u64) {
    owned_elsewhere(engine, table::all());
}

/// Of those of `sockets` that were this process's stack's whoever has `engine` now is to be asked: an heir, or in a forked
/// child the parent.
pub(super) fn owned_elsewhere(engine: u64, sockets: Vec<(RawFd, Arc<Socket>)>) {
    for (fd, socket) in sockets {
        let mut state = socket.state();
        if let Some(endpoint) = state.endpoint.take() {
            state.away = Some(Name { engine, endpoint });
            // Who waits on the descriptor waits as long as on the socket.
            state.options.limit_waits(fd);
            drop(state);
            abroad::note_any();
            watched::watch(&socket);
        }
    }
}
