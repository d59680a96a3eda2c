//! HAProxy's suite: clients, servers and the proxy between them on one host, with loopback in the stack.

use std::fs;
use std::path::Path;

use super::{ends_alike, outcomes, sources, whole};
use crate::lab::root;

/// What is quick, and about connections rather than about what is said over them.
const QUICK: &str = "connection/dispatch connection/proxy_protocol_send_unique_id connection/http_reuse_always \
    connection/http_reuse_never connection/tcp_to_http_upgrade connection/cli_src_dst checks/1be_40srv_odd_health_checks \
    checks/40be_2srv_odd_health_checks checks/agent-check checks/tcp-check_min-recv checks/tcp-checks-socks4 \
    checks/tcp-check_multiple_ports http-messaging/h1_to_h1 http-messaging/h2_to_h1 http-messaging/http_abortonclose \
    http-messaging/protocol_upgrade seamless-reload/abns_socket mcli/mcli_start_progs log/log_forward log/load_balancing \
    tcp-rules/default_rules server/cli_add_server peers/basic_sync";

#[test]
fn those_of_haproxy() {
    let Some(sources) = sources("haproxy") else {
        return;
    };
    let tests = match whole() {
        true => all(&sources.join("reg-tests")),
        false => QUICK.to_owned(),
    };
    let script = root().join("tests/e2e/suites/haproxy.sh");
    let command = format!("sh {} {} {tests}", script.display(), sources.display());
    ends_alike(15, &[], |lab, ours| {
        let program = match ours {
            true => lab.sidestack(&command).env("SIDESTACK_LOOPBACK", "stack"),
            false => lab.plain(&command),
        };
        outcomes(program.within(if whole() { 900 } else { 120 }))
    });
}

/// All that it has, as `folder/test`.
fn all(folder: &Path) -> String {
    let listed = |path: &Path| {
        let entries = fs::read_dir(path).expect("a readable directory");
        let paths = entries.map(|entry| entry.expect("a readable directory").path());
        paths.collect::<Vec<_>>()
    };
    let folders = listed(folder).into_iter().filter(|path| path.is_dir());
    let tests = folders.flat_map(|path| listed(&path));
    let name = |path: &Path| {
        let path = path.strip_prefix(folder).expect("is below the folder");
        Some(path.to_str()?.strip_suffix(".vtc")?.to_owned())
    };
    let names = tests.filter_map(|path| name(&path));
    names.collect::<Vec<_>>().join(" ")
}
