//! Sockets of a process that a keeper serves (see the driver's `keeper`).
//!
//! A fresh one is a kernel socket. Its first address goes to the keeper, which makes it one of its
//! stack's, or leaves it the kernel's; what was said of it before is said again there.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::fd::{AsRawFd, RawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::address::Given;
use super::bind::protocol;
use super::create::{hand_over, hook, nonblocking, register, replace, shut_again, unregister};
use super::{Family, Kind, Socket, Stage, abroad, address, away, options, sets, table, watched};
use crate::control::log;
use crate::driver::keeper::{self, Create, First};
use crate::driver::{self, Passed, Question, Served, Service, beds, count_passed};
use crate::sys::wait::{borrow, poll_for};

/// How often, and after which pauses, the port of a socket that goes over is asked for.
const PORT_TRIES: u32 = 100;
const PORT_PAUSE: Duration = Duration::from_millis(2);

/// The user was told that there is no keeper any more.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Enters a fresh kernel socket of the program's.
pub fn enter(fd: RawFd, family: Family, kind: Kind, nonblocking: bool) {
    hook();
    if table::can_hold(fd) {
        table::insert(fd, Socket::new(family, kind, nonblocking, None));
    }
}

/// Before a fresh socket's first address.
pub(super) fn claim(fd: RawFd, socket: &Arc<Socket>, first: First) -> Result<(), Errno> {
    if let First::Remote(address) = &first
        && address::read(address, socket.family()) == Ok(Given::Unspecified)
    {
        // It gives nothing an address. What was shut is not any more, of a TCP socket.
        if socket.kind == Kind::Stream {
            let mut state = socket.state();
            (state.reads_no_more, state.writes_no_more) = (false, false);
        }
        return Ok(());
    }
    let passed = match &first {
        First::Local(_) => Passed::LocalAddress,
        First::Any | First::Remote(_) => Passed::Destination,
    };
    let is_bound = matches!(first, First::Local(_));
    let opens_at_once = socket.kind == Kind::Datagram && !is_bound;
    let wanted = Create {
        inet6: socket.family() == Family::Inet6,
        datagram: socket.kind == Kind::Datagram,
        v6_only: socket.state().options.v6_only,
        first,
    };
    match keeper::ask(wanted) {
        Ok(Some(served)) => {
            if !repeat(socket, &served) {
                return leave(socket, Passed::Option);
            }
            settle_in(fd, socket, served)?;
            if opens_at_once {
                away::refresh(fd, socket);
            }
            show(socket);
            Ok(())
        }
        Ok(None) => leave(socket, passed),
        Err(Errno::CONNREFUSED) => {
            if !TOLD.swap(true, Ordering::Relaxed) {
                log::warn("the keeper is gone; new sockets are the kernel's");
            }
            if is_bound {
                keeper::await_successors(protocol(socket.kind));
            }
            leave(socket, Passed::Refused)
        }
        Err(errno) => Err(errno),
    }
}

/// Tries again while a port is in use that is about to be free.
fn until_free(mut bind: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 0..PORT_TRIES {
        match bind() {
            Err(Errno::ADDRINUSE) => drop(poll_for(&mut [], Some(PORT_PAUSE), None)),
            result => return result,
        }
    }
    Err(Errno::ADDRINUSE)
}

/// Whether a socket of a keeper's may go over to the kernel: one that is not connected and does not listen, and any of
/// datagrams, which may have another peer.
pub(super) fn may_go_over(socket: &Socket) -> bool {
    let state = socket.state();
    let idle = state.stage == Stage::Idle || socket.kind == Kind::Datagram;
    driver::service() == Service::Keeper && state.away.is_some() && idle
}

/// Lets the kernel serve a socket that was bound, for a destination that only the kernel reaches. It has
/// the same address there.
pub(super) fn go_over(socket: &Arc<Socket>) -> Result<(), Errno> {
    let fd = *table::numbers_of(socket).first().ok_or(Errno::BADF)?;
    let reads_no_more = abroad::is_shut(fd, socket);
    leave(socket, Passed::Destination)?;
    shut_again(borrow(fd), (reads_no_more, false));
    let state = socket.state();
    let (local, remote) = (state.local, state.remote);
    drop(state);
    if let Some(local) = local {
        let address = address::in_family(local, socket.family());
        // The keeper is about to see that the socket is gone from there.
        until_free(|| rustix::net::bind(borrow(fd), &address))?;
    }
    match remote {
        Some(remote) if socket.kind == Kind::Datagram => {
            rustix::net::connect(borrow(fd), &address::in_family(remote, socket.family()))
        }
        _ => Ok(()),
    }
}

/// A guest's fresh socket whose descriptor another program may use, too, is the kernel's as it is.
pub(super) fn stay(socket: &Socket, numbers: &[RawFd]) {
    if let Some(&fd) = numbers.first() {
        socket.state().options.replay(fd);
        count_passed(Passed::Fresh);
    }
    for &number in numbers {
        table::remove(number);
    }
}

/// Leaves a fresh socket to the kernel that got an address where we did not see it (by authbind(1), say); whether it is
/// one.
pub fn has_address_unseen(fd: RawFd, socket: &Arc<Socket>) -> bool {
    let unseen = driver::is_guest() && socket.state().is_fresh() && has_port(fd);
    if unseen {
        stay(socket, &table::numbers_of(socket));
    }
    unseen
}

fn has_port(fd: RawFd) -> bool {
    let name = rustix::net::getsockname(borrow(fd)).map(SocketAddr::try_from);
    matches!(name, Ok(Ok(name)) if name.port() != 0)
}

/// The kernel serves it.
fn leave(socket: &Arc<Socket>, why: Passed) -> Result<(), Errno> {
    count_passed(why);
    hand_over(socket, &socket.state())
}

/// Says again what was set, and shut down; whether the keeper's stack can heed it. (What it refuses otherwise the
/// kernel would have refused before.)
fn repeat(socket: &Socket, served: &Served) -> bool {
    let state = socket.state();
    let said = state.options.said();
    let shut = [
        (state.reads_no_more, libc::SHUT_RD),
        (state.writes_no_more, libc::SHUT_WR),
    ];
    drop(state);
    for (_, how) in shut.into_iter().filter(|(is_shut, _)| *is_shut) {
        let question = Question::Shutdown { how };
        driver::ask(served.program.as_raw_fd(), served.name, &question);
    }
    said.into_iter().all(|(level, name, value)| {
        let question = Question::Set { level, name, value };
        let answer = driver::ask(served.program.as_raw_fd(), served.name, &question);
        !matches!(answer, Some((Err(options::ONLY_KERNEL), _)))
    })
}

/// The owner's descriptor takes the place of the one that was there, but in epoll sets.
pub(super) fn settle_in(fd: RawFd, socket: &Arc<Socket>, served: Served) -> Result<(), Errno> {
    let numbers = table::numbers_of(socket);
    rustix::io::ioctl_fionbio(&served.program, nonblocking(socket, &numbers))?;
    let mut state = socket.state();
    let before = state.away;
    sets::note_disarmed(&mut state.registrations);
    if before.is_some() {
        // Calls that sleep in it, and other processes, may have it still.
        unregister(&state.registrations);
    }
    if before.is_some() {
        // Whoever finds the other pair knows what it means.
        state.stage = Stage::Idle;
    }
    match before {
        // Any process may have said how long calls wait.
        Some(_) => away::keep_patience(fd, served.program.as_raw_fd()),
        None => state.options.limit_waits(served.program.as_raw_fd()),
    }
    replace(&numbers, &served.program, &[])?;
    sets::forget_told(&mut state.registrations);
    state.away = Some(served.name);
    state.made_away = true;
    state.connect_unconfirmed = false;
    (state.opening, state.full) = (false, false);
    socket.set_over(false);
    socket.named.store(false, Ordering::Relaxed);
    drop(state);
    abroad::note_any();
    if let Some(before) = before {
        beds::note_moved(before);
    }
    Ok(())
}

/// How far the socket has come is known: its epoll sets tell of it, too, and who sleeps looks.
pub(super) fn show(socket: &Arc<Socket>) {
    watched::watch(socket);
    beds::wake();
    let number = table::number_of(socket).unwrap_or(-1);
    register(number, &socket.state().registrations);
}
