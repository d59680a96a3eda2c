//! Initial sequence numbers and timestamp offsets (RFC 6528, RFC 7323 section 5.4).

use core::hash::Hasher;
use core::net::{Ipv4Addr, SocketAddrV4};

use siphasher::sip::SipHasher13;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;

/// A secret and what is derived from it.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub(in crate::stack) struct Secret([u8; 16]);

/// What a hash is for: so that none tells anything about another.
#[derive(Clone, Copy)]
enum Purpose {
    SequenceNumber = 1,
    Timestamp = 2,
    Cookie = 3,
}

impl Secret {
    pub(super) const fn new(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    fn hasher(&self, purpose: Purpose) -> SipHasher13 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u8(purpose as u8);
        hasher
    }

    /// RFC 6528 section 3: ISN = M + F(local address and port, remote address and port, secret),
    /// where M counts in steps of 4 microseconds.
    pub(super) fn isn(&self, now: Instant, local: SocketAddrV4, remote: SocketAddrV4) -> Seq {
        let mut hasher = self.hasher(Purpose::SequenceNumber);
        write_ends(&mut hasher, [local, remote]);
        Seq(hasher.finish() as u32) + (now.as_nanos() / 4_000) as u32
    }

    /// What only we can know of a SYN from `ends`' second to its first, and of `known`.
    pub(super) fn cookie_hash(&self, ends: [SocketAddrV4; 2], irs: Seq, known: u32) -> u32 {
        let mut hasher = self.hasher(Purpose::Cookie);
        write_ends(&mut hasher, ends);
        hasher.write_u32(irs.0);
        hasher.write_u32(known);
        hasher.finish() as u32
    }

    /// What is added to the clock in the timestamps sent to this peer. The same for all ports, so
    /// that timestamps of successive connections grow, which RFC 6191 builds on.
    pub(super) fn timestamp_offset(&self, local: Ipv4Addr, remote: Ipv4Addr) -> u32 {
        let mut hasher = self.hasher(Purpose::Timestamp);
        hasher.write_u32(local.to_bits());
        hasher.write_u32(remote.to_bits());
        hasher.finish() as u32
    }
}

fn write_ends(hasher: &mut SipHasher13, ends: [SocketAddrV4; 2]) {
    for end in ends {
        hasher.write_u32(end.ip().to_bits());
        hasher.write_u16(end.port());
    }
}
