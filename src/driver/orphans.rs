//! Orphans: connections that go on where their port was given back.
//!
//! A killed server's connections have data to be acknowledged, and peers that have yet to close. As
//! on Linux the next server need not wait for that. The kernel is kept silent by a stand-in for each
//! ([`crate::control::stand_in`]); the next server's stack, if it has one, by being told:
//!
//! ```text
//!   who has orphans    \0sidestack/orphans/<interface>/<port>/<number>
//!     ◄── connects, and sees the end of it ── who binds the port
//! ```
//!
//! 1. The name is there before the port is given back, so who gets the port finds it.
//! 2. Nothing is said, and nobody is waited for. Who binds the port knows that there are orphans by
//!    being connected, and that they are gone by the end of that; until then its stack answers
//!    nothing that belongs to none of its connections.
//! 3. Anybody may take such a name. All he gets by that are segments that go unanswered.

use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::collections::HashMap;

use super::Engine;
use super::engine::TOKEN_WAKE;
use crate::control::ephemeral::Protocol;
use crate::control::stand_in::{Ends, StandIn, stand_in};
use crate::stack::Stack;
use crate::stack::time::Instant;
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::pair;

/// The tokens of other processes' names: this plus the port. (See those of the engine's.)
pub(super) const TOKEN_ORPHANS: u64 = TOKEN_WAKE + (1 << 38);

/// Processes that may have orphans on a port at a time.
const MOST: u32 = 4;
/// Most orphans of one process. Each has a descriptor.
const MOST_ORPHANS: usize = 16_384;
/// Most stand-ins for connections that both sides have closed. Each takes some ten microseconds, for which
/// the port has to wait; and a reset can do no more harm to a peer that has all it is ever to get.
const MOST_FOR_CLOSED: usize = 100;
/// How long a stand-in stays once its connection has ended: the kernel may have yet to see the packet that the stack has
/// ended it by.
const STAYS: Duration = Duration::from_millis(20);
/// Processes that may be connected to a name.
const BACKLOG: i32 = 128;

/// The orphans of this process, by their port.
#[derive(Default)]
pub(super) struct Orphans {
    on: HashMap<u16, OnPort>,
    /// Of whose stand-ins no copy was made for who goes on when this process is killed.
    pub(super) uncopied: Vec<Ends>,
    /// Connections of the stack when it was looked last which have ended.
    connections: usize,
    /// What stood for those that have ended, and since when they have, in that order.
    ended: Vec<(Instant, StandIn)>,
}

#[derive(Default)]
struct OnPort {
    name: Option<OwnedFd>,
    connections: Vec<Ends>,
    stand_ins: HashMap<Ends, StandIn>,
}

impl Orphans {
    /// Has the kernel, and whoever gets the port next, keep silent about the stack's connections there.
    /// The leases, which are all that this process has of the port, may be closed then.
    ///
    /// # Errors
    /// EADDRINUSE: too many have orphans there. EMFILE: too many are. Those of [`stand_in`].
    pub(super) fn cover(
        &mut self,
        stack: &Stack,
        interface: u32,
        port: u16,
        leases: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let is_covered = |ends: &Ends| self.stand_in_of(ends).is_some();
        // What turns round in the stack the kernel does not see.
        let (closed, open): (Vec<_>, Vec<_>) = stack
            .tcp_ends_on(port)
            .filter(|(ends, _)| !stack.is_local(*ends.1.ip()) && !is_covered(ends))
            .partition(|&(_, closed)| closed);
        let closed: Vec<Ends> = closed.into_iter().map(|(ends, _)| ends).collect();
        let mut connections: Vec<Ends> = open.into_iter().map(|(ends, _)| ends).collect();
        if connections.is_empty() && closed.is_empty() {
            return Ok(());
        }
        if self.len() + connections.len() > MOST_ORPHANS {
            return Err(Errno::MFILE);
        }
        let name = match self.on.contains_key(&port) {
            true => None,
            false => Some(listen(interface, port)?),
        };
        let covered = closed.iter().take(MOST_FOR_CLOSED).chain(&connections);
        let stand_ins = stand_in(leases, covered.copied())?;
        self.uncopied
            .extend(stand_ins.iter().map(|(ends, _)| *ends));
        connections.extend(closed);
        self.enter(port, name, connections, stand_ins);
        Ok(())
    }

    fn enter(
        &mut self,
        port: u16,
        name: Option<OwnedFd>,
        connections: Vec<Ends>,
        stand_ins: Vec<(Ends, StandIn)>,
    ) {
        let on = self.on.entry(port).or_default();
        on.connections.extend(connections);
        on.name = on.name.take().or(name);
        on.stand_ins.extend(stand_ins);
    }

    /// Those of a dead process are this one's, as far as it goes on with the connections.
    pub(super) fn take_up(
        &mut self,
        stack: &mut Stack,
        interface: u32,
        left: Vec<(Ends, OwnedFd)>,
    ) {
        for ((local, remote), socket) in left {
            let port = local.port();
            if stack.tcp_is_between(local, remote) {
                // Where no name is left, a next server on the stack may reset them.
                let name = match self.on.contains_key(&port) {
                    true => None,
                    false => listen(interface, port).ok(),
                };
                let stand_in = StandIn::of_copy(socket);
                let ends = (local, remote);
                self.enter(port, name, vec![ends], vec![(ends, stand_in)]);
                stack.leave_connections(port, true);
            }
        }
    }

    /// Under the name that a dead process had for a port, whoever is connected finds that this one's connections go on.
    pub(super) fn take_up_name(&mut self, port: u16, name: OwnedFd) {
        self.enter(port, Some(name), Vec::new(), Vec::new());
    }

    /// Where those connect who have a port of which this process has orphans.
    pub(super) fn name_of(&self, port: u16) -> Option<BorrowedFd<'_>> {
        Some(self.on.get(&port)?.name.as_ref()?.as_fd())
    }

    /// All stand-ins.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Ends, &StandIn)> {
        self.on.values().flat_map(|on| &on.stand_ins)
    }

    /// The stand-in of a connection.
    pub(super) fn stand_in_of(&self, ends: &Ends) -> Option<&StandIn> {
        self.on.get(&ends.0.port())?.stand_ins.get(ends)
    }

    fn len(&self) -> usize {
        self.on.values().map(|on| on.stand_ins.len()).sum()
    }

    /// Takes away what stood for connections that have ended; whether there was any.
    pub(super) fn forget_ended(&mut self, stack: &Stack, now: Instant) -> bool {
        let connections = stack.tcp_connection_count();
        if !self.on.is_empty() && self.connections != connections {
            self.connections = connections;
            self.end_with_connections(stack, now);
        }
        let before = self.ended.len();
        self.ended.retain(|(since, _)| now < *since + STAYS);
        self.ended.len() < before
    }

    /// When the next of these is to go.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.ended.first().map(|&(since, _)| since + STAYS)
    }

    fn end_with_connections(&mut self, stack: &Stack, now: Instant) {
        let ended = &mut self.ended;
        self.on.retain(|_, on| {
            let goes_on = |&(local, remote): &Ends| stack.tcp_is_between(local, remote);
            let over = on.stand_ins.extract_if(|ends, _| !goes_on(ends));
            ended.extend(over.map(|(_, stand_in)| (now, stand_in)));
            on.connections.retain(goes_on);
            !on.connections.is_empty()
        });
    }
}

/// Takes one of the names.
fn listen(interface: u32, port: u16) -> Result<OwnedFd, Errno> {
    let socket = local::socket(Sort::Messages)?;
    let mut result = Err(Errno::ADDRINUSE);
    for number in 0..MOST {
        result = local::listen_on(&socket, name(interface, port, number).as_bytes(), BACKLOG);
        if result != Err(Errno::ADDRINUSE) {
            break;
        }
    }
    result.map(|()| socket)
}

fn name(interface: u32, port: u16, number: u32) -> String {
    format!("sidestack/orphans/{interface}/{port}/{number}")
}

/// Other processes' orphans on this one's ports.
#[derive(Default)]
pub(super) struct Others(HashMap<u16, Vec<OwnedFd>>);

impl Engine {
    /// A TCP port was bound: another process may have orphans there.
    pub fn look_for_orphans(&mut self, port: u16) {
        let interface = self.interface_index();
        if !self.ports.shares_with_kernel() || interface == 0 {
            return;
        }
        if self.groups.others.0.contains_key(&port) {
            return self.stack.leave_connections(port, true);
        }
        let reach = |number| {
            let name = name(interface, port, number);
            local::connect_to(Sort::Messages, name.as_bytes()).ok()
        };
        let lines: Vec<_> = (0..MOST).filter_map(reach).collect();
        self.stack.leave_connections(port, !lines.is_empty());
        if lines.is_empty() {
            return;
        }
        for line in &lines {
            // A failure means an exhausted kernel: then the port stays silent.
            let _ = self
                .set
                .add(line, TOKEN_ORPHANS + u64::from(port), EventFlags::IN);
        }
        self.groups.others.0.insert(port, lines);
    }

    /// Some of another process's orphans are gone.
    pub(super) fn serve_orphans(&mut self, token: u64) {
        let port = token as u16;
        let Some(lines) = self.groups.others.0.get_mut(&port) else {
            return;
        };
        lines.retain(|line| {
            let there = pair::take(line, &mut [0]) == Err(Errno::AGAIN);
            if !there {
                // A forked child may have a copy.
                self.set.remove(line);
            }
            there
        });
        if lines.is_empty() {
            self.groups.others.0.remove(&port);
            let here = self.ports.kernel_sockets(Protocol::Tcp, port).is_empty();
            self.stack.leave_connections(port, here);
        }
    }
}
