//! What the library tells about itself: whose a descriptor is and why, and the counters.

use rustix::fd::RawFd;
use rustix::io::{Errno, fcntl_getfd};

use super::table;
use crate::driver::{self, Service};
use crate::stack::tcp::Counter;
use crate::sys::wait::borrow;

/// Counters of this process's stack since it started.
///
/// Later versions append fields and change none.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Statistics {
    /// Frames taken from the interface.
    pub frames_received: u64,
    /// Frames given to the interface; one of up to 64 KiB counts as one.
    pub frames_sent: u64,
    /// Bytes in frames_received, link headers included.
    pub bytes_received: u64,
    /// Bytes in frames_sent, link headers included.
    pub bytes_sent: u64,
    /// Frames the kernel dropped because the stack did not fetch them in time.
    pub frames_lost: u64,
    /// Frames the stack dropped: damaged, malformed, or for nobody.
    pub frames_refused: u64,
    /// TCP connections that exist now, in any state.
    pub tcp_connections: u64,
    /// TCP connections opened by connect().
    pub tcp_opened: u64,
    /// TCP connections opened by a peer.
    pub tcp_accepted: u64,
    /// TCP connections that their peers have reset.
    pub tcp_aborted: u64,
    /// TCP segments received.
    pub tcp_segments_received: u64,
    /// TCP segments sent.
    pub tcp_segments_sent: u64,
    /// TCP segments sent again.
    pub tcp_segments_retransmitted: u64,
    /// UDP datagrams received.
    pub udp_datagrams_received: u64,
    /// UDP datagrams sent.
    pub udp_datagrams_sent: u64,
    /// Internet sockets that were left to the kernel.
    pub sockets_left_to_kernel: u64,
}

impl Statistics {
    /// The structure as C sees it.
    pub fn bytes(&self) -> [u8; size_of::<Self>()] {
        // SAFETY: it consists of 64-bit integers only, so there is no padding.
        unsafe { core::mem::transmute_copy(self) }
    }
}

/// Whether the stack serves `fd`. EBADF.
pub fn is_ours(fd: RawFd) -> Result<bool, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    fcntl_getfd(borrow(fd))?;
    Ok(table::is_ours(fd))
}

/// Why the stack does not serve `fd`; `None`: it does. EBADF.
pub fn why_not(fd: RawFd) -> Result<Option<&'static str>, Errno> {
    if is_ours(fd)? {
        return Ok(None);
    }
    Ok(Some(match driver::service() {
        Service::Stack | Service::Keeper => {
            "not an Internet socket, or its address is the kernel's to serve"
        }
        Service::Kernel | Service::Denied | Service::None => driver::refusal(),
    }))
}

/// The counters.
pub fn statistics() -> Statistics {
    let Some(mut engine) = driver::lock() else {
        return Statistics {
            sockets_left_to_kernel: driver::sockets_passed(),
            ..Statistics::default()
        };
    };
    let link = engine.link_statistics();
    let tcp = engine.stack.tcp_counters();
    let count = |counter| tcp.get(counter);
    let counters = engine.stack.counters();
    Statistics {
        frames_received: link.received,
        frames_sent: link.transmitted,
        frames_lost: link.receive_lost,
        frames_refused: link.receive_unusable + counters.refused(),
        tcp_connections: engine.stack.tcp_connections().count() as u64,
        tcp_segments_received: count(Counter::SegmentsIn),
        tcp_segments_sent: count(Counter::SegmentsOut),
        tcp_segments_retransmitted: count(Counter::Retransmissions),
        tcp_opened: count(Counter::ActiveOpens),
        tcp_accepted: count(Counter::PassiveOpens),
        tcp_aborted: count(Counter::ResetsIn),
        udp_datagrams_received: counters.udp_received,
        udp_datagrams_sent: counters.udp_sent,
        bytes_received: counters.bytes_received,
        bytes_sent: counters.bytes_sent,
        sockets_left_to_kernel: driver::sockets_passed(),
    }
}
