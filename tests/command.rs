//! The `sidestack` command: what it sets, what it refuses and how it says so.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio, id};
use std::thread;

fn sidestack(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sidestack"))
        .args(arguments)
        .env_remove("LD_PRELOAD")
        .output()
        .expect("the command starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_refused(output: &Output, status: i32, words: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", err(output));
    assert!(err(output).contains(words), "{}", err(output));
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A library that the loader takes and that does nothing.
fn empty_library(name: &str) -> String {
    let path = temporary(name);
    let source = path.with_extension("c");
    fs::write(&source, "int sidestack_empty;\n").expect("a writable directory");
    let status = Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&path, &source])
        .status()
        .expect("gcc runs");
    assert!(status.success());
    path.to_str().expect("a name in UTF-8").to_owned()
}

#[test]
fn says_its_version_and_how_to_use_it() {
    let version = format!("sidestack {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(out(&sidestack(&["--version"])), version);
    let help = out(&sidestack(&["--help"]));
    assert_eq!(out(&sidestack(&["help"])), help);
    let of_run = out(&sidestack(&["run", "--help"]));
    assert_eq!(out(&sidestack(&["help", "run"])), of_run);
    for word in [
        "run",
        "pcap",
        "doctor",
        "ss",
        "stat",
        "--interface",
        "--required",
    ] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(of_run.contains("--congestion"));
}

#[test]
fn run_sets_the_variables_and_preloads_the_library_first() {
    let library = empty_library("run-sets.so");
    let output = Command::new(env!("CARGO_BIN_EXE_sidestack"))
        .args([
            "run",
            "--library",
            &library,
            "--interface=eth7",
            "--address",
            "10.0.0.5/24",
        ])
        .args(["--log-file", "log", "--required", "env"])
        .env("LD_PRELOAD", "")
        .output()
        .expect("the command starts");
    let environment = out(&output);
    let lines: Vec<&str> = environment.lines().collect();
    let preload = format!("LD_PRELOAD={library}");
    for wanted in [
        &preload,
        "SIDESTACK_INTERFACE=eth7",
        "SIDESTACK_ADDRESS=10.0.0.5/24",
        "SIDESTACK_LOG_FILE=log",
        "SIDESTACK_REQUIRED=1",
    ] {
        assert!(lines.contains(&wanted), "{wanted} in {environment}");
    }
}

#[test]
fn run_keeps_what_was_to_be_preloaded_anyway() {
    let (library, other) = (empty_library("run-keeps.so"), empty_library("run-other.so"));
    let output = Command::new(env!("CARGO_BIN_EXE_sidestack"))
        .args([
            "run",
            "--library",
            &library,
            "--",
            "sh",
            "-c",
            "echo $LD_PRELOAD",
        ])
        .env("LD_PRELOAD", &other)
        .output()
        .expect("the command starts");
    assert_eq!(out(&output).trim(), format!("{library}:{other}"));
}

#[test]
fn run_passes_arguments_and_status_on() {
    let library = empty_library("run-passes.so");
    let script = "echo \"$0:$1:$2\"; exit 7";
    let output = sidestack(&[
        "run",
        "--library",
        &library,
        "--",
        "sh",
        "-c",
        script,
        "--log",
        "-x",
        "b c",
    ]);
    assert_eq!(out(&output), "--log:-x:b c\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn run_leaves_signals_as_they_were() {
    let library = empty_library("run-signals.so");
    let masks = |prefix: &str, suffix: &str| {
        let show = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
        let command = format!("{prefix} {suffix} {show}");
        let output = Command::new("sh").args(["-c", &command]).output();
        out(&output.expect("a shell"))
    };
    let ours = format!(
        "{} run --library {library} --",
        env!("CARGO_BIN_EXE_sidestack")
    );
    for prefix in [
        "",
        "env --ignore-signal=PIPE,HUP",
        "env --block-signal=USR1",
    ] {
        assert_eq!(masks(prefix, &ours), masks(prefix, ""), "{prefix}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let command = format!("{} --help | head -n 1", env!("CARGO_BIN_EXE_sidestack"));
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", &command])
        .output();
    let output = output.expect("bash runs");
    assert!(
        output.status.success() && err(&output).is_empty(),
        "{}",
        err(&output)
    );
}

#[test]
fn pcap_is_run_with_the_variable() {
    let library = empty_library("pcap.so");
    let output = sidestack(&[
        "pcap",
        "-o",
        "trace.pcapng",
        "--library",
        &library,
        "--",
        "env",
    ]);
    assert!(
        out(&output)
            .lines()
            .any(|line| line == "SIDESTACK_PCAP=trace.pcapng")
    );
    assert_refused(&sidestack(&["pcap", "--", "true"]), 2, "-o FILE");
}

#[test]
fn refuses_wrong_words() {
    assert_refused(&sidestack(&["frobnicate"]), 2, "no command 'frobnicate'");
    assert_refused(&sidestack(&["run", "--frob", "true"]), 2, "--frob");
    assert_refused(&sidestack(&["run", "--interface"]), 2, "--interface");
    assert_refused(&sidestack(&["run"]), 2, "no program to run");
    let unknown = ["help", "frobnicate"];
    assert_refused(&sidestack(&unknown), 2, "no command 'frobnicate'");
    assert_refused(&sidestack(&["ss", "--pid", "x"]), 2, "x");
    assert_refused(&sidestack(&["doctor", "true"]), 2, "true");
    assert_refused(&sidestack(&["keeper", "--sockets", "many"]), 2, "many");
    let nobody = ["keeper", "--allow-user", "no such user"];
    assert_refused(&sidestack(&nobody), 125, "no such user");
    let shut = ["keeper", "--listener", "99"];
    assert_refused(&sidestack(&shut), 1, "descriptor 99");
}

#[test]
fn refuses_a_missing_library_and_names_that_cannot_be_preloaded() {
    assert_refused(
        &sidestack(&["run", "--library", "/none.so", "true"]),
        125,
        "/none.so",
    );
    let spaced = empty_library("a b.so");
    assert_refused(
        &sidestack(&["run", "--library", &spaced, "true"]),
        125,
        "a blank or a colon",
    );
}

#[test]
fn refuses_missing_programs() {
    let library = empty_library("missing.so");
    let run = |program| sidestack(&["run", "--library", &library, "--", program]);
    assert_refused(&run("no-such-program"), 127, "no program 'no-such-program'");
    assert_refused(&run("/none"), 127, "there is no program /none");
    assert_refused(&run("/etc/passwd"), 126, "no permission");
    assert_refused(&run("/etc"), 126, "no regular file");
}

/// `run` warns of a program that is built of `source` and ends with status 3, and refuses it with
/// `--required`; it says `why`.
fn warns_and_refuses(name: &str, source: &str, options: &[&str], why: &str) {
    let (library, program) = (empty_library(&format!("{name}.so")), temporary(name));
    let file = temporary(&format!("{name}-program.c"));
    fs::write(&file, source).expect("a writable directory");
    let status = Command::new("gcc")
        .args(options)
        .arg("-o")
        .args([&program, &file])
        .status();
    assert!(status.expect("gcc runs").success());
    let program = program.to_str().expect("a name in UTF-8");
    let output = sidestack(&["run", "--library", &library, program]);
    assert_refused(&output, 3, why);
    let output = sidestack(&["run", "--library", &library, "--required", program]);
    assert_refused(&output, 125, why);
}

#[test]
fn warns_of_static_programs_and_refuses_them_when_required() {
    let source = "int main(void) { return 3; }\n";
    warns_and_refuses("static", source, &["-static"], "static program");
}

#[test]
fn warns_of_programs_in_go_and_refuses_them_when_required() {
    // What tells them is the note of Go's linker.
    let source = r#"
        __asm__(".section .note.go.buildid, \"a\", @note\n"
                ".long 4, 5, 4\n .ascii \"Go\\0\\0\"\n .ascii \"lab/1\\0\\0\\0\"\n .text\n");
        int main(void) { return 3; }
    "#;
    warns_and_refuses("go", source, &[], "Go program");
}

#[test]
fn warns_of_programs_that_gain_rights() {
    let program = temporary("set-user-id");
    fs::copy("/bin/true", &program).expect("a writable directory");
    if chown(&program, Some(65534), None).is_err() {
        return; // Only root can give files away.
    }
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("the owner's right");
    let (library, program) = (empty_library("gains.so"), program.to_str().expect("UTF-8"));
    assert_refused(
        &sidestack(&["run", "--library", &library, program]),
        0,
        "set-user-ID",
    );
}

#[test]
fn ss_prints_what_a_process_answers_in_columns() {
    let pid = id();
    let name = SocketAddr::from_abstract_name(format!("sidestack/{pid}")).expect("a short name");
    let listener = UnixListener::bind_addr(&name).expect("the name is free");
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut request = String::new();
        BufReader::new(&client)
            .read_line(&mut request)
            .expect("a request");
        let answer = b"Proto State Recv-Q Send-Q Local Peer Details\n\
            tcp ESTAB 0 12 10.0.0.1:40000 10.0.0.2:80 cwnd:14480 rtt:412us \x1b[2J\n";
        client.write_all(answer).expect("the client listens");
        request
    });
    let output = sidestack(&["ss", "--pid", &pid.to_string()]);
    assert_eq!(server.join().expect("the server ends"), "ss\n");
    let text = out(&output);
    assert!(text.contains(&format!("(pid {pid})\n")), "{text}");
    assert!(
        text.contains(
            "  tcp   ESTAB 0      12     10.0.0.1:40000 10.0.0.2:80 cwnd:14480 rtt:412us"
        )
    );
    assert!(
        !text.contains('\x1b'),
        "control characters do not reach the terminal"
    );
}

/// Listens under the name of a process with a stack, and answers without end.
const BABBLER: &str = "
import os, socket, time
listener = socket.socket(socket.AF_UNIX)
listener.bind('\\0sidestack/%d' % os.getpid())
listener.listen()
print('listening', flush=True)
client, _ = listener.accept()
while True:
    client.send(b'x')
    time.sleep(0.1)
";

#[test]
fn stat_does_not_listen_for_ever() {
    let mut babbler = Command::new("python3")
        .args(["-c", BABBLER])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python runs");
    let mut line = String::new();
    let stdout = babbler.stdout.take().expect("it is piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("a listener");
    let output = sidestack(&["stat", "--pid", &babbler.id().to_string()]);
    // It ends by EPIPE, too.
    let _ = babbler.kill();
    babbler.wait().expect("it ends");
    assert_refused(&output, 1, "its answer does not end");
}

#[test]
fn ss_says_when_there_is_nobody() {
    assert_refused(
        &sidestack(&["stat", "--pid", "1"]),
        1,
        "no stack runs in it",
    );
}

#[test]
fn doctor_names_what_is_wrong_and_what_to_do() {
    let wrong = |option: &str, value: &str| {
        let output = sidestack(&["doctor", option, value]);
        assert_eq!(output.status.code(), Some(1));
        out(&output)
    };
    let text = wrong("--interface", "nonesuch");
    assert!(text.contains("fail  interface"), "{text}");
    assert!(text.contains("\"nonesuch\""), "{text}");
    assert!(text.contains("→ give --interface IF"), "{text}");
    let text = wrong("--log", "loud");
    assert!(text.contains("fail  variables"), "{text}");
    assert!(
        text.contains("\"loud\"") && text.contains("expected off, error"),
        "{text}"
    );
    let text = wrong("--library", "/none.so");
    assert!(text.contains("fail  library"), "{text}");
}
