//! Random histories of calls, on the kernel and on the library.
//!
//! A seed decides what a program does with a few sockets, and what its peer does: some dozens of steps (steps.rs), written
//! before any of them is taken, so that any can be left out. The program that takes them (c-tests/random_calls.c) waits
//! after each until everything is at rest, and prints what the call gave and how all sockets poll. Where a line differs,
//! the history is shortened as long as it still does (shrink.rs), and printed.
//!
//! `CALL_SEEDS=500` plays so many seeds, `CALL_SEEDS=7..8` one that failed; `CALL_JOBS` says how many at a time.
//! A difference counts if it comes again: the kernel has moments of its own.

mod asking;
mod history;
mod meanwhile;
mod options;
mod others;
mod scene;
mod shrink;
mod stage;
mod steps;

use std::fmt;
use std::fs;
use std::sync::Mutex;
use std::thread;

use crate::chance;
use crate::lab::root;
use history::{History, history};
use stage::{Peers, Role, Stage};

/// Seeds without CALL_SEEDS.
const FEW: u64 = 36;

/// How often a difference has to come to count.
const TIMES: usize = 3;

/// Where the lines of a history differ for the first time.
struct Difference {
    /// Steps up to there.
    step: usize,
    /// The lines before, which are the same.
    same: Vec<String>,
    kernel: String,
    ours: String,
}

impl Difference {
    fn between(kernel: &[String], ours: &[String]) -> Option<Difference> {
        let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
        let at = (0..kernel.len().max(ours.len())).find(|at| kernel.get(*at) != ours.get(*at))?;
        let same = kernel[..at].to_vec();
        let (kernel, ours) = (line(kernel, at), line(ours, at));
        // A line begins with its step's number. Those of the end have none.
        let number = |line: &str| line.split(' ').next().and_then(|word| word.parse().ok());
        let step = number(&kernel).into_iter().chain(number(&ours)).min();
        Some(Difference {
            step: step.unwrap_or(usize::MAX),
            same,
            kernel,
            ours,
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.same {
            writeln!(f, "  both:   {line}")?;
        }
        write!(f, "  kernel: {}\n  ours:   {}", self.kernel, self.ours)
    }
}

/// Steps that a guest does not take, each by its first words, since what they come to may differ there (LD_PRELOAD.md): a
/// pair has room of its own, no place for what arrives once it was shut down for reading, and errors that come after the
/// datagrams that wait.
const NOT_FOR_GUESTS: &[&str] = &[
    "set * SO_RCVBUF",
    "shutdown * SHUT_RD",
    "connect * zero",
    "connect * refused",
    "sendto * zero",
    "sendto * refused",
];

/// In what a history is about: it differs for guests, and why (LD_PRELOAD.md).
const NOTED: &str = "(not for guests: ";

#[test]
fn random_calls_give_the_same() {
    all_give_the_same(Role::Root, random_histories());
}

#[test]
fn random_calls_of_guests_give_the_same() {
    let for_guests = random_histories().map(|(name, history)| (name, for_guests(history)));
    all_give_the_same(Role::Guest, for_guests);
}

#[test]
fn histories_that_have_differed_give_the_same() {
    all_give_the_same(Role::Root, noted_histories());
}

#[test]
fn histories_that_have_differed_give_guests_the_same() {
    let is_for_guests = |(about, history): &(String, History)| {
        !about.contains(NOTED) && for_guests(history.clone()) == *history
    };
    all_give_the_same(Role::Guest, noted_histories().filter(is_for_guests));
}

/// The steps that a guest takes. Of several urgent bytes an earlier one may stay in line there.
fn for_guests(mut history: History) -> History {
    let mut urgent = 0;
    history.retain(|step| {
        urgent += usize::from(step.contains("peer_urgent"));
        is_for_guests(step) && (urgent <= 1 || !step.contains("peer_urgent"))
    });
    history
}

fn is_for_guests(step: &str) -> bool {
    step.split(" then ").all(is_one_for_guests)
}

fn is_one_for_guests(step: &str) -> bool {
    let steps = step.split(' ');
    let mut words: Vec<&str> = steps
        .filter(|word| !["child", "meanwhile"].contains(word))
        .collect();
    if words[0] == "wait" {
        // The socket comes before what it waits in.
        words.remove(0);
        words.swap(0, 1);
    }
    !NOT_FOR_GUESTS.iter().any(|not| {
        let not: Vec<&str> = not.split(' ').collect();
        let is_like = |(not, word): (&&str, &&str)| *not == "*" || not == word;
        words.len() >= not.len() && not.iter().zip(&words).all(is_like)
    })
}

fn random_histories() -> impl Iterator<Item = (String, History)> + Send {
    let seeds = chance::seeds("CALL_SEEDS", FEW);
    seeds.map(|seed| (format!("CALL_SEEDS={seed}..{}", seed + 1), history(seed)))
}

fn noted_histories() -> impl Iterator<Item = (String, History)> + Send {
    let path = root().join("c-tests/random/histories.txt");
    let text = fs::read_to_string(path).expect("the histories exist");
    // Each begins with what it is about; the first is the file's own.
    let histories = text.split("\n\n").skip(1).map(|history| {
        let (about, steps) = history.split_once('\n').expect("steps follow");
        (about.to_owned(), steps.lines().map(str::to_owned).collect())
    });
    histories.collect::<Vec<_>>().into_iter()
}

/// Plays histories, each with its name; fails if one of them differs.
fn all_give_the_same(role: Role, histories: impl Iterator<Item = (String, History)> + Send) {
    let stage = Stage::new(role);
    let keeper = stage.keeper();
    let (left, differ) = (Mutex::new(histories), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for number in 0..chance::jobs("CALL_JOBS", 8) {
            let mut peers = stage.peers(number);
            let (left, differ) = (&left, &differ);
            scope.spawn(move || {
                while let Some((name, history)) = chance::next(left) {
                    if let Some((steps, difference)) = shortest(history, &mut peers) {
                        println!("{name}\n  {}\n{difference}", steps.join("\n  "));
                        differ.lock().expect("nobody fails with it").push(name);
                    }
                }
            });
        }
    });
    drop(keeper);
    stage.leaves_nobody();
    let differ = differ.into_inner().expect("nobody fails with it");
    assert!(differ.is_empty(), "histories that differ: {differ:#?}");
}

/// The shortest history that differs, if this one does.
fn shortest(history: History, peers: &mut Peers<'_>) -> Option<(History, Difference)> {
    let difference = lasting(&history, peers)?;
    let plays = |history: &[String]| lasting(history, peers);
    Some(shrink::shrunk(history, difference, plays))
}

/// A difference that comes each time.
fn lasting(history: &[String], peers: &mut Peers<'_>) -> Option<Difference> {
    let mut found: Option<Difference> = None;
    for _ in 0..TIMES {
        let (kernel, ours) = peers.play(history);
        let now = Difference::between(&kernel, &ours)?;
        if found.is_some_and(|before| before.kernel != now.kernel) {
            return None;
        }
        found = Some(now);
    }
    found
}
