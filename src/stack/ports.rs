//! Which ports are the stack's when it shares the host's addresses.

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

impl Ports {
    pub(crate) fn new() -> Self {
        Self {
            tcp: Box::new([0; WORDS]),
            udp: Box::new([0; WORDS]),
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

    pub(crate) fn is_owned(&self, protocol: Protocol, port: u16) -> bool {
        let words = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        words[usize::from(port / 64)] >> (port % 64) & 1 != 0
    }
}
