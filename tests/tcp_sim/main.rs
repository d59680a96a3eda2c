//! Two TCPs on a simulated wire that loses, repeats and reorders; everything follows from a seed.

#[path = "../../src/stack/mod.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use only part of the stack"
)]
mod stack;

mod hostile;
mod random;
#[path = "../support/simulation/region.rs"]
mod region;
mod speed;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use wire::{Impairment, Wire};

/// Bytes of the transfer in each direction.
const MIB: usize = 1 << 20;

#[test]
fn clean_wire() {
    let mut wire = Wire::new(1, Impairment::NONE, false);
    wire.transfer(10 * MIB, 0);
    println!(
        "clean: {:?} virtual, {} segments",
        wire.elapsed(),
        wire.segments
    );
}

#[test]
fn clean_wire_both_ways_with_super_packets() {
    let mut wire = Wire::new(2, Impairment::NONE, true);
    wire.transfer(10 * MIB, 10 * MIB);
    println!(
        "super: {:?} virtual, {} segments",
        wire.elapsed(),
        wire.segments
    );
}

#[test]
fn lossy_wire() {
    let mut wire = Wire::new(3, Impairment::HARSH, false);
    wire.transfer(MIB, MIB);
    println!(
        "lossy: {:?} virtual, {} segments",
        wire.elapsed(),
        wire.segments
    );
}

/// The acceptance run: 10 MiB through 20 % loss with reordering and duplication, seed by seed.
/// `SEEDS` sets how many (1,000 for the full run, which takes half a minute on two cores).
#[test]
fn seeds() {
    let seeds: u64 = std::env::var("SEEDS").map_or(8, |s| s.parse().expect("a number"));
    let next = AtomicU64::new(0);
    let worst = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let mut wire = Wire::new(seed, Impairment::HARSH, seed.is_multiple_of(2));
                    wire.transfer(10 * MIB, 0);
                    worst.fetch_max(wire.elapsed().as_millis() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    println!("{seeds} seeds, worst {} ms virtual", worst.into_inner());
}

/// Hosts that lose everything but their memory, at any moment between two events.
#[test]
fn restarts() {
    for seed in 0..100 {
        let impairment = match seed % 3 {
            0 => Impairment::NONE,
            _ => Impairment::HARSH,
        };
        let mut wire = Wire::with_restarts(seed, impairment, 1 + seed % 20);
        wire.transfer(MIB / 2, MIB / 4);
    }
}

/// One seed again, to look into: `SEED` names it, and `TRACE=1` prints what is sent.
#[test]
#[ignore = "for looking into a seed"]
fn one_seed() {
    let seed: u64 = std::env::var("SEED").map_or(2, |s| s.parse().expect("a number"));
    let mut wire = Wire::new(seed, Impairment::HARSH, seed.is_multiple_of(2));
    wire.transfer(10 * MIB, 0);
    println!("seed {seed}: {:?} virtual", wire.elapsed());
}
