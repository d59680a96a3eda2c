//! The pool of a memory file that another stack left: which chunk belongs to which queue.
//!
//! Only what the queues say counts. Each chain is walked once, and a chunk is in no more than one: so
//! however the links look, the walk ends, and no two queues share a byte. The rest is free.

use super::pool::Pool;
use super::queue::Queue;

/// See the module.
pub(super) struct Survey {
    pool: Pool,
    /// Chunks that were seen in a chain.
    visited: Vec<bool>,
    /// Those that stay in it.
    owned: Vec<bool>,
}

impl Survey {
    pub(super) fn new(pool: Pool) -> Self {
        let chunks = pool.chunks();
        Self {
            pool,
            visited: vec![false; chunks],
            owned: vec![false; chunks],
        }
    }

    /// Gives a queue the chunks it says are its own, from `front` on, and keeps what it has out of
    /// order up to `written`. False if bytes are missing; then the queue is not to be used.
    pub(super) fn claim(&mut self, queue: &mut Queue, front: u32, written: Option<u32>) -> bool {
        let mut chain = Vec::new();
        let visited = &mut self.visited;
        let consumed = queue.restore(&mut self.pool, front, written, |chunk| {
            chain.push(chunk as usize);
            let seen = visited.get_mut(chunk as usize);
            seen.is_some_and(|seen| !core::mem::replace(seen, true))
        });
        for &chunk in consumed.map_or(&[][..], |consumed| &chain[consumed..]) {
            self.owned[chunk] = true;
        }
        consumed.is_some()
    }

    /// The pool, in which what was not claimed is free.
    pub(super) fn finish(mut self) -> Pool {
        self.pool.free_all_but(&self.owned);
        self.pool
    }
}
