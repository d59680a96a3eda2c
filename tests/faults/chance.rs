//! Chance by a seed.

use std::thread::sleep;
use std::time::Duration;

/// xorshift64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        let mut chance = Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The first numbers of seeds that are close are, too.
        for _ in 0..8 {
            chance.between(0, 2);
        }
        chance
    }

    /// A number of `low..high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + (self.0 >> 11) % (high - low)
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.between(0, many) == 0
    }

    /// One of them. `None`: there is none.
    pub(crate) fn of<T: Copy>(&mut self, these: &[T]) -> Option<T> {
        let many = these.len() as u64;
        (many > 0).then(|| these[self.between(0, many) as usize])
    }

    /// Sleeps for so many milliseconds.
    pub(crate) fn nap(&mut self, low: u64, high: u64) {
        sleep(Duration::from_millis(self.between(low, high)));
    }
}
