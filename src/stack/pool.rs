//! The bytes of all queues: one region cut into chunks, of which [`Queue`](super::queue::Queue)s
//! make chains.
//!
//! Chunks freed last are used first, so the bytes in flight stay in the processor's cache however
//! large the region is. The region may be sparse: a chunk's memory is touched only when the chunk is
//! first used.
//!
//! 1. A chunk is in exactly one chain: the free list's or one queue's.
//! 2. Which chunks are free is derived: what no queue has (see [`super::survey`]).

use core::sync::atomic::{Ordering, compiler_fence};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of a chunk in bytes. A 64 KiB super-packet spans at most five.
pub const CHUNK: usize = 16 * 1024;

pub(super) const NONE: u32 = u32::MAX;

/// What is stored before is there for whoever finds what is stored after. All that a killed process
/// stored is seen by who comes after it; only the compiler may not change the order.
pub(super) fn in_order() {
    compiler_fence(Ordering::SeqCst);
}

/// A run of bytes inside the pool's region: what an iovec is to a pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset in the region, in bytes.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
}

/// What is known of a chunk. Written by whoever drives the stack, read by it and by who adopts it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Link {
    /// The next chunk in the chain this chunk is in.
    pub(super) next: u32,
    /// Where in its queue's stream the chunk begins.
    pub(super) position: u32,
}

/// The region and its free chunks.
pub struct Pool {
    pub(super) bytes: &'static mut [u8],
    pub(super) links: &'static mut [Link],
    /// Chunks that were ever used: the first ones.
    touched: usize,
    free: u32,
    used: usize,
}

impl Pool {
    /// A pool over `bytes`, a link for each chunk; what does not fill a chunk is left unused.
    pub(super) fn new(links: &'static mut [Link], bytes: &'static mut [u8]) -> Self {
        Self {
            bytes,
            links,
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

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> usize {
        (self.bytes.len() / CHUNK).min(self.links.len())
    }

    /// Makes everything free that is not `owned` by a queue.
    pub(super) fn free_all_but(&mut self, owned: &[bool]) {
        let last = owned.iter().rposition(|&owned| owned);
        self.touched = last.map_or(0, |last| last + 1);
        self.used = self.touched;
        self.free = NONE;
        for chunk in (0..self.touched).rev().filter(|&chunk| !owned[chunk]) {
            self.give(chunk as u32);
        }
    }

    /// A free chunk, which will begin at `position` of a queue's stream.
    pub(super) fn take(&mut self, position: u32) -> Option<u32> {
        let chunk = if self.free != NONE {
            let chunk = self.free;
            self.free = self.next(chunk);
            chunk
        } else if self.touched < self.chunks() {
            self.touched += 1;
            (self.touched - 1) as u32
        } else {
            return None;
        };
        self.links[chunk as usize] = Link {
            next: NONE,
            position,
        };
        self.used += 1;
        Some(chunk)
    }

    /// Frees a chunk that no queue has any more.
    pub(super) fn give(&mut self, chunk: u32) {
        self.links[chunk as usize].next = self.free;
        self.free = chunk;
        self.used -= 1;
    }

    pub(super) fn next(&self, chunk: u32) -> u32 {
        self.links[chunk as usize].next
    }

    pub(super) fn position(&self, chunk: u32) -> u32 {
        self.links[chunk as usize].position
    }

    /// The bytes of a chunk from `at` on.
    pub(super) fn chunk_mut(&mut self, chunk: u32, at: usize, len: usize) -> &mut [u8] {
        let base = chunk as usize * CHUNK + at;
        &mut self.bytes[base..base + len]
    }
}
