//! `include/sidestack.h` is what `src/abi` says, and C and C++ programs can use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the build script made of `src/abi`.
const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/sidestack.h"));

/// The system's headers that declare what the library exports.
const SYSTEM: &str = "\
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
";
const OURS: &str = "#include \"sidestack.h\"\n";

/// Uses each part of the API, and standard calls with the arguments of their manual pages.
const PROGRAM: &str = r#"
int main(void) {
    struct sidestack_statistics statistics;
    char why[128];
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return 1;
    if (sidestack_is_ours(fd) == 0 && sidestack_why_not(fd, why, sizeof why) > 0)
        (void)write(1, why, sizeof why) ;
    if (sidestack_statistics(&statistics, sizeof statistics) != 0)
        return 1;
    return sidestack_version()[0] == '\0' || statistics.tcp_connections != 0;
}
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn header_is_generated_from_the_abi() {
    let present = fs::read_to_string(root().join("include/sidestack.h")).expect("it is checked in");
    assert!(
        GENERATED == present,
        "include/sidestack.h differs from src/abi: run `cargo build` and check it in"
    );
}

#[test]
fn c_programs_compile_with_it() {
    for dialect in [
        "-std=c99",
        "-std=c11 -D_POSIX_C_SOURCE=200809L",
        "-std=c11 -D_GNU_SOURCE",
        "-std=gnu17 -O2 -D_FORTIFY_SOURCE=2",
        "-std=gnu17 -O2 -D_FORTIFY_SOURCE=2 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64",
    ] {
        compile_in_every_order("gcc", "c", dialect);
    }
}

#[test]
fn cpp_programs_compile_with_it() {
    for dialect in [
        "-std=c++11",
        "-std=c++17 -O2 -D_FORTIFY_SOURCE=2",
        "-std=c++20",
    ] {
        compile_in_every_order("g++", "cpp", dialect);
    }
}

/// Ours before the system's headers, after them, and twice.
fn compile_in_every_order(compiler: &str, extension: &str, dialect: &str) {
    let orders = [
        ("first", format!("{OURS}{SYSTEM}")),
        ("last", format!("{SYSTEM}{OURS}")),
        ("twice", format!("{OURS}{SYSTEM}{OURS}")),
    ];
    for (order, includes) in orders {
        let source = temporary(&format!("header-{order}.{extension}"));
        fs::write(&source, includes + PROGRAM).expect("a writable directory");
        let output = Command::new(compiler)
            .args(dialect.split(' '))
            .args([
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
                "-Wno-unused-result",
            ])
            .args(["-fsyntax-only", "-I"])
            .arg(root().join("include"))
            .arg(&source)
            .output()
            .expect("the compiler runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{compiler} {dialect}, ours {order}:\n{said}"
        );
    }
}

/// A file of this test; C and C++ tests run at the same time, so the extension is part of it.
fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
