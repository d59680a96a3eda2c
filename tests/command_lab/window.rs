//! `sidestack ss` and `sidestack stat` against running programs.

use std::time::{Duration, Instant};

use crate::lab::{BLACKHOLE, Lab, PEER, TEST, command};
use crate::server;

/// Bytes the peer sends.
const SENT: usize = 5000;

/// Connects, reads nothing, says so, and computes for ever.
fn busy(lab: &Lab) -> String {
    let script = lab.file(
        "busy.py",
        &format!(
            "import socket, sys\n\
             s = socket.create_connection(('{PEER}', 7777))\n\
             s.send(b'hello')\n\
             print('computing', flush=True)\n\
             while True: pass\n"
        ),
    );
    format!("python3 {script}")
}

/// What the command prints about a process.
fn ask(lab: &Lab, words: &str, pid: u32) -> String {
    lab.plain(&format!("{} {words} --pid {pid}", command().display()))
        .succeeds()
        .stdout()
}

/// Asks until `fits`.
fn ask_until(lab: &Lab, words: &str, pid: u32, fits: impl Fn(&str) -> bool) -> String {
    for _ in 0..100 {
        let text = ask(lab, words, pid);
        if fits(&text) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within 2 s: {}", ask(lab, words, pid));
}

fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(word))
        .unwrap_or_else(|| panic!("{word} in {text}"))
}

fn counter(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[test]
fn ss_shows_a_connection_of_a_program_that_computes() {
    let lab = Lab::new();
    let _server = lab.peer(&server(&lab, SENT)).serving_tcp(7777);
    let mut program = lab.sidestack(&busy(&lab)).start();
    program.prints("computing");
    let text = ask_until(&lab, "ss", program.pid(), |text| text.contains(" 5000 "));
    let connection = line(&text, "ESTAB");
    let words: Vec<&str> = connection.split_whitespace().collect();
    assert_eq!(words[..2], ["tcp", "ESTAB"]);
    assert_eq!(words[2], SENT.to_string(), "{text}");
    assert!(words[4].starts_with(TEST), "{text}");
    assert_eq!(words[5], format!("{PEER}:7777"));
    for detail in [
        "cubic",
        "ts",
        "sack",
        "wscale:",
        "mss:1448",
        "rtt:",
        "rto:",
        "cwnd:",
        "snd_wnd:",
        "retransmits:0",
        "rcv_wnd:",
        "fd:",
    ] {
        assert!(connection.contains(detail), "{detail} in {text}");
    }
    let text = ask(&lab, "stat", program.pid());
    line(&text, "interface lab0");
    line(&text, "driven_by background");
    assert_eq!(counter(&text, "tcp_active_opens"), 1);
    assert_eq!(counter(&text, "tcp_connections"), 1);
    assert!(counter(&text, "link_received") >= 3, "{text}");
    assert!(!text.contains("tcp_pool_full"), "zeros only with --all");
    assert!(ask(&lab, "stat --all", program.pid()).contains("tcp_pool_full 0"));
}

#[test]
fn ss_shows_listeners_datagrams_and_what_has_no_descriptor() {
    let lab = Lab::new();
    let script = lab.file(
        "serve.py",
        "import socket, time\n\
         l = socket.create_server(('0.0.0.0', 8000), backlog=7)\n\
         u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         u.bind(('0.0.0.0', 5300))\n\
         c, _ = l.accept()\n\
         c.close()\n\
         print('closed', flush=True)\n\
         k = socket.create_connection(('127.0.0.1', 8000))\n\
         print('asleep', flush=True)\n\
         time.sleep(60)\n",
    );
    let mut program = lab
        .sidestack(&format!("python3 {script}"))
        .serving_tcp(8000);
    let _client = lab
        .peer(&format!("socat -u TCP:{TEST}:8000 /dev/null"))
        .start();
    program.prints("asleep");
    let text = ask_until(&lab, "ss", program.pid(), |text| text.contains("TIME-WAIT"));
    let listener: Vec<&str> = line(&text, "LISTEN").split_whitespace().collect();
    assert_eq!(listener[2..6], ["0", "7", "0.0.0.0:8000", "*"], "{text}");
    assert!(line(&text, "TIME-WAIT").contains("count:1"), "{text}");
    let datagram = line(&text, "udp");
    assert!(
        datagram.contains("UNCONN") && datagram.contains(":5300"),
        "{text}"
    );
    let text = ask(&lab, "stat", program.pid());
    assert_eq!(counter(&text, "passed_to_kernel_destination"), 1, "{text}");
    assert_eq!(counter(&text, "tcp_time_wait"), 1, "{text}");
}

#[test]
fn forked_processes_are_known_until_they_end() {
    let lab = Lab::new();
    let end = |name: &str| lab.path(name).display().to_string();
    let script = lab.file(
        "forks.py",
        &format!(
            "import os, socket, time\n\
             u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
             u.bind(('0.0.0.0', 5300))\n\
             def until(path):\n\
             \x20   while not os.path.exists(path): time.sleep(0.02)\n\
             \x20   os._exit(0)\n\
             if os.fork() == 0:\n\
             \x20   if os.fork() == 0: until('{}')\n\
             \x20   until('{}')\n\
             if os.fork() == 0: os.execv('/bin/sleep', ['sleep', '60'])\n\
             print('forked', flush=True)\n\
             time.sleep(60)\n",
            end("grandchild"),
            end("child"),
        ),
    );
    let mut program = lab.sidestack(&format!("python3 {script}")).start();
    program.prints("forked");
    // The program that was executed took no socket along.
    let forked = |count: usize| {
        let expected = format!("forked_processes {count}\n");
        ask_until(&lab, "stat --all", program.pid(), |text| {
            format!("{text}\n").contains(&expected)
        });
    };
    forked(1);
    lab.file("child", "");
    std::thread::sleep(Duration::from_millis(200));
    forked(1);
    lab.file("grandchild", "");
    forked(0);
}

/// A process that goes on for another says so, and what keeps it: ends of sockets that others have.
#[test]
fn who_goes_on_for_a_killed_program_explains_itself() {
    let lab = Lab::new();
    let script = lab.file(
        "listen.py",
        "import os, socket, time\n\
         l = socket.create_server(('0.0.0.0', 8000))\n\
         b = socket.socket()\n\
         b.bind(('0.0.0.0', 8001))\n\
         if os.fork() == 0: time.sleep(60)\n\
         print('forked', flush=True)\n\
         time.sleep(60)\n",
    );
    let mut program = lab.sidestack(&format!("python3 {script}")).start();
    program.prints("forked");
    let text = ask_until(&lab, "stat", program.pid(), |text| {
        text.contains("keeper 1")
    });
    line(&text, "serves_as program");
    let text = ask(&lab, "ss", program.pid());
    for (port, state) in [(":8000", "LISTEN"), (":8001", "UNCONN")] {
        let socket = line(&text, port);
        for word in [state, "fd:", "shared:yes", "end:"] {
            assert!(socket.contains(word), "{word} in {text}");
        }
    }
    drop(program);
    let executor = executor_of(&lab);
    let text = ask(&lab, "ss", executor);
    for port in [":8000", ":8001"] {
        assert!(line(&text, port).contains("shared:yes end:"), "{text}");
    }
}

/// An attempt to connect that ends while another process asks about it leaves nothing in its owner.
#[test]
fn nothing_is_left_of_what_another_process_has_shut() {
    let lab = Lab::new();
    let script = lab.file(
        "shuts.py",
        &format!(
            "import os, socket, time\n\
             s = socket.socket()\n\
             s.setblocking(False)\n\
             s.connect_ex(('{PEER}', {BLACKHOLE}))\n\
             here, there = os.pipe()\n\
             child = os.fork()\n\
             if child == 0:\n\
             \x20   os.read(here, 1)\n\
             \x20   try: s.shutdown(socket.SHUT_RDWR)\n\
             \x20   except OSError: pass\n\
             \x20   os._exit(0)\n\
             s.close()\n\
             os.write(there, b'.')\n\
             os.waitpid(child, 0)\n\
             print('shut', flush=True)\n\
             time.sleep(60)\n"
        ),
    );
    let mut program = lab.sidestack(&format!("python3 {script}")).start();
    program.prints("shut");
    ask_until(&lab, "stat --all", program.pid(), |text| {
        format!("{text}\n").contains("descriptors 0\n")
    });
}

/// The process that goes on for a killed one.
fn executor_of(lab: &Lab) -> u32 {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let all = lab.plain(&format!("{} stat", command().display())).run();
        let text = all.stdout();
        if let Some((before, _)) = text.split_once("serves_as executor")
            && let Some((_, pid)) = before.rsplit_once("(pid ")
        {
            let pid = pid.split(')').next().and_then(|pid| pid.parse().ok());
            return pid.expect("a line names the process");
        }
        assert!(Instant::now() < end, "{text}");
    }
}

#[test]
fn every_process_is_listed_and_named() {
    let lab = Lab::new();
    let sleep = "import socket, time; s = socket.socket(); print(1, flush=True); time.sleep(60)";
    let mut programs: Vec<_> = (0..3)
        .map(|_| lab.sidestack(&format!("python3 -c '{sleep}'")).start())
        .collect();
    programs.iter_mut().for_each(|program| program.prints("1"));
    let text = lab
        .plain(&format!("{} ss", command().display()))
        .succeeds()
        .stdout();
    for program in &programs {
        line(&text, &format!("python3 (pid {})", program.pid()));
    }
    drop(programs);
    let nobody = lab.plain(&format!("{} ss", command().display())).run();
    assert!(
        nobody
            .exits_with(1)
            .stderr
            .contains("no program runs on a stack")
    );
}

#[test]
fn strangers_get_no_answer_and_bad_clients_hurt_nobody() {
    let lab = Lab::new();
    let _server = lab.peer(&server(&lab, SENT)).serving_tcp(7777);
    let mut program = lab.sidestack(&busy(&lab)).start();
    program.prints("computing");
    let pid = program.pid();
    let stranger = lab
        .plain(&format!("{} ss --pid {pid}", command().display()))
        .under("setpriv --reuid=65534 --clear-groups")
        .run()
        .exits_with(1);
    assert!(
        stranger.stderr.contains("belongs to another user"),
        "{stranger}"
    );
    let script = lab.file(
        "bad.py",
        &format!(
            "import socket, sys, time\n\
             def ask(line):\n\
             \x20   s = socket.socket(socket.AF_UNIX); s.connect('\\0sidestack/{pid}'); s.settimeout(5)\n\
             \x20   for piece in line: s.send(piece); time.sleep(.02)\n\
             \x20   return s\n\
             mute = [ask([]) for _ in range(20)]\n\
             long = ask([b'x' * 100])\n\
             gone = ask([b'ss\\n']); gone.close()\n\
             print(ask([b'frobnicate\\n']).makefile().read())\n\
             print(ask([b's', b's', b'\\n']).makefile().read())\n"
        ),
    );
    let text = lab.plain(&format!("python3 {script}")).succeeds().stdout();
    assert!(text.starts_with("error: "), "{text}");
    assert!(
        text.contains("Proto State") && text.contains("ESTAB"),
        "{text}"
    );
    assert!(ask(&lab, "ss", pid).contains("ESTAB"));
    program.still_runs();
}

#[test]
fn a_thousand_sockets_fit_into_an_answer() {
    let lab = Lab::new();
    let script = lab.file(
        "many.py",
        "import socket, time\n\
         s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1000)]\n\
         for u in s: u.bind(('0.0.0.0', 0))\n\
         print('bound', flush=True)\n\
         time.sleep(60)\n",
    );
    let mut program = lab.sidestack(&format!("python3 {script}")).start();
    program.prints("bound");
    let text = ask(&lab, "ss", program.pid());
    assert_eq!(text.matches("UNCONN").count(), 1000);
}
