//! How what the stack has to say leaves: gathered from the pool, many frames to a system call.

use core::time::Duration;
use rustix::io::Errno;

use super::convert::{offload, treatment};
use super::engine::Engine;
use crate::control::mirror::Interface;
use crate::link::{Frame, Link};
use crate::stack::Stack;
use crate::stack::time::Instant;
use crate::stack::transmit::{MAX_SPANS, Transmit};
use crate::sys::wait;
use crate::sys::wait::poll_for;

/// Frames sent with one system call at most.
const BATCH: usize = 16;
/// How long to wait for a link that takes no more frames before they are given up as lost.
const LINK_FULL: Duration = Duration::from_millis(2);

/// Tells the stack how long its segments may be: what the interface does not take whole is cut up by
/// the kernel, which does that the cheaper, and wakes its receiver the less often, the more it gets
/// at once.
pub(super) fn fit(stack: &mut Stack, link: &mut dyn Link, interface: &Interface) {
    stack.set_takes_long(!interface.takes_super_packets && link.takes_long());
}

/// What leaves.
pub(super) struct Output {
    batch: Box<[Transmit; BATCH]>,
    /// Frames given up because the link took no more.
    pub(super) lost: u64,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            batch: Box::new(core::array::from_fn(|_| Transmit::default())),
            lost: 0,
        }
    }
}

impl Engine {
    /// The link may have come to know that it takes less than it thought.
    fn fit_to_link(&mut self) {
        if let Some(mirror) = &self.mirror {
            fit(&mut self.stack, &mut *self.link, &mirror.facts().interface);
        }
    }

    /// Sends everything the stack has to say.
    pub(super) fn flush(&mut self, now: Instant) {
        loop {
            let mut count = 0;
            while count < BATCH && self.stack.poll_transmit(now, &mut self.output.batch[count]) {
                count += 1;
            }
            if count > 0 {
                self.transmit(count);
            }
            if count < BATCH {
                break;
            }
        }
        self.take_sendings();
    }

    /// The thread that drives is about to wait: sends what was held back in case that an answer follows.
    pub(super) fn send_in_lull(&mut self) {
        if self.stack.receive_lull() {
            self.flush(self.now());
            self.link.flush();
        }
    }

    fn transmit(&mut self, count: usize) {
        if count == 1 && self.transmit_one() {
            return;
        }
        let empty: [&[u8]; MAX_SPANS] = [&[]; MAX_SPANS];
        let mut payloads = [empty; BATCH];
        for (payload, transmit) in payloads.iter_mut().zip(&self.output.batch[..count]) {
            for (slice, span) in payload.iter_mut().zip(transmit.spans.as_slice()) {
                *slice = self.stack.bytes(*span);
            }
        }
        let mut frames = [Frame::default(); BATCH];
        for ((frame, payload), transmit) in frames
            .iter_mut()
            .zip(&payloads)
            .zip(&self.output.batch[..count])
        {
            *frame = Frame {
                header: &transmit.header[..transmit.header_len],
                payload: &payload[..transmit.spans.as_slice().len()],
                offload: transmit.offload.map(offload),
                treatment: treatment(transmit.treatment),
            };
        }
        let mut sent = 0;
        let mut waited = false;
        while sent < count {
            match self.link.transmit(&frames[sent..count]) {
                Ok(0) | Err(Errno::AGAIN | Errno::NOBUFS) if !waited => {
                    waited = true;
                    let fd = rustix::fd::AsRawFd::as_raw_fd(&self.link.wait_fd());
                    let mut fds = [wait::entry(fd, libc::POLLOUT)];
                    let _ = poll_for(&mut fds, Some(LINK_FULL), None);
                }
                Ok(taken) if taken > 0 => sent += taken,
                _ => {
                    // As lost as on a congested wire: the transport's retransmission has it.
                    self.output.lost += (count - sent) as u64;
                    self.fit_to_link();
                    return;
                }
            }
        }
    }

    /// Sends a lone frame; whether the link took it.
    fn transmit_one(&mut self) -> bool {
        let transmit = &self.output.batch[0];
        let spans = transmit.spans.as_slice();
        let mut payload: [&[u8]; MAX_SPANS] = [&[]; MAX_SPANS];
        for (slice, span) in payload.iter_mut().zip(spans) {
            *slice = self.stack.bytes(*span);
        }
        let frame = Frame {
            header: &transmit.header[..transmit.header_len],
            payload: &payload[..spans.len()],
            offload: transmit.offload.map(offload),
            treatment: treatment(transmit.treatment),
        };
        matches!(self.link.transmit(&[frame]), Ok(1))
    }
}
