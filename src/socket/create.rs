//! socket(2), and changing what is behind a descriptor.

use core::sync::atomic::Ordering;
use rustix::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
use rustix::io::Errno;
use rustix::net::Shutdown;
use std::sync::Arc;

use super::{Family, Kind, Registration, Socket, Stage, State};
use super::{
    abroad, answers, away, bind, edges, guests, inherited, legacy, lifecycle, sets, table,
};
use crate::driver::keeper::First;
use crate::driver::{self, Endpoint, Engine, Hooks, Passed, Role, Service};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::borrow;
use crate::sys::{async_io, descriptor, pair, process, raw};

/// Makes an undecided socket; its descriptor.
pub fn create(
    family: Family,
    kind: Kind,
    nonblocking: bool,
    close_on_exec: bool,
) -> Result<RawFd, Errno> {
    hook();
    let mut engine = driver::lock().ok_or(Errno::NETDOWN)?;
    engine.make_room()?;
    let pair = pair::make(kind == Kind::Datagram, nonblocking, close_on_exec)?;
    let program = admit(pair.program)?;
    let socket = Socket::new(family, kind, nonblocking, None);
    enter(
        &mut engine,
        pair.stack,
        program,
        &socket,
        &mut socket.state(),
    );
    table::insert(program, socket);
    Ok(program)
}

/// Has the driver tell this layer what it has to do, and ask it on behalf of other processes.
pub(super) fn hook() {
    static HOOKS: Hooks = Hooks {
        hold: table::hold,
        release: table::release,
        free: table::free_all,
        inherited: inherited::inherited,
        disowned: away::disowned,
        is_set_out: legacy::is_set_out,
        described: legacy::describe,
        revived: legacy::revive,
        closed: lifecycle::forgotten,
        answered: answers::answer,
        created: guests::make,
    };
    driver::set_hooks(&HOOKS);
}

/// Whether the descriptor's number is one the program may have.
pub fn may_have(fd: &OwnedFd) -> bool {
    let number = fd.as_raw_fd();
    !descriptor::is_beyond_limit(number) && table::can_hold(number)
}

/// Hands a descriptor to the program if its number is one the program may have. EMFILE.
pub fn admit(fd: OwnedFd) -> Result<RawFd, Errno> {
    if may_have(&fd) {
        Ok(fd.into_raw_fd())
    } else {
        Err(Errno::MFILE)
    }
}

/// Lets the kernel serve the socket from now on: `kernel` takes the place of the pair under all
/// its numbers, with the options and epoll registrations it had.
pub fn become_kernel(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    kernel: &OwnedFd,
) -> Result<(), Errno> {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let shut = endpoint.map(|held| (held.read_finished, held.write_finished));
    shut_again(kernel, shut.unwrap_or_default());
    hand_to(socket, state, kernel)?;
    if let Some(id) = state.endpoint.take() {
        engine.forget(id);
    }
    Ok(())
}

/// Whether a socket has no address, nor anything else that says whose it is: what a connection has left.
pub(super) fn is_fresh(fd: RawFd, socket: &Socket) -> bool {
    let id = {
        let state = socket.state();
        if state.stage != Stage::Idle || state.local.is_some() {
            return false;
        }
        state.endpoint
    };
    if process::is_vfork_child() {
        // Others may have the lock, who do not run.
        return true;
    }
    match (driver::lock(), id) {
        (Some(engine), Some(id)) => !engine.endpoints.get(id).is_some_and(Endpoint::has_past),
        _ => !abroad::has_past(fd, socket),
    }
}

/// A socket is about to reach another program. What has no address yet is the kernel's from now on: so it is the same
/// socket there, whoever gives it one.
pub(super) fn leave_if_fresh(fd: RawFd, socket: &Arc<Socket>) {
    if !is_fresh(fd, socket) {
        return;
    }
    let engine = driver::lock();
    let mut state = socket.state();
    if state.endpoint.is_none() && state.away.is_none() {
        drop(state);
        drop(engine);
        if driver::is_guest() {
            super::served::stay(socket, &table::numbers_of(socket));
        }
        return;
    }
    let left = match engine {
        Some(mut engine) => kernel_socket(socket)
            .and_then(|kernel| become_kernel(&mut engine, socket, &mut state, &kernel)),
        None => hand_over(socket, &state),
    };
    if left.is_ok() {
        driver::count_passed(Passed::Fresh);
    }
}

/// Gives the socket a fresh pair under the same numbers: after a connection has failed, the
/// descriptor may connect anew.
pub fn renew(engine: &mut Engine, socket: &Arc<Socket>, state: &mut State) -> Result<(), Errno> {
    let numbers = table::numbers_of(socket);
    let nonblocking = nonblocking(socket, &numbers);
    let pair = pair::make(socket.kind == Kind::Datagram, nonblocking, true)?;
    if let Some(old) = state.endpoint {
        engine.note_if_held(old);
    }
    sets::note_disarmed(&mut state.registrations);
    replace(&numbers, &pair.program, &state.registrations)?;
    let old = state.endpoint.take();
    let program = numbers.first().copied().unwrap_or(-1);
    enter(engine, pair.stack, program, socket, state);
    if let (Some(old), Some(new)) = (old, state.endpoint) {
        engine.move_errors(old, new);
        engine.succeed(old, new, &pair.program, numbers.is_empty());
    }
    Ok(())
}

/// Enters a fresh pair as the socket's.
pub(super) fn enter(
    engine: &mut Engine,
    end: OwnedFd,
    program: RawFd,
    socket: &Arc<Socket>,
    state: &mut State,
) {
    let mut endpoint = Endpoint::new(end, program, Role::Undecided);
    endpoint.record = Some(socket.clone());
    endpoint.datagram = socket.kind == Kind::Datagram;
    endpoint.bound = state.bound.is_some();
    endpoint.keeps_port = bind::keeps_port(state);
    endpoint.inet6 = socket.family() == Family::Inet6;
    endpoint.linger = state.options.linger;
    endpoint.low_water = state.options.receive_low_water;
    let id = engine.endpoints.insert(endpoint);
    state.endpoint = Some(id);
    sets::forget_told(&mut state.registrations);
    if !state.registrations.is_empty() {
        edges::note(engine, id, state);
        engine.show_beyond(id);
    }
    state.away = None;
    socket.named.store(false, Ordering::Relaxed);
}

/// Before the first address of a socket (`first`; `None`: an IPv6 one) that is served by nobody yet: one that a forked
/// child has inherited fresh, or a fresh one of a process that a keeper serves. From now on it is
/// this process's alone, served by a stack of its own, by the keeper or by the kernel.
pub fn claim(
    fd: RawFd,
    socket: &Arc<Socket>,
    first: impl FnOnce() -> Option<First>,
) -> Result<(), Errno> {
    if super::served::has_address_unseen(fd, socket) || !socket.state().is_fresh() {
        return Ok(());
    }
    let service = driver::service();
    let engine = driver::lock();
    match (service, engine) {
        (Service::Stack, Some(mut engine)) => renew(&mut engine, socket, &mut socket.state()),
        (Service::Keeper, None) => match first() {
            Some(first) => super::served::claim(fd, socket, first),
            None => hand_over(socket, &socket.state()),
        },
        _ => hand_over(socket, &socket.state()),
    }
}

/// Lets the kernel serve a socket that is served by nobody yet.
pub(super) fn hand_over(socket: &Arc<Socket>, state: &State) -> Result<(), Errno> {
    let kernel = kernel_socket(socket)?;
    shut_again(&kernel, (state.reads_no_more, state.writes_no_more));
    hand_to(socket, state, &kernel)
}

/// What was shut stays so where the kernel serves it: for reading, for writing.
pub(super) fn shut_again(kernel: impl AsFd, shut: (bool, bool)) {
    let how = match shut {
        (false, false) => return,
        (true, false) => Shutdown::Read,
        (false, true) => Shutdown::Write,
        (true, true) => Shutdown::Both,
    };
    // Without a peer it is an error, and counts all the same.
    let _ = rustix::net::shutdown(kernel, how);
}

/// Puts a kernel socket in a socket's place, with the options and epoll registrations it had.
fn hand_to(socket: &Arc<Socket>, state: &State, kernel: &OwnedFd) -> Result<(), Errno> {
    state.options.replay(kernel.as_raw_fd());
    let numbers = table::numbers_of(socket);
    rustix::io::ioctl_fionbio(kernel, nonblocking(socket, &numbers))?;
    let mut registrations = state.registrations.clone();
    sets::note_disarmed(&mut registrations);
    replace(&numbers, kernel, &registrations)?;
    for number in numbers {
        table::remove(number);
    }
    Ok(())
}

/// O_NONBLOCK of what is about to be replaced under `numbers`, which another process may have set.
pub(super) fn nonblocking(socket: &Socket, numbers: &[RawFd]) -> bool {
    if let Some(&fd) = numbers.first() {
        socket.set_nonblocking(!away::waits(fd, 0));
    }
    socket.nonblocking()
}

/// Puts `new` under all `numbers`, and in the epoll sets they were in; signals tell of it as they did.
pub(super) fn replace(
    numbers: &[RawFd],
    new: &OwnedFd,
    registrations: &[Registration],
) -> Result<(), Errno> {
    let first = numbers.first().copied();
    let signals = first.map(async_io::Signals::of);
    for &number in numbers {
        let flags = raw::fcntl(number, libc::F_GETFD, 0)?;
        let close_on_exec = flags & libc::FD_CLOEXEC as usize != 0;
        raw::dup3(
            new.as_raw_fd(),
            number,
            if close_on_exec { libc::O_CLOEXEC } else { 0 },
        )?;
    }
    if let (Some(signals), Some(number)) = (signals, first) {
        signals.tell_of(number);
    }
    register(new.as_raw_fd(), registrations);
    Ok(())
}

/// Puts what is under the numbers now, which `other` is one more of, into the epoll sets.
pub(super) fn register(other: RawFd, registrations: &[Registration]) {
    for held in registrations {
        // The set or the number may be gone by now, with the registration.
        let _ = match held.closed {
            true => register_by_another(other, held),
            false => raw::epoll_add(held.set, held.fd, held.events, held.data),
        };
    }
}

/// The number by which the set has it is closed, and may be somebody else's: it gets another, which is closed, too.
fn register_by_another(fd: RawFd, held: &Registration) -> Result<(), Errno> {
    let number = descriptor::high(|| rustix::io::fcntl_dupfd_cloexec(borrow(fd), 0))?;
    raw::epoll_add(held.set, number.as_raw_fd(), held.events, held.data)
}

/// Takes it out of them.
pub(super) fn unregister(registrations: &[Registration]) {
    for held in registrations.iter().filter(|held| !held.closed) {
        let _ = raw::epoll_remove(held.set, held.fd);
    }
}

/// A kernel socket of the same family and kind.
pub fn kernel_socket(socket: &Socket) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = match socket.family() {
        Family::Inet => AddressFamily::INET,
        Family::Inet6 => AddressFamily::INET6,
    };
    let kind = match socket.kind {
        Kind::Stream => SocketType::STREAM,
        Kind::Datagram => SocketType::DGRAM,
    };
    descriptor::high(|| socket_with(family, kind, SocketFlags::CLOEXEC, None))
}
