//! Which ports the packet socket's filter admits.

use core::net::Ipv4Addr;

use super::ports::{Ports, Source};
use crate::control::ephemeral::Protocol;
use crate::control::filter::FilterSpec;
use crate::control::ports::PortSet;

impl Ports {
    /// What the packet socket should admit, if that has changed since it was asked last.
    pub(super) fn changed_filter(&mut self, destinations: &[Ipv4Addr]) -> Option<FilterSpec> {
        let now = match &self.source {
            Source::Kernel(_, None) => return None,
            Source::Kernel(ports, _) => self.changes << 32 ^ ports.changes(),
            // With an address of its own, the stack has every port of it.
            Source::Own { .. } => 0,
        };
        if self.filtered == Some(now) {
            return None;
        }
        self.filtered = Some(now);
        let (mut tcp_ports, mut udp_ports) = (self.restored.clone(), PortSet::default());
        for (&(protocol, port), held) in &self.held {
            match protocol {
                _ if held.ephemeral || !held.on_link => {}
                Protocol::Tcp => tcp_ports.insert(port),
                Protocol::Udp => udp_ports.insert(port),
            }
        }
        if let Source::Kernel(ports, _) = &self.source {
            ports
                .blocks(Protocol::Tcp)
                .for_each(|block| tcp_ports.insert_block(block));
            ports
                .blocks(Protocol::Udp)
                .for_each(|block| udp_ports.insert_block(block));
        }
        let own_address = !self.shares_with_kernel();
        Some(FilterSpec {
            destinations: destinations.to_vec(),
            own_address,
            tcp_ports,
            udp_ports,
        })
    }

    /// Admits TCP ports of what a dead process has left.
    pub(super) fn admit_restored(&mut self, ports: impl Iterator<Item = u16>) {
        ports.for_each(|port| self.restored.insert(port));
        self.refilter();
    }

    /// Makes the next [`Ports::changed_filter`] give one, whatever has changed.
    pub(super) fn refilter(&mut self) {
        self.filtered = None;
    }
}
