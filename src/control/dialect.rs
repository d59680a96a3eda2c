//! Names under which processes of this library find each other, and the version of what they say there.
//!
//! A process may have been started before the library was replaced by another version, a keeper likewise. What they say to
//! each other is made for one version, so the names say which: versions do not meet. A program starts the keeper that goes
//! on for it anew, and one that has no right finds that its administrator's is not there.
//!
//! 1. The version is that of the release, and a number made of the files that say what a message is ([`MESSAGES`]):
//!    no change of one can be forgotten, and builds of the same sources understand each other.
//! 2. Who has found somebody by such a name may take what it hears there for its own version's. So a stack needs no version
//!    in its name: its number is only known from a socket's.
//! 3. Some things are said between all versions, and never change: the window's lines (src/cli/show.rs), the list of those
//!    who share a port (src/driver/sharing/list.rs), and what heirs and orphans are asked for, which is no more than that
//!    somebody connects.

use crate::sys::file;
use crate::sys::local::{self, Sort};

/// What processes say to each other is defined here, and what one finds in another's memory file.
const MESSAGES: [&[u8]; 16] = [
    include_bytes!("settings.rs"),
    include_bytes!("vault.rs"),
    include_bytes!("../driver/endpoint.rs"),
    include_bytes!("../driver/envelope.rs"),
    include_bytes!("../driver/errors/copied.rs"),
    include_bytes!("../driver/estate/messages.rs"),
    include_bytes!("../driver/estate/will.rs"),
    include_bytes!("../driver/estate/wills.rs"),
    include_bytes!("../driver/family/name.rs"),
    include_bytes!("../driver/family/questions.rs"),
    include_bytes!("../driver/keeper/requests.rs"),
    include_bytes!("../socket/answers.rs"),
    include_bytes!("../socket/datagram/asking.rs"),
    include_bytes!("../socket/entries.rs"),
    include_bytes!("../stack/layout.rs"),
    include_bytes!("../sys/announced.rs"),
];

/// A hash of them (FNV-1a).
const HASH: u32 = {
    let (mut hash, mut file) = (0x811c_9dc5_u32, 0);
    while file < MESSAGES.len() {
        let mut at = 0;
        while at < MESSAGES[file].len() {
            hash = (hash ^ MESSAGES[file][at] as u32).wrapping_mul(0x0100_0193);
            at += 1;
        }
        file += 1;
    }
    hash
};

/// Bytes of /proc/net/unix that are looked at.
const MOST: usize = 4 << 20;

/// Whom a user's processes look for.
#[derive(Clone, Copy, Debug)]
pub enum Keeper {
    /// Who serves programs without rights.
    Sockets,
    /// Who goes on for programs that are killed.
    Wills,
}

/// The version, as it stands in a name.
pub const VERSION: &str = match core::str::from_utf8(&TEXT) {
    Ok(text) => text,
    Err(_) => panic!("a release's number is text"),
};

const RELEASE: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();

/// The release, a dash, and the hash in eight digits.
const TEXT: [u8; RELEASE.len() + 9] = {
    let mut text = [b'-'; RELEASE.len() + 9];
    let mut at = 0;
    while at < RELEASE.len() {
        text[at] = RELEASE[at];
        at += 1;
    }
    let mut digit = 0;
    while digit < 8 {
        text[RELEASE.len() + 1 + digit] =
            b"0123456789abcdef"[(HASH >> (28 - 4 * digit)) as usize & 15];
        digit += 1;
    }
    text
};

impl Keeper {
    /// The name that it listens under.
    pub fn name(self, user: u32) -> String {
        format!("{}{VERSION}", self.stem(user))
    }

    fn stem(self, user: u32) -> String {
        let role = match self {
            Self::Sockets => "keeper",
            Self::Wills => "wills",
        };
        format!("sidestack/{role}/{user}/")
    }

    /// Whether the user has one, but of another version.
    pub fn is_of_other_version(self, user: u32) -> bool {
        let table = file::read("/proc/thread-self/net/unix", MOST).unwrap_or_default();
        let (mark, own) = (format!(" @{}", self.stem(user)), self.name(user));
        let lines = table.split(|&byte| byte == b'\n');
        let names = lines.filter_map(|line| {
            let at = line
                .windows(mark.len())
                .position(|part| part == mark.as_bytes())?;
            line.get(at + 2..)
        });
        // The names are free for all.
        let is_his =
            |name| local::connect_to(Sort::Messages, name).and_then(local::peer_user) == Ok(user);
        names.filter(|&name| name != own.as_bytes()).any(is_his)
    }
}
