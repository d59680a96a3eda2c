//! The library: found, loaded by the loader, and serving a socket.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Finding;
use super::probe::{self, Answer};
use crate::cli::arguments::Run;
use crate::cli::{library, run};

/// What the findings are headed by.
const WHAT: &str = "library";

pub(super) fn check(run: &Run) -> Vec<Finding> {
    let path = match library::find(run.library.as_deref()) {
        Ok(path) => path,
        Err(problem) => {
            return vec![Finding::fail(
                WHAT,
                problem,
                "sidestack doctor --library PATH",
            )];
        }
    };
    let mut findings = vec![check_version(&path)];
    findings.extend(check_served(&path, run));
    findings
}

fn check_version(path: &Path) -> Finding {
    let shown = path.display();
    let own = env!("CARGO_PKG_VERSION");
    match library::version(path) {
        None => Finding::fail(
            WHAT,
            format!("{shown} is not this project's library"),
            "build it with cargo build --release, or give another with --library",
        ),
        Some(version) if version == own => Finding::ok(WHAT, format!("{shown}, version {version}")),
        Some(version) => Finding::warn(
            WHAT,
            format!("{shown} is version {version}, this command {own}"),
            "install both from one build",
        ),
    }
}

/// Starts this command again with the library preloaded and asks what it saw.
fn check_served(path: &Path, run: &Run) -> Vec<Finding> {
    let child = env::current_exe().and_then(|command| {
        Command::new(command)
            .arg("probe")
            .envs(run::environment(path, run))
            // A capture must not be overwritten by an examination.
            .env_remove("SIDESTACK_PCAP")
            .stdin(Stdio::null())
            .output()
    });
    let output = match child {
        Ok(output) => output,
        Err(error) => {
            let found = format!("cannot start a program with it: {error}");
            return vec![Finding::fail("loading", found, "")];
        }
    };
    let said = String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', "; ");
    let Some(answer) = probe::parse(&output.stdout) else {
        let found = format!("a program with it ended with {}: {said}", output.status);
        return vec![Finding::fail("loading", found, "report this as a bug")];
    };
    let (loaded, not_loaded) = ("the loader takes it", "the loader refuses it");
    match answer {
        Answer::NotLoaded => vec![Finding::fail(
            "loading",
            format!("{not_loaded}: {said}"),
            "use the library built on this machine, for this C library",
        )],
        Answer::Kernel => vec![
            Finding::ok("loading", loaded),
            Finding::fail(
                "a socket",
                format!("is served by the kernel: {}", or_silent(&said)),
                "mend what failed above; --log debug tells more",
            ),
        ],
        Answer::Failed(error) => vec![
            Finding::ok("loading", loaded),
            Finding::fail(
                "a socket",
                format!("failed: {error}; {}", or_silent(&said)),
                "",
            ),
        ],
        Answer::Stack => vec![
            Finding::ok("loading", loaded),
            Finding::ok("a socket", "is served by the stack"),
        ],
    }
}

fn or_silent(said: &str) -> &str {
    if said.is_empty() {
        "the library said nothing"
    } else {
        said
    }
}
