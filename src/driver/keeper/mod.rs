//! The keeper: a process that serves sockets of programs which may not open a packet socket.
//!
//! `sidestack keeper` loads the library and calls it ([`run`]). The process has an engine like any
//! other and drives it all its life; what is special about it is its *door*, where programs ask for
//! sockets.
//!
//! ```text
//!   program                               keeper
//!     │ socket(2): a kernel socket, for now
//!     │ first address ── Create ────────► \0sidestack/keeper/<uid>/…   (door)
//!     │              ◄── the program's end ──                         makes pair and endpoint
//!     │ bind, connect, listen, options ─► \0sidestack/stack/<engine>   (the family's desk)
//!     └ bytes ════════ pair ════════════► engine ──► packet socket
//! ```
//!
//! So a socket that was asked for is a socket of another process's stack, as one inherited from it
//! would be ([`family`](super::family)), and needs nothing more. While it has no address, nobody
//! knows whether the stack or the kernel is to serve it: it is a kernel socket then, and stays one
//! if the keeper says so.
//!
//! Any process serves those forked from it in the same way, at its desk, if they have given up the
//! right since: who holds its lifeline ([`lifeline`](super::lifeline)) need not be admitted.
//!
//! 1. Who asks is known by SO_PEERCRED of his connection. Served are root, the keeper's own user, and
//!    users whom the administrator has admitted (`--allow-user`).
//! 2. Who is asked is known likewise: a program asks a keeper of root, or one of its own user.
//! 3. A request is one message, its answer one message, on a connection of its own. Connections that
//!    have not asked yet are bounded for each user, and none of them is waited for.
//! 4. SIGTERM, SIGINT and SIGHUP end it in order: no new requests, and an heir serves what is open. It
//!    makes a will like any process, so if it is killed an executor does.
//!
//! One that is given its listening descriptor (`--listener`) is of another kind: it has no stack, and
//! keeps what processes leave when they are killed ([`estate`](super::estate)).
//!
//! Another kind of request is another variant of [`Request`] (requests.rs: its letter, and what follows
//! it), and an arm in [`Keeper::receive`] or [`host::answer`]; a descriptor that comes with a message is
//! in [`Visit`]. A connection is closed with its answer; what is to last keeps a duplicate of it.

mod client;
mod host;
mod plan;
mod requests;

pub(super) use client::{Answered, greet};
pub use client::{ask, await_successors};
pub(super) use host::serve_forked;
pub use plan::Plan;
pub use requests::{Create, First};

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

use super::door::{Door, Visit};
use super::seat::Seat;
use super::{Engine, Guard, estate, lock, process, start};
use crate::control::dialect;
use crate::control::log;
use crate::sys::local::Sort;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::entry;
use crate::sys::{local, signal, strerror};
use requests::{LONGEST, Request};

/// What the process does until a signal ends it; its exit status.
pub fn run(mut plan: Plan) -> i32 {
    crate::sys::process::note_id();
    if let Some(listener) = plan.listener.take() {
        return estate::keep(listener);
    }
    match Keeper::open(plan) {
        Ok(mut keeper) => {
            log::info(format_args!(
                "the keeper of user {} is ready",
                local::own_user()
            ));
            keeper.serve();
            drop(keeper);
            process::finish(&[]);
            0
        }
        Err(reason) => {
            log::error(format_args!("{reason}; there is no keeper"));
            1
        }
    }
}

/// Why the keeper's name is not free. Anybody can take it.
fn explain_holder(name: &str) -> String {
    let holder = local::connect_to(Sort::Messages, name.as_bytes());
    match holder.and_then(local::peer_user) {
        Ok(user) if user != local::own_user() => format!(
            "user {user} has the name \"@{name}\", by which programs ask for the keeper (`ss -xlp` shows the process)"
        ),
        _ => "a keeper of this user runs already in this network namespace".into(),
    }
}

struct Keeper {
    plan: Plan,
    door: Door,
    /// Readable when a signal asks the keeper to end.
    signals: OwnedFd,
}

impl Keeper {
    fn open(mut plan: Plan) -> Result<Self, String> {
        let explain = |what: &str, errno| format!("{what}: {}", strerror::of(errno));
        let signals = signal::descriptor_for(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])
            .map_err(|errno| explain("cannot take signals by a descriptor", errno))?;
        start::start_with(core::mem::take(&mut plan.settings))?;
        let name = dialect::Keeper::Sockets.name(local::own_user());
        let door = Door::open(&name).map_err(|errno| match errno {
            Errno::ADDRINUSE => explain_holder(&name),
            errno => explain("cannot listen for programs", errno),
        })?;
        Ok(Self {
            plan,
            door,
            signals,
        })
    }

    fn serve(&mut self) {
        let Some(mut engine) = lock() else { return };
        engine.driving.seat = Seat::Background;
        if let Some(most) = self.plan.sockets {
            engine.endpoints.guests.most = most;
        }
        while self.wait(&mut engine) {
            for visit in self.door.visits(LONGEST) {
                self.receive(&mut engine, &visit);
            }
            engine.ration();
        }
    }

    /// Waits until there may be something to do, and serves the stack; whether to go on.
    fn wait(&self, engine: &mut Guard) -> bool {
        let mut own = [
            entry(self.door.as_fd().as_raw_fd(), libc::POLLIN),
            entry(self.signals.as_raw_fd(), libc::POLLIN),
        ];
        estate::serve_alone(engine, &mut own, None) && own[1].revents == 0
    }

    /// Reads a visitor's request and answers it.
    fn receive(&self, engine: &mut Engine, visit: &Visit) {
        let Some(request) = Request::decode(&visit.message) else {
            return;
        };
        let answer = match self.plan.admits(visit.user) {
            true => host::answer(engine, visit, visit.descriptors.first(), &request),
            false => Err(Errno::ACCESS),
        };
        host::reply(visit, answer);
    }
}
