//! What leaves: many frames to a system call, or one with what it carries beside its bytes.

use arrayvec::ArrayVec;
use rustix::fd::AsFd;
use rustix::io::{self, Errno, IoSlice};
use rustix::net::{self, MMsgHdr, SendAncillaryBuffer, SendFlags};

use super::PacketSocket;
use crate::link::{Frame, MAX_SLICES, Offload, Treatment};
use crate::sys::packet::{self, VnetHeader};

/// Frames to a system call. More gains nothing measurable, and takes stack.
const BATCH: usize = 16;

/// The highest priority that anybody may have (socket(7)).
const FREE_PRIORITY: u32 = 6;

/// Bytes of the longest frame every kernel takes.
const USUAL: usize = 65_535;
/// Bytes of the longest frame there is, more or less.
const LONGEST: usize = 256 * 1024;
/// What a frame for trial is put together from.
const PIECE: usize = 4 * 1024;

/// The virtio-net header, the frame's header, its payload.
type Slices<'a> = ArrayVec<IoSlice<'a>, { 2 + MAX_SLICES }>;

/// What the kernel does not let frames carry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refused {
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

impl PacketSocket {
    /// As [`Link::transmit`](crate::link::Link::transmit).
    pub(super) fn transmit_frames(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
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
    pub(super) fn try_long(&self) -> bool {
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
