//! Processes that have another version of the library, as after an upgrade.

use crate::keeper::{self as killed, is_kept};
use crate::lab::{Lab, Running, command, library, preloading, root};
use crate::served::{ADMITTED, keeper, of, script as served};

/// What stands where the version does in a name of another.
const OTHER: &str = "0.0.0-01234567";

fn script(arguments: &str) -> String {
    let script = root().join("tests/e2e/versions.py");
    format!("/usr/bin/python3 {} {arguments}", script.display())
}

/// Somebody of root's who listens under a name, as one of another version does.
fn listening<'lab>(lab: &'lab Lab, name: &str) -> Running<'lab> {
    let listens = script(&format!("listens sidestack/{name}/{OTHER}"));
    let mut listening = lab.plain(&listens).start();
    listening.prints("listening");
    listening
}

#[test]
fn a_keeper_of_another_version_is_told_of_and_not_asked() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let other = listening(&lab, "keeper/0");
    let client = of(&lab, ADMITTED, &served("bind 7000")).succeeds();
    assert_eq!(client.stdout(), "done");
    let told = "the keeper is of another version of the library: start it anew; this program runs on the kernel's stack";
    assert!(client.stderr.contains(told), "{client}");
    let _keeper = keeper(&lab, "");
    let client = of(&lab, ADMITTED, &served("bind 7000")).succeeds();
    assert_eq!(
        (client.stdout().as_str(), client.stderr.as_str()),
        ("done", "")
    );
    let heard = other.stop().stdout();
    assert!(!heard.contains("heard b'h"), "{heard}");
}

#[test]
fn who_goes_on_for_the_dead_is_of_the_same_version() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let other = listening(&lab, "wills/0");
    let mut program = lab.sidestack(&killed::keeper("listen 7000")).start();
    is_kept(&lab, &mut program);
    assert_eq!(other.stop().stdout(), "listening");
}

/// The library was replaced since the program began that starts it.
#[test]
fn a_keeper_does_not_serve_under_the_name_of_another_version() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let keeper = format!(
        "{} keeper --library {} --listener 3",
        command().display(),
        library().display()
    );
    let starts = script(&format!("starts sidestack/wills/0/{OTHER} {keeper}"));
    let refused = lab.plain(&starts).run().exits_with(1);
    assert!(
        refused
            .stderr
            .contains("has another version of the library"),
        "{refused}"
    );
}

#[test]
fn a_socket_of_another_version_is_what_it_is_to_the_kernel() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let name = format!("sidestack/socket/{:032x}/{OTHER}", 1);
    let has = lab.sidestack(&script(&format!("has {name}"))).succeeds();
    assert_eq!(has.stdout(), "AF_UNIX True");
    assert!(
        has.stderr.contains("has another version of the library"),
        "{has}"
    );
}
