//! Programs that are killed: the keeper goes on with their connections.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, Running, Side, TEST, command, preloading, root};
use crate::orphans;

pub(crate) fn keeper(arguments: &str) -> String {
    let script = root().join("tests/e2e/keeper.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

/// Waits until a keeper has what it needs to go on for the program.
pub(crate) fn is_kept(lab: &Lab, program: &mut Running<'_>) {
    let stat = format!("{} stat --pid {}", command().display(), program.pid());
    let deadline = Instant::now() + Duration::from_secs(20);
    while preloading() && !lab.plain(&stat).run().stdout().contains("keeper 1") {
        program.still_runs();
        assert!(
            Instant::now() < deadline,
            "no keeper is there for {}",
            program.pid()
        );
        sleep(Duration::from_millis(10));
    }
}

/// Waits until the program receives by a ring, which it maps.
pub(crate) fn has_ring(program: &mut Running<'_>) {
    let maps = format!("/proc/{}/maps", program.pid());
    let deadline = Instant::now() + Duration::from_secs(20);
    while preloading() && !fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("socket:[")) {
        program.still_runs();
        assert!(Instant::now() < deadline, "there is no ring");
        sleep(Duration::from_millis(10));
    }
}

fn die(program: Running<'_>) -> String {
    // `stop` kills by SIGKILL.
    program.stop().stdout()
}

/// What was sent from each port, as the program has said last.
fn sent(printed: &str) -> BTreeMap<u16, u64> {
    let line = |line: &str| {
        let (port, count) = line.split_once(' ')?;
        Some((port.parse().ok()?, count.parse().ok()?))
    };
    printed.lines().filter_map(line).collect()
}

/// What came from each port, and how it ended.
fn counted(server: Running<'_>) -> BTreeMap<u16, (u64, String)> {
    let said = server.finish().success().stdout();
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (port, count, how) = (words.next()?, words.next()?, words.next()?);
        Some((port.parse().ok()?, (count.parse().ok()?, how.to_owned())))
    };
    said.lines().filter_map(line).collect()
}

/// A server of the peer's that counts what `many` clients send.
fn counting<'lab>(lab: &'lab Lab, port: u16, file: &str, go: &str, many: usize) -> Running<'lab> {
    let count = keeper(&format!("count {port} {file} {go} {many}"));
    lab.peer(&count).within(60).serving_tcp(port)
}

/// Kills the client, and has something befall who goes on; fails unless the server gets all that it has sent, and then
/// the end.
pub(crate) fn dies_and_delivers(
    lab: &Lab,
    client: Running<'_>,
    server: Running<'_>,
    befall: impl FnOnce(),
) {
    let said = die(client);
    befall();
    is_delivered(lab, &said, server);
}

/// Fails unless the server, which may read from now on, gets all that a client has said it had sent, and then the end.
fn is_delivered(lab: &Lab, said: &str, server: Running<'_>) {
    let sent = sent(said);
    lab.file("go", "go");
    assert_eq!(sent.len(), 1);
    for (port, got) in counted(server) {
        assert_eq!(got, (sent[&port], "end".to_owned()));
    }
}

/// A program that has sent as much as is taken, and a server that reads once it may.
pub(crate) fn filled(lab: &Lab) -> (Running<'_>, Running<'_>) {
    let file = payload::of(16 * MIB).path.display().to_string();
    let go = lab.path("go").display().to_string();
    let server = counting(lab, 7000, &file, &go, 1);
    let fill = keeper(&format!("fill {PEER} 7000 {file}"));
    let mut client = lab.sidestack(&fill).start();
    client.prints("\n");
    is_kept(lab, &mut client);
    (client, server)
}

#[test]
fn what_send_has_accepted_is_delivered() {
    let lab = Lab::new();
    let (client, server) = filled(&lab);
    dies_and_delivers(&lab, client, server, || {});
    lab.kernel_was_silent();
}

#[test]
fn who_exits_waits_for_nobody() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB).path.display().to_string();
    let go = lab.path("go").display().to_string();
    let server = counting(&lab, 7000, &file, &go, 1);
    let leave = keeper(&format!("leave {PEER} 7000 {file}"));
    // Of what was sent the server reads nothing until the program has exited.
    let said = lab.sidestack(&leave).within(8).succeeds().stdout();
    is_delivered(&lab, &said, server);
    lab.kernel_was_silent();
}

#[test]
fn a_program_with_a_ring_is_followed_like_any_other() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB).path.display().to_string();
    let go = lab.path("go").display().to_string();
    let server = counting(&lab, 7000, &file, &go, 1);
    let fill = keeper(&format!("fill {PEER} 7000 {file} 7002"));
    let mut client = lab.sidestack(&fill).serving_udp(7002);
    let flood = lab.peer(&keeper(&format!("flood {TEST} 7002"))).start();
    client.prints("\n");
    is_kept(&lab, &mut client);
    has_ring(&mut client);
    drop(flood);
    dies_and_delivers(&lab, client, server, || {});
    lab.kernel_was_silent();
}

/// Kills a server that has not read what a client has sent; the client.
fn reader_dies(lab: &Lab) -> Running<'_> {
    // (That somebody listens there may still be seen of one that was killed.)
    let mut server = lab.sidestack(&keeper("listen 7000")).start();
    server.prints("listening");
    let mut client = lab.peer(&keeper(&format!("end {TEST} 7000"))).start();
    server.prints("accepted 1");
    client.prints("connected");
    is_kept(lab, &mut server);
    die(server);
    client
}

#[test]
fn unread_data_makes_a_reset() {
    let lab = Lab::new();
    let client = reader_dies(&lab);
    assert!(client.finish().success().stdout().ends_with("reset"));
}

/// A client that has a keeper and a connection, which it does `how` with, and a server that counts what comes.
fn connected<'lab>(lab: &'lab Lab, how: &str) -> (Running<'lab>, Running<'lab>) {
    let go = lab.file("go", "go");
    let server = counting(lab, 7000, &go, &go, 1);
    let command = keeper(&format!("{how} {PEER} 7000"));
    let mut client = lab.sidestack(&command).start();
    client.prints("connected");
    is_kept(lab, &mut client);
    (client, server)
}

#[test]
fn an_idle_connection_is_closed() {
    let lab = Lab::new();
    let (client, server) = connected(&lab, "hold");
    die(client);
    let counted = counted(server);
    assert!(counted.values().all(|got| *got == (0, "end".to_owned())));
    let open = "ss -Htan state connected exclude time-wait";
    let deadline = Instant::now() + Duration::from_secs(10);
    while !lab.peer(open).succeeds().stdout().is_empty() {
        assert!(
            Instant::now() < deadline,
            "the peer's close is not answered"
        );
        sleep(Duration::from_millis(10));
    }
    lab.kernel_was_silent();
}

#[test]
fn a_connection_that_was_to_be_aborted_is() {
    let lab = Lab::new();
    let (client, server) = connected(&lab, "abort");
    die(client);
    let counted: Vec<_> = counted(server).into_values().collect();
    assert_eq!(counted, [(0, "reset".to_owned())]);
    lab.kernel_was_silent();
}

#[test]
fn a_server_can_be_started_again_at_once() {
    // That nobody serves there any more is the kernel's to say.
    let lab = Lab::with_plain_programs();
    for _ in 0..3 {
        drop(reader_dies(&lab));
    }
    lab.peer(&keeper(&format!("refused {TEST} 7000")))
        .succeeds();
}

/// `sidestack ss` of all processes.
fn sockets(lab: &Lab) -> String {
    let said = lab.plain(&format!("{} ss", command().display())).run();
    said.stdout()
}

/// Waits until somebody sits out TIME-WAIT.
fn has_time_wait(lab: &Lab) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !sockets(lab).contains("TIME-WAIT") {
        assert!(Instant::now() < deadline, "{}", sockets(lab));
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn time_wait_is_kept() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let go = lab.file("go", "go");
    let server = counting(&lab, 7000, &go, &go, 1);
    let mut client = lab
        .sidestack(&keeper(&format!("first {PEER} 7000")))
        .start();
    client.prints("closed");
    counted(server);
    is_kept(&lab, &mut client);
    let pid = client.pid();
    die(client);
    has_time_wait(&lab);
    assert!(!sockets(&lab).contains(&format!("pid {pid}")));
    lab.kernel_was_silent();
}

/// It has ended before a keeper would have been looked for.
#[test]
fn time_wait_is_kept_of_a_brief_program() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let go = lab.file("go", "go");
    let server = counting(&lab, 7000, &go, &go, 1);
    lab.sidestack(&keeper(&format!("brief {PEER} 7000")))
        .succeeds();
    counted(server);
    has_time_wait(&lab);
    lab.kernel_was_silent();
}

#[test]
fn ports_that_came_one_by_one_are_all_kept() {
    const MANY: usize = 500;
    let lab = Lab::new();
    let hold = |arguments: &str| {
        let script = root().join("tests/e2e/hold.py");
        format!("/usr/bin/python3 {} {arguments}", script.display())
    };
    let server = lab.peer(&hold("serve 0.0.0.0 7000")).serving_tcp(7000);
    lab.sidestack(&hold(&format!("gather {PEER} 7000 {MANY}")))
        .succeeds();
    drop(server);
    // Its kernel has closed them all, which nobody but the stack is to answer.
    let deadline = Instant::now() + Duration::from_secs(20);
    let all = format!("count:{MANY}");
    while preloading()
        && !sockets(&lab)
            .lines()
            .any(|line| line.contains("TIME-WAIT") && line.contains(&all))
    {
        assert!(Instant::now() < deadline, "{}", sockets(&lab));
        sleep(Duration::from_millis(10));
    }
    lab.kernel_was_silent();
}

/// Pieces that the program sends at a time.
const PIECE: u64 = 30_000;
/// Connections it has.
const MANY: usize = 4;

/// Kills a program that sends on several connections, at a moment that the seed decides, and
/// compares what `send` had taken with what has arrived.
fn kill_at_random(lab: &Lab, file: &str, seed: u64) {
    let port = 7000 + (seed % 1000) as u16;
    let go = lab.file("go", "go");
    let server = counting(lab, port, file, &go, MANY);
    let stream = keeper(&format!("stream {PEER} {port} {file} {MANY}"));
    let mut client = lab.sidestack(&stream).start();
    is_kept(lab, &mut client);
    let moment = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    sleep(Duration::from_micros(moment % 50_000));
    let sent = sent(&die(client));
    let counted = counted(server);
    assert_eq!(counted.len(), MANY, "seed {seed}");
    for (port, (count, how)) in &counted {
        let accepted = sent.get(port).copied().unwrap_or(0);
        let whole = (accepted..=accepted + PIECE).contains(count) && how == "end";
        assert!(
            whole,
            "seed {seed}: {accepted} bytes were taken, {count} came, then {how}"
        );
    }
}

#[test]
fn killed_at_any_moment() {
    let lab = Lab::new();
    let file = payload::of(MIB).path.display().to_string();
    let seeds = std::env::var("KEEPER_SEEDS").map_or(10, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        kill_at_random(&lab, &file, seed);
    }
    lab.kernel_was_silent();
}

#[test]
fn another_keeper_is_started_when_one_is_killed() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let (mut client, server) = connected(&lab, "hold");
    let mut killed = Vec::new();
    for _ in 0..2 {
        let deadline = Instant::now() + Duration::from_secs(20);
        // Its name is there before it runs, and it is dead before that is noticed.
        let keeper = loop {
            is_kept(&lab, &mut client);
            let living = lab.keepers();
            if let [keeper] = living[..]
                && !killed.contains(&keeper)
            {
                break keeper;
            }
            assert!(
                living.len() <= 1 && Instant::now() < deadline,
                "one keeper for all: {living:?}, {killed:?} were killed"
            );
            sleep(Duration::from_millis(10));
        };
        killed.push(keeper);
        lab.plain(&format!("kill -9 {keeper}")).succeeds();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while lab.keepers().iter().all(|keeper| killed.contains(keeper)) {
        assert!(Instant::now() < deadline, "no other keeper is started");
        sleep(Duration::from_millis(10));
    }
    is_kept(&lab, &mut client);
    die(client);
    assert!(
        counted(server)
            .values()
            .all(|got| *got == (0, "end".to_owned()))
    );
    lab.kernel_was_silent();
}

#[test]
fn a_keeper_ends_a_minute_after_its_last_program() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let (client, server) = connected(&lab, "abort");
    let keeper = orphans::keeper(&lab, &[]);
    die(client);
    drop(server.finish().success());
    sleep(Duration::from_secs(30));
    assert_eq!(lab.processes(Side::Test), [keeper]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !lab.processes(Side::Test).is_empty() {
        assert!(Instant::now() < deadline, "it has not ended");
        sleep(Duration::from_millis(100));
    }
    lab.kernel_was_silent();
}

/// `strace -f` ends when all that it traces has ended, and a keeper outlives the program.
#[test]
fn who_traces_a_program_does_not_trace_its_keeper() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let traced = lab
        .sidestack(&keeper("listen 7000"))
        .under("strace -f -o /dev/null");
    let mut server = traced.serving_tcp(7000);
    let status = |pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let keeper = status(orphans::keeper(&lab, &[]));
    assert!(keeper.contains("TracerPid:\t0\n"), "{keeper}");
    server.still_runs();
}
