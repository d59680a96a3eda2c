//! Ports that processes share (SO_REUSEPORT): how their stacks agree on who takes what.
//!
//! The kernel leases the port to each process of a user that asks so, and the packet socket of each
//! sees all that arrives for it. So the processes with sockets on a port are a *group*: the first
//! listens under a name that says the port, and *leads*; the others connect to it, and tell the
//! addresses of their sockets there. The leader gives all of them the list of all, by which their
//! stacks decide ([`crate::stack::sharing`]).
//!
//! ```text
//!   leader   \0sidestack/share/<interface>/tcp/<port>
//!     ◄── addresses of its sockets ── follower
//!     ────── key, list of all ──────► follower
//! ```
//!
//! 1. Who has no list takes nothing.
//! 2. A process that ends, however, leaves the group by its descriptors' end. If it was the leader,
//!    whoever gets the name next leads, and the others follow.
//! 3. Only processes of the same user and of root are listened to: anybody can take a name.
//! 4. Each step is one short piece of work of a pass, and never a wait. Who does not take a list is
//!    put out of the group, and joins anew when he notices.

mod group;
mod list;

use core::net::Ipv4Addr;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::HashMap;

use self::group::{Group, News, Part, is_trusted};
use self::list::{KEY, MOST_SOCKETS};

use super::Engine;
use super::convert::stack_protocol;
use super::engine::TOKEN_GROUP;
use super::orphans::Others;
use crate::control::ephemeral::Protocol;
use crate::control::log;
use crate::stack::sharing::{Shared, Sharing};
use crate::sys::local::{self, Sort};
use crate::sys::{pair, strerror};

/// Processes that wait to be let in.
const BACKLOG: i32 = 128;
/// How often the name is tried in a row while somebody is about to listen under it, and in how many
/// nanoseconds again.
const TRIES: u32 = 8;
const RETRY: u64 = 20_000_000;
/// UDP's part of a token.
const UDP: u64 = 1 << 16;

/// The groups this process is in.
#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<(Protocol, u16), Group>,
    /// When those that found no leader try again, in monotonic nanoseconds.
    pub(super) retry_at: Option<u64>,
    /// Processes that have connections on ports of this one's, and take no new ones.
    pub(super) others: Others,
}

impl Engine {
    /// This process's sockets on a port may have become others. Of effect where the kernel leases
    /// ports for a link.
    pub fn regroup(&mut self, protocol: Protocol, port: u16) {
        if !self.ports.shares_with_kernel() || self.interface_index() == 0 {
            return;
        }
        let at = (protocol, port);
        let mut sockets = self.stack.sharing_sockets(stack_protocol(protocol), port);
        sockets.truncate(MOST_SOCKETS);
        match self.groups.groups.get_mut(&at) {
            Some(_) if sockets.is_empty() => self.leave(at),
            None if sockets.is_empty() => {}
            Some(group) if group.sockets == sockets => {}
            Some(group) => {
                group.sockets = sockets;
                self.tell_sockets(at);
            }
            None => {
                let part = Part::Apart;
                self.groups.groups.insert(at, Group { sockets, part });
                self.join(at);
            }
        }
    }

    /// Does so for the ports that sockets have left, and tries again where no leader was found.
    pub(super) fn serve_groups(&mut self) {
        while let Some((protocol, port)) = self.ports.left.pop() {
            self.regroup(protocol, port);
        }
        if self.groups.retry_at.is_some_and(|at| at <= self.time) {
            self.groups.retry_at = None;
            let apart = |(at, group): (&(Protocol, u16), &Group)| {
                matches!(group.part, Part::Apart).then_some(*at)
            };
            let apart: Vec<_> = self.groups.groups.iter().filter_map(apart).collect();
            apart.into_iter().for_each(|at| self.join(at));
        }
    }

    fn leave(&mut self, at: (Protocol, u16)) {
        if let Some(group) = self.groups.groups.remove(&at) {
            group.unwatch(&self.set);
        }
        if self.ports.held.contains_key(&at) {
            // What is left of it are connections, and others may go on.
            self.set_sharing(at, Sharing::unknown());
        }
    }

    fn set_sharing(&mut self, (protocol, port): (Protocol, u16), sharing: Sharing) {
        let protocol = stack_protocol(protocol);
        self.stack.share_port(protocol, port, sharing);
    }

    /// Follows who leads, or leads.
    fn join(&mut self, at: (Protocol, u16)) {
        let name = name(self.interface_index(), at);
        self.set_sharing(at, Sharing::unknown());
        for _ in 0..TRIES {
            let joined = match local::connect_to(Sort::Messages, name.as_bytes()) {
                Ok(line) if is_trusted(&line) => self.take_part(at, Part::follows(line)),
                Ok(_) => Err(Errno::ACCESS),
                Err(Errno::CONNREFUSED) => self.lead(at, &name),
                Err(errno) => Err(errno),
            };
            match joined {
                Ok(()) => return self.tell_sockets(at),
                Err(Errno::ADDRINUSE) => {}
                // Many are at the door.
                Err(Errno::AGAIN) => break,
                Err(errno) => return self.stay_alone(at, errno),
            }
        }
        self.groups.retry_at = Some(self.time + RETRY);
    }

    fn lead(&mut self, at: (Protocol, u16), name: &str) -> Result<(), Errno> {
        let listener = local::listen_as(Sort::Messages, name.as_bytes(), BACKLOG)?;
        let mut key = [0; KEY];
        // Without chance peers could choose whom they get, no more.
        let _ = getrandom(&mut key, GetRandomFlags::NONBLOCK);
        self.take_part(
            at,
            Part::Leads {
                listener,
                key,
                members: Vec::new(),
            },
        )
    }

    fn take_part(&mut self, at: (Protocol, u16), part: Part) -> Result<(), Errno> {
        if let Part::Leads { listener: fd, .. } | Part::Follows { line: fd, .. } = &part {
            self.set.add(fd, token(at), EventFlags::IN)?;
        }
        if let Some(group) = self.groups.groups.get_mut(&at) {
            group.part = part;
        }
        Ok(())
    }

    /// No group can be had: this process goes on as if it had the port alone.
    fn stay_alone(&mut self, at: (Protocol, u16), why: Errno) {
        log::warn(format_args!(
            "port {} cannot be shared with other processes: {}",
            at.1,
            strerror::of(why)
        ));
        if let Some(group) = self.groups.groups.get(&at) {
            let ours = |&local: &Ipv4Addr| Shared { local, ours: true };
            let sharing = Sharing::new(&[0; KEY], group.sockets.iter().map(ours).collect());
            self.set_sharing(at, sharing);
        }
    }

    /// Tells the group which sockets are this process's.
    fn tell_sockets(&mut self, at: (Protocol, u16)) {
        let Some(group) = self.groups.groups.get(&at) else {
            return;
        };
        match &group.part {
            Part::Leads { .. } => self.publish(at),
            Part::Follows { line, .. } => {
                let octets = group.sockets.iter().flat_map(Ipv4Addr::octets);
                // A leader that does not take it has gone, or will say so.
                let _ = pair::give(line, &octets.collect::<Vec<u8>>());
            }
            Part::Apart => {}
        }
    }

    /// Gives all the list of all.
    fn publish(&mut self, at: (Protocol, u16)) {
        let set = &self.set;
        let Some(group) = self.groups.groups.get_mut(&at) else {
            return;
        };
        if let Some(sharing) = group.publish(set) {
            self.set_sharing(at, sharing);
        }
    }

    /// Something came for a group.
    pub(super) fn serve_group(&mut self, token: u64) {
        let protocol = match token & UDP {
            0 => Protocol::Tcp,
            _ => Protocol::Udp,
        };
        let at = (protocol, token as u16);
        let Some(group) = self.groups.groups.get_mut(&at) else {
            return;
        };
        match group.take_news(&self.set, TOKEN_GROUP + token) {
            News::None => {}
            News::Publish => self.publish(at),
            News::List(sharing) => self.set_sharing(at, sharing),
            News::Join { at_once } => {
                group.unwatch(&self.set);
                group.part = Part::Apart;
                match at_once {
                    true => self.join(at),
                    false => self.groups.retry_at = Some(self.time + RETRY),
                }
            }
        }
    }
}

fn name(interface: u32, (protocol, port): (Protocol, u16)) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("sidestack/share/{interface}/{protocol}/{port}")
}

fn token((protocol, port): (Protocol, u16)) -> u64 {
    let kind = match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => UDP,
    };
    TOKEN_GROUP + (kind | u64::from(port))
}
