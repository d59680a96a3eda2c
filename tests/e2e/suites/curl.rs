//! curl's suite, whose servers are the peer's, with curl on the test side. The servers have to be built: it runs in
//! `make suites` alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{ends_alike, over_the_wire, sources, whole};
use crate::lab::PEER;

#[test]
fn those_of_curl() {
    let Some(sources) = sources("curl").filter(|_| whole()) else {
        return;
    };
    build_servers(&sources);
    let tests = format!("{PEER} {}", of_the_program(&sources.join("tests/data")));
    ends_alike(900, &[], |lab, ours| {
        over_the_wire(lab, ours, "curl.sh", "curl", "/usr/bin/curl", &tests)
    });
}

fn build_servers(sources: &Path) {
    let script = "[ -e build/made ] || { rm -rf build && mkdir build && cd build &&
        ../configure --without-ssl --without-zlib --without-libpsl --disable-ldap --disable-shared &&
        make -C tests/server && touch made; } >build.log 2>&1";
    let built = Command::new("sh")
        .args(["-c", script])
        .current_dir(sources)
        .status();
    assert!(built.expect("sh runs").success(), "curl's servers");
}

/// The tests that run curl and not a program of their own, of the library's; without those of ssh, whose server does
/// not run as root.
fn of_the_program(data: &Path) -> String {
    let test = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("a readable directory").path();
        let number = path
            .file_name()?
            .to_str()?
            .strip_prefix("test")?
            .parse::<u32>();
        let text = String::from_utf8_lossy(&fs::read(&path).ok()?).into_owned();
        let other = ["<tool>", "unittest", "\nsftp\n", "\nscp\n"];
        number
            .ok()
            .filter(|_| !other.iter().any(|mark| text.contains(mark)))
    };
    let mut numbers: Vec<u32> = fs::read_dir(data)
        .expect("the tests exist")
        .filter_map(test)
        .collect();
    numbers.sort_unstable();
    let numbers = numbers.iter().map(u32::to_string);
    numbers.collect::<Vec<_>>().join(" ")
}
