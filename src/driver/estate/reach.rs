//! Finding the keeper of this user and network namespace, or starting it.
//!
//! The name that a keeper listens under is taken by who starts it, and the listening descriptor is
//! its legacy: so there is one keeper however many begin to look for it at the same time, and nobody
//! waits until it runs.

use core::ffi::CStr;
use core::time::Duration;
use std::ffi::CString;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{Stat, stat};
use rustix::io::Errno;

use super::messages::QUESTION;
use crate::control::dialect::Keeper;
use crate::control::log;
use crate::driver::family::await_answer;
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::{clock, environment, pair, process, raw, spawn, strerror};

/// Connections that may wait for a keeper that has yet to start.
const BACKLOG: i32 = 128;

/// What of the environment a keeper gets.
const PASSED_ON: [&[u8]; 2] = [b"SIDESTACK_LOG", b"SIDESTACK_LOG_FILE"];

/// Why there is no keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// There may be one later.
    Now,
    /// There cannot be one.
    ForGood,
}

/// The name of this user's keeper.
pub(super) fn own_name() -> String {
    Keeper::Wills.name(local::own_user())
}

/// The sockets that it takes.
pub(super) struct Kit {
    connection: OwnedFd,
    listener: OwnedFd,
}

impl Kit {
    /// Makes them.
    ///
    /// # Errors
    /// What socket(2) says.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            connection: local::socket(Sort::Messages)?,
            listener: local::socket(Sort::Messages)?,
        })
    }

    /// Closes what another process looks for a keeper with, which this one is a copy of.
    pub(super) fn close_copies(&self) {
        for fd in [&self.connection, &self.listener] {
            let _ = raw::close(fd.as_raw_fd());
        }
    }

    /// What is connected to the keeper, once it is reached.
    pub(super) fn into_connection(self) -> OwnedFd {
        self.connection
    }
}

/// Connects to the keeper. Takes some milliseconds if it has to be started. No descriptor is made
/// here: for a moment it would have the lowest free number, in a thread that the program does not
/// know of.
pub(super) fn reach(kit: &Kit) -> Result<(), Missing> {
    let name = own_name();
    let connection = &kit.connection;
    if !connects(connection, &name)? {
        start(&name, &kit.listener)?;
        if !connects(connection, &name)? {
            return Err(Missing::Now);
        }
    }
    // The name is free for all to take.
    match local::peer_user(connection) {
        Ok(user) if user == local::own_user() => Ok(()),
        Ok(user) => {
            log::warn(format_args!(
                "user {user} has the name \"@{name}\": nobody goes on for this program if it is killed"
            ));
            Err(Missing::ForGood)
        }
        Err(_) => Err(Missing::ForGood),
    }
}

/// Whether there is a keeper.
fn connects(connection: &OwnedFd, name: &str) -> Result<bool, Missing> {
    match local::connect_on(connection, name.as_bytes()) {
        Ok(()) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(_) => Err(Missing::Now),
    }
}

/// Something is another process's, of `user`'s, that may have just died: waits until all that had died are seen to, so
/// long at most. Whether it is worth another attempt.
pub(in crate::driver) fn await_executors(user: u32, patience: Duration) -> bool {
    let Ok(keeper) = local::connect_to(Sort::Messages, Keeper::Wills.name(user).as_bytes()) else {
        return false;
    };
    local::peer_user(&keeper) == Ok(user)
        && pair::give(&keeper, QUESTION).is_ok()
        && await_answer(&keeper, clock::monotonic() + patience.as_nanos() as u64).is_some()
}

fn start(name: &str, listener: &OwnedFd) -> Result<(), Missing> {
    let Some(command) = command() else {
        return Err(Missing::ForGood);
    };
    match local::listen_on(listener, name.as_bytes(), BACKLOG) {
        Ok(()) => {}
        // Somebody else is about to start it, or the last one is about to end.
        Err(Errno::ADDRINUSE) => return Ok(()),
        Err(_) => return Err(Missing::Now),
    }
    let descriptor = CString::from(c"--listener=3");
    let library =
        CString::from_vec_with_nul([b"--library=", command.library.to_bytes_with_nul()].concat());
    let library = library.map_err(|_| Missing::ForGood)?;
    let arguments = [c"sidestack", c"keeper", &library, &descriptor];
    let environment = passed_on();
    let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
    spawn::spawn_orphan(&command.path, &arguments, &environment, listener.as_fd()).map_err(
        |errno| {
            log::debug(format_args!(
                "no keeper can be started: {}",
                strerror::of(errno)
            ));
            Missing::ForGood
        },
    )
}

fn passed_on() -> Vec<CString> {
    let environment = environment::variables().into_iter();
    environment
        .filter(|(name, _)| PASSED_ON.contains(&name.as_slice()))
        .filter_map(|(name, value)| CString::new([&name[..], b"=", &value].concat()).ok())
        .collect()
}

struct Command {
    path: CString,
    library: CString,
}

/// The command that belongs to this library: beside it, or in an installation's `bin`. It must be
/// the library's owner's, since others may be able to put something there.
fn command() -> Option<Command> {
    if process::is_reaper() {
        // It would become a child of the program's.
        log::debug(format_args!(
            "a process that orphans become children of starts no keeper"
        ));
        return None;
    }
    let library = process::own_library().filter(|path| path.to_bytes().starts_with(b"/"))?;
    let owner = stat(library.as_c_str()).ok()?.st_uid;
    let trusted =
        |file: &Stat| (file.st_uid == owner || file.st_uid == 0) && file.st_mode & 0o002 == 0;
    let directory = library
        .to_bytes()
        .rsplitn(2, |&byte| byte == b'/')
        .nth(1)?
        .to_vec();
    let beside =
        ["/sidestack", "/../bin/sidestack"].map(|place| [&directory, place.as_bytes()].concat());
    let paths = beside
        .into_iter()
        .filter_map(|path| CString::new(path).ok());
    let found = paths.into_iter().find(|path| {
        let file: Result<Stat, Errno> = stat::<&CStr>(path);
        file.is_ok_and(|file| trusted(&file))
    });
    match found {
        Some(path) => Some(Command { path, library }),
        None => {
            log::debug(format_args!(
                "there is no sidestack command beside the library: no keeper"
            ));
            None
        }
    }
}
