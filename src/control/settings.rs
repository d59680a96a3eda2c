//! The variables users type, from the environment and the file SIDESTACK_CONFIG names, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use super::config::{self, Rules};
use super::log::Level;
use super::routes::Cidr;
use crate::sys::{file, strerror};

/// What every variable's name begins with.
const PREFIX: &str = "SIDESTACK_";

/// Longest configuration file that is read, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// The variables, as a configuration file spells them: lower-case and without the prefix.
pub(super) const NAMES: [&str; 10] = [
    "interface",
    "address",
    "gateway",
    "loopback",
    "congestion",
    "pcap",
    "impair",
    "log",
    "log_file",
    "required",
];

/// Whose addresses the stack uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// The host's, shared with the kernel.
    #[default]
    Host,
    /// Its own.
    Own(Vec<Cidr>),
}

/// Who serves the host's own addresses, 127.0.0.0/8 among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// The kernel.
    #[default]
    Kernel,
    /// The stack, as far as both ends are this process's.
    Stack,
}

/// Which congestion control connections start with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
}

/// Everything a user can set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The interface to drive; `None`: chosen by what the kernel's routes say.
    pub interface: Option<String>,
    /// Whose addresses to use.
    pub address: Address,
    /// The default gateway, with own addresses.
    pub gateway: Option<Ipv4Addr>,
    /// Who serves the host's own addresses.
    pub loopback: Loopback,
    /// The congestion control.
    pub congestion: Congestion,
    /// Capture frames to this file.
    pub pcap: Option<String>,
    /// Impair our own frames like this (the link's language).
    pub impair: Option<String>,
    /// How much to say.
    pub log: Level,
    /// Where to say it; `None`: standard error.
    pub log_file: Option<String>,
    /// Fail socket calls with ENETDOWN, instead of leaving them to the kernel, when the stack
    /// cannot serve.
    pub required: bool,
}

/// Settings and what is worth a warning about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// A sentence each.
    pub warnings: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// A sentence for the user.
    pub message: String,
    /// Was the stack asked for without fail? (SIDESTACK_REQUIRED, as far as it was understood.)
    pub required: bool,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A value and where it comes from, as an error message names it.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: String,
}

/// Values by their name in [`NAMES`].
pub(super) type Values = BTreeMap<&'static str, Value>;

impl Settings {
    /// Settings for `program` (the executable's name without directories) from the environment's
    /// names and values, and from the file SIDESTACK_CONFIG names. The environment wins over the
    /// file, and in the file the program's rules over the general ones. An empty value counts as
    /// none.
    ///
    /// # Errors
    /// A value is not one of those expected, or the file cannot be read.
    pub fn load<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        environment: impl IntoIterator<Item = (N, V)>,
        program: &str,
    ) -> Result<Loaded, SettingsError> {
        Self::load_with(environment, program, |path| {
            let bytes = file::read(path, MAX_CONFIG).map_err(strerror::of)?;
            String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
        })
    }

    /// The same, with the way to read the file given.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        environment: impl IntoIterator<Item = (N, V)>,
        program: &str,
        read_file: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Loaded, SettingsError> {
        let mut warnings = Vec::new();
        let (mut values, config, malformed) = from_environment(environment, &mut warnings);
        let required = is_required(&values);
        let fail = |required| move |message| SettingsError { message, required };
        if let Some(message) = malformed {
            return Err(fail(required)(message));
        }
        if let Some(path) = config {
            let unreadable = |reason| format!("cannot read SIDESTACK_CONFIG={path}: {reason}");
            let text = read_file(&path)
                .map_err(unreadable)
                .map_err(fail(required))?;
            let rules = config::parse(&path, &text).map_err(fail(required))?;
            for (name, value) in rules_for(rules, program, &mut warnings) {
                values.entry(name).or_insert(value);
            }
        }
        let required = is_required(&values);
        let settings = Self::from_values(&values).map_err(fail(required))?;
        if settings.gateway.is_some() && settings.address == Address::Host {
            warnings.push("a gateway is only used with an own address; it is ignored".to_owned());
        }
        Ok(Loaded { settings, warnings })
    }

    fn from_values(values: &Values) -> Result<Self, String> {
        let text = |name: &str| values.get(name).map(|value| value.text.clone());
        Ok(Self {
            interface: parse_with(values, "interface", parse_interface)?,
            address: parse_with(values, "address", parse_address)?.unwrap_or_default(),
            gateway: parse_with(values, "gateway", parse_gateway)?,
            loopback: parse_with(values, "loopback", parse_loopback)?.unwrap_or_default(),
            congestion: parse_with(values, "congestion", parse_congestion)?.unwrap_or_default(),
            pcap: text("pcap"),
            impair: text("impair"),
            log: parse_with(values, "log", parse_level)?.unwrap_or_default(),
            log_file: text("log_file"),
            required: parse_with(values, "required", parse_flag)?.unwrap_or_default(),
        })
    }
}

/// Our variables, the configuration file's path, and what is wrong with them, if anything.
fn from_environment<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    environment: impl IntoIterator<Item = (N, V)>,
    warnings: &mut Vec<String>,
) -> (Values, Option<String>, Option<String>) {
    let (mut values, mut config, mut malformed) = (Values::new(), None, None);
    for (variable, value) in environment {
        let Some(name) = variable.as_ref().strip_prefix(PREFIX.as_bytes()) else {
            continue;
        };
        let origin = format!("{PREFIX}{}", String::from_utf8_lossy(name));
        let text = match std::str::from_utf8(value.as_ref()) {
            Ok("") => continue,
            Ok(text) => text.to_owned(),
            Err(_) => {
                malformed = Some(format!("the value of {origin} is not UTF-8"));
                continue;
            }
        };
        if name == b"CONFIG" {
            config = Some(text);
            continue;
        }
        let known = |known: &&str| known.to_ascii_uppercase().as_bytes() == name;
        match NAMES.into_iter().find(|name| known(name)) {
            Some(name) => drop(values.insert(name, Value { text, origin })),
            None => warnings.push(format!("unknown variable {origin}; it is ignored")),
        }
    }
    (values, config, malformed)
}

/// The values a configuration file has for the program.
fn rules_for(rules: Rules, program: &str, warnings: &mut Vec<String>) -> Values {
    warnings.extend(rules.warnings);
    let mut values = rules.general;
    for (name, special) in rules.programs {
        if name == program {
            values.extend(special);
        }
    }
    values
}

/// Whether the stack is required, as far as can be said before everything is checked.
fn is_required(values: &Values) -> bool {
    // Who wrote "yes" wants it, and gets told how to write it.
    parse_with(values, "required", parse_flag).map_or(true, |flag| flag == Some(true))
}

/// What is wrong with a value.
enum Wrong {
    /// Not one of these.
    Expected(&'static str),
    /// It means something that is not there yet.
    NotBuilt(&'static str),
}

fn parse_with<T>(
    values: &Values,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Result<Option<T>, String> {
    let Some(Value { text, origin }) = values.get(name) else {
        return Ok(None);
    };
    parse(text).map(Some).map_err(|wrong| match wrong {
        Wrong::Expected(expected) => {
            format!("unknown value \"{text}\" for {origin}; expected {expected}")
        }
        Wrong::NotBuilt(what) => {
            format!("{origin}={text} cannot be used: {what} not supported yet")
        }
    })
}

fn parse_interface(text: &str) -> Result<String, Wrong> {
    // IFNAMSIZ is 16 with the closing zero; the kernel allows no slash and no space.
    let valid = |name: &str| {
        !name.is_empty() && name.len() < 16 && !name.contains(['/', ' ', '\t', '\n', ':'])
    };
    match text.split(',').collect::<Vec<_>>().as_slice() {
        [name] if valid(name.trim()) => Ok(name.trim().to_owned()),
        [_] => Err(Wrong::Expected("the name of an interface")),
        _ => Err(Wrong::NotBuilt("several interfaces are")),
    }
}

fn parse_address(text: &str) -> Result<Address, Wrong> {
    match text {
        "host" => return Ok(Address::Host),
        "dhcp" => return Err(Wrong::NotBuilt("DHCP is")),
        _ => {}
    }
    let list: Option<Vec<Cidr>> = text
        .split(',')
        .map(|item| parse_cidr(item.trim()))
        .collect();
    let expected = "host, or IPv4 addresses with prefix such as 10.0.0.5/24";
    list.map(Address::Own).ok_or(if text.contains("::") {
        Wrong::NotBuilt("IPv6 is")
    } else {
        Wrong::Expected(expected)
    })
}

/// `10.0.0.5/24`: an address a host can have.
fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, prefix_len) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix_len: u8 = prefix_len.parse().ok()?;
    let no_host = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast();
    (1..=32)
        .contains(&prefix_len)
        .then_some(Cidr {
            address,
            prefix_len,
        })
        .filter(|_| !no_host)
}

fn parse_gateway(text: &str) -> Result<Ipv4Addr, Wrong> {
    text.parse().map_err(|_| Wrong::Expected("an IPv4 address"))
}

fn parse_loopback(text: &str) -> Result<Loopback, Wrong> {
    match text {
        "kernel" => Ok(Loopback::Kernel),
        "stack" => Ok(Loopback::Stack),
        _ => Err(Wrong::Expected("kernel or stack")),
    }
}

fn parse_congestion(text: &str) -> Result<Congestion, Wrong> {
    match text {
        "cubic" => Ok(Congestion::Cubic),
        "reno" => Ok(Congestion::Reno),
        "bbr" => Err(Wrong::NotBuilt("BBR is")),
        _ => Err(Wrong::Expected("cubic or reno")),
    }
}

fn parse_level(text: &str) -> Result<Level, Wrong> {
    match text {
        "off" => Ok(Level::Off),
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        "trace" => Ok(Level::Trace),
        _ => Err(Wrong::Expected("off, error, warn, info, debug or trace")),
    }
}

fn parse_flag(text: &str) -> Result<bool, Wrong> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Wrong::Expected("0 or 1")),
    }
}
