//! Programs that are killed: the keeper goes on with their connections.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, Running, TEST, command, preloading, root};

fn keeper(arguments: &str) -> String {
    let script = root().join("tests/e2e/keeper.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

/// Waits until a keeper has what it needs to go on for the program.
fn is_kept(lab: &Lab, program: &Running<'_>) {
    let stat = format!("{} stat --pid {}", command().display(), program.pid());
    let deadline = Instant::now() + Duration::from_secs(20);
    while preloading() && !lab.plain(&stat).run().stdout().contains("keeper 1") {
        assert!(Instant::now() < deadline, "no keeper is there for {}", program.pid());
        sleep(Duration::from_millis(10));
    }
}

fn die(program: Running<'_>) -> String {
    // `stop` kills by SIGKILL.
    program.stop().stdout()
}

/// The last number that the program printed.
fn last_count(printed: &str) -> u64 {
    let mut lines = printed.lines().rev();
    lines.find_map(|line| line.parse().ok()).unwrap_or(0)
}

/// What the counting server got, and how it ended.
fn counted(server: Running<'_>) -> (u64, String) {
    let said = server.finish().success().stdout();
    let (count, how) = said.split_once(' ').expect("a count and an end");
    (count.parse().expect("a count"), how.to_owned())
}

#[test]
fn what_send_has_accepted_is_delivered() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB).path.display().to_string();
    let go = lab.path("go").display().to_string();
    let server = lab
        .peer(&keeper(&format!("count 7000 {file} {go}")))
        .within(60)
        .serving_tcp(7000);
    let mut client = lab
        .sidestack(&keeper(&format!("fill {PEER} 7000 {file}")))
        .start();
    client.prints("full");
    is_kept(&lab, &client);
    let accepted = last_count(&die(client));
    lab.file("go", "");
    assert!(accepted > 0);
    assert_eq!(counted(server), (accepted, "end".to_owned()));
    lab.kernel_was_silent();
}

#[test]
fn unread_data_makes_a_reset() {
    let lab = Lab::new();
    let mut server = lab.sidestack(&keeper("listen 7000")).serving_tcp(7000);
    let mut client = lab.peer(&keeper(&format!("end {TEST} 7000"))).start();
    server.prints("accepted 1");
    client.prints("connected");
    is_kept(&lab, &server);
    die(server);
    assert!(client.finish().success().stdout().ends_with("reset"));
}

#[test]
fn an_idle_connection_is_closed() {
    let lab = Lab::new();
    let go = lab.file("go", "");
    let server = lab
        .peer(&keeper(&format!("count 7000 {go} {go}")))
        .serving_tcp(7000);
    let mut client = lab
        .sidestack(&keeper(&format!("hold {PEER} 7000")))
        .start();
    client.prints("connected");
    is_kept(&lab, &client);
    die(client);
    assert_eq!(counted(server), (0, "end".to_owned()));
    let open = "ss -Htan state connected exclude time-wait";
    let deadline = Instant::now() + Duration::from_secs(10);
    while !lab.peer(open).succeeds().stdout().is_empty() {
        assert!(Instant::now() < deadline, "the peer's close is not answered");
        sleep(Duration::from_millis(10));
    }
    lab.kernel_was_silent();
}

#[test]
fn a_server_can_be_started_again_at_once() {
    let lab = Lab::new();
    for _ in 0..3 {
        let mut server = lab.sidestack(&keeper("listen 7000")).serving_tcp(7000);
        let mut client = lab.peer(&keeper(&format!("end {TEST} 7000"))).start();
        server.prints("accepted 1");
        client.prints("connected");
        is_kept(&lab, &server);
        die(server);
    }
    lab.peer(&keeper(&format!("refused {TEST} 7000")))
        .succeeds();
}

/// `sidestack ss` of all processes.
fn sockets(lab: &Lab) -> String {
    let said = lab.plain(&format!("{} ss", command().display())).run();
    said.stdout()
}

#[test]
fn time_wait_is_kept() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let go = lab.file("go", "");
    let server = lab
        .peer(&keeper(&format!("count 7000 {go} {go}")))
        .serving_tcp(7000);
    let mut client = lab
        .sidestack(&keeper(&format!("first {PEER} 7000")))
        .start();
    client.prints("closed");
    counted(server);
    is_kept(&lab, &client);
    let pid = client.pid();
    die(client);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !sockets(&lab).contains("TIME-WAIT") {
        assert!(Instant::now() < deadline, "{}", sockets(&lab));
        sleep(Duration::from_millis(10));
    }
    assert!(!sockets(&lab).contains(&format!("pid {pid}")));
    lab.kernel_was_silent();
}
