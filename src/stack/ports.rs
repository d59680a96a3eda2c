//! Which ports are the stack's when it shares the host's addresses.

use std::collections::BTreeSet;

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
}

const WORDS: usize = 65_536 / 64;

/// A bit for each port of each protocol.
#[derive(Debug)]
pub(crate) struct Ports {
    tcp: Box<[u64; WORDS]>,
    udp: Box<[u64; WORDS]>,
    shared: Shared,
}

/// TCP ports that others may have besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// These.
    Ports(BTreeSet<u16>),
    /// Every one.
    All,
}

impl Ports {
    pub(crate) fn new() -> Self {
        Self {
            tcp: Box::new([0; WORDS]),
            udp: Box::new([0; WORDS]),
            shared: Shared::Ports(BTreeSet::new()),
        }
    }

    pub(crate) fn set(&mut self, protocol: Protocol, port: u16, owned: bool) {
        let words = match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        };
        let bit = 1 << (port % 64);
        let word = &mut words[usize::from(port / 64)];
        *word = if owned { *word | bit } else { *word & !bit };
    }

    pub(crate) fn share(&mut self, shared: Shared) {
        self.shared = shared;
    }

    pub(crate) fn is_shared(&self, port: u16) -> bool {
        match &self.shared {
            Shared::Ports(ports) => ports.contains(&port),
            Shared::All => true,
        }
    }

    pub(crate) fn is_owned(&self, protocol: Protocol, port: u16) -> bool {
        let words = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        words[usize::from(port / 64)] >> (port % 64) & 1 != 0
    }
}
