//! An error queue as part of a message, for who goes on when this process is killed.
//!
//! First the number of sends with MSG_ZEROCOPY, then the entries: of each eight words, the last of which is the length of
//! the bytes that follow. Numbers are in the machine's byte order.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::{Entry, ErrorQueue};
use crate::stack::error::Error;
use crate::stack::ids::{Kind, SocketId};
use crate::stack::reports::{Origin, Report};
use crate::stack::sendings::{Sending, Stage};

const LOCAL: u32 = 0;
const ICMP: u32 = 1;
const SENT: u32 = 2;
const STAMPED: u32 = 3;

/// What an entry's first seven words say.
type Words = [u32; 7];

impl ErrorQueue {
    /// Bytes of one, at most.
    pub(in crate::driver) const LONGEST: usize = 1024;

    /// What there is to say; nothing: it was never used. Entries are left out for which there is no room. So are a
    /// connection's sends with MSG_ZEROCOPY, which lie in the memory file.
    pub(in crate::driver) fn encode(&self, of_connection: bool) -> Vec<u8> {
        if self.changes == 0 {
            return Vec::new();
        }
        let mut text = self.sends.to_ne_bytes().to_vec();
        for entry in &self.entries {
            let (words, bytes) = entry.parts();
            let len = size_of::<Words>() + size_of::<u32>() + bytes.len();
            let lies_elsewhere = of_connection && matches!(entry, Entry::Sent(..));
            if !lies_elsewhere && text.len() + len <= Self::LONGEST {
                text.extend(words.map(u32::to_ne_bytes).concat());
                text.extend((bytes.len() as u32).to_ne_bytes());
                text.extend(bytes);
            }
        }
        text
    }

    /// Reads one, as far as it can be read.
    pub(in crate::driver) fn decode(mut text: &[u8]) -> Self {
        let mut queue = Self::default();
        if let Some(sends) = word(&mut text) {
            queue.sends = sends;
        }
        while let Some(entry) = Entry::decode(&mut text) {
            queue.push(entry);
        }
        queue
    }
}

fn word(text: &mut &[u8]) -> Option<u32> {
    let (word, rest) = text.split_first_chunk()?;
    *text = rest;
    Some(u32::from_ne_bytes(*word))
}

impl Entry {
    /// What there is to say of it, and the bytes it has.
    fn parts(&self) -> (Words, &[u8]) {
        match self {
            Self::Report(report) => (words_of(report), &report.payload),
            Self::Sent(first, last) => ([SENT, *first, *last, 0, 0, 0, 0], &[]),
            Self::Stamped(sending, at) => {
                let (low, high) = (*at as u32, (*at >> 32) as u32);
                let stage = sending.stage as u32;
                let words = [STAMPED, stage, sending.key, low, high, 0, 0];
                (words, &sending.frame)
            }
        }
    }

    /// Reads the first of several, which is taken off.
    fn decode(text: &mut &[u8]) -> Option<Self> {
        let mut words = Words::default();
        for place in &mut words {
            *place = word(text)?;
        }
        let len = word(text)?;
        let (bytes, rest) = text.split_at_checked(len as usize)?;
        *text = rest;
        Self::of_parts(words, bytes.to_vec())
    }

    fn of_parts([kind, a, b, c, d, e, f]: Words, bytes: Vec<u8>) -> Option<Self> {
        let origin = match kind {
            SENT => return Some(Self::Sent(a, b)),
            STAMPED => {
                let stages = [Stage::Scheduled, Stage::Sent, Stage::Acknowledged];
                let sending = Sending {
                    // Nobody asks any more.
                    socket: SocketId {
                        kind: Kind::Datagram,
                        index: 0,
                        generation: 0,
                    },
                    stage: stages.into_iter().find(|&stage| stage as u32 == a)?,
                    key: b,
                    frame: bytes,
                };
                return Some(Self::Stamped(sending, u64::from(c) | u64::from(d) << 32));
            }
            ICMP => {
                let [ttl, kind, code, _] = f.to_ne_bytes();
                Origin::Icmp {
                    offender: Ipv4Addr::from_bits(e),
                    ttl,
                    kind,
                    code,
                }
            }
            LOCAL => Origin::Local,
            _ => return None,
        };
        Some(Self::Report(Report {
            error: Error::from_number(a as u8),
            origin,
            mtu: b,
            destination: SocketAddrV4::new(Ipv4Addr::from_bits(c), d as u16),
            payload: bytes,
        }))
    }
}

fn words_of(report: &Report) -> Words {
    let (kind, offender, header) = match report.origin {
        Origin::Local => (LOCAL, 0, 0),
        Origin::Icmp {
            offender,
            ttl,
            kind,
            code,
        } => {
            let header = u32::from_ne_bytes([ttl, kind, code, 0]);
            (ICMP, offender.to_bits(), header)
        }
    };
    let (error, destination) = (u32::from(report.error.number()), report.destination);
    let (ip, port) = (destination.ip().to_bits(), u32::from(destination.port()));
    [kind, error, report.mtu, ip, port, offender, header]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(frame: Vec<u8>) -> Entry {
        let sending = Sending {
            socket: SocketId {
                kind: Kind::Datagram,
                index: 0,
                generation: 0,
            },
            stage: Stage::Acknowledged,
            key: 7,
            frame,
        };
        Entry::Stamped(sending, 1 << 60 | 5)
    }

    fn reported(origin: Origin) -> Entry {
        Entry::Report(Report {
            error: Error::HostUnreachable,
            origin,
            mtu: 1400,
            destination: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 65000),
            payload: b"payload".to_vec(),
        })
    }

    fn used() -> ErrorQueue {
        let offender = Ipv4Addr::new(198, 51, 100, 200);
        let icmp = Origin::Icmp {
            offender,
            ttl: 61,
            kind: 3,
            code: 1,
        };
        let mut queue = ErrorQueue::default();
        queue.push(reported(icmp));
        queue.push_send();
        queue.push_send();
        queue.push(stamped(vec![9; 300]));
        queue.push(reported(Origin::Local));
        queue
    }

    #[test]
    fn a_queue_is_read_as_it_was() {
        let queue = used();
        let read = ErrorQueue::decode(&queue.encode(false));
        assert_eq!((read.entries, read.sends), (queue.entries, 2));
    }

    #[test]
    fn sends_of_a_connection_are_left_out() {
        let mut queue = used();
        let read = ErrorQueue::decode(&queue.encode(true));
        queue.entries.remove(1);
        assert_eq!(read.entries, queue.entries);
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut queue = used();
        queue
            .entries
            .push_front(stamped(vec![0; ErrorQueue::LONGEST]));
        for _ in 0..100 {
            queue.push(reported(Origin::Local));
        }
        let text = queue.encode(false);
        assert!(text.len() <= ErrorQueue::LONGEST);
        let read = ErrorQueue::decode(&text).entries;
        assert!(read.len() > 4);
        assert!(read.iter().eq(queue.entries.range(1..=read.len())));
    }

    #[test]
    fn a_text_that_ends_early_is_read_as_far_as_it_goes() {
        let text = used().encode(false);
        for len in 0..text.len() {
            assert!(ErrorQueue::decode(&text[..len]).entries.len() < 4);
        }
        let too_long = [u32::MAX; 9].map(u32::to_ne_bytes).concat();
        assert!(ErrorQueue::decode(&too_long).is_empty());
    }
}
