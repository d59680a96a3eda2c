//! What `doctor` runs with the library preloaded: who serves an Internet socket?
//!
//! std's sockets are made by the C library's `socket`, hence by the preloaded one. What the kernel
//! thinks of the descriptor is asked past the library, by rustix's raw system calls: a socket of the
//! stack is an AF_UNIX pair to the kernel.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;

use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;

use crate::cli::{os_error, say};
use crate::command::borrow;

/// What was seen.
pub(super) enum Answer {
    /// The loader did not load the library.
    NotLoaded,
    /// The kernel served the socket.
    Kernel,
    /// The stack served it.
    Stack,
    /// There was no socket; the error.
    Failed(String),
}

/// `sidestack probe`: looks, and prints one line for [`parse`].
pub(crate) fn answer() -> ExitCode {
    match look() {
        Answer::NotLoaded => say("not-loaded"),
        Answer::Kernel => say("kernel"),
        Answer::Stack => say("stack"),
        Answer::Failed(error) => say(&format!("failed {error}")),
    }
    ExitCode::SUCCESS
}

fn look() -> Answer {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    if !maps.contains("sidestack.so") {
        return Answer::NotLoaded;
    }
    let socket = match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(socket) => socket,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    match socket_domain(borrow(&socket)) {
        Ok(AddressFamily::UNIX) => Answer::Stack,
        Ok(_) => Answer::Kernel,
        Err(errno) => Answer::Failed(os_error(errno).to_string()),
    }
}

/// Reads the line of [`answer`]; `None` if the child did not get that far.
pub(super) fn parse(line: &[u8]) -> Option<Answer> {
    let line = str::from_utf8(line).ok()?.trim_end();
    match line {
        "not-loaded" => Some(Answer::NotLoaded),
        "kernel" => Some(Answer::Kernel),
        "stack" => Some(Answer::Stack),
        other => Some(Answer::Failed(other.strip_prefix("failed ")?.to_owned())),
    }
}
