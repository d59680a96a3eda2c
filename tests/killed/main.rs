//! A process with a stack is killed at any instruction, and another goes on with its memory file.
//!
//! The process runs in step with the test: it gets a frame and the time, and answers with what its
//! stack sends. In the turn that is its last it is traced, and killed after so many instructions.

#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../../src/memory/mod.rs"]
mod memory;
#[path = "../../src/stack/mod.rs"]
pub mod stack;
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../support/simulation/mod.rs"]
mod support;
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../../src/sys/mod.rs"]
mod sys;

mod app;
mod peer;
mod process;
mod run;
mod sweep;
mod users;

use run::{After, Run};

/// Every moment of some turns is one the process could be killed at.
#[test]
fn every_moment() {
    for seed in 0..seeds().div_ceil(8) {
        sweep::sweep::<3>(seed, 150);
    }
}

/// So is every moment of handshakes, of those that the process began and of others.
#[test]
fn every_moment_of_a_handshake() {
    for seed in 0..seeds().div_ceil(8) {
        sweep::sweep::<7>(seed, 1);
    }
}

/// How many deaths each test dies; `SEEDS` says otherwise.
fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(16, |seeds| seeds.parse().expect("a number"))
}

/// Other processes hold the sockets and go on with them: nothing is lost or repeated.
#[test]
fn users_go_on() {
    for seed in 0..seeds() {
        Run::new(seed, After::GoOn, 700).finish();
    }
}

/// What is being opened is: nobody on the other side finds a connection reset.
#[test]
fn handshakes_go_on() {
    for seed in 0..seeds() {
        Run::new(seed, After::GoOn, 8).finish();
    }
}

/// Nobody holds them: what was accepted is delivered, and everything ends in order.
#[test]
fn nobody_goes_on() {
    for seed in 0..seeds() {
        Run::new(seed, After::CloseAll, 700).finish();
    }
}
