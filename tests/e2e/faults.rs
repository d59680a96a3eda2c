//! What befalls programs under load: they are stopped and go on, the interface comes and goes, processes of a family are
//! killed. Connections that should live do, every byte comes back as it was sent, and nothing is left behind.
//!
//! Each run has a seed. `FAULT_SEEDS=100` tries so many, `FAULT_SEEDS=7..8` one that failed.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Lab, PEER, Running, TEST, root};

/// How long a run loads, in seconds.
const LOAD: u32 = 2;
/// Connections at a time.
const CONNECTIONS: u32 = 20;

fn seeds() -> Range<u64> {
    let said = std::env::var("FAULT_SEEDS").unwrap_or_else(|_| "2".to_owned());
    let number = |text: &str| text.parse().expect("FAULT_SEEDS is COUNT or FROM..TO");
    match said.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&said),
    }
}

/// Chance by a seed (xorshift64).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low)
    }

    fn nap(&mut self, low: u64, high: u64) {
        sleep(Duration::from_millis(self.between(low, high)));
    }
}

/// Servers that echo: all connections in one process, each in one of its own.
const SERVERS: [&str; 2] = ["echo.py serve 0.0.0.0 7000", "forking_server.py"];

fn python(arguments: &str) -> String {
    let scripts = root().join("tests/e2e");
    format!("/usr/bin/python3 {}/{arguments}", scripts.display())
}

fn client(address: &str, seed: u64) -> String {
    python(&format!(
        "faults.py {address} 7000 {CONNECTIONS} {LOAD} {seed}"
    ))
}

/// What the client counted.
fn counted(client: Running<'_>) -> BTreeMap<String, u64> {
    let said = client.finish().success().stdout();
    let words: Vec<&str> = said.split_whitespace().collect();
    let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].parse().expect("a number"));
    words.chunks(2).map(pair).collect()
}

/// Fails unless every connection lived but `lost` at most, and none stood still or was given something else.
fn lived(what: &str, seed: u64, counts: &BTreeMap<String, u64>, lost: u64) {
    println!("{what}, seed {seed}: {counts:?}");
    assert!(counts["bytes"] > 0, "{what}, seed {seed}: nothing came");
    assert_eq!(
        (counts["hung"], counts["wrong"]),
        (0, 0),
        "{what}, seed {seed}: {counts:?}"
    );
    assert!(
        counts["died"] <= lost,
        "{what}, seed {seed}: {counts:?}, {lost} may die"
    );
    assert_eq!(
        counts["opened"],
        counts["lived"] + counts["died"],
        "{what}, seed {seed}"
    );
}

/// Descriptors that come late and stay: the packet socket with a ring, which takes the place of the
/// first one when much was received.
const LATE: usize = 1;

fn descriptors(program: &Running<'_>) -> usize {
    let listed = fs::read_dir(format!("/proc/{}/fd", program.pid()));
    let links = listed.into_iter().flatten().flatten();
    // So does what spares the kernel its part.
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter(|link| !link.to_string_lossy().contains("bpf"))
        .count()
}

fn children(program: &Running<'_>) -> Vec<u32> {
    let pid = program.pid();
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let listed = listed.unwrap_or_default();
    listed
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// Fails unless the program soon has no more descriptors than before it had clients, but for those
/// that come late.
fn left_nothing(program: &Running<'_>, before: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while descriptors(program) > before + LATE {
        let now = descriptors(program);
        assert!(Instant::now() < end, "{now} descriptors, {before} before");
        sleep(Duration::from_millis(50));
    }
}

/// Has something befall a server on our stack under load; `befall` says how many connections that may cost.
fn befalls_server(
    what: &str,
    servers: &[&str],
    befall: impl Fn(&Lab, &Running<'_>, &mut Chance) -> u64,
) {
    for seed in seeds() {
        let lab = Lab::new();
        let command = python(servers[seed as usize % servers.len()]);
        let mut server = lab.sidestack(&command).serving_tcp(7000);
        // The first client brings what stays, such as the background thread.
        let first = python(&format!("echo.py talk {TEST} 7000 1 1000"));
        lab.peer(&first).succeeds();
        sleep(Duration::from_millis(200));
        let before = descriptors(&server);
        let mut client = lab.peer(&client(TEST, seed)).within(90).start();
        client.prints("begins");
        let mut chance = Chance::new(seed);
        let lost = befall(&lab, &server, &mut chance);
        lived(what, seed, &counted(client), lost);
        server.still_runs();
        left_nothing(&server, before);
        lab.kernel_was_silent();
        drop(server.stop());
        // The port is free again.
        drop(lab.sidestack(&command).serving_tcp(7000));
    }
}

/// The same with a client on our stack.
fn befalls_client(what: &str, befall: impl Fn(&Lab, &Running<'_>, &mut Chance)) {
    for seed in seeds() {
        let lab = Lab::new();
        let _server = lab.peer(&python(SERVERS[0])).serving_tcp(7000);
        let mut client = lab.sidestack(&client(PEER, seed)).within(90).start();
        client.prints("begins");
        befall(&lab, &client, &mut Chance::new(seed));
        lived(what, seed, &counted(client), 0);
        lab.kernel_was_silent();
    }
}

fn stops(lab: &Lab, program: &Running<'_>, chance: &mut Chance) -> u64 {
    for _ in 0..3 {
        chance.nap(100, 400);
        // The whole family, or the process alone that has the stack.
        let mut stopped = vec![program.pid()];
        if chance.between(0, 2) == 1 {
            stopped.extend(children(program));
        }
        let stopped: Vec<String> = stopped.iter().map(u32::to_string).collect();
        let stopped = stopped.join(" ");
        // Children may have ended by themselves.
        drop(lab.plain(&format!("kill -STOP {stopped}")).run());
        chance.nap(1, 400);
        drop(lab.plain(&format!("kill -CONT {stopped}")).run());
    }
    0
}

#[test]
fn a_server_is_stopped_and_goes_on() {
    befalls_server("a server is stopped", &SERVERS, stops);
}

#[test]
fn a_client_is_stopped_and_goes_on() {
    befalls_client("a client is stopped", |lab, client, chance| {
        stops(lab, client, chance);
    });
}

fn flaps(lab: &Lab, _: &Running<'_>, chance: &mut Chance) -> u64 {
    for _ in 0..3 {
        chance.nap(50, 300);
        if chance.between(0, 2) == 1 {
            lab.plain("ip link set lab0 down").succeeds();
            chance.nap(1, 300);
            lab.plain("ip link set lab0 up").succeeds();
            lab.plain(&format!("ip route replace default via {PEER} dev lab0"))
                .succeeds();
        } else {
            let mtu = chance.between(576, 1500);
            lab.plain(&format!("ip link set lab0 mtu {mtu}")).succeeds();
            lab.peer(&format!("ip link set lab1 mtu {mtu}")).succeeds();
            chance.nap(1, 300);
            lab.peer("ip link set lab1 mtu 1500").succeeds();
            lab.plain("ip link set lab0 mtu 1500").succeeds();
        }
    }
    0
}

#[test]
fn the_interface_of_a_server_flaps() {
    befalls_server("the interface flaps", &SERVERS, flaps);
}

#[test]
fn the_interface_of_a_client_flaps() {
    befalls_client("the interface flaps", |lab, client, chance| {
        flaps(lab, client, chance);
    });
}

#[test]
fn processes_of_a_server_are_killed() {
    befalls_server("a child is killed", &SERVERS[1..], |lab, server, chance| {
        let mut killed = 0;
        for _ in 0..8 {
            chance.nap(20, 200);
            let children = children(server);
            if children.is_empty() {
                continue;
            }
            let chosen = chance.between(0, children.len() as u64) as usize;
            // It may have ended by itself; then no connection is lost.
            drop(lab.plain(&format!("kill -KILL {}", children[chosen])).run());
            killed += 1;
        }
        killed
    });
}
