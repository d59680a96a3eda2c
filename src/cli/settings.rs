//! The settings of the library: the options of `sidestack run`, which are `SIDESTACK_*` variables.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

/// One thing a user can set.
pub(crate) struct Setting {
    /// The option of `sidestack run`, without the dashes.
    pub(crate) option: &'static str,
    /// The environment variable the library reads.
    pub(crate) variable: &'static str,
    /// What the value is called in the help; `None`: the option takes none and sets `1`.
    pub(crate) value: Option<&'static str>,
    /// One line of help.
    pub(crate) help: &'static str,
}

const fn setting(
    option: &'static str,
    variable: &'static str,
    value: Option<&'static str>,
    help: &'static str,
) -> Setting {
    Setting {
        option,
        variable,
        value,
        help,
    }
}

/// All of them, in the order of the help.
pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "interface",
        "SIDESTACK_INTERFACE",
        Some("IF"),
        "interface to drive (default: the one with the default route)",
    ),
    setting(
        "address",
        "SIDESTACK_ADDRESS",
        Some("ADDR"),
        "host (default: share the host's), or an address with prefix",
    ),
    setting(
        "gateway",
        "SIDESTACK_GATEWAY",
        Some("ADDR"),
        "gateway to use with an own address",
    ),
    setting(
        "loopback",
        "SIDESTACK_LOOPBACK",
        Some("WHO"),
        "who serves 127.0.0.0/8: kernel (default) or stack",
    ),
    setting(
        "congestion",
        "SIDESTACK_CONGESTION",
        Some("NAME"),
        "congestion control: cubic (default) or reno",
    ),
    setting(
        "pcap",
        "SIDESTACK_PCAP",
        Some("FILE"),
        "capture the stack's frames to this pcapng file",
    ),
    setting(
        "impair",
        "SIDESTACK_IMPAIR",
        Some("SPEC"),
        "spoil our own frames: loss=1%,delay=20ms,rate=100mbit,...",
    ),
    setting(
        "log",
        "SIDESTACK_LOG",
        Some("LEVEL"),
        "off, error, warn (default), info, debug or trace",
    ),
    setting(
        "log-file",
        "SIDESTACK_LOG_FILE",
        Some("FILE"),
        "log to this file, not to standard error",
    ),
    setting(
        "config",
        "SIDESTACK_CONFIG",
        Some("FILE"),
        "a TOML file with the same names",
    ),
    setting(
        "required",
        "SIDESTACK_REQUIRED",
        None,
        "fail the program's socket calls rather than use the kernel",
    ),
];

/// What the command line sets, over what the environment holds already.
#[derive(Default)]
pub(crate) struct Settings {
    given: BTreeMap<&'static str, OsString>,
}

impl Settings {
    /// Sets a variable, in place of the environment's.
    pub(crate) fn set(&mut self, variable: &'static str, value: OsString) {
        self.given.insert(variable, value);
    }

    /// What the program will see: the command line's value, else the environment's.
    pub(crate) fn get(&self, variable: &str) -> Option<OsString> {
        match self.given.get(variable) {
            Some(value) => Some(value.clone()),
            None => env::var_os(variable),
        }
    }

    /// Whether `SIDESTACK_REQUIRED` is in force.
    pub(crate) fn required(&self) -> bool {
        self.get("SIDESTACK_REQUIRED")
            .is_some_and(|value| value == "1")
    }

    /// The whole environment of a program that is started with these settings.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let given = self.given.iter();
        env::vars_os()
            .filter(|(name, _)| !self.given.keys().any(|given| name == given))
            .chain(given.map(|(name, value)| (OsString::from(name), value.clone())))
            .collect()
    }
}
