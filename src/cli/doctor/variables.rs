//! The `SIDESTACK_*` variables: known names and values that can be meant.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::Finding;
use crate::cli::settings::{SETTINGS, Settings};

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings = check_names();
    let set = SETTINGS
        .iter()
        .map(|setting| (setting.variable, settings.text(setting.variable)))
        .filter(|(_, value)| !value.is_empty());
    for (variable, value) in set {
        if let Err(wanted) = check_value(variable, &value) {
            let found = format!("{variable}={value}");
            findings.push(Finding::fail("variables", found, wanted));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("variables", "valid"));
    }
    findings
}

/// A misspelt variable would be ignored without a word.
fn check_names() -> Vec<Finding> {
    let known = |name: &str| SETTINGS.iter().any(|setting| setting.variable == name);
    env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("SIDESTACK_") && !known(name))
        .map(|name| {
            let found = format!("{name} is set, which means nothing");
            Finding::warn("variables", found, "sidestack run --help lists the options")
        })
        .collect()
}

/// Can this value be meant? The error says what is wanted.
fn check_value(variable: &str, value: &str) -> Result<(), String> {
    match variable {
        "SIDESTACK_ADDRESS" => check_addresses(value),
        "SIDESTACK_GATEWAY" => match value.parse::<Ipv4Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("an IPv4 address, like 10.0.0.1".into()),
        },
        "SIDESTACK_LOOPBACK" => one_of(value, &["kernel", "stack"]),
        "SIDESTACK_CONGESTION" => one_of(value, &["cubic", "reno", "bbr"]),
        "SIDESTACK_LOG" => one_of(value, &["off", "error", "warn", "info", "debug", "trace"]),
        "SIDESTACK_REQUIRED" => one_of(value, &["0", "1"]),
        "SIDESTACK_CONFIG" => fs::metadata(value)
            .map(drop)
            .map_err(|error| format!("a file that can be read ({error})")),
        "SIDESTACK_PCAP" | "SIDESTACK_LOG_FILE" => check_folder(value),
        _ => Ok(()),
    }
}

fn one_of(value: &str, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(format!("one of: {}", allowed.join(", ")))
}

fn check_addresses(value: &str) -> Result<(), String> {
    let wanted = || "host, dhcp, or addresses with prefix, like 10.0.0.5/24".to_owned();
    if value == "host" || value == "dhcp" {
        return Ok(());
    }
    for part in value.split(',') {
        let (ip, prefix) = part.trim().split_once('/').ok_or_else(wanted)?;
        let prefix: u8 = prefix.parse().map_err(|_| wanted())?;
        if ip.parse::<Ipv4Addr>().is_err() || prefix > 32 {
            return Err(wanted());
        }
    }
    Ok(())
}

/// A file to be written needs its folder.
fn check_folder(value: &str) -> Result<(), String> {
    match Path::new(value).parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(format!(
            "a file in a folder that exists; {} does not",
            folder.display()
        )),
        _ => Ok(()),
    }
}
