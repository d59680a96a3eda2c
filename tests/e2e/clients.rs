//! Clients on our stack, servers on the peer's kernel.

use std::time::Instant;

use crate::lab::payload::{self, GIB, KIB, MIB};
use crate::lab::{BLACKHOLE, Lab, PEER, root};
use crate::web::nginx;

#[test]
fn curl_fetches_a_small_file() {
    let lab = Lab::new();
    let file = payload::of(10 * KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    assert_eq!(
        lab.sidestack(&format!("curl -sS http://{PEER}/{}", file.name))
            .sha256(),
        file.sha256
    );
    lab.kernel_was_silent();
}

#[test]
fn curl_downloads_a_gigabyte() {
    let lab = Lab::new();
    let file = payload::of(GIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let curl = lab
        .sidestack(&format!("curl -sS http://{PEER}/{}", file.name))
        .within(120);
    assert_eq!(curl.sha256(), file.sha256);
    lab.kernel_was_silent();
}

/// Nobody knows the peer's hardware address yet when it ends.
#[test]
fn what_logger_sends_before_it_ends_arrives() {
    let lab = Lab::new();
    let server = lab.peer("socat -u UDP4-RECVFROM:7000 -").within(10);
    let server = server.serving_udp(7000);
    lab.sidestack(&format!("logger -d -n {PEER} -P 7000 in time"))
        .succeeds();
    assert!(server.finish().success().stdout().ends_with("in time"));
    lab.kernel_was_silent();
}

#[test]
fn curl_uploads_200_mebibytes() {
    uploads(&Lab::new());
}

/// The kernel cuts up what leaves, which is longer then than anything IPv4 knows.
#[test]
fn curl_uploads_by_an_interface_without_offloads() {
    let lab = Lab::new();
    lab.plain("ethtool -K lab0 tso off tx off").succeeds();
    uploads(&lab);
}

fn uploads(lab: &Lab) {
    let file = payload::of(200 * MIB);
    let _web = lab.peer(&nginx(lab)).serving_tcp(80);
    let upload = format!(
        "curl -sS -T {} http://{PEER}/put/upload",
        file.path.display()
    );
    lab.sidestack(&upload).within(60).succeeds();
    assert_eq!(payload::sha256(&lab.path("nginx/put/upload")), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn curl_fetches_50_files_in_parallel() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let parallel = "curl -sS --parallel --parallel-immediate --parallel-max 50";
    lab.sidestack(&format!(
        "{parallel} -o got-#1 http://{PEER}/{}?[1-50]",
        file.name
    ))
    .within(60)
    .succeeds();
    for i in 1..=50 {
        assert_eq!(
            payload::sha256(&lab.path(&format!("got-{i}"))),
            file.sha256,
            "transfer {i}"
        );
    }
    lab.kernel_was_silent();
}

#[test]
fn curl_is_refused_at_once() {
    let lab = Lab::new();
    let started = Instant::now();
    lab.sidestack(&format!("curl -sS http://{PEER}:81/"))
        .run()
        .exits_with(7);
    assert!(started.elapsed().as_secs() < 2);
    lab.kernel_was_silent();
}

#[test]
fn curl_gives_up_on_a_black_hole_when_told() {
    let lab = Lab::new();
    let started = Instant::now();
    lab.sidestack(&format!(
        "curl -sS --connect-timeout 2 http://{PEER}:{BLACKHOLE}/"
    ))
    .run()
    .exits_with(28);
    assert!((2..4).contains(&started.elapsed().as_secs()));
    lab.kernel_was_silent();
}

#[test]
fn wget_downloads() {
    let lab = Lab::new();
    let file = payload::of(200 * MIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let wget = lab
        .sidestack(&format!("wget -q -O - http://{PEER}/{}", file.name))
        .within(60);
    assert_eq!(wget.sha256(), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn asyncio_client_is_echoed() {
    let lab = Lab::new();
    let echo = root().join("tests/e2e/echo.py").display().to_string();
    let _server = lab
        .peer(&format!("python3 {echo} serve 0.0.0.0 7000"))
        .serving_tcp(7000);
    let client = lab
        .sidestack(&format!("python3 {echo} talk {PEER} 7000 100 200000"))
        .within(60);
    assert_eq!(
        client.succeeds().stdout(),
        "100 connections echoed 200000 bytes each"
    );
    lab.kernel_was_silent();
}

#[test]
fn redis_benchmark_runs_500_connections() {
    let lab = Lab::new();
    let server = "redis-server --bind 0.0.0.0 --protected-mode no --save '' --maxclients 1000";
    let _server = lab.peer(server).serving_tcp(6379);
    let benchmark = format!("redis-benchmark -h {PEER} -c 500 -n 50000 -q --csv -t set,get,incr");
    let rates = lab.sidestack(&benchmark).within(60).succeeds().stdout();
    assert_eq!(
        rates
            .lines()
            .filter(|l| l.starts_with("\"SET\"") || l.starts_with("\"GET\""))
            .count(),
        2,
        "{rates}"
    );
    lab.kernel_was_silent();
}

#[test]
fn redis_cli_stores_and_reads_back_a_large_value() {
    let lab = Lab::new();
    let server = "redis-server --bind 0.0.0.0 --protected-mode no --save ''";
    let _server = lab.peer(server).serving_tcp(6379);
    let value = payload::of(16 * MIB);
    lab.sidestack(&format!("redis-cli -h {PEER} -x set key"))
        .input(&value.path)
        .succeeds();
    // redis-cli ends what it prints with a newline of its own.
    let get = format!(
        "sh -c 'redis-cli -h {PEER} --raw get key | head -c {}'",
        16 * MIB
    );
    assert_eq!(lab.sidestack(&get).sha256(), value.sha256);
    lab.kernel_was_silent();
}

#[test]
fn memcached_client_with_four_threads() {
    let lab = Lab::new();
    let _server = lab
        .peer("memcached -u root -t 4 -l 0.0.0.0")
        .serving_tcp(11211);
    let client = root()
        .join("tests/e2e/memcached_client.py")
        .display()
        .to_string();
    let said = lab
        .sidestack(&format!("python3 {client} {PEER} 4 200 50000"))
        .within(60)
        .succeeds()
        .stdout();
    assert_eq!(said, "4 threads stored and read back 200 values each");
    lab.kernel_was_silent();
}

#[test]
fn iperf3_sends_and_receives() {
    let lab = Lab::new();
    let _server = lab.peer("iperf3 -s -4").serving_tcp(5201);
    for direction in ["", "-R", "-P 8", "-P 8 -R", "-u -b 100M"] {
        lab.sidestack(&format!("iperf3 -c {PEER} -t 2 {direction}"))
            .within(15)
            .succeeds();
    }
    lab.kernel_was_silent();
}

#[test]
fn wrk_drives_100_connections() {
    let lab = Lab::new();
    payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let said = lab
        .sidestack(&format!("wrk -t 2 -c 100 -d 3s http://{PEER}/1024.bin"))
        .succeeds()
        .stdout();
    assert!(
        said.contains("Requests/sec") && !said.contains("errors") && !said.contains("Non-2xx"),
        "{said}"
    );
    lab.kernel_was_silent();
}

#[test]
fn socat_sends_a_file_over_tcp() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB);
    let server = lab
        .peer("socat -u TCP4-LISTEN:7000 CREATE:received")
        .serving_tcp(7000);
    lab.sidestack(&format!(
        "socat -u FILE:{} TCP4:{PEER}:7000",
        file.path.display()
    ))
    .succeeds();
    server.finish().success();
    assert_eq!(payload::sha256(&lab.path("received")), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn socat_is_echoed_over_udp() {
    let lab = Lab::new();
    let file = payload::of(KIB);
    let _server = lab
        .peer("socat UDP4-LISTEN:7000,fork PIPE")
        .serving_udp(7000);
    let client = lab
        .sidestack(&format!("socat -t 1 - UDP4:{PEER}:7000"))
        .input(&file.path);
    assert_eq!(client.sha256(), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn ncat_sends_and_receives_a_file() {
    let lab = Lab::new();
    let file = payload::of(16 * MIB);
    let server = lab
        .peer("ncat -4 -l 7000 --recv-only -o received")
        .serving_tcp(7000);
    lab.sidestack(&format!("ncat -4 --send-only {PEER} 7000"))
        .input(&file.path)
        .succeeds();
    server.finish().success();
    assert_eq!(payload::sha256(&lab.path("received")), file.sha256);
    let _server = lab
        .peer("ncat -4 -l 7001 --send-only")
        .input(&file.path)
        .serving_tcp(7001);
    assert_eq!(
        lab.sidestack(&format!("ncat -4 --recv-only {PEER} 7001"))
            .sha256(),
        file.sha256
    );
    lab.kernel_was_silent();
}

#[test]
fn dig_asks_over_udp_and_tcp() {
    let lab = Lab::new();
    let server =
        "dnsmasq -k -C /dev/null -R -h -u root --pid-file --address=/example.test/192.0.2.7";
    let _server = lab.peer(server).serving_udp(53);
    for transport in ["+notcp", "+tcp"] {
        let answer = lab
            .sidestack(&format!(
                "dig @{PEER} {transport} +short +tries=1 example.test"
            ))
            .succeeds();
        assert_eq!(answer.stdout(), "192.0.2.7", "{transport}");
    }
    lab.kernel_was_silent();
}

#[test]
fn bash_reads_from_dev_tcp() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let script = lab.file(
        "fetch.sh",
        &format!(
            "exec 3<>/dev/tcp/{PEER}/80
             printf 'GET /{} HTTP/1.0\\r\\n\\r\\n' >&3
             while IFS= read -r line <&3 && [ \"$line\" != $'\\r' ]; do :; done
             cat <&3",
            file.name
        ),
    );
    assert_eq!(
        lab.sidestack(&format!("bash {script}")).sha256(),
        file.sha256
    );
    lab.kernel_was_silent();
}

#[test]
fn a_fork_does_not_break_the_parent() {
    let lab = Lab::new();
    let echo = root().join("tests/e2e/echo.py").display().to_string();
    let _server = lab
        .peer(&format!("python3 {echo} serve 0.0.0.0 7000"))
        .serving_tcp(7000);
    let forks = root().join("tests/e2e/forks.py").display().to_string();
    let said = lab
        .sidestack(&format!("python3 {forks} {PEER} 7000"))
        .succeeds()
        .stdout();
    assert_eq!(said, "the parent's connection outlived 20 children");
    lab.kernel_was_silent();
}
