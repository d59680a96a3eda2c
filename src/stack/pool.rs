//! The bytes of all queues: one region cut into chunks, and queues that are plain data.
//!
//! A queue is a chain of chunks. Chunks freed last are used first, so the bytes in flight stay in
//! the processor's cache however large the region is. The region may be sparse: a chunk's memory
//! is touched only when the chunk is first used.
//!
//! 1. A chunk is in exactly one chain: the free list's or one queue's.
//! 2. A queue's bytes `[0, len)` are stream bytes in order; `[len, written)` may hold bytes that
//!    arrived out of order; the chain covers `[0, written)` and at most one chunk more.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Size of a chunk in bytes. A 64 KiB super-packet spans at most five.
pub const CHUNK: usize = 16 * 1024;

const NONE: u32 = u32::MAX;

/// A run of bytes inside the pool's region: what an iovec is to a pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset in the region, in bytes.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
}

/// The region and its free chunks.
pub struct Pool {
    bytes: &'static mut [u8],
    /// Next chunk in the chain this chunk is in.
    next: &'static mut [u32],
    /// Chunks that were ever used: the first ones.
    touched: usize,
    free: u32,
    used: usize,
}

/// A byte queue: plain data, meaningful only with the [`Pool`] its bytes are in.
///
/// Not `Clone`: two copies would own the same chunks. Empty queues own no chunk.
#[derive(Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Queue {
    head: u32,
    tail: u32,
    /// Offset of the first byte in the head chunk.
    start: u32,
    len: u32,
    /// How far bytes were written, in or out of order.
    written: u32,
    /// Bytes the chain covers, counted from the head chunk's start.
    covered: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            start: 0,
            len: 0,
            written: 0,
            covered: 0,
        }
    }
}

impl Pool {
    /// A pool over `bytes`, a link for each chunk; what does not fill a chunk is left unused.
    pub(super) fn new(next: &'static mut [u32], bytes: &'static mut [u8]) -> Self {
        Self {
            bytes,
            next,
            touched: 0,
            free: NONE,
            used: 0,
        }
    }

    /// The bytes of `span`; empty if it does not lie in the region.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let end = span.offset.saturating_add(span.len);
        self.bytes.get(span.offset..end).unwrap_or(&[])
    }

    /// Bytes in chunks that belong to queues.
    pub fn used(&self) -> usize {
        self.used * CHUNK
    }

    /// Bytes in chunks that are free.
    pub fn room(&self) -> usize {
        self.chunks() * CHUNK - self.used()
    }

    pub(super) fn chunks(&self) -> usize {
        (self.bytes.len() / CHUNK).min(self.next.len())
    }

    /// Makes everything free that is not `owned` by a queue.
    pub(super) fn restore(&mut self, owned: &[bool]) {
        self.touched = owned
            .iter()
            .rposition(|&owned| owned)
            .map_or(0, |last| last + 1);
        self.used = self.touched;
        self.free = NONE;
        for chunk in (0..self.touched).rev().filter(|&chunk| !owned[chunk]) {
            self.give(chunk as u32);
        }
    }

    fn take(&mut self) -> Option<u32> {
        let chunk = if self.free != NONE {
            let chunk = self.free;
            self.free = self.next[chunk as usize];
            chunk
        } else if self.touched < self.chunks() {
            self.touched += 1;
            (self.touched - 1) as u32
        } else {
            return None;
        };
        self.next[chunk as usize] = NONE;
        self.used += 1;
        Some(chunk)
    }

    fn give(&mut self, chunk: u32) {
        self.next[chunk as usize] = self.free;
        self.free = chunk;
        self.used -= 1;
    }
}

impl Queue {
    /// Bytes in the queue.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no byte is queued.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends as much of `data` as the pool has room for and returns how much that was.
    pub fn append(&mut self, pool: &mut Pool, data: &[u8]) -> usize {
        let written = self.write_at(pool, self.len as usize, data);
        self.len += written as u32;
        written
    }

    /// Appends all of `pieces`, or nothing if the pool has no room for them all. Returns whether it
    /// had. Not for a queue with bytes out of order.
    pub fn append_all(&mut self, pool: &mut Pool, pieces: &[&[u8]]) -> bool {
        let mut end = self.len as usize;
        for piece in pieces {
            if self.write_at(pool, end, piece) < piece.len() {
                self.written = self.len;
                self.release_unused(pool);
                return false;
            }
            end += piece.len();
        }
        self.extend(end - self.len as usize);
        true
    }

    /// Writes `data` at `offset` from the queue's first byte without making it part of the queue:
    /// out-of-order segments wait there until [`Queue::extend`]. Returns how much was written,
    /// which is less than all only if the pool is full.
    pub fn write_at(&mut self, pool: &mut Pool, offset: usize, data: &[u8]) -> usize {
        if data.is_empty() {
            return 0;
        }
        let first = self.start as usize + offset;
        self.cover(pool, first + data.len());
        let room = (self.covered as usize)
            .saturating_sub(first)
            .min(data.len());
        if room == 0 {
            self.release_unused(pool);
            return 0;
        }
        let (mut chunk, mut at) = self.locate(pool, first);
        let mut rest = &data[..room];
        while !rest.is_empty() {
            let n = (CHUNK - at).min(rest.len());
            let base = chunk as usize * CHUNK + at;
            pool.bytes[base..base + n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            chunk = pool.next[chunk as usize];
            at = 0;
        }
        self.written = self.written.max((offset + room) as u32);
        room
    }

    /// Makes the next `count` bytes, written before by [`Queue::write_at`], part of the queue.
    pub fn extend(&mut self, count: usize) {
        debug_assert!(self.len as usize + count <= self.written as usize);
        self.len = (self.len as usize + count).min(self.written as usize) as u32;
    }

    /// Drops `count` bytes from the front and frees the chunks they alone were in.
    pub fn consume(&mut self, pool: &mut Pool, count: usize) {
        let count = count.min(self.len as usize) as u32;
        self.len -= count;
        self.written -= count;
        self.start += count;
        while self.start as usize >= CHUNK && self.head != NONE {
            let next = pool.next[self.head as usize];
            pool.give(self.head);
            self.head = next;
            self.start -= CHUNK as u32;
            self.covered -= CHUNK as u32;
        }
        self.release_unused(pool);
    }

    /// Calls `visit` with each run of bytes in `[offset, offset + len)`, in order. The range must
    /// lie in what was written; what does not is left out.
    pub fn spans(&self, pool: &Pool, offset: usize, len: usize, mut visit: impl FnMut(Span)) {
        let mut rest = len.min((self.written as usize).saturating_sub(offset));
        if rest == 0 {
            return;
        }
        let (mut chunk, mut at) = self.locate(pool, self.start as usize + offset);
        while rest > 0 {
            let n = (CHUNK - at).min(rest);
            visit(Span {
                offset: chunk as usize * CHUNK + at,
                len: n,
            });
            rest -= n;
            chunk = pool.next[chunk as usize];
            at = 0;
        }
    }

    /// The queue's first run of bytes that lie side by side; empty only if the queue is.
    pub fn front<'a>(&self, pool: &'a Pool) -> &'a [u8] {
        let len = self.len().min(CHUNK - self.start as usize);
        if len == 0 {
            return &[];
        }
        pool.bytes(Span {
            offset: self.head as usize * CHUNK + self.start as usize,
            len,
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

    /// Frees everything.
    pub fn clear(&mut self, pool: &mut Pool) {
        while self.head != NONE {
            let next = pool.next[self.head as usize];
            pool.give(self.head);
            self.head = next;
        }
        *self = Self::default();
    }

    /// Checks what another stack left, and asks `claim` for each chunk of the chain. False: it is
    /// not what a queue can be.
    pub(super) fn restore(&mut self, pool: &mut Pool, mut claim: impl FnMut(u32) -> bool) -> bool {
        if self.head == NONE {
            *self = Self::default();
            return true;
        }
        let end = u64::from(self.start) + u64::from(self.written);
        let covered = u64::from(self.covered);
        let whole =
            covered.is_multiple_of(CHUNK as u64) && end <= covered && self.len <= self.written;
        if !whole || self.start as usize >= CHUNK || self.written == 0 {
            return false;
        }
        let mut chunk = self.head;
        for left in (0..covered / CHUNK as u64).rev() {
            if !claim(chunk) {
                return false;
            }
            if left > 0 {
                chunk = pool.next[chunk as usize];
            }
        }
        pool.next[chunk as usize] = NONE;
        chunk == self.tail
    }

    /// Attaches chunks until the chain covers `end` bytes from the head chunk's start, or the
    /// pool is full.
    fn cover(&mut self, pool: &mut Pool, end: usize) {
        while (self.covered as usize) < end {
            let Some(chunk) = pool.take() else { return };
            if self.head == NONE {
                self.head = chunk;
            } else {
                pool.next[self.tail as usize] = chunk;
            }
            self.tail = chunk;
            self.covered += CHUNK as u32;
        }
    }

    fn release_unused(&mut self, pool: &mut Pool) {
        if self.written == 0 {
            self.clear(pool);
        }
    }

    /// The chunk and the offset in it of a byte counted from the head chunk's start.
    fn locate(&self, pool: &Pool, position: usize) -> (u32, usize) {
        if position + CHUNK >= self.covered as usize {
            return (self.tail, position + CHUNK - self.covered as usize);
        }
        let mut chunk = self.head;
        for _ in 0..position / CHUNK {
            chunk = pool.next[chunk as usize];
        }
        (chunk, position % CHUNK)
    }
}
