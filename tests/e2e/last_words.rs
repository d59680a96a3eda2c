//! What a socket has to tell whose process was killed.

use std::thread::sleep;
use std::time::Duration;

use crate::lab::{Lab, PEER, Running, TEST};
use crate::orphans::{is_kept, kill_engines, said, script};

/// A program whose child is to look at its socket, once that is at hand, and somebody could go on for it.
fn looking<'lab>(lab: &'lab Lab, arguments: &str) -> Running<'lab> {
    let go = lab.path("go").display().to_string();
    let program = lab.sidestack(&script(&format!("last_words.py {arguments} {go}")));
    program.start()
}

/// What came of it is known everywhere.
fn settle() {
    sleep(Duration::from_millis(300));
}

/// Lets the child look, which is to say this.
fn looks(lab: &Lab, program: &Running<'_>, last: &str) {
    lab.file("go", "go");
    said(program, last);
}

/// A peer does something once the process is dead that has the stack, or just before: the child is to say this of it.
fn whenever_killed(program: &str, does: &str, told: &str) {
    for killed_first in [true, false] {
        let lab = Lab::new();
        let mut server = looking(&lab, &format!("{program} 7000"));
        server.prints("listening");
        let act = lab.path("act").display().to_string();
        let peer = script(&format!("last_words.py {does} {TEST} 7000 {act}"));
        let mut peer = lab.peer(&peer).start();
        server.prints("forked");
        is_kept(&lab, server.pid());
        if killed_first {
            kill_engines(&lab, &mut server);
        }
        lab.file("act", "act");
        peer.prints("done");
        settle();
        if !killed_first {
            kill_engines(&lab, &mut server);
        }
        looks(&lab, &server, told);
        lab.kernel_was_silent();
    }
}

#[test]
fn who_polls_is_told_of_a_reset() {
    let told = "polls IN OUT ERR HUP RDHUP\nhas 104 0 at 7000\nthen polls IN OUT HUP RDHUP";
    whenever_killed("accepts", "resets", told);
}

#[test]
fn an_urgent_byte_is_where_it_was() {
    let told = "polls IN PRI OUT\nreads b'ab'\nis at the mark: 1\nreads b'!' b'cd'";
    whenever_killed("marked", "urges", told);
}

#[test]
fn an_urgent_byte_that_was_told_of_is_received() {
    let lab = Lab::new();
    let mut server = looking(&lab, "lone 7000");
    server.prints("listening");
    let pricks = script(&format!("last_words.py pricks {TEST} 7000"));
    let _client = lab.peer(&pricks).start();
    said(&server, "forked");
    said(&server, "polls PRI OUT");
    settle();
    kill_engines(&lab, &mut server);
    let told = "still polls PRI OUT\nreceives b'!'\nthen polls OUT";
    looks(&lab, &server, told);
    lab.kernel_was_silent();
}

#[test]
fn datagrams_that_nobody_has_read_are_there() {
    whenever_killed("counts", "floods", "has all 300");
}

#[test]
fn what_icmp_has_reported_is_told() {
    let lab = Lab::new();
    let mut client = looking(&lab, &format!("asks {PEER} 7000"));
    client.prints("forked");
    settle();
    kill_engines(&lab, &mut client);
    let told = "polls OUT ERR\nhas 111 0 at 7001\nthen polls OUT";
    looks(&lab, &client, told);
    lab.kernel_was_silent();
}

#[test]
fn what_is_in_the_error_queue_is_read() {
    let lab = Lab::new();
    let mut client = looking(&lab, &format!("queues {PEER} 7000"));
    let report = |of: &str| format!("reads 111 from 2 3 3 {PEER} for 7000 about b'{of}'");
    said(&client, &report("one"));
    settle();
    kill_engines(&lab, &mut client);
    let (two, three) = (report("two"), report("three"));
    let told = format!("polls OUT ERR\n{two}\n{three}\nreads nothing\nthen polls OUT");
    looks(&lab, &client, &told);
    lab.kernel_was_silent();
}

#[test]
fn sends_without_a_copy_are_counted_on() {
    let lab = Lab::new();
    let mut server = lab.peer(&script("orphans.py answers 7000")).start();
    server.prints("listening");
    let mut client = looking(&lab, &format!("copies {PEER} 7000"));
    client.prints("complete are [0, 1]");
    client.prints("forked");
    kill_engines(&lab, &mut client);
    let told = "polls IN OUT ERR\ncomplete are [2, 3, 4]\nthen [5]";
    looks(&lab, &client, told);
    lab.kernel_was_silent();
}

#[test]
fn a_connection_that_was_shut_on_both_sides_is_there() {
    let lab = Lab::new();
    let shut = lab.path("shut").display().to_string();
    let mut server = looking(&lab, &format!("shuts 7000 {shut}"));
    server.prints("listening");
    let leaves = format!("last_words.py leaves {TEST} 7000");
    let mut client = lab.peer(&script(&leaves)).start();
    client.prints("left");
    server.prints("ended");
    // Nothing is acknowledged any more: it stays in LAST-ACK.
    lab.peer("nft add table ip deaf").succeeds();
    let deaf = "nft add chain ip deaf input { type filter hook input priority 0 ; policy drop ; }";
    lab.peer(deaf).succeeds();
    lab.file("shut", "shut");
    server.prints("shut");
    kill_engines(&lab, &mut server);
    looks(&lab, &server, "is in state 9");
    lab.kernel_was_silent();
}
