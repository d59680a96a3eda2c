//! The command line: start programs on the stack, look at running ones, examine the machine.
//!
//! ```text
//!   arguments ──► Run ──► run      settings become SIDESTACK_* variables, library goes in front of
//!                  │               LD_PRELOAD, then exec
//!                  └────► doctor   the same, but examined and told in place of executed
//!             ──► Show ─► show     asks running processes over their abstract sockets
//!             ──► Keeper ► keeper  loads the library and lets it serve other users' programs
//! ```
//!
//! 1. An option of `run` *is* a variable: one table ([`settings::SETTINGS`]) gives the option, the
//!    variable and the line of help. Nothing is known to the command alone.
//! 2. The command never opens an Internet socket for itself and never links the library. What it
//!    says about the library it learns from the file and from a child that has it preloaded; `keeper`
//!    loads it, without its names reaching the rest of the process.
//! 3. Exit statuses follow env(1): 125 is a failure of the command itself, 126 a program that cannot
//!    be executed, 127 one that is not there. `doctor`, `ss` and `stat` use 0 and 1; wrong usage gives 2.
//! 4. Text from other processes is data: control characters are not passed to the terminal.

#![forbid(unsafe_code)]

pub(crate) mod arguments;
pub(crate) mod doctor;
pub(crate) mod help;
pub(crate) mod keeper;
pub(crate) mod library;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod show;

use std::io::{self, Write};
use std::process::ExitCode;

use rustix::io::Errno;

/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// The command itself failed, before the program was reached.
pub(crate) const FAILED: u8 = 125;
/// The program is there but cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
pub(crate) const NOT_FOUND: u8 = 127;

/// A system call's error as std has it.
pub(crate) fn os_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// Prints a line. Who has closed the other end wants no more of it, so an error is none.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line on standard error.
pub(crate) fn warn(line: &str) {
    let _ = writeln!(io::stderr(), "sidestack: {line}");
}

/// Says what is wrong on standard error and gives the exit status to end with.
pub(crate) fn refuse(status: u8, problem: &str) -> ExitCode {
    warn(problem);
    ExitCode::from(status)
}
