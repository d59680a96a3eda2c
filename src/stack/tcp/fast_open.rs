//! Fast Open (RFC 7413): data that goes with the SYN, for clients that show a cookie the server has given them before.
//!
//! ```text
//!   SYN + request     ─►            SYN + cookie + data ─►   (accepted at once, in SYN-RECEIVED)
//!                     ◄─ SYN-ACK + cookie               ◄─ SYN-ACK of the data, and the answer
//! ```
//!
//! A client's queue has the data from the beginning; what of it went with the SYN was sent only if the SYN-ACK says so, and
//! goes again otherwise. A server's connection is in SYN-RECEIVED until its SYN-ACK is acknowledged, but has a user, who may
//! read and write ([`Tcb::is_open_early`]).
//!
//! 1. A SYN that is sent again is a plain one, and so is its SYN-ACK.
//! 2. Of those in SYN-RECEIVED that a cookie has let in there are no more than a listener wants (TCP_FASTOPEN); one that is
//!    reset counts for a minute, so that who forges addresses gains nothing (section 5.1).
//! 3. Cookies of servers, and how they fared, are kept in a list that has an end.

use core::hash::Hasher;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::VecDeque;

use siphasher::sip::SipHasher24;
use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::Tcp;
use super::arrives::Segment;
use super::kept::KeptOptions;
use super::tcb::{State, Tcb};
use super::timers::Timer;
use crate::stack::ids::SocketId;
use crate::stack::pool::Pool;
use crate::stack::time::Instant;
use crate::stack::wire::tcp::{FastOpenCookie, Repr};

/// Servers of which a cookie is kept.
const SERVERS: usize = 256;
/// How long one that was reset counts, as Linux.
const RESET_COUNTS: Duration = Duration::from_secs(60);
/// How long a server is left alone whose SYN with data was lost, doubled with each time.
const REST: Duration = Duration::from_secs(60);
/// Room for options in a SYN that has data, as Linux: the most there may be, for boxes on the way that add theirs.
const OPTIONS_ROOM: u16 = 40;

/// Bits of net.ipv4.tcp_fastopen.
mod bit {
    pub(super) const CLIENT: u32 = 1;
    pub(super) const SERVER: u32 = 2;
    pub(super) const CLIENT_WITHOUT_COOKIE: u32 = 4;
    pub(super) const SERVER_WITHOUT_COOKIE: u32 = 0x200;
    pub(super) const ALL_LISTENERS: u32 = 0x400;
}

/// A connection's part in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(u8)]
pub(super) enum Fast {
    /// None.
    #[default]
    No,
    /// Its SYN asks for a cookie.
    Asks,
    /// Its SYN has a cookie, and data.
    Sends,
    /// Its SYN has data alone.
    SendsBare,
    /// Its SYN waits for data.
    Holds,
    /// Its SYN-ACK has a cookie.
    Grants,
    /// It was opened by a SYN with a cookie, and counts as such.
    Opened,
}

impl Fast {
    /// Whether its SYN has asked the peer for something.
    pub(super) const fn is_asking(self) -> bool {
        matches!(self, Self::Asks | Self::Sends | Self::SendsBare)
    }
}

/// What came of it: `tcpi_fastopen_client_fail` of linux/tcp.h, and TCPI_OPT_SYN_DATA.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(u8)]
pub enum FastOutcome {
    /// Nothing yet.
    #[default]
    Unknown,
    /// There was no cookie of the server's.
    NoCookie,
    /// The SYN-ACK did not acknowledge the data.
    NotAcknowledged,
    /// The SYN had to be sent again.
    SentAgain,
    /// The SYN's data was taken.
    Taken,
}

/// A server that has given a cookie.
struct Server {
    ip: Ipv4Addr,
    cookie: FastOpenCookie,
    mss: u16,
    /// SYNs with data that were lost, one after the other.
    losses: u8,
    rests_until: Option<Instant>,
}

/// What is known of Fast Open beside the connections.
pub(super) struct FastOpens {
    key: [u8; 16],
    /// Those heard last are at the end.
    servers: VecDeque<Server>,
    /// Connections in SYN-RECEIVED that a cookie has let in.
    pending: u32,
    /// When such were reset.
    resets: VecDeque<Instant>,
}

impl FastOpens {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self {
            key,
            servers: VecDeque::new(),
            pending: 0,
            resets: VecDeque::new(),
        }
    }

    /// The cookie of a client, by its address and ours, as Linux makes it: hosts that share a key know each other's.
    fn cookie_for(&self, client: Ipv4Addr, local: Ipv4Addr) -> FastOpenCookie {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&[client.octets(), local.octets()].concat());
        FastOpenCookie::new(&hasher.finish().to_le_bytes()).unwrap_or_default()
    }

    fn server(&self, ip: Ipv4Addr) -> Option<&Server> {
        self.servers.iter().find(|server| server.ip == ip)
    }

    /// The option of a SYN or SYN-ACK, and whether data may go with it.
    pub(super) fn on_syn(&self, tcb: &Tcb) -> (Option<FastOpenCookie>, bool) {
        let (local, remote) = (*tcb.local.get().ip(), *tcb.remote.get().ip());
        match tcb.fast {
            _ if tcb.retries > 0 => (None, false),
            Fast::No | Fast::Holds | Fast::Opened => (None, false),
            Fast::Asks => (Some(FastOpenCookie::REQUEST), false),
            Fast::Sends => {
                let cookie = self.server(remote).map(|server| server.cookie);
                (cookie, cookie.is_some())
            }
            Fast::SendsBare => (None, true),
            Fast::Grants => (Some(self.cookie_for(remote, local)), false),
        }
    }

    /// A server has answered a SYN that asked it for something.
    fn note_answer(&mut self, now: Instant, tcb: &Tcb, answer: &Repr) {
        let ip = *tcb.remote.get().ip();
        let lost = tcb.fast_outcome == FastOutcome::SentAgain;
        let given = answer
            .options
            .fast_open
            .filter(|cookie| *cookie != FastOpenCookie::REQUEST);
        let at = self.servers.iter().position(|server| server.ip == ip);
        let before = at.and_then(|at| self.servers.remove(at));
        let known = before.as_ref().map(|server| server.cookie);
        let Some(cookie) = given.or(known) else {
            return;
        };
        let losses = match lost && given.is_none() {
            true => before.map_or(0, |server| server.losses).saturating_add(1),
            false => 0,
        };
        if self.servers.len() >= SERVERS {
            self.servers.pop_front();
        }
        self.servers.push_back(Server {
            ip,
            cookie,
            mss: tcb.snd.peer_mss(),
            losses,
            rests_until: (losses > 0).then(|| now + REST * (1 << losses.min(10))),
        });
    }

    /// Whether one more may be let in of those that `most` bounds.
    fn has_room(&mut self, now: Instant, most: u32) -> bool {
        while self
            .resets
            .front()
            .is_some_and(|&at| now.since(at) >= RESET_COUNTS)
        {
            self.resets.pop_front();
        }
        self.pending as usize + self.resets.len() < most as usize
    }

    /// A connection that a cookie has let in is in SYN-RECEIVED no more.
    pub(super) fn settled(&mut self, now: Instant, reset: bool) {
        self.pending = self.pending.saturating_sub(1);
        if reset {
            self.resets.push_back(now);
        }
    }
}

impl Tcp {
    /// The key of the cookies that are given to clients (net.ipv4.tcp_fastopen_key).
    pub fn set_fast_open_key(&mut self, key: [u8; 16]) {
        self.fast_opens.key = key;
    }

    /// Whether the SYN of a connection that is about to open may have data: the peer's cookie is known, or none is needed.
    /// Then the SYN waits for the data ([`Tcp::open_fast`]).
    pub fn hold_syn(&mut self, now: Instant, id: SocketId) -> bool {
        let fast = self.fast_for(now, id);
        let Some(tcb) = self.connection_mut(id) else {
            return false;
        };
        tcb.fast = fast;
        match fast {
            Fast::Sends | Fast::SendsBare => {
                tcb.fast = Fast::Holds;
                tcb.marks.syn = false;
                tcb.deadlines.stop_all();
                true
            }
            _ => false,
        }
    }

    /// Whether clients may use it (net.ipv4.tcp_fastopen).
    pub const fn may_open_fast(&self) -> bool {
        self.config.limits.fast_open & bit::CLIENT != 0
    }

    /// Whether its SYN waits for data.
    pub fn holds_syn(&self, id: SocketId) -> bool {
        self.connection(id)
            .is_some_and(|tcb| tcb.fast == Fast::Holds)
    }

    /// SEND before the SYN has left: of `runs` what fits goes with it, if the peer's cookie is known; else one is asked for.
    /// Gives how many bytes that are.
    pub fn open_fast<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
        pool: &mut Pool,
    ) -> usize {
        let fast = self.fast_for(now, id);
        let held = self.holds_syn(id);
        // Whose SYN has waited was promised that data goes; where that is not so any more, it follows the handshake.
        let room = match held || matches!(fast, Fast::Sends | Fast::SendsBare) {
            true => self.room_beside_syn(id),
            false => 0,
        };
        let Some(tcb) = self.connection_mut(id) else {
            return 0;
        };
        tcb.fast = fast;
        let mut taken = 0;
        for run in runs {
            let fits = &run[..run.len().min(room - taken)];
            taken += tcb.snd.queue.append(pool, fits);
        }
        if held {
            tcb.begin_syn(now);
            self.settle(now, id.index, pool);
        }
        taken
    }

    /// What a SYN to a peer may be now, with the outcome noted if it cannot have data.
    fn fast_for(&mut self, now: Instant, id: SocketId) -> Fast {
        let allowed = self.config.limits.fast_open;
        let Some(tcb) = self.connection(id) else {
            return Fast::No;
        };
        let server = self.fast_opens.server(*tcb.remote.get().ip());
        let rests = server.is_some_and(|server| server.rests_until.is_some_and(|at| now < at));
        let bare = allowed & bit::CLIENT_WITHOUT_COOKIE != 0 || tcb.options.fast_open_bare;
        let fast = match server {
            _ if allowed & bit::CLIENT == 0 || rests => Fast::No,
            _ if bare => Fast::SendsBare,
            Some(_) => Fast::Sends,
            None => Fast::Asks,
        };
        if fast == Fast::Asks
            && let Some(tcb) = self.connection_mut(id)
        {
            tcb.fast_outcome = FastOutcome::NoCookie;
        }
        fast
    }

    /// How many bytes fit a SYN, if it may have data at all.
    pub fn room_beside_syn(&self, id: SocketId) -> usize {
        let remote = self.connection(id).map(|tcb| *tcb.remote.get().ip());
        let server = remote.and_then(|ip| self.fast_opens.server(ip));
        let mss = server.map_or(super::snd::DEFAULT_MSS, |server| server.mss);
        usize::from(mss.saturating_sub(OPTIONS_ROOM))
    }

    /// The peer has answered our SYN.
    pub(super) fn note_syn_answer(&mut self, now: Instant, index: u32, answer: &Repr) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        self.fast_opens.note_answer(now, tcb, answer);
        tcb.fast = Fast::No;
    }

    /// What a SYN with the option, or with data, is to a listener.
    pub(super) fn judge_syn(
        &mut self,
        now: Instant,
        options: &KeptOptions,
        segment: &Segment<'_>,
        [local, client]: [Ipv4Addr; 2],
    ) -> Fast {
        let allowed = self.config.limits.fast_open;
        let most = match options.fast_open {
            0 if allowed & bit::ALL_LISTENERS != 0 => self.config.limits.somaxconn,
            most => most.min(self.config.limits.somaxconn),
        };
        let asked = segment.repr.options.fast_open;
        let concerns = asked.is_some() || !segment.payload.is_empty();
        if allowed & bit::SERVER == 0 || !concerns || !self.fast_opens.has_room(now, most) {
            return Fast::No;
        }
        if allowed & bit::SERVER_WITHOUT_COOKIE != 0 || options.fast_open_bare {
            return Fast::Opened;
        }
        match asked {
            None => Fast::No,
            Some(cookie) if cookie == self.fast_opens.cookie_for(client, local) => Fast::Opened,
            Some(_) => Fast::Grants,
        }
    }

    /// A SYN has opened a connection as a whole: its data is received.
    pub(super) fn open_early(&mut self, now: Instant, index: u32, data: &[u8], pool: &mut Pool) {
        let Some(tcb) = self.connections.get_mut(index) else {
            return;
        };
        self.fast_opens.pending += 1;
        tcb.fast = Fast::Opened;
        tcb.was_established = true;
        if data.is_empty() {
            return;
        }
        let room = tcb.rcv.limit().min(data.len());
        let taken = tcb.rcv.queue.append(pool, &data[..room]);
        tcb.rcv.nxt = tcb.rcv.end();
        tcb.rcv.note_data(now, taken as u32, tcb.rtt.base_rto());
        tcb.tally.received += taken as u64;
        tcb.fast_outcome = FastOutcome::Taken;
    }
}

impl Tcb {
    /// Whether it is in SYN-RECEIVED, and has a user nevertheless.
    pub(super) fn is_open_early(&self) -> bool {
        self.state == State::SynReceived && self.was_established
    }

    /// Whether the user may send and receive.
    pub(super) fn is_open(&self) -> bool {
        self.state.is_synchronized() || self.is_open_early()
    }

    /// Whether the user has yet to wait for the handshake.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, State::SynSent | State::SynReceived) && !self.was_established
    }

    /// What a SYN waited for has come.
    pub(super) fn begin_syn(&mut self, now: Instant) {
        self.marks.syn = true;
        self.marks.output = true;
        self.snd.stalled_since = now;
        self.deadlines
            .arm(Timer::Retransmit, now + super::rtt::INITIAL_RTO);
    }

    /// What of the SYN's data the SYN-ACK does not acknowledge goes again, as what is lost.
    pub(super) fn note_syn_data_answer(&mut self) {
        let sent = u32::from(self.snd.syn_data);
        if sent == 0 {
            return;
        }
        if self.snd.una.since(self.snd.iss + 1) >= sent {
            self.fast_outcome = FastOutcome::Taken;
            return;
        }
        self.fast_outcome = match self.retries {
            0 => FastOutcome::NotAcknowledged,
            _ => FastOutcome::SentAgain,
        };
        self.retransmits = self.retransmits.saturating_add(1);
        self.tally.sent_again += u64::from(sent);
    }
}
