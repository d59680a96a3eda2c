//! What an executor takes up of a dead process: sockets that other processes still have.

use std::collections::{BTreeMap, HashSet};

use super::messages::{EndOf, Left, Legacy};
use crate::control::ephemeral::Protocol;
use crate::control::vault::LeaseCopy;
use crate::driver::endpoint::{Endpoint, EndpointId, Role};
use crate::driver::errors::ErrorQueue;
use crate::driver::filler::FILLER;
use crate::driver::{Engine, HOOKS, Mark};
use crate::stack::ids::{Kind, SocketId};
use crate::stack::tcp::Restored;
use crate::sys::owned::OwnedFd;

/// An end that was taken up.
pub(super) struct Taken {
    id: EndpointId,
    left: Left,
    /// What was said of it.
    text: Vec<u8>,
}

/// What the table of endpoints is in the order of.
const fn place(id: EndpointId) -> (u32, u32) {
    (id.index, id.generation)
}

impl Engine {
    /// Makes endpoints of the ends that were left, as far as the stack has their sockets, and closes
    /// the rest. Which those are.
    pub(super) fn take_up_ends(
        &mut self,
        found: &Restored,
        ends: Vec<(Legacy, OwnedFd)>,
    ) -> Vec<Taken> {
        // What was said last counts.
        let mut by_place = BTreeMap::new();
        let mut lines = BTreeMap::new();
        let mut programs = BTreeMap::new();
        let (mut names, mut stand_ins) = (BTreeMap::new(), Vec::new());
        for (legacy, end) in ends {
            match legacy {
                Legacy::Name(port) => drop(names.insert(port, end)),
                Legacy::StandIn(ends) => stand_ins.push((ends, end)),
                Legacy::Lifeline(number) => drop(lines.insert(number, end)),
                Legacy::Announced => self.lifelines.take_up_announced(end),
                Legacy::Witnesses => self.endpoints.witnesses = end.into(),
                Legacy::Successor => {}
                Legacy::Program(id) => drop(programs.insert(place(id), end)),
                Legacy::End(legacy) => drop(by_place.insert(place(legacy.endpoint), (legacy, end))),
            }
        }
        let interface = self.interface_index();
        for (port, name) in names {
            self.orphans.take_up_name(port, name);
        }
        self.orphans.take_up(&mut self.stack, interface, stand_ins);
        for (number, line) in lines {
            self.watch_line(number, line);
        }
        let mut taken = Vec::new();
        for (legacy, end) in by_place.into_values() {
            if let Some(role) = self.role_of(found, legacy.left)
                && let Some(id) = self.take_up_end(&legacy, end, role)
            {
                if let Left::Succeeded(other) = legacy.left
                    && let Some(program) = programs.remove(&place(legacy.endpoint))
                {
                    self.lead_on(id, other, program);
                }
                taken.push(Taken {
                    id,
                    left: legacy.left,
                    text: legacy.text,
                });
            }
        }
        taken
    }

    /// Has the upper layer know them.
    pub(super) fn revive(&mut self, taken: &[Taken]) {
        if let Some(hooks) = HOOKS.get() {
            // What has another pair is known by that.
            let known = |taken: &&Taken| !matches!(taken.left, Left::Succeeded(_));
            for Taken { id, text, .. } in taken.iter().filter(known) {
                (hooks.revived)(self, *id, text);
            }
        }
    }

    /// Serves them from now on.
    pub(super) fn serve_taken(&mut self, taken: &[Taken]) {
        let now = self.now();
        for &Taken { id, .. } in taken {
            self.show_beyond(id);
            self.end_stream_again(id);
            // First what the program has done: closing comes before what is still to be delivered.
            self.look_at(id);
            self.settle(now, id);
        }
        self.finish_pass();
    }

    /// What an end is taken up as; the upper layer goes on from there. `None`: it is not, since its socket is gone or has
    /// an end.
    fn role_of(&self, found: &Restored, left: Left) -> Option<Role> {
        let socket = match left {
            Left::Socket(socket) => socket,
            Left::Bound(..) => return Some(Role::Undecided),
            Left::Ended(_) | Left::Succeeded(_) => return Some(Role::Ended),
        };
        if self.endpoints.of_socket(socket).is_some() {
            return None;
        }
        if socket.kind == Kind::Listener {
            return found.listener(socket).map(|_| Role::Listener(socket));
        }
        Some(match found.of_user(socket)?.opening {
            true => Role::Connecting(socket),
            false => Role::Connection(socket),
        })
    }

    /// `None`: it is a listener that nobody has any more.
    fn take_up_end(&mut self, legacy: &EndOf, end: OwnedFd, role: Role) -> Option<EndpointId> {
        let mut endpoint = Endpoint::new(end, -1, role);
        endpoint.unseen_writers = true;
        endpoint.errors = ErrorQueue::decode(&legacy.queue);
        // What was passed to the pair may have been read or not.
        endpoint.unread = !matches!(role, Role::Listener(_));
        match (role, legacy.left) {
            (Role::Listener(listener), _) => {
                let has_taken_all = endpoint.has_taken_all();
                if has_taken_all {
                    self.stack.tcp_taken(listener);
                }
                if endpoint.hung_up() {
                    return None;
                }
                endpoint.filler = FILLER;
                endpoint.in_flight = usize::from(!has_taken_all);
                // Nobody knows any more which sets wait for edges.
                endpoint.edges = true;
            }
            (_, Left::Socket(socket)) => {
                endpoint.filler = self.stack.tcp_filler(socket);
                // There may be one.
                let taken = |byte| Mark::Taken(Some(byte));
                endpoint.mark = legacy.news.urgent.map_or(Mark::InPair, taken);
            }
            (_, Left::Bound(protocol, _)) => {
                endpoint.bound = true;
                endpoint.datagram = protocol == Protocol::Udp;
                // Which brings who has it to ask for an error.
                let any = legacy.news.error.is_some() || !endpoint.errors.is_empty();
                endpoint.notices = usize::from(endpoint.datagram && any);
            }
            (_, Left::Ended(past)) => {
                endpoint.left.ends = Some(past.ends);
                endpoint.left.opened = past.opened;
            }
            (_, Left::Succeeded(_)) => {}
        }
        endpoint.guest = legacy.guest;
        endpoint.error = legacy.news.error;
        let id = self.endpoints.insert_at(legacy.endpoint, endpoint);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.witnessed = legacy.witnessed && id == legacy.endpoint;
        }
        if let Some(guest) = legacy.guest {
            self.endpoints.guests.enter(id, guest);
        }
        if let Left::Socket(socket) = legacy.left {
            self.go_on_with_zero_copies(id, socket);
        }
        self.watch_end(id);
        Some(id)
    }

    /// Closes all sockets that nobody has any more, as the kernel does when a process dies.
    pub(super) fn close_what_nobody_has(&mut self) {
        let now = self.now();
        let endpoints = &self.endpoints;
        let has = |socket| endpoints.of_socket(socket).is_some();
        // Of a connection that is gone nobody would tell the peer should this process be killed now.
        self.stack.tcp_reset_all_but(now, has);
        self.flush(now);
        let endpoints = &self.endpoints;
        let has = |socket| endpoints.of_socket(socket).is_some();
        self.stack.tcp_close_all_but(now, has);
    }

    /// Holds by `copies` the ports of those `taken` that have them of their own: of listeners, and of what lies not in
    /// the memory file. What is left of TCP's copies.
    pub(super) fn take_up_leases(
        &mut self,
        found: &Restored,
        taken: &[Taken],
        copies: Vec<LeaseCopy>,
    ) -> Vec<LeaseCopy> {
        let endpoints = self.endpoints.ids().filter_map(|id| self.endpoints.get(id));
        let sockets: BTreeMap<SocketId, Option<u32>> = endpoints
            .filter_map(|held| Some((held.socket()?, held.guest.map(|guest| guest.user))))
            .collect();
        let listeners = sockets.keys().filter_map(|&socket| found.listener(socket));
        let bound = taken.iter().filter_map(|taken| match taken.left {
            Left::Bound(protocol, local) => Some((protocol, local.port())),
            Left::Socket(_) | Left::Ended(_) | Left::Succeeded(_) => None,
        });
        let mut ports: HashSet<_> = bound.collect();
        ports.extend(listeners.map(|local| (Protocol::Tcp, local.port())));
        let (mine, rest): (Vec<_>, Vec<_>) = copies
            .into_iter()
            .partition(|copy| ports.contains(&(copy.protocol, copy.port)));
        for copy in mine {
            if let Ok(lease) = copy.into_lease() {
                self.ports.take_up(&mut self.stack, lease);
            }
        }
        for (&socket, &user) in &sockets {
            self.hold_listener(found, socket, user);
        }
        let accepted = found.connections.iter();
        for held in accepted.filter(|held| held.has_user || held.is_closed) {
            let user = sockets.get(&held.id).copied().flatten();
            if let Some(lease) = self.ports.share_or_use_up(held.local, user) {
                self.ports
                    .hold_between(held.id, lease, held.local, held.remote);
            }
        }
        for &(local, remote) in &found.time_waits {
            if let Some(lease) = self.ports.share_or_use_up(local, None) {
                self.ports.keep_lingering(local, remote, lease);
            }
        }
        rest.into_iter()
            .filter(|copy| copy.protocol == Protocol::Tcp)
            .collect()
    }

    /// Ports that the dead process had given back while its connections lived may be others' by now: what belongs to
    /// none of these is not answered there, nor what has arrived before. Those of `copies` are held.
    pub(super) fn leave_given_back(&mut self, found: &Restored, copies: &[LeaseCopy]) {
        if !self.ports.shares_with_kernel() {
            return;
        }
        let connections = found.connections.iter().map(|held| held.local);
        let time_waits = found.time_waits.iter().map(|&(local, _)| local);
        let ports: HashSet<u16> = connections
            .chain(time_waits)
            .map(|local| local.port())
            .collect();
        let held = copies.iter().filter(|copy| copy.protocol == Protocol::Tcp);
        let held: HashSet<u16> = held.map(|copy| copy.port).collect();
        for &port in ports.difference(&held) {
            self.stack.leave_connections(port, true);
        }
    }

    fn hold_listener(&mut self, found: &Restored, socket: SocketId, user: Option<u32>) {
        let Some(local) = found.listener(socket) else {
            return;
        };
        let Some(lease) = self.ports.use_up(local, user, true) else {
            return;
        };
        self.watch_lease(&lease);
        let shared = lease.used.reuse_port;
        self.ports.hold(socket, lease);
        if shared {
            self.regroup(Protocol::Tcp, local.port());
        }
    }
}
