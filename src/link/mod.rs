//! Frames in and out.
//!
//! ```text
//!   driver ── Link ──► Capture ──► Impair ──► PacketSocket ──► AF_PACKET
//! ```
//!
//! A link moves Ethernet II frames between the driver and an interface, without looking into
//! them. [`PacketSocket`] is the real one, [`Nothing`] stands in where there is none; [`Capture`]
//! and [`Impair`] wrap any link and are links themselves.
//!
//! 1. Nothing blocks. Nothing to receive and no room to transmit are answers, not errors.
//! 2. A frame may be a super-packet of up to 64 KiB: an inbound one as the kernel merged it
//!    (GRO), an outbound one with [`Offload`] instructions for whoever cuts it up (GSO). If that
//!    is the kernel, it may be longer ([`Link::takes_long`]).
//! 3. A link has no clock. Once at the start of each pass the driver says what time it is
//!    ([`Link::advance`]), and at its end that it is over ([`Link::flush`]).

mod capture;
mod impair;
mod impairments;
mod nothing;
mod packet;

pub use capture::Capture;
pub use impair::Impair;
pub use impairments::Impairments;
pub use nothing::Nothing;
pub use packet::{PacketSocket, kept};

use crate::sys::owned::OwnedFd;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// Most payload slices a frame may have.
pub const MAX_SLICES: usize = 17;

/// A receive buffer of this many bytes holds every frame: an IPv4 packet of 65,535 bytes, its
/// Ethernet header, and one byte more, so that a frame that fills it is known to be cut.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the tests size their buffers by it")
)]
pub const RECEIVE_BUFFER: usize = 65_535 + 14 + 1;

/// Who vouches for a received frame's L4 checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nobody: it must be verified.
    Verify,
    /// The kernel or the hardware: it was verified, or the frame never left this machine and the
    /// checksum was not computed at all.
    Trusted,
}

/// A received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Its bytes, from the Ethernet header on.
    pub bytes: &'a [u8],
    /// Whether its L4 checksum may be relied on.
    pub checksum: Checksum,
    /// Payload bytes of each segment that was merged into it; 0: a single frame.
    pub gso_size: u16,
    /// When the interface had it, in nanoseconds since 1970; 0: not known ([`Link::stamp`]).
    pub stamp: u64,
}

/// What is left to do for an outbound frame after the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Where the L4 header starts, in bytes from the frame's start.
    pub checksum_start: u16,
    /// Where its checksum field is, in bytes from `checksum_start`. It holds the folded
    /// pseudo-header sum.
    pub checksum_offset: u16,
    /// Also to be cut into segments.
    pub gso: Option<Gso>,
}

/// How to cut a TCP super-packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Payload bytes of each segment but the last.
    pub size: u16,
    /// Bytes of Ethernet, IP and TCP header.
    pub header_len: u16,
}

/// What an outbound frame carries for this host's own filters and queues (SO_MARK, SO_PRIORITY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// What nftables and tc(8) call its mark.
    pub mark: u32,
    /// Its class.
    pub priority: u32,
}

/// An outbound frame: its header, and its payload where it lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame<'a> {
    /// Ethernet, IP and L4 header.
    pub header: &'a [u8],
    /// The payload in at most [`MAX_SLICES`] slices.
    pub payload: &'a [&'a [u8]],
    /// What the link has to finish; `None`: the frame is whole.
    pub offload: Option<Offload>,
    /// What it carries beside its bytes.
    pub treatment: Treatment,
}

impl Frame<'_> {
    /// Its length in bytes.
    pub fn total_len(&self) -> usize {
        self.header.len() + self.payload.iter().map(|slice| slice.len()).sum::<usize>()
    }

    /// Appends its bytes to `buffer`.
    pub fn copy_to(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(self.header);
        for slice in self.payload {
            buffer.extend_from_slice(slice);
        }
    }
}

/// Frames a link has moved and lost since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames handed to the driver.
    pub received: u64,
    /// Frames taken from the driver.
    pub transmitted: u64,
    /// Inbound frames lost because nobody fetched them in time.
    pub receive_lost: u64,
    /// Inbound frames dropped because they could not be used: cut, or with an offload the kernel
    /// cannot describe.
    pub receive_unusable: u64,
    /// Frames dropped on purpose by an impairment, or because its queue was full.
    pub impaired: u64,
    /// Why a capture has ended before its time.
    pub capture_error: Option<Errno>,
}

/// Moves frames between the driver and an interface.
pub trait Link {
    /// Fetches the next frame; `None`: nothing there. It lies in `buffer` (of [`RECEIVE_BUFFER`]
    /// bytes), or in the link itself until the next call.
    ///
    /// # Errors
    /// ENETDOWN: the interface went down (said once), or what the system call says.
    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Errno>;

    /// Whether a frame is there, as far as that can be told without a system call.
    fn has_frame(&self) -> bool {
        false
    }

    /// Takes the error that makes [`Self::wait_fd`] readable though nothing is received.
    fn take_error(&mut self) -> Option<Errno> {
        None
    }

    /// Takes frames from the front of `frames`; returns how many. Fewer than all: the link is
    /// full, and the rest is to be offered again when [`Self::wait_fd`] is writable, but not
    /// before a millisecond if it is so at once (a full queue of the interface cannot be waited
    /// for).
    ///
    /// # Errors
    /// Only if the very first frame is refused, which is then neither sent nor kept. ENETDOWN: the
    /// interface is down. ENXIO, ENODEV: it is gone. EMSGSIZE: the frame is longer than the MTU
    /// and has no [`Gso`]. EINVAL: its offload or its slices are wrong.
    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno>;

    /// Whether it takes super-packets of more than 64 KiB for an interface that takes none: the kernel
    /// cuts them up, and does not ask what length the IP header says.
    fn takes_long(&mut self) -> bool {
        false
    }

    /// Readable when a frame may be there, writable when there may be room.
    fn wait_fd(&self) -> BorrowedFd<'_>;

    /// When [`Self::advance`] must be called at the latest, in nanoseconds of the driver's clock.
    fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Says the time, in nanoseconds of the driver's clock, at the start of a pass. Delayed frames
    /// that are due are transmitted.
    fn advance(&mut self, _now: u64) {}

    /// Has arrivals stamped from now on, as far as the link can.
    fn stamp(&mut self) {}

    /// Ends a pass: what was gathered on the side (a capture) is written out, and what was lent goes
    /// back. Nobody waits for [`Self::wait_fd`] before.
    fn flush(&mut self) {}

    /// Goes on by `successor`, made by [`PacketSocket::prepare`], so that receiving costs less. What
    /// has arrived already comes first. [`Self::wait_fd`] is another one then.
    ///
    /// # Errors
    /// What the system calls say; then nothing is changed. EOPNOTSUPP: it is no packet socket.
    fn succeed(&mut self, _successor: OwnedFd) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// The socket that was succeeded, once nothing is left in it, for [`PacketSocket::set_aside`]. It is
    /// given once.
    fn retire(&mut self) -> Option<OwnedFd> {
        None
    }

    /// What another process can go on with that shares nothing else with this one.
    fn plain_fd(&self) -> BorrowedFd<'_> {
        self.wait_fd()
    }

    /// What has succeeded that: whoever goes on with both misses nothing that has arrived.
    fn successor_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Another process has what [`Self::plain_fd`] and [`Self::successor_fd`] give, and closes it after this one: what
    /// sees to it here that nobody waits for that is needless.
    fn entrust(&mut self) {}

    /// Says whether a process that is forked now is to go on with the link, for which it needs what
    /// is mapped here.
    ///
    /// # Errors
    /// What madvise(2) says.
    fn let_inherit(&mut self, _inherited: bool) -> Result<(), Errno> {
        Ok(())
    }

    /// Frames moved and lost.
    fn statistics(&mut self) -> Statistics;
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Errno> {
        (**self).receive(buffer)
    }

    fn has_frame(&self) -> bool {
        (**self).has_frame()
    }

    fn take_error(&mut self) -> Option<Errno> {
        (**self).take_error()
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        (**self).transmit(frames)
    }

    fn takes_long(&mut self) -> bool {
        (**self).takes_long()
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        (**self).wait_fd()
    }

    fn next_deadline(&self) -> Option<u64> {
        (**self).next_deadline()
    }

    fn advance(&mut self, now: u64) {
        (**self).advance(now);
    }

    fn stamp(&mut self) {
        (**self).stamp();
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn succeed(&mut self, successor: OwnedFd) -> Result<(), Errno> {
        (**self).succeed(successor)
    }

    fn retire(&mut self) -> Option<OwnedFd> {
        (**self).retire()
    }

    fn plain_fd(&self) -> BorrowedFd<'_> {
        (**self).plain_fd()
    }

    fn successor_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).successor_fd()
    }

    fn entrust(&mut self) {
        (**self).entrust();
    }

    fn let_inherit(&mut self, inherited: bool) -> Result<(), Errno> {
        (**self).let_inherit(inherited)
    }

    fn statistics(&mut self) -> Statistics {
        (**self).statistics()
    }
}
