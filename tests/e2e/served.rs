//! Programs that may not open a packet socket, on a keeper that an administrator started, or on the process they
//! were forked from.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::keeper::is_kept;
use crate::lab::payload::{self, KIB, MIB};
use crate::lab::{Lab, PEER, Program, Running, TEST, command, library, preloading, root};
use crate::web::{nginx, nginx_beside, nginx_with_workers_of};

/// A user whom the keepers here admit.
pub(crate) const ADMITTED: u32 = 65_534;
/// Another one.
pub(crate) const OTHER: u32 = 65_533;
/// One whom they do not.
const STRANGER: u32 = 65_532;

/// A keeper of root's that is ready.
pub(crate) fn keeper<'lab>(lab: &'lab Lab, options: &str) -> Running<'lab> {
    started(keeper_of(lab, options))
}

pub(crate) fn keeper_of<'lab>(lab: &'lab Lab, options: &str) -> Program<'lab> {
    lab.plain(&format!(
        "{} keeper --interface lab0 --library {} --log info --allow-user {ADMITTED} --allow-user {OTHER} {options}",
        command().display(),
        library().display(),
    ))
}

pub(crate) fn started(keeper: Program<'_>) -> Running<'_> {
    let mut keeper = keeper.start();
    keeper.prints("is ready");
    keeper
}

/// The version in the names of the library's processes.
pub(crate) fn version(lab: &Lab) -> String {
    let _keeper = keeper(lab, "");
    let names = lab.plain("cat /proc/net/unix").run().stdout();
    let mut names = names.split_whitespace();
    let name = names.find_map(|word| word.strip_prefix("@sidestack/keeper/0/"));
    name.expect("the keeper listens").to_owned()
}

/// A program of a user without any right.
pub(crate) fn of<'lab>(lab: &'lab Lab, user: u32, command: &str) -> Program<'lab> {
    without_rights(user, lab.sidestack(command))
}

pub(crate) fn without_rights(user: u32, program: Program<'_>) -> Program<'_> {
    program.under(&format!(
        "setpriv --reuid {user} --regid {user} --clear-groups --inh-caps -all --bounding-set -all"
    ))
}

pub(crate) fn script(arguments: &str) -> String {
    let script = root().join("tests/e2e/served.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

#[test]
fn clients_are_served() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(50 * MIB);
    let _keeper = keeper(&lab, "");
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let url = format!("http://{PEER}/{}", file.name);
    let fetch = of(&lab, ADMITTED, &format!("curl -sS {url}")).within(60);
    assert_eq!(fetch.sha256(), file.sha256);
    let dns = "dnsmasq -k -C /dev/null -R -h -u root --pid-file --address=/example.test/192.0.2.7";
    let _dns = lab.peer(dns).serving_udp(53);
    for transport in ["+notcp", "+tcp"] {
        let dig = format!("dig @{PEER} {transport} +short +tries=1 example.test");
        assert_eq!(of(&lab, ADMITTED, &dig).succeeds().stdout(), "192.0.2.7");
    }
    lab.kernel_was_silent();
}

#[test]
fn servers_are_served() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(MIB);
    let _keeper = keeper(&lab, "");
    let serve = format!(
        "/usr/bin/python3 -m http.server -d {} 8080",
        payload::directory().display()
    );
    let _web = of(&lab, ADMITTED, &serve).serving_tcp(8080);
    let url = |host: &str| format!("curl -sS http://{host}:8080/{}", file.name);
    for _ in 0..3 {
        assert_eq!(lab.peer(&url(TEST)).sha256(), file.sha256);
    }
    // By the kernel's loopback.
    assert_eq!(lab.plain(&url("127.0.0.1")).sha256(), file.sha256);
    let forking = root().join("tests/e2e/forking_server.py");
    let forking = format!("/usr/bin/python3 {}", forking.display());
    let _echo = of(&lab, OTHER, &forking).serving_tcp(7000);
    for _ in 0..3 {
        let echo = format!(
            "sh -c 'head -c 300000 {} | ncat -w 20 {TEST} 7000'",
            file.path.display()
        );
        let echoed = lab.peer(&echo).within(30).succeeds().stdout();
        assert!(!echoed.is_empty());
    }
    lab.kernel_was_silent();
}

/// A bound socket goes over to the kernel with its port, for what only the kernel reaches.
#[test]
fn servers_of_this_host_are_reached() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let dns = "dnsmasq -k -C /dev/null -R -h -u root --pid-file --address=/example.test/192.0.2.7";
    let _dns = lab.plain(dns).serving_udp(53);
    for transport in ["+notcp", "+tcp"] {
        let dig = format!("dig @127.0.0.1 {transport} +short +tries=1 example.test");
        assert_eq!(of(&lab, ADMITTED, &dig).succeeds().stdout(), "192.0.2.7");
    }
    let within = of(&lab, ADMITTED, &script("within 53")).succeeds();
    assert_eq!(within.stdout(), "True\nTrue");
    lab.kernel_was_silent();
}

#[test]
fn the_interface_is_the_keepers_to_choose() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(KIB);
    let _keeper = keeper(&lab, "");
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    // None stands out any more.
    lab.plain("ip link add other0 up type veth peer name other1")
        .succeeds();
    lab.plain("ip route del default").succeeds();
    let url = format!("http://{PEER}/{}", file.name);
    let fetch = of(&lab, ADMITTED, &format!("curl -sS {url}"));
    assert_eq!(fetch.sha256(), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn redis_is_served() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let redis = "redis-server --bind 0.0.0.0 --port 6379 --protected-mode no --save ''";
    let mut redis = of(&lab, ADMITTED, redis).serving_tcp(6379);
    let load = format!("redis-benchmark -h {TEST} -c 20 -n 20000 -d 2000 -t set,get -q");
    lab.peer(&load).within(60).succeeds();
    redis.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn a_user_who_is_not_admitted_is_refused() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let refused = of(&lab, STRANGER, &script("bind 7000")).succeeds();
    assert_eq!(refused.stdout(), "EACCES");
    let line = format!("the keeper does not admit him (sidestack keeper --allow-user {STRANGER})");
    assert!(refused.stderr.contains(&line), "{refused}");
}

#[test]
fn doctor_tells_of_the_keeper() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let library = library().display().to_string();
    let doctor = format!("{} doctor --library {library}", command().display());
    let examined = of(&lab, ADMITTED, &doctor).env("LD_PRELOAD", "").succeeds();
    let served = format!("the keeper of user 0 serves user {ADMITTED}");
    assert!(examined.stdout().contains(&served), "{examined}");
    assert!(
        examined.stdout().contains("is served by the stack"),
        "{examined}"
    );
    let examined = of(&lab, STRANGER, &doctor)
        .env("LD_PRELOAD", "")
        .run()
        .exits_with(1);
    let refused = format!("does not admit user {STRANGER}");
    assert!(examined.stdout().contains(&refused), "{examined}");
    let concluded = "would get no Internet sockets";
    assert!(examined.stdout().contains(concluded), "{examined}");
}

#[test]
fn guests_have_no_rights_of_the_keeper() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let said = |arguments: &str| of(&lab, ADMITTED, &script(arguments)).succeeds().stdout();
    assert_eq!(said("bind 80"), "EACCES");
    assert_eq!(said("bind 8080"), "done");
    assert_eq!(
        said("refused"),
        "SO_MARK 7 EPERM\nSO_PRIORITY 7 EPERM\nSO_PRIORITY 6 done"
    );
}

/// The right to port 53 is its own.
#[test]
fn named_is_served() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let configuration = configure_named(&lab);
    let _keeper = keeper(&lab, "--allow-user bind");
    let named = lab.sidestack(&format!("named -g -c {configuration}"));
    let right = "net_bind_service";
    let named = named.under(&format!(
        "setpriv --reuid bind --regid bind --clear-groups --inh-caps -all,+{right} --ambient-caps +{right} \
         --bounding-set -all,+{right}"
    ));
    named_answers(&lab, named);
}

/// It gives up all rights but that to port 53 before its first socket, and needs no keeper all the same.
#[test]
fn named_has_a_stack_of_its_own() {
    let lab = Lab::new();
    let configuration = configure_named(&lab);
    named_answers(
        &lab,
        lab.sidestack(&format!("named -g -u bind -c {configuration}")),
    );
}

/// Writes what it needs; the configuration's path.
fn configure_named(lab: &Lab) -> String {
    lab.plain("install -d -o bind named").succeeds();
    lab.plain("chmod 755 .").succeeds();
    let own = lab.path("named");
    let own = own.display();
    let zone = "$TTL 60\n@ IN SOA ns root 1 60 60 60 60\n@ IN NS ns\nns IN A 10.23.7.2\nwww IN A 192.0.2.7\n";
    lab.file("named/zone", zone);
    lab.file(
        "named.conf",
        &format!(
            "options {{ directory \"{own}\"; pid-file none; session-keyfile none; recursion no;
             dnssec-validation no; listen-on-v6 {{ none; }}; }};
             controls {{ }};
             zone \"example.org\" {{ type master; file \"{own}/zone\"; }};\n"
        ),
    )
}

fn named_answers(lab: &Lab, named: Program<'_>) {
    let mut named = named.start();
    named.prints("all zones loaded");
    for transport in ["+notcp", "+tcp"] {
        let dig = format!("dig @{TEST} {transport} +short +tries=1 www.example.org");
        assert_eq!(
            lab.peer(&dig).succeeds().stdout(),
            "192.0.2.7",
            "{transport}"
        );
    }
    named.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn ports_are_shared_within_one_user_only() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let mut held = of(&lab, ADMITTED, &script("hold 7000")).start();
    held.prints("listening");
    let binds = |user, port| {
        let bind = format!("bind {port} SO_REUSEPORT");
        of(&lab, user, &script(&bind)).succeeds().stdout()
    };
    assert_eq!(binds(ADMITTED, 7000), "done");
    assert_eq!(binds(OTHER, 7000), "EADDRINUSE");
    // Nor with a socket of the kernel's that is another user's.
    let mut kernel = lab.plain(&script("hold 7001")).start();
    kernel.prints("listening");
    assert_eq!(binds(OTHER, 7001), "EADDRINUSE");
}

/// What a socket may do after it has failed, or was shut down, it may here, too.
#[test]
fn sockets_may_start_over() {
    let lab = Lab::new();
    let _keeper = preloading().then(|| keeper(&lab, ""));
    let mut program = of(&lab, ADMITTED, &script("turns 7000")).start();
    program.prints("7000");
    let greeting = lab.file("greeting", "hello\n");
    let greet = format!("socat -u OPEN:{greeting} TCP4-LISTEN:7000");
    let _server = lab.peer(&greet).serving_tcp(7000);
    lab.peer(&format!("sh -c 'echo hallo | ncat {TEST} 7000'"))
        .succeeds();
    assert_eq!(
        program.finish().success().stdout(),
        "7000\nb'hallo\\n'\nECONNREFUSED\ndone\n7001 b'hello\\n'\nb'over'"
    );
    lab.kernel_was_silent();
}

#[test]
fn what_another_program_has_bound_stays_the_kernels() {
    let lab = Lab::new();
    let _keeper = preloading().then(|| keeper(&lab, ""));
    let printed = of(&lab, ADMITTED, &script("bound_elsewhere 7000"));
    assert_eq!(printed.within(20).succeeds().stdout(), "7000 1\nb'served'");
    lab.kernel_was_silent();
}

#[test]
fn a_user_is_shown_his_own_sockets() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let keeper = keeper(&lab, "");
    let holds = |user, port| {
        let mut held = of(&lab, user, &script(&format!("hold {port}"))).start();
        held.prints("listening");
        held
    };
    let _held = [holds(ADMITTED, 7000), holds(OTHER, 7001)];
    let asks = |user, what: &str| {
        let ask = format!("{} {what}", command().display());
        of(&lab, user, &ask).env("LD_PRELOAD", "").run()
    };
    let shown = asks(ADMITTED, "ss").success().stdout();
    assert!(
        shown.contains(":7000") && !shown.contains(":7001"),
        "{shown}"
    );
    let counted = asks(ADMITTED, "stat").success().stdout();
    assert!(counted.contains("counts for all users"), "{counted}");
    let stranger = asks(STRANGER, &format!("ss --pid {}", keeper.pid())).exits_with(1);
    assert!(
        stranger.stderr.contains("serves none of yours"),
        "{stranger}"
    );
}

/// What a program passes goes to the keeper as it is.
#[test]
fn an_address_that_is_too_short_is_refused() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let mut keeper = keeper(&lab, "");
    let short = of(&lab, ADMITTED, &script("short")).succeeds();
    assert_eq!(short.stdout(), "EINVAL\nEINVAL\ndone");
    keeper.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn connections_outlive_their_keeper() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(50 * MIB);
    let mut first = keeper(&lab, "");
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = format!(
        "curl -sS --limit-rate 25M -o got -w connected http://{PEER}/{}",
        file.name
    );
    lab.plain("chmod 777 .").succeeds();
    let fetch = of(&lab, ADMITTED, &fetch).within(60).start();
    while std::fs::metadata(lab.path("got")).map_or(0, |got| got.len()) == 0 {
        sleep(Duration::from_millis(5));
    }
    first.kill("TERM");
    assert_eq!(first.finish().status.code(), Some(0));
    let _second = keeper(&lab, "");
    let small = payload::of(KIB);
    let again = of(
        &lab,
        ADMITTED,
        &format!("curl -sS http://{PEER}/{}", small.name),
    );
    assert_eq!(again.sha256(), small.sha256);
    fetch.finish().success();
    assert_eq!(payload::sha256(&lab.path("got")), file.sha256);
    lab.kernel_was_silent();
}

/// Those who go on for a killed keeper are asked by its guests, too, before a port counts as in use.
#[test]
fn a_port_of_a_killed_keepers_is_free() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let mut first = keeper(&lab, "");
    let mut held = of(&lab, ADMITTED, &script("hold 7000")).start();
    held.prints("listening");
    is_kept(&lab, &mut first);
    first.kill("KILL");
    held.kill("KILL");
    drop(first.finish());
    let _second = keeper(&lab, "");
    let bind = of(&lab, ADMITTED, &script("bind 7000")).succeeds();
    assert_eq!(bind.stdout(), "done");
}

#[test]
fn nginx_workers_of_another_user_ask_upstream() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let _upstream = lab.peer(&nginx_beside(&lab, 8080)).serving_tcp(8080);
    let nginx = nginx_with_workers_of(&lab, "nobody nogroup", &format!("{PEER}:8080"));
    let mut web = lab.sidestack(&nginx).serving_tcp(80);
    let url = format!("http://{TEST}/upstream/{}", file.name);
    for _ in 0..3 {
        assert_eq!(lab.peer(&format!("curl -sS {url}")).sha256(), file.sha256);
    }
    web.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn a_forked_process_without_rights_is_served_by_its_parent() {
    let lab = Lab::new();
    payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let drops = lab.sidestack(&script(&format!("drops {PEER} 80")));
    let said = drops.succeeds().stdout();
    assert_eq!(said, format!("1024 ('{PEER}', 80)\nEACCES"));
    lab.kernel_was_silent();
}

#[test]
fn each_refusal_of_a_datagram_is_told() {
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let refused = script(&format!("nobody_hears {PEER} 7000"));
    let said = of(&lab, ADMITTED, &refused).succeeds().stdout();
    assert_eq!(said, "ECONNREFUSED\nECONNREFUSED");
    lab.kernel_was_silent();
}

/// Nobody waits until the kernel has closed them; but it has, some time.
#[test]
fn packet_sockets_are_not_left_behind() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    lab.sidestack(&script("gives_up 10")).succeeds();
    lab.sidestack("ncat -u -w 1 10.23.7.1 7000").run();
    let deadline = Instant::now() + Duration::from_secs(20);
    let open = || {
        let listed = lab.plain("cat /proc/net/packet").succeeds();
        listed.stdout().lines().count() - 1
    };
    while open() > 0 {
        assert!(Instant::now() < deadline, "{} packet sockets", open());
        sleep(Duration::from_millis(20));
    }
}
