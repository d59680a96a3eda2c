//! A link that writes what passes into a pcapng file (draft-ietf-opsawg-pcapng).
//!
//! Frames are written as they pass: super-packets whole, and outbound checksums as far as the
//! stack computed them. Each process appends a section of its own, in writes of whole blocks, so
//! several may share a file: a block that falls into another's section means the same there,
//! because every section describes one Ethernet interface.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use super::{Frame, Link, Received, Statistics};
use crate::sys::clock;
use crate::sys::file;
use crate::sys::owned::OwnedFd;

/// Bytes gathered before they are written without waiting for the pass to end.
const GATHERED: usize = 256 << 10;

/// Values of the direction bits of `epb_flags`.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A link whose frames are captured.
///
/// A capture that fails (a full disk) ends; the traffic goes on. Whoever made it is told once, and the statistics say
/// why ([`Statistics::capture_error`]).
#[derive(Debug)]
pub struct Capture<L> {
    inner: L,
    file: OwnedFd,
    writer: Writer,
    /// An outbound frame in one piece.
    scratch: Vec<u8>,
    failed: Option<Errno>,
    /// Is told why the capture has ended before its time.
    ended: fn(Errno),
}

/// Makes blocks, in memory.
struct Writer(PcapNgWriter<Vec<u8>>);

impl<L: Link> Capture<L> {
    /// Captures the frames of `inner`, an interface of this name, at the end of the file. `ended` is called if it cannot
    /// be written any more.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn create(inner: L, path: &str, interface: &str, ended: fn(Errno)) -> Result<Self, Errno> {
        let mut capture = Self {
            inner,
            file: file::append(path)?,
            writer: Writer::new(interface).ok_or(Errno::INVAL)?,
            scratch: Vec::new(),
            failed: None,
            ended,
        };
        capture.write_gathered()?;
        Ok(capture)
    }

    fn write_gathered(&mut self) -> Result<(), Errno> {
        let gathered = self.writer.0.get_mut();
        let written = file::write_if_ready(self.file.as_fd(), gathered);
        gathered.clear();
        written
    }

    fn write_out(&mut self) {
        if self.failed.is_some() || self.writer.0.get_ref().is_empty() {
            return;
        }
        if let Err(errno) = self.write_gathered() {
            self.failed = Some(errno);
            (self.ended)(errno);
        }
    }

    fn write_out_if_much(&mut self) {
        if self.writer.0.get_ref().len() >= GATHERED {
            self.write_out();
        }
    }
}

impl<L: Link> Link for Capture<L> {
    fn receive<'a>(&'a mut self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>, Errno> {
        self.write_out_if_much();
        let received = self.inner.receive(buffer)?;
        if let (Some(received), None) = (received, self.failed) {
            self.writer.frame(INBOUND, wall_clock(), received.bytes);
        }
        Ok(received)
    }

    fn has_frame(&self) -> bool {
        self.inner.has_frame()
    }

    fn take_error(&mut self) -> Option<Errno> {
        self.inner.take_error()
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, Errno> {
        let taken = self.inner.transmit(frames)?;
        if self.failed.is_none() {
            let now = wall_clock();
            for frame in frames.iter().take(taken) {
                self.scratch.clear();
                frame.copy_to(&mut self.scratch);
                self.writer.frame(OUTBOUND, now, &self.scratch);
                self.write_out_if_much();
            }
        }
        Ok(taken)
    }

    fn stamp(&mut self) {
        self.inner.stamp();
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.inner.wait_fd()
    }

    fn next_deadline(&self) -> Option<u64> {
        self.inner.next_deadline()
    }

    fn advance(&mut self, now: u64) {
        self.inner.advance(now);
    }

    fn flush(&mut self) {
        self.write_out();
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
        Statistics {
            capture_error: self.failed,
            ..self.inner.statistics()
        }
    }
}

impl<L> Drop for Capture<L> {
    fn drop(&mut self) {
        if self.failed.is_none() {
            // Nothing is left that could be told of a failure.
            let _ = file::write_if_ready(self.file.as_fd(), self.writer.0.get_ref());
        }
    }
}

impl Writer {
    fn new(interface: &str) -> Option<Self> {
        let mut writer = PcapNgWriter::new(Vec::new()).ok()?;
        let description = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            // No limit.
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(interface)),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        writer.write_pcapng_block(description).ok()?;
        Some(Self(writer))
    }

    fn frame(&mut self, direction: u32, timestamp: Duration, frame: &[u8]) {
        let before = self.0.get_ref().len();
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp,
            original_len: frame.len() as u32,
            data: Cow::Borrowed(frame),
            options: vec![EnhancedPacketOption::Flags(direction)],
        };
        if self.0.write_pcapng_block(block).is_err() {
            self.0.get_mut().truncate(before);
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({} bytes gathered)", self.0.get_ref().len())
    }
}

/// Time since 1970-01-01 00:00:00 UTC.
fn wall_clock() -> Duration {
    Duration::from_nanos(clock::realtime())
}
