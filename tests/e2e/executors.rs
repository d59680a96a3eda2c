//! Who goes on for a killed process is killed, too, has yet to begin, or has much to hold.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::keeper::{dies_and_delivers, filled};
use crate::lab::{Lab, PEER, Running, TEST, preloading, root};
use crate::orphans::{is_kept, keeper, killed, said, script};
use crate::served::{self, ADMITTED};

/// Kills who goes on with what a dead process has left, one after the other, the first as soon as there is anybody.
fn kill_executors(lab: &Lab, keeper: u32) {
    let mut killed = vec![keeper];
    for milliseconds in [0, 0, 1, 5, 50] {
        sleep(Duration::from_millis(milliseconds));
        let deadline = Instant::now() + Duration::from_secs(20);
        let executor = loop {
            let living = lab.keepers();
            if let Some(&executor) = living.iter().find(|pid| !killed.contains(pid)) {
                break executor;
            }
            assert!(Instant::now() < deadline, "nobody goes on");
        };
        // It may be one that only makes another, and is gone by now.
        if let Some(pid) = Pid::from_raw(executor as i32) {
            let _ = kill_process(pid, Signal::KILL);
        }
        killed.push(executor);
    }
}

#[test]
fn what_send_has_accepted_is_delivered_whoever_else_is_killed() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let (client, server) = filled(&lab);
    let keeper = keeper(&lab, &[]);
    dies_and_delivers(&lab, client, server, || kill_executors(&lab, keeper));
    lab.kernel_was_silent();
}

#[test]
fn children_go_on_whoever_is_killed_beside_their_parent() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let serve = lab.sidestack(&script("orphans.py forking 7000"));
    let mut server = serve.serving_tcp(7000);
    let talk = script(&format!("orphans.py talk {TEST} 7000 {go}"));
    let mut clients = [(); 8].map(|()| lab.peer(&talk).within(60).start());
    clients
        .iter_mut()
        .for_each(|client| client.prints("echoed"));
    is_kept(&lab, server.pid());
    let keeper = keeper(&lab, &[]);
    server.kill("KILL");
    kill_executors(&lab, keeper);
    lab.file("go", "go");
    for client in clients {
        assert!(client.finish().success().stdout().ends_with("lived"));
    }
    lab.kernel_was_silent();
}

/// A server whose child will ask about its connection once it may, and its client.
fn asking(lab: &Lab) -> (Running<'_>, Running<'_>) {
    let go = lab.path("go").display().to_string();
    let asks = script(&format!("orphans.py asks 7000 {go}"));
    let mut server = lab.sidestack(&asks).start();
    server.prints("listening");
    let hold = script(&format!("keeper.py hold {TEST} 7000"));
    let client = lab.peer(&hold).start();
    server.prints("forked");
    is_kept(lab, server.pid());
    (server, client)
}

#[test]
fn who_asks_waits_for_a_keeper_that_has_yet_to_run() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let (mut server, _client) = asking(&lab);
    let keeper = keeper(&lab, &[]);
    lab.plain(&format!("kill -STOP {keeper}")).succeeds();
    server.kill("KILL");
    lab.file("go", "go");
    // Longer than it takes to find that there is no keeper.
    sleep(Duration::from_secs(1));
    lab.plain(&format!("kill -CONT {keeper}")).succeeds();
    said(&server, "set");
    lab.kernel_was_silent();
}

/// The name under which the one stack there is answers.
fn desk(lab: &Lab) -> String {
    let names = lab.plain("cat /proc/net/unix").run().stdout();
    let mut names = names.split_whitespace();
    let desk = names.find_map(|word| word.strip_prefix('@').filter(is_desk));
    desk.expect("there is a stack").to_owned()
}

fn is_desk(name: &&str) -> bool {
    name.starts_with("sidestack/stack/")
}

#[test]
fn who_goes_on_answers_once_the_name_of_the_dead_is_free() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let (mut server, _client) = asking(&lab);
    let keeper = keeper(&lab, &[]);
    let free = lab.path("free").display().to_string();
    let named = script(&format!("orphans.py named {} {free}", desk(&lab)));
    lab.plain(&format!("kill -STOP {keeper}")).succeeds();
    server.kill("KILL");
    let mut named = lab.plain(&named).start();
    named.prints("bound");
    lab.plain(&format!("kill -CONT {keeper}")).succeeds();
    // Longer than the keeper is kept waiting.
    sleep(Duration::from_secs(1));
    lab.file("free", "free");
    named.finish().success();
    lab.file("go", "go");
    said(&server, "set");
    lab.kernel_was_silent();
}

#[test]
fn a_keeper_has_more_descriptors_than_the_program_that_starts_it() {
    let lab = Lab::with_plain_programs();
    let go = lab.path("go").display().to_string();
    let serve = lab.sidestack(&script("orphans.py forking 7000"));
    let mut server = serve.serving_tcp(7000);
    let talk = script(&format!("orphans.py talk {TEST} 7000 {go}"));
    let mut client = lab.peer(&talk).within(60).start();
    client.prints("echoed");
    is_kept(&lab, server.pid());
    let few = format!("prlimit --pid {} --nofile=13:", server.pid());
    lab.plain(&few).succeeds();
    let first = keeper(&lab, &[]);
    lab.plain(&format!("kill -9 {first}")).succeeds();
    keeper(&lab, &[first]);
    is_kept(&lab, server.pid());
    server.kill("KILL");
    sleep(Duration::from_millis(300));
    lab.file("go", "go");
    assert!(client.finish().success().stdout().ends_with("lived"));
}

/// Who was refused connects anew by another pair: whoever has the first is led there after the maker's death, too.
#[test]
fn a_socket_that_was_connected_anew_has_all_its_descriptors_when_its_maker_is_killed() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let mut server = lab.peer(&script("orphans.py answers 7000")).start();
    server.prints("listening");
    let maker = killed(
        &lab,
        &format!("orphans.py retries 7000 {go} {PEER}"),
        "connected",
    );
    said(&maker, "by the pair of before");
    // The last descriptor is closed: nobody else may hold the connection.
    said(&server, "ended");
    lab.kernel_was_silent();
}

/// What is there for who would go on keeps nothing open.
#[test]
fn a_socket_that_was_connected_anew_is_closed_with_its_last_descriptor() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let mut server = lab.peer(&script("orphans.py answers 7000")).start();
    server.prints("listening");
    let retries = format!("orphans.py retries 7000 {go} {PEER}");
    let mut maker = lab.sidestack(&script(&retries)).start();
    maker.prints("connected");
    if preloading() {
        is_kept(&lab, maker.pid());
    }
    lab.file("go", "go");
    said(&maker, "by the pair of before");
    said(&server, "ended");
    lab.kernel_was_silent();
}

/// Those that wait are as many as the socket has room for, be that more than an ordinary user may have.
#[test]
fn datagrams_that_wait_for_others_are_there_when_the_maker_is_killed() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let heap = script(&format!("orphans.py heap 7000 {go}"));
    let mut maker = lab.sidestack(&heap).start();
    maker.prints("bound");
    if preloading() {
        is_kept(&lab, maker.pid());
    }
    lab.peer(&script(&format!("orphans.py pour {TEST} 7000")))
        .succeeds();
    sleep(Duration::from_millis(300));
    maker.kill("KILL");
    lab.file("go", "go");
    said(&maker, "counted 10000");
    lab.kernel_was_silent();
}

/// One whose keeper is dead, too: the socket is the kernel's, the port that of whoever goes on for the keeper, until he
/// has looked.
#[test]
fn a_guest_waits_for_who_goes_on_for_its_keeper() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let path = root().join("tests/e2e/successor.py");
    let script = |arguments: &str| format!("/usr/bin/python3 {} {arguments}", path.display());
    let mut keeper = served::keeper(&lab, "");
    let mut guest = served::of(&lab, ADMITTED, &script("binds 7000 go")).start();
    guest.prints("is served");
    keeper.kill("KILL");
    drop(keeper.finish());
    let mut successor = lab.plain(&script("goes_on 7000")).start();
    successor.prints("goes on");
    lab.file("go", "");
    let said = guest.finish().success().stdout();
    assert_eq!(said, "is served\nbound");
    successor.finish().success();
}
