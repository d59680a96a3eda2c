//! Sharing one pool among those for whom the stack has sockets.

use super::Stack;
use super::ids::{Kind, SocketId};
use super::time::Instant;

impl Stack {
    /// Bytes of the pool that a socket's queues hold.
    pub fn memory_of(&self, id: SocketId) -> usize {
        match id.kind {
            Kind::Connection => self.tcp.memory_of(id),
            Kind::Datagram => self.udp_memory_of(id),
            Kind::Listener => 0,
        }
    }

    /// Bounds a socket's buffers to `most` bytes each, until its options are set anew.
    pub fn ration(&mut self, now: Instant, id: SocketId, most: usize) {
        match id.kind {
            Kind::Connection => self.tcp.ration(now, id, most, &mut self.pool),
            Kind::Datagram => self.udp_ration(id, most),
            Kind::Listener => {}
        }
    }
}
