//! Datagrams in the making: UDP_CORK and MSG_MORE hold back what is to become one.

use core::net::SocketAddrV4;
use rustix::io::Errno;

use super::ancillary::Asked;
use super::send::send_cut;
use crate::driver::{Engine, Role};
use crate::socket::State;

/// The part of a datagram that is held back.
pub struct Held {
    pub(super) to: SocketAddrV4,
    pub(super) asked: Asked,
    pub(super) data: Vec<u8>,
}

impl Held {
    /// The socket was connected meanwhile: as on Linux, its peer has what is held back.
    pub fn redirect(&mut self, to: SocketAddrV4) {
        self.to = to;
    }
}

/// UDP_CORK was turned off: sends what is held back. Errors are lost, as on Linux.
pub fn push(engine: &mut Engine, state: &mut State) {
    let _ = send_held(engine, state);
}

pub(super) fn send_held(engine: &mut Engine, state: &mut State) -> Result<(), Errno> {
    let Some(held) = state.held.take() else {
        return Ok(());
    };
    let role = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let Some(Role::Datagram(datagram)) = role.map(|endpoint| endpoint.role) else {
        return Ok(());
    };
    let segment = held.asked.segment.unwrap_or(state.options.segment);
    held.asked.around(engine, state, datagram, |engine, _| {
        let segment = usize::from(segment);
        send_cut(engine, datagram, held.to, &held.data, segment)
    })
}
