//! Node's suite as far as it is about sockets, with loopback in the stack.

use super::{ends_alike, outcomes, sources, whole};
use crate::lab::root;

/// The tests of these subjects.
fn those_of_node(subjects: &str, least: usize) {
    let Some(sources) = sources("nodejs").filter(|_| whole()) else {
        return;
    };
    let script = root().join("tests/e2e/suites/node.sh");
    let command = format!("sh {} {} {subjects}", script.display(), sources.display());
    ends_alike(least, &[], |lab, ours| {
        let program = match ours {
            true => lab.sidestack(&command).env("SIDESTACK_LOOPBACK", "stack"),
            false => lab.plain(&command),
        };
        outcomes(program.within(1100))
    });
}

#[test]
fn those_of_node_about_sockets() {
    those_of_node("net dgram", 200);
}

#[test]
fn those_of_node_about_http() {
    those_of_node("http", 340);
}
