//! `sidestack keeper`: loads the library, which does the work.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use super::settings::{SETTINGS, Settings};
use super::{FAILED, library, refuse};
use crate::command;

/// How the keeper is to be.
#[derive(Default)]
pub(crate) struct Keeper {
    /// The variables of its stack.
    pub(crate) settings: Settings,
    /// `--library`.
    pub(crate) library: Option<PathBuf>,
    /// `--allow-user`: names or numbers.
    pub(crate) users: Vec<OsString>,
    /// `--sockets`: how many one user may have.
    pub(crate) sockets: Option<u32>,
    /// `--listener`: the descriptor to listen on.
    pub(crate) listener: Option<u32>,
}

/// Is the keeper until a signal ends it.
pub(crate) fn keep(keeper: &Keeper) -> ExitCode {
    let words = words(keeper);
    let kept = words.and_then(|words| {
        let library = library::find(keeper.library.as_deref())?;
        let path = CString::new(library.as_os_str().as_bytes());
        let path = path.map_err(|error| error.to_string())?;
        command::keep(&path, &words)
    });
    match kept {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(FAILED)),
        Err(problem) => refuse(FAILED, &problem),
    }
}

/// What the library is told (src/driver/keeper/plan.rs).
fn words(keeper: &Keeper) -> Result<Vec<CString>, String> {
    let mut words = Vec::new();
    for setting in SETTINGS {
        if let Some(value) = keeper.settings.get(setting.variable) {
            words.push([setting.variable.as_bytes(), b"=", value.as_bytes()].concat());
        }
    }
    for user in &keeper.users {
        words.push(format!("allow={}", user_number(user)?).into_bytes());
    }
    words.extend(
        keeper
            .sockets
            .map(|most| format!("sockets={most}").into_bytes()),
    );
    words.extend(
        keeper
            .listener
            .map(|fd| format!("listener={fd}").into_bytes()),
    );
    let words = words.into_iter().map(CString::new);
    words
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn user_number(user: &OsString) -> Result<u32, String> {
    let shown = user.to_string_lossy();
    if let Ok(number) = shown.parse() {
        return Ok(number);
    }
    command::user_number(user).ok_or_else(|| format!("there is no user \"{shown}\""))
}
