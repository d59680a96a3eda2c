//! The layers' arrows, read from the source:
//! `abi → socket → driver → {stack, link, control, memory} → sys`.

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer of the library and those it may use. A layer may use itself.
const ARROWS: [(&str, &[&str]); 8] = [
    (
        "abi",
        &[
            "socket", "driver", "stack", "link", "control", "memory", "sys",
        ],
    ),
    (
        "socket",
        &["driver", "stack", "link", "control", "memory", "sys"],
    ),
    ("driver", &["stack", "link", "control", "memory", "sys"]),
    ("stack", &[]),
    ("link", &["sys"]),
    ("control", &["sys"]),
    ("memory", &["sys"]),
    ("sys", &[]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|e| e.expect("a readable directory").path())
    {
        match entry.is_dir() {
            true => files.extend(rust_files(&entry)),
            false if entry.extension().is_some_and(|e| e == "rs") => files.push(entry),
            false => {}
        }
    }
    files
}

/// The source without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable source file");
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The layers named in `crate::LAYER` and in `use crate::{LAYER, …}`.
fn layers_used(code: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        match rest.strip_prefix('{') {
            Some(group) => used.extend(group_heads(group).iter().map(|head| word(head))),
            None => used.push(word(rest)),
        }
    }
    used
}

/// The first words of a brace group's members.
fn group_heads(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(group[start..i].trim());
                start = i + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn layers_use_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for (layer, below) in ARROWS {
        let mut files = rust_files(&source().join(layer));
        files.extend(Some(source().join(format!("{layer}.rs"))).filter(|f| f.exists()));
        for file in files {
            for used in layers_used(&code(&file)) {
                let is_layer = ARROWS.iter().any(|(name, _)| *name == used) || used == "cli";
                if is_layer && used != layer && !below.contains(&used.as_str()) {
                    wrong.push(format!("{} uses {used}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_stack_imports_nothing_but_what_computes() {
    let allowed = [
        "crate::stack",
        "self",
        "super",
        "core",
        "alloc",
        "std::collections",
        "siphasher",
        "zerocopy",
    ];
    let mut wrong = Vec::new();
    for file in rust_files(&source().join("stack")) {
        let code = code(&file);
        for path in code.lines().filter_map(|l| {
            l.trim_start()
                .trim_start_matches("pub ")
                .strip_prefix("use ")
        }) {
            let standard = [
                "std::fmt",
                "std::ops",
                "std::mem",
                "std::net",
                "std::time::Duration",
                "std::cmp",
            ];
            let local = !path.contains("::") || path.starts_with(|c: char| c.is_uppercase());
            if !local
                && !allowed.iter().chain(&standard).any(|a| path.starts_with(a))
                && !is_sibling(&file, path)
            {
                wrong.push(format!("{}: use {path}", file.display()));
            }
        }
        for forbidden in [
            "Instant::now",
            "SystemTime",
            "std::thread",
            "std::fs",
            "std::io",
            "libc::",
            "rustix::",
        ] {
            if code.contains(forbidden) {
                wrong.push(format!("{}: {forbidden}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A message changes the version of what processes say to each other, but for those that are the same in all versions.
#[test]
fn what_defines_a_message_is_part_of_the_version() {
    let listed = code(&source().join("control/dialect.rs"));
    let unversioned = "driver/sharing/list.rs";
    let missing = ["driver", "socket"].map(|layer| rust_files(&source().join(layer)));
    let missing = missing.iter().flatten().filter(|file| {
        let path = file.strip_prefix(source()).expect("a source file");
        let path = path.display().to_string();
        code(file).contains("fn encode(") && path != unversioned && !listed.contains(&path)
    });
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

/// Whether the path's first word is a module beside or below this file (`use tcp::…` after `mod tcp;`).
fn is_sibling(file: &Path, path: &str) -> bool {
    let first = path.split("::").next().unwrap_or_default();
    let beside = file.parent().expect("a file in a directory");
    let below = file.with_extension("");
    [beside, &below]
        .iter()
        .any(|d| d.join(format!("{first}.rs")).exists() || d.join(first).is_dir())
}

#[test]
fn the_stack_and_the_command_forbid_unsafe() {
    for file in ["stack/mod.rs", "cli/mod.rs"]
        .map(|f| source().join(f))
        .iter()
        .filter(|f| f.exists())
    {
        let text = fs::read_to_string(file).expect("a readable source file");
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn source_files_stay_small() {
    let long: Vec<String> = rust_files(&source())
        .iter()
        .map(|f| {
            (
                f,
                fs::read_to_string(f)
                    .expect("a readable source file")
                    .lines()
                    .count(),
            )
        })
        .filter(|(_, lines)| *lines > 500)
        .map(|(f, lines)| format!("{}: {lines} lines", f.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
