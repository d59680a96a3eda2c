//! A link that makes its frames late, lost, doubled, disordered or wrong, both ways, as a bad
//! network would.
//!
//! ```text
//!   frame ─► loss ─► corruption ─► duplication ─► rate ─► delay ± jitter ─► queue, by due time
//! ```
//!
//! 1. Everything follows from the seed and the times given to [`Link::advance`].
//! 2. The queues are bounded; what does not fit is dropped and counted, like at a router.
//! 3. A super-packet meets one fate as a whole. For the fate of single segments the stack must
//!    transmit none, and the interface receive none (`ethtool -K IF gro off`).

use crate::sys::owned::OwnedFd;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use fastrand::Rng;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::impairments::Impairments;
use super::{Checksum, Frame, Link, Offload, Received, Statistics, Treatment};

/// Bytes that wait in one direction, at most.
const MAX_BYTES: usize = 32 << 20;

/// Frames that wait in one direction, at most.
const MAX_FRAMES: usize = 16_384;

/// Inbound frames taken from the link below in one call.
const MAX_TAKEN: usize = 256;

/// How late a reordered frame is when no delay is asked for that others could be spared.
const REORDER_DELAY: u64 = 1_000_000;

/// How long to leave a full link alone.
const RETRY: u64 = 1_000_000;

/// A link with impairments.
#[derive(Debug)]
pub struct Impair<L> {
    inner: L,
    inbound: Direction<Arrived>,
    outbound: Direction<Departing>,
    now: u64,
    /// When to try again, after the link below was full.
    retry: Option<u64>,
    received: u64,
    transmitted: u64,
}

/// What goes with an inbound frame.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    checksum: Checksum,
    gso_size: u16,
    stamp: u64,
}

impl<L: Link> Impair<L> {
    /// Impairs both directions of `inner`. Without a seed, one is taken from the kernel.
    pub fn new(inner: L, impairments: Impairments) -> Self {
        let seed = impairments.seed.unwrap_or_else(random_seed);
        Self {
            inner,
            inbound: Direction::new(impairments.clone(), seed),
            outbound: Direction::new(impairments, seed ^ u64::MAX),
            now: 0,
            retry: None,
            received: 0,
            transmitted: 0,
        }
    }

    /// The link below.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look inside"))]
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// Transmits what is due, as far as the link below takes it.
    fn release(&mut self) {
        self.retry = None;
        while let Some(waiting) = self.outbound.due(self.now) {
            let frame = Frame {
                header: &waiting.bytes,
                payload: &[],
                offload: waiting.facts.0,
                treatment: waiting.facts.1,
            };
            match self.inner.transmit(&[frame]) {
                Ok(0) => {
                    self.retry = Some(self.now.saturating_add(RETRY));
                    return;
                }
                // A frame that is refused would be refused again.
                Ok(_) | Err(_) => drop(self.outbound.take(self.now)),
            }
        }
    }
}

impl<L: Link> Link for Impair<L> {
    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Errno> {
        for _ in 0..MAX_TAKEN {
            let Some(received) = self.inner.receive(buffer)? else {
                break;
            };
            let arrived = Arrived {
                checksum: received.checksum,
                gso_size: received.gso_size,
                stamp: received.stamp,
            };
            let frame = received.bytes;
            let copy = || copied(frame.len(), |bytes| bytes.extend_from_slice(frame));
            self.inbound
                .offer(self.now, frame.len(), arrived, copy, corrupt_inbound);
        }
        let Some(waiting) = self.inbound.take(self.now) else {
            return Ok(None);
        };
        let place = buffer
            .get_mut(..waiting.bytes.len())
            .ok_or(Errno::MSGSIZE)?;
        place.copy_from_slice(&waiting.bytes);
        self.received += 1;
        Ok(Some(Received {
            bytes: place,
            checksum: waiting.facts.checksum,
            gso_size: waiting.facts.gso_size,
            stamp: waiting.facts.stamp,
        }))
    }

    fn has_frame(&self) -> bool {
        self.inner.has_frame()
    }

    fn take_error(&mut self) -> Option<Errno> {
        self.inner.take_error()
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        for frame in frames {
            let (length, beside) = (frame.total_len(), (frame.offload, frame.treatment));
            let copy = || copied(length, |bytes| frame.copy_to(bytes));
            self.outbound
                .offer(self.now, length, beside, copy, corrupt_outbound);
        }
        self.transmitted += frames.len() as u64;
        self.release();
        Ok(frames.len())
    }

    fn stamp(&mut self) {
        self.inner.stamp();
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.inner.wait_fd()
    }

    fn next_deadline(&self) -> Option<u64> {
        let outbound = self.retry.or(self.outbound.next_due());
        let own = self.inbound.next_due().into_iter().chain(outbound);
        own.chain(self.inner.next_deadline()).min()
    }

    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.inner.advance(now);
        self.release();
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn succeed(&mut self, successor: OwnedFd) -> Result<(), Errno> {
        self.inner.succeed(successor)
    }

    fn plain_fd(&self) -> BorrowedFd<'_> {
        self.inner.plain_fd()
    }

    fn successor_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.successor_fd()
    }

    fn entrust(&mut self) {
        self.inner.entrust();
    }

    fn let_inherit(&mut self, inherited: bool) -> Result<(), Errno> {
        self.inner.let_inherit(inherited)
    }

    fn statistics(&mut self) -> Statistics {
        let below = self.inner.statistics();
        Statistics {
            received: self.received,
            transmitted: self.transmitted,
            impaired: below.impaired + self.inbound.dropped + self.outbound.dropped,
            ..below
        }
    }
}

/// What an outbound frame has beside its bytes.
type Departing = (Option<Offload>, Treatment);

/// One direction: what becomes of its frames, and those that wait.
#[derive(Debug)]
struct Direction<F> {
    impairments: Impairments,
    random: Rng,
    queue: BinaryHeap<Waiting<F>>,
    bytes: usize,
    /// Frames queued so far; tells frames apart that are due at the same time.
    sequence: u64,
    /// When the last bit of the last frame has left a link of the given rate.
    line_free: u64,
    /// When the last frame that kept its place is due.
    last_due: u64,
    dropped: u64,
}

/// A frame that waits.
#[derive(Debug)]
struct Waiting<F> {
    due: u64,
    sequence: u64,
    bytes: Vec<u8>,
    facts: F,
}

impl<F: Copy> Direction<F> {
    fn new(impairments: Impairments, seed: u64) -> Self {
        Self {
            impairments,
            random: Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            bytes: 0,
            sequence: 0,
            line_free: 0,
            last_due: 0,
            dropped: 0,
        }
    }

    /// Decides what becomes of a frame and queues it, or not. `copy` gives none if there is no memory. `corrupt` makes its bytes wrong, or
    /// refuses (`None`) if nobody could notice the wrong bytes; then it is lost.
    fn offer(
        &mut self,
        now: u64,
        length: usize,
        facts: F,
        copy: impl Fn() -> Option<Vec<u8>>,
        corrupt: impl Fn(&mut Rng, &mut [u8], F) -> Option<F>,
    ) {
        if self.chance(self.impairments.loss) {
            self.dropped += 1;
            return;
        }
        let wrong = self.chance(self.impairments.corrupt);
        let copies = 1 + u32::from(self.chance(self.impairments.duplicate));
        for _ in 0..copies {
            if self.queue.len() >= MAX_FRAMES || self.bytes + length > MAX_BYTES {
                self.dropped += 1;
                return;
            }
            let (Some(mut bytes), mut facts) = (copy(), facts) else {
                self.dropped += 1;
                return;
            };
            if wrong {
                match corrupt(&mut self.random, &mut bytes, facts) {
                    Some(changed) => facts = changed,
                    None => {
                        self.dropped += 1;
                        return;
                    }
                }
            }
            let due = self.due_time(now, length);
            self.sequence += 1;
            self.bytes += bytes.len();
            self.queue.push(Waiting {
                due,
                sequence: self.sequence,
                bytes,
                facts,
            });
        }
    }

    /// When a frame of this length comes out at the other end.
    fn due_time(&mut self, now: u64, length: usize) -> u64 {
        let sent = match self.impairments.rate {
            None => now,
            Some(rate) => {
                let bits = length as u128 * 8 * 1_000_000_000;
                let time = u64::try_from(bits / u128::from(rate.get())).unwrap_or(u64::MAX);
                self.line_free = self.line_free.max(now).saturating_add(time);
                self.line_free
            }
        };
        let delay = self.impairments.delay;
        if self.chance(self.impairments.reorder) {
            // It overtakes those that are delayed; without a delay, others overtake it.
            let late = if delay == 0 { REORDER_DELAY } else { 0 };
            return sent.saturating_add(late);
        }
        let jitter = self.impairments.jitter;
        let shift = self.random.u64(0..=jitter.saturating_mul(2));
        let delay = delay.saturating_add(shift).saturating_sub(jitter);
        // Jitter alone does not reorder: frames wait for each other in one queue.
        self.last_due = self.last_due.max(sent.saturating_add(delay));
        self.last_due
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.f64() < probability
    }

    fn next_due(&self) -> Option<u64> {
        self.queue.peek().map(|waiting| waiting.due)
    }

    fn due(&self, now: u64) -> Option<&Waiting<F>> {
        self.queue.peek().filter(|waiting| waiting.due <= now)
    }

    fn take(&mut self, now: u64) -> Option<Waiting<F>> {
        self.due(now)?;
        let waiting = self.queue.pop()?;
        self.bytes -= waiting.bytes.len();
        Some(waiting)
    }
}

/// The earliest is the greatest: the heap gives out the greatest first.
impl<F> Ord for Waiting<F> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl<F> PartialOrd for Waiting<F> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<F> PartialEq for Waiting<F> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<F> Eq for Waiting<F> {}

/// What `copy` puts into a new buffer. `None`: there is no memory for it.
fn copied(length: usize, copy: impl Fn(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).ok()?;
    copy(&mut bytes);
    Some(bytes)
}

/// A number nobody can foresee; a fixed one before the kernel has any.
fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    let result = getrandom(&mut bytes, GetRandomFlags::NONBLOCK);
    match result {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => 1,
    }
}

/// Nobody vouches for wrong bytes. (A checksum that was never computed does not match either.)
fn corrupt_inbound(random: &mut Rng, bytes: &mut [u8], arrived: Arrived) -> Option<Arrived> {
    flip_bit(random, bytes);
    Some(Arrived {
        checksum: Checksum::Verify,
        ..arrived
    })
}

/// The checksum is computed before the bytes go wrong, or the peer would find it right. A
/// super-packet's checksums are computed later; it is lost instead, as its segments would be.
fn corrupt_outbound(
    random: &mut Rng,
    bytes: &mut [u8],
    (offload, treatment): Departing,
) -> Option<Departing> {
    if let Some(offload) = offload {
        if offload.gso.is_some() {
            return None;
        }
        complete_checksum(bytes, offload)?;
    }
    flip_bit(random, bytes);
    Some((None, treatment))
}

fn flip_bit(random: &mut Rng, bytes: &mut [u8]) {
    // The addresses in the Ethernet header stay, so that the frame arrives somewhere.
    let first = 14.min(bytes.len().saturating_sub(1));
    let place = random.usize(first..bytes.len().max(first + 1));
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << random.u32(0..8);
    }
}

/// Fills in the checksum (RFC 1071) from the pseudo-header sum its field holds. `None`: the
/// offsets point outside the frame.
fn complete_checksum(bytes: &mut [u8], offload: Offload) -> Option<()> {
    let segment = bytes.get_mut(usize::from(offload.checksum_start)..)?;
    let mut sum: u64 = segment
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
            [high] => u64::from(*high) << 8,
            _ => 0,
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !(sum as u16);
    let at = usize::from(offload.checksum_offset);
    let field = segment.get_mut(at..at + 2)?;
    field.copy_from_slice(&checksum.to_be_bytes());
    Some(())
}
