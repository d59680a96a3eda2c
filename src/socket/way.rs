//! Which way goes what a socket sends: by the stack, or by the kernel.

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::io::Errno;

use super::State;
use crate::control::ephemeral::Protocol;
use crate::driver::Engine;
use crate::stack::routes::RouteDecision;

/// How the stack serves a destination.
pub(super) struct Way {
    /// From this address of ours.
    pub(super) local: Ipv4Addr,
    /// The destination, as it is meant.
    pub(super) remote: SocketAddrV4,
}

/// Whether the stack serves `remote`, and how; `None`: the kernel does.
pub(super) fn decide(
    engine: &Engine,
    protocol: Protocol,
    state: &State,
    remote: SocketAddrV4,
) -> Result<Option<Way>, Errno> {
    let bound = state.local.map(|local| *local.ip());
    decide_from(engine, protocol, state, bound, remote)
}

/// The same by another address than the socket's own. What is unspecified the route says.
pub(super) fn decide_from(
    engine: &Engine,
    protocol: Protocol,
    state: &State,
    bound: Option<Ipv4Addr>,
    remote: SocketAddrV4,
) -> Result<Option<Way>, Errno> {
    let bound = bound.filter(|ip| !ip.is_unspecified());
    let to_all = bound.is_some_and(|ip| engine.stack.is_broadcast(ip));
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    if to_all && endpoint.is_some_and(|endpoint| endpoint.inet6) {
        // Linux sends by the interface's address only where the socket is AF_INET.
        return Err(Errno::NETUNREACH);
    }
    let bound = bound.filter(|_| !to_all);
    let remote = match remote.ip().is_unspecified() {
        // As on Linux, nobody is oneself.
        true => SocketAddrV4::new(bound.unwrap_or(Ipv4Addr::LOCALHOST), remote.port()),
        false => remote,
    };
    match engine.stack.route(*remote.ip()) {
        RouteDecision::Kernel => Ok(None),
        RouteDecision::Unreachable => Err(Errno::NETUNREACH),
        RouteDecision::Stack { next_hop, .. }
            if state.options.on_link && next_hop != *remote.ip() =>
        {
            Err(Errno::NETUNREACH)
        }
        RouteDecision::Stack { source, .. } => {
            let local = bound.unwrap_or(source);
            let port = state.local.map_or(0, |local| local.port());
            let from = SocketAddrV4::new(local, port);
            // A datagram socket stays with the peer it was connected to, who may be gone by now.
            let ours = state.remote == Some(remote) || engine.delivers(protocol, from, remote);
            Ok(ours.then_some(Way { local, remote }))
        }
    }
}
