//! Requests to rtnetlink and their answers (rtnetlink(7)), message by message.

use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkHeader, NlaBuffer,
};
use rustix::io::Errno;
use std::net::Ipv4Addr;

use crate::sys::netlink::RouteSocket;

/// The kernel fills at most 32 KiB at a time, however large the buffer.
pub(super) const BUFFER: usize = 32 << 10;

/// Bytes of a message's header (`struct nlmsghdr`).
const NETLINK_HEADER_LEN: usize = 16;

/// How often a dump is started again because the tables changed meanwhile.
const ATTEMPTS: usize = 5;

/// A connection to rtnetlink that asks for whole tables.
#[derive(Debug)]
pub(super) struct Rtnetlink {
    socket: RouteSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Rtnetlink {
    pub(super) fn open() -> Result<Self, Errno> {
        Ok(Self {
            socket: RouteSocket::requests()?,
            sequence: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Asks for a table (`kind`: RTM_GET*; `body`: the family's header) and collects what `parse`
    /// makes of each entry.
    ///
    /// # Errors
    /// What the kernel answers. EAGAIN: it does not, or the table keeps changing.
    pub(super) fn dump<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        for _ in 0..ATTEMPTS {
            self.sequence = self.sequence.wrapping_add(1);
            self.socket.send(&request(kind, self.sequence, body))?;
            if let Some(entries) = self.collect(&parse)? {
                return Ok(entries);
            }
        }
        Err(Errno::AGAIN)
    }

    /// `None`: the table changed while it was read.
    fn collect<T>(&mut self, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<Vec<T>>, Errno> {
        let mut entries = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = self.socket.receive(&mut self.buffer)?;
            for message in messages(datagram) {
                // An answer to an earlier request that timed out.
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE => return Ok((!interrupted).then_some(entries)),
                    NLMSG_ERROR => return Err(error_of(message.payload)),
                    NLMSG_OVERRUN => return Err(Errno::NOBUFS),
                    _ => entries.extend(parse(message.payload)),
                }
            }
        }
    }
}

/// A request for a whole table.
fn request(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    let length = NETLINK_HEADER_LEN + body.len();
    header.length = length as u32;
    header.message_type = kind;
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut bytes = vec![0; NETLINK_HEADER_LEN];
    header.emit(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// The errno in an error message; EPROTO if it has none.
fn error_of(payload: &[u8]) -> Errno {
    match payload.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(code) if (-4095..0).contains(&code) => Errno::from_raw_os_error(-code),
        _ => Errno::PROTO,
    }
}

/// One message of a datagram.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    pub(super) payload: &'a [u8],
}

/// The messages of a datagram; what is cut or malformed ends it.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = buffer.length() as usize;
        let payload = datagram.get(NETLINK_HEADER_LEN..length)?;
        let message = Message {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            sequence: buffer.sequence_number(),
            payload,
        };
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(message)
    })
}

/// An attribute's value as the address it is.
pub(super) fn address(attribute: &NlaBuffer<&[u8]>) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(attribute.value())
        .ok()
        .map(Ipv4Addr::from)
}

/// An attribute's value as the 32-bit number it is.
pub(super) fn number(attribute: &NlaBuffer<&[u8]>) -> Option<u32> {
    <[u8; 4]>::try_from(attribute.value())
        .ok()
        .map(u32::from_ne_bytes)
}

/// An attribute's value as the hardware address it is.
pub(super) fn hardware_address(attribute: &NlaBuffer<&[u8]>) -> Option<[u8; 6]> {
    attribute.value().try_into().ok()
}
