//! A will as a message.
//!
//! A letter, eight bytes of the engine's id, then the settings as `NAME=value`, each ended by a zero byte. What
//! comes with it is the memory file, the packet socket and the vault's end, in this order.

use core::fmt::Write;

use crate::control::settings::{Address, Loopback, Settings};

/// Bytes of the longest.
pub(super) const LONGEST: usize = 4096;

/// Takes a will back: there is nothing to leave.
pub(super) const REVOCATION: &[u8] = b"r";

/// Asks to be told, by the end of the connection, when those are seen to who have died so far.
pub(super) const QUESTION: &[u8] = b"?";

/// An executor has given back the ports that it can.
pub(super) const STARTED: &[u8] = b"s";

/// What a will begins with.
const FIRST: u8 = b'w';

/// What a will says besides what it leaves.
pub(super) struct Text {
    /// What other processes know the engine by.
    pub(super) engine: u64,
    /// The settings that matter to a stack that opens no connection.
    pub(super) settings: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Text {
    /// Of the engine that has these settings and drives `interface`.
    pub(super) fn of(engine: u64, settings: &Settings, interface: &str) -> Self {
        let mut texts = vec![("INTERFACE", interface.to_owned())];
        if let Address::Own(addresses) = &settings.address {
            let mut list = String::new();
            for (at, cidr) in addresses.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(list, "{comma}{}/{}", cidr.address, cidr.prefix_len);
            }
            texts.push(("ADDRESS", list));
        }
        if let Some(gateway) = settings.gateway {
            texts.push(("GATEWAY", gateway.to_string()));
        }
        if settings.loopback == Loopback::Stack {
            texts.push(("LOOPBACK", "stack".to_owned()));
        }
        if let Some(impair) = &settings.impair {
            texts.push(("IMPAIR", impair.clone()));
        }
        let named = |(name, value): (&str, String)| {
            (format!("SIDESTACK_{name}").into_bytes(), value.into_bytes())
        };
        Self {
            engine,
            settings: texts.into_iter().map(named).collect(),
        }
    }

    /// The message; `None`: it would be too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut message = vec![FIRST];
        message.extend(self.engine.to_ne_bytes());
        for (name, value) in &self.settings {
            message.extend([name.as_slice(), b"=", value, b"\0"].concat());
        }
        (message.len() <= LONGEST).then_some(message)
    }

    /// Reads a message; `None`: it is none.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (engine, rest) = message.strip_prefix(&[FIRST])?.split_first_chunk()?;
        let lines = rest
            .split(|&byte| byte == 0)
            .filter(|line| !line.is_empty());
        let pair = |line: &[u8]| {
            let at = line.iter().position(|&byte| byte == b'=')?;
            Some((line[..at].to_vec(), line[at + 1..].to_vec()))
        };
        Some(Self {
            engine: u64::from_ne_bytes(*engine),
            settings: lines.map(pair).collect::<Option<_>>()?,
        })
    }
}
