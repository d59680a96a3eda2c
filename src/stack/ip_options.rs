//! The options of an IPv4 header (RFC 791 section 3.1): what hosts on the way are asked to note in it.
//!
//! ```text
//!   header ─► received: checked, the host's address noted ─► Datagram ─► at: the time noted
//!                                                                         └► echoed: for the answer
//!   to_send: checked ─► sent: the host's address noted ─► at ─► header ─► copied: of a later fragment
//! ```
//!
//! 1. What is in `bytes` has been checked: each option is as long as it says, and there.
//! 2. The stack has no clock: where the time belongs is kept until somebody says it.

use core::net::Ipv4Addr;
use core::ops::Range;

/// Longest options, in bytes.
pub const MAX_LEN: usize = 40;

const END: u8 = 0;
const NOTHING: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const ROUTER_ALERT: u8 = 148;
const STRICT_ROUTE: u8 = 137;

/// Where an option says how long it is, where in it the next free place begins (from 1 on), and what a timestamp's
/// places are for, beside how many hosts found none.
const LENGTH: usize = 1;
const POINTER: usize = 2;
const FLAGS: usize = 3;

/// The bit of a kind whose options all fragments carry.
const COPIED: u8 = 0x80;

/// What a timestamp's places are for: times, addresses and times, times of hosts that are named.
const TIMES: u8 = 0;
const ADDRESSES: u8 = 1;
const NAMED: u8 = 3;

/// The options of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpOptions {
    len: u8,
    bytes: [u8; MAX_LEN],
    /// Where in them the time of arrival belongs; 0: nowhere, or it is there.
    time_at: u8,
}

/// Where in the options something is that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem(pub usize);

impl IpOptions {
    /// No options.
    pub const NONE: Self = Self {
        len: 0,
        bytes: [0; MAX_LEN],
        time_at: 0,
    };

    /// Options that were checked elsewhere; what is too long is cut off.
    pub fn checked(bytes: &[u8]) -> Self {
        let mut options = Self::NONE;
        bytes.iter().for_each(|&byte| options.push(byte));
        options
    }

    /// Those of a packet that `host` has received, with what it notes: its address where it is asked for, and that
    /// there is no room for it. `is_elsewhere`: whether an address is another host's.
    pub(super) fn received(
        bytes: &[u8],
        host: Ipv4Addr,
        is_elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<Self, Problem> {
        Self::checked(bytes).noted(&Host {
            address: host,
            is_elsewhere: &is_elsewhere,
            receives: true,
        })
    }

    /// Those that a packet is to be sent with, as Linux takes them: what is too long is cut off.
    pub fn to_send(bytes: &[u8]) -> Result<Self, Problem> {
        let options = Self::checked(bytes).filled_up();
        let sent = options.sent(Ipv4Addr::UNSPECIFIED, |_| false);
        sent.map(|_| options)
    }

    /// Those of a packet that `host` sends, with what it notes. `is_elsewhere`: whether an address is another host's.
    pub(super) fn sent(
        self,
        host: Ipv4Addr,
        is_elsewhere: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<Self, Problem> {
        self.noted(&Host {
            address: host,
            is_elsewhere: &is_elsewhere,
            receives: false,
        })
    }

    /// With what `host` notes.
    fn noted(self, host: &Host<'_>) -> Result<Self, Problem> {
        let mut options = self;
        let mut seen = Vec::new();
        let mut begin = 0;
        while let Some(place) = options.next(begin)? {
            let start = place.start;
            begin = place.end;
            let option = &mut options.bytes[place];
            let is_one =
                matches!(option[0], RECORD_ROUTE | TIMESTAMP) || is_source_route(option[0]);
            if is_one && seen.contains(&option[0]) {
                return Err(Problem(start));
            }
            seen.push(option[0]);
            let noted = host.note(option);
            let time_at = noted.map_err(|at| Problem(start + at))?;
            options.time_at = time_at.map_or(options.time_at, |at| (start + at) as u8);
        }
        let behind = &mut options.bytes[begin..];
        let nothing = behind.iter().take_while(|&&kind| kind == NOTHING).count();
        behind[nothing..].fill(END);
        Ok(options)
    }

    /// Where the first option with a length is from `begin` on; none from the end of the list on.
    fn next(&self, begin: usize) -> Result<Option<Range<usize>>, Problem> {
        let rest = &self.as_bytes()[begin..];
        let nothing = rest.iter().take_while(|&&kind| kind == NOTHING).count();
        let start = begin + nothing;
        match rest[nothing..] {
            [] | [END, ..] => Ok(None),
            [_, len, ..] if len >= 2 && start + usize::from(len) <= usize::from(self.len) => {
                Ok(Some(start..start + usize::from(len)))
            }
            _ => Err(Problem(start)),
        }
    }

    /// The options that have a length. What was checked has no others.
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        core::iter::from_fn(move || {
            let place = self.next(begin).ok().flatten()?;
            begin = place.end;
            Some(&self.bytes[place])
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether they say which way the packet goes.
    pub fn has_source_route(&self) -> bool {
        self.each().any(|option| is_source_route(option[0]))
    }

    /// Whether to send them takes a right (CAP_NET_RAW), as on Linux: hosts on the way may not know what they say.
    pub fn takes_right(&self) -> bool {
        self.each().any(|option| match option[0] {
            TIMESTAMP => {
                let is_known = matches!(option[FLAGS] & 15, TIMES | ADDRESSES | NAMED);
                !is_known && matches!(room(option, 4), Ok(Some(_)))
            }
            RECORD_ROUTE | ROUTER_ALERT => false,
            kind => !is_source_route(kind),
        })
    }

    /// Those of a packet's later fragments: nothing is where those are that only the first has.
    pub(super) fn copied(mut self) -> Self {
        let mut begin = 0;
        while let Ok(Some(place)) = self.next(begin) {
            begin = place.end;
            if self.bytes[place.start] & COPIED == 0 {
                self.bytes[place].fill(NOTHING);
            }
        }
        self
    }

    /// With the time of arrival, in nanoseconds since 1970, where it belongs.
    pub fn at(mut self, nanoseconds: u64) -> Self {
        let since_midnight = nanoseconds / 1_000_000 % (24 * 3600 * 1000);
        let place = usize::from(core::mem::take(&mut self.time_at));
        if let Some(place) = self.bytes.get_mut(place..place + 4).filter(|_| place > 0) {
            place.copy_from_slice(&(since_midnight as u32).to_be_bytes());
        }
        self
    }

    /// What an answer of `host` has to carry, as Linux has it: the route and the times that were recorded, and room
    /// for those of the way back. `None`: what there is room for is no place.
    pub fn echoed(&self, host: Ipv4Addr) -> Option<Self> {
        let mut echoed = Self::NONE;
        for kind in [RECORD_ROUTE, TIMESTAMP] {
            let Some(option) = self.each().find(|option| option[0] == kind) else {
                continue;
            };
            let begin = usize::from(echoed.len);
            option.iter().for_each(|&byte| echoed.push(byte));
            clear(&mut echoed.bytes[begin..usize::from(echoed.len)], host)?;
        }
        Some(echoed.filled_up())
    }

    /// As long as a header is that has them.
    fn filled_up(mut self) -> Self {
        while !self.len.is_multiple_of(4) {
            self.push(END);
        }
        self
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len += 1;
        }
    }
}

fn is_source_route(kind: u8) -> bool {
    matches!(kind, LOOSE_ROUTE | STRICT_ROUTE)
}

/// A host that notes.
struct Host<'a> {
    address: Ipv4Addr,
    /// Whether an address is another host's.
    is_elsewhere: &'a dyn Fn(Ipv4Addr) -> bool,
    /// The packet has come: that there is no room for this host is noted, too.
    receives: bool,
}

impl Host<'_> {
    /// Notes in an option what the host has to. Returns where the time belongs. An error is where in it something
    /// cannot be.
    fn note(&self, option: &mut [u8]) -> Result<Option<usize>, usize> {
        let shortest = match option[0] {
            RECORD_ROUTE | LOOSE_ROUTE | STRICT_ROUTE => 3,
            TIMESTAMP | ROUTER_ALERT => 4,
            _ => return Ok(None),
        };
        if option.len() < shortest {
            return Err(LENGTH);
        }
        if option[0] == ROUTER_ALERT {
            return Ok(None);
        }
        if usize::from(option[POINTER]) <= shortest {
            return Err(POINTER);
        }
        match option[0] {
            RECORD_ROUTE => {
                if let Some(place) = room(option, 4)? {
                    option[place..place + 4].copy_from_slice(&self.address.octets());
                    option[POINTER] += 4;
                }
                Ok(None)
            }
            TIMESTAMP => self.note_time(option),
            _ => Ok(None),
        }
    }

    fn note_time(&self, option: &mut [u8]) -> Result<Option<usize>, usize> {
        let flag = option[FLAGS] & 15;
        let size = place_len(flag);
        let Some(place) = room(option, size)? else {
            if flag != NAMED {
                let one_more = option[FLAGS].checked_add(16).ok_or(FLAGS)?;
                if self.receives {
                    option[FLAGS] = one_more;
                }
            }
            return Ok(None);
        };
        match flag {
            TIMES => {}
            ADDRESSES => option[place..place + 4].copy_from_slice(&self.address.octets()),
            NAMED if !(self.is_elsewhere)(named(option, place)) => {}
            _ => return Ok(None),
        }
        option[POINTER] += size as u8;
        Ok(Some(place + size - 4))
    }
}

/// Bytes of a timestamp's place.
fn place_len(flag: u8) -> usize {
    match flag {
        ADDRESSES | NAMED => 8,
        _ => 4,
    }
}

fn named(option: &[u8], place: usize) -> Ipv4Addr {
    let octets = option[place..].first_chunk::<4>();
    octets.map_or(Ipv4Addr::UNSPECIFIED, |octets| Ipv4Addr::from(*octets))
}

/// Where an option's next place of `size` bytes begins, if there is one. An error: what is left is too short for it.
fn room(option: &[u8], size: usize) -> Result<Option<usize>, usize> {
    let pointer = usize::from(option[POINTER]);
    let place = pointer.checked_sub(1).ok_or(POINTER)?;
    match place {
        _ if pointer > option.len() => Ok(None),
        _ if place + size <= option.len() => Ok(Some(place)),
        _ => Err(POINTER),
    }
}

/// Clears what the next host is to fill in. `None`: there is less room than it takes.
fn clear(option: &mut [u8], host: Ipv4Addr) -> Option<()> {
    let flag = match option[0] {
        TIMESTAMP => option[FLAGS] & 15,
        _ => TIMES,
    };
    let size = match flag {
        TIMES | ADDRESSES => place_len(flag),
        NAMED if matches!(room(option, 8), Ok(Some(place)) if named(option, place) == host) => 8,
        _ => return Some(()),
    };
    if let Some(place) = room(option, size).ok()? {
        let kept = if flag == NAMED { 4 } else { 0 };
        option[place + kept..place + size].fill(0);
    }
    Some(())
}
