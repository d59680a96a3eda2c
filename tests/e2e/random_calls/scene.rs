//! What a history has made so far, as far as its author can know: which slots have sockets, and of which sort.

use crate::chance::Chance;

/// As in c-tests/random/random.h.
pub(super) const SLOTS: usize = 6;
pub(super) const HANDLES: u64 = 6;

/// How far a socket has probably come. Who writes a history does not know what its calls will give.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Fresh,
    Listening,
    Connected,
    Datagrams,
}

pub(super) struct Scene {
    pub(super) chance: Chance,
    /// Now and then a call is made on a socket that does not fit.
    strays: bool,
    slots: [Option<Life>; SLOTS],
}

impl Scene {
    pub(super) fn new(seed: u64, strays: bool) -> Scene {
        Scene {
            chance: Chance::new(seed),
            strays,
            slots: [None; SLOTS],
        }
    }

    /// A socket that fits; now and then another. `None`: there is none.
    pub(super) fn socket(&mut self, fits: impl Fn(Life) -> bool) -> Option<usize> {
        let any = self.chance.one_in(8) && self.strays;
        let open: Vec<usize> = (0..SLOTS)
            .filter(|slot| self.slots[*slot].is_some_and(|life| any || fits(life)))
            .collect();
        self.chance.of(&open)
    }

    pub(super) fn any_socket(&mut self) -> Option<usize> {
        self.socket(|_| true)
    }

    /// An empty slot.
    pub(super) fn room(&mut self) -> Option<usize> {
        self.slots.iter().position(Option::is_none)
    }

    pub(super) fn put(&mut self, slot: usize, life: Option<Life>) {
        self.slots[slot] = life;
    }

    pub(super) fn life(&self, slot: usize) -> Option<Life> {
        self.slots[slot]
    }

    /// TCP goes from one to the next; a datagram socket stays what it is.
    pub(super) fn becomes(&mut self, slot: usize, life: Life) {
        if self.slots[slot].is_some_and(|life| life != Life::Datagrams) {
            self.slots[slot] = Some(life);
        }
    }

    /// One of them.
    pub(super) fn of<'a>(&mut self, these: &[&'a str]) -> &'a str {
        self.chance.of(these).unwrap_or_default()
    }

    /// Some of them, joined; often none.
    pub(super) fn flags(&mut self, these: &[&str]) -> String {
        let many = self.chance.between(0, 4).saturating_sub(1);
        let mut chosen: Vec<&str> = (0..many).map(|_| self.of(these)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.is_empty() {
            chosen.push("0");
        }
        chosen.join("|")
    }

    /// One of the sets. Most registrations are in the first.
    pub(super) fn epoll_set(&mut self) -> u64 {
        u64::from(self.chance.one_in(4))
    }

    /// One of the peer's connections. Most histories have few.
    pub(super) fn handle(&mut self) -> u64 {
        let most = if self.chance.one_in(3) { HANDLES } else { 2 };
        self.chance.between(0, most)
    }
}
