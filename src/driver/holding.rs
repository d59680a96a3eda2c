//! Whether other processes still hold a connection that has hung up.
//!
//! A pair of which both sides are shut has hung up, be the program's end closed or not. A connection whose descriptors
//! are all in other processes is shut so when it has ended by an error, and by its programs after the peer's FIN. So
//! its file is shown to a [witness](crate::sys::witness) while a descriptor of it is at hand: when a keeper makes it, when
//! it is offered by a listener that others have, when this process is about to lose its own, when somebody asks about it.
//! A process that has a descriptor needs no witness; but who goes on when it is killed does, and has this one's.

use rustix::fd::RawFd;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};

impl Engine {
    /// Other processes have, or will have, a connection whose descriptor is `fd`.
    pub fn note_holders(&mut self, id: EndpointId, fd: RawFd) {
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && !endpoint.datagram
            && !endpoint.witnessed
        {
            // Without that it counts as closed once both sides are shut.
            let entered = self.endpoints.witnesses.enter(fd, id.token());
            if let Some(endpoint) = self.endpoints.get_mut(id) {
                endpoint.witnessed = entered.is_ok();
            }
        }
    }

    /// The same of all, before this process gives them up.
    pub(super) fn note_all_holders(&mut self) {
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            self.note_if_held(id);
        }
    }

    /// The same, before the program's descriptor is closed here, if others may have one.
    pub fn note_if_held(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get(id)
            && endpoint.program >= 0
            && endpoint.is_held_elsewhere()
        {
            self.note_holders(id, endpoint.program);
        }
    }

    /// Whether who goes on when this process is killed has a witness of the file of `id`, if that is shown to it now.
    pub(super) fn has_witness(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else {
            return false;
        };
        let (program, shown) = (endpoint.program, endpoint.witnessed);
        let at_hand = program >= 0 && !endpoint.datagram;
        shown || at_hand && self.endpoints.witnesses.enter(program, id.token()).is_ok()
    }

    /// Whether the program has an end that has hung up. Once our side is shut, it does as soon as the program shuts its
    /// own; only close(2) tells whether it can still read.
    pub(super) fn is_only_shut(&self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else {
            return false;
        };
        match endpoint.role {
            Role::Connection(_) if !endpoint.finished && !endpoint.read_finished => false,
            Role::Connection(_) | Role::Ended if endpoint.program >= 0 => true,
            Role::Connection(_) | Role::Ended => self.is_held(id, endpoint),
            _ => false,
        }
    }

    fn is_held(&self, id: EndpointId, endpoint: &Endpoint) -> bool {
        endpoint.program < 0 && endpoint.witnessed && self.endpoints.witnesses.is_open(id.token())
    }
}
