//! Writes `include/sidestack.h` from `src/abi`, and names the library for those who link it.
//!
//! A second copy goes to `OUT_DIR`, with which tests/header.rs compares the one checked in.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Where the structure of the API is, which is filled below the ABI.
const STATISTICS: &str = "src/socket/report.rs";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/abi");
    println!("cargo:rerun-if-changed={STATISTICS}");
    println!("cargo:rerun-if-changed=include/sidestack.h");
    // So that a program linked with it and one that has it preloaded mean the same library.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsidestack.so");
    // What the library says of itself means itself, whatever the program defines (Erlang its own sigaction, in terms of
    // the next one).
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The header is checked in: a build that cannot write it (read-only sources) is a good build, and
    // an ABI that cannot be parsed is the compiler's to complain about.
    if let Err(error) = update(root) {
        println!("cargo:warning=include/sidestack.h not updated: {error}");
    }
}

fn update(root: &Path) -> Result<(), Box<dyn Error>> {
    let path = root.join("include/sidestack.h");
    let header = generate(root)?;
    fs::write(
        Path::new(&env::var("OUT_DIR")?).join("sidestack.h"),
        &header,
    )?;
    if fs::read_to_string(&path).ok().as_ref() != Some(&header) {
        fs::write(&path, &header)?;
    }
    Ok(())
}

/// The text of the header for the sources under `root`.
fn generate(root: &Path) -> Result<String, Box<dyn Error>> {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/abi/mod.rs"))
        .with_src(root.join(STATISTICS))
        .generate()?
        .write(&mut header);
    // cbindgen knows isize as ptrdiff_t; in the calls of this header it is always ssize_t.
    Ok(String::from_utf8(header)?.replace("ptrdiff_t", "ssize_t"))
}
