//! A stack that goes on where another ended: with its memory file and nothing else of it.

use super::Stack;
use super::config::Config;
use super::ids::SocketId;
use super::layout::Memory;
use super::ports::Protocol;
use super::sharing::Sharing;
use super::tcp::{self, Restored, Tcp};
use super::time::Instant;
use std::collections::BTreeSet;

impl Stack {
    /// A stack that goes on with what lies in `memory`, whose own stack is no more, wherever that was
    /// stopped. What was found is told, and its ports are the stack's. Their users keep their
    /// handles. `now` goes on from the other's clock. As after [`new`](Self::new) there are no
    /// addresses and routes; once there are, the grammar's drain rule holds.
    pub fn restore(config: Config, memory: Memory, now: Instant) -> (Self, Restored) {
        let Memory { tables, pool, road } = memory;
        let (tcp, pool, restored) =
            Tcp::restore(tcp::Config::from(&config), tables, pool, road, now);
        let mut stack = Self::assemble(config, pool, tcp, road);
        for port in restored.ports() {
            stack.set_port_owned(Protocol::Tcp, port, true);
        }
        for port in stack.tcp.shared_ports() {
            // Others may have it, too, until it is said who.
            stack.share_port(Protocol::Tcp, port, Sharing::unknown());
        }
        (stack, restored)
    }

    /// All users are gone, as when their process died, but those of which `stays` holds: closes every other listener, and
    /// tells the peers of connections that are reset by it, because data was left unread. They are there until
    /// [`Self::tcp_close_all_but`], which is to follow once this is sent: should this process be killed, another tells them
    /// again.
    pub fn tcp_reset_all_but(&mut self, now: Instant, stays: impl Fn(SocketId) -> bool) {
        self.tcp.reset_all_but(now, stays, &mut self.pool);
    }

    /// Closes every other connection. What was sent is still delivered, but where the peers were told of a reset.
    pub fn tcp_close_all_but(&mut self, now: Instant, stays: impl Fn(SocketId) -> bool) {
        self.tcp.close_all_but(now, stays, &mut self.pool);
    }

    /// The ports from which something was sent that is not acknowledged yet, or is still to be sent;
    /// with `peers`, those too where a peer has yet to close.
    pub fn tcp_unfinished_ports(&self, peers: bool) -> BTreeSet<u16> {
        self.tcp.unfinished_ports(peers).collect()
    }

    /// Whether nothing is left of any connection, TIME-WAIT included, nor of what was to be said about it
    /// (a reset may wait for a neighbor, or for a way).
    pub fn tcp_is_empty(&self) -> bool {
        self.tcp.is_empty() && !self.awaits_neighbors()
    }

    /// Whether something that was sent waits for a neighbor to answer.
    pub fn awaits_neighbors(&self) -> bool {
        self.neighbors.has_waiting()
    }
}
