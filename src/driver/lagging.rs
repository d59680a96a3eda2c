//! Pairs that are behind, for the sake of a short cut: see [`notice`](super::notice).

use super::Engine;
use super::endpoint::{Endpoint, EndpointId};
use super::engine::ROUNDS;
use super::notice::Collector;

impl Engine {
    /// Puts an endpoint on the list of those whose pairs are behind (invariant 1).
    pub(super) fn lag(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && !endpoint.lags
        {
            endpoint.lags = true;
            self.short_cuts.lagging.push(id);
        }
    }

    /// Lets `id` lag with something of which a set's waiter was not told yet.
    pub(super) fn leave_untold(&mut self, id: EndpointId) {
        self.lag(id);
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.untold = true;
        }
    }

    /// Begins a call of poll(2) on `ids`, which are in no epoll set: what they have may stay in their queues, since
    /// [`Engine::is_left`] tells of it. Everything else is settled. The call's number.
    pub fn begin_polling(&mut self, ids: impl Iterator<Item = EndpointId>) -> Collector {
        self.short_cuts.polls += 1;
        let poll = self.short_cuts.polls;
        for id in ids {
            if let Some(endpoint) = self.endpoints.get_mut(id)
                && !endpoint.is_shared()
                && !endpoint.is_away()
            {
                endpoint.polled = poll;
            }
        }
        let poll = Collector::Poll(poll);
        self.settle_lagging_for(Some(poll));
        poll
    }

    /// Whether `id` has something to be received of which its pair does not tell the call `poll`. It is told now.
    pub fn is_left(&mut self, id: EndpointId, poll: Collector) -> bool {
        let left = self
            .endpoints
            .get(id)
            .is_some_and(|held| held.lags && held.is_left_to(Some(poll)))
            && self.is_readable(id);
        if left && let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.told = true;
        }
        left
    }

    /// Passes on to the pairs what was left in the queues for the sake of a short cut: somebody is
    /// about to look at the descriptors.
    pub fn settle_lagging(&mut self) {
        self.settle_lagging_for(None);
    }

    /// The same, but for what `collector` will ask us for.
    fn settle_lagging_for(&mut self, collector: Option<Collector>) {
        // To finish takes in what has arrived if a timer is due, which may put that off.
        for _ in 0..ROUNDS {
            if self.short_cuts.lagging.is_empty() {
                return;
            }
            let now = self.now();
            let mut lagging = core::mem::take(&mut self.short_cuts.lagging);
            let mut settled = false;
            for id in lagging.drain(..) {
                let Some(endpoint) = self.endpoints.get_mut(id) else {
                    continue;
                };
                endpoint.lags = false;
                // As in `begin_collecting`.
                let left = endpoint.is_left_to(collector) && !core::mem::take(&mut endpoint.told);
                if left && !endpoint.is_shared() && self.is_readable(id) {
                    self.short_cuts.kept.push(id);
                } else {
                    self.settle(now, id);
                    settled = true;
                }
            }
            // The list's memory is used again.
            lagging.append(&mut self.short_cuts.lagging);
            self.short_cuts.lagging = lagging;
            self.lag_on();
            if !settled {
                return;
            }
            self.finish_pass_for(collector);
        }
    }

    /// What was kept lags on.
    pub(super) fn lag_on(&mut self) {
        let mut kept = core::mem::take(&mut self.short_cuts.kept);
        kept.drain(..).for_each(|id| self.lag(id));
        self.short_cuts.kept = kept;
    }
}

impl Endpoint {
    /// Whether what it has for the program may stay in the receive queue for the sake of `collector`.
    pub(super) fn is_left_to(&self, collector: Option<Collector>) -> bool {
        match collector {
            Some(Collector::Set(set)) => self.watcher.is_some_and(|watcher| watcher.set == set),
            Some(Collector::Poll(number)) => self.polled == number,
            None => false,
        }
    }
}
