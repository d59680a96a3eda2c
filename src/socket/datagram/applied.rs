//! What control messages ask for, in force while one datagram is sent.

use core::net::SocketAddrV4;
use rustix::io::Errno;

use super::ancillary::Asked;
use crate::driver::Engine;
use crate::socket::options::Options;
use crate::socket::{State, edges};
use crate::stack::ids::SocketId;
use crate::stack::transmit::Treatment;
use crate::stack::udp::UdpOptions;
use crate::sys::clock;

impl Asked {
    /// Sends with what is asked for in force.
    pub(super) fn around(
        &self,
        engine: &mut Engine,
        state: &mut State,
        datagram: SocketId,
        send: impl FnOnce(&mut Engine, &State) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let options = self.applied(&mut state.options);
        if let Some(options) = &options {
            engine.stack.udp_set_options(datagram, options);
        }
        let source = self.source.zip(state.local);
        if let Some((source, local)) = source {
            let local = SocketAddrV4::new(source, local.port());
            engine.stack.udp_set_local(datagram, local);
        }
        let result = send(engine, state);
        if let Some((_, local)) = source {
            engine.stack.udp_set_local(datagram, local);
        }
        if options.is_some() {
            engine.stack.udp_set_options(datagram, &state.options.udp());
        }
        engine.finish_pass();
        if result.is_ok() {
            edges::tell_of_room(state);
        }
        result
    }

    /// The socket's options with what is asked for one datagram; `None`: nothing is.
    fn applied(&self, options: &mut Options) -> Option<UdpOptions> {
        let stamps = options.stamping.of_next(self.stamping);
        let treated = self.priority.is_some() || self.mark.is_some();
        let asks = self.ttl.is_some() || self.ip_options.is_some() || treated;
        if !asks && stamps.is_none() {
            return None;
        }
        let usual = self.with_ip_options(options.udp());
        Some(UdpOptions {
            ttl: self.ttl.unwrap_or(usual.ttl),
            tos: self.tos.unwrap_or(usual.tos),
            treatment: Treatment {
                mark: self.mark.unwrap_or(usual.treatment.mark),
                priority: self.priority.unwrap_or(usual.treatment.priority),
            },
            stamps,
            ..usual
        })
    }

    /// The options with those of the header that are asked for.
    pub(super) fn with_ip_options(&self, usual: UdpOptions) -> UdpOptions {
        UdpOptions {
            ip_options: self.ip_options.map(|options| (options, clock::realtime())),
            ..usual
        }
    }
}
