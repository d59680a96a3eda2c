//! TCP_SAVE_SYN: the headers of the SYN that opened a connection, until they are asked for.
//!
//! Few listeners ask for it, so the headers are kept beside the connections, on the heap. Who adopts a
//! connection does without.

use std::collections::HashMap;

use super::Tcp;
use crate::stack::ids::SocketId;

/// Headers by their connection's index.
#[derive(Default)]
pub(super) struct SavedSyns(HashMap<u32, Vec<u8>>);

impl SavedSyns {
    /// Keeps what a listener with this TCP_SAVE_SYN asks for.
    pub(super) fn save(&mut self, index: u32, asked: u8, headers: [&[u8]; 3]) {
        match asked {
            0 => {}
            1 => drop(self.0.insert(index, headers[1..].concat())),
            _ => drop(self.0.insert(index, headers.concat())),
        }
    }

    pub(super) fn forget(&mut self, index: u32) {
        if !self.0.is_empty() {
            self.0.remove(&index);
        }
    }
}

impl Tcp {
    /// The headers of the SYN that opened a connection; none if they were not kept.
    pub fn saved_syn(&self, id: SocketId) -> Option<&[u8]> {
        self.connection(id)?;
        self.saved_syns.0.get(&id.index).map(Vec::as_slice)
    }

    /// Lets go of them.
    pub fn forget_saved_syn(&mut self, id: SocketId) {
        if self.connection(id).is_some() {
            self.saved_syns.forget(id.index);
        }
    }
}
