//! What the processes of a family have noted about their connections (family/family.h has the layout).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo,
    Pull,
    Push,
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Open,
    Lived,
    Refused,
    Unreached,
    Reset,
    Ended,
    Hung,
    Dropped,
}

#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "who reads of a failed run is shown all there is")]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) how: How,
    /// The errno of what failed.
    pub(crate) error: u32,
    /// Pieces that were not what was sent.
    pub(crate) wrong: u32,
    pub(crate) pid: u32,
    /// Who made the socket.
    pub(crate) maker: u32,
    /// Bytes.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Monotonic milliseconds.
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl Entry {
    fn of(bytes: &[u8]) -> Entry {
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let long = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        const KINDS: [Kind; 4] = [Kind::Echo, Kind::Pull, Kind::Push, Kind::Http];
        const HOWS: [How; 8] = [
            How::Open,
            How::Lived,
            How::Refused,
            How::Unreached,
            How::Reset,
            How::Ended,
            How::Hung,
            How::Dropped,
        ];
        Entry {
            kind: KINDS[words[0] as usize],
            how: HOWS[words[1] as usize],
            error: words[2],
            wrong: words[3],
            pid: words[4],
            maker: words[5],
            sent: long(6),
            received: long(8),
            began: long(10),
            ended: long(12),
        }
    }
}

const WORDS: usize = 14;
const BYTES: usize = 4 * WORDS;
const ENTRIES: usize = 65536;
const CALLERS: usize = 1024;
/// Where the two parts of it begin, each behind a counter.
const CONNECTIONS_AT: usize = 8;
const CALLERS_AT: usize = CONNECTIONS_AT + ENTRIES * BYTES + 8;
/// Bytes of the whole book.
pub(crate) const SIZE: u64 = (CALLERS_AT + CALLERS * BYTES) as u64;

/// What the processes of one side have noted.
pub(crate) struct Book {
    /// The connections by their numbers.
    pub(crate) connections: BTreeMap<usize, Entry>,
    /// What a server has accepted, or could not, and did not come to know the number of.
    pub(crate) strangers: Vec<Entry>,
}

pub(crate) fn read(path: &Path) -> Book {
    let bytes = fs::read(path).unwrap_or_default();
    let noted = |at: usize, most: usize| {
        let entries = bytes.get(at..).unwrap_or_default().chunks_exact(BYTES);
        let entries = entries.take(most).map(Entry::of).enumerate();
        entries.filter(|(_, entry)| entry.pid != 0)
    };
    let callers = noted(CALLERS_AT, CALLERS).map(|(_, entry)| entry);
    Book {
        connections: noted(CONNECTIONS_AT, ENTRIES).collect(),
        strangers: callers.filter(|entry| entry.how != How::Lived).collect(),
    }
}
