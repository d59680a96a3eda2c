//! Writes `include/sidestack.h` from `src/abi`, and names the library for those who link it.
//!
//! A second copy goes to `OUT_DIR`, with which tests/header.rs compares the one checked in.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/abi");
    println!("cargo:rerun-if-changed=include/sidestack.h");
    // So that a program linked with it and one that has it preloaded mean the same library.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsidestack.so");
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
    if fs::read(&path).ok().as_ref() != Some(&header) {
        fs::write(&path, &header)?;
    }
    Ok(())
}

/// The text of the header for the sources under `root`.
fn generate(root: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources(&root.join("src/abi"))? {
        builder = builder.with_src(source);
    }
    let mut header = Vec::new();
    builder.generate()?.write(&mut header);
    Ok(header)
}

/// The files of the ABI; the API of our own first, the others by name.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    sources.sort_by_key(|path| (!path.ends_with("api.rs"), path.clone()));
    Ok(sources)
}
