//! An entry of an error queue as an answer to another process.
//!
//! The packet's length, whom it was for, and how many control messages there are; each of these with level, type and
//! length; and as much of the packet as was asked for, and has room.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::datagram::Told;
use crate::driver::Question;

/// What the program is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the packet's payload.
    pub len: usize,
    /// As much of it as there was room for.
    pub packet: Vec<u8>,
    /// Whom the packet was for.
    pub name: Option<SocketAddrV4>,
    /// Control messages.
    pub told: Vec<Told>,
}

impl Taken {
    /// As an answer's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.name.unwrap_or(NOBODY);
        let mut bytes = (self.len as u32).to_ne_bytes().to_vec();
        bytes.push(u8::from(self.name.is_some()));
        bytes.extend_from_slice(&name.ip().octets());
        bytes.extend_from_slice(&name.port().to_ne_bytes());
        bytes.push(self.told.len() as u8);
        for Told { level, kind, data } in &self.told {
            bytes.extend_from_slice(&level.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&(data.len() as u16).to_ne_bytes());
            bytes.extend_from_slice(data);
        }
        let room = Question::ROOM.saturating_sub(bytes.len());
        bytes.extend_from_slice(&self.packet[..self.packet.len().min(room)]);
        bytes
    }

    /// Reads an answer's bytes; `None`: it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let len = u32::from_ne_bytes(take(&mut rest)?) as usize;
        let [is_named] = take(&mut rest)?;
        let ip = Ipv4Addr::from(take::<4>(&mut rest)?);
        let port = u16::from_ne_bytes(take(&mut rest)?);
        let [count] = take(&mut rest)?;
        let mut told = Vec::new();
        for _ in 0..count {
            let level = i32::from_ne_bytes(take(&mut rest)?);
            let kind = i32::from_ne_bytes(take(&mut rest)?);
            let len = u16::from_ne_bytes(take(&mut rest)?);
            let (data, behind) = rest.split_at_checked(usize::from(len))?;
            rest = behind;
            let data = data.to_vec();
            told.push(Told { level, kind, data });
        }
        Some(Self {
            len,
            packet: rest.to_vec(),
            name: (is_named != 0).then(|| SocketAddrV4::new(ip, port)),
            told,
        })
    }
}

const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}
