//! The pool of a memory file that another stack left: which chunk belongs to which queue.
//!
//! Only what the queues say counts. Each is walked once, and a chunk has one owner: so however the
//! links look, the walk ends, and no two queues share a byte. The rest is free.

use super::pool::{Pool, Queue};

/// See the module.
pub(super) struct Survey {
    pool: Pool,
    owned: Vec<bool>,
}

impl Survey {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            owned: vec![false; pool.chunks()],
            pool,
        }
    }

    /// Gives a queue the chunks it says are its own. False if its chain is not whole; then the
    /// queue is empty afterwards.
    pub(super) fn claim(&mut self, queue: &mut Queue) -> bool {
        let mut chain = Vec::new();
        let whole = queue.restore(&mut self.pool, |chunk| {
            let owned = self.owned.get_mut(chunk as usize);
            let free = owned.is_some_and(|owned| !core::mem::replace(owned, true));
            if free {
                chain.push(chunk);
            }
            free
        });
        if !whole {
            *queue = Queue::default();
            for chunk in chain {
                self.owned[chunk as usize] = false;
            }
        }
        whole
    }

    /// The pool, in which what was not claimed is free.
    pub(super) fn finish(mut self) -> Pool {
        self.pool.restore(&self.owned);
        self.pool
    }
}
