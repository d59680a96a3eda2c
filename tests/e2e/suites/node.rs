//! Node's suite as far as it is about sockets, with loopback in the stack.

use super::{ends_alike, outcomes, sources, whole};
use crate::lab::root;

#[test]
fn those_of_node() {
    let Some(sources) = sources("nodejs").filter(|_| whole()) else {
        return;
    };
    let script = root().join("tests/e2e/suites/node.sh");
    let command = format!(
        "sh {} {} net dgram http",
        script.display(),
        sources.display()
    );
    ends_alike(500, &[], |lab, ours| {
        let program = match ours {
            true => lab.sidestack(&command).env("SIDESTACK_LOOPBACK", "stack"),
            false => lab.plain(&command),
        };
        outcomes(program.within(1100))
    });
}
