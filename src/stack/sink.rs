//! Where bytes that arrive may go without being queued.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::ids::SocketId;
use super::ip_options::IpOptions;
use super::passing::Passing;

/// What is known about a datagram besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// The address it was sent to.
    pub to: Ipv4Addr,
    /// Bytes of payload.
    pub len: usize,
    /// Time to live it arrived with.
    pub ttl: u8,
    /// DSCP and ECN it arrived with.
    pub tos: u8,
    /// Bytes of each datagram this was put together from (UDP_GRO); 0: it is one.
    pub segment: u16,
    /// Bytes of the longest packet that it came in, in fragments; 0: it came whole.
    pub fragment: u16,
    /// When the interface had it, as the driver counts; 0: not known.
    pub stamp: u64,
    /// Datagrams the socket had lost when this one came (SO_RXQ_OVFL).
    pub drops: u32,
    /// Of the header it came with, or the first fragment's.
    pub options: IpOptions,
}

/// Takes arriving bytes straight from the frame, saving the copy into a queue. Whatever it
/// refuses is queued.
pub trait Sink {
    /// Offers in-order bytes of a connection whose receive queue is empty. Returns how many,
    /// from the front, were taken. If others see them from then on, `passing` is to begin before.
    fn deliver(&mut self, id: SocketId, data: &[u8], passing: &mut Passing) -> usize;

    /// Offers a datagram for a socket whose queue is empty. Returns whether it was taken.
    fn deliver_datagram(&mut self, id: SocketId, datagram: &Datagram, data: &[u8]) -> bool;
}

/// Takes nothing.
pub struct NoSink;

impl Sink for NoSink {
    fn deliver(&mut self, _: SocketId, _: &[u8], _: &mut Passing) -> usize {
        0
    }

    fn deliver_datagram(&mut self, _: SocketId, _: &Datagram, _: &[u8]) -> bool {
        false
    }
}
