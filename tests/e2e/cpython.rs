//! CPython's own tests of sockets, selectors and servers, on the kernel and, with loopback in the stack, on us: each
//! must end alike.

use std::collections::BTreeMap;
use std::thread;

use crate::lab::{Lab, Program, preloading, root};

const MODULES: &str = "test.test_socket test.test_select test.test_selectors test.test_epoll test.test_poll \
    test.test_socketserver test.test_asyncio.test_sock_lowlevel test.test_asyncio.test_streams \
    test.test_asyncio.test_server test.test_asyncio.test_sendfile \
    test.test_multiprocessing_fork.WithProcessesTestListener \
    test.test_multiprocessing_fork.WithProcessesTestListenerClient \
    test.test_multiprocessing_fork.WithThreadsTestListenerClient \
    test.test_multiprocessing_fork.WithProcessesTestPicklingConnections \
    test.test_multiprocessing_fork.WithProcessesTestConnection \
    test.test_multiprocessing_fork.WithManagerTestRemoteManager";

/// Tests that may end differently, each with the reason, which LD_PRELOAD.md tells users.
const EXPLAINED: &[(&str, &str)] = &[];

#[test]
fn its_tests_end_as_on_the_kernel() {
    if !preloading() {
        return;
    }
    let ((expected, _), (actual, said)) = thread::scope(|scope| {
        let kernel = scope.spawn(|| outcomes(Lab::with_plain_programs().plain(&command())));
        let ours = Lab::new();
        let actual = outcomes(
            ours.sidestack(&command())
                .env("SIDESTACK_LOOPBACK", "stack"),
        );
        (kernel.join().expect("the kernel's run ends"), actual)
    });
    assert!(expected.len() > 500, "{} tests", expected.len());
    let differences: Vec<String> = expected
        .iter()
        .filter(|(name, kernel)| actual.get(*name) != Some(*kernel))
        .filter(|(name, _)| !EXPLAINED.iter().any(|(explained, _)| explained == name))
        .map(|(name, kernel)| format!("{name}: {kernel}, ours: {:?}", actual.get(name)))
        .collect();
    assert!(differences.is_empty(), "{}\n{said}", differences.join("\n"));
    assert_eq!(actual.len(), expected.len());
}

fn command() -> String {
    let script = root().join("tests/e2e/cpython.py");
    // Not another python3 that happens to come first.
    format!("/usr/bin/python3 {} {MODULES}", script.display())
}

/// How each test ended, by its name, and why some failed.
fn outcomes(program: Program<'_>) -> (BTreeMap<String, String>, String) {
    let finished = program.within(300).succeeds();
    let printed = finished.stdout();
    let line = |line: &str| {
        let (name, outcome) = line.split_once('\t')?;
        Some((name.to_owned(), outcome.to_owned()))
    };
    let outcomes = printed.lines().filter_map(line).collect();
    (outcomes, finished.stderr)
}
