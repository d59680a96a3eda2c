//! Families of processes of which one is killed, the one with the stack above all: the others go on with the
//! sockets that they hold.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Program, Running, TEST, command, library, preloading, root};

fn script(arguments: &str) -> String {
    let directory = root().join("tests/e2e");
    format!("/usr/bin/python3 {}/{arguments}", directory.display())
}

/// Waits until a keeper has what it needs to go on for the process.
fn is_kept(lab: &Lab, pid: u32) {
    let stat = format!("{} stat --pid {pid}", command().display());
    let deadline = Instant::now() + Duration::from_secs(20);
    while preloading() && !lab.plain(&stat).run().stdout().contains("keeper 1") {
        assert!(Instant::now() < deadline, "no keeper is there for {pid}");
        sleep(Duration::from_millis(10));
    }
}

/// The processes that have a stack.
fn engines(lab: &Lab) -> Vec<u32> {
    let said = lab.plain(&format!("{} ss", command().display())).run();
    let said = said.stdout();
    let pids = said.lines().filter_map(|line| line.split_once("(pid "));
    pids.filter_map(|(_, pid)| pid.trim_end_matches(')').parse().ok())
        .collect()
}

/// What a loading client has counted; fails if a connection has stood still, or was given something else.
fn counted(client: Running<'_>) -> BTreeMap<String, u64> {
    let said = client.finish().success().stdout();
    let words: Vec<&str> = said.split_whitespace().collect();
    let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].parse().expect("a number"));
    let counts: BTreeMap<String, u64> = words.chunks(2).map(pair).collect();
    assert_eq!((counts["hung"], counts["wrong"]), (0, 0), "{counts:?}");
    assert!(counts["bytes"] > 0, "{counts:?}");
    counts
}

/// Fails unless all connections lived, but for the one that each process which was killed with its stack may
/// have had bytes of in its hands.
fn lived(client: Running<'_>, killed: u64) {
    let counts = counted(client);
    let most = if preloading() { killed } else { 0 };
    assert!(
        counts["refused"] == 0 && counts["died"] <= most,
        "{counts:?}"
    );
}

fn load(seconds: u32, seed: u64) -> String {
    script(&format!("faults.py {TEST} 7000 20 {seconds} {seed}"))
}

#[test]
fn workers_go_on_when_their_parent_is_killed() {
    let lab = Lab::new();
    let mut parent = lab
        .sidestack(&script("orphans.py prefork 7000 3"))
        .serving_tcp(7000);
    parent.prints("forked");
    is_kept(&lab, parent.pid());
    let mut client = lab.peer(&load(2, 1)).within(60).start();
    client.prints("begins");
    sleep(Duration::from_millis(300));
    drop(parent.stop());
    let mut killed = 1;
    // Who goes on may be killed, too.
    for _ in 0..2 {
        sleep(Duration::from_millis(400));
        if let [engine] = engines(&lab)[..] {
            is_kept(&lab, engine);
            lab.plain(&format!("kill -9 {engine}")).succeeds();
            killed += 1;
        }
    }
    assert!(killed == 3 || !preloading(), "nobody has gone on");
    lived(client, killed);
    lab.kernel_was_silent();
}

/// A user whom the keeper admits.
const ADMITTED: u32 = 65_534;

/// A program of a user without any right.
fn admitted<'lab>(lab: &'lab Lab, command: &str) -> Program<'lab> {
    lab.sidestack(command).under(&format!(
        "setpriv --reuid {ADMITTED} --regid {ADMITTED} --clear-groups --inh-caps -all --bounding-set -all"
    ))
}

#[test]
fn users_go_on_when_the_administrators_keeper_is_killed() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let keeper = format!(
        "{} keeper --interface lab0 --library {} --log info --allow-user {ADMITTED}",
        command().display(),
        library().display(),
    );
    let mut keeper = lab.plain(&keeper).start();
    keeper.prints("is ready");
    let _server = admitted(&lab, &script("echo.py serve 0.0.0.0 7000")).serving_tcp(7000);
    is_kept(&lab, keeper.pid());
    let mut client = lab.peer(&load(1, 2)).within(60).start();
    client.prints("begins");
    sleep(Duration::from_millis(300));
    drop(keeper.stop());
    lived(client, 1);
    lab.kernel_was_silent();
}
