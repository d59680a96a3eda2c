//! The library's exported symbols are exactly those of `exports.txt`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn exported_symbols_are_those_of_the_list() {
    let library = PathBuf::from(env!("CARGO_BIN_EXE_sidestack")).with_file_name("libsidestack.so");
    assert!(
        library.exists(),
        "{} is missing: run `cargo build` first",
        library.display()
    );
    let nm = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(&library)
        .output()
        .expect("nm runs");
    let exported: BTreeSet<String> = String::from_utf8_lossy(&nm.stdout)
        .lines()
        .map(name)
        .collect();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports.txt");
    let listed: BTreeSet<String> = std::fs::read_to_string(&list)
        .expect("the list exists")
        .lines()
        .map(name)
        .collect();
    let unlisted: Vec<_> = exported.difference(&listed).collect();
    let missing: Vec<_> = listed.difference(&exported).collect();
    assert!(
        unlisted.is_empty() && missing.is_empty(),
        "not in the list: {unlisted:?}\nnot exported: {missing:?}"
    );
}

fn name(line: &str) -> String {
    line.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}
