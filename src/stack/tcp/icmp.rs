//! ICMP errors about segments of ours (RFC 9293 section 3.9.2.2, RFC 5927, RFC 1191).

use core::net::SocketAddrV4;

use super::Tcp;
use super::table::{Holder, Tuple};
use super::tcb::{State, Tcb};
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::plain::Maybe;
use crate::stack::pool::Pool;
use crate::stack::wire::seq::Seq;

/// RFC 1191 section 3: no IPv4 path has less. As Linux's min_pmtu, more than the 68 bytes the RFC
/// allows: what is smaller is an attack.
const MIN_PATH_MTU: u16 = 552;

/// An ICMP error, with what it quotes of our segment.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError {
    /// What it means to a socket.
    pub error: Error,
    /// "Fragmentation needed" with the next hop's MTU in bytes; then `error` does not count.
    pub mtu: Option<u16>,
    /// Source of the quoted segment: us.
    pub local: SocketAddrV4,
    /// Its destination.
    pub remote: SocketAddrV4,
    /// Its sequence number.
    pub seq: Seq,
}

impl Tcp {
    /// An attempt to connect: as on Linux all is told about what ends it, even if nobody has asked (IP_RECVERR).
    pub fn attempt(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<SocketId> {
        let Holder::Connection(index) = self.tables.holder(Tuple::new(local, remote))? else {
            return None;
        };
        let tcb = self.connections.get(index)?;
        (tcb.state == State::SynSent).then_some(tcb.id)
    }
}

impl Tcb {
    /// Returns whether it was believed.
    pub(super) fn receive_icmp_error(&mut self, pool: &mut Pool, icmp: &IcmpError) -> bool {
        // RFC 5927 section 4: what quotes nothing in flight is old or forged.
        let in_flight = icmp.seq.is_within(self.snd.una, self.snd.nxt) && self.snd.flight() > 0;
        if !in_flight {
            return false;
        }
        if let Some(mtu) = icmp.mtu {
            self.lower_path_mtu(mtu);
            return true;
        }
        match self.state {
            // As Linux: what answers the SYN ends the attempt at once.
            State::SynSent => self.end(pool, Some(icmp.error)),
            State::SynReceived if !self.is_open_early() => {}
            _ if self.options.receive_errors => {
                self.soft_error = Maybe::some(icmp.error);
                self.marks.dirty = true;
            }
            _ => self.soft_error = Maybe::some(icmp.error),
        }
        true
    }

    /// RFC 1191: segments become smaller, and what was too big is sent again at once. That is no
    /// sign of congestion.
    fn lower_path_mtu(&mut self, mtu: u16) {
        let mtu = mtu.max(MIN_PATH_MTU);
        let too_big = u32::from(mtu) < self.snd.mss + 40;
        if !too_big || !self.state.is_synchronized() {
            self.snd.path_mtu = self.snd.path_mtu.min(mtu);
            return;
        }
        self.snd.path_mtu = mtu;
        self.loss.resend_all(self.snd.una, self.snd.nxt);
        self.marks.output = true;
    }
}
