//! Where the library cannot serve: one line says why, and the program runs on the kernel.

use crate::lab::{Lab, PEER, Program};
use crate::server;

/// What the lab's kernel would say on the wire is not silenced here: it is to serve.
fn lab() -> Lab {
    Lab::with_plain_programs()
}

/// A program that fetches 100 bytes from the peer and prints how many came, or the errno.
fn client(lab: &Lab) -> String {
    let script = lab.file(
        "client.py",
        &format!(
            "import errno, socket\n\
             try:\n\
             \x20   s = socket.create_connection(('{PEER}', 7777), timeout=10)\n\
             \x20   print(len(s.recv(100, socket.MSG_WAITALL)))\n\
             except OSError as e:\n\
             \x20   print(errno.errorcode[e.errno])\n"
        ),
    );
    format!("python3 {script}")
}

/// Runs the client, which must be served by the kernel after one line that contains `words`.
#[track_caller]
fn refuses(lab: &Lab, words: &str, with: impl FnOnce(Program<'_>) -> Program<'_>) {
    let _server = lab.peer(&server(lab, 100)).serving_tcp(7777);
    let finished = with(lab.sidestack(&client(lab))).succeeds();
    assert_eq!(finished.stdout(), "100", "{finished}");
    one_line(&finished.stderr, words);
    assert!(
        finished
            .stderr
            .ends_with("; this program runs on the kernel's stack\n"),
        "{finished}"
    );
}

#[track_caller]
fn one_line(text: &str, words: &str) {
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("sidestack: error: "), "{text}");
    assert!(text.contains(words), "{words} in {text}");
}

#[test]
fn without_the_right() {
    refuses(&lab(), "CAP_NET_RAW is missing", |program| {
        program.under("setpriv --bounding-set=-net_raw --inh-caps=-net_raw")
    });
}

#[test]
fn with_a_wrong_value() {
    let lab = lab();
    for (name, value, words) in [
        ("SIDESTACK_ADDRESS", "10.0.0.5", "expected host, or IPv4"),
        ("SIDESTACK_CONGESTION", "vegas", "expected cubic or reno"),
        ("SIDESTACK_IMPAIR", "loss=200%", "a share such as loss=1%"),
        (
            "SIDESTACK_PCAP",
            "/none/x",
            "/none/x: No such file or directory",
        ),
        (
            "SIDESTACK_CONFIG",
            "/none",
            "=/none: No such file or directory",
        ),
    ] {
        refuses(&lab, words, |program| program.env(name, value));
    }
}

#[test]
fn where_the_interface_is_down() {
    let lab = lab();
    lab.plain("ip link set lab0 down").succeeds();
    let down = |required: &str| {
        lab.sidestack(&client(&lab))
            .env("SIDESTACK_INTERFACE", "lab0")
            .env("SIDESTACK_REQUIRED", required)
            .succeeds()
    };
    let finished = down("0");
    assert_eq!(finished.stdout(), "ENETUNREACH", "the kernel's own answer");
    one_line(
        &finished.stderr,
        "\"lab0\" is down; set it up (ip link set lab0 up)",
    );
    let finished = down("1");
    assert_eq!(finished.stdout(), "ENETDOWN");
    one_line(
        &finished.stderr,
        "socket calls fail, as SIDESTACK_REQUIRED asks",
    );
}

#[test]
fn required_is_not_taken_for_less() {
    let lab = lab();
    for required in ["1", "yes"] {
        let finished = lab
            .sidestack(&client(&lab))
            .env("SIDESTACK_INTERFACE", "eth9")
            .env("SIDESTACK_REQUIRED", required)
            .succeeds();
        assert_eq!(finished.stdout(), "ENETDOWN", "{finished}");
        one_line(
            &finished.stderr,
            "socket calls fail, as SIDESTACK_REQUIRED asks",
        );
    }
}

/// The loader takes no library by path into a program that gains rights: it runs as if nothing
/// were preloaded, and its environment steers nothing.
#[test]
fn a_set_user_id_program_is_left_alone() {
    let lab = lab();
    let _server = lab.peer(&server(&lab, 100)).serving_tcp(7777);
    let (program, log) = (lab.path("set-user-id"), lab.path("log"));
    std::fs::copy("/usr/bin/socat", &program).expect("socat is installed");
    lab.plain(&format!("chmod 4755 {}", program.display()))
        .succeeds();
    let finished = lab
        .sidestack(&format!(
            "{} -u TCP:{PEER}:7777,readbytes=100 -",
            program.display()
        ))
        .env("SIDESTACK_LOG", "debug")
        .env("SIDESTACK_LOG_FILE", &log.display().to_string())
        .under("setpriv --reuid=65534 --clear-groups")
        .succeeds();
    assert_eq!(finished.stdout().len(), 100, "{finished}");
    assert_eq!(finished.stderr, "");
    assert!(!log.exists(), "a file made with the program's rights");
}

#[test]
fn an_unknown_variable_is_only_warned_of() {
    let lab = Lab::new();
    let _server = lab.peer(&server(&lab, 100)).serving_tcp(7777);
    let finished = lab
        .sidestack(&client(&lab))
        .env("SIDESTACK_INTERFACES", "lab0")
        .succeeds();
    assert_eq!(finished.stdout(), "100", "{finished}");
    assert!(
        finished
            .stderr
            .contains("unknown variable SIDESTACK_INTERFACES")
    );
    lab.kernel_was_silent();
}
