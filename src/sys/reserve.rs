//! Memory of a fixed size that is there from the beginning, for when there is no other.
//!
//! A bit says whether a block is taken. Whoever wants blocks sets their bits by one atomic exchange for each word of
//! bits: nobody ever waits for another, so a signal handler and a forked child find it in order, whomever they
//! interrupted. What fits into the blocks of one word does not go across two.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a block.
const BLOCK: usize = 1024;
/// Blocks of one word.
const BITS: usize = u64::BITS as usize;
const WORDS: usize = 64;
/// Bytes of it all. None of it is memory before it is used.
pub const SIZE: usize = WORDS * BITS * BLOCK;
/// The most blocks that one may have.
const MOST: usize = WORDS * BITS / 8;

#[repr(align(1024))]
struct Room(UnsafeCell<MaybeUninit<[u8; SIZE]>>);

// SAFETY: who has set the bits of blocks has them alone; nothing here looks into them.
unsafe impl Sync for Room {}

/// See the module.
pub struct Reserve {
    taken: [AtomicU64; WORDS],
    room: Room,
}

impl Reserve {
    /// One of which nothing is taken.
    pub const fn new() -> Self {
        Self {
            taken: [const { AtomicU64::new(0) }; WORDS],
            room: Room(UnsafeCell::new(MaybeUninit::uninit())),
        }
    }

    fn start(&self) -> *mut u8 {
        self.room.0.get().cast()
    }

    /// Room for a `layout`; null if there is none.
    pub fn allocate(&self, layout: Layout) -> *mut u8 {
        let blocks = blocks_of(layout);
        let first = if layout.align() > BLOCK || blocks > MOST {
            None
        } else if blocks <= BITS {
            self.take_some(blocks)
        } else {
            self.take_words(blocks.div_ceil(BITS))
        };
        first.map_or(ptr::null_mut(), |block| {
            self.start().wrapping_add(block * BLOCK)
        })
    }

    /// Whether it is from here.
    pub fn has(&self, pointer: *const u8) -> bool {
        (pointer as usize).wrapping_sub(self.start() as usize) < SIZE
    }

    /// Gives room back that [`Reserve::allocate`] gave for `layout`.
    pub fn free(&self, pointer: *const u8, layout: Layout) {
        let first = (pointer as usize - self.start() as usize) / BLOCK;
        let blocks = blocks_of(layout);
        if blocks <= BITS {
            let bits = run(blocks) << (first % BITS);
            self.taken[first / BITS].fetch_and(!bits, Ordering::Release);
        } else {
            let words = &self.taken[first / BITS..][..blocks.div_ceil(BITS)];
            words
                .iter()
                .for_each(|word| word.store(0, Ordering::Release));
        }
    }

    fn take_some(&self, blocks: usize) -> Option<usize> {
        self.taken.iter().zip(0..).find_map(|(word, at)| {
            let mut taken = word.load(Ordering::Relaxed);
            loop {
                let first = first_run(!taken, blocks)?;
                let with_these = taken | run(blocks) << first;
                match exchange(word, taken, with_these) {
                    Ok(_) => return Some(at * BITS + first),
                    Err(other) => taken = other,
                }
            }
        })
    }

    fn take_words(&self, count: usize) -> Option<usize> {
        let starts = 0..=WORDS.checked_sub(count)?;
        starts.into_iter().find_map(|start| {
            let words = &self.taken[start..][..count];
            let got = words
                .iter()
                .take_while(|word| exchange(word, 0, u64::MAX).is_ok())
                .count();
            if got == count {
                return Some(start * BITS);
            }
            let back = words[..got].iter();
            back.for_each(|word| word.store(0, Ordering::Release));
            None
        })
    }
}

fn blocks_of(layout: Layout) -> usize {
    layout.size().div_ceil(BLOCK).max(1)
}

/// So many bits, the lowest.
fn run(blocks: usize) -> u64 {
    u64::MAX >> (BITS - blocks)
}

/// Where the first run of so many bits of `free` begins.
fn first_run(free: u64, blocks: usize) -> Option<usize> {
    // Bits at which a run as long as was looked for so far begins.
    let (mut begins, mut long) = (free, 1);
    while long < blocks {
        let more = long.min(blocks - long);
        begins &= begins >> more;
        long += more;
    }
    (begins != 0).then(|| begins.trailing_zeros() as usize)
}

fn exchange(word: &AtomicU64, from: u64, to: u64) -> Result<u64, u64> {
    word.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
}
