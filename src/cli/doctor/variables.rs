//! The settings, read by the library's own code.

use std::os::unix::ffi::OsStringExt;

use super::Finding;
use crate::cli::settings;
use crate::control::settings::{Loaded, Settings};

/// What the findings are headed by.
const WHAT: &str = "variables";

/// Reads the settings as the library would, for a program of no special name.
pub(super) fn check(given: &settings::Settings) -> (Settings, Vec<Finding>) {
    let environment = given.environment().into_iter();
    let bytes = environment.map(|(name, value)| (name.into_vec(), value.into_vec()));
    match Settings::load(bytes, "") {
        Ok(Loaded { settings, warnings }) if warnings.is_empty() => {
            (settings, vec![Finding::ok(WHAT, "valid")])
        }
        Ok(Loaded { settings, warnings }) => {
            let remedy = "sidestack run --help lists them";
            let finding = |warning| Finding::warn(WHAT, warning, remedy);
            (settings, warnings.into_iter().map(finding).collect())
        }
        Err(error) => {
            let remedy = "correct it; until then programs run on the kernel";
            let settings = Settings::default();
            (settings, vec![Finding::fail(WHAT, error.message, remedy)])
        }
    }
}
