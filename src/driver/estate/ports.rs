//! The ports of a dead process: which are given back, and how.

use std::collections::BTreeSet;

use crate::control::log;
use crate::control::vault::LeaseCopy;
use crate::driver::Engine;
use crate::stack::ports::Protocol;
use crate::stack::sharing::Sharing;
use crate::sys::words;

/// Copies of the dead process's leases.
pub(super) struct Leases {
    /// Of ports that it has chosen.
    pub(super) chosen: Vec<LeaseCopy>,
    /// Of ports that were chosen for it: nobody asks for these, and they are held to the end.
    pub(super) pooled: Vec<LeaseCopy>,
}

impl Leases {
    pub(super) fn new(copies: Vec<LeaseCopy>) -> Self {
        let everywhere = copies.iter().filter(|copy| !copy.on_interface);
        let everywhere: BTreeSet<u16> = everywhere.map(|copy| copy.port).collect();
        // Pooled ports are held on the driven interface alone.
        let chosen = |copy: &LeaseCopy| everywhere.contains(&copy.port);
        let (chosen, pooled) = copies.into_iter().partition(chosen);
        Self { chosen, pooled }
    }

    /// The ports that the program has chosen, and that were not given back.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        self.chosen.iter().map(|copy| copy.port).collect()
    }

    /// What holds one of them.
    fn copies(&self, port: u16) -> Vec<&LeaseCopy> {
        let copies = self.chosen.iter();
        copies.filter(|copy| copy.port == port).collect()
    }

    /// Gives back what the program has chosen, so that it can be started anew at once. What the kernel
    /// does not allow that for is held.
    pub(super) fn leave(&mut self, engine: &mut Engine) {
        let interface = engine.interface_index();
        for port in self.ports() {
            let copies = self.copies(port);
            let sockets: Vec<_> = copies.iter().map(|copy| copy.fd()).collect();
            match engine
                .orphans
                .cover(&engine.stack, interface, port, &sockets)
            {
                Ok(()) => self.give_back(engine, port),
                Err(errno) => {
                    log::info(format_args!(
                        "port {port} cannot be given back at once: {}",
                        words::of(errno)
                    ));
                    if copies.iter().any(|copy| copy.reuse_port) {
                        share(engine, port);
                    }
                }
            }
        }
    }

    /// Gives one back.
    pub(super) fn give_back(&mut self, engine: &mut Engine, port: u16) {
        let gone = self.chosen.extract_if(.., |copy| copy.port == port);
        gone.for_each(LeaseCopy::give_back);
        share(engine, port);
    }
}

/// The port may be another's besides: what belongs to no connection is not answered there.
fn share(engine: &mut Engine, port: u16) {
    let stack = &mut engine.stack;
    stack.share_port(Protocol::Tcp, port, Sharing::unknown());
}
