//! The processes of a family, as /proc shows them.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, kill_process};

use crate::lab::{Lab, Running, Side, command};
use crate::program::family;

struct Status {
    state: char,
    session: u32,
    /// Clock ticks since the machine was started.
    started: u64,
}

fn status(pid: u32) -> Option<Status> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have anything in it.
    let words: Vec<&str> = status.rsplit_once(") ")?.1.split(' ').collect();
    Some(Status {
        state: words.first()?.chars().next()?,
        session: words.get(3)?.parse().ok()?,
        started: words.get(19)?.parse().ok()?,
    })
}

fn program(pid: u32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// A program's processes, but for those that our library has made beside them (heirs).
pub(crate) fn members(lab: &Lab, side: Side, main: u32) -> Vec<u32> {
    let Some(tests) = status(std::process::id()) else {
        return Vec::new();
    };
    let own = program(main);
    let member = |pid: &u32| {
        status(*pid).is_some_and(|its| its.session == tests.session && its.state != 'Z')
            && (own.is_none() || program(*pid) == own)
    };
    lab.processes(side).into_iter().filter(member).collect()
}

/// The processes on our side, and what each of them does in the kernel: for who has to find out why a run has failed.
pub(crate) fn described(lab: &Lab) -> String {
    let read = |pid: u32, what: &str| {
        let text = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\0', " ");
        text.trim().to_owned()
    };
    let line = |pid: u32| {
        let [words, waits, call] = ["cmdline", "wchan", "syscall"].map(|what| read(pid, what));
        format!("{pid} {words}: {waits} {call}\n")
    };
    lab.processes(Side::Test).into_iter().map(line).collect()
}

/// Whether it runs the program of family/.
pub(crate) fn is_family(pid: u32) -> bool {
    program(pid).is_some_and(|path| path == family())
}

/// The keeper; its executors have a memory file mapped.
pub(crate) fn keeper(lab: &Lab) -> Option<u32> {
    let is_keeper = |pid: &u32| mappings(*pid).is_some_and(|maps| !maps.contains(MEMORY_FILE));
    let keepers = lab.keepers().into_iter().filter(is_keeper);
    // An executor has yet to map it at first.
    keepers.min_by_key(|pid| status(*pid).map(|status| status.started))
}

/// Who goes on with what a killed process had.
pub(crate) fn executors(lab: &Lab) -> Vec<u32> {
    let is_executor = |pid: &u32| mappings(*pid).is_some_and(|maps| maps.contains(MEMORY_FILE));
    lab.keepers().into_iter().filter(is_executor).collect()
}

const MEMORY_FILE: &str = "memfd:sidestack";

/// `None`: it is about to be gone.
fn mappings(pid: u32) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    (!maps.is_empty()).then_some(maps)
}

/// Whether a keeper goes on for the process if it is killed. `None`: it has no stack, or none yet.
pub(crate) fn is_kept(lab: &Lab, pid: u32) -> Option<bool> {
    let stat = format!("{} stat --pid {pid}", command().display());
    let said = lab.plain(&stat).run();
    let kept = said.stdout().contains("keeper 1");
    said.status.success().then_some(kept)
}

/// Sends a signal; whether there was somebody.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    Pid::from_raw(pid as i32).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Waits until a process that was killed is dead.
pub(crate) fn await_end(pid: u32) {
    let end = Instant::now() + Duration::from_secs(20);
    while status(pid).is_some_and(|its| its.state != 'Z') {
        assert!(Instant::now() < end, "{pid} does not die");
        sleep(Duration::from_millis(1));
    }
}

/// What its descriptors are.
pub(crate) fn descriptors(program: &Running<'_>) -> Vec<String> {
    let listed = fs::read_dir(format!("/proc/{}/fd", program.pid()));
    let links = listed.into_iter().flatten().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let links = links.map(|link| link.to_string_lossy().into_owned());
    // What spares the kernel its part comes late, and stays.
    links.filter(|link| !link.contains("bpf")).collect()
}

/// A figure of /proc/PID/status in KiB.
pub(crate) fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// `None`: it is without limit.
pub(crate) fn hard_limit(pid: u32, what: Resource) -> Option<u64> {
    let name = match what {
        Resource::Nofile => "Max open files",
        Resource::Data => "Max data size",
        _ => "Max address space",
    };
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
