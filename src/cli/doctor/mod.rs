//! `sidestack doctor`: can this machine run programs on the stack, and if not, what is to be done.
//!
//! Each check is a small function that gives one or more [`Finding`]s; a finding that is not `ok`
//! says its remedy. Nothing on the machine is changed. The options are those of `run`: what is
//! examined is what `run` with the same options would meet.
//!
//! Settings and interface are looked at by the library's own code, so that both mean the same. The
//! last check is the proof: a child with the library preloaded opens an Internet socket and says who
//! served it.

mod interface;
mod keeper;
mod kernel;
mod loading;
pub(crate) mod probe;
mod process;
mod rights;
mod variables;

use std::process::ExitCode;

use super::arguments::Run;
use super::say;

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// As it should be.
    Ok,
    /// It runs, but worse than it could.
    Warn,
    /// It does not run.
    Fail,
    /// Its sockets are refused: the kernel does not serve them either.
    Refuse,
}

/// One line of the table.
struct Finding {
    verdict: Verdict,
    /// What was looked at, a word or two.
    what: &'static str,
    /// What was found.
    found: String,
    /// What to do about it; empty when it is fine.
    remedy: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Ok,
            what,
            found: found.into(),
            remedy: String::new(),
        }
    }

    fn warn(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Warn,
            what,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    fn fail(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Fail,
            ..Finding::warn(what, found, remedy)
        }
    }

    fn refuse(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Refuse,
            ..Finding::warn(what, found, remedy)
        }
    }
}

/// Runs every check, prints the table; status 0 if nothing failed, else 1.
pub(crate) fn examine(run: &Run) -> ExitCode {
    let (settings, mut findings) = variables::check(&run.settings);
    findings.extend(rights::check(&settings));
    findings.extend(kernel::check());
    findings.extend(interface::check(&settings));
    findings.extend(process::check());
    findings.extend(loading::check(run));
    for finding in &findings {
        print(finding);
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    conclude(worst.unwrap_or(Verdict::Ok))
}

fn print(finding: &Finding) {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail | Verdict::Refuse => "fail",
    };
    say(&format!(
        "{verdict:<5} {:<22} {}",
        finding.what, finding.found
    ));
    if !finding.remedy.is_empty() {
        say(&format!("{:<5} {:<22} → {}", "", "", finding.remedy));
    }
}

fn conclude(worst: Verdict) -> ExitCode {
    let (sentence, status) = match worst {
        Verdict::Ok => ("This machine can run programs on the stack.", 0),
        Verdict::Warn => (
            "This machine can run programs on the stack; the warnings say what could be better.",
            0,
        ),
        Verdict::Fail => (
            "Programs would run on the kernel here. Do what the arrows say.",
            1,
        ),
        Verdict::Refuse => (
            "Programs would get no Internet sockets here. Do what the arrows say.",
            1,
        ),
    };
    say(&format!("\n{sentence}"));
    ExitCode::from(status)
}
