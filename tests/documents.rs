//! The documents name what there is: options, variables, exported calls, files, dependencies; and their links lead
//! somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The options of `run`, from its help.
fn options() -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_sidestack"))
        .args(["run", "--help"])
        .output();
    let help = String::from_utf8(output.expect("the command starts").stdout).expect("UTF-8");
    let words = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--"));
    words
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn every_option_is_in_the_manual_page_and_its_variable_in_the_others() {
    let (command, library) = (
        document("share/sidestack.1"),
        document("share/libsidestack.7"),
    );
    let readme = document("README.md");
    let options = options();
    assert!(options.len() > 10, "{options:?}");
    for option in options {
        let dashed = format!("\\-\\-{}", option.replace('-', "\\-"));
        assert!(command.contains(&dashed), "{dashed} in sidestack.1");
        if option == "library" {
            continue; // The one option that is no variable.
        }
        let variable = format!("SIDESTACK_{}", option.to_uppercase().replace('-', "_"));
        assert!(library.contains(&variable), "{variable} in libsidestack.7");
        assert!(readme.contains(&variable), "{variable} in README.md");
    }
}

#[test]
fn every_exported_call_is_explained() {
    let text = document("LD_PRELOAD.md");
    let exports = document("tests/exports.txt");
    let missing: Vec<&str> = exports
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !text.contains(&format!("`{name}`")) && !text.contains(&format!("`{name}(")))
        .collect();
    assert!(missing.is_empty(), "not in LD_PRELOAD.md: {missing:?}");
}

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "LD_PRELOAD.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "COMPLIANCE.md",
];

/// What the documents name files of.
const FOLDERS: [&str; 6] = [
    "src/", "tests/", "c-tests/", "include/", "scripts/", "share/",
];

#[test]
fn every_file_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    for name in DOCUMENTS {
        let text = document(name);
        let words = text.split(|c| !is_of_a_path(c));
        for path in words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder))) {
            let path = path.trim_end_matches('.');
            assert!(root.join(path).exists(), "{path} in {name}");
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = document("Cargo.toml");
    let depends = manifest
        .split("\n[")
        .filter(|section| section.contains("dependencies]\n"))
        .flat_map(|section| section.lines().skip(1))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name);
    let architecture = document("ARCHITECTURE.md");
    let (_, table) = architecture
        .split_once("| crate | why |")
        .expect("the table of dependencies");
    let explained = table
        .lines()
        .skip(2)
        .map_while(|row| row.strip_prefix("| ")?.split(" |").next())
        .flat_map(|names| names.split(", "));
    let (depends, explained): (BTreeSet<_>, BTreeSet<_>) = (depends.collect(), explained.collect());
    assert_eq!(depends, explained);
}

#[test]
fn every_link_leads_to_a_file() {
    for name in DOCUMENTS {
        let text = document(name);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if !link.starts_with("http") {
                let _ = document(link);
            }
        }
    }
}
