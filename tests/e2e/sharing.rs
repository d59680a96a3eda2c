//! Programs side by side on one interface and one address: preloaded with preloaded, preloaded with plain.

use std::time::{Duration, Instant};

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, TEST, preloading, root};
use crate::ports::RAW_ALONE;
use crate::served;
use crate::web::nginx;

#[test]
fn two_preloaded_programs_download_side_by_side() {
    let lab = Lab::new();
    let (one, two) = (payload::of(200 * MIB), payload::of(100 * MIB));
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = |name: &str, to: &str| {
        lab.sidestack(&format!("curl -sS -o {to} http://{PEER}/{name}"))
            .within(60)
    };
    let (first, second) = (
        fetch(&one.name, "one").start(),
        fetch(&two.name, "two").start(),
    );
    first.finish().success();
    second.finish().success();
    assert_eq!(payload::sha256(&lab.path("one")), one.sha256);
    assert_eq!(payload::sha256(&lab.path("two")), two.sha256);
    lab.kernel_was_silent();
}

#[test]
fn a_preloaded_and_a_plain_program_download_side_by_side() {
    let lab = Lab::with_plain_programs();
    let (one, two) = (payload::of(200 * MIB), payload::of(100 * MIB));
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let first = lab
        .sidestack(&format!("curl -sS -o one http://{PEER}/{}", one.name))
        .within(60)
        .start();
    let second = lab
        .plain(&format!("curl -sS -o two http://{PEER}/{}", two.name))
        .within(60)
        .start();
    first.finish().success();
    second.finish().success();
    assert_eq!(payload::sha256(&lab.path("one")), one.sha256);
    assert_eq!(payload::sha256(&lab.path("two")), two.sha256);
}

#[test]
fn servers_of_both_kinds_share_the_address() {
    let lab = Lab::with_plain_programs();
    let file = payload::of(MIB);
    let _web = lab.sidestack(&nginx(&lab)).serving_tcp(80);
    let files = format!(
        "/usr/bin/python3 -m http.server -d {} 8000",
        payload::directory().display()
    );
    let _plain = lab.plain(&files).serving_tcp(8000);
    let _ours = lab
        .sidestack(&files.replace("8000", "8001"))
        .serving_tcp(8001);
    for port in [80, 8000, 8001] {
        let fetch = format!("curl -sS http://{TEST}:{port}/{}", file.name);
        assert_eq!(lab.peer(&fetch).sha256(), file.sha256, "port {port}");
    }
}

#[test]
fn a_port_belongs_to_one_program() {
    let lab = Lab::with_plain_programs();
    let bind = root().join("tests/e2e/hold_port.py").display().to_string();
    for kind in ["tcp", "udp"] {
        for (holder_is_ours, asker_is_ours) in [(true, false), (false, true), (true, true)] {
            let run = |ours: bool, how: &str| {
                let command = format!("/usr/bin/python3 {bind} {kind} 5000 {how}");
                if ours {
                    lab.sidestack(&command)
                } else {
                    lab.plain(&command)
                }
            };
            let mut holder = run(holder_is_ours, "hold").start();
            holder.prints("bound");
            let asked = run(asker_is_ours, "try").succeeds().stdout();
            assert_eq!(
                asked, "EADDRINUSE",
                "{kind}, held by us: {holder_is_ours}, asked by us: {asker_is_ours}"
            );
            // However the holder ends, the kernel takes the port back: where another process has seen to that, a
            // moment later, which a program on the kernel does not wait for.
            holder.kill("KILL");
            drop(holder.finish());
            let deadline = Instant::now() + Duration::from_secs(20);
            while run(asker_is_ours, "try").succeeds().stdout() != "bound" {
                assert!(!asker_is_ours, "{kind}, held by us: {holder_is_ours}");
                assert!(Instant::now() < deadline, "{kind} is not given back");
            }
        }
    }
}

#[test]
fn one_listener_serves_the_network_and_this_machine() {
    let lab = Lab::new();
    let file = payload::of(100 * MIB);
    let _web = lab.sidestack(&nginx(&lab)).serving_tcp(80);
    let network = lab
        .peer(&format!("curl -sS -o network http://{TEST}/{}", file.name))
        .within(60)
        .start();
    let local = lab
        .plain(&format!("curl -sS -o local http://127.0.0.1/{}", file.name))
        .within(60)
        .start();
    let own = lab
        .plain(&format!("curl -sS -o own http://{TEST}/{}", file.name))
        .within(60)
        .start();
    let ours = lab
        .sidestack(&format!("curl -sS -o ours http://127.0.0.1/{}", file.name))
        .within(60)
        .start();
    for program in [network, local, own, ours] {
        program.finish().success();
    }
    for got in ["network", "local", "own", "ours"] {
        assert_eq!(payload::sha256(&lab.path(got)), file.sha256, "{got}");
    }
    lab.kernel_was_silent();
}

#[test]
fn so_it_does_with_no_more_rights_than_needed() {
    let lab = Lab::new();
    let server = "python3 -c 'import socket; l = socket.create_server((\"\", 7000))\nwhile True: l.accept()[0].send(b\"served\")'";
    let _server = lab.sidestack(server).under(RAW_ALONE).serving_tcp(7000);
    let ask = format!("{DIAL}; print(c.recv(6).decode())");
    let ask = |host: &str| format!("python3 -c '{}'", ask.replace("HOST", host));
    for said in [
        lab.peer(&ask(TEST)).succeeds(),
        lab.plain(&ask(TEST)).succeeds(),
        lab.plain(&ask("127.0.0.1")).succeeds(),
        lab.sidestack(&ask(TEST)).succeeds(),
    ] {
        assert_eq!(said.stdout(), "served");
    }
    lab.kernel_was_silent();
}

/// To the kernel, what this machine says to the interface's address arrives there.
#[test]
fn so_it_does_bound_to_the_interface() {
    for wrapper in ["env", RAW_ALONE] {
        let lab = Lab::new();
        let server = "python3 -c 'import socket; l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b\"lab0\"); l.bind((\"\", 7000)); l.listen()\nwhile True: l.accept()[0].send(b\"served\")'";
        let _server = lab.sidestack(server).under(wrapper).serving_tcp(7000);
        let ask = format!("{DIAL}; print(c.recv(6).decode())").replace("HOST", TEST);
        let ask = format!("python3 -c '{ask}'");
        for program in [lab.peer(&ask), lab.plain(&ask)] {
            assert_eq!(program.succeeds().stdout(), "served");
        }
        lab.kernel_was_silent();
    }
}

/// Connects to HOST.
const DIAL: &str = "import socket; c = socket.create_connection((\"HOST\", 7000), 20)";

#[test]
fn a_closed_listener_turns_this_machine_away_though_its_connections_live() {
    let lab = Lab::new();
    let script = |text: &str| format!("python3 -c '{}'", text.replace("{dial}", DIAL));
    let server = script(
        "import socket, time; l = socket.create_server((\"\", 7000)); c = l.accept()[0]; l.close(); \
         c.send(b\"closed\"); time.sleep(60)",
    );
    let _server = lab.sidestack(&server).serving_tcp(7000);
    let holder = script("{dial}; print(c.recv(6).decode(), flush=True); c.recv(1)");
    let mut holder = lab.peer(&holder.replace("HOST", TEST)).start();
    holder.prints("closed");
    let asker = script("{dial}; c.recv(1)").replace("HOST", "127.0.0.1");
    let said = lab.plain(&asker).run().stderr;
    // The kernel would refuse; a lease has accepted by then.
    assert!(
        said.contains("ConnectionResetError") || said.contains("ConnectionRefusedError"),
        "{said}"
    );
}

/// As to the kernel, however many wait out their TIME-WAIT there.
#[test]
fn another_server_may_listen_where_a_listener_has_left_connections_in_time_wait() {
    let script = |text: &str| format!("python3 -c 'import socket, time; {text}'");
    let server = script(
        "l = socket.create_server((\"\", 7000)); [l.accept()[0].close() for _ in range(300)]; l.close(); \
         print(\"closed\", flush=True); time.sleep(60)",
    );
    let client = script(&format!(
        "[socket.create_connection((\"{TEST}\", 7000), 20).recv(1) for _ in range(300)]"
    ));
    let other = script("socket.create_server((\"\", 7000)); print(\"listens\")");
    let lab = Lab::new();
    let mut running = lab.sidestack(&server).serving_tcp(7000);
    lab.peer(&client).within(60).succeeds();
    running.prints("closed");
    assert_eq!(lab.sidestack(&other).succeeds().stdout(), "listens");
    drop(running);
    let lab = Lab::new();
    let _keeper = served::keeper(&lab, "");
    let mut running = served::of(&lab, served::ADMITTED, &server).serving_tcp(7000);
    lab.peer(&client).within(60).succeeds();
    running.prints("closed");
    assert_eq!(lab.sidestack(&other).succeeds().stdout(), "listens");
}

#[test]
fn a_udp_socket_of_both_families_serves_the_network_and_this_machine() {
    let lab = Lab::new();
    let script = |text: &str| format!("python3 -c 'import socket; {text}'");
    let server = script(
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind((\"::\", 7000)); \
         [s.sendto(*s.recvfrom(99)) for _ in range(4)]",
    );
    let _server = lab.sidestack(&server).serving_udp(7000);
    let asker = script(
        "c = socket.socket(type=socket.SOCK_DGRAM); c.settimeout(20); \
         c.sendto(b\"whole\", (\"HOST\", 7000)); print(c.recv(99).decode())",
    );
    for _ in 0..2 {
        let network = lab.peer(&asker.replace("HOST", TEST)).succeeds();
        let local = lab.plain(&asker.replace("HOST", "127.0.0.1")).succeeds();
        assert_eq!(
            (network.stdout(), local.stdout()),
            ("whole".into(), "whole".into())
        );
    }
    lab.kernel_was_silent();
}

#[test]
fn an_address_of_its_own() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(100 * MIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let own = |command: &str| {
        lab.sidestack(command)
            .env("SIDESTACK_ADDRESS", "10.23.7.5/24")
            .env("SIDESTACK_GATEWAY", PEER)
            .within(60)
    };
    assert_eq!(
        own(&format!("curl -sS http://{PEER}/{}", file.name)).sha256(),
        file.sha256
    );
    let files = format!(
        "/usr/bin/python3 -m http.server -b :: -d {} 8000",
        payload::directory().display()
    );
    let mut server = own(&files).start();
    server.prints("Serving HTTP");
    let patient = "curl -sS --retry 20 --retry-delay 1 --retry-connrefused";
    let fetch = lab
        .peer(&format!("{patient} http://10.23.7.5:8000/{}", file.name))
        .within(60);
    assert_eq!(fetch.sha256(), file.sha256);
    // It listens on both families; IPv6 is the kernel's.
    let fetch = lab.plain(&format!("curl -sS http://[::1]:8000/{}", file.name));
    assert_eq!(fetch.within(60).sha256(), file.sha256);
    lab.peer("ping -c 3 -i 0.2 -W 2 10.23.7.5").succeeds();
    server.still_runs();
    lab.kernel_was_silent();
}
