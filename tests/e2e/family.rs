//! Sockets that reach other processes by fork, exec and SCM_RIGHTS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::keeper::{has_ring, keeper};
use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, TEST, preloading, root};

/// Without room for descriptors of its own: the stack has its numbers among the program's.
pub(crate) const CONFINED: &str = "prlimit --nofile=1024:1024 setpriv --bounding-set -sys_resource";

fn family(arguments: &str) -> String {
    let script = root().join("tests/e2e/family.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

fn orphans(arguments: &str) -> String {
    let script = root().join("tests/e2e/orphans.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

/// What `server` tells clients of their connections, which it echoes.
fn told(server: &str) -> String {
    let lab = Lab::new();
    let _server = lab.sidestack(server).serving_tcp(7000);
    let mut told = String::new();
    for _ in 0..3 {
        told = lab
            .peer(&family(&format!("ask {TEST} 7000")))
            .within(30)
            .succeeds()
            .stdout();
    }
    lab.kernel_was_silent();
    told
}

fn all_of_it(keepalive: u8) -> String {
    format!("AF_INET {TEST}:7000 {PEER} keepalive {keepalive} nodelay True state 1")
}

#[test]
fn an_executed_service_knows_its_connection() {
    let inetd = family(&format!("inetd 7000 {}", family("service")));
    assert_eq!(told(&inetd), all_of_it(1));
}

#[test]
fn socat_executes_a_service_on_the_connection() {
    let script = root().join("tests/e2e/family.py");
    let service = format!(
        "EXEC:\"/usr/bin/python3 {} service\",nofork",
        script.display()
    );
    let socat = format!("socat TCP4-LISTEN:7000,fork,reuseaddr '{service}'");
    assert_eq!(told(&socat), all_of_it(0));
}

#[test]
fn an_activated_service_knows_its_listener() {
    assert_eq!(told(&family("activates 7000")), all_of_it(1));
}

#[test]
fn multiprocessing_hands_connections_over() {
    for how in ["fork", "spawn"] {
        assert_eq!(
            told(&family(&format!("hands 7000 {how}"))),
            all_of_it(1),
            "{how}"
        );
    }
}

#[test]
fn a_service_that_is_not_preloaded_reads_and_writes() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let inetd = family("inetd 7000 env -u LD_PRELOAD cat");
    let _server = lab.sidestack(&inetd).serving_tcp(7000);
    let echoed = lab
        .peer(&format!(
            "sh -c 'echo through the pair | ncat -w 20 {TEST} 7000'"
        ))
        .within(30)
        .succeeds()
        .stdout();
    assert_eq!(echoed, "through the pair");
    lab.kernel_was_silent();
}

/// A program of this directory's, compiled with these flags besides.
fn compiled(name: &str, flags: &[&str]) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiled = Command::new("cc")
        .args(flags)
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(root().join(format!("tests/e2e/{name}.c")))
        .status();
    assert!(compiled.expect("cc runs").success());
    program
}

/// A program that nothing can be preloaded into, compiled.
fn unreached() -> PathBuf {
    compiled("unreached", &["-static"])
}

/// They go when the child first uses what it has, and come back at its end.
#[test]
fn a_child_that_uses_no_socket_leaves_its_parent_the_short_cuts() {
    let lab = Lab::new();
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,nodelay PIPE")
        .serving_tcp(7000);
    let program = compiled("short_cuts", &[]);
    let said = lab
        .sidestack(&format!("{} {PEER} 7000", program.display()))
        .within(30)
        .succeeds()
        .stdout();
    if preloading() {
        assert_eq!(
            said,
            "alone: with the library\n\
             with a child: with the library\n\
             that does other things: with the library\n\
             that uses the connection: in the pair\n\
             that is gone: with the library"
        );
    }
    lab.kernel_was_silent();
}

/// It gets the connection by exec, or by SCM_RIGHTS.
#[test]
fn a_static_program_echoes() {
    let program = unreached();
    let file = payload::of(4 * MIB);
    for how in ["inetd", "passes"] {
        let lab = Lab::new();
        let command = family(&format!("{how} 7000 {}", program.display()));
        let _server = lab.sidestack(&command).serving_tcp(7000);
        let talk = format!("socat -t 20 - TCP4:{TEST}:7000");
        for _ in 0..3 {
            let echoed = lab.peer(&talk).input(&file.path).within(30);
            assert_eq!(echoed.sha256(), file.sha256, "{how}");
        }
        lab.kernel_was_silent();
    }
}

#[test]
fn a_parent_that_waits_for_its_child_receives_by_a_ring() {
    let lab = Lab::new();
    let mut parent = lab.sidestack(&family("bounces 7000")).serving_udp(7000);
    let flood = lab.peer(&keeper(&format!("flood {TEST} 7000"))).start();
    has_ring(&mut parent);
    drop(flood);
    let thrown = lab.peer(&family(&format!("throw {TEST} 7000"))).within(60);
    assert_eq!(thrown.succeeds().stdout(), "back");
    lab.kernel_was_silent();
}

#[test]
fn a_port_is_free_once_the_last_process_has_closed_its_socket() {
    let lab = Lab::new();
    let heirs = u8::from(preloading());
    for how in ["STREAM", "DGRAM"] {
        let rebinds = lab.sidestack(&family(&format!("rebinds 7000 {how}")));
        let said = rebinds.within(30).succeeds().stdout();
        assert_eq!(said, format!("bound after {heirs}"), "{how}");
    }
}

#[test]
fn an_owner_that_is_stopped_leaves_others_their_questions() {
    let lab = Lab::new();
    let asks = lab.sidestack(&family("asks 7000")).within(30);
    assert_eq!(asks.succeeds().stdout(), "broadcast 1");
}

/// It would sleep a hundred times, each time ten milliseconds.
#[test]
fn a_child_does_not_wait_for_a_parent_that_is_stopped() {
    let lab = Lab::new();
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,nodelay PIPE")
        .serving_tcp(7000);
    let sends = lab.sidestack(&family(&format!("stopped {PEER} 7000")));
    let slept = sends.within(30).succeeds().stdout();
    let slept: u32 = slept.parse().expect("a number");
    assert!(slept < 10, "{slept} times");
    lab.kernel_was_silent();
}

/// A question that was asked before is waited for patiently, and answered once the owner goes on, after that.
#[test]
fn a_descriptor_is_closed_while_the_owner_of_what_is_unread_is_stopped() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,nodelay PIPE")
        .serving_tcp(7000);
    let closes = lab.sidestack(&family(&format!("closes {PEER} 7000")));
    assert_eq!(closes.within(30).succeeds().stdout(), "closed\nasked");
    lab.kernel_was_silent();
}

/// Whoever made them is told of all at once: who asks sleeps for each answer.
#[test]
fn an_executed_program_does_not_wait_for_each_socket_that_it_inherits() {
    let lab = Lab::new();
    let keeps = lab.sidestack(&family("keeps 800")).within(60);
    let slept = keeps.succeeds().stdout();
    let slept: u32 = slept.parse().expect("a number");
    assert!(slept < 200, "{slept} times");
}

#[test]
fn a_child_goes_on_when_its_parent_exits_that_ignores_it() {
    let lab = Lab::new();
    let go = lab.path("go").display().to_string();
    let exits = lab.sidestack(&orphans("exits 7000")).within(60);
    let server = exits.serving_tcp(7000);
    let talk = orphans(&format!("talk {TEST} 7000 {go}"));
    let mut client = lab.peer(&talk).within(60).start();
    client.prints("echoed");
    server.finish().success();
    sleep(Duration::from_millis(100));
    lab.file("go", "go");
    assert!(client.finish().success().stdout().ends_with("lived"));
}

#[test]
fn a_child_has_nothing_of_the_search_for_a_keeper() {
    let lab = Lab::new();
    let forks = format!("{CONFINED} {}", orphans("forks 7000 60"));
    let mut server = lab.sidestack(&forks).start();
    server.prints("children");
    let said = server.printed();
    let children = said.split_once("children ").expect("they are named").1;
    for child in children.split_whitespace() {
        let deadline = Instant::now() + Duration::from_secs(10);
        // The last one may not have come far yet.
        while sockets_of(child).len() != 1 && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
        let sockets = sockets_of(child);
        assert_eq!(sockets.len(), 1, "{sockets:?}");
    }
}

/// What spares the kernel its part is the parent's.
#[test]
fn a_child_leaves_what_its_parent_has_put_before_the_kernel() {
    let lab = Lab::new();
    let script = root().join("tests/e2e/cut_off.py");
    let sends = lab.file(
        "sends.py",
        &format!(
            "import socket, time\n\
             s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             s.connect(('{TEST}', 7000))\n\
             while True:\n\
             \x20   for _ in range(10): s.send(b'more')\n\
             \x20   time.sleep(0.001)\n"
        ),
    );
    for wrapper in ["env", CONFINED] {
        let program = lab.sidestack(&format!("/usr/bin/python3 {} 7000", script.display()));
        let mut program = program.under(wrapper).start();
        program.prints("receives");
        let sender = lab.peer(&format!("python3 {sends}")).start();
        let said = program.finish().success().stdout();
        drop(sender);
        // Not every kernel can be spared.
        assert!(
            said.contains("child 0 seen few") || said.contains("never cut off"),
            "{said}"
        );
    }
}

/// What a process that waits has of sockets.
fn sockets_of(process: &str) -> Vec<String> {
    let listed = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it waits");
    let links = listed.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let links = links.map(|link| link.display().to_string());
    links.filter(|link| link.starts_with("socket:")).collect()
}
