//! SO_MEMINFO: what a socket's queues hold (sock_diag(7), INET_DIAG_SKMEMINFO).

use crate::driver::Engine;
use crate::socket::State;
use crate::stack::ids::Kind;
use crate::sys::raw;

/// SO_MEMINFO of asm-generic/socket.h.
pub(super) const OPTION: i32 = 55;

/// The words, in the kernel's order: receive queue and its bound, in flight and the bound of the
/// send queue, memory set aside (none here), send queue, option memory and backlog (none), drops.
pub(super) fn get(
    engine: Option<&Engine>,
    state: &State,
    receive_buffer: usize,
    send_buffer: usize,
) -> Vec<u8> {
    let mut words = [0; 9];
    words[1] = receive_buffer;
    words[3] = send_buffer;
    let endpoint = state.endpoint.zip(engine).and_then(|(id, engine)| {
        let endpoint = engine.endpoints.get(id)?;
        Some((engine, endpoint, endpoint.socket()?))
    });
    if let Some((engine, endpoint, socket)) = endpoint {
        words[0] = raw::unread(endpoint.program).unwrap_or(0);
        match socket.kind {
            Kind::Datagram => {
                if let Some(status) = engine.stack.udp_status(socket) {
                    words[0] += status.receive_len;
                    words[8] = status.drops as usize;
                }
            }
            _ => {
                if let Some(status) = engine.stack.tcp_status(socket) {
                    words[0] += status.receive_len;
                    words[2] = status.flight as usize;
                    words[5] = status.send_len;
                }
            }
        }
    }
    let word = |word: usize| u32::try_from(word).unwrap_or(u32::MAX).to_ne_bytes();
    words.into_iter().flat_map(word).collect()
}
