//! Servers that make a process for each connection, and programs in other languages that do so.

use std::fs;

use crate::lab::payload::{self, KIB, MIB};
use crate::lab::{Lab, Running, TEST, root};

/// Fetches a file from a port that sends it to whoever connects, several times at once.
fn all_receive(lab: &Lab, port: u16, sha256: &str) {
    let fetch = |name: &str| {
        lab.peer(&format!("socat -u TCP4:{TEST}:{port} CREATE:{name}"))
            .within(30)
            .start()
    };
    let names = ["one", "two", "three", "four"];
    let running: Vec<Running<'_>> = names.iter().map(|name| fetch(name)).collect();
    running
        .into_iter()
        .for_each(|one| drop(one.finish().success()));
    for name in names {
        assert_eq!(payload::sha256(&lab.path(name)), sha256, "{name}");
        fs::remove_file(lab.path(name)).expect("it was fetched");
    }
}

#[test]
fn socat_forks_and_executes() {
    let lab = Lab::new();
    let file = payload::of(4 * MIB);
    let path = file.path.display();
    // The first one's children serve by themselves, the second one's execute another program.
    for (port, address) in [
        (7000, format!("OPEN:{path},rdonly")),
        (7001, format!("SYSTEM:\"cat {path}\"")),
    ] {
        let listen = format!("socat -U TCP4-LISTEN:{port},reuseaddr,fork '{address}'");
        let mut server = lab.sidestack(&listen).serving_tcp(port);
        all_receive(&lab, port, &file.sha256);
        server.still_runs();
    }
    lab.kernel_was_silent();
}

#[test]
fn ncat_executes_for_each_connection() {
    let lab = Lab::new();
    let file = payload::of(4 * MIB);
    let script = lab.file(
        "send.sh",
        &format!("#!/bin/sh\nexec cat {}\n", file.path.display()),
    );
    lab.plain(&format!("chmod 755 {script}")).succeeds();
    let mut server = lab
        .sidestack(&format!("ncat -4 -l -k 7000 -e {script}"))
        .serving_tcp(7000);
    all_receive(&lab, 7000, &file.sha256);
    server.still_runs();
    lab.kernel_was_silent();
}

/// Its own datagram services are bound for both families, and take no mapped addresses.
#[test]
fn inetd_starts_services() {
    let lab = Lab::new();
    let (file, datagram) = (payload::of(4 * MIB), payload::of(KIB));
    let cat = format!("/bin/cat cat {}", file.path.display());
    let configuration = lab.file(
        "inetd.conf",
        &format!("7000 stream tcp nowait root {cat}\necho dgram udp wait root internal\n"),
    );
    let mut server = lab
        .sidestack(&format!("inetd -i {configuration}"))
        .serving_tcp(7000);
    all_receive(&lab, 7000, &file.sha256);
    let echoed = lab
        .peer(&format!("socat -T 1 - UDP4:{TEST}:7"))
        .input(&datagram.path);
    assert_eq!(echoed.sha256(), datagram.sha256);
    server.still_runs();
    lab.kernel_was_silent();
}

/// A repository with one large file, and its address under `host`.
fn repository(lab: &Lab) -> String {
    let file = payload::of(20 * MIB);
    let make = lab.file(
        "make.sh",
        &format!(
            "set -e; export HOME=$PWD; git init -q repository; cd repository
             cp {} file; git add file
             git -c user.name=lab -c user.email=lab@lab commit -q -m one",
            file.path.display()
        ),
    );
    lab.plain(&format!("sh {make}")).within(60).succeeds();
    lab.path("")
        .display()
        .to_string()
        .trim_end_matches('/')
        .to_owned()
}

#[test]
fn git_daemon_serves_clones() {
    let lab = Lab::new();
    let base = repository(&lab);
    let daemon = format!("git daemon --reuseaddr --export-all --base-path={base} {base}");
    let mut server = lab
        .sidestack(&daemon)
        .env("HOME", &base)
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .serving_tcp(9418);
    for name in ["first", "second"] {
        lab.peer(&format!("git clone -q git://{TEST}/repository {name}"))
            .env("HOME", &base)
            .within(60)
            .succeeds();
        let cloned = lab.path(&format!("{name}/file"));
        assert_eq!(payload::sha256(&cloned), payload::of(20 * MIB).sha256);
    }
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn rsync_daemon_sends_and_takes() {
    let lab = Lab::new();
    let file = payload::of(20 * MIB);
    let own = lab.path("module");
    fs::create_dir_all(&own).expect("the lab's directory is writable");
    let configuration = lab.file(
        "rsyncd.conf",
        &format!(
            "use chroot = no\nuid = root\ngid = root\nreverse lookup = no\n[module]\npath = {}\nread only = no\n",
            own.display()
        ),
    );
    let daemon = format!("rsync --daemon --no-detach --config={configuration} --address=0.0.0.0");
    let mut server = lab.sidestack(&daemon).serving_tcp(873);
    let rsync = |from: &str, to: &str| {
        lab.peer(&format!("rsync -q {from} {to}"))
            .within(30)
            .succeeds()
    };
    rsync(
        &file.path.display().to_string(),
        &format!("rsync://{TEST}/module/there"),
    );
    rsync(&format!("rsync://{TEST}/module/there"), "back");
    assert_eq!(payload::sha256(&lab.path("module/there")), file.sha256);
    assert_eq!(payload::sha256(&lab.path("back")), file.sha256);
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn mosquitto_passes_messages_on() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let configuration = lab.file(
        "mosquitto.conf",
        "listener 1883 0.0.0.0\nallow_anonymous true\nuser root\n",
    );
    let server = lab.sidestack(&format!("mosquitto -c {configuration}"));
    let mut server = server.serving_tcp(1883);
    let publish = format!(
        "mosquitto_pub -h {TEST} -r -q 1 -t lab -f {}",
        file.path.display()
    );
    lab.peer(&publish).succeeds();
    for _ in 0..3 {
        let subscribe = format!("mosquitto_sub -h {TEST} -t lab -C 1 -N");
        assert_eq!(lab.peer(&subscribe).sha256(), file.sha256);
    }
    server.still_runs();
    lab.kernel_was_silent();
}

/// A script of ours that listens at port 7000, echoes each connection to its end, and does so in
/// other processes than the one that listens.
fn echoes(command: &str, script: &str) {
    let lab = Lab::new();
    let file = payload::of(256 * KIB);
    let script = root().join("tests/e2e").join(script);
    let mut server = lab
        .sidestack(&format!("{command} {}", script.display()))
        .serving_tcp(7000);
    for _ in 0..8 {
        let echoed = lab
            .peer(&format!("socat -t 10 - TCP4:{TEST}:7000"))
            .input(&file.path);
        assert_eq!(echoed.sha256(), file.sha256);
    }
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn perl_forks_for_each_connection() {
    echoes("perl", "forking.pl");
}

#[test]
fn python_hands_connections_to_other_processes() {
    echoes("python3", "handing.py");
}

#[test]
fn python_forks_for_each_of_50_connections() {
    let lab = Lab::new();
    let server = root()
        .join("tests/e2e/forking_server.py")
        .display()
        .to_string();
    let echo = root().join("tests/e2e/echo.py").display().to_string();
    let mut server = lab
        .sidestack(&format!("python3 {server}"))
        .serving_tcp(7000);
    let client = lab
        .peer(&format!("python3 {echo} talk {TEST} 7000 50 100000"))
        .within(60);
    assert_eq!(
        client.succeeds().stdout(),
        "50 connections echoed 100000 bytes each"
    );
    server.still_runs();
    lab.kernel_was_silent();
}
