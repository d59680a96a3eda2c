//! What of the books of ports matters to the vault.

use crate::control::ephemeral::Protocol;
use crate::control::lease::Lease;
use crate::driver::ports::{Ports, Source};

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
    }
}
