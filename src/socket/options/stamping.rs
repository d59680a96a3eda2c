//! SO_TIMESTAMPING (the kernel's timestamping.rst), in software.

use super::kernel::TIMESTAMPING_NEW;
use crate::stack::sendings::{Sending, Stamps};

/// SOF_TIMESTAMPING_OPT_ID_TCP of linux/net_tstamp.h.
const OPT_ID_TCP: u32 = 1 << 16;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamping {
    /// The option's name, which is that of the messages, too.
    pub name: i32,
    /// SOF_TIMESTAMPING_*.
    pub flags: u32,
    /// A datagram socket's next key; a connection's place in its stream that keys count from.
    pub key: u32,
}

impl Default for Stamping {
    fn default() -> Self {
        Self {
            name: libc::SO_TIMESTAMPING,
            flags: 0,
            key: 0,
        }
    }
}

/// Whether an option is one of the two names of this one.
pub(super) fn is_name((level, name): (i32, i32)) -> bool {
    level == libc::SOL_SOCKET && matches!(name, libc::SO_TIMESTAMPING | TIMESTAMPING_NEW)
}

/// The value without the request for keys, which a stream socket that is not connected refuses.
pub(super) fn without_keys(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if let Some(four) = value.first_chunk_mut() {
        let flags = u32::from_ne_bytes(*four);
        *four = (flags & !(libc::SOF_TIMESTAMPING_OPT_ID | OPT_ID_TCP)).to_ne_bytes();
    }
    value
}

impl Stamping {
    /// Takes in what was set. Keys that were not asked for before count from `places`: how many bytes of
    /// a connection's stream are acknowledged, and how many there are.
    pub(super) fn set(&mut self, name: i32, flags: u32, places: Option<(u32, u32)>) {
        let begins = flags & libc::SOF_TIMESTAMPING_OPT_ID != 0 && !self.has_keys();
        *self = Self {
            name,
            flags,
            ..*self
        };
        if begins {
            let (acknowledged, all) = places.unwrap_or_default();
            self.key = match flags & OPT_ID_TCP {
                0 => acknowledged,
                _ => all,
            };
        }
    }

    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn has_keys(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_OPT_ID)
    }

    /// Whether times are told at all.
    pub fn tells(self) -> bool {
        self.has(libc::SOF_TIMESTAMPING_SOFTWARE)
    }

    /// Whether what arrives comes with its time.
    pub fn of_arrival(self) -> bool {
        self.tells() && self.has(libc::SOF_TIMESTAMPING_RX_SOFTWARE)
    }

    /// Whether the packet itself comes with the times of sending.
    pub fn gives_packets(self) -> bool {
        !self.has(libc::SOF_TIMESTAMPING_OPT_TSONLY)
    }

    /// Whether what was asked to be told of datagrams is told of those, too.
    pub fn tells_of_packets(self) -> bool {
        self.gives_packets() && self.has(libc::SOF_TIMESTAMPING_OPT_CMSG)
    }

    /// What of sending is to be told.
    pub fn stamps(self) -> Stamps {
        Stamps {
            scheduled: self.has(libc::SOF_TIMESTAMPING_TX_SCHED),
            sent: self.has(libc::SOF_TIMESTAMPING_TX_SOFTWARE),
            acknowledged: self.has(libc::SOF_TIMESTAMPING_TX_ACK),
        }
    }

    /// What of a connection's next bytes is to be told. A control message may ask for `others`.
    pub fn of_bytes(self, others: Option<u32>) -> Stamps {
        let flags = others.unwrap_or(self.flags);
        Self { flags, ..self }.stamps()
    }

    /// What is to be told of the next datagram, with its key. A control message may ask for `others`.
    pub fn of_next(&mut self, others: Option<u32>) -> Option<(Stamps, u32)> {
        let asked = Self {
            flags: others.unwrap_or(self.flags),
            ..*self
        };
        let stamps = asked.stamps();
        if !stamps.scheduled && !stamps.sent {
            return None;
        }
        let key = match self.has_keys() {
            true => self.key,
            false => 0,
        };
        self.key = self.key.wrapping_add(u32::from(self.has_keys()));
        Some((stamps, key))
    }

    /// The key the program knows something by.
    pub fn key_of(self, sending: &Sending, stream: bool) -> u32 {
        match (stream, self.has_keys()) {
            (true, true) => sending.key.wrapping_sub(self.key),
            (true, false) => 0,
            (false, _) => sending.key,
        }
    }
}
