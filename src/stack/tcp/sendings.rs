//! Times of sending of a connection: of each call's last byte, when it is sent and acknowledged.
//!
//! Few connections ask for it, so what they wait for is kept beside them, on the heap.

use std::collections::{HashMap, VecDeque};

use super::Tcp;
use super::tcb::Tcb;
use crate::stack::ids::SocketId;
use crate::stack::sendings::{self, Sending, Stage, Stamps};
use crate::stack::wire::seq::Seq;

/// Most calls of a connection that are waited for.
const MOST: usize = 64;

/// The end of what one call has sent.
#[derive(Clone, Copy)]
struct Awaited {
    end: Seq,
    stamps: Stamps,
    sent: bool,
}

/// What connections wait for, by their index, and what has come of it.
#[derive(Default)]
pub(super) struct Sendings {
    awaited: HashMap<u32, VecDeque<Awaited>>,
    told: sendings::Sendings,
}

impl Sendings {
    /// Of what the user has sent `stamps` are to be told.
    fn await_end(&mut self, tcb: &Tcb, stamps: Stamps) {
        let awaited = self.awaited.entry(tcb.id.index).or_default();
        if awaited.len() < MOST {
            awaited.push_back(Awaited {
                end: tcb.snd.end(),
                stamps,
                sent: false,
            });
        }
    }

    /// The connection may have sent something, or something of it be acknowledged.
    pub(super) fn look(&mut self, tcb: &Tcb) {
        if self.awaited.is_empty() {
            return;
        }
        let Some(awaited) = self.awaited.get_mut(&tcb.id.index) else {
            return;
        };
        let told = &mut self.told;
        let mut tell = |wanted: bool, stage, end: Seq| {
            if wanted {
                told.push(Sending {
                    socket: tcb.id,
                    stage,
                    key: place(tcb, end).wrapping_sub(1),
                    frame: Vec::new(),
                });
            }
        };
        for held in awaited.iter_mut().filter(|held| !held.sent) {
            held.sent = !held.end.is_after(tcb.snd.nxt);
            if held.sent {
                tell(held.stamps.scheduled, Stage::Scheduled, held.end);
                tell(held.stamps.sent, Stage::Sent, held.end);
            }
        }
        while let Some(held) = awaited
            .front()
            .filter(|held| held.sent && !held.end.is_after(tcb.snd.una))
        {
            tell(held.stamps.acknowledged, Stage::Acknowledged, held.end);
            awaited.pop_front();
        }
    }

    pub(super) fn forget(&mut self, index: u32) {
        if !self.awaited.is_empty() {
            self.awaited.remove(&index);
        }
    }
}

/// How many bytes of the stream come before `seq`.
fn place(tcb: &Tcb, seq: Seq) -> u32 {
    seq.since(tcb.snd.iss).saturating_sub(1)
}

impl Tcp {
    /// A call of the user's has sent something, of which is to be told what `stamps` say, or else the
    /// socket's options.
    pub fn stamp(&mut self, id: SocketId, stamps: Option<Stamps>) {
        let Some(tcb) = self.connections.get(id.index).filter(|tcb| tcb.id == id) else {
            return;
        };
        let stamps = stamps.unwrap_or_else(|| tcb.options.stamps());
        if stamps.any() {
            self.sendings.await_end(tcb, stamps);
            self.sendings.look(tcb);
        }
    }

    /// Something of which a connection's user wants to know when it happened: just now.
    pub fn poll_sending(&mut self) -> Option<Sending> {
        self.sendings.told.poll()
    }

    /// How many bytes of a connection's stream are acknowledged, and how many there are.
    pub fn sent_places(&self, id: SocketId) -> Option<(u32, u32)> {
        let tcb = self.connection(id)?;
        Some((place(tcb, tcb.snd.una), place(tcb, tcb.snd.end())))
    }
}
