//! TIME-WAIT (RFC 9293 section 3.6.1): what is left of a connection that closed first, kept so
//! that its last ACK can be repeated and its old segments do no harm to a successor.

use core::net::SocketAddrV4;
use core::time::Duration;
use std::collections::VecDeque;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::arrives::Segment;
use super::reply::Reply;
use super::tcb::Tcb;
use super::timestamping::Timestamping;
use crate::stack::plain::{Maybe, Stored};
use crate::stack::records::{Area, Place, Record, Records};
use crate::stack::time::Instant;
use crate::stack::transmit::Treatment;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Flags;

/// Linux's TCP_TIMEWAIT_LEN: twice a maximum segment lifetime of 30 seconds.
pub(super) const LENGTH: Duration = Duration::from_secs(60);
/// How far a successor's ISN lies beyond: more than any unscaled window.
const ISN_STEP: u32 = 65_535 + 2;

/// What is left of a connection. Written by whoever drives the stack, read by it and by who adopts
/// it.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Remains {
    place: Place,
    pub(super) local: Stored<SocketAddrV4>,
    pub(super) remote: Stored<SocketAddrV4>,
    snd_nxt: Seq,
    rcv_nxt: Seq,
    timestamping: Timestamping,
    treatment: Treatment,
    window: u16,
    tos: u8,
    _unused: [u8; 5],
    expires: Instant,
    /// When it last answered.
    answered: Maybe<Instant>,
}

impl Record for Remains {
    fn place(&self) -> &Place {
        &self.place
    }
    fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

/// What a segment means to the remains.
pub(super) enum Verdict {
    /// Nothing.
    Ignore,
    /// The last ACK again.
    Answer(Reply),
    /// The end, without more waiting.
    Forget,
    /// A successor wants to be: with an initial sequence number from here on.
    Succeed(Seq),
}

impl Remains {
    /// RFC 9293 section 3.10.7.4 with RFC 6191 and, as Linux, without RFC 1337.
    fn segment_arrives(&mut self, now: Instant, segment: &Segment<'_>) -> Verdict {
        let timestamps = segment.repr.options.timestamps;
        let old = self.timestamping.enabled
            && timestamps.is_some_and(|t| self.timestamping.is_old(t.value, now));
        if segment.has(Flags::RST) {
            return if segment.seq == self.rcv_nxt && !old {
                Verdict::Forget
            } else {
                Verdict::Ignore
            };
        }
        if segment.has(Flags::SYN) {
            let newer_time = self.timestamping.enabled
                && timestamps
                    .is_some_and(|t| (t.value.wrapping_sub(self.timestamping.recent) as i32) > 0);
            let newer = segment.seq.is_after(self.rcv_nxt) || newer_time;
            if newer && !old && !segment.has(Flags::ACK) {
                return Verdict::Succeed(self.snd_nxt + ISN_STEP);
            }
            return self.answer_seldom(now);
        }
        if !segment.has(Flags::ACK) {
            return Verdict::Ignore;
        }
        if segment.has(Flags::FIN) && !old {
            self.expires = now + LENGTH;
        }
        if segment.len() > 0 {
            return Verdict::Answer(self.ack(now));
        }
        let plain_ack = segment.seq == self.rcv_nxt && !old;
        if plain_ack {
            Verdict::Ignore
        } else {
            self.answer_seldom(now)
        }
    }

    /// Answers to what might itself be an answer are limited.
    fn answer_seldom(&mut self, now: Instant) -> Verdict {
        const INTERVAL: Duration = Duration::from_millis(500);
        if self
            .answered
            .get()
            .is_some_and(|last| now.since(last) < INTERVAL)
        {
            return Verdict::Ignore;
        }
        self.answered = Maybe::some(now);
        Verdict::Answer(self.ack(now))
    }

    /// The last ACK.
    fn ack(&self, now: Instant) -> Reply {
        let mut reply = Reply::ack(
            self.local.get(),
            self.remote.get(),
            self.snd_nxt,
            self.rcv_nxt,
        );
        reply.repr.window = self.window;
        reply.repr.options.timestamps = self.timestamping.option(now);
        reply.tos = self.tos;
        reply.treatment = self.treatment;
        reply
    }
}

/// All remains. All wait equally long, so a queue keeps their order.
pub(super) struct TimeWaits {
    records: Records<Remains>,
    expiry: VecDeque<(Instant, u32, u32)>,
}

impl TimeWaits {
    pub(super) fn create(area: Area) -> Self {
        Self {
            records: Records::create(area),
            expiry: VecDeque::new(),
        }
    }

    /// Those that lie in `area`, and how many places there were damaged.
    pub(super) fn open(area: Area, now: Instant) -> (Self, usize) {
        let (mut records, damaged) = Records::<Remains>::open(area);
        let mut expiry = Vec::with_capacity(records.len());
        for index in records.indices().collect::<Vec<_>>() {
            if let Some(remains) = records.get_mut(index) {
                remains.expires = remains.expires.min(now + LENGTH);
                expiry.push((remains.expires, index, remains.place.generation));
            }
        }
        expiry.sort_unstable();
        let expiry = expiry.into();
        (Self { records, expiry }, damaged)
    }

    /// All, with their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Remains)> {
        let index = |index| Some((index, self.records.get(index)?));
        self.records.indices().filter_map(index)
    }

    /// How many there can be.
    pub(super) const fn capacity(&self) -> usize {
        self.records.capacity()
    }

    pub(super) const fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes what is left of `tcb`; gives its index and the last ACK. `None`: there
    /// is no room.
    pub(super) fn insert(&mut self, now: Instant, tcb: &mut Tcb) -> Option<(u32, Reply)> {
        self.expiry.try_reserve(1).ok()?;
        let expires = now + LENGTH;
        let window = tcb.rcv.advertise(tcb.rcv.nxt);
        let mut generation = 0;
        let index = self.records.insert_with(|_, place| {
            generation = place.generation;
            Remains {
                place,
                local: tcb.local,
                remote: tcb.remote,
                snd_nxt: tcb.snd.nxt,
                rcv_nxt: tcb.rcv.nxt,
                window,
                timestamping: tcb.timestamping,
                tos: tcb.options.tos,
                treatment: tcb.options.treatment,
                expires,
                answered: Maybe::NONE,
                _unused: [0; 5],
            }
        });
        let index = index?;
        self.expiry.push_back((expires, index, generation));
        Some((index, self.records.get(index)?.ack(now)))
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Remains> {
        let remains = self.records.get(index).copied();
        self.records.remove(index);
        remains
    }

    pub(super) fn segment_arrives(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Segment<'_>,
    ) -> Verdict {
        match self.records.get_mut(index) {
            Some(remains) => remains.segment_arrives(now, segment),
            None => Verdict::Ignore,
        }
    }

    /// Whether this side may open a successor; gives the least initial sequence number. As on Linux it
    /// may at once, if there are timestamps to tell old from new: whoever asks has chosen the port.
    /// (Ports that are chosen for him are not taken before the remains are gone.)
    pub(super) fn reusable(&self, index: u32) -> Option<Seq> {
        let remains = self.records.get(index)?;
        let tells = remains.timestamping.enabled;
        tells.then_some(remains.snd_nxt + ISN_STEP)
    }

    /// When the first may go. Cheap, and early if it had to wait anew.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.expiry.front().map(|entry| entry.0)
    }

    /// One whose time is over, or the oldest if there are more than `most`.
    pub(super) fn pop_due(&mut self, now: Instant, most: usize) -> Option<u32> {
        loop {
            let &(at, index, generation) = self.expiry.front()?;
            let overflow = self.records.len() > most;
            if at > now && !overflow {
                return None;
            }
            self.expiry.pop_front();
            match self.records.get(index) {
                Some(remains) if remains.place.generation == generation => {
                    if remains.expires <= now || overflow {
                        return Some(index);
                    }
                    self.expiry.push_back((remains.expires, index, generation));
                }
                _ => {}
            }
        }
    }
}
