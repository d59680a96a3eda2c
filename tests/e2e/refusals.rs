//! When the library cannot serve: one line that says why, and the program runs on the kernel; or, if the stack was
//! required, its socket calls fail.

use crate::lab::payload::{self, KIB, MIB};
use crate::lab::{Finished, Lab, PEER, Program, TEST, command, preloading, root};
use crate::ports::RAW_ALONE;
use crate::web::nginx;

/// Its limit of descriptors is not to be raised.
const CONFINED: &str = "prlimit --nofile=64:64 setpriv --bounding-set -sys_resource";

/// Fails unless the program succeeded on the kernel's stack with one line of ours on standard error, naming `what`.
fn ran_on_the_kernel(lab: &Lab, finished: Finished, what: &str) {
    let finished = finished.success();
    if preloading() {
        let lines: Vec<&str> = finished
            .stderr
            .lines()
            .filter(|l| l.contains("sidestack"))
            .collect();
        assert!(
            lines.len() == 1 && lines[0].contains(what),
            "one line with {what:?} is expected\n{finished}"
        );
        assert!(lab.kernel_sent() > 0, "the kernel has sent nothing");
    }
}

/// A program that fetches a small file, in a lab whose kernel may speak.
fn fetched(prepare: impl Fn(Program<'_>) -> Program<'_>, what: &str) {
    let lab = Lab::with_plain_programs();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = format!("curl -sS -o got http://{PEER}/{}", file.name);
    ran_on_the_kernel(&lab, prepare(lab.sidestack(&fetch)).run(), what);
    assert_eq!(payload::sha256(&lab.path("got")), file.sha256);

    let required = prepare(lab.sidestack(&fetch).env("SIDESTACK_REQUIRED", "1")).run();
    if preloading() {
        // curl cannot make a socket: ENETDOWN.
        let required = required.exits_with(7);
        assert!(required.stderr.contains(what), "{required}");
    }
}

#[test]
fn an_unknown_value_is_named() {
    let values = [
        ("SIDESTACK_LOOPBACK", "sideways"),
        ("SIDESTACK_CONGESTION", "fast"),
        ("SIDESTACK_ADDRESS", "10.0.0.300/24"),
        ("SIDESTACK_GATEWAY", "nowhere"),
        ("SIDESTACK_IMPAIR", "loss=many"),
        ("SIDESTACK_LOG", "loud"),
    ];
    for (name, value) in values {
        fetched(|program| program.env(name, value), name);
    }
}

#[test]
fn an_unknown_value_of_required_is_named() {
    let lab = Lab::with_plain_programs();
    payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let finished = lab
        .sidestack(&format!("curl -sS -o got http://{PEER}/1024.bin"))
        .env("SIDESTACK_REQUIRED", "perhaps");
    let finished = finished.run();
    assert!(
        !preloading() || finished.stderr.contains("SIDESTACK_REQUIRED"),
        "{finished}"
    );
}

#[test]
fn a_missing_interface_is_named() {
    fetched(
        |program| program.env("SIDESTACK_INTERFACE", "nonesuch0"),
        "nonesuch0",
    );
}

#[test]
fn a_missing_configuration_file_is_named() {
    fetched(
        |program| program.env("SIDESTACK_CONFIG", "/nonesuch.toml"),
        "/nonesuch.toml",
    );
}

#[test]
fn without_the_right_to_packet_sockets_the_kernel_serves() {
    fetched(
        |program| program.under("setpriv --bounding-set -net_raw --inh-caps -net_raw"),
        "CAP_NET_RAW",
    );
}

#[test]
fn without_any_right_the_kernel_serves() {
    let lab = Lab::with_plain_programs();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = lab.sidestack(&format!("curl -sS http://{PEER}/{}", file.name));
    let fetch =
        fetch.under("setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all");
    assert_eq!(fetch.sha256(), file.sha256);
}

#[test]
fn without_any_right_loopback_is_served() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    // Where everybody may read it.
    let library = lab.path("libsidestack.so");
    std::fs::copy(crate::lab::library(), &library).expect("room for the library");
    let talk = "import socket; l = socket.create_server((\"127.0.0.1\", 0)); \
        c = socket.create_connection(l.getsockname()); s = l.accept()[0]; c.send(b\"heard\"); print(s.recv(9))";
    let talked = lab
        .plain(&format!("/usr/bin/python3 -c '{talk}'"))
        .under("setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all")
        .env("LD_PRELOAD", &library.display().to_string())
        .env("SIDESTACK_LOOPBACK", "stack")
        .succeeds();
    assert_eq!(talked.stdout(), "b'heard'");
    assert!(talked.stderr.contains("serves loopback alone"), "{talked}");
}

#[test]
fn an_interface_that_is_down_is_named() {
    let lab = Lab::with_plain_programs();
    lab.plain("ip link set lab0 down").succeeds();
    let finished = lab
        .sidestack(&format!("curl -sS --connect-timeout 1 http://{PEER}/"))
        .env("SIDESTACK_INTERFACE", "lab0");
    let finished = finished.run();
    assert!(!finished.status.success());
    assert!(
        !preloading() || finished.stderr.contains("lab0"),
        "{finished}"
    );
}

#[test]
fn a_setuid_program_runs_on_the_kernel() {
    let lab = Lab::with_plain_programs();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let curl = lab.path("curl").display().to_string();
    lab.plain(&format!("cp /usr/bin/curl {curl}")).succeeds();
    lab.plain(&format!("chmod 4755 {curl}")).succeeds();
    let fetch = lab.sidestack(&format!("{curl} -sS http://{PEER}/{}", file.name));
    assert_eq!(
        fetch
            .under("setpriv --reuid 65534 --regid 65534 --clear-groups")
            .sha256(),
        file.sha256
    );
}

#[test]
fn required_is_no_obstacle_when_all_is_well() {
    let lab = Lab::new();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = lab
        .sidestack(&format!("curl -sS http://{PEER}/{}", file.name))
        .env("SIDESTACK_REQUIRED", "1");
    assert_eq!(fetch.sha256(), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn the_run_command_preloads() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let run = format!(
        "{} run --interface lab0 -- curl -sS http://{PEER}/{}",
        command().display(),
        file.name
    );
    assert_eq!(lab.plain(&run).sha256(), file.sha256);
    lab.kernel_was_silent();
}

/// What a program that uses something up says of it, on the kernel and with the library.
fn running_out(limit: &str, arguments: &str, ports: &str) -> [String; 2] {
    let script = root().join("tests/e2e/exhaust.py").display().to_string();
    let said = |ours: bool| {
        let lab = if ours {
            Lab::new()
        } else {
            Lab::with_plain_programs()
        };
        lab.plain(&format!(
            "sysctl -qw 'net.ipv4.ip_local_port_range={ports}'"
        ))
        .succeeds();
        let server = "socat TCP4-LISTEN:7000,fork,backlog=200 OPEN:/dev/null";
        let _server = lab.peer(server).serving_tcp(7000);
        let command = format!("/usr/bin/python3 {script} {arguments} {PEER} 7000");
        let program = if ours {
            lab.sidestack(&command)
        } else {
            lab.plain(&command)
        };
        program.under(limit).succeeds().stdout()
    };
    [said(false), said(true)]
}

#[test]
fn descriptors_run_out_as_on_the_kernel() {
    let [kernel, ours] = running_out("prlimit --nofile=64:4096", "descriptors", "32768 60999");
    assert_eq!(kernel, ours);
    // Where no limit can be raised, ours count too: the program gets fewer, and the kernel's errno.
    let [kernel, ours] = running_out("prlimit --nofile=64:64", "descriptors", "32768 60999");
    assert_eq!(
        kernel.matches("EMFILE").count(),
        ours.matches("EMFILE").count(),
        "{ours}"
    );
}

/// Where no limit can be raised, and there are not many, some are left for the program's sockets, or nothing is driven.
#[test]
fn so_few_descriptors_that_a_stack_leaves_none_are_the_programs() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,fork PIPE")
        .serving_tcp(7000);
    let asks = format!(
        "import socket; s = socket.create_connection((\"{PEER}\", 7000)); s.sendall(b\"x\"); print(len(s.recv(9)))"
    );
    let driven = |limit: &u32| {
        let asks = lab.sidestack(&format!("/usr/bin/python3 -c '{asks}'"));
        let limited = format!("{RAW_ALONE} prlimit --nofile={limit}:{limit}");
        let said = asks.under(&limited).succeeds();
        assert_eq!(said.stdout(), "1", "{limit} descriptors: {said}");
        let refused = "too few descriptors are left for a stack";
        assert!(
            said.stderr.is_empty() || said.stderr.contains(refused),
            "{limit} descriptors: {said}"
        );
        said.stderr.is_empty()
    };
    let few: Vec<_> = (12..26).filter(driven).collect();
    assert!(!few.is_empty() && few[0] > 12, "driven with {few:?}");
}

/// What servers do that must not wait for ever on connections they cannot accept.
#[test]
fn one_descriptor_is_enough_to_accept() {
    const TIMES: usize = 3;
    let said = [false, true].map(|ours| {
        let lab = Lab::with_plain_programs();
        let script = root().join("tests/e2e/kept_back.py");
        let command = format!("/usr/bin/python3 {} 7000 {TIMES}", script.display());
        let program = match ours {
            true => lab.sidestack(&command),
            false => lab.plain(&command),
        };
        let mut program = program.under(CONFINED).start();
        program.prints("files: EMFILE");
        for _ in 0..TIMES {
            lab.peer(&format!("socat -u TCP:{TEST}:7000 -")).succeeds();
        }
        program.finish().success().stdout()
    });
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0].matches("accepted").count(), TIMES, "{}", said[0]);
}

#[test]
fn ports_run_out_as_on_the_kernel() {
    let [kernel, ours] = running_out("prlimit --nofile=1024", "ports", "40000 40049");
    assert_eq!(kernel, ours);
}

/// The kernel bounds descriptors in flight for those without rights. Connections that cannot be handed on wait.
#[test]
fn no_connection_is_lost_where_no_descriptor_may_be_in_flight() {
    const CLIENTS: usize = 3;
    let lab = Lab::new();
    let script = root().join("tests/e2e/in_flight.py");
    let command = format!("/usr/bin/python3 {} 7000 {CLIENTS}", script.display());
    let program = lab.sidestack(&command).under("prlimit --nofile=128:128");
    let mut program = program.under(RAW_ALONE).start();
    program.prints("in flight: ETOOMANYREFS");
    let client = |_| lab.peer(&format!("socat -u TCP:{TEST}:7000 -")).start();
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let said = program.finish().success().stdout();
    assert!(said.contains(&format!("accepted {CLIENTS}")), "{said}");
    for client in clients {
        assert_eq!(client.finish().success().stdout(), "well");
    }
}

#[test]
fn a_program_with_little_address_space_is_served_all_the_same() {
    let lab = Lab::with_plain_programs();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = lab.sidestack(&format!("curl -sS http://{PEER}/{}", file.name));
    assert_eq!(fetch.under("prlimit --as=134217728").sha256(), file.sha256);
}

#[test]
fn a_limit_on_the_size_of_files_ends_no_program() {
    let lab = Lab::with_plain_programs();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    for (limit, served) in [("20000000", true), ("1000000", false)] {
        let fetch = lab.sidestack(&format!("curl -sS http://{PEER}/{}", file.name));
        let fetch = fetch.under(&format!("prlimit --fsize={limit}")).succeeds();
        let says = fetch.stderr.contains("cannot make the memory file");
        assert_eq!(says, preloading() && !served, "{fetch}");
    }
}

/// It is no defect that a filter (seccomp) forbids it.
#[test]
fn a_program_that_may_not_ask_for_its_limits_is_served_all_the_same() {
    let lab = Lab::new();
    let file = payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let confined = root().join("tests/e2e/confined.py");
    let wrapper = format!("/usr/bin/python3 {} prlimit", confined.display());
    let fetch = lab.sidestack(&format!("curl -sS -o got http://{PEER}/{}", file.name));
    assert_eq!(fetch.under(&wrapper).succeeds().stderr, "");
    assert_eq!(payload::sha256(&lab.path("got")), file.sha256);
    lab.kernel_was_silent();
}

/// That is how bytes pass from other processes, as here a server's for each connection.
#[test]
fn a_program_that_may_not_receive_several_messages_is_served_all_the_same() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let confined = root().join("tests/e2e/confined.py");
    let wrapper = format!("/usr/bin/python3 {} recvmmsg", confined.display());
    let forking = root().join("tests/e2e/forking_server.py");
    let server = lab.sidestack(&format!("/usr/bin/python3 {}", forking.display()));
    let mut server = server.under(&wrapper).serving_tcp(7000);
    let echoed = lab
        .peer(&format!("socat -t 5 - TCP4:{TEST}:7000"))
        .input(&file.path);
    assert_eq!(echoed.sha256(), file.sha256);
    server.still_runs();
    lab.kernel_was_silent();
}

/// The file is not there any more when the stack is started.
#[test]
fn what_a_file_says_is_known_in_another_root() {
    let lab = Lab::new();
    let configuration = lab.file("settings.toml", "interface = \"lab0\"\n");
    lab.plain("ip link add other0 up type veth peer name other1")
        .succeeds();
    lab.plain("ip route del default").succeeds();
    lab.plain("mkdir root").succeeds();
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,fork PIPE")
        .serving_tcp(7000);
    let asks = format!(
        "import os, socket; os.chroot(\"root\"); s = socket.socket(); s.connect((\"{PEER}\", 7000)); \
         s.sendall(b\"x\"); print(len(s.recv(9)))"
    );
    let asks = lab.sidestack(&format!("/usr/bin/python3 -c '{asks}'"));
    let said = asks.env("SIDESTACK_CONFIG", &configuration).succeeds();
    assert_eq!(said.stdout(), "1");
    lab.kernel_was_silent();
}
