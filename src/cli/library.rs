//! Where `libsidestack.so` is, and what its file says about it.

use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name of the library's file.
const FILE: &str = "libsidestack.so";

/// What stands before the version in the library's file (the mark of what(1)).
const VERSION_MARK: &[u8] = b"@(#)libsidestack ";

/// Finds the library to preload: the one `--library` names, else the one beside this command
/// (where cargo puts both), else the one of an installation (`bin/../lib`).
///
/// The error is a sentence for the user.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, String> {
    let path = match named {
        Some(path) => fs::canonicalize(path)
            .map_err(|error| format!("cannot use the library {}: {error}", path.display()))?,
        None => find_beside()?,
    };
    if !path.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    check_name(&path)?;
    Ok(path)
}

fn find_beside() -> Result<PathBuf, String> {
    let command = env::current_exe().map_err(|error| {
        format!("cannot tell where this command is ({error}): give --library PATH")
    })?;
    let here = command.parent().unwrap_or(Path::new("/"));
    let places = [here.join(FILE), here.join("../lib").join(FILE)];
    for place in &places {
        if let Ok(path) = fs::canonicalize(place) {
            return Ok(path);
        }
    }
    let [beside, installed] = places.map(|place| place.display().to_string());
    Err(format!(
        "{FILE} is neither at {beside} nor at {installed}: build it (cargo build --release) or \
         give --library PATH"
    ))
}

/// The loader splits LD_PRELOAD at blanks and colons and has no way to quote them.
fn check_name(path: &Path) -> Result<(), String> {
    let unusable = |byte: &u8| *byte == b':' || byte.is_ascii_whitespace();
    if path.as_os_str().as_bytes().iter().any(unusable) {
        return Err(format!(
            "the path {} holds a blank or a colon, which LD_PRELOAD cannot carry: move or link the \
             library to a path without",
            path.display()
        ));
    }
    Ok(())
}

/// The version written in the library's file; `None` if this is not our library.
pub(crate) fn version(path: &Path) -> Option<String> {
    let file = fs::read(path).ok()?;
    let mark = file
        .windows(VERSION_MARK.len())
        .position(|window| window == VERSION_MARK)?;
    let rest = &file[mark + VERSION_MARK.len()..];
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}
