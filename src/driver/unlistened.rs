//! Ports whose listener is closed while its connections live: they go back to the kernel.
//!
//! On Linux the next server may listen there, if both have SO_REUSEADDR, and who connects meanwhile is refused. So
//! the connections become [`orphans`](super::orphans) here as they do where a process is dead, and this process keeps
//! no more of the port than its own books.

use rustix::io::Errno;

use super::Engine;
use super::ports::Ports;
use crate::control::ephemeral::Protocol;
use crate::control::lease::Lease;
use crate::control::log;
use crate::stack::ids::Kind;
use crate::sys::strerror;

/// Connections of a port, but for those in TIME-WAIT, with which it goes back: each takes the kernel some time, and a
/// descriptor. With more it is held until they are fewer.
const MOST: usize = 256;

impl Engine {
    /// Gives back what a listener has left, and what stood for connections that have ended.
    pub(super) fn give_back_unlistened(&mut self) {
        let now = self.now();
        if self.orphans.forget_ended(&self.stack, now) {
            // So are their copies to be.
            self.endpoints.recalled = true;
        }
        if self.ports.unlistened.is_empty() {
            return;
        }
        let mut ports = core::mem::take(&mut self.ports.unlistened);
        ports.retain(|&port| {
            let waits = self.ports.open_on(port) > MOST;
            if !waits {
                self.give_back(port);
            }
            waits
        });
        self.ports.unlistened = ports;
    }

    fn give_back(&mut self, port: u16) {
        if !self.ports.is_left_to_connections(port) {
            return;
        }
        match self.cover_orphans(port) {
            Ok(()) => {
                self.ports.give_leases_back(port);
                // The next server answers for what belongs to none of its own connections.
                self.stack.leave_connections(port, true);
            }
            Err(errno) => log::debug(format_args!(
                "port {port} is held while its connections live: {}",
                strerror::of(errno)
            )),
        }
    }

    fn cover_orphans(&mut self, port: u16) -> Result<(), Errno> {
        let interface = self.interface_index();
        let leases = self.ports.kernel_sockets(Protocol::Tcp, port);
        let sockets: Vec<_> = leases.iter().flat_map(Lease::sockets).collect();
        self.orphans.cover(&self.stack, interface, port, &sockets)
    }
}

impl Ports {
    /// A socket has let a TCP port go that may have been a listener's.
    pub fn leave_to_connections(&mut self, port: u16) {
        self.unlistened.push(port);
    }

    /// How many use a TCP port that are not in TIME-WAIT.
    fn open_on(&self, port: u16) -> usize {
        let held = self.held.get(&(Protocol::Tcp, port));
        held.map_or(0, |held| held.uses.count().saturating_sub(held.lingering))
    }

    /// Whether connections alone have the port, of which the kernel would let another listener have it, too.
    fn is_left_to_connections(&self, port: u16) -> bool {
        let Some(held) = self.held.get(&(Protocol::Tcp, port)) else {
            return false;
        };
        let holders = self.holders.iter();
        let connected = holders.filter(|(id, holder)| {
            id.kind == Kind::Connection && holder.is_on(Protocol::Tcp, port)
        });
        let shares = held.uses.all(|held| held.reuse_address && !held.reuse_port);
        shares
            && !held.ephemeral
            && !held.kernel.is_empty()
            && held.uses.count() == connected.count() + held.lingering
    }

    fn give_leases_back(&mut self, port: u16) {
        if let Some(held) = self.held.get_mut(&(Protocol::Tcp, port)) {
            held.kernel.clear();
            held.watched = 0;
        }
    }
}
