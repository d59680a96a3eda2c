//! Other programs' own test suites, on the kernel and on us: each test must end alike.
//!
//! libuv's, HAProxy's and Node's talk to themselves, with loopback in the stack. Those of Redis and memcached talk to
//! servers on the test side over the wire, curl's and OpenSSL's run curl and openssl there. They come as source packages
//! (scripts/sources), which `make test` fetches, all but those of curl, OpenSSL and Node; where it could not, it has said
//! so, and the tests do nothing. `make suites` fetches all and runs them whole.

mod curl;
mod haproxy;
mod node;
mod openssl;
mod redis;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use crate::lab::{Lab, Program, TEST, command, library, preloading, root};

/// How each test ended, by its name.
type Outcomes = BTreeMap<String, String>;

/// Whether to run all of a suite, or what is quick.
pub(crate) fn whole() -> bool {
    std::env::var("SUITES").as_deref() == Ok("whole")
}

/// Runs a suite on the kernel and on us at a time, in a lab each; it must end alike, but for what is `explained` (the
/// test, and the reason, which LD_PRELOAD.md tells users). `suite` has the program print a line for each test: its
/// name, a tab, how it ended.
pub(crate) fn ends_alike(
    least: usize,
    explained: &[(&str, &str)],
    suite: impl Fn(&Lab, bool) -> (Outcomes, String) + Sync,
) {
    if !preloading() {
        return;
    }
    let ((expected, kernel_said), (actual, said)) = thread::scope(|scope| {
        let kernel = scope.spawn(|| suite(&Lab::with_plain_programs(), false));
        let actual = suite(&Lab::with_plain_programs(), true);
        (kernel.join().expect("the kernel's run ends"), actual)
    });
    let tests = expected.len();
    assert!(tests >= least, "{tests} tests on the kernel\n{kernel_said}");
    let mut differing: Vec<&String> = expected
        .iter()
        .filter(|(name, kernel)| actual.get(*name) != Some(*kernel))
        .filter(|(name, _)| !explained.iter().any(|(explained, _)| explained == name))
        .map(|(name, _)| name)
        .collect();
    if !differing.is_empty() {
        // Some that count on the time do not always end alike on the kernel either.
        let (again, _) = suite(&Lab::with_plain_programs(), false);
        differing.retain(|name| actual.get(*name) != again.get(*name));
    }
    let differences: Vec<String> = differing
        .into_iter()
        .map(|name| format!("{name}: {}, ours: {:?}", expected[name], actual.get(name)))
        .collect();
    assert!(differences.is_empty(), "{}\n{said}", differences.join("\n"));
    assert_eq!(actual.len(), expected.len());
}

/// How each test ended, and why some failed.
pub(crate) fn outcomes(program: Program<'_>) -> (Outcomes, String) {
    let finished = program.succeeds();
    let printed = finished.stdout();
    let line = |line: &str| {
        let (name, outcome) = line.split_once('\t')?;
        Some((name.to_owned(), outcome.to_owned()))
    };
    let outcomes = printed.lines().filter_map(line).collect();
    (outcomes, finished.stderr)
}

/// Where the package's sources are, if `make test` could fetch them.
fn sources(package: &str) -> Option<PathBuf> {
    let path = root().join("target/sources").join(package);
    path.exists().then_some(path)
}

/// libuv's tests as a program, of the library that Debian builds.
fn libuv_program(sources: &Path) -> PathBuf {
    let program = sources.join("tests-of-libuv");
    if !program.exists() {
        let script = "cc -O0 -w -D_GNU_SOURCE -I../src -o ../fresh \
            $(ls *.c | grep -v 'runner-win\\|run-benchmarks\\|benchmark-') \
            $(pkg-config --variable=libdir libuv)/libuv_a.a -lpthread -ldl -lrt && mv ../fresh ../tests-of-libuv";
        let compiled = Command::new("sh")
            .args(["-c", script])
            .current_dir(sources.join("test"))
            .status();
        assert!(compiled.expect("sh runs").success(), "libuv's tests");
    }
    program
}

/// libuv refuses to be tested by root.
const NOBODY: &str = "setpriv --reuid=nobody --regid=nogroup --clear-groups";
const OF_SOCKETS: &str = "tcp|udp|poll|getsockname|connection|shutdown|ipc_|delayed_accept|multiple_listen|emfile|\
    watcher_cross|callback_order|close_fd|socket_buffer";

#[test]
fn those_of_libuv() {
    let Some(sources) = sources("libuv1") else {
        return;
    };
    let program = libuv_program(&sources);
    let selected = if whole() { "." } else { OF_SOCKETS };
    ends_alike(100, &[], |lab, ours| {
        // A /tmp of its own, in which its unix sockets are, with everything that its user has to reach.
        let own = lab.path("own").display().to_string();
        let make = format!("cp -r {} {own}", sources.join("test").display());
        lab.plain(&make).succeeds();
        lab.plain(&format!("chmod 1777 {own}")).succeeds();
        let copy = |from: &Path, name: &str| {
            fs::copy(from, lab.path("own").join(name)).expect("room for a copy");
        };
        copy(&program, "tests");
        copy(&root().join("tests/e2e/suites/libuv.sh"), "libuv.sh");
        copy(&library(), "libsidestack.so");
        // The keeper, so that what a test leaves behind gives its port back at once.
        copy(&command(), "sidestack");
        let preload = match ours {
            true => "LD_PRELOAD=/tmp/libsidestack.so SIDESTACK_LOOPBACK=stack",
            false => "",
        };
        let run = format!(
            "unshare --mount sh -c 'mount --bind {own} /tmp; cd /tmp; \
             exec {NOBODY} env {preload} sh libuv.sh ./tests \"{selected}\"'"
        );
        outcomes(lab.plain(&run).within(if whole() { 600 } else { 120 }))
    });
}

/// Runs `script` of tests/e2e/suites at the peer's side, which tests `program` at the test side.
fn over_the_wire(
    lab: &Lab,
    ours: bool,
    script: &str,
    package: &str,
    program: &str,
    tests: &str,
) -> (Outcomes, String) {
    let program = match ours {
        true => lab.sidestack(program),
        false => lab.plain(program),
    };
    let script = root().join("tests/e2e/suites").join(script);
    let sources = root().join("target/sources").join(package);
    let command = format!(
        "sh {} {} {} {TEST} {tests}",
        script.display(),
        sources.display(),
        program.script(package)
    );
    outcomes(lab.peer(&command).within(if whole() { 1100 } else { 120 }))
}

const OF_MEMCACHED: &str = "whitespace refhang bogus-commands line-lengths issue_140 issue_70 issue_61 flags \
    binary-get issue_68 issue_152 strtol-testing conn-limits stats noreply cas misbehave daemonize stats-conns \
    udp";

#[test]
fn those_of_memcached() {
    let Some(sources) = sources("memcached") else {
        return;
    };
    let tests = match whole() {
        true => all_of_memcached(&sources),
        false => OF_MEMCACHED.to_owned(),
    };
    ends_alike(15, &[], |lab, ours| {
        over_the_wire(lab, ours, "memcached.sh", "memcached", "memcached", &tests)
    });
}

/// All that it has. Those of what Debian's is built without are skipped by themselves.
fn all_of_memcached(sources: &Path) -> String {
    let listed = fs::read_dir(sources.join("t")).expect("the tests exist");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("a readable directory").file_name();
        Some(name.to_str()?.strip_suffix(".t")?.to_owned())
    };
    listed.filter_map(name).collect::<Vec<_>>().join(" ")
}
