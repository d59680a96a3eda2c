//! Where histories are played: a lab on the kernel and one on the library, each with its peer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::c_tests::compiled;
use crate::lab::{Lab, Program, Running, Side};
use crate::served::{self, ADMITTED, of, without_rights};

/// Each play has four ports of its own: some of the last one's may be in use yet.
const FIRST_PORT: u64 = 10_000;
const PLAYS: u64 = 5_000;
static PLAY: AtomicU64 = AtomicU64::new(0);

pub(super) struct Stage {
    kernel: Lab,
    ours: Lab,
    role: Role,
}

/// Whose program takes the steps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// One with a stack of its own.
    Root,
    /// One without rights, whom a keeper serves.
    Guest,
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
    pub(super) fn new(role: Role) -> Stage {
        let stage = Stage {
            kernel: Lab::with_plain_programs(),
            ours: Lab::new(),
            role,
        };
        for lab in [&stage.kernel, &stage.ours] {
            lab.plain("chmod 777 .").succeeds();
        }
        stage
    }

    /// Who serves the guests, if they are.
    pub(super) fn keeper(&self) -> Option<Running<'_>> {
        (self.role == Role::Guest).then(|| served::keeper(&self.ours, "--sockets 100000"))
    }

    fn on_the_kernel<'lab>(&'lab self, command: &str) -> Program<'lab> {
        match self.role {
            Role::Root => self.kernel.plain(command),
            Role::Guest => without_rights(ADMITTED, self.kernel.plain(command)),
        }
    }

    fn on_the_library<'lab>(&'lab self, command: &str) -> Program<'lab> {
        match self.role {
            Role::Root => self.ours.sidestack(command),
            Role::Guest => of(&self.ours, ADMITTED, command),
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
            lab.plain(&format!("chmod 777 {name}")).succeeds();
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
        let start = |lab: &Lab, program: &dyn Fn(&str) -> Program<'stage>| {
            let steps = lab.file(&format!("{}.steps", self.name), &text);
            let command = format!("{} {steps} {base}", compiled("random_calls", &[]).display());
            program(&command)
                .env("CHECK_PEER", &lab.path(&self.name).display().to_string())
                .within(120)
                .start()
        };
        let stage = self.stage;
        let kernel = start(&stage.kernel, &|command| stage.on_the_kernel(command));
        let ours = start(&stage.ours, &|command| stage.on_the_library(command));
        (lines(kernel), lines(ours))
    }
}

fn lines(program: Running<'_>) -> Lines {
    let printed = program.finish().success().stdout();
    printed.lines().map(str::to_owned).collect()
}
