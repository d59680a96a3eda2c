//! Families of processes of which one is killed, the one with the stack above all: the others go on with the
//! sockets that they hold.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, Program, Running, TEST, command, library, preloading, root};
use crate::web::{nginx_beside, nginx_with_workers_of};

pub(crate) fn script(arguments: &str) -> String {
    let directory = root().join("tests/e2e");
    format!("/usr/bin/python3 {}/{arguments}", directory.display())
}

/// Waits until a keeper has what it needs to go on for the process.
pub(crate) fn is_kept(lab: &Lab, pid: u32) {
    let stat = format!("{} stat --pid {pid}", command().display());
    let deadline = Instant::now() + Duration::from_secs(20);
    while preloading() && !lab.plain(&stat).run().stdout().contains("keeper 1") {
        assert!(Instant::now() < deadline, "no keeper is there for {pid}");
        sleep(Duration::from_millis(10));
    }
}

/// The processes that have a stack: each listens under its number.
pub(crate) fn engines(lab: &Lab) -> Vec<u32> {
    let names = lab.plain("cat /proc/net/unix").run().stdout();
    let names = names
        .lines()
        .filter_map(|line| line.split_once("@sidestack/"));
    names.filter_map(|(_, pid)| pid.parse().ok()).collect()
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

/// Fails unless all connections lived.
fn lived(client: Running<'_>) {
    let counts = counted(client);
    assert_eq!((counts["refused"], counts["died"]), (0, 0), "{counts:?}");
}

fn load(seconds: u32, seed: u64) -> String {
    script(&format!("load.py {TEST} 7000 20 {seconds} {seed}"))
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
    lived(client);
    lab.kernel_was_silent();
}

/// The child that the program says it has.
fn child(program: &mut Running<'_>) -> u32 {
    program.prints("child ");
    let said = program.printed();
    let after = said.split_once("child ").expect("it was printed").1;
    let number: String = after.chars().take_while(char::is_ascii_digit).collect();
    number.parse().expect("the child's number")
}

/// A server of the peer's that says, once `go` is there, what a client has sent and how that ended.
fn counting<'lab>(lab: &'lab Lab, file: &str, go: &str) -> Running<'lab> {
    let count = script(&format!("keeper.py count 7000 {file} {go} 1"));
    lab.peer(&count).within(60).serving_tcp(7000)
}

#[test]
fn a_server_is_started_anew_beside_the_children_of_one_that_was_killed() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let talk = script(&format!("orphans.py talk {TEST} 7000 {go}"));
    let serve = script("orphans.py forking 7000");
    let server = lab.sidestack(&serve).serving_tcp(7000);
    let mut first = lab.peer(&talk).start();
    first.prints("echoed");
    is_kept(&lab, server.pid());
    drop(server.stop());
    let mut again = lab.sidestack(&serve).start();
    again.prints("listening");
    let mut second = lab.peer(&talk).start();
    second.prints("echoed");
    lab.file("go", "go");
    for client in [first, second] {
        assert!(client.finish().success().stdout().ends_with("lived"));
    }
}

#[test]
fn an_executed_program_goes_on_writing() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB).path.display().to_string();
    let go = lab.path("go").display().to_string();
    let server = counting(&lab, &file, &go);
    let output = script(&format!("orphans.py output {PEER} 7000 {file}"));
    let parent = lab.sidestack(&output).start();
    is_kept(&lab, parent.pid());
    sleep(Duration::from_millis(300));
    drop(parent.stop());
    lab.file("go", "go");
    let said = server.finish().success().stdout();
    assert!(said.ends_with(&format!(" {} end", 16 * MIB)), "{said}");
    lab.kernel_was_silent();
}

#[test]
fn what_lies_in_a_pair_is_delivered_when_a_family_is_killed() {
    for parent_first in [true, false] {
        let lab = Lab::new();
        let file = payload::of(MIB).path.display().to_string();
        let go = lab.path("go").display().to_string();
        let server = counting(&lab, &file, &go);
        let fill = script(&format!("orphans.py fill {PEER} 7000 {file}"));
        let mut parent = lab.sidestack(&fill).within(30).start();
        let child = child(&mut parent);
        is_kept(&lab, parent.pid());
        while parent.printed().lines().count() < 2 {
            parent.still_runs();
            sleep(Duration::from_millis(10));
        }
        let said = parent.printed();
        let sent = said.lines().find(|line| !line.starts_with("child"));
        let sent = sent.expect("what was sent").to_owned();
        let pids = match parent_first {
            true => format!("{} {child}", parent.pid()),
            false => format!("{child} {}", parent.pid()),
        };
        lab.plain(&format!("kill -9 {pids}")).succeeds();
        lab.file("go", "go");
        let got = server.finish().success().stdout();
        assert_eq!(got.trim_end(), format!("{sent} end"));
        lab.kernel_was_silent();
    }
}

#[test]
fn what_lies_unread_in_a_pair_makes_a_reset_when_a_family_is_killed() {
    let lab = Lab::new();
    let unread = script("orphans.py unread 7000");
    let mut parent = lab.sidestack(&unread).serving_tcp(7000);
    let end = script(&format!("keeper.py end {TEST} 7000"));
    let mut client = lab.peer(&end).start();
    let child = child(&mut parent);
    client.prints("connected");
    is_kept(&lab, parent.pid());
    lab.plain(&format!("kill -9 {} {child}", parent.pid()))
        .succeeds();
    assert!(client.finish().success().stdout().ends_with("reset"));
    lab.kernel_was_silent();
}

#[test]
fn nginx_serves_on_without_its_master() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let upstream = lab.peer(&nginx_beside(&lab, 8000));
    let _upstream = upstream.serving_tcp(8000);
    // Workers that have no rights of their own have their sockets of whoever has the master's stack.
    let nginx = nginx_with_workers_of(&lab, "nobody nogroup", &format!("{PEER}:8000"));
    let master = lab.sidestack(&nginx).serving_tcp(80);
    let url = format!("http://{TEST}/{}", file.name);
    let proxied = format!("curl -sS http://{TEST}/upstream/{}", file.name);
    let fetch = format!("curl -sS {url}");
    assert_eq!(lab.peer(&fetch).sha256(), file.sha256);
    is_kept(&lab, master.pid());
    let slow = format!("curl -sS --limit-rate 2M {url}");
    let slow = std::thread::scope(|scope| {
        let slow = scope.spawn(|| lab.peer(&slow).sha256());
        sleep(Duration::from_millis(200));
        drop(master.stop());
        for _ in 0..5 {
            assert_eq!(lab.peer(&fetch).sha256(), file.sha256);
            assert_eq!(lab.peer(&proxied).sha256(), file.sha256);
        }
        slow.join().expect("it is fetched")
    });
    assert_eq!(slow, file.sha256);
    lab.kernel_was_silent();
}

/// Kills who has the stack, once somebody could go on with it: the program itself, then who has gone on.
pub(crate) fn kill_engines(lab: &Lab, program: &mut Running<'_>) {
    is_kept(lab, program.pid());
    program.kill("KILL");
    if preloading() {
        let engine = heir_of(lab, program.pid());
        is_kept(lab, engine);
        lab.plain(&format!("kill -9 {engine}")).succeeds();
        heir_of(lab, engine);
    }
}

/// Who has the stack after `dead`.
fn heir_of(lab: &Lab, dead: u32) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match engines(lab)[..] {
            [engine] if engine != dead => return engine,
            _ => assert!(Instant::now() < deadline, "nobody has gone on"),
        }
        sleep(Duration::from_millis(5));
    }
}

/// Waits until a program that may have been killed, or its child, has printed `text`.
pub(crate) fn said(program: &Running<'_>, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !program.printed().contains(text) {
        assert!(Instant::now() < deadline, "{:?}", program.printed());
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn datagrams_go_on_when_the_process_that_made_the_socket_is_killed() {
    for how in ["fork", "passed", "exec"] {
        let lab = Lab::new();
        let go = lab.path("go").display().to_string();
        let serve = script(&format!("orphans.py datagrams 7000 {how}"));
        let mut server = lab.sidestack(&serve).start();
        server.prints("bound");
        let ask = script(&format!("orphans.py ask {TEST} 7000 {go}"));
        let mut client = lab.peer(&ask).within(60).start();
        client.prints("echoed");
        kill_engines(&lab, &mut server);
        lab.file("go", "go");
        let said = client.finish().success().stdout();
        assert_eq!(said, "echoed\n('0.0.0.0', 7000) 200000\nlived", "{how}");
        lab.kernel_was_silent();
    }
}

/// Starts a program, kills it once it has printed `ready`, and tells its child to go on.
pub(crate) fn killed<'lab>(lab: &'lab Lab, arguments: &str, ready: &str) -> Running<'lab> {
    let mut program = lab.sidestack(&script(arguments)).start();
    program.prints(ready);
    kill_engines(lab, &mut program);
    lab.file("go", "go");
    program
}

#[test]
fn a_connected_datagram_socket_goes_on_when_its_maker_is_killed() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let mut server = lab.peer(&script("orphans.py bounce 7000")).start();
    server.prints("bound");
    let joined = format!("orphans.py joined {PEER} 7000 {go}");
    let client = killed(&lab, &joined, "echoed");
    said(&client, "lived");
    lab.kernel_was_silent();
}

#[test]
fn a_port_that_was_only_bound_is_held_on_when_its_binder_is_killed() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let binder = killed(&lab, &format!("orphans.py bound 7000 {go}"), "bound");
    said(&binder, "listening");
    let talk = script(&format!("orphans.py talk {TEST} 7000 {go}"));
    let talked = lab.peer(&talk).succeeds().stdout();
    assert!(talked.ends_with("lived"), "{talked}");
    lab.kernel_was_silent();
}

#[test]
fn a_port_that_was_only_bound_is_dialed_from_when_its_binder_is_killed() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let server = lab.peer(&script("echo.py serve 0.0.0.0 7001"));
    let _server = server.serving_tcp(7001);
    let dials = format!("orphans.py dials 7001 {go} {PEER}");
    let binder = killed(&lab, &dials, "bound");
    said(&binder, "from a port that was bound");
    lab.kernel_was_silent();
}

#[test]
fn a_port_whose_listener_is_closed_is_the_next_servers() {
    for next_is_ours in [true, false] {
        let lab = Lab::with_plain_programs();
        let go = lab.path("go").display().to_string();
        let talk = script(&format!("orphans.py talk {TEST} 7000 {go}"));
        let leaves = lab.sidestack(&script("orphans.py leaves 7000"));
        let mut server = leaves.serving_tcp(7000);
        let mut first = lab.peer(&talk).within(60).start();
        first.prints("echoed");
        server.prints("left");
        let serve = script("orphans.py forking 7000");
        let next = match next_is_ours {
            true => lab.sidestack(&serve),
            false => lab.plain(&serve),
        };
        is_kept(&lab, server.pid());
        let mut next = next.start();
        next.prints("listening");
        // What others have to do with the port is left for who goes on to look at.
        server.kill("STOP");
        let mut second = lab.peer(&talk).within(60).start();
        second.prints("echoed");
        server.kill("KILL");
        // The first connection goes on elsewhere, and the second where it was.
        sleep(Duration::from_millis(300));
        lab.file("go", "go");
        for client in [first, second] {
            assert!(client.finish().success().stdout().ends_with("lived"));
        }
    }
}

#[test]
fn a_connection_goes_on_whose_owner_is_killed_as_soon_as_it_is_passed_on() {
    let lab = Lab::with_plain_programs();
    let [hand, go] = ["hand", "go"].map(|name| lab.path(name).display().to_string());
    let hands = lab.sidestack(&script(&format!("orphans.py hands 7000 {hand}")));
    let server = hands.serving_tcp(7000);
    let talk = script(&format!("orphans.py talk {TEST} 7000 {go}"));
    let mut client = lab.peer(&talk).within(60).start();
    is_kept(&lab, server.pid());
    lab.file("hand", "hand");
    client.prints("echoed");
    lab.file("go", "go");
    assert!(client.finish().success().stdout().ends_with("lived"));
}

/// Each closes its listener while its connection lives, and leaves that in TIME-WAIT.
#[test]
fn servers_of_one_connection_each_follow_one_another() {
    let lab = Lab::new();
    let file = payload::of(4 * MIB);
    let serve = script(&format!("once.py 7000 {}", file.path.display()));
    for name in ["first", "second", "third"] {
        let mut server = lab.sidestack(&serve).start();
        server.prints("listening");
        is_kept(&lab, server.pid());
        let fetch = format!("socat -u TCP4:{TEST}:7000 CREATE:{name}");
        lab.peer(&fetch).succeeds();
        server.finish().success();
        assert_eq!(payload::sha256(&lab.path(name)), file.sha256, "{name}");
    }
    lab.kernel_was_silent();
}

/// The keeper, which is none of the `dead`.
pub(crate) fn keeper(lab: &Lab, dead: &[u32]) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Executors are made of it, and look like it.
        let engines = engines(lab);
        let mut keepers = lab.keepers().into_iter();
        let is_keeper = |pid: &u32| !engines.contains(pid) && !dead.contains(pid);
        if let Some(keeper) = keepers.find(is_keeper) {
            return keeper;
        }
        assert!(Instant::now() < deadline, "there is no keeper");
        sleep(Duration::from_millis(10));
    }
}

/// How many families `killed_at_any_moment` loads; `ORPHAN_SEEDS` says otherwise.
const SEEDS: u64 = 2;

/// Processes of a loaded family are killed: who has the stack, in the first place, and keepers.
#[test]
fn killed_at_any_moment() {
    if !preloading() {
        return;
    }
    let seeds =
        std::env::var("ORPHAN_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        let lab = Lab::new();
        let mut parent = lab
            .sidestack(&script("orphans.py prefork 7000 3"))
            .serving_tcp(7000);
        parent.prints("forked");
        let mut client = lab.peer(&load(2, seed)).within(60).start();
        client.prints("begins");
        let mut dead = Vec::new();
        let mut chance = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..5 {
            chance = chance.rotate_left(17).wrapping_mul(0xd134_2543_de82_ef95);
            sleep(Duration::from_micros(chance % 200_000));
            let [engine] = engines(&lab)[..] else {
                continue;
            };
            let keeper = keeper(&lab, &dead);
            is_kept(&lab, engine);
            let victim = match (chance >> 40) % 3 {
                0 => keeper,
                _ => engine,
            };
            dead.push(victim);
            // A process that the keeper makes may look like one for a moment.
            lab.plain(&format!("kill -9 {victim}")).run();
        }
        let counts = counted(client);
        println!("seed {seed}: {counts:?}, {} killed", dead.len());
        let lost = (counts["refused"], counts["died"]);
        assert_eq!(lost, (0, 0), "seed {seed}: {counts:?}");
        lab.kernel_was_silent();
    }
}

/// A user whom the keeper admits.
const ADMITTED: u32 = 65_534;

/// A program of a user without any right.
fn admitted<'lab>(lab: &'lab Lab, command: &str) -> Program<'lab> {
    lab.sidestack(command).under(&format!(
        "setpriv --reuid {ADMITTED} --regid {ADMITTED} --clear-groups --inh-caps -all --bounding-set -all"
    ))
}

fn administrators_keeper() -> String {
    format!(
        "{} keeper --interface lab0 --library {} --log info --allow-user {ADMITTED}",
        command().display(),
        library().display(),
    )
}

#[test]
fn users_go_on_when_the_administrators_keeper_is_killed() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let mut keeper = lab.plain(&administrators_keeper()).start();
    keeper.prints("is ready");
    let _server = admitted(&lab, &script("echo.py serve 0.0.0.0 7000")).serving_tcp(7000);
    is_kept(&lab, keeper.pid());
    let mut client = lab.peer(&load(1, 2)).within(60).start();
    client.prints("begins");
    sleep(Duration::from_millis(300));
    drop(keeper.stop());
    lived(client);
    lab.kernel_was_silent();
}

#[test]
fn datagrams_of_users_go_on_when_the_administrators_keeper_is_killed() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let mut keeper = lab.plain(&administrators_keeper()).start();
    keeper.prints("is ready");
    let mut server = admitted(&lab, &script("orphans.py bounce 7000")).start();
    server.prints("bound");
    let ask = script(&format!("orphans.py ask {TEST} 7000 {go}"));
    let mut client = lab.peer(&ask).within(60).start();
    client.prints("echoed");
    kill_engines(&lab, &mut keeper);
    lab.file("go", "go");
    assert!(client.finish().success().stdout().ends_with("lived"));
    lab.kernel_was_silent();
}
