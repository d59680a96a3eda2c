//! `sidestack run` and `sidestack pcap`: set the variables, put the library first, execute.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::Run;
use super::{FAILED, NOT_EXECUTABLE, library, program, refuse, warn};
use crate::command;

/// The loader's variable (ld.so(8)).
const PRELOAD: &str = "LD_PRELOAD";

/// Becomes the program. Returns only when that fails.
pub(crate) fn execute(run: &Run) -> ExitCode {
    let library = match library::find(run.library.as_deref()) {
        Ok(path) => path,
        Err(problem) => return refuse(FAILED, &problem),
    };
    let Some(name) = run.program.first() else {
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
        let consequence = "It runs on the kernel, as if this command were not there";
        warn(&format!("{obstacle}. {consequence}"));
    }
    let error = become_program(&path, &library, run);
    refuse(
        NOT_EXECUTABLE,
        &format!("cannot execute {}: {error}", path.display()),
    )
}

fn become_program(path: &Path, library: &Path, run: &Run) -> io::Error {
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let arguments = run.program.iter().map(|word| c_string(word.as_bytes()));
    let environment = environment(library, run)
        .into_iter()
        .map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            c_string(entry.as_bytes())
        });
    let path = c_string(path.as_os_str().as_bytes());
    match (
        path,
        arguments.collect::<Result<Vec<_>, _>>(),
        environment.collect::<Result<Vec<_>, _>>(),
    ) {
        (Ok(path), Ok(arguments), Ok(environment)) => {
            command::execute(&path, &arguments, &environment)
        }
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => error,
    }
}

/// The program's environment: ours, with the settings and the library in it.
pub(crate) fn environment(library: &Path, run: &Run) -> Vec<(OsString, OsString)> {
    let mut environment = run.settings.environment();
    let preload = preload_list(library, env::var_os(PRELOAD).as_deref());
    environment.retain(|(name, _)| name != PRELOAD);
    environment.push((PRELOAD.into(), preload));
    environment
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
