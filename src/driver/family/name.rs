//! What the program's end of a pair is called.

use rustix::fd::RawFd;
use rustix::io::Errno;

use super::super::endpoint::EndpointId;
use crate::sys::local;

const SOCKET: &[u8] = b"sidestack/socket/";
const STACK: &str = "sidestack/stack/";

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
        let digits = core::str::from_utf8(name.strip_prefix(SOCKET)?).ok()?;
        let number = |from: usize, to: usize| u64::from_str_radix(digits.get(from..to)?, 16).ok();
        if digits.len() != 32 {
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

    /// Gives the name to `fd`; whether it has it now.
    pub fn give(self, fd: RawFd) -> bool {
        let EndpointId { index, generation } = self.endpoint;
        let digits = format!("{:016x}{index:08x}{generation:08x}", self.engine);
        match local::give_name(fd, &[SOCKET, digits.as_bytes()].concat()) {
            Ok(()) => true,
            Err(Errno::INVAL) => Self::of(fd) == Some(self),
            Err(_) => false,
        }
    }
}

/// Where the owner of `engine`'s sockets is asked.
pub(super) fn desk(engine: u64) -> String {
    format!("{STACK}{engine:016x}")
}
