//! Ports that may be shared with other stacks (SO_REUSEPORT; [`crate::stack::sharing`]).

use core::net::Ipv4Addr;

use super::Tcp;

impl Tcp {
    /// The addresses of listeners that share a port.
    pub fn sharing_listeners(&self, port: u16) -> Vec<Ipv4Addr> {
        let found = self.tables.listeners_on(port);
        let listeners = found.filter_map(|index| self.listeners.get(index));
        listeners
            .filter(|listener| listener.options.reuse_port)
            .map(|listener| *listener.local.get().ip())
            .collect()
    }

    /// The ports of listeners and connections that may have them together with others, some more
    /// than once.
    pub fn shared_ports(&self) -> Vec<u16> {
        let connections = self.connections.iter();
        let connections = connections
            .filter(|tcb| tcb.options.reuse_port)
            .map(|tcb| tcb.local.get().port());
        let listeners = self.listeners.iter();
        let listeners = listeners
            .filter(|listener| listener.options.reuse_port)
            .map(|listener| listener.local.get().port());
        connections.chain(listeners).collect()
    }
}
