//! What an ACK says besides: SACK blocks (RFC 2018, RFC 2883), and what loss follows from all of it.

use super::Segment;
use crate::stack::tcp::counters::{Counter, Counters};
use crate::stack::tcp::loss::Phase;
use crate::stack::tcp::rack::Sight;
use crate::stack::tcp::tcb::Tcb;
use crate::stack::tcp::timers::Timer;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Timestamps;

/// What SACK blocks have told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    /// They report something that arrived twice.
    pub(super) duplicate: bool,
    /// What was held lost has arrived without having been sent again.
    pub(super) needless: bool,
}

/// How much of what was sent has arrived.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Arrivals {
    /// SND.UNA.
    una: Seq,
    /// Beyond it, in bytes.
    beyond: u32,
}

impl Arrivals {
    /// Bytes that have arrived between `before` and now.
    fn since(self, before: Self) -> u32 {
        let acknowledged = self.una.since(before.una);
        (acknowledged + self.beyond).saturating_sub(before.beyond)
    }
}

impl Tcb {
    /// What has arrived by now.
    pub(in super::super) fn arrivals(&self) -> Arrivals {
        Arrivals {
            una: self.snd.una,
            beyond: self.loss.arrived_beyond(self.snd.mss),
        }
    }

    /// Takes in what of the peer's SACK blocks is about data in flight.
    pub(super) fn take_sack_blocks(&mut self, segment: &Segment<'_>, sight: &Sight) -> News {
        let mut news = News::default();
        if !self.sack {
            return news;
        }
        let first = self.snd.una.later(segment.repr.ack);
        news.duplicate = self.take_duplicate(segment);
        let nxt = self.snd.nxt;
        let blocks = segment.repr.options.sack.as_slice().iter();
        let blocks = blocks.copied().filter(|(left, right)| {
            let sane = left.is_before(*right);
            sane && left.is_within(first, nxt) && right.is_within(first, nxt)
        });
        // Those of one ACK have no order among them.
        let late = blocks
            .clone()
            .map(|(left, right)| self.loss.lateness(left, right));
        let late = late.fold(self.loss.lateness(self.snd.una, first), Option::max);
        if let Some(distance) = late {
            self.tally.reordered(distance, self.snd.mss);
        }
        for (left, right) in blocks {
            news.needless |= self.loss.arrived(left, right, sight);
            self.loss.sack(left, right);
        }
        news
    }

    /// RFC 2883 section 4: the first block tells of a duplicate if it lies below the ACK, or in the second. Gives whether
    /// it does.
    fn take_duplicate(&mut self, segment: &Segment<'_>) -> bool {
        let blocks = segment.repr.options.sack.as_slice();
        let Some((&(left, right), others)) = blocks.split_first() else {
            return false;
        };
        let within = |&(start, end): &(Seq, Seq)| !left.is_before(start) && !right.is_after(end);
        let reported = left.is_before(right)
            && (!right.is_after(segment.repr.ack) || others.first().is_some_and(within));
        if reported {
            let bytes = right.since(left);
            let segments = bytes.div_ceil(self.snd.mss);
            self.tally.duplicates = self.tally.duplicates.saturating_add(segments);
            self.loss.rack.duplicate(self.snd.una, self.snd.nxt);
            self.undo_duplicates(bytes);
        }
        reported
    }

    /// Enters recovery, or finds more that is lost while in it. `before`: what had arrived before the event that may show
    /// loss.
    pub(in super::super) fn look_for_loss(
        &mut self,
        now: Instant,
        before: Arrivals,
        counters: &mut Counters,
    ) {
        self.deadlines.stop(Timer::Reordering);
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        if self.snd.flight() == 0 {
            return;
        }
        let lost = if self.sack {
            let sight = self.sight(now, None);
            let found = self.loss.find_lost(&sight);
            if let Some(at) = found.suspected_until {
                self.deadlines.arm(Timer::Reordering, at);
            }
            found.lost
        } else {
            self.loss.find_lost_by_duplicates(una, nxt, self.snd.mss)
        };
        if lost && self.loss.phase == Phase::Open {
            counters.count(Counter::FastRecoveries);
            self.undo.begin(self.window);
            let outstanding = nxt.since(before.una).saturating_sub(before.beyond);
            self.window.enter_recovery(self.snd.flight(), outstanding);
            self.loss.enter_recovery(nxt);
        }
        if self.loss.phase == Phase::Recovery {
            let safe = una.is_after(before.una) && !lost;
            let pipe = self.loss.pipe(una, nxt, self.snd.mss);
            self.window
                .arrived(self.arrivals().since(before), pipe, safe);
        }
    }

    /// What loss is looked for with, now that a segment with these timestamps has come.
    pub(in super::super) fn sight(&self, now: Instant, timestamps: Option<Timestamps>) -> Sight {
        let timestamps = timestamps.filter(|_| self.timestamping.enabled);
        Sight {
            now,
            mss: self.snd.mss,
            least: self.rtt.minimum().unwrap_or_default(),
            smoothed: self.rtt.smoothed().unwrap_or_default(),
            reordered: self.tally.reorderings > 0,
            echoed: timestamps.map(|sent| self.timestamping.elapsed_since(sent.echo, now)),
        }
    }
}
