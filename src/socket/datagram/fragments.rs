//! How much of a send buffer (SO_SNDBUF) a datagram's fragments take.

use core::net::Ipv4Addr;
use rustix::io::Errno;

use crate::driver::Engine;
use crate::socket::State;
use crate::stack::routes::RouteDecision;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// What Linux allocates with a packet, in bytes: room for the link's header, and the list of its pages.
const WITH_PACKET: usize = 31 + 320;
/// What it counts besides: the record of the packet.
const RECORD: usize = 256;

/// As on Linux, twice the send buffer has room for all fragments of a datagram of `len` bytes but the last. ENOBUFS.
/// `options`: bytes of the options in each one's header.
pub(super) fn check(
    engine: &Engine,
    state: &State,
    to: Ipv4Addr,
    (options, len): (usize, usize),
) -> Result<(), Errno> {
    let RouteDecision::Stack { mtu, .. } = engine.stack.route(to) else {
        return Ok(());
    };
    let Some(half) = state.options.send_buffer else {
        return Ok(());
    };
    let whole = len + UDP_HEADER;
    let payload = mtu.saturating_sub(IP_HEADER + options).max(8) & !7;
    let before = whole.div_ceil(payload).saturating_sub(1);
    let each = (mtu + WITH_PACKET).next_power_of_two() + RECORD;
    match before > 0 && before * each >= 2 * (2 * half) {
        true => Err(Errno::NOBUFS),
        false => Ok(()),
    }
}
