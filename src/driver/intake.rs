//! Taking frames from the link.

use super::Engine;
use super::convert::checksum;
use super::delivery::{Delivery, Direct};
use super::engine::ROUNDS;
use crate::stack::ethernet::Facts;
use crate::sys::heap;
use crate::sys::owned::OwnedFd;

/// Frames drained in one pass at most, so that a flood does not keep a call from returning.
const DRAIN: usize = 256;
/// Bytes drained for a waiter of an epoll set before it gets its events: more would leave the
/// processor's cache before the program reads it.
const COLLECTED: usize = 256 * 1024;
/// Bytes after which what the stack has to say (acknowledgements) is sent before draining on.
const FLUSH_AFTER: usize = 512 * 1024;
/// How many drains in a row may take a frame without asking whether there is another.
const LONE_CHECK: u32 = 16;

/// What came by the link, and how it is to come.
#[derive(Default)]
pub(super) struct Intake {
    /// Frames taken, for [`Engine::due_relief`].
    pub(super) frames: u64,
    /// How many of them were no super-packets.
    pub(super) singles: u64,
    /// Drains in a row, each after a sleep, that found one frame only.
    lone: u32,
    /// The last drain stopped because its caller had enough: there is probably more.
    pub(super) left: bool,
    /// Whether the kernel was spared our packets, or cannot be.
    pub(super) cut_off: bool,
    /// Whether a ring was asked for.
    pub(super) ring_asked: bool,
    /// What the link is to go on by as soon as nobody waits for it.
    pub(super) successor: Option<OwnedFd>,
}

impl Engine {
    /// Takes what waits at the link, and answers nothing yet.
    pub(super) fn take_arrived(&mut self) {
        for _ in 0..ROUNDS {
            if self.drain(false, None) == 0 {
                return;
            }
        }
    }

    /// Takes frames from the link; how many.
    pub(super) fn drain(&mut self, slept: bool, mut direct: Option<&mut Direct<'_>>) -> usize {
        let now = self.now();
        self.last.drained = self.time;
        self.stack.tcp_set_short(heap::is_short());
        self.link.advance(now.as_nanos());
        let mut unflushed = 0;
        let mut drained = 0;
        let mut count = 0;
        self.intake.left = false;
        // Where frames come one by one, asking for a second one costs a system call for nothing.
        // Should there be one, the link stays readable; and now and then it is asked all the same.
        let limit = if slept && !self.intake.lone.is_multiple_of(LONE_CHECK) {
            1
        } else {
            DRAIN
        };
        while count < limit {
            let nobody_waits = self.nobody_waits();
            let Ok(Some(received)) = self.link.receive(&mut self.frame) else {
                break;
            };
            count += 1;
            unflushed += received.bytes.len();
            drained += received.bytes.len();
            self.intake.singles += u64::from(received.gso_size == 0);
            let mut sink = Delivery {
                endpoints: &mut self.endpoints,
                set: &self.set,
                collecting: self.short_cuts.collecting,
                nobody_waits,
                direct: direct.as_deref_mut(),
                road: &mut *self.road,
            };
            self.stack.receive_frame(
                now,
                received.bytes,
                Facts {
                    checksum: checksum(received.checksum),
                    segment: received.gso_size,
                    stamp: received.stamp,
                },
                &mut sink,
            );
            let enough = self.short_cuts.collecting.is_some() && drained >= COLLECTED;
            if enough || direct.as_ref().is_some_and(|direct| direct.full) {
                self.intake.left = true;
                break;
            }
            if unflushed >= FLUSH_AFTER {
                self.flush(now);
                unflushed = 0;
            }
        }
        self.intake.frames += count as u64;
        self.intake.lone = if slept && count == 1 {
            self.intake.lone.wrapping_add(1)
        } else {
            0
        };
        count
    }
}
