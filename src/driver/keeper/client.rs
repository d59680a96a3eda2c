//! The side of a program whose process may not open a packet socket.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::super::family::{Served, await_answer, desk, reach};
use super::super::heirs;
use super::super::lifeline::{self, Parent};
use super::requests::{Create, LONGEST, Reply, Request};
use crate::control::dialect;
use crate::control::ephemeral::Protocol;
use crate::control::limits::Limits;
use crate::control::log;
use crate::control::low_ports;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::borrow;
use crate::sys::{clock, local, pair};

/// How long a keeper may take, in nanoseconds: it may be waiting for its processor.
const PATIENCE: u64 = 3_000_000_000;

/// Who serves this process's sockets: a parent, if there is one left, or else this user's keeper.
static KEEPER: AtomicU32 = AtomicU32::new(0);
static BY_PARENT: AtomicBool = AtomicBool::new(false);

/// Whom to ask.
#[derive(Clone, Copy)]
enum Host {
    /// The keeper of a user.
    Keeper(u32),
    /// A process this one was forked from.
    Parent(Parent),
}

/// What keepers say to a process that asks to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Answered {
    /// Its sockets are served.
    Admitted,
    /// The keeper does not admit the process's user.
    Denied,
    /// The keeper drives another interface.
    OtherInterface,
    /// The keeper is of another version of the library.
    OtherVersion,
    /// There is no keeper that has a stack.
    Nobody,
}

/// Asks those this process was forked from, root's keeper, and the own user's, whether they serve it.
pub(in crate::driver) fn greet(interface: Option<&str>) -> Answered {
    let interface = interface.unwrap_or_default().to_owned();
    let request = Request::Hello { interface };
    let own = local::own_user();
    let parents = lifeline::parents().into_iter().map(Host::Parent);
    let users = [0, own].into_iter().take(1 + usize::from(own != 0));
    let mut worst = Answered::Nobody;
    for host in parents.chain(users.clone().map(Host::Keeper)) {
        match converse(host, &request) {
            Some((Reply::Done, _)) => {
                match host {
                    Host::Keeper(user) => KEEPER.store(user, Ordering::Relaxed),
                    Host::Parent(_) => BY_PARENT.store(true, Ordering::Relaxed),
                }
                return Answered::Admitted;
            }
            Some((Reply::Refused(Errno::ACCESS), _)) => worst = Answered::Denied,
            Some((Reply::Refused(Errno::NODEV), _)) => worst = Answered::OtherInterface,
            _ => {}
        }
    }
    let keeper = dialect::Keeper::Sockets;
    if worst == Answered::Nobody
        && users
            .into_iter()
            .any(|user| keeper.is_of_other_version(user))
    {
        worst = Answered::OtherVersion;
    }
    worst
}

/// Asks for a socket. `Ok(None)`: the kernel is to serve it. ECONNREFUSED: the keeper is gone; EACCES:
/// the user is admitted no more; EMFILE, ENOBUFS: he has as much as he may; ENETUNREACH.
pub fn ask(wanted: Create) -> Result<Option<Served>, Errno> {
    let request = Request::Create(wanted);
    let by_parent = BY_PARENT.load(Ordering::Relaxed);
    let parents = by_parent.then(lifeline::parents).unwrap_or_default();
    let keeper = (!by_parent).then(|| Host::Keeper(KEEPER.load(Ordering::Relaxed)));
    let mut hosts = parents.into_iter().map(Host::Parent).chain(keeper);
    match hosts.find_map(|host| converse(host, &request)) {
        Some((Reply::Created(name), Some(program))) => Ok(Some(Served { name, program })),
        // The descriptor was taken out of the message where this process had no room for it.
        Some((Reply::Created(_), None)) => Err(Errno::MFILE),
        Some((Reply::Kernel, _)) => Ok(None),
        Some((Reply::Refused(errno), _)) => Err(errno),
        Some((Reply::Done, _)) | None => Err(Errno::CONNREFUSED),
    }
}

/// The keeper is gone: waits until those who go on for it, if it was killed, have begun, and have given back what ports
/// they can.
pub fn await_successors(protocol: Protocol) {
    if !BY_PARENT.load(Ordering::Relaxed) {
        heirs::await_successors(protocol, KEEPER.load(Ordering::Relaxed));
    }
}

/// What shows the right to the port that is asked for, if it is one that takes a right.
fn shown_for(request: &Request) -> Option<OwnedFd> {
    let port = request.bound_port()?;
    let start = Limits::read().ip_unprivileged_port_start;
    (port < start).then(|| low_ports::show(start)).flatten()
}

/// One request and its answer. `None`: nobody answers who may be asked.
fn converse(host: Host, request: &Request) -> Option<(Reply, Option<OwnedFd>)> {
    let message = request.encode();
    let shown = shown_for(request);
    let deadline = clock::monotonic().saturating_add(PATIENCE);
    // Where too many of one user's clients wait, the oldest is dismissed unheard.
    while clock::monotonic() < deadline {
        let door = reach(&host.name(), deadline)?;
        // The name is free for all.
        let user = local::peer_user(&door).ok()?;
        if !host.may_be(user) {
            let name = host.name();
            log::warn(format_args!(
                "user {user} has the name \"@{name}\": it is not asked whether it serves this program"
            ));
            return None;
        }
        let line = match host {
            Host::Keeper(_) => None,
            Host::Parent(parent) => Some(borrow(parent.lifeline)),
        };
        let shown = shown.as_ref().map(AsFd::as_fd);
        let with: Vec<_> = line.into_iter().chain(shown).collect();
        let asked = match with.is_empty() {
            true => pair::give(&door, &message),
            false => pair::give_descriptors(&door, &message, &with),
        };
        if asked.is_ok() {
            await_answer(&door, deadline)?;
            let mut answer = [0; LONGEST];
            if let Ok((count, descriptor)) = pair::take_message(&door, &mut answer, true)
                && let Some(reply) = Reply::decode(&answer[..count])
            {
                return Some((reply, descriptor));
            }
        }
    }
    None
}

impl Host {
    /// Where it is asked.
    fn name(self) -> String {
        match self {
            Self::Keeper(user) => dialect::Keeper::Sockets.name(user),
            Self::Parent(parent) => desk(parent.engine),
        }
    }

    /// Whether it may run as `user`.
    fn may_be(self, user: u32) -> bool {
        match self {
            Self::Keeper(keeper) => user == keeper,
            Self::Parent(parent) => user == parent.user || user == 0,
        }
    }
}
