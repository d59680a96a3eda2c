//! What the program's end of a pair is called.

use core::sync::atomic::{AtomicBool, Ordering};
use rustix::fd::RawFd;
use rustix::io::Errno;

use super::super::endpoint::EndpointId;
use super::super::envelope::take;
use crate::control::{dialect, log};
use crate::sys::local;

const SOCKET: &[u8] = b"sidestack/socket/";
const STACK: &str = "sidestack/stack/";
/// Digits of a socket's name. The version comes behind them.
const DIGITS: usize = 32;

/// The user was told that there is a socket of another version.
static TOLD: AtomicBool = AtomicBool::new(false);

/// A socket's name: whose it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The engine: a number made by chance when it started.
    pub engine: u64,
    /// Its endpoint.
    pub endpoint: EndpointId,
}

impl Name {
    /// The name of `fd`, if it is a socket of ours that was given one.
    pub fn of(fd: RawFd) -> Option<Self> {
        let name = local::name_of(fd)?;
        let name = core::str::from_utf8(name.strip_prefix(SOCKET)?).ok()?;
        let (digits, version) = name.split_at_checked(DIGITS)?;
        let number = |from: usize, to: usize| u64::from_str_radix(digits.get(from..to)?, 16).ok();
        if version.strip_prefix('/')? != dialect::VERSION {
            if !TOLD.swap(true, Ordering::Relaxed) {
                log::warn(
                    "a socket of a program that has another version of the library is not served here",
                );
            }
            return None;
        }
        Some(Self {
            engine: number(0, 16)?,
            endpoint: EndpointId {
                index: u32::try_from(number(16, 24)?).ok()?,
                generation: u32::try_from(number(24, 32)?).ok()?,
            },
        })
    }

    /// Bytes of [`Self::encode`].
    pub(in crate::driver) const LEN: usize = 8 + EndpointId::LEN;

    /// The name in a message.
    pub(in crate::driver) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.engine.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.endpoint.encode());
        bytes
    }

    /// Reads it back.
    pub(in crate::driver) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let mut rest = &bytes[..];
        Self {
            engine: u64::from_ne_bytes(take(&mut rest)),
            endpoint: EndpointId::decode(&take(&mut rest)),
        }
    }

    /// Gives the name to `fd`; whether it may be called by it now. (Where another socket has the
    /// name, an owner with guests knows the descriptor all the same.)
    pub fn give(self, fd: RawFd) -> bool {
        let EndpointId { index, generation } = self.endpoint;
        let version = dialect::VERSION;
        let name = format!("{:016x}{index:08x}{generation:08x}/{version}", self.engine);
        match local::give_name(fd, &[SOCKET, name.as_bytes()].concat()) {
            Ok(()) | Err(Errno::ADDRINUSE) => true,
            Err(Errno::INVAL) => Self::of(fd) == Some(self),
            Err(_) => false,
        }
    }
}

impl EndpointId {
    /// Bytes of [`Self::encode`].
    pub(super) const LEN: usize = 8;

    /// The id in a message.
    pub(super) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.index.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.generation.to_ne_bytes());
        bytes
    }

    /// Reads it back.
    pub(super) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let mut rest = &bytes[..];
        Self {
            index: u32::from_ne_bytes(take(&mut rest)),
            generation: u32::from_ne_bytes(take(&mut rest)),
        }
    }
}

/// Where the owner of `engine`'s sockets is asked.
pub(in crate::driver) fn desk(engine: u64) -> String {
    format!("{STACK}{engine:016x}")
}
