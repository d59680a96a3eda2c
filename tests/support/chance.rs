//! Chance by a seed, and which seeds are run.

use std::ops::Range;
use std::sync::Mutex;
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

/// The seeds that a variable asks for: `100` so many, `7..8` one; without it, the first few.
pub(crate) fn seeds(variable: &str, few: u64) -> Range<u64> {
    let Ok(said) = std::env::var(variable) else {
        return 0..few;
    };
    let number = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is COUNT or FROM..TO"))
    };
    match said.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&said),
    }
}

/// How many runs at a time a variable asks for.
pub(crate) fn jobs(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |jobs| jobs.parse().expect("a number"))
}

/// The next one, for whoever comes first.
pub(crate) fn next<T>(left: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    left.lock().expect("nobody fails with it").next()
}
