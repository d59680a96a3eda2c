//! What is left afterwards: nothing.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::{Lab, Running, Side, command};
use crate::processes::{self, memory};

/// Descriptors that come late and stay: the packet socket with a ring, which takes the place of the
/// first one when much was received.
const LATE: usize = 1;
/// KiB by which a program may grow: queues of connections, their threads' stacks.
const GROWTH: u64 = 96 * 1024;

/// What the program has before anything befalls it.
pub(crate) struct Before {
    descriptors: Vec<String>,
    resident: u64,
}

impl Before {
    pub(crate) fn of(program: &Running<'_>) -> Before {
        sleep(Duration::from_millis(100));
        Before {
            descriptors: processes::descriptors(program),
            resident: memory(program.pid(), "VmRSS:").unwrap_or(0),
        }
    }

    /// Fails unless the program soon has no more than before, and so many connections whose end nobody has told it.
    pub(crate) fn is_left(&self, program: &Running<'_>, untold: usize) {
        within(20, || {
            let now = processes::descriptors(program);
            match now.len() <= self.descriptors.len() + LATE + untold {
                true => Ok(()),
                false => Err(format!("has {now:?}, had {:?}", self.descriptors)),
            }
        });
        let resident = memory(program.pid(), "VmRSS:").unwrap_or(0);
        assert!(
            resident <= self.resident + GROWTH,
            "{resident} KiB of memory, {} before",
            self.resident
        );
    }
}

/// Waits until it is well.
fn within(seconds: u64, check: impl Fn() -> Result<(), String>) {
    within_or(seconds, check, String::new);
}

/// The same; if it does not become well, `more` is told, too.
fn within_or(seconds: u64, check: impl Fn() -> Result<(), String>, more: impl Fn() -> String) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while let Err(why) = check() {
        assert!(Instant::now() < end, "{why}{}", more());
        sleep(Duration::from_millis(20));
    }
}

/// Fails unless all connections of programs that have ended soon end, too.
pub(crate) fn nothing_is_open(lab: &Lab) {
    // A peer whose reset was lost is waited for in FIN-WAIT-2.
    within(80, || only_time_wait(lab));
}

/// Fails unless all that is left of programs then soon goes: what sits out TIME-WAIT, and the keeper, once it is asked to.
pub(crate) fn nothing_runs(lab: &Lab) {
    let none_is_left = || match &lab.processes(Side::Test)[..] {
        [] => Ok(()),
        _ => {
            // An executor that looked for a keeper just now may have started another one.
            if let Some(keeper) = processes::keeper(lab) {
                processes::signal(keeper, Signal::TERM);
            }
            Err("processes are left: ".to_owned())
        }
    };
    within_or(20, none_is_left, || what_is_left(lab));
    // What was passed on and never taken the kernel finds some time after.
    within(20, || {
        let held = lab.plain("ss -Htuan").succeeds().stdout();
        let held = held.lines().filter(|line| !line.contains("TIME-WAIT"));
        match held.collect::<Vec<_>>()[..] {
            [] => Ok(()),
            ref held => Err(format!("the kernel has sockets still: {held:?}")),
        }
    });
}

/// The processes, what they have, and what is at the other ends of that.
fn what_is_left(lab: &Lab) -> String {
    let said = |words: &str| lab.plain(words).run().stdout();
    let stat = |pid| said(&format!("{} stat --pid {pid}", command().display()));
    let stats: Vec<String> = lab.processes(Side::Test).into_iter().map(stat).collect();
    [
        processes::described(lab),
        sockets(lab),
        stats.join("\n"),
        said("ss -xap"),
    ]
    .join("\n")
}

/// `sidestack ss` of all processes.
pub(crate) fn sockets(lab: &Lab) -> String {
    let said = lab.plain(&format!("{} ss", command().display())).run();
    said.stdout()
}

fn only_time_wait(lab: &Lab) -> Result<(), String> {
    let said = sockets(lab);
    let tcp = said
        .lines()
        .filter(|line| line.trim_start().starts_with("tcp"));
    match tcp.filter(|line| !line.contains("TIME-WAIT")).count() {
        0 => Ok(()),
        _ => Err(said),
    }
}
