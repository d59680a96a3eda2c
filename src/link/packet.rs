//! An interface driven through an AF_PACKET socket (packet(7)).

use core::mem::replace;

use arrayvec::ArrayVec;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::{self, Errno, IoSlice, IoSliceMut};
use rustix::net::{self, MMsgHdr, SendAncillaryBuffer, SendFlags, sockopt};

use super::{Checksum, Frame, Link, MAX_SLICES, Offload, Received, Statistics, Treatment};
use crate::sys::descriptor;
use crate::sys::filter::{self, Instruction};
use crate::sys::owned::OwnedFd;
use crate::sys::packet::{self, VnetHeader};
use crate::sys::ring::{self, Ring, Slot};

/// Bytes of frames that may wait to be received. Several super-packets at full window of several
/// connections; the kernel counts twice the payload.
const RECEIVE_QUEUE: usize = 8 << 20;

/// Bytes of frames that may wait to be transmitted.
const TRANSMIT_QUEUE: usize = 2 << 20;

/// Frames to a system call. More gains nothing measurable, and takes stack.
const BATCH: usize = 16;

/// The highest priority that anybody may have (socket(7)).
const FREE_PRIORITY: u32 = 6;

/// Unusable frames skipped in one call of `receive` before it gives the driver a turn.
const MAX_SKIPPED: u32 = 64;

/// Bytes of the longest frame every kernel takes.
const USUAL: usize = 65_535;
/// Bytes of the longest frame there is, more or less.
const LONGEST: usize = 256 * 1024;
/// What a frame for trial is put together from.
const PIECE: usize = 4 * 1024;

/// The virtio-net header, the frame's header, its payload.
type Slices<'a> = ArrayVec<IoSlice<'a>, { 2 + MAX_SLICES }>;

/// Where a received frame is.
enum Place {
    /// In front of the buffer, this many bytes.
    Buffer(usize),
    /// In the ring.
    Ring,
}

/// What the kernel does not let frames carry.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    /// What takes a right: a mark, and a priority above [`FREE_PRIORITY`].
    privileged: bool,
    /// Any priority.
    priority: bool,
}

impl Refused {
    fn leave_of(self, treatment: Treatment) -> Treatment {
        let Treatment { mark, priority } = treatment;
        let refused = self.priority || self.privileged && priority > FREE_PRIORITY;
        Treatment {
            mark: if self.privileged { 0 } else { mark },
            priority: if refused { 0 } else { priority },
        }
    }
}

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
        Ok(Self::adopt(fd))
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

    /// Where the next frame is, and the header that came with it.
    fn find(&mut self, buffer: &mut [u8]) -> Result<Option<(VnetHeader, Place)>, Errno> {
        for _ in 0..MAX_SKIPPED {
            if !self.left && !self.owed {
                match self.ring.as_mut().map(Ring::take) {
                    Some(None) => return Ok(None),
                    Some(Some(Slot::Frame(vnet))) => return Ok(Some((vnet, Place::Ring))),
                    Some(Some(Slot::Lost)) => {
                        self.statistics.receive_lost += 1;
                        continue;
                    }
                    Some(Some(Slot::Queued)) => self.owed = true,
                    None => {}
                }
            }
            let fetched = fetch(self.source(), buffer);
            match fetched {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if self.left => {
                    self.left = false;
                    continue;
                }
                Err(error) if error != Errno::AGAIN && error != Errno::INVAL => return Err(error),
                _ => self.owed = false,
            }
            match fetched {
                // A frame that fills the buffer to the brim may have been cut.
                Ok((vnet, len)) if len > 0 && len < buffer.len() => {
                    return Ok(Some((vnet, Place::Buffer(len))));
                }
                Err(Errno::AGAIN) => return Ok(None),
                // EINVAL: the kernel has taken a frame off the queue whose offload this header
                // cannot describe.
                Ok(_) | Err(_) => self.statistics.receive_unusable += 1,
            }
        }
        Ok(None)
    }

    /// The socket whose queue is to be read.
    fn source(&self) -> &OwnedFd {
        let plain = self.plain.as_ref().filter(|_| self.left);
        plain.unwrap_or(&self.fd)
    }

    /// When what was received last arrived; 0: it is not known.
    fn arrival(&self, place: &Place) -> u64 {
        match (place, &self.ring) {
            _ if !self.stamps => 0,
            (Place::Ring, Some(ring)) => ring.arrival(),
            _ => packet::last_arrival(self.source().as_fd()).unwrap_or(0),
        }
    }

    /// Takes in what the kernel has counted, and forgotten by that.
    fn count_lost(&mut self) {
        if let Ok(counts) = packet::take_counts(self.fd.as_fd()) {
            self.statistics.receive_lost += u64::from(counts.lost);
        }
    }

    /// One frame, by the cheaper system call.
    fn transmit_one(&self, frame: &Frame<'_>) -> Result<usize, Errno> {
        let vnet = vnet_header(frame.offload);
        let slices = gather(&vnet, frame)?;
        io::writev(&self.fd, &slices).map(|_| 1)
    }

    /// One frame that carries something beside its bytes, as far as the kernel lets it.
    fn transmit_treated(&mut self, frame: &Frame<'_>) -> Result<usize, Errno> {
        let vnet = vnet_header(frame.offload);
        let slices = gather(&vnet, frame)?;
        loop {
            let Treatment { mark, priority } = self.refused.leave_of(frame.treatment);
            match packet::send(self.fd.as_fd(), &slices, mark, priority) {
                // The program has given up the right it had when it set them.
                Err(Errno::PERM) if !self.refused.privileged => self.refused.privileged = true,
                // Before Linux 6.14.
                Err(Errno::INVAL) if priority != 0 => self.refused.priority = true,
                result => return result.map(|()| 1),
            }
        }
    }

    /// Asks the kernel for what none does, of a length that those before Linux 6.6 refuse first.
    fn try_long(&self) -> bool {
        let vnet = VnetHeader::impossible().to_bytes();
        let mut slices = [IoSlice::new(&[0; PIECE]); LONGEST / PIECE];
        slices[0] = IoSlice::new(&vnet);
        io::writev(&self.fd, &slices) == Err(Errno::INVAL)
    }

    /// A frame was refused, not for what it is, but perhaps for its length: the kernel has no memory
    /// for it in few enough pieces.
    fn refuse_long(&mut self, frame: &Frame<'_>) {
        if frame.total_len() > USUAL {
            self.takes_long = Some(false);
        }
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
        let mut taken = 0;
        while let Some(rest) = frames.get(taken..).filter(|rest| !rest.is_empty()) {
            let is_plain = |frame: &&Frame<'_>| frame.treatment == Treatment::default();
            let result = match (rest, rest.iter().take_while(is_plain).count()) {
                ([frame, ..], 0) => self.transmit_treated(frame),
                ([frame, ..], 1) => self.transmit_one(frame),
                (_, plain) => self.transmit_batch(&rest[..plain]),
            };
            match result {
                Ok(count) => taken += count,
                Err(Errno::INTR) => {}
                Err(error @ (Errno::AGAIN | Errno::NOBUFS)) => {
                    if error == Errno::NOBUFS {
                        self.refuse_long(&rest[0]);
                    }
                    break;
                }
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

/// A socket that receives nothing before it is bound.
fn open_unbound(filter: &[Instruction]) -> Result<OwnedFd, Errno> {
    let fd = packet::open()?;
    packet::set_vnet_header(fd.as_fd())?;
    packet::set_ignore_outgoing(fd.as_fd())?;
    enlarge_queues(fd.as_fd())?;
    filter::attach(fd.as_fd(), filter)?;
    Ok(fd)
}

/// Takes a frame off the socket's queue; how long it is.
fn fetch(fd: &OwnedFd, buffer: &mut [u8]) -> Result<(VnetHeader, usize), Errno> {
    let mut vnet = [0; VnetHeader::LEN];
    let mut slices = [IoSliceMut::new(&mut vnet), IoSliceMut::new(buffer)];
    let count = io::readv(fd, &mut slices)?;
    let len = count.saturating_sub(VnetHeader::LEN);
    Ok((VnetHeader::from_bytes(vnet), len))
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
