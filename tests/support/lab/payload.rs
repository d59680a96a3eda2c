//! Files with contents that no misplaced, lost or doubled byte leaves unnoticed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) struct Payload {
    pub(crate) path: PathBuf,
    /// The file's name in `directory()`.
    pub(crate) name: String,
    pub(crate) sha256: String,
}

/// Where the payloads are; what the tests' web servers show.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("payload")
}

/// A pseudo-random file of `size` bytes, the same in every run; made once and kept.
pub(crate) fn of(size: u64) -> Payload {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(|e| e.into_inner());
    let name = format!("{size}.bin");
    let path = directory().join(&name);
    let hash = path.with_extension("sha256");
    if !hash.exists() {
        write(&path, size);
        fs::write(&hash, sha256(&path)).expect("the target directory is writable");
    }
    let sha256 = fs::read_to_string(&hash).expect("the hash was written");
    Payload { path, name, sha256 }
}

fn write(path: &Path, size: u64) {
    fs::create_dir_all(directory()).expect("the target directory is writable");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a payload file"));
    let mut state = size ^ 0x9e37_79b9_7f4a_7c15;
    let mut left = size;
    while left > 0 {
        // xorshift64: each word depends on all before it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let count = left.min(8);
        file.write_all(&state.to_le_bytes()[..count as usize])
            .expect("room for a payload");
        left -= count;
    }
    file.flush().expect("room for a payload");
}

/// The file's SHA-256 in hexadecimal.
pub(crate) fn sha256(path: &Path) -> String {
    let out = Command::new("sha256sum")
        .arg(path)
        .output()
        .expect("sha256sum runs");
    first_word(&String::from_utf8_lossy(&out.stdout))
}

/// The hash in a line that sha256sum printed.
pub(super) fn first_word(line: &str) -> String {
    line.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}
