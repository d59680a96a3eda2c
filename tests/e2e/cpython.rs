//! CPython's own tests of sockets, selectors and servers, on the kernel and, with loopback in the stack, on us: each
//! must end alike.

use crate::lab::root;
use crate::suites::{ends_alike, outcomes};

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
    let script = root().join("tests/e2e/cpython.py");
    // Not another python3 that happens to come first.
    let command = format!("/usr/bin/python3 {} {MODULES}", script.display());
    ends_alike(500, EXPLAINED, |lab, ours| {
        let program = match ours {
            true => lab.sidestack(&command).env("SIDESTACK_LOOPBACK", "stack"),
            false => lab.plain(&command),
        };
        outcomes(program.within(300))
    });
}
