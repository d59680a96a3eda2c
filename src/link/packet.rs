//! An interface driven through an AF_PACKET socket (packet(7)).

use arrayvec::ArrayVec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno, IoSlice, IoSliceMut};
use rustix::net::{self, MMsgHdr, SendAncillaryBuffer, SendFlags, sockopt};

use super::{Checksum, Frame, Link, MAX_SLICES, Offload, Received, Statistics};
use crate::sys::filter::{self, Instruction};
use crate::sys::packet::{self, VnetHeader};

/// Bytes of frames that may wait to be received. Several super-packets at full window of several
/// connections; the kernel counts twice the payload.
const RECEIVE_QUEUE: usize = 8 << 20;

/// Bytes of frames that may wait to be transmitted.
const TRANSMIT_QUEUE: usize = 2 << 20;

/// Frames to a system call. More gains nothing measurable.
const BATCH: usize = 32;

/// Unusable frames skipped in one call of `receive` before it gives the driver a turn.
const MAX_SKIPPED: u32 = 64;

/// The virtio-net header, the frame's header, its payload.
type Slices<'a> = ArrayVec<IoSlice<'a>, { 2 + MAX_SLICES }>;

/// A raw packet socket with offloads, bound to one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    statistics: Statistics,
    /// Arrivals are stamped.
    stamps: bool,
}

impl PacketSocket {
    /// Opens a socket on the interface. `filter` is in place before the first frame arrives.
    ///
    /// # Errors
    /// EPERM: CAP_NET_RAW is missing. ENODEV, ENETDOWN: the interface is not there or not up.
    /// EINVAL, ENOMEM: as [`Self::set_filter`] says. ENOPROTOOPT: the kernel is too old
    /// (before 4.20).
    pub fn open(interface_index: u32, filter: &[Instruction]) -> Result<Self, Errno> {
        let fd = packet::open()?;
        packet::set_vnet_header(fd.as_fd())?;
        packet::set_ignore_outgoing(fd.as_fd())?;
        enlarge_queues(fd.as_fd())?;
        filter::attach(fd.as_fd(), filter)?;
        packet::bind(fd.as_fd(), interface_index)?;
        Ok(Self::adopt(fd))
    }

    /// Goes on with a socket that [`Self::open`] made, perhaps in another process.
    pub fn adopt(fd: OwnedFd) -> Self {
        Self {
            fd,
            statistics: Statistics::default(),
            stamps: false,
        }
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

    /// One frame, by the cheaper system call.
    fn transmit_one(&self, frame: &Frame<'_>) -> Result<usize, Errno> {
        let vnet = vnet_header(frame.offload);
        let slices = gather(&vnet, frame)?;
        io::writev(&self.fd, &slices).map(|_| 1)
    }

    /// Up to [`BATCH`] frames.
    fn transmit_batch(&self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        let headers: ArrayVec<_, BATCH> = frames
            .iter()
            .take(BATCH)
            .map(|frame| vnet_header(frame.offload))
            .collect();
        let mut gathered: ArrayVec<Slices<'_>, BATCH> = ArrayVec::new();
        for (header, frame) in headers.iter().zip(frames) {
            match gather(header, frame) {
                Ok(slices) => gathered.push(slices),
                Err(error) if gathered.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] = Default::default();
        let mut messages: ArrayVec<MMsgHdr<'_>, BATCH> = gathered
            .iter()
            .zip(&mut controls)
            .map(|(slices, control)| MMsgHdr::new(slices, control))
            .collect();
        net::sendmmsg(&self.fd, &mut messages, SendFlags::DONTWAIT)
    }
}

impl Link for PacketSocket {
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, Errno> {
        let size = buffer.len();
        for _ in 0..MAX_SKIPPED {
            let mut vnet = [0; VnetHeader::LEN];
            let mut slices = [IoSliceMut::new(&mut vnet), IoSliceMut::new(&mut *buffer)];
            let len = match io::readv(&self.fd, &mut slices) {
                Ok(count) => count.saturating_sub(VnetHeader::LEN),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                // The kernel has taken a frame off the queue whose offload this header cannot
                // describe.
                Err(Errno::INVAL) => {
                    self.statistics.receive_unusable += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // A frame that fills the buffer to the brim may have been cut.
            if len == 0 || len == size {
                self.statistics.receive_unusable += 1;
                continue;
            }
            self.statistics.received += 1;
            let vnet = VnetHeader::from_bytes(vnet);
            let checksum = if vnet.checksum_trusted() {
                Checksum::Trusted
            } else {
                Checksum::Verify
            };
            return Ok(Some(Received {
                len,
                checksum,
                gso_size: vnet.gso_size(),
                stamp: match self.stamps {
                    true => packet::last_arrival(self.fd.as_fd()).unwrap_or(0),
                    false => 0,
                },
            }));
        }
        Ok(None)
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        let mut taken = 0;
        while let Some(rest) = frames.get(taken..).filter(|rest| !rest.is_empty()) {
            let result = match rest {
                [frame] => self.transmit_one(frame),
                _ => self.transmit_batch(rest),
            };
            match result {
                Ok(count) => taken += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(error) if taken == 0 => return Err(error),
                // The next call meets the error again, at its first frame.
                Err(_) => break,
            }
        }
        self.statistics.transmitted += taken as u64;
        Ok(taken)
    }

    fn stamp(&mut self) {
        if !self.stamps {
            // The first question makes the kernel stamp what comes then.
            let _ = packet::last_arrival(self.fd.as_fd());
            self.stamps = true;
        }
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn statistics(&mut self) -> Statistics {
        if let Ok(counts) = packet::take_counts(self.fd.as_fd()) {
            self.statistics.receive_lost += u64::from(counts.lost);
        }
        self.statistics
    }
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

fn vnet_header(offload: Option<Offload>) -> [u8; VnetHeader::LEN] {
    let header = match offload {
        None => VnetHeader::default(),
        Some(offload) => {
            let header = VnetHeader::checksum(offload.checksum_start, offload.checksum_offset);
            match offload.gso {
                None => header,
                Some(gso) => header.segmented(gso.header_len, gso.size),
            }
        }
    };
    header.to_bytes()
}

/// The pieces of a frame in the order the socket wants them. EINVAL: more than [`MAX_SLICES`].
fn gather<'a>(vnet: &'a [u8], frame: &Frame<'a>) -> Result<Slices<'a>, Errno> {
    let mut slices = Slices::new();
    slices.push(IoSlice::new(vnet));
    slices.push(IoSlice::new(frame.header));
    for slice in frame.payload {
        let slice = IoSlice::new(slice);
        slices.try_push(slice).map_err(|_| Errno::INVAL)?;
    }
    Ok(slices)
}
