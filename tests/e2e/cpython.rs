//! CPython's own tests of sockets, of what waits for them, and of the clients and servers of its library, on the kernel
//! and, with loopback in the stack, on us: each must end alike.

use crate::lab::root;
use crate::suites::{ends_alike, outcomes, whole};

/// What is quick, and what `make suites` runs besides.
struct Modules {
    quick: &'static str,
    besides: &'static str,
    least: usize,
}

const SOCKETS: Modules = Modules {
    quick: "test.test_socket test.test_select test.test_selectors test.test_epoll test.test_poll test.test_socketserver \
        test.test_multiprocessing_fork.WithProcessesTestListener \
        test.test_multiprocessing_fork.WithProcessesTestListenerClient \
        test.test_multiprocessing_fork.WithThreadsTestListenerClient \
        test.test_multiprocessing_fork.WithProcessesTestPicklingConnections \
        test.test_multiprocessing_fork.WithProcessesTestConnection \
        test.test_multiprocessing_fork.WithManagerTestRemoteManager",
    besides: "test.test_timeout",
    least: 500,
};
const ASYNCIO: Modules = Modules {
    quick: "test.test_asyncio.test_sock_lowlevel test.test_asyncio.test_streams test.test_asyncio.test_server \
        test.test_asyncio.test_sendfile test.test_asyncio.test_base_events test.test_asyncio.test_selector_events",
    besides: "test.test_asyncio",
    least: 250,
};
const PROTOCOLS: Modules = Modules {
    quick: "test.test_ftplib test.test_smtplib test.test_poplib test.test_telnetlib test.test_httpservers \
        test.test_urllib2_localnet test.test_asyncore test.test_asynchat test.test_wsgiref",
    besides: "test.test_httplib test.test_imaplib test.test_nntplib test.test_xmlrpc test.test_ssl",
    least: 450,
};

/// Tests that may end differently, each with the reason, which LD_PRELOAD.md tells users.
const EXPLAINED: &[(&str, &str)] = &[];

fn end_as_on_the_kernel(modules: &Modules) {
    let script = root().join("tests/e2e/cpython.py");
    let (besides, limit) = match whole() {
        true => (modules.besides, 500),
        false => ("--quick", 240),
    };
    // Not another python3 that happens to come first.
    let command = format!(
        "/usr/bin/python3 {} {limit} {} {besides}",
        script.display(),
        modules.quick
    );
    ends_alike(modules.least, EXPLAINED, |lab, ours| {
        let program = match ours {
            true => lab.sidestack(&command).env("SIDESTACK_LOOPBACK", "stack"),
            false => lab.plain(&command),
        };
        outcomes(program.within(limit + 60))
    });
}

#[test]
fn tests_of_sockets_end_as_on_the_kernel() {
    end_as_on_the_kernel(&SOCKETS);
}

#[test]
fn tests_of_asyncio_end_as_on_the_kernel() {
    end_as_on_the_kernel(&ASYNCIO);
}

#[test]
fn tests_of_protocols_end_as_on_the_kernel() {
    end_as_on_the_kernel(&PROTOCOLS);
}
