//! Databases of several processes, on our stack.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::payload::{self, KIB};
use crate::lab::{Lab, PEER, Running, TEST, library, preloading};

/// PostgreSQL refuses to be root.
const USER: &str = "setpriv --reuid=postgres --regid=postgres --clear-groups";
/// That user with the one right that the stack needs.
const RIGHT: &str = "--inh-caps=+net_raw --ambient-caps=+net_raw";

/// Where Debian has the server's programs: in a directory of their version.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("postgresql is installed");
    let newest = versions.filter_map(Result::ok).map(|entry| entry.path());
    newest.max().expect("a version").join("bin")
}

fn postgres<'lab>(lab: &'lab Lab) -> Running<'lab> {
    let (programs, own) = (programs(), lab.path("postgres"));
    let (programs, own) = (programs.display(), own.display());
    lab.plain(&format!("install -d -o postgres {own}"))
        .succeeds();
    let initdb = format!("{programs}/initdb -D {own}/data -A trust -U postgres --no-sync");
    lab.plain(&initdb).under(USER).within(60).succeeds();
    let hosts = lab.path("postgres/data/pg_hba.conf");
    let rules = fs::read_to_string(&hosts).expect("initdb wrote it");
    fs::write(&hosts, rules + "host all all 0.0.0.0/0 trust\n").expect("root may write");
    let server = format!(
        "{programs}/postgres -D {own}/data -k {own} -c listen_addresses=0.0.0.0 -c fsync=off"
    );
    let mut server = lab.sidestack(&server).under(USER).under(RIGHT);
    if preloading() {
        // The user may not be able to reach the library where it was built.
        let copy = lab.path("libsidestack.so");
        fs::copy(library(), &copy).expect("room for a copy");
        server = server.env("LD_PRELOAD", &copy.display().to_string());
    }
    let server = server.within(30).serving_tcp(5432);
    let deadline = Instant::now() + Duration::from_secs(20);
    let ready = format!("pg_isready -q -h {TEST}");
    while !lab.peer(&ready).run().status.success() {
        assert!(Instant::now() < deadline, "postgres is not ready");
        sleep(Duration::from_millis(100));
    }
    server
}

/// What a statement gives.
fn ask(lab: &Lab, statement: &str) -> String {
    lab.peer(&format!("psql -h {TEST} -U postgres -At -c '{statement}'"))
        .succeeds()
        .stdout()
}

#[test]
fn postgres_under_its_benchmark() {
    let lab = Lab::new();
    let mut server = postgres(&lab);
    let bench = |how: &str| lab.peer(&format!("pgbench -h {TEST} -U postgres {how} postgres"));
    bench("-q -i -s 1").within(60).succeeds();
    for how in ["-c 8 -t 50", "-c 4 -t 25 -C -S"] {
        let said = bench(how).within(60).succeeds().stdout();
        assert!(said.contains("number of failed transactions: 0"), "{said}");
    }
    assert_eq!(ask(&lab, "select count(*) from pgbench_accounts"), "100000");
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn postgres_survives_the_death_of_a_backend() {
    let lab = Lab::new();
    let mut server = postgres(&lab);
    let mut sleeper = lab
        .peer(&format!(
            "psql -h {TEST} -U postgres -At -c 'select pg_backend_pid()' -c 'select pg_sleep(60)'"
        ))
        .start();
    let deadline = Instant::now() + Duration::from_secs(10);
    let pid = loop {
        let sleeping = "select pid from pg_stat_activity where wait_event = $$PgSleep$$";
        let pid = ask(&lab, sleeping);
        if !pid.is_empty() {
            break pid;
        }
        assert!(Instant::now() < deadline, "no backend sleeps");
        sleep(Duration::from_millis(50));
    };
    assert!(!sleeper.has_ended());
    lab.plain(&format!("kill -9 {pid}")).succeeds();
    let finished = sleeper.finish();
    assert_eq!(finished.status.code(), Some(2), "{finished}");
    // The server ends the other backends as well and begins anew; then it serves as before.
    let deadline = Instant::now() + Duration::from_secs(20);
    let again = format!("psql -h {TEST} -U postgres -At -c 'select 42'");
    while lab.peer(&again).run().stdout() != "42" {
        assert!(Instant::now() < deadline, "postgres has not come back");
        sleep(Duration::from_millis(100));
    }
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn mariadb_under_its_benchmark() {
    let lab = Lab::new();
    lab.plain("chmod 755 .").succeeds();
    lab.plain("install -d -o mysql mariadb").succeeds();
    let own = lab.path("mariadb");
    let own = own.display();
    lab.plain(&format!(
        "mariadb-install-db --no-defaults --user=mysql --datadir={own}"
    ))
    .within(60)
    .succeeds();
    let server = format!(
        "mariadbd --no-defaults --user=mysql --datadir={own} --socket={own}/socket --skip-grant-tables \
         --skip-name-resolve --bind-address=0.0.0.0"
    );
    let mut server = lab.sidestack(&server).within(30).serving_tcp(3306);
    let client = |program: &str| lab.peer(&format!("{program} --protocol=tcp -h {TEST}"));
    client("mariadb-slap --no-defaults -a -c 20 -i 2 --number-of-queries=1000")
        .within(60)
        .succeeds();
    let rows = "mariadb --no-defaults -N -e 'select repeat(1, 1000) from seq_1_to_5000' test";
    let rows = client(rows).within(30).succeeds().stdout();
    assert_eq!(rows.lines().filter(|line| line.len() == 1000).count(), 5000);
    server.still_runs();
    lab.kernel_was_silent();
}

/// A Redis server at the port with a directory of its own.
fn redis(lab: &Lab, port: u16, more: &str) -> String {
    let own = lab.path(&format!("redis{port}"));
    fs::create_dir_all(&own).expect("the lab's directory is writable");
    format!(
        "redis-server --bind 0.0.0.0 --port {port} --protected-mode no --save '' --dir {} \
         --repl-diskless-sync-delay 0 {more}",
        own.display()
    )
}

#[test]
fn redis_saves_in_the_background_under_load() {
    let lab = Lab::new();
    let mut server = lab.sidestack(&redis(&lab, 6379, "")).serving_tcp(6379);
    let fill =
        format!("redis-benchmark -h {TEST} -c 20 -P 32 -n 200000 -r 100000 -d 200 -t set -q");
    lab.peer(&fill).within(60).succeeds();
    let load =
        format!("redis-benchmark -h {TEST} -c 50 -n 100000 -r 100000 -d 200 -t set,get -q --csv");
    let load = lab.peer(&load).within(60).start();
    let cli = |words: &str| {
        let cli = lab.peer(&format!("redis-cli -h {TEST} {words}"));
        cli.succeeds().stdout()
    };
    for _ in 0..2 {
        assert_eq!(cli("bgsave"), "Background saving started");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !cli("info persistence").contains("rdb_bgsave_in_progress:0") {
            assert!(Instant::now() < deadline, "the snapshot is not done");
            sleep(Duration::from_millis(50));
        }
        assert!(cli("info persistence").contains("rdb_last_bgsave_status:ok"));
    }
    let rates = load.finish().success();
    let stdout = rates.stdout();
    assert!(
        stdout.contains("\"SET\"") && stdout.contains("\"GET\""),
        "{rates}"
    );
    let snapshot = lab.path("redis6379/dump.rdb");
    let check = lab.plain(&format!("redis-check-rdb {}", snapshot.display()));
    assert!(check.succeeds().stdout().contains("RDB looks OK"));
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn redis_replicates_both_ways() {
    let lab = Lab::new();
    let value = payload::of(256 * KIB);
    let _first = lab.sidestack(&redis(&lab, 6379, "")).serving_tcp(6379);
    let of_ours = redis(&lab, 7000, &format!("--replicaof {TEST} 6379"));
    let _second = lab.peer(&of_ours).serving_tcp(7000);
    let of_the_peers = redis(&lab, 6380, &format!("--replicaof {PEER} 7000"));
    let _third = lab.sidestack(&of_the_peers).serving_tcp(6380);
    lab.peer(&format!("redis-cli -h {TEST} -x set key"))
        .input(&value.path)
        .succeeds();
    let digest = |host: &str, port| {
        let get = format!(
            "sh -c 'redis-cli -h {host} -p {port} --raw get key | head -c {}'",
            256 * KIB
        );
        lab.peer(&get).sha256()
    };
    for (host, port) in [(TEST, 6379), (PEER, 7000), (TEST, 6380)] {
        let deadline = Instant::now() + Duration::from_secs(15);
        while digest(host, port) != value.sha256 {
            assert!(
                Instant::now() < deadline,
                "{host}:{port} has not got the value"
            );
            sleep(Duration::from_millis(100));
        }
    }
    lab.kernel_was_silent();
}
