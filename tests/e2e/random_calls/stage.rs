//! Where histories are played: a lab on the kernel and one on the library, each with its peer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::c_tests::compiled;
use crate::lab::{Lab, Program, Running, Side};

/// Each play has four ports of its own: some of the last one's may be in use yet.
const FIRST_PORT: u64 = 10_000;
const PLAYS: u64 = 5_000;
static PLAY: AtomicU64 = AtomicU64::new(0);

pub(super) struct Stage {
    kernel: Lab,
    ours: Lab,
}

/// The lines that a history has printed.
pub(super) type Lines = Vec<String>;

/// A peer in each lab, which serves one play after the other.
pub(super) struct Peers<'stage> {
    stage: &'stage Stage,
    name: String,
    _running: [Running<'stage>; 2],
}

impl Stage {
    pub(super) fn new() -> Stage {
        Stage {
            kernel: Lab::with_plain_programs(),
            ours: Lab::new(),
        }
    }

    /// Fails unless everybody ends who goes on for a history's processes. (What connections have left is a keeper's.)
    pub(super) fn leaves_nobody(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let keepers = self.ours.keepers();
            let mut left = self.ours.processes(Side::Test);
            left.retain(|process| !keepers.contains(process));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "processes are left: {left:?}");
            sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn peers(&self, number: usize) -> Peers<'_> {
        let name = format!("peer{number}");
        let program = compiled("peer", &[]);
        let running = [&self.kernel, &self.ours].map(|lab| {
            let mut peer = lab
                .peer(&format!(
                    "{} {}",
                    program.display(),
                    lab.path(&name).display()
                ))
                .start();
            peer.prints("ready");
            peer
        });
        Peers {
            stage: self,
            name,
            _running: running,
        }
    }
}

impl<'stage> Peers<'stage> {
    /// What the history prints on the kernel, and what on the library.
    pub(super) fn play(&mut self, history: &[String]) -> (Lines, Lines) {
        let play = PLAY.fetch_add(1, Ordering::Relaxed);
        let base = FIRST_PORT + 4 * (play % PLAYS);
        let text = history.join("\n") + "\n";
        let start = |lab: &'stage Lab, program: fn(&'stage Lab, &str) -> Program<'stage>| {
            let steps = lab.file(&format!("{}.steps", self.name), &text);
            let command = format!("{} {steps} {base}", compiled("random_calls", &[]).display());
            program(lab, &command)
                .env("CHECK_PEER", &lab.path(&self.name).display().to_string())
                .within(120)
                .start()
        };
        let kernel = start(&self.stage.kernel, Lab::plain);
        let ours = start(&self.stage.ours, Lab::sidestack);
        (lines(kernel), lines(ours))
    }
}

fn lines(program: Running<'_>) -> Lines {
    let printed = program.finish().success().stdout();
    printed.lines().map(str::to_owned).collect()
}
