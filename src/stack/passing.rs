//! Bytes on their way between a connection and its user, by a road on which others see them.
//!
//! A process may be killed while the kernel moves bytes for it, or before it has noted that they are moved. So the
//! kernel itself notes that, in the memory file and by the same call: sendmmsg(2) and recvmmsg(2) write the number of
//! bytes into the message's head, before the process, which is in the kernel, can end.
//!
//! ```text
//!   Passing: which way, and from where on  ─►  the call: Road::head says how many  ─►  the queue, and the way's end
//! ```
//!
//! 1. One connection's bytes are on their way at a time. Before they are, the road says that none have moved.
//! 2. What comes from the user comes into the road's own bytes, and is queued from there: who goes on with the stack can do
//!    that, too.
//! 3. The queue's end (or front) is moved once, by one store. So however often somebody begins to go on, `from` and what
//!    the road says give the same.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::pool::in_order;

/// Bytes that come from a user at a time.
pub const ROAD: usize = 16 * 1024;

/// The road, a place in the memory file. Written by whoever drives the stack, and by the kernel; read by who adopts it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Road {
    /// A `struct mmsghdr`, whose seven words of a `struct msghdr` are followed by `msg_len`.
    pub head: [u64; 8],
    /// What comes from a user.
    pub bytes: [u8; ROAD],
}

impl Road {
    /// Bytes that the last call on it has moved.
    pub fn moved(&self) -> usize {
        let [a, b, c, d, ..] = self.head[7].to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d]) as usize
    }
}

/// Where bytes are on their way.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(u8)]
pub enum Way {
    /// Nowhere.
    #[default]
    None,
    /// From the receive queue, or a frame, to the user.
    ToUser,
    /// From the user to the send queue.
    FromUser,
    /// Filler, to where the user's bytes come from.
    Filling,
    /// Filler, out of there.
    Emptying,
    /// Nobody can know: the record was being replaced.
    Lost,
}

/// Whether bytes of a connection are on their way to or from its user, and from where on. See the module.
#[derive(Debug, Default, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Passing {
    /// The position in its queue of the first byte that is; of filler, how much there was.
    from: u32,
    way: Way,
    _unused: [u8; 3],
}

impl Passing {
    /// What comes next is at this position.
    pub(super) fn start_at(&mut self, from: u32) {
        self.from = from;
    }

    /// They are about to be, by `road`.
    pub fn begin(&mut self, way: Way, road: &mut Road) {
        road.head[7] = 0;
        in_order();
        self.way = way;
        in_order();
    }

    /// Nobody can know any more.
    pub(super) fn lose(&mut self) {
        self.way = Way::Lost;
        in_order();
    }

    /// Where they are, and from where on.
    pub(super) const fn way(&self) -> (Way, u32) {
        (self.way, self.from)
    }

    /// They have arrived, and the stack knows. Whether they were on their way.
    pub(super) fn end(&mut self) -> bool {
        in_order();
        core::mem::take(&mut self.way) != Way::None
    }
}
