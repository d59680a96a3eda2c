//! The memory of a connection's queues, and holding it within bounds that its options do not set.

use super::Tcp;
use crate::stack::ids::SocketId;
use crate::stack::plain::Maybe;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;

impl Tcp {
    /// Bytes of the pool that a connection's queues hold.
    pub fn memory_of(&self, id: SocketId) -> usize {
        self.connection(id)
            .map_or(0, |tcb| tcb.rcv.queue.memory() + tcb.snd.queue.memory())
    }

    /// Bounds a connection's buffers to `most` bytes each, until its options are set anew.
    pub fn ration(&mut self, now: Instant, id: SocketId, most: usize, pool: &mut Pool) {
        let Some(tcb) = self.connection_mut(id) else {
            return;
        };
        tcb.begin_change();
        let least = |held: Maybe<usize>| Some(held.get().map_or(most, |held| held.min(most)));
        let receive = least(tcb.options.receive_buffer);
        let send = least(tcb.options.send_buffer);
        tcb.options.receive_buffer = receive.into();
        tcb.options.send_buffer = send.into();
        tcb.snd.set_limit(send);
        tcb.rcv.set_bounds(receive, tcb.options.window_clamp.get());
        self.settle(now, id.index, pool);
    }
}
