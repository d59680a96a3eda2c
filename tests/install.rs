//! What is installed can be used: the command finds its library, a C program links with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = r#"
#include <netinet/in.h>
#include <sidestack.h>
#include <stdio.h>

int main(void) {
    return puts(sidestack_version()) < 0;
}
"#;

/// Installs this build under a fresh directory, which is the prefix.
fn install(name: &str) -> PathBuf {
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&prefix);
    let built = Path::new(env!("CARGO_BIN_EXE_sidestack"))
        .parent()
        .expect("a directory");
    let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install"))
        .arg("")
        .arg(&prefix)
        .env("BUILD", built)
        .status();
    assert!(status.expect("the script runs").success());
    prefix
}

fn words(command: &mut Command) -> Vec<String> {
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_c_program_links_by_pkg_config_and_runs() {
    let prefix = install("install-c");
    let (source, program) = (prefix.join("program.c"), prefix.join("program"));
    fs::write(&source, PROGRAM).expect("a writable directory");
    let flags = words(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "sidestack"])
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")),
    );
    words(
        Command::new("gcc")
            .arg(&source)
            .args(flags)
            .arg("-o")
            .arg(&program),
    );
    assert_eq!(
        words(&mut Command::new(&program)),
        [env!("CARGO_PKG_VERSION")]
    );
}

#[test]
fn the_installed_command_finds_the_installed_library() {
    let prefix = install("install-command");
    let preloaded = words(
        Command::new(prefix.join("bin/sidestack"))
            .args(["run", "--", "sh", "-c", "echo $LD_PRELOAD"])
            .env_remove("LD_PRELOAD"),
    );
    let library = prefix.join("lib/libsidestack.so");
    assert_eq!(preloaded, [library.to_str().expect("UTF-8")]);
}

#[test]
fn the_unit_starts_the_installed_command() {
    let prefix = install("install-unit");
    let unit = fs::read_to_string(prefix.join("lib/systemd/system/sidestack-keeper.service"));
    let unit = unit.expect("the unit is there");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let mut words = start.expect("it starts something").split_whitespace();
    let command = Path::new(words.next().expect("a command"));
    assert_eq!(command, prefix.join("bin/sidestack"));
    assert!(command.is_file());
    assert_eq!(words.next(), Some("keeper"));
    assert!(prefix.join("share/man/man8/sidestack-keeper.8").is_file());
}
