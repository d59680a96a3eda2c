//! LISTEN (RFC 9293 section 3.10.7.2).

use super::Segment;
use crate::stack::wire::tcp::Flags;

/// What a segment to a listener means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stack::tcp) enum Verdict {
    /// Nothing.
    Ignore,
    /// "Any acknowledgment is bad if it arrives on a connection still in the LISTEN state."
    Reset,
    /// A connection is wanted.
    Open,
}

/// The four steps: RST, ACK, SYN, anything else.
pub(in crate::stack::tcp) fn segment_arrives(segment: &Segment<'_>) -> Verdict {
    if segment.has(Flags::RST) {
        Verdict::Ignore
    } else if segment.has(Flags::ACK) {
        Verdict::Reset
    } else if segment.has(Flags::SYN) && !segment.has(Flags::FIN) {
        Verdict::Open
    } else {
        Verdict::Ignore
    }
}
