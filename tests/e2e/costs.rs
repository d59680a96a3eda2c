//! What the library costs a program that waits, holds connections, or has no Internet socket at all.

use std::fs;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::keeper::is_kept;
use crate::lab::{Lab, PEER, Program, Running, TEST, library, preloading, root};

fn hold(arguments: &str) -> String {
    format!(
        "/usr/bin/python3 {} {arguments}",
        root().join("tests/e2e/hold.py").display()
    )
}

/// User and system time of a process so far, in clock ticks of 10 ms.
fn ticks(program: &Running<'_>) -> u64 {
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("the program runs");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap_or(0) + fields[12].parse::<u64>().unwrap_or(0)
}

/// A figure of a /proc file in KiB.
fn kib(file: &str, name: &str) -> i64 {
    let text = fs::read_to_string(file).expect("a readable /proc file");
    let line = text
        .lines()
        .find(|l| l.starts_with(name))
        .expect("the figure is there");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

/// Tells a figure that is not asserted; tests' own output is only shown when they fail.
fn tell(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn who_waits_uses_no_processor() {
    let lab = Lab::quiet();
    let _server = lab.peer(&hold("serve 0.0.0.0 7000")).serving_tcp(7000);
    for how in ["recv", "poll", "epoll", "accept", "udp", "read"] {
        let mut program = lab.sidestack(&hold(&format!("{how} {PEER} 7000"))).start();
        program.prints("waiting");
        sleep(Duration::from_millis(300));
        let before = ticks(&program);
        sleep(Duration::from_secs(2));
        let used = ticks(&program) - before;
        assert!(used <= 2, "blocked in {how}: {used} ticks of 10 ms in 2 s");
        program.still_runs();
    }
    lab.kernel_was_silent();
}

/// The memory file is two gigabytes of nothing.
#[test]
fn a_core_dump_is_without_the_memory_file() {
    let lab = Lab::quiet();
    let _server = lab.peer(&hold("serve 0.0.0.0 7000")).serving_tcp(7000);
    let mut program = lab.sidestack(&hold(&format!("recv {PEER} 7000"))).start();
    program.prints("waiting");
    let maps = fs::read_to_string(format!("/proc/{}/smaps", program.pid())).expect("it runs");
    let flags = maps.split_once("/memfd:sidestack").map(|(_, rest)| {
        let mut lines = rest.lines();
        lines
            .find(|line| line.starts_with("VmFlags:"))
            .unwrap_or_default()
    });
    let dumped = flags.is_none_or(|flags| !flags.contains(" dd"));
    assert!(!preloading() || !dumped, "{flags:?}");
}

/// A packet socket takes long to close: a copy lies in a queue of the process's that only the kernel's collector empties
/// (beside the queue itself, which lies there, too).
#[test]
fn who_ends_need_not_close_its_packet_socket() {
    if !preloading() {
        return;
    }
    let lab = Lab::quiet();
    let mut program = lab.sidestack(&hold(&format!("udp {PEER} 7000"))).start();
    program.prints("waiting");
    assert_eq!(most_queued(&program), 2);
}

/// Most descriptors that lie in one queue of a process's.
fn most_queued(program: &Running<'_>) -> u32 {
    let descriptors = format!("/proc/{}/fdinfo", program.pid());
    let queued = fs::read_dir(descriptors).expect("it runs").map(|entry| {
        let entry = entry.expect("a readable directory");
        let said = fs::read_to_string(entry.path()).unwrap_or_default();
        let count = said.lines().find_map(|line| line.strip_prefix("scm_fds:"));
        count.map_or(0, |count| count.trim().parse().expect("a number"))
    });
    queued.max().expect("descriptors")
}

/// A keeper closes it apart, too. Then nothing need lie in such a queue, on whose account the collector runs whenever
/// anybody on the machine closes a UNIX socket: what is left is the copy of the port's lease.
#[test]
fn who_has_a_keeper_leaves_its_packet_socket_to_that() {
    if !preloading() {
        return;
    }
    let lab = Lab::quiet();
    let mut program = lab.sidestack(&hold(&format!("accept {TEST} 7000"))).start();
    program.prints("waiting");
    is_kept(&lab, &mut program);
    assert_eq!(most_queued(&program), 1);
}

/// RSS of a program with `count` connections, and the growth of the kernel's slabs, in KiB.
fn memory(lab: &Lab, program: Program<'_>) -> (i64, i64) {
    let _server = lab
        .peer(&hold("serve 0.0.0.0 7000"))
        .under("prlimit --nofile=20000")
        .serving_tcp(7000);
    let slab = kib("/proc/meminfo", "Slab:");
    let mut program = program.start();
    program.prints("waiting");
    sleep(Duration::from_millis(500));
    let status = format!("/proc/{}/status", program.pid());
    (kib(&status, "VmRSS:"), kib("/proc/meminfo", "Slab:") - slab)
}

fn holding(lab: &Lab, count: u32, ours: bool) -> Program<'_> {
    let command = hold(&format!("many {PEER} 7000 {count}"));
    let program = if ours {
        lab.sidestack(&command)
    } else {
        lab.plain(&command)
    };
    program.under("prlimit --nofile=20000").within(60)
}

#[test]
fn memory_of_a_program_and_of_its_idle_connections() {
    const COUNT: u32 = 5000;
    let of = |count: u32, ours: bool| {
        let lab = if ours {
            Lab::quiet()
        } else {
            Lab::with_plain_programs()
        };
        memory(&lab, holding(&lab, count, ours))
    };
    let (small, _) = of(1, true);
    let (plain_small, _) = of(1, false);
    let (large, slab) = of(COUNT, true);
    let (plain_large, plain_slab) = of(COUNT, false);
    let added = small - plain_small;
    // The slabs hold the peer's sockets too: half of what both ends take when both are the kernel's.
    let grown = (large - small) - (plain_large - plain_small) + slab - plain_slab / 2;
    let each = grown as f64 / f64::from(COUNT);
    tell(&format!(
        "resident memory added: {added} KiB; an idle connection: {each:.1} KiB with the kernel's part"
    ));
    if preloading() {
        assert!(added < 6 * 1024, "{added} KiB are added to a small program");
        assert!(each < 20.0, "{each:.1} KiB an idle connection");
    }
}

#[test]
fn loading_adds_no_descriptor_and_no_thread() {
    let lab = Lab::quiet();
    let look = "sh -c 'ls /proc/self/fd | wc -l; grep Threads /proc/self/status'";
    assert_eq!(
        lab.sidestack(look).succeeds().stdout(),
        lab.plain(look).succeeds().stdout()
    );
    let time = |preload: bool| {
        const RUNS: u32 = 200;
        let start = Instant::now();
        for _ in 0..RUNS {
            let mut program = std::process::Command::new("/bin/true");
            if preload && preloading() {
                program.env("LD_PRELOAD", library());
            }
            assert!(program.status().expect("true runs").success());
        }
        start.elapsed() / RUNS
    };
    time(true);
    let (with, without) = (time(true), time(false));
    tell(&format!(
        "loading the library: {} us a program",
        with.saturating_sub(without).as_micros()
    ));
}

#[test]
fn a_server_that_waits_uses_no_processor() {
    let lab = Lab::quiet();
    let server = "redis-server --bind 0.0.0.0 --protected-mode no --save '' --hz 1";
    let server = lab.sidestack(server).serving_tcp(6379);
    lab.peer(&format!("redis-cli -h {TEST} ping")).succeeds();
    sleep(Duration::from_millis(300));
    let before = ticks(&server);
    sleep(Duration::from_secs(2));
    let used = ticks(&server) - before;
    // redis wakes up by itself a few times a second.
    assert!(used <= 4, "{used} ticks of 10 ms in 2 s");
}
