//! Threads that wait while another one drives: they sleep on the program's descriptors, and on a bell.
//!
//! poll(2) that is woken looks its numbers up again. So one that sleeps on a descriptor which is
//! replaced meanwhile (the pair of a listener that is shut down, of a connection that is given up)
//! finds the new one, which has nothing to tell, and sleeps on. Whoever replaces one rings the bell.
//!
//! A bell rings once, for all who sleep by it, and is closed when the last of them has left; who lies
//! down later gets the next one. So nobody has to silence it.

use rustix::fd::{AsFd, AsRawFd, RawFd};

use crate::sys::wake::Bell;

/// One bell, and how many sleep by it.
#[derive(Default)]
struct Room {
    number: u32,
    bell: Option<Bell>,
    sleepers: usize,
}

/// Those who sleep.
pub(super) struct Sleepers {
    /// Where the next one lies down.
    room: Room,
    /// Where the bell has rung, and some have not left yet.
    woken: Vec<Room>,
}

impl Sleepers {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            room: Room {
                number: 0,
                bell: None,
                sleepers: 0,
            },
            woken: Vec::new(),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.room.sleepers == 0 && self.woken.is_empty()
    }

    /// One more: the room's number, for [`Self::leave`], and the bell; -1: there is none to be had.
    pub(super) fn enter(&mut self) -> (u32, RawFd) {
        let room = &mut self.room;
        room.sleepers += 1;
        if room.bell.is_none() {
            room.bell = Bell::new().ok();
        }
        let bell = room.bell.as_ref();
        (
            room.number,
            bell.map_or(-1, |bell| bell.as_fd().as_raw_fd()),
        )
    }

    /// One less.
    pub(super) fn leave(&mut self, number: u32) {
        if self.room.number == number {
            self.room.sleepers = self.room.sleepers.saturating_sub(1);
            return;
        }
        self.woken.retain_mut(|room| {
            room.sleepers -= usize::from(room.number == number);
            room.sleepers > 0
        });
    }

    /// Wakes them all.
    pub(super) fn wake(&mut self) {
        if self.room.sleepers == 0 {
            return;
        }
        let next = Room {
            number: self.room.number.wrapping_add(1),
            ..Room::default()
        };
        let room = core::mem::replace(&mut self.room, next);
        if let Some(bell) = &room.bell {
            bell.ring();
        }
        self.woken.push(room);
    }
}
