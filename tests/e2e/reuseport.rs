//! Processes that share a port by SO_REUSEPORT: each gets its part, also when they come and go.

use crate::lab::root;
use crate::lab::{Lab, Program, Running, TEST};
use crate::ports::RAW_ALONE;

const PORT: u16 = 7000;
/// What is asked at a time: that a server gets less than a tenth of it is as good as impossible.
const COUNT: usize = 120;

fn script(arguments: &str) -> String {
    let script = root().join("tests/e2e/shares.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

fn server<'lab>(lab: &'lab Lab, protocol: &str) -> Running<'lab> {
    ready(lab.sidestack(&script(&format!("{protocol} {PORT}"))))
}

fn ready(server: Program<'_>) -> Running<'_> {
    let mut server = server.start();
    server.prints("ready");
    server
}

fn asking<'lab>(lab: &'lab Lab, protocol: &str) -> Program<'lab> {
    let ask = format!("ask {TEST} {PORT} {COUNT} {protocol}");
    lab.peer(&script(&ask)).within(60)
}

/// Fails unless so many servers answer all that is asked, each a fair part.
fn answered_by(lab: &Lab, protocol: &str, servers: usize) {
    let said = asking(lab, protocol).succeeds().stdout();
    let parts: Vec<usize> = said
        .split_whitespace()
        .map(|part| part.parse().expect("a number"))
        .collect();
    assert_eq!(parts.len(), servers, "{said}");
    assert_eq!(parts.iter().sum::<usize>(), COUNT, "{said}");
    assert!(
        parts.iter().all(|&part| part > COUNT / 10 / servers),
        "{said}"
    );
}

#[test]
fn connections_are_spread_over_processes() {
    let lab = Lab::new();
    let mut first = server(&lab, "tcp");
    answered_by(&lab, "tcp", 1);
    let second = server(&lab, "tcp");
    let _third = server(&lab, "tcp");
    answered_by(&lab, "tcp", 3);
    // The first leads the others.
    first.kill("KILL");
    first.finish();
    answered_by(&lab, "tcp", 2);
    second.stop();
    answered_by(&lab, "tcp", 1);
    let _fourth = server(&lab, "tcp");
    answered_by(&lab, "tcp", 2);
    lab.kernel_was_silent();
}

/// The kernel is kept silent by other means then, which are listeners on the shared port, too.
#[test]
fn connections_are_spread_without_further_rights() {
    let lab = Lab::new();
    let server = || {
        lab.sidestack(&script(&format!("tcp {PORT}")))
            .under(RAW_ALONE)
    };
    let first = ready(server());
    answered_by(&lab, "tcp", 1);
    let _second = ready(server());
    answered_by(&lab, "tcp", 2);
    first.stop();
    answered_by(&lab, "tcp", 1);
    lab.kernel_was_silent();
}

#[test]
fn connections_stay_while_processes_come_and_go() {
    let lab = Lab::new();
    let _first = server(&lab, "tcp");
    let mut held = lab
        .peer(&script(&format!("hold {TEST} {PORT}")))
        .within(60)
        .start();
    held.prints("ready");
    for _ in 0..3 {
        let mut other = server(&lab, "tcp");
        answered_by(&lab, "tcp", 2);
        other.kill("KILL");
        other.finish();
    }
    held.still_runs();
    held.kill("TERM");
    assert_eq!(held.finish().success().stdout().lines().last(), Some("20"));
    lab.kernel_was_silent();
}

#[test]
fn datagrams_are_spread_over_processes() {
    let lab = Lab::new();
    let first = server(&lab, "udp");
    let _second = server(&lab, "udp");
    answered_by(&lab, "udp", 2);
    first.stop();
    answered_by(&lab, "udp", 1);
    lab.kernel_was_silent();
}
