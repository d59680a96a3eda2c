//! A byte queue: a chain of chunks that is plain data.
//!
//! ```text
//!   head's position    front            end           written       covered
//!         │              │               │               │             │
//!         ├──────────────┼───────────────┼───────────────┼─────────────┤
//!         │   consumed   │   in order    │ out of order  │    room     │
//! ```
//!
//! A queue is a part of a stream, whose bytes have positions; TCP's are the sequence numbers.
//!
//! 1. `[front, end)` are stream bytes in order; `[end, written)` may hold bytes that arrived out of
//!    order; the chain covers `[front, written)` and at most one chunk more.
//! 2. What counts for who finds the queue of a process that was killed is `head`, `front`, `end`, and
//!    the links. Each is one word, and each change is one store of one of them, made when what it
//!    relies on is there: bytes and chunks before `end`; `front` before chunks are given up, and
//!    `head` before they are free. The rest is derived ([`Queue::restore`]).

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::pool::{CHUNK, NONE, Pool, Span, in_order};

const CHUNK_LEN: u32 = CHUNK as u32;

/// See the module. Meaningful only with the [`Pool`] its bytes are in. Written by whoever drives the
/// stack, read by it and by who adopts it.
///
/// Not `Clone`: two copies would own the same chunks. Empty queues own no chunk.
#[derive(Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Queue {
    /// The first chunk of the chain.
    head: u32,
    /// The last.
    tail: u32,
    /// Position of the first byte.
    front: u32,
    /// Position after the last byte in order.
    end: u32,
    /// Position after the last byte that was written.
    written: u32,
    /// Position after the last byte that the chain has room for.
    covered: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl Queue {
    /// Bytes of the pool that it holds: whole chunks.
    pub fn memory(&self) -> usize {
        let held = self.covered.wrapping_sub(self.front) as usize;
        held.div_ceil(CHUNK) * CHUNK
    }

    /// An empty queue whose first byte will have this position.
    pub const fn starting_at(position: u32) -> Self {
        Self {
            head: NONE,
            tail: NONE,
            front: position,
            end: position,
            written: position,
            covered: position,
        }
    }

    /// Position of the first byte.
    pub const fn first_position(&self) -> u32 {
        self.front
    }

    /// Position after the last byte.
    pub const fn end_position(&self) -> u32 {
        self.end
    }

    /// Bytes in the queue.
    pub const fn len(&self) -> usize {
        self.distance(self.end)
    }

    /// Whether no byte is queued.
    pub const fn is_empty(&self) -> bool {
        self.front == self.end
    }

    /// How far `position` is from the first byte.
    const fn distance(&self, position: u32) -> usize {
        position.wrapping_sub(self.front) as usize
    }

    const fn position(&self, offset: usize) -> u32 {
        self.front.wrapping_add(offset as u32)
    }

    /// Appends as much of `data` as the pool has room for and returns how much that was.
    pub fn append(&mut self, pool: &mut Pool, data: &[u8]) -> usize {
        let written = self.write_at(pool, self.len(), data);
        in_order();
        self.end = self.position(self.len() + written);
        written
    }

    /// Appends all of `pieces`, or nothing if the pool has no room for them all. Returns whether it
    /// had. Not for a queue with bytes out of order.
    pub fn append_all(&mut self, pool: &mut Pool, pieces: &[&[u8]]) -> bool {
        let mut len = self.len();
        for piece in pieces {
            if self.write_at(pool, len, piece) < piece.len() {
                self.written = self.end;
                self.release_unused(pool);
                return false;
            }
            len += piece.len();
        }
        self.extend(len - self.len());
        true
    }

    /// Writes `data` at `offset` from the queue's first byte without making it part of the queue:
    /// out-of-order segments wait there until [`Queue::extend`]. Returns how much was written,
    /// which is less than all only if the pool is full.
    pub fn write_at(&mut self, pool: &mut Pool, offset: usize, data: &[u8]) -> usize {
        if data.is_empty() {
            return 0;
        }
        self.cover(pool, offset + data.len());
        let covered = self.distance(self.covered);
        let room = covered.saturating_sub(offset).min(data.len());
        if room == 0 {
            self.release_unused(pool);
            return 0;
        }
        let (mut chunk, mut at) = self.locate(pool, offset);
        let mut rest = &data[..room];
        while !rest.is_empty() {
            let n = (CHUNK - at).min(rest.len());
            pool.chunk_mut(chunk, at, n).copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            chunk = pool.next(chunk);
            at = 0;
        }
        let written = self.distance(self.written).max(offset + room);
        self.written = self.position(written);
        room
    }

    /// Makes the next `count` bytes, written before by [`Queue::write_at`], part of the queue.
    pub fn extend(&mut self, count: usize) {
        let written = self.distance(self.written);
        debug_assert!(self.len() + count <= written);
        in_order();
        self.end = self.position((self.len() + count).min(written));
    }

    /// Drops `count` bytes from the front and frees the chunks they alone were in.
    pub fn consume(&mut self, pool: &mut Pool, count: usize) {
        self.front = self.position(count.min(self.len()));
        in_order();
        // The last chunk goes with the last byte.
        while self.head != self.tail && self.start(pool) >= CHUNK {
            let done = self.head;
            self.head = pool.next(done);
            in_order();
            pool.give(done);
        }
        self.release_unused(pool);
    }

    /// The next `count` bytes of the stream pass by a queue that holds none.
    pub fn pass(&mut self, count: usize) {
        debug_assert!(self.head == NONE);
        self.front = self.position(count);
        in_order();
        (self.end, self.written, self.covered) = (self.front, self.front, self.front);
    }

    /// Calls `visit` with each run of bytes in `[offset, offset + len)`, in order. The range must
    /// lie in what was written; what does not is left out.
    pub fn spans(&self, pool: &Pool, offset: usize, len: usize, mut visit: impl FnMut(Span)) {
        let mut rest = len.min(self.distance(self.written).saturating_sub(offset));
        if rest == 0 {
            return;
        }
        let (mut chunk, mut at) = self.locate(pool, offset);
        while rest > 0 {
            let n = (CHUNK - at).min(rest);
            visit(Span {
                offset: chunk as usize * CHUNK + at,
                len: n,
            });
            rest -= n;
            chunk = pool.next(chunk);
            at = 0;
        }
    }

    /// The queue's first run of bytes that lie side by side; empty only if the queue is.
    pub fn front<'a>(&self, pool: &'a Pool) -> &'a [u8] {
        if self.is_empty() {
            return &[];
        }
        let start = self.start(pool);
        pool.bytes(Span {
            offset: self.head as usize * CHUNK + start,
            len: self.len().min(CHUNK - start),
        })
    }

    /// Copies up to `buffer.len()` bytes from `offset` on into `buffer`, leaving them queued, and
    /// returns how many.
    pub fn peek(&self, pool: &Pool, offset: usize, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len().saturating_sub(offset));
        let mut done = 0;
        self.spans(pool, offset, len, |span| {
            buffer[done..done + span.len].copy_from_slice(pool.bytes(span));
            done += span.len;
        });
        done
    }

    /// Drops everything from the first byte on.
    pub fn clear(&mut self, pool: &mut Pool) {
        self.end = self.front;
        in_order();
        let mut chunk = self.head;
        *self = Self::starting_at(self.front);
        in_order();
        while chunk != NONE {
            let next = pool.next(chunk);
            pool.give(chunk);
            chunk = next;
        }
    }

    /// Attaches chunks until the chain covers `len` bytes from the first one, or the pool is full.
    fn cover(&mut self, pool: &mut Pool, len: usize) {
        while self.distance(self.covered) < len {
            let Some(chunk) = pool.take(self.covered) else {
                return;
            };
            in_order();
            if self.head == NONE {
                self.head = chunk;
            } else {
                pool.links[self.tail as usize].next = chunk;
            }
            self.tail = chunk;
            self.covered = self.covered.wrapping_add(CHUNK_LEN);
        }
    }

    fn release_unused(&mut self, pool: &mut Pool) {
        if self.written == self.front {
            self.clear(pool);
        }
    }

    /// Where in the head chunk the first byte is; behind it if all of the chunk was consumed.
    fn start(&self, pool: &Pool) -> usize {
        if self.head == self.tail {
            CHUNK - self.distance(self.covered)
        } else {
            self.front.wrapping_sub(pool.position(self.head)) as usize
        }
    }

    /// The chunk of a byte, and the offset in it.
    fn locate(&self, pool: &Pool, offset: usize) -> (u32, usize) {
        let covered = self.distance(self.covered);
        if offset + CHUNK >= covered {
            return (self.tail, offset + CHUNK - covered);
        }
        let from_head = self.start(pool) + offset;
        let mut chunk = self.head;
        for _ in 0..from_head / CHUNK {
            chunk = pool.next(chunk);
        }
        (chunk, from_head % CHUNK)
    }

    /// Makes a queue again of what a killed process left, from `front` on: of the chain's chunks, for
    /// each of which `visit` is asked, those from the one that holds the first byte to the one that
    /// holds the last. Bytes out of order stay if `written` says how far they reach. Gives how many
    /// chunks come before. `None`: bytes are missing.
    pub(super) fn restore(
        &mut self,
        pool: &mut Pool,
        front: u32,
        written: Option<u32>,
        mut visit: impl FnMut(u32) -> bool,
    ) -> Option<usize> {
        self.front = front;
        if (self.end.wrapping_sub(front) as i32) < 0 {
            // What passed by had not yet passed the end.
            self.end = front;
        }
        let wanted = self.distance(written.unwrap_or(self.end));
        if wanted < self.len() {
            return None;
        }
        let mut left = Self::starting_at(front);
        (left.end, left.written) = (self.end, self.position(wanted));
        let mut consumed = 0;
        let mut chunk = self.head;
        while left.distance(left.covered) < wanted {
            let link = *pool.links.get(chunk as usize).filter(|_| visit(chunk))?;
            let reach = left.distance(link.position.wrapping_add(CHUNK_LEN));
            if left.head == NONE && (1..=CHUNK).contains(&reach) {
                left.head = chunk;
            } else if left.head == NONE {
                consumed += 1;
                chunk = link.next;
                continue;
            } else if link.position != left.covered {
                return None;
            }
            (left.tail, left.covered) = (chunk, left.position(reach));
            chunk = link.next;
        }
        if left.tail != NONE {
            pool.links[left.tail as usize].next = NONE;
        }
        *self = left;
        Some(consumed)
    }
}
