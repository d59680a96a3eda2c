//! IPV6_ADDRFORM: an AF_INET6 socket that has an IPv4 peer becomes one of AF_INET.

use super::set::integer;
use crate::driver::{Endpoint, Engine};
use crate::socket::{Family, Kind, Socket, State};
use crate::stack::tcp;

pub(super) const OPTION: (i32, i32) = (libc::IPPROTO_IPV6, libc::IPV6_ADDRFORM);

/// Sets the option, if it can be. Else what the kernel says of a socket without a peer is the answer.
pub(super) fn set(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    option: (i32, i32),
    value: &[u8],
) -> bool {
    let can_be = option == OPTION
        && integer(value) == Ok(libc::AF_INET)
        && socket.family() == Family::Inet6
        && has_peer(Some(engine), state);
    if !can_be {
        return false;
    }
    socket.become_inet(state);
    if let Some(id) = state.endpoint {
        if let Some(endpoint) = engine.endpoints.get_mut(id) {
            endpoint.inet6 = false;
        }
        let options = &state.options;
        engine.apply(
            id,
            options.linger,
            options.receive_low_water,
            &options.tcp(),
            &options.udp(),
        );
    }
    true
}

/// Whether it has a peer, as Linux sees it: no FIN of a connection was sent or received.
pub(super) fn has_peer(engine: Option<&Engine>, state: &State) -> bool {
    let endpoint = || engine?.endpoints.get(state.endpoint?);
    let status = || {
        engine?
            .stack
            .tcp_status(endpoint().and_then(Endpoint::socket)?)
    };
    match state.options.kind {
        Kind::Datagram => state.remote.is_some(),
        Kind::Stream => status().is_some_and(|status| status.state == tcp::State::Established),
    }
}
