//! A server that is killed gives its port back at once, whatever becomes of its connections.

use std::collections::BTreeMap;

use crate::keeper::is_kept;
use crate::lab::{Lab, Program, TEST, root};

/// CAP_NET_RAW and no other right.
pub(crate) const RAW_ALONE: &str = "setpriv --bounding-set=-all,+net_raw --inh-caps=-all,+net_raw";
const MANY_DESCRIPTORS: &str = "prlimit --nofile=4096:";

fn ports(arguments: &str) -> String {
    let script = root().join("tests/e2e/ports.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

/// What was said of each of the clients' ports.
fn told(printed: &str) -> BTreeMap<u16, String> {
    let line = |line: &str| {
        let (port, rest) = line.split_once(' ')?;
        Some((port.parse().ok()?, rest.to_owned()))
    };
    printed.lines().filter_map(line).collect()
}

/// Kills a server with clients that neither read nor close, has the next one answer beside what is
/// left, and then the clients read.
fn starts_beside(lab: &Lab, many: usize, server: Program<'_>, next: Program<'_>) {
    let go = lab.path("go").display().to_string();
    let mut server = server.within(60).serving_tcp(7000);
    let keep = ports(&format!("keep {TEST} 7000 {many} {go}"));
    let client = lab.peer(&keep).within(60).start();
    server.prints("sent");
    is_kept(lab, &mut server);
    let sent = told(&server.stop().stdout());
    assert_eq!(sent.len(), many);

    let mut next = next.start();
    next.prints("listening");
    answers(lab);
    lab.file("go", "go");
    let got = told(&client.finish().success().stdout());
    let all = sent.into_iter();
    let all = all.map(|(port, count)| (port, format!("{count} end")));
    assert_eq!(got, all.collect());
    answers(lab);
    // (What becomes of the next one's connections is another question.)
    lab.kernel_was_silent();
}

fn answers(lab: &Lab) {
    for _ in 0..5 {
        let said = lab.peer(&ports(&format!("ask {TEST} 7000"))).succeeds();
        assert_eq!(said.stdout(), "WELL");
    }
}

fn send(many: usize) -> String {
    ports(&format!("send 7000 {many}"))
}

#[test]
fn a_plain_server_starts_beside_a_killed_ones_connections() {
    let lab = Lab::with_plain_programs();
    let (server, next) = (lab.sidestack(&send(3)), lab.plain(&ports("answer 7000")));
    starts_beside(&lab, 3, server, next);
}

#[test]
fn so_it_does_beside_a_thousand() {
    let lab = Lab::with_plain_programs();
    let server = lab.sidestack(&send(1000)).under(MANY_DESCRIPTORS);
    let next = lab.plain(&ports("answer 7000"));
    starts_beside(&lab, 1000, server, next);
}

#[test]
fn so_it_does_where_nobody_has_more_rights_than_needed() {
    let lab = Lab::with_plain_programs();
    let server = lab.sidestack(&send(3)).under(RAW_ALONE);
    let next = lab.plain(&ports("answer 7000"));
    starts_beside(&lab, 3, server, next);
}

#[test]
fn the_next_server_may_be_on_the_stack() {
    for wrapper in ["env", RAW_ALONE] {
        let lab = Lab::new();
        let server = lab.sidestack(&send(3)).under(wrapper);
        let next = lab.sidestack(&ports("answer 7000")).under(wrapper);
        starts_beside(&lab, 3, server, next);
    }
}

/// The kernel, which knows nothing of a connection in TIME-WAIT, is not to choose its port again.
#[test]
fn a_port_that_is_chosen_is_nobodys() {
    let said = [false, true].map(|ours| {
        let lab = Lab::with_plain_programs();
        lab.plain("sysctl -qw 'net.ipv4.ip_local_port_range=40001 40004'")
            .succeeds();
        let choose = ports("choose");
        let program = if ours {
            lab.sidestack(&choose)
        } else {
            lab.plain(&choose)
        };
        let mut program = program.within(30).serving_tcp(40001);
        let asked = lab.peer(&ports(&format!("ask {TEST} 40001"))).succeeds();
        assert_eq!(asked.stdout(), "WELL");
        program.prints("listen, then");
        program.stop().stdout()
    });
    assert_eq!(said[0], said[1]);
}
