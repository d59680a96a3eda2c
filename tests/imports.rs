//! What the programs of the tests import of the C library: each function that has to do with sockets is either exported
//! by us, or `passed_on.txt` says why it need not be.
//!
//! The programs are those of the packages that scripts/needs installs, with all the libraries and modules of the
//! packages these depend on. Only the compilers are left out, which run beside the tests.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages whose programs never run on us.
const TOOLS: &[&str] = &["gcc", "g++", "libc6-dev", "pkg-config"];
/// What has one of these in its name is about sockets whatever the lists say.
const WORDS: &[&str] = &[
    "accept", "connect", "dprintf", "exec", "fcntl", "fork", "ioctl", "jmp", "listen", "poll",
    "popen", "recv", "rlimit", "select", "send", "shutdown", "sock", "spawn", "splice", "syscall",
];
/// The next library itself.
const LIBC: &str = "libc6";

#[test]
fn what_programs_import_is_exported_or_need_not_be() {
    let exported = exported();
    let passed_on = passed_on();
    let both: Vec<_> = exported.intersection(&passed_on).collect();
    assert!(both.is_empty(), "exported and passed on: {both:?}");

    let known: HashSet<_> = exported.union(&passed_on).map(String::as_str).collect();
    let stems: HashSet<_> = known.iter().map(|symbol| stem(symbol)).collect();
    let mut unaccounted = BTreeMap::<_, BTreeSet<_>>::new();
    let concerns = |symbol: &str| {
        stems.contains(&stem(symbol)) || WORDS.iter().any(|word| symbol.contains(word))
    };
    for (file, symbol) in imports(&programs()) {
        if !known.contains(symbol.as_str()) && concerns(&symbol) {
            unaccounted.entry(symbol).or_default().insert(file);
        }
    }
    assert!(
        unaccounted.is_empty(),
        "imported, neither exported nor in passed_on.txt: {unaccounted:#?}"
    );
}

#[test]
fn no_function_is_passed_on_for_two_reasons() {
    let text = listed("passed_on.txt");
    let mut seen = HashSet::new();
    let twice: Vec<_> = symbols(&text).filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

fn listed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    fs::read_to_string(path).expect("the list exists")
}

fn exported() -> BTreeSet<String> {
    symbols(&listed("exports.txt")).map(str::to_owned).collect()
}

fn passed_on() -> BTreeSet<String> {
    symbols(&listed("passed_on.txt"))
        .map(str::to_owned)
        .collect()
}

fn symbols(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
}

/// What all the C library's names of a function have in common: `read` of `__libc_read`, `__read_chk`; `accept` of
/// `accept4`. So a name that nobody thought of is met nevertheless.
fn stem(symbol: &str) -> String {
    let letters: String = symbol.chars().filter(|c| c.is_ascii_alphabetic()).collect();
    let letters = letters.strip_prefix("libc").unwrap_or(&letters);
    letters.strip_suffix("chk").unwrap_or(letters).to_owned()
}

/// The installed packages of scripts/needs' `test`, and those they depend on.
fn packages() -> BTreeSet<String> {
    let needs = said(
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/needs"))
            .args(["test", "list"]),
    );
    let status = said(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "${Package}\t${Provides}\t${Depends}, ${Pre-Depends}\n",
    ]));
    let mut depends = BTreeMap::new();
    let mut providers = BTreeMap::<_, Vec<_>>::new();
    for line in status.lines() {
        let mut fields = line.split('\t');
        let name = fields.next().unwrap_or_default();
        for provided in names(fields.next().unwrap_or_default()).chain([name]) {
            providers.entry(provided).or_default().push(name);
        }
        depends.insert(name, fields.next().unwrap_or_default());
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = needs
        .split_whitespace()
        .filter(|name| !TOOLS.contains(name))
        .collect();
    while let Some(wanted) = open.pop() {
        for &package in providers.get(wanted).into_iter().flatten() {
            if package != LIBC && found.insert(package.to_owned()) {
                open.extend(names(depends[package]));
            }
        }
    }
    found
}

/// The packages a relationship field names, whatever versions and alternatives it asks for.
fn names(field: &str) -> impl Iterator<Item = &str> {
    field
        .split([',', '|'])
        .filter_map(|one| one.split_whitespace().next())
        .map(|name| name.split(':').next().unwrap_or(name))
}

/// Every dynamically linked program, library and module of these packages, once.
fn programs() -> Vec<PathBuf> {
    let files = said(Command::new("dpkg-query").arg("-L").args(packages()));
    let mut seen = HashSet::new();
    let programs: Vec<_> = files
        .lines()
        .map(PathBuf::from)
        .filter(|path| {
            fs::symlink_metadata(path)
                .is_ok_and(|file| file.is_file() && seen.insert((file.dev(), file.ino())))
        })
        .filter(|path| is_elf(path))
        .collect();
    assert!(programs.len() > 100, "{} programs are few", programs.len());
    programs
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == *b"\x7fELF"
}

/// The functions of the C library that the files import, and the files.
fn imports(files: &[PathBuf]) -> Vec<(String, String)> {
    let nm = Command::new("nm")
        .args(["-D", "-A", "--undefined-only"])
        .args(files)
        .output()
        .expect("nm runs");
    // It complains of what has no dynamic symbols, and says the rest.
    String::from_utf8_lossy(&nm.stdout)
        .lines()
        .filter_map(import)
        .collect()
}

/// A line of nm's: `/usr/bin/curl:                 U socket@GLIBC_2.2.5`.
fn import(line: &str) -> Option<(String, String)> {
    let (file, rest) = line.split_once(": ")?;
    let (symbol, version) = rest.split_whitespace().last()?.split_once('@')?;
    let of_libc = version.trim_start_matches('@').starts_with("GLIBC_");
    of_libc.then(|| (file.to_owned(), symbol.to_owned()))
}

fn said(command: &mut Command) -> String {
    let out = command.output().expect("the program runs");
    assert!(out.status.success(), "{command:?}: {out:?}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}
