//! What of the books of ports matters to the vault, and to who finds it.

use core::net::SocketAddrV4;

use rustix::net::sockopt;

use crate::control::ephemeral::Protocol;
use crate::control::lease::Lease;
use crate::control::vault::LeaseCopy;
use crate::driver::ports::{self, Ports, Source};
use crate::driver::uses::Use;

impl Ports {
    /// Whether any TCP port was in use so far.
    pub(in crate::driver) fn has_tcp(&self) -> bool {
        self.tcp
    }

    /// Leases made so far.
    pub(in crate::driver) fn leases_made(&self) -> u64 {
        match &self.source {
            Source::Kernel(ephemeral, _) => self.made + ephemeral.leases_made(),
            Source::Own { .. } => 0,
        }
    }

    /// All leases of a protocol.
    pub(in crate::driver) fn leases(
        &mut self,
        protocol: Protocol,
    ) -> impl Iterator<Item = &mut Lease> {
        let pooled = match &mut self.source {
            Source::Kernel(ephemeral, _) => Some(ephemeral.leases(protocol)),
            Source::Own { .. } => None,
        };
        let held = self.held.iter_mut();
        held.filter(move |(key, _)| key.0 == protocol)
            .flat_map(|(_, held)| &mut held.kernel)
            .chain(pooled.into_iter().flatten())
            .chain(&mut self.inherited)
    }

    /// A TCP port that a dead process had is held by a lease of its.
    pub(super) fn take_up(&mut self, lease: Lease) {
        self.tcp = true;
        self.made += 1;
        let held = self.held.entry((Protocol::Tcp, lease.port())).or_default();
        held.on_link = true;
        held.kernel.push(lease);
    }

    /// So are ports that were chosen for it, to the end.
    pub(super) fn inherit(&mut self, copies: impl Iterator<Item = LeaseCopy>) {
        self.tcp = true;
        self.inherited
            .extend(copies.filter_map(|copy| copy.into_lease().ok()));
    }

    /// A use of it, as a socket bound to `local` had it. `None`: nothing holds it.
    pub(super) fn use_up(
        &mut self,
        local: SocketAddrV4,
        user: Option<u32>,
        listening: bool,
    ) -> Option<ports::Lease> {
        let (protocol, port) = (Protocol::Tcp, local.port());
        let held = self.held.get_mut(&(protocol, port))?;
        let kernel = held.kernel.first()?.fd();
        let used = Use {
            local: *local.ip(),
            reuse_address: sockopt::socket_reuseaddr(kernel).unwrap_or(false),
            reuse_port: sockopt::socket_reuseport(kernel).unwrap_or(false),
            user,
            listening,
            pooled: false,
        };
        held.uses.add(used);
        Some(ports::Lease {
            protocol,
            port,
            used,
        })
    }

    /// The same of a connection, which has it of its listener's, if there is one.
    pub(super) fn share_or_use_up(
        &mut self,
        local: SocketAddrV4,
        user: Option<u32>,
    ) -> Option<ports::Lease> {
        let shared = self.share(Protocol::Tcp, local.port());
        shared.or_else(|| self.use_up(local, user, false))
    }
}
