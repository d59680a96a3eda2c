//! Very many connections, most of the time idle.

use std::fs;

use crate::lab::{Lab, Running, TEST, preloading, root};

/// What one may cost the program, its own objects included.
const KIB_EACH: u64 = 8;

/// Ten thousand; on a machine that limits descriptors below what these take, two each, what it allows.
fn connections(lab: &Lab) -> u64 {
    let hard = lab.plain("sh -c 'ulimit -Hn'").succeeds().stdout();
    let hard = hard.parse().unwrap_or(u64::MAX);
    10_000.min(hard.saturating_sub(2000) / 2)
}

/// A child that wants no more than a snapshot costs them nothing.
#[test]
fn ten_thousand_connections_are_held_and_answered() {
    let lab = Lab::new();
    let connections = connections(&lab);
    let idle = root().join("tests/e2e/idle.py").display().to_string();
    let serve = format!("/usr/bin/python3 {idle} serve");
    let mut server = lab.sidestack(&serve).serving_tcp(7000);
    let before = resident_kib(&server);
    let go = lab.path("go").display().to_string();
    let hold = format!("/usr/bin/python3 {idle} hold {TEST} {connections} {go}");
    let mut client = lab.peer(&hold).within(60).start();
    client.prints("all are connected");
    server.kill("USR1");
    server.prints("forked");
    lab.file("go", "");
    let said = client.finish().success().stdout();
    assert!(
        said.ends_with(&format!("{connections} were answered")),
        "{said}"
    );
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(
        !preloading() || grown < connections * KIB_EACH,
        "{grown} KiB for {connections} connections"
    );
    server.kill("USR2");
    server.prints("all are gone");
    server.still_runs();
    lab.kernel_was_silent();
}

fn resident_kib(program: &Running<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("proc(5) says so")
}
