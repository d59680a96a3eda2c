//! `sidestack run` and `sidestack pcap`: set the variables, put the library first, execute.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::arguments::Run;
use super::{FAILED, NOT_EXECUTABLE, library, program, refuse};

/// The loader's variable (ld.so(8)).
const PRELOAD: &str = "LD_PRELOAD";

/// Becomes the program. Returns only when that fails.
pub(crate) fn execute(run: &Run) -> ExitCode {
    let library = match library::find(run.library.as_deref()) {
        Ok(path) => path,
        Err(problem) => return refuse(FAILED, &problem),
    };
    let Some((name, arguments)) = run.program.split_first() else {
        return refuse(FAILED, "no program to run");
    };
    let path = match program::find(name) {
        Ok(path) => path,
        Err((status, problem)) => return refuse(status, &problem),
    };
    if let Some(obstacle) = program::preload_obstacle(&path) {
        if run.settings.required() {
            let problem = format!("{obstacle}. It would run on the kernel; refused (--required)");
            return refuse(FAILED, &problem);
        }
        eprintln!(
            "sidestack: {obstacle}. It runs on the kernel, as if this command were not there"
        );
    }
    let mut command = preloaded(&path, &library, run);
    let error = command.arg0(name).args(arguments).exec();
    refuse(
        NOT_EXECUTABLE,
        &format!("cannot execute {}: {error}", path.display()),
    )
}

/// `path` as a command with the library and the settings in its environment.
pub(crate) fn preloaded(path: &Path, library: &Path, run: &Run) -> Command {
    let mut command = Command::new(path);
    command.envs(run.settings.given());
    command.env(
        PRELOAD,
        preload_list(library, env::var_os(PRELOAD).as_deref()),
    );
    command
}

/// `library` in front of what is to be preloaded anyway.
fn preload_list(library: &Path, present: Option<&OsStr>) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(present) = present.filter(|present| !present.is_empty() && *present != library) {
        list.push(":");
        list.push(present);
    }
    list
}
