//! The processes of a family, as /proc shows them.

use std::fs;

use rustix::process::{Pid, Resource, Signal, kill_process};

use crate::lab::{Lab, Running, Side, command};

/// The number of its session, and its state's letter.
fn status(pid: u32) -> Option<(u32, char)> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have anything in it.
    let words: Vec<&str> = status.rsplit_once(") ")?.1.split(' ').collect();
    let state = words.first()?.chars().next()?;
    Some((words.get(3)?.parse().ok()?, state))
}

fn program(pid: u32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// A program's processes, but for those that our library has made beside them (heirs).
pub(crate) fn members(lab: &Lab, side: Side, main: u32) -> Vec<u32> {
    let Some((session, ..)) = status(std::process::id()) else {
        return Vec::new();
    };
    let own = program(main);
    let member = |pid: &u32| {
        status(*pid).is_some_and(|(its, state)| its == session && state != 'Z')
            && (own.is_none() || program(*pid) == own)
    };
    lab.processes(side).into_iter().filter(member).collect()
}

/// The keeper; its executors have a memory file mapped.
pub(crate) fn keeper(lab: &Lab) -> Option<u32> {
    let is_executor = |pid: u32| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
        maps.is_ok_and(|maps| maps.contains("memfd:sidestack"))
    };
    lab.keepers().into_iter().find(|pid| !is_executor(*pid))
}

/// Whether a keeper goes on for the process if it is killed; a process without a stack needs none.
pub(crate) fn is_kept(lab: &Lab, pid: u32) -> bool {
    let stat = format!("{} stat --pid {pid}", command().display());
    let said = lab.plain(&stat).run();
    !said.status.success() || said.stdout().contains("keeper 1")
}

/// Sends a signal; whether there was somebody.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    Pid::from_raw(pid as i32).is_some_and(|pid| kill_process(pid, signal).is_ok())
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
        _ => "Max address space",
    };
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
