//! Web servers of several processes, on our stack.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::payload::{self, KIB, MIB};
use crate::lab::{Lab, PEER, TEST};
use crate::web::{load, nginx_beside, nginx_with_workers, no_errors};

/// Fetches a file over the path, and fails if it is not the one.
fn fetches(lab: &Lab, path: &str) {
    let file = payload::of(50 * MIB);
    let url = format!("http://{TEST}{path}/{}", file.name);
    let curl = lab.peer(&format!("curl -sS {url}")).within(60);
    assert_eq!(curl.sha256(), file.sha256, "{url}");
}

#[test]
fn nginx_workers_serve_and_ask_upstream() {
    let lab = Lab::new();
    payload::of(KIB);
    let _upstream = lab.peer(&nginx_beside(&lab, 8080)).serving_tcp(8080);
    let command = nginx_with_workers(&lab, "off", &format!("{PEER}:8080"));
    let mut web = lab.sidestack(&command).serving_tcp(80);
    fetches(&lab, "");
    load(&lab, &format!("http://{TEST}/1024.bin"));
    fetches(&lab, "/upstream");
    load(&lab, &format!("http://{TEST}/upstream/1024.bin"));
    web.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn nginx_goes_into_the_background() {
    let lab = Lab::new();
    payload::of(KIB);
    let command = nginx_with_workers(&lab, "on", &format!("{PEER}:8080"));
    lab.sidestack(&command).succeeds();
    let patient = "curl -sS -o /dev/null --retry 10 --retry-delay 1 --retry-connrefused";
    lab.peer(&format!("{patient} http://{TEST}/1024.bin"))
        .succeeds();
    fetches(&lab, "");
    load(&lab, &format!("http://{TEST}/1024.bin"));
    lab.kernel_was_silent();
}

#[test]
fn nginx_reloads_under_load_without_a_failed_request() {
    let lab = Lab::new();
    payload::of(KIB);
    let command = nginx_with_workers(&lab, "off", &format!("{PEER}:8080"));
    let mut web = lab.sidestack(&command).serving_tcp(80);
    // A connection that is kept may be closed by a worker that goes just as its next request comes.
    let wrk = format!("wrk -t 1 -c 20 -d 3s -H 'Connection: close' http://{TEST}/1024.bin");
    let wrk = lab.peer(&wrk).start();
    for _ in 0..3 {
        sleep(Duration::from_millis(600));
        web.kill("HUP");
    }
    no_errors(&wrk.finish().success().stdout());
    fetches(&lab, "");
    web.still_runs();
    lab.kernel_was_silent();
}

/// The process that nginx's file says is its master, once it is not `other`.
fn nginx_master(lab: &Lab, other: &str) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let number = fs::read_to_string(lab.path("nginx/pid")).unwrap_or_default();
        let number = number.trim_end().to_owned();
        if !number.is_empty() && number != other {
            return number;
        }
        assert!(Instant::now() < end, "the master is {number:?}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn nginx_is_replaced_under_load_without_a_failed_request() {
    let lab = Lab::new();
    payload::of(KIB);
    let command = nginx_with_workers(&lab, "on", &format!("{PEER}:8080"));
    lab.sidestack(&command).succeeds();
    let old = nginx_master(&lab, "");
    let patient = "curl -sS -o /dev/null --retry 10 --retry-delay 1 --retry-connrefused";
    lab.peer(&format!("{patient} http://{TEST}/1024.bin"))
        .succeeds();
    let wrk = format!("wrk -t 1 -c 20 -d 4s -H 'Connection: close' http://{TEST}/1024.bin");
    let wrk = lab.peer(&wrk).start();
    let tell = |signal: &str| drop(lab.plain(&format!("kill -{signal} {old}")).succeeds());
    sleep(Duration::from_millis(500));
    // "Upgrading Executable on the Fly": a new master beside the old one, which then goes.
    tell("USR2");
    let new = nginx_master(&lab, &old);
    sleep(Duration::from_millis(500));
    tell("WINCH");
    sleep(Duration::from_millis(500));
    tell("QUIT");
    no_errors(&wrk.finish().success().stdout());
    fetches(&lab, "");
    lab.plain(&format!("kill -0 {new}")).succeeds();
    lab.kernel_was_silent();
}

/// Apache's configuration for one of its ways to have processes.
fn apache(lab: &Lab, mpm: &str) -> String {
    let (files, own) = (lab.path("apache/files"), lab.path("apache"));
    fs::create_dir_all(&files).expect("the lab's directory is writable");
    // Apache's children are not root, who alone may be able to read the target directory.
    for file in [payload::of(KIB), payload::of(50 * MIB)] {
        fs::copy(&file.path, files.join(&file.name)).expect("room for a payload");
    }
    let (files, own, modules) = (files.display(), own.display(), "/usr/lib/apache2/modules");
    // One process of the event sort has a thread for each connection: else it closes some that are kept when all
    // threads are busy, and a request that is on its way then fails, on the kernel as here.
    let configuration = lab.file(
        "apache.conf",
        &format!(
            "LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
             LoadModule authz_core_module {modules}/mod_authz_core.so
             ServerRoot {own}
             ServerName lab
             Listen 0.0.0.0:80
             PidFile {own}/pid
             DefaultRuntimeDir {own}
             ErrorLog /dev/stderr
             User www-data
             Group www-data
             DocumentRoot {files}
             <Directory {files}>
             Require all granted
             </Directory>
             <IfModule mpm_event_module>
             ThreadsPerChild 64
             MaxRequestWorkers 256
             </IfModule>"
        ),
    );
    format!("/usr/sbin/apache2 -D FOREGROUND -f {configuration}")
}

#[test]
fn apache_prefork_serves() {
    apache_serves("prefork");
}

#[test]
fn apache_event_serves() {
    apache_serves("event");
}

fn apache_serves(mpm: &str) {
    let lab = Lab::new();
    let mut web = lab.sidestack(&apache(&lab, mpm)).serving_tcp(80);
    fetches(&lab, "");
    load(&lab, &format!("http://{TEST}/1024.bin"));
    web.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn lighttpd_serves() {
    let lab = Lab::new();
    payload::of(KIB);
    let files = payload::directory();
    let configuration = lab.file(
        "lighttpd.conf",
        &format!(
            "server.document-root = \"{}\"\nserver.bind = \"0.0.0.0\"\nserver.port = 80\nserver.max-worker = 2\n",
            files.display()
        ),
    );
    let lighttpd = format!("/usr/sbin/lighttpd -D -f {configuration}");
    let mut web = lab.sidestack(&lighttpd).serving_tcp(80);
    fetches(&lab, "");
    load(&lab, &format!("http://{TEST}/1024.bin"));
    web.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn haproxy_stands_before_a_server() {
    for mode in ["-db", "-W -db"] {
        haproxy_in(mode);
    }
}

fn haproxy_in(mode: &str) {
    let lab = Lab::new();
    payload::of(KIB);
    let _server = lab.peer(&nginx_beside(&lab, 8080)).serving_tcp(8080);
    let configuration = lab.file(
        "haproxy.cfg",
        &format!(
            "global
               maxconn 1000
               nbthread 2
             defaults
               mode http
               timeout client 20s
               timeout server 20s
               timeout connect 5s
             frontend web
               bind 0.0.0.0:80
               default_backend servers
             backend servers
               server one {PEER}:8080\n"
        ),
    );
    let haproxy = format!("/usr/sbin/haproxy {mode} -f {configuration}");
    let mut proxy = lab.sidestack(&haproxy).serving_tcp(80);
    fetches(&lab, "");
    load(&lab, &format!("http://{TEST}/1024.bin"));
    proxy.still_runs();
    // Before it ends: what comes for its ports afterwards is the kernel's to refuse.
    lab.kernel_was_silent();
    proxy.kill("TERM");
    drop(proxy.finish());
}
