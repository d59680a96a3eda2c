//! The ports of a dead process: which are given back, and how.
//!
//! What holds them all is among [`Ports::inherited`](crate::driver::ports::Ports): copies of its leases, of which copies
//! lie in turn where a keeper finds them should this process be killed.

use std::collections::BTreeSet;

use crate::control::lease::Lease;
use crate::control::log;
use crate::control::vault::LeaseCopy;
use crate::driver::Engine;
use crate::stack::ports::Protocol;
use crate::stack::sharing::Sharing;
use crate::sys::strerror;

/// The ports that the program had chosen, and that were not given back. Nobody asks for those that were chosen for it:
/// they are held to the end.
pub(super) struct Chosen(BTreeSet<u16>);

impl Chosen {
    /// Those that `copies` hold.
    pub(super) fn of(copies: &[LeaseCopy]) -> Self {
        // Pooled ports are held on the driven interface alone.
        let everywhere = copies.iter().filter(|copy| !copy.on_interface);
        Self(everywhere.map(|copy| copy.port).collect())
    }

    /// Whether all were given back.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives back what can be at once, so that the program can be started anew. What the kernel does not allow that for
    /// is held.
    pub(super) fn leave(&mut self, engine: &mut Engine) {
        let interface = engine.interface_index();
        let mut left = Vec::new();
        for &port in &self.0 {
            let leases: Vec<_> = held_by(&engine.ports.inherited, port).collect();
            let sockets: Vec<_> = leases.iter().map(|lease| lease.fd()).collect();
            let stack = &engine.stack;
            match engine.orphans.cover(stack, interface, port, &sockets) {
                Ok(()) => left.push(port),
                Err(errno) => {
                    log::info(format_args!(
                        "port {port} cannot be given back at once: {}",
                        strerror::of(errno)
                    ));
                    if leases.iter().any(|lease| lease.is_shared()) {
                        share(engine, port);
                    }
                }
            }
        }
        // Who goes on should this process be killed finds what keeps the kernel silent.
        engine.copy_ends();
        self.give_back(engine, &left);
    }

    /// Gives back all but those that are `unfinished`.
    pub(super) fn give_back_but(&mut self, engine: &mut Engine, unfinished: &BTreeSet<u16>) {
        let held = engine.ports.inherited.iter();
        for lease in held.filter(|lease| self.0.contains(&lease.port())) {
            // Clients that came from loopback.
            while let Ok(Some(_)) = lease.accept() {}
        }
        let finished: Vec<u16> = self.0.difference(unfinished).copied().collect();
        self.give_back(engine, &finished);
    }

    fn give_back(&mut self, engine: &mut Engine, ports: &[u16]) {
        if ports.is_empty() {
            return;
        }
        let inherited = &mut engine.ports.inherited;
        let gone = inherited.extract_if(.., |lease| ports.contains(&lease.port()));
        let gone: Vec<Lease> = gone.collect();
        engine.renew_vault();
        gone.into_iter().for_each(Lease::give_back);
        for port in ports {
            self.0.remove(port);
            share(engine, *port);
        }
    }
}

fn held_by(leases: &[Lease], port: u16) -> impl Iterator<Item = &Lease> {
    leases.iter().filter(move |lease| lease.port() == port)
}

/// The port may be another's besides: what belongs to no connection is not answered there.
fn share(engine: &mut Engine, port: u16) {
    let stack = &mut engine.stack;
    stack.share_port(Protocol::Tcp, port, Sharing::unknown());
}
