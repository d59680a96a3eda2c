//! Sends with MSG_ZEROCOPY, which are counted: a note of the driver's, for who goes on with the stack.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::Tcp;
use crate::stack::ids::SocketId;

/// How far they are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ZeroCopies {
    /// How many there were.
    pub made: u32,
    /// Of how many of these the user was told that they are complete.
    pub told: u32,
}

impl Tcp {
    /// The connection's are so far.
    pub fn note_zero_copies(&mut self, id: SocketId, sends: ZeroCopies) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.zero_copies = sends;
        }
    }

    /// As noted last, by whoever drove the stack then.
    pub fn zero_copies(&self, id: SocketId) -> ZeroCopies {
        self.connection(id)
            .map_or_else(ZeroCopies::default, |tcb| tcb.zero_copies)
    }
}
