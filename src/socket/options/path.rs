//! Options that choose the path: after one of them has changed a socket has none until it sends (IP_MTU), as on Linux.

use super::Options;
use crate::driver::{Endpoint, Engine};
use crate::socket::State;

/// What of the options chooses a path, as Linux has it.
#[derive(PartialEq, Eq)]
pub(super) struct Chosen {
    service: u8,
    mark: u32,
}

pub(super) fn chosen_by(options: &Options) -> Chosen {
    Chosen {
        service: options.service,
        mark: options.mark,
    }
}

/// Whether what is sent next finds the path anew, since `option` was set; `before`: what chose it until then.
pub(super) fn is_anew(before: &Chosen, options: &Options, option: (i32, i32)) -> bool {
    *before != chosen_by(options) || option == (libc::SOL_SOCKET, libc::SO_DONTROUTE)
}

/// The same, of a socket that `engine` serves: it has no path then.
pub(super) fn forget_if_changed(
    engine: &Engine,
    state: &mut State,
    before: Chosen,
    option: (i32, i32),
) {
    if is_anew(&before, &state.options, option) {
        state.unrouted = Some(segments_sent(engine, state));
    }
}

/// Segments that a connection has sent; of other sockets none.
pub(super) fn segments_sent(engine: &Engine, state: &State) -> u32 {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let connection = endpoint.and_then(Endpoint::socket);
    let status = connection.and_then(|socket| engine.stack.tcp_status(socket));
    status.map_or(0, |status| status.tally.segments_out)
}
