//! What the library has to say, a line at a time, on standard error or in the log file.
//!
//! The program's standard error is the program's: a line goes there only if the descriptor takes
//! it at once, so logging neither blocks the program nor raises SIGPIPE in it.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::fmt::Write;
use std::sync::OnceLock;

use rustix::fd::{AsFd, AsRawFd, RawFd};
use rustix::io::Errno;

use crate::sys::file;
use crate::sys::owned::OwnedFd;

/// How much is said; each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing.
    Off,
    /// What keeps the library from serving.
    Error,
    /// What the user may want to change.
    #[default]
    Warn,
    /// What was chosen and why.
    Info,
    /// Sockets coming and going.
    Debug,
    /// Everything.
    Trace,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);
static FILE: OnceLock<OwnedFd> = OnceLock::new();
/// There is no standard error: its number may be any descriptor's.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Sets how much is said, and from the first time on that a file is given, where.
///
/// # Errors
/// What opening the file for appending says; lines go to standard error then.
pub fn configure(level: Level, path: Option<&str>) -> Result<(), Errno> {
    LEVEL.store(level as u8, Ordering::Relaxed);
    if let Some(path) = path
        && FILE.get().is_none()
    {
        // Another thread's is as good.
        let _ = FILE.set(file::append(path)?);
    }
    Ok(())
}

/// From now on a panic is told as a line like all others: std would write several to the descriptor of
/// standard error, whatever the program has there by then.
pub fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place_and_reason = panic.to_string().replace('\n', " ");
        error(format_args!(
            "a defect, please report it: {place_and_reason}"
        ));
    }));
}

/// Where it goes, if to a file.
pub fn descriptor() -> Option<RawFd> {
    FILE.get().map(AsRawFd::as_raw_fd)
}

/// This process has closed its standard error: from now on lines go to a file or nowhere.
pub fn leave_standard_error() {
    ALONE.store(true, Ordering::Relaxed);
}

/// Is this level said? To spare the making of long messages.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// What keeps the library from serving.
pub fn error(message: impl fmt::Display) {
    line(Level::Error, "error", &message);
}

/// What the user may want to change.
pub fn warn(message: impl fmt::Display) {
    line(Level::Warn, "warn", &message);
}

/// What was chosen and why.
pub fn info(message: impl fmt::Display) {
    line(Level::Info, "info", &message);
}

/// What helps to understand a single program's run.
pub fn debug(message: impl fmt::Display) {
    line(Level::Debug, "debug", &message);
}

fn line(level: Level, name: &str, message: &dyn fmt::Display) {
    if !enabled(level) {
        return;
    }
    let mut text = String::new();
    if writeln!(text, "sidestack: {name}: {message}").is_err() {
        return;
    }
    // A line that cannot be written is lost: there is nobody to tell.
    let _ = match FILE.get() {
        Some(fd) => file::write_all(fd.as_fd(), text.as_bytes()),
        None if ALONE.load(Ordering::Relaxed) => return,
        None => file::write_if_ready(file::standard_error(), text.as_bytes()),
    };
}
