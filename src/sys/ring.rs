//! The receive ring of a packet socket (packet(7), PACKET_RX_RING, version TPACKET_V2): the kernel
//! copies frames into slots of memory it shares with us, so that to receive costs no system call.
//!
//! ```text
//!   slot:  tpacket2_hdr │ sockaddr_ll │ … │ virtio-net header │ frame … (cut at the slot's end)
//!          ▲ status: whose the slot is
//! ```
//!
//! A frame longer than its slot is queued whole on the socket besides (PACKET_COPY_THRESH), unless
//! the socket's buffer is full. Slots and queue have the same order.
//!
//! 1. A slot whose status says TP_STATUS_USER is not written by the kernel until the status is put
//!    back to TP_STATUS_KERNEL. Slots become ours, and are given back, in turn.
//! 2. The mapping is not inherited across fork (MADV_DONTFORK): it would keep the socket alive. It
//!    is never undone, since a child that has no such mapping may drop its copy of the owner; it
//!    goes with the process.

use core::mem::{offset_of, size_of};
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};

use libc::tpacket2_hdr as Header;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};

use super::option;
use super::packet::VnetHeader;

/// Bytes of a slot: a frame of an MTU of 1,500 with all that is before it, and a VLAN tag.
const SLOT: usize = 1600;
/// Bytes that lie side by side in the kernel. Slots do not reach across their ends.
const BLOCK: usize = 64 << 10;
const SLOTS_IN_BLOCK: usize = BLOCK / SLOT;
const BLOCKS: usize = 48;
const SLOTS: usize = BLOCKS * SLOTS_IN_BLOCK;
const SIZE: usize = BLOCKS * BLOCK;

/// The status words' place.
const STATUS: usize = offset_of!(Header, tp_status);

/// A socket's ring.
#[derive(Debug)]
pub struct Ring {
    start: NonNull<u8>,
    /// The slot that is filled next, or is lent.
    next: usize,
    /// Which that is is not known yet: another process has received by the ring before.
    adrift: bool,
    /// What `next` holds was given out.
    lent: bool,
    /// Where in its slot the frame is that was taken last.
    frame: Range<usize>,
}

// SAFETY: the mapping is the process's, not a thread's, and only the owner touches it.
unsafe impl Send for Ring {}

/// What a slot told.
#[derive(Debug)]
pub enum Slot {
    /// A frame is in it ([`Ring::frame`]), and this is the header the kernel put before it.
    Frame(VnetHeader),
    /// A frame that is longer waits on the socket.
    Queued,
    /// There was a longer frame, and the socket had no room for it.
    Lost,
}

/// Gives a socket that has virtio-net headers already a ring. The kernel waits for all processors
/// meanwhile: some ten milliseconds.
///
/// # Errors
/// ENOMEM, and what setsockopt(2) says.
pub fn make(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let version = libc::tpacket_versions::TPACKET_V2 as i32;
    option::set_integer(fd, libc::SOL_PACKET, libc::PACKET_VERSION, version)?;
    option::set_integer(fd, libc::SOL_PACKET, libc::PACKET_COPY_THRESH, 1)?;
    let request = libc::tpacket_req {
        tp_block_size: BLOCK as u32,
        tp_block_nr: BLOCKS as u32,
        tp_frame_size: SLOT as u32,
        tp_frame_nr: SLOTS as u32,
    };
    // SAFETY: a tpacket_req without pointers, which lives across the call.
    unsafe {
        let value = (&raw const request).cast();
        let length = size_of::<libc::tpacket_req>();
        option::set_bytes(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, value, length)
    }
}

impl Ring {
    /// Maps the ring that was made for the socket ([`make`]). Not for two threads, or while one forks.
    ///
    /// # Errors
    /// What mmap(2) and madvise(2) say.
    pub fn map(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(ptr::null_mut(), SIZE, protection, MapFlags::SHARED, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        let ring = Self {
            start,
            next: 0,
            adrift: false,
            lent: false,
            frame: 0..0,
        };
        ring.let_inherit(false)?;
        Ok(ring)
    }

    /// Maps the ring of a socket that a process which is dead has received by. What it was about when it
    /// died is taken once more.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn resume(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut ring = Self::map(fd)?;
        ring.adrift = true;
        Ok(ring)
    }

    /// Whether processes forked from now on have the ring, too.
    ///
    /// # Errors
    /// What madvise(2) says.
    pub fn let_inherit(&self, inherited: bool) -> Result<(), Errno> {
        let advice = if inherited {
            Advice::LinuxDoFork
        } else {
            Advice::LinuxDontFork
        };
        // SAFETY: the mapping is ours, and the advice changes nothing in this process.
        unsafe { madvise(self.start.as_ptr().cast(), SIZE, advice) }
    }

    /// Whether there is something in the next slot.
    pub fn has_next(&self) -> bool {
        if self.adrift {
            return self.oldest().is_some();
        }
        !self.lent && self.is_filled(self.next)
    }

    /// What is in the next slot, if anything; what was lent before goes back.
    pub fn take(&mut self) -> Option<Slot> {
        self.give_back();
        if self.adrift {
            self.next = self.oldest()?;
            self.adrift = false;
        }
        // The kernel fills the slot before it says so.
        let status = self.status(self.next).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.lent = true;
        if status & libc::TP_STATUS_COPY != 0 {
            return Some(Slot::Queued);
        }
        Some(match parse(self.lent()) {
            Some((vnet, frame)) => {
                self.frame = frame;
                Slot::Frame(vnet)
            }
            None => Slot::Lost,
        })
    }

    /// The frame that was taken last, while nothing else was done to the ring.
    pub fn frame(&self) -> &[u8] {
        self.lent().get(self.frame.clone()).unwrap_or_default()
    }

    /// When the kernel had it, in nanoseconds since 1970.
    pub fn arrival(&self) -> u64 {
        let word = |at: usize| Some(u32::from_ne_bytes(*self.lent().get(at..)?.first_chunk()?));
        let seconds = word(offset_of!(Header, tp_sec)).unwrap_or(0);
        let nanoseconds = word(offset_of!(Header, tp_nsec)).unwrap_or(0);
        u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds)
    }

    /// The slot that is lent.
    fn lent(&self) -> &[u8] {
        if !self.lent {
            return &[];
        }
        // SAFETY: the slot is ours until it is given back (invariant 1), for which `self` must not
        // be borrowed; and the kernel hands out zeroed pages, so all of its bytes are initialised.
        unsafe { core::slice::from_raw_parts(self.slot(self.next).as_ptr(), SLOT) }
    }

    /// Gives back what was lent, so that the socket does not seem readable for it.
    pub fn give_back(&mut self) {
        if core::mem::take(&mut self.lent) {
            self.status(self.next)
                .store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % SLOTS;
        }
    }

    /// The first of the filled slots, which lie side by side. Of a full ring it is any.
    fn oldest(&self) -> Option<usize> {
        let before = |index: usize| (index + SLOTS - 1) % SLOTS;
        let begins = |&index: &usize| self.is_filled(index) && !self.is_filled(before(index));
        (0..SLOTS)
            .find(begins)
            .or_else(|| self.is_filled(0).then_some(0))
    }

    fn is_filled(&self, index: usize) -> bool {
        self.status(index).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    fn slot(&self, index: usize) -> NonNull<u8> {
        let block = index % SLOTS / SLOTS_IN_BLOCK;
        let offset = block * BLOCK + index % SLOTS_IN_BLOCK * SLOT;
        // SAFETY: the index is below SLOTS, so the slot is within the mapping.
        unsafe { self.start.add(offset) }
    }

    fn status(&self, index: usize) -> &AtomicU32 {
        // SAFETY: within the slot and aligned to 16 bytes as it is; both sides access it atomically.
        unsafe { AtomicU32::from_ptr(self.slot(index).add(STATUS).as_ptr().cast()) }
    }
}

/// What is before the frame in a filled slot, and where that is; `None`: it was cut.
fn parse(slot: &[u8]) -> Option<(VnetHeader, Range<usize>)> {
    let word = |at: usize| Some(u32::from_ne_bytes(*slot.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_ne_bytes(*slot.get(at..)?.first_chunk()?));
    let len = word(offset_of!(Header, tp_len))?;
    let kept = word(offset_of!(Header, tp_snaplen))?;
    let start = usize::from(half(offset_of!(Header, tp_mac))?);
    let vnet = slot.get(start.checked_sub(VnetHeader::LEN)?..)?;
    let vnet = VnetHeader::from_bytes(*vnet.first_chunk()?);
    let frame = start..start + kept as usize;
    (kept == len && frame.end <= slot.len()).then_some((vnet, frame))
}
