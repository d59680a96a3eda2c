//! An interface driven through an AF_PACKET socket (packet(7)).
//!
//! ```text
//!   AF_PACKET ──► queue, or ring ──► receive      transmit ──► AF_PACKET
//! ```
//!
//! Before each frame, in either direction, is a virtio-net header, which says what of it was left
//! undone. A frame to send that carries nothing beside its bytes goes with others in one system call.
//!
//! 1. `fd` is the socket that filters are set on and frames leave by. The one before it (`plain`) is
//!    only received from, as long as something is left in it.

pub mod kept;
mod receive;
mod transmit;

use core::mem::replace;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::sockopt;

use self::receive::Place;
use self::transmit::Refused;
use super::{Checksum, Frame, Link, Received, Statistics};
use crate::sys::collected::Collected;
use crate::sys::descriptor;
use crate::sys::filter::{self, Instruction};
use crate::sys::owned::OwnedFd;
use crate::sys::packet;
use crate::sys::ring::{self, Ring};

/// Bytes of frames that may wait to be received. Several super-packets at full window of several
/// connections; the kernel counts twice the payload.
const RECEIVE_QUEUE: usize = 8 << 20;

/// Bytes of frames that may wait to be transmitted.
const TRANSMIT_QUEUE: usize = 2 << 20;

/// A raw packet socket with offloads, bound to one interface.
///
/// It begins without a ring, since that costs some ten milliseconds and three megabytes. One that has
/// a ring can succeed it ([`Link::succeed`]) when there turns out to be much to receive.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    ring: Option<Ring>,
    /// The ring has told of a frame on the socket that was not fetched yet.
    owed: bool,
    /// The socket before this one, which has no ring, and admits nothing any more.
    plain: Option<OwnedFd>,
    /// Something may be left in it.
    left: bool,
    /// It is to be set aside.
    retiring: bool,
    statistics: Statistics,
    /// Arrivals are stamped.
    stamps: bool,
    refused: Refused,
    /// Whether the kernel takes more than 64 KiB; none: it was not asked yet.
    takes_long: Option<bool>,
    /// Has copies of both sockets, so that nobody waits for their end, as long as no other process has.
    collected: Option<Collected>,
}

impl PacketSocket {
    /// Opens a socket on the interface. `filter` is in place before the first frame arrives.
    ///
    /// # Errors
    /// EPERM: CAP_NET_RAW is missing. ENODEV, ENETDOWN: the interface is not there or not up.
    /// EINVAL, ENOMEM: as [`Self::set_filter`] says. ENOPROTOOPT: the kernel is too old
    /// (before 4.20).
    pub fn open(interface_index: u32, filter: &[Instruction]) -> Result<Self, Errno> {
        let fd = open_unbound(filter)?;
        packet::bind(fd.as_fd(), interface_index)?;
        let mut socket = Self::adopt(fd);
        // Without it the process ends a little later.
        socket.collected = Collected::new().ok();
        socket.let_collect();
        Ok(socket)
    }

    /// See [`crate::sys::collected`].
    fn let_collect(&self) {
        if let Some(collected) = &self.collected {
            let _ = collected.put(self.fd.as_fd());
        }
    }

    /// Whether the process lacks the right to a packet socket, and has kept none.
    pub fn lacks_right() -> bool {
        !kept::is_kept() && matches!(packet::open(), Err(Errno::PERM | Errno::ACCESS))
    }

    /// A socket with a ring that admits nothing yet, for [`Link::succeed`].
    ///
    /// # Errors
    /// As [`Self::open`]. ENOMEM: there is no memory for the ring.
    pub fn prepare(interface_index: u32) -> Result<OwnedFd, Errno> {
        let fd = open_unbound(&filter::NOTHING)?;
        ring::make(fd.as_fd())?;
        packet::bind(fd.as_fd(), interface_index)?;
        Ok(fd)
    }

    /// Takes a socket back that may have been set aside, perhaps by another process. Else it costs
    /// nothing; if it was, as much as that.
    ///
    /// # Errors
    /// What bind(2) says.
    pub fn take_back(fd: BorrowedFd<'_>, interface_index: u32) -> Result<(), Errno> {
        packet::bind(fd, interface_index)
    }

    /// Spares the kernel a socket that admits nothing any more: it would ask its filter of each frame.
    ///
    /// # Errors
    /// What bind(2) says.
    pub fn set_aside(fd: &OwnedFd, interface_index: u32) -> Result<(), Errno> {
        packet::set_aside(fd.as_fd(), interface_index)
    }

    /// Goes on with a socket that [`Self::open`] made, perhaps in another process. One that was set
    /// aside there is to be taken back before it serves.
    pub fn adopt(fd: OwnedFd) -> Self {
        Self {
            fd,
            ring: None,
            owed: false,
            plain: None,
            left: false,
            retiring: false,
            statistics: Statistics::default(),
            stamps: false,
            refused: Refused::default(),
            takes_long: None,
            collected: None,
        }
    }

    /// Goes on with a socket of a dead process and with the one that had succeeded it there.
    ///
    /// # Errors
    /// What mmap(2) says: EINVAL, `successor` has no ring.
    pub fn adopt_both(plain: OwnedFd, successor: OwnedFd) -> Result<Self, Errno> {
        let ring = Ring::resume(successor.as_fd())?;
        Ok(Self {
            ring: Some(ring),
            plain: Some(plain),
            left: true,
            ..Self::adopt(successor)
        })
    }

    /// Replaces the filter; each frame meets the old one or the new one.
    ///
    /// # Errors
    /// EINVAL: the program is not a valid one. ENOMEM: it is too long for
    /// `net.core.optmem_max`; the old one stays.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "the tests set it; the engine does through wait_fd"
        )
    )]
    pub fn set_filter(&self, program: &[Instruction]) -> Result<(), Errno> {
        filter::attach(self.fd.as_fd(), program)
    }
}

impl Link for PacketSocket {
    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Errno> {
        let Some((vnet, place)) = self.find(buffer)? else {
            return Ok(None);
        };
        self.statistics.received += 1;
        let stamp = self.arrival(&place);
        let bytes = match (place, &self.ring) {
            (Place::Buffer(len), _) => &buffer[..len],
            (Place::Ring, Some(ring)) => ring.frame(),
            (Place::Ring, None) => &[],
        };
        let checksum = if vnet.checksum_trusted() {
            Checksum::Trusted
        } else {
            Checksum::Verify
        };
        Ok(Some(Received {
            bytes,
            checksum,
            gso_size: vnet.gso_size(),
            stamp,
        }))
    }

    fn has_frame(&self) -> bool {
        self.left || self.ring.as_ref().is_some_and(Ring::has_next)
    }

    fn take_error(&mut self) -> Option<Errno> {
        // Without a ring, to receive asks for it.
        self.ring.as_ref()?;
        sockopt::socket_error(&self.fd).ok()?.err()
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        self.transmit_frames(frames)
    }

    fn stamp(&mut self) {
        if !self.stamps {
            // The first question makes the kernel stamp what comes then.
            let _ = packet::last_arrival(self.fd.as_fd());
            self.stamps = true;
        }
    }

    fn takes_long(&mut self) -> bool {
        let known = self.takes_long;
        *self
            .takes_long
            .insert(known.unwrap_or_else(|| self.try_long()))
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn flush(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.give_back();
        }
    }

    fn succeed(&mut self, successor: OwnedFd) -> Result<(), Errno> {
        if self.plain.is_some() {
            return Err(Errno::ALREADY);
        }
        let ring = Ring::map(successor.as_fd())?;
        // What comes between these two comes twice, as on any network: better than not at all.
        filter::copy(self.fd.as_fd(), successor.as_fd())?;
        filter::attach(self.fd.as_fd(), &filter::NOTHING)?;
        if self.stamps {
            let _ = packet::last_arrival(successor.as_fd());
        }
        self.count_lost();
        self.ring = Some(ring);
        self.plain = Some(replace(&mut self.fd, successor));
        self.let_collect();
        (self.left, self.retiring) = (true, true);
        Ok(())
    }

    fn retire(&mut self) -> Option<OwnedFd> {
        let plain = self.plain.as_ref().filter(|_| self.retiring && !self.left);
        let copy = descriptor::copy(plain?.as_fd()).ok();
        self.retiring = false;
        copy
    }

    fn plain_fd(&self) -> BorrowedFd<'_> {
        self.plain.as_ref().unwrap_or(&self.fd).as_fd()
    }

    fn successor_fd(&self) -> Option<BorrowedFd<'_>> {
        self.plain.is_some().then(|| self.fd.as_fd())
    }

    fn entrust(&mut self) {
        self.collected = None;
    }

    fn let_inherit(&mut self, inherited: bool) -> Result<(), Errno> {
        match &self.ring {
            Some(ring) => ring.let_inherit(inherited),
            None => Ok(()),
        }
    }

    fn statistics(&mut self) -> Statistics {
        self.count_lost();
        self.statistics
    }
}

/// A socket that receives nothing before it is bound: a new one, or where the right to that was given up one that was
/// kept.
fn open_unbound(filter: &[Instruction]) -> Result<OwnedFd, Errno> {
    match open(filter) {
        Err(errno @ (Errno::PERM | Errno::ACCESS)) => {
            let kept = kept::take().ok_or(errno)?;
            filter::attach(kept.as_fd(), filter)?;
            Ok(kept)
        }
        opened => opened,
    }
}

/// A new one.
fn open(filter: &[Instruction]) -> Result<OwnedFd, Errno> {
    let fd = packet::open()?;
    packet::set_vnet_header(fd.as_fd())?;
    packet::set_ignore_outgoing(fd.as_fd())?;
    enlarge_queues(fd.as_fd())?;
    filter::attach(fd.as_fd(), filter)?;
    Ok(fd)
}

/// Raises both queues, beyond the administrator's limits where CAP_NET_ADMIN allows it.
fn enlarge_queues(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    if sockopt::set_socket_recv_buffer_size_force(fd, RECEIVE_QUEUE).is_err() {
        sockopt::set_socket_recv_buffer_size(fd, RECEIVE_QUEUE)?;
    }
    if sockopt::set_socket_send_buffer_size_force(fd, TRANSMIT_QUEUE).is_err() {
        sockopt::set_socket_send_buffer_size(fd, TRANSMIT_QUEUE)?;
    }
    Ok(())
}
