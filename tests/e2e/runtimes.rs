//! Programs on the run-time systems of node and Java, as servers and as clients, 50 connections at a time.

use crate::lab::{Lab, PEER, TEST, root};

/// Has `client` talk to `server` at the port, the server on our stack and then the client.
fn talks(lab: &Lab, server: &str, port: u16, client: &str, rightly: &str) {
    let served = |address: &str| format!("{client} {address} {port} 50");
    let mut ours = lab.sidestack(server).serving_tcp(port);
    let told = lab.peer(&served(TEST)).within(60).succeeds().stdout();
    assert_eq!(told, rightly, "{server}");
    ours.still_runs();
    let _theirs = lab.peer(server).serving_tcp(port);
    let told = lab.sidestack(&served(PEER)).within(60).succeeds();
    assert_eq!(told.stdout(), rightly, "{client}");
    assert_eq!(told.stderr, "", "{client}");
    lab.kernel_was_silent();
}

#[test]
fn node_serves_and_asks() {
    let lab = Lab::new();
    let script = format!("node {}", root().join("tests/e2e/node.js").display());
    for (server, port, client) in [("http", 8000, "ask"), ("echo", 7000, "talk")] {
        let server = format!("{script} {server} {port}");
        talks(
            &lab,
            &server,
            port,
            &format!("{script} {client}"),
            "150 right",
        );
    }
}

#[test]
fn java_serves_and_asks() {
    let lab = Lab::new();
    let source = root().join("tests/e2e/Echo.java").display().to_string();
    lab.plain(&format!("ecj -proc:none -17 -d classes {source}"))
        .within(60)
        .succeeds();
    // These programs are too short for more of the compiler.
    let java = "java -XX:TieredStopAtLevel=1 -cp classes Echo";
    for (server, port, client) in [("selector", 7000, "talk"), ("threads", 7001, "channels")] {
        let server = format!("{java} {server} {port}");
        talks(&lab, &server, port, &format!("{java} {client}"), "50 right");
    }
}
