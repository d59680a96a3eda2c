//! What comes: from the ring, from the socket's queue where a frame is too long for it, and from the
//! socket before this one.

use rustix::fd::AsFd;
use rustix::io::{self, Errno, IoSliceMut};

use super::PacketSocket;
use crate::sys::owned::OwnedFd;
use crate::sys::packet::{self, VnetHeader};
use crate::sys::ring::{Ring, Slot};

/// Unusable frames skipped in one call of `receive` before it gives the driver a turn.
const MAX_SKIPPED: u32 = 64;

/// Where a received frame is.
pub(super) enum Place {
    /// In front of the buffer, this many bytes.
    Buffer(usize),
    /// In the ring.
    Ring,
}

impl PacketSocket {
    /// Where the next frame is, and the header that came with it.
    pub(super) fn find(&mut self, buffer: &mut [u8]) -> Result<Option<(VnetHeader, Place)>, Errno> {
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
    pub(super) fn arrival(&self, place: &Place) -> u64 {
        match (place, &self.ring) {
            _ if !self.stamps => 0,
            (Place::Ring, Some(ring)) => ring.arrival(),
            _ => packet::last_arrival(self.source().as_fd()).unwrap_or(0),
        }
    }

    /// Takes in what the kernel has counted, and forgotten by that.
    pub(super) fn count_lost(&mut self) {
        if let Ok(counts) = packet::take_counts(self.fd.as_fd()) {
            self.statistics.receive_lost += u64::from(counts.lost);
        }
    }
}

/// Takes a frame off the socket's queue; how long it is.
fn fetch(fd: &OwnedFd, buffer: &mut [u8]) -> Result<(VnetHeader, usize), Errno> {
    let mut vnet = [0; VnetHeader::LEN];
    let mut slices = [IoSliceMut::new(&mut vnet), IoSliceMut::new(buffer)];
    let count = io::readv(fd, &mut slices)?;
    let len = count.saturating_sub(VnetHeader::LEN);
    Ok((VnetHeader::from_bytes(vnet), len))
}
