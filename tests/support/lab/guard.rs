//! Cleans a lab up when its test ends, however it ends.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Reads until the pipe's other end is closed, by `Drop` or by the death of the test process, then ends
/// every process in the namespaces and removes them.
const SCRIPT: &str = r#"
cat >/dev/null
for round in 1 2 3 4 5; do
    pids=$(for ns in "$1" "$2"; do ip netns pids "$ns"; done 2>/dev/null)
    [ -n "$pids" ] || break
    kill -9 $pids 2>/dev/null
    sleep 0.02
done
ip netns del "$1" 2>/dev/null
ip netns del "$2" 2>/dev/null
rm -rf "$3"
"#;

pub(super) struct Guard {
    process: Child,
}

impl Guard {
    pub(super) fn new(namespaces: &[&str; 2], directory: &Path) -> Guard {
        let process = Command::new("sh")
            .args(["-c", SCRIPT, "lab-guard", namespaces[0], namespaces[1]])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A group of its own: a signal to the tests' group must not take the guard with it.
            .process_group(0)
            .spawn()
            .expect("sh runs");
        Guard { process }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Nothing to do about a guard that failed; the namespaces' names tell whose they were.
        let _ = self.process.wait();
    }
}
