//! Sockets whose outside may have changed, each named once.

use std::collections::VecDeque;

use super::ids::SocketId;

/// The list of one table's sockets. A socket is on it at most once until it is polled.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    queue: VecDeque<SocketId>,
    /// By a socket's place: the generation that is in the queue.
    queued: Vec<Option<u32>>,
}

impl Dirty {
    /// Puts `id` on the list.
    pub(crate) fn mark(&mut self, id: SocketId) {
        let index = id.index as usize;
        if index >= self.queued.len() {
            self.queued.resize(index + 1, None);
        }
        if self.queued[index] != Some(id.generation) {
            self.queued[index] = Some(id.generation);
            self.queue.push_back(id);
        }
    }

    /// Takes the oldest off the list.
    pub(crate) fn poll(&mut self) -> Option<SocketId> {
        let id = self.queue.pop_front()?;
        let queued = &mut self.queued[id.index as usize];
        if *queued == Some(id.generation) {
            *queued = None;
        }
        Some(id)
    }
}
