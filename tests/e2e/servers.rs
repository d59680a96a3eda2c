//! Servers on our stack, clients on the peer's kernel.

use crate::keeper::has_ring;
use crate::lab::payload::{self, GIB, KIB, MIB};
use crate::lab::{Lab, PEER, TEST, root};
use crate::web::nginx;

#[test]
fn python_serves_files() {
    let lab = Lab::new();
    let file = payload::of(100 * MIB);
    let server = format!(
        "python3 -m http.server -d {} 8000",
        payload::directory().display()
    );
    let mut server = lab.sidestack(&server).serving_tcp(8000);
    for _ in 0..3 {
        let curl = lab
            .peer(&format!("curl -sS http://{TEST}:8000/{}", file.name))
            .within(60);
        assert_eq!(curl.sha256(), file.sha256);
    }
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn asyncio_server_echoes() {
    let lab = Lab::new();
    let echo = root().join("tests/e2e/echo.py").display().to_string();
    let _server = lab
        .sidestack(&format!("python3 {echo} serve 0.0.0.0 7000"))
        .serving_tcp(7000);
    let client = lab
        .peer(&format!("python3 {echo} talk {TEST} 7000 100 200000"))
        .within(60);
    assert_eq!(
        client.succeeds().stdout(),
        "100 connections echoed 200000 bytes each"
    );
    lab.kernel_was_silent();
}

#[test]
fn redis_server_under_its_benchmark_with_500_connections() {
    let lab = Lab::new();
    let server = "redis-server --bind 0.0.0.0 --protected-mode no --save '' --maxclients 1000";
    let mut server = lab.sidestack(server).serving_tcp(6379);
    let benchmark = format!("redis-benchmark -h {TEST} -c 500 -n 50000 -q --csv -t set,get,incr");
    let rates = lab.peer(&benchmark).within(60).succeeds().stdout();
    assert_eq!(
        rates
            .lines()
            .filter(|l| l.starts_with("\"SET\"") || l.starts_with("\"GET\""))
            .count(),
        2,
        "{rates}"
    );
    let pipelined =
        format!("redis-benchmark -h {TEST} -c 50 -n 100000 -P 16 -q --csv -t set -d 1000");
    lab.peer(&pipelined).within(60).succeeds();
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn memcached_with_four_threads() {
    let lab = Lab::new();
    let mut server = lab
        .sidestack("memcached -u root -t 4 -l 0.0.0.0 -U 0")
        .serving_tcp(11211);
    let client = root()
        .join("tests/e2e/memcached_client.py")
        .display()
        .to_string();
    let said = lab
        .peer(&format!("python3 {client} {TEST} 16 100 50000"))
        .within(60)
        .succeeds()
        .stdout();
    assert_eq!(said, "16 threads stored and read back 100 values each");
    server.still_runs();
    lab.kernel_was_silent();
}

/// It gives up its rights before its first socket, and comes to receive by a ring all the same.
#[test]
fn memcached_of_another_user() {
    let lab = Lab::new();
    let mut server = lab
        .sidestack("memcached -u nobody -l 0.0.0.0 -U 0")
        .serving_tcp(11211);
    let client = root().join("tests/e2e/memcached_client.py");
    let client = format!("python3 {} {TEST} 8 1000 500", client.display());
    for _ in 0..2 {
        let said = lab.peer(&client).within(60).succeeds().stdout();
        assert_eq!(said, "8 threads stored and read back 1000 values each");
        has_ring(&mut server);
    }
    lab.kernel_was_silent();
}

#[test]
fn nginx_serves_a_gigabyte() {
    let lab = Lab::new();
    let file = payload::of(GIB);
    let _web = lab.sidestack(&nginx(&lab)).serving_tcp(80);
    let curl = lab
        .peer(&format!("curl -sS http://{TEST}/{}", file.name))
        .within(120);
    assert_eq!(curl.sha256(), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn nginx_takes_an_upload() {
    let lab = Lab::new();
    let file = payload::of(200 * MIB);
    let _web = lab.sidestack(&nginx(&lab)).serving_tcp(80);
    let upload = format!(
        "curl -sS -T {} http://{TEST}/put/upload",
        file.path.display()
    );
    lab.peer(&upload).within(60).succeeds();
    assert_eq!(payload::sha256(&lab.path("nginx/put/upload")), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn nginx_under_wrk() {
    let lab = Lab::new();
    payload::of(KIB);
    let mut web = lab.sidestack(&nginx(&lab)).serving_tcp(80);
    for header in ["", "-H 'Connection: close'"] {
        let said = lab
            .peer(&format!(
                "wrk -t 2 -c 100 -d 3s {header} http://{TEST}/1024.bin"
            ))
            .succeeds()
            .stdout();
        assert!(
            said.contains("Requests/sec") && !said.contains("errors") && !said.contains("Non-2xx"),
            "{said}"
        );
    }
    web.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn iperf3_receives_and_sends() {
    let lab = Lab::new();
    let mut server = lab.sidestack("iperf3 -s -4").serving_tcp(5201);
    for direction in ["", "-R", "-P 8", "-P 8 -R", "-u -b 100M"] {
        lab.peer(&format!("iperf3 -c {TEST} -t 2 {direction}"))
            .within(15)
            .succeeds();
    }
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn socat_receives_a_file_over_tcp() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB);
    let server = lab
        .sidestack("socat -u TCP4-LISTEN:7000 CREATE:received")
        .serving_tcp(7000);
    lab.peer(&format!(
        "socat -u FILE:{} TCP4:{TEST}:7000",
        file.path.display()
    ))
    .succeeds();
    server.finish().success();
    assert_eq!(payload::sha256(&lab.path("received")), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn socat_echoes_over_udp() {
    let lab = Lab::new();
    let file = payload::of(KIB);
    let _server = lab
        .sidestack("socat UDP4-LISTEN:7000 PIPE")
        .serving_udp(7000);
    let client = lab
        .peer(&format!("socat -t 1 - UDP4:{TEST}:7000"))
        .input(&file.path);
    assert_eq!(client.sha256(), file.sha256);
    lab.kernel_was_silent();
}

/// Datagrams that come, and go, in fragments.
#[test]
fn socat_echoes_long_datagrams() {
    let lab = Lab::new();
    let file = payload::of(20_000);
    let _server = lab
        .sidestack("socat -b 20000 UDP4-LISTEN:7000 PIPE")
        .serving_udp(7000);
    let client = lab
        .peer(&format!("socat -b 20000 -t 1 - UDP4:{TEST}:7000"))
        .input(&file.path);
    assert_eq!(client.sha256(), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn ncat_receives_and_sends_a_file() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB);
    let server = lab
        .sidestack("ncat -4 -l 7000 --recv-only -o received")
        .serving_tcp(7000);
    lab.peer(&format!("ncat -4 --send-only {TEST} 7000"))
        .input(&file.path)
        .succeeds();
    server.finish().success();
    assert_eq!(payload::sha256(&lab.path("received")), file.sha256);
    let _server = lab
        .sidestack("ncat -4 -l 7001 --send-only")
        .input(&file.path)
        .serving_tcp(7001);
    assert_eq!(
        lab.peer(&format!("ncat -4 --recv-only {TEST} 7001"))
            .sha256(),
        file.sha256
    );
    lab.kernel_was_silent();
}

#[test]
fn unbound_asks_and_answers() {
    let lab = Lab::new();
    let dns = "dnsmasq -k -C /dev/null -R -h -u root --pid-file --address=/example.org/192.0.2.7";
    let _dns = lab.peer(dns).serving_udp(53);
    let configuration = lab.file(
        "unbound.conf",
        &format!(
            "server:\n interface: 0.0.0.0\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n chroot: \"\"\n\
             \x20username: unbound\n pidfile: \"\"\n use-syslog: no\n module-config: iterator\n\
             remote-control:\n control-enable: no\nforward-zone:\n name: .\n forward-addr: {PEER}\n"
        ),
    );
    let server = lab.sidestack(&format!("unbound -d -c {configuration}"));
    let mut server = server.serving_udp(53);
    for (name, transport) in [("one", "+notcp"), ("two", "+tcp")] {
        let dig = format!("dig @{TEST} {transport} +short +tries=2 {name}.example.org");
        assert_eq!(
            lab.peer(&dig).succeeds().stdout(),
            "192.0.2.7",
            "{transport}"
        );
    }
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn dnsmasq_answers_over_udp_and_tcp() {
    let lab = Lab::new();
    let server =
        "dnsmasq -k -C /dev/null -R -h -u root --pid-file --address=/example.test/192.0.2.7";
    let _server = lab.sidestack(server).serving_udp(53);
    for transport in ["+notcp", "+tcp"] {
        let answer = lab
            .peer(&format!(
                "dig @{TEST} {transport} +short +tries=1 example.test"
            ))
            .succeeds();
        assert_eq!(answer.stdout(), "192.0.2.7", "{transport}");
    }
    lab.kernel_was_silent();
}
