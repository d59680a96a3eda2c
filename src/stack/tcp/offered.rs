//! Connections on their way from the accept queue to a user who may take them or not.

use super::Tcp;
use super::tcb::Owner;
use crate::stack::ids::SocketId;
use crate::stack::plain::Stored;

impl Tcp {
    /// As [`Self::accept`], while the user may still be somebody who takes it or not. Until [`Self::taken`] the listener
    /// answers for one connection at a time.
    pub fn offer(&mut self, listener: SocketId) -> Option<SocketId> {
        let connection = self.accept(listener)?;
        self.note_offered(listener, Some(connection));
        Some(connection)
    }

    /// What was offered last could not be: it waits again, as the next one.
    pub fn withdraw(&mut self, id: SocketId) {
        let Some(listener) = self.listeners.get_mut(id.index).filter(|l| l.id == id) else {
            return;
        };
        let offered = listener.offered();
        listener.set_offered(None);
        let Some(offered) = offered.filter(|&offered| self.has_user(offered)) else {
            return;
        };
        if let Some(tcb) = self.connections.get_mut(offered.index) {
            tcb.owner = Stored::from(Owner::Listener {
                index: id.index,
                queued: true,
            });
        }
        if let Some(listener) = self.listeners.get_mut(id.index) {
            listener.put_back(&mut self.connections, offered.index);
        }
    }

    /// What was offered last, if it was not taken.
    pub fn offered(&self, listener: SocketId) -> Option<SocketId> {
        self.listener(listener)?.offered()
    }

    /// What was offered last was accepted.
    pub fn taken(&mut self, listener: SocketId) {
        self.note_offered(listener, None);
    }

    fn note_offered(&mut self, listener: SocketId, connection: Option<SocketId>) {
        if let Some(listener) = self.listener_mut(listener) {
            listener.set_offered(connection);
        }
    }
}
