//! CLOSED (RFC 9293 section 3.10.7.1): "all data in the incoming segment is discarded", and what
//! is not a RST is answered with one.

use core::net::SocketAddrV4;

use super::Segment;
use crate::stack::tcp::reply::Reply;
use crate::stack::wire::tcp::Flags;

/// The answer to a segment that finds no connection.
pub(in crate::stack::tcp) fn segment_arrives(
    local: SocketAddrV4,
    remote: SocketAddrV4,
    segment: &Segment<'_>,
) -> Option<Reply> {
    if segment.has(Flags::RST) {
        return None;
    }
    Some(Reply::reset_for(local, remote, segment.repr, segment.len()))
}
