//! Fault runs: programs of several processes are under load, and something befalls them.
//!
//! A seed decides the programs (program.rs), what befalls them (harm.rs), and when. Each process notes in a file what
//! becomes of its connections and how many bytes `send` has accepted, so that it is known also of one that was killed
//! (family/, book.rs). Afterwards it is judged (judge.rs):
//!
//! - a connection whose processes were not killed lives, whatever else has happened;
//! - of a process that was killed, what `send` had accepted comes, and then the end; nobody is left hanging;
//! - no byte is another than was sent;
//! - no descriptor, process, port or memory is left (left.rs).
//!
//! The death of a process that only has a connection's stack is none of the connection's, but for the one that is just
//! under change. In the end there is an account of all runs (account.rs).
//!
//! `FAULT_SEEDS=100` runs so many seeds, `FAULT_SEEDS=7..8` one that failed; `FAULT_JOBS` says how many at a time,
//! `FAULT_KINDS=Stop,Flap` what alone may befall them, `FAULT_MODELS=Forking,Threads` what servers there are.
//! Processes run as they like, so a seed that has failed may have to be tried several times: FAULT_TIMES.

#[path = "../support/chance.rs"]
mod chance;
#[expect(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of it"
)]
#[path = "../support/lab/mod.rs"]
mod lab;
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../e2e/web.rs"]
mod web;

mod account;
mod book;

mod harm;
mod judge;
mod left;
mod processes;
mod program;
mod run;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::thread;

use account::Account;

/// Runs without FAULT_SEEDS.
const FEW: u64 = 8;

/// The seeds of all runs.
fn runs() -> impl Iterator<Item = u64> + Send {
    let times = std::env::var("FAULT_TIMES").map_or(1, |times| times.parse().expect("a number"));
    std::iter::repeat_n(chance::seeds("FAULT_SEEDS", FEW), times).flatten()
}

#[test]
fn families_live_through_faults() {
    let (left, failed) = (Mutex::new(runs()), Mutex::new(Vec::new()));
    let account = Mutex::new(Account::default());
    thread::scope(|scope| {
        for _ in 0..chance::jobs("FAULT_JOBS", 2) {
            scope.spawn(|| {
                while let Some(seed) = chance::next(&left) {
                    if catch_unwind(|| run::run(seed, &account)).is_err() {
                        println!("FAULT_SEEDS={seed}..{} failed", seed + 1);
                        failed.lock().expect("nobody fails with it").push(seed);
                    }
                }
            });
        }
    });
    println!("{}", account.into_inner().expect("nobody fails with it"));
    let failed = failed.into_inner().expect("nobody fails with it");
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
    println!("left behind: no descriptor, memory, process, port or kernel socket");
}
