//! What of the books of ports matters to the vault, and to who finds it.

use core::net::SocketAddrV4;
use std::collections::BTreeSet;

use rustix::net::sockopt;

use crate::control::ephemeral::Protocol;
use crate::control::lease::Lease;
use crate::control::vault::LeaseCopy;
use crate::driver::convert::stack_protocol;
use crate::driver::ports::{self, Ports, Source};
use crate::driver::uses::Use;
use crate::stack::Stack;

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

    /// How many leases there are at most.
    pub(super) fn leases_held(&self) -> usize {
        let pooled = match &self.source {
            Source::Kernel(ephemeral, _) => ephemeral.len(),
            Source::Own { .. } => 0,
        };
        self.held.len() + pooled + self.inherited.len()
    }

    /// The leases of which copies are to be left: all of TCP's, whose connections go on, and those of the UDP ports
    /// that are `wanted`.
    pub(in crate::driver) fn leases_to_leave(
        &mut self,
        wanted: &BTreeSet<u16>,
    ) -> impl Iterator<Item = &mut Lease> {
        let pooled = match &mut self.source {
            Source::Kernel(ephemeral, _) => Some(ephemeral.leases()),
            Source::Own { .. } => None,
        };
        let held = self.held.values_mut().flat_map(|held| &mut held.kernel);
        held.chain(pooled.into_iter().flatten())
            .chain(&mut self.inherited)
            .filter(|lease| lease.protocol() == Protocol::Tcp || wanted.contains(&lease.port()))
    }

    /// A port that a dead process had is held by a lease of its.
    pub(super) fn take_up(&mut self, stack: &mut Stack, lease: Lease) {
        let at = (lease.protocol(), lease.port());
        self.tcp |= at.0 == Protocol::Tcp;
        self.made += 1;
        let held = self.held.entry(at).or_default();
        if !held.on_link && stack.faces_link(*lease.local().ip()) {
            held.on_link = true;
            stack.set_port_owned(stack_protocol(at.0), at.1, true);
            self.changes += 1;
        }
        held.kernel.push(lease);
    }

    /// So are those that only its connections have.
    pub(super) fn inherit(&mut self, copies: Vec<LeaseCopy>) {
        self.tcp = true;
        let leases = copies.into_iter().map(LeaseCopy::into_lease);
        self.inherited.extend(leases.flatten());
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
