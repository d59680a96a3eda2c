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
struct Awaited {
    end: Seq,
    stamps: Stamps,
    sent: bool,
    /// What the segment with that end carried, if its acknowledgment is to be told of.
    payload: Vec<u8>,
}

/// What connections wait for, by their index, and what has come of it.
#[derive(Default)]
pub(super) struct Sendings {
    awaited: HashMap<u32, VecDeque<Awaited>>,
    told: sendings::Sendings,
    /// The connection whose segment that was polled last is told of.
    polled: Option<SocketId>,
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
                payload: Vec::new(),
            });
        }
    }

    /// The connection may have sent a segment, or something of it be acknowledged. As on Linux, of what
    /// leaves in one segment only the last end is told.
    pub(super) fn look(&mut self, tcb: &Tcb) {
        if self.awaited.is_empty() {
            return;
        }
        let Some(awaited) = self.awaited.get_mut(&tcb.id.index) else {
            return;
        };
        let told = &mut self.told;
        let mut tell = |wanted: bool, stage, end: Seq, frame| {
            if wanted {
                told.push(Sending {
                    socket: tcb.id,
                    stage,
                    key: place(tcb, end).wrapping_sub(1),
                    frame,
                });
            }
        };
        if let Some(last) = join_sent(awaited, tcb.snd.nxt) {
            self.polled = Some(tcb.id);
            tell(
                last.stamps.scheduled,
                Stage::Scheduled,
                last.end,
                Vec::new(),
            );
            tell(last.stamps.sent, Stage::Sent, last.end, Vec::new());
        }
        while let Some(held) =
            awaited.pop_front_if(|held| held.sent && !held.end.is_after(tcb.snd.una))
        {
            tell(
                held.stamps.acknowledged,
                Stage::Acknowledged,
                held.end,
                held.payload,
            );
        }
    }

    /// What was sent just now, and is told of, is in this frame, behind `headers` bytes.
    pub(super) fn frame_is(&mut self, id: SocketId, frame: &[u8], headers: usize) {
        self.told.frame_is(id, frame);
        let awaited = self.awaited.get_mut(&id.index);
        let last = awaited.and_then(|awaited| awaited.iter_mut().rfind(|held| held.sent));
        if let Some(last) = last.filter(|last| last.stamps.acknowledged) {
            last.payload = frame.get(headers..).unwrap_or_default().to_vec();
        }
    }

    pub(super) fn forget(&mut self, index: u32) {
        if !self.awaited.is_empty() {
            self.awaited.remove(&index);
        }
    }
}

/// Makes one of all ends that have been sent by now and were not before: the last, which asks for what
/// each of them did.
fn join_sent(awaited: &mut VecDeque<Awaited>, next: Seq) -> Option<&Awaited> {
    let first = awaited.iter().position(|held| !held.sent)?;
    let behind = awaited.iter().skip(first);
    let count = behind.take_while(|held| !held.end.is_after(next)).count();
    let stamps = awaited.drain(first..first + count.checked_sub(1)?);
    let stamps = stamps.fold(Stamps::default(), |all, held| all.or(held.stamps));
    let last = awaited.get_mut(first)?;
    last.stamps = last.stamps.or(stamps);
    last.sent = true;
    Some(last)
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

    /// The connection that has just sent a segment of which is told.
    pub fn take_told(&mut self) -> Option<SocketId> {
        self.sendings.polled.take()
    }

    /// The frame of that segment, and how long its headers are.
    pub fn sent_in(&mut self, id: SocketId, frame: &[u8], headers: usize) {
        self.sendings.frame_is(id, frame, headers);
    }

    /// How many bytes of a connection's stream are acknowledged, and how many there are.
    pub fn sent_places(&self, id: SocketId) -> Option<(u32, u32)> {
        let tcb = self.connection(id)?;
        Some((place(tcb, tcb.snd.una), place(tcb, tcb.snd.end())))
    }
}
