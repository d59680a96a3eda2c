//! Repair (TCP_REPAIR of Linux): a connection is taken apart, and put together from its parts, without a word to its peer.
//!
//! Who takes it apart reads its sequence numbers, its window and its queues, and closes it, of which the peer learns nothing.
//! Who puts it together says where both queues begin, opens it, which sends no SYN, says what the handshake had agreed
//! on, and fills the queues. What goes into the send queue then counts as sent: the peer may have it. The retransmission
//! timer finds out.

use core::net::SocketAddrV4;

use super::Tcp;
use super::config::TcpOptions;
use super::snd::MAX_WINDOW;
use super::tcb::{Owner, State, Tcb};
use super::timers::Timer;
use crate::stack::error::Error;
use crate::stack::ids::SocketId;
use crate::stack::pool::Pool;
use crate::stack::queue::Queue;
use crate::stack::time::Instant;
use crate::stack::wire::seq::Seq;
use crate::stack::wire::tcp::Options;

/// Where both directions of a connection go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The sequence number of the next byte to be received.
    pub receive: u32,
    /// That of the next byte to be sent.
    pub send: u32,
    /// What is added to the clock in timestamps; `None`: as ever.
    pub timestamp_offset: Option<u32>,
}

/// The windows of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Sequence number of the segment that told of the send window last.
    pub snd_wl1: u32,
    /// The send window.
    pub snd_wnd: u32,
    /// The largest there was.
    pub max_wnd: u32,
    /// The receive window, as advertised with the last acknowledgment.
    pub rcv_wnd: u32,
    /// What that acknowledged.
    pub rcv_wup: u32,
}

impl Windows {
    /// Whether they can be those of a connection that is to receive `rcv_nxt` next.
    pub fn is_sound(&self, rcv_nxt: u32) -> bool {
        let right = rcv_nxt.wrapping_add(self.rcv_wnd);
        self.max_wnd >= self.snd_wnd
            && !Seq(self.snd_wl1).is_after(Seq(right))
            && !Seq(self.rcv_wup).is_after(Seq(rcv_nxt))
    }
}

/// Something that a handshake had agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// The peer's segment size.
    SegmentSize(u16),
    /// The shifts of the windows: the peer's and ours.
    WindowScale(u8, u8),
    /// SACK blocks are sent.
    Sack,
    /// Segments have timestamps.
    Timestamps,
}

/// Queues as much of `runs` as there is `room` for.
fn fill<'a>(
    queue: &mut Queue,
    mut room: usize,
    runs: impl Iterator<Item = &'a [u8]>,
    pool: &mut Pool,
) {
    for run in runs {
        let taken = queue.append(pool, &run[..run.len().min(room)]);
        room -= taken;
        if taken < run.len() {
            break;
        }
    }
}

impl Tcp {
    /// Active OPEN of a connection that stands, under repair. Errors as [`Tcp::connect`].
    pub fn resume(
        &mut self,
        now: Instant,
        [local, remote]: [SocketAddrV4; 2],
        places: Places,
        options: &TcpOptions,
        pool: &mut Pool,
    ) -> Result<SocketId, Error> {
        self.take_ends(local, remote)?;
        let iss = Seq(places.send) - 1;
        let (ends, options) = ([local, remote], options.into());
        let index = self.insert_connection(now, ends, iss, &options, Owner::User, |tcb| {
            tcb.resume(now, places, pool);
        });
        let index = index.ok_or(Error::NoBuffers)?;
        self.settle(now, index, pool);
        let id = self.connections.get(index).map(|tcb| tcb.id);
        id.ok_or(Error::NoBuffers)
    }

    /// Repair begins.
    pub fn begin_repair(&mut self, id: SocketId) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.repair = true;
        }
    }

    /// Repair ends. `probe`: the peer is asked for an acknowledgment.
    pub fn end_repair(&mut self, now: Instant, id: SocketId, probe: bool, pool: &mut Pool) {
        let Some(tcb) = self.connection_mut(id) else {
            return;
        };
        tcb.repair = false;
        if probe && tcb.state == State::Established {
            // Whatever the answer says of the window counts.
            tcb.snd.wl1 = tcb.rcv.nxt - 1;
            tcb.marks.probe = true;
            tcb.marks.output = true;
            self.settle(now, id.index, pool);
        }
    }

    /// Puts as much of `runs` as there is room for into the receive queue, as if it had come; how much that was.
    pub fn put_received<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
        pool: &mut Pool,
    ) -> usize {
        let Some(tcb) = self.connection_mut(id) else {
            return 0;
        };
        tcb.begin_change();
        let before = tcb.rcv.queue.len();
        let room = tcb.rcv.most().saturating_sub(before);
        fill(&mut tcb.rcv.queue, room, runs, pool);
        tcb.rcv.nxt = tcb.rcv.end();
        tcb.rcv.acked = tcb.rcv.nxt;
        tcb.rcv.edge = tcb.rcv.edge.later(tcb.rcv.nxt);
        tcb.marks.dirty = true;
        let count = tcb.rcv.queue.len() - before;
        self.settle(now, id.index, pool);
        count
    }

    /// Puts as much of `runs` as there is room for into the send queue, as if it had been sent; how much that was.
    ///
    /// Errors: as [`Tcp::send_all`].
    pub fn put_sent<'a>(
        &mut self,
        now: Instant,
        id: SocketId,
        runs: impl Iterator<Item = &'a [u8]>,
        pool: &mut Pool,
    ) -> Result<usize, Error> {
        let tcb = self.connection_mut(id).ok_or(Error::Invalid)?;
        tcb.may_send()?;
        tcb.begin_change();
        let before = tcb.snd.queue.len();
        let room = tcb.snd.most_room();
        fill(&mut tcb.snd.queue, room, runs, pool);
        let count = tcb.snd.queue.len() - before;
        if count > 0 {
            tcb.note_first_sent(now, count as u32, tcb.snd.end());
            if !tcb.deadlines.is_armed(Timer::Retransmit) {
                let at = now + tcb.rtt.rto();
                tcb.deadlines.arm(Timer::Retransmit, at);
            }
        }
        self.settle(now, id.index, pool);
        match count {
            0 => Err(Error::WouldBlock),
            count => Ok(count),
        }
    }

    /// Copies bytes of the send queue from `offset` on; gives how many.
    pub fn peek_sent(&self, id: SocketId, offset: usize, buffer: &mut [u8], pool: &Pool) -> usize {
        self.connection(id)
            .map_or(0, |tcb| tcb.snd.queue.peek(pool, offset, buffer))
    }

    /// Where both directions are; none for a stale handle.
    pub fn places(&self, id: SocketId) -> Option<Places> {
        let tcb = self.connection(id)?;
        Some(Places {
            receive: tcb.rcv.nxt.0,
            send: tcb.snd.end().0,
            timestamp_offset: Some(tcb.timestamping.offset),
        })
    }

    /// What timestamps add to the clock.
    pub fn set_timestamp_offset(&mut self, id: SocketId, offset: u32) {
        if let Some(tcb) = self.connection_mut(id) {
            tcb.timestamping.offset = offset;
        }
    }

    /// The windows; none for a stale handle.
    pub fn windows(&self, id: SocketId) -> Option<Windows> {
        let tcb = self.connection(id)?;
        Some(Windows {
            snd_wl1: tcb.snd.wl1.0,
            snd_wnd: tcb.snd.wnd,
            max_wnd: tcb.snd.max_wnd,
            rcv_wnd: tcb.rcv.edge.since(tcb.rcv.acked),
            rcv_wup: tcb.rcv.acked.0,
        })
    }

    /// Takes over the windows that a connection had. False: they cannot be its own.
    pub fn set_windows(&mut self, id: SocketId, windows: &Windows) -> bool {
        let Some(tcb) = self.connection_mut(id) else {
            return false;
        };
        if !windows.is_sound(tcb.rcv.nxt.0) {
            return false;
        }
        tcb.snd.wl1 = Seq(windows.snd_wl1);
        tcb.snd.wnd = windows.snd_wnd.min(MAX_WINDOW);
        tcb.snd.max_wnd = windows.max_wnd.min(MAX_WINDOW);
        tcb.rcv.acked = Seq(windows.rcv_wup);
        // What was received since is within the window, or was before it was taken apart.
        let most = u32::try_from(tcb.rcv.most()).unwrap_or(MAX_WINDOW);
        let edge = tcb.rcv.acked + windows.rcv_wnd.min(most).min(MAX_WINDOW);
        tcb.rcv.edge = edge.later(tcb.rcv.nxt);
        true
    }

    /// Takes over what the handshake had agreed on.
    pub fn agree(&mut self, id: SocketId, agreed: Agreed) {
        let Some(tcb) = self.connection_mut(id) else {
            return;
        };
        match agreed {
            Agreed::SegmentSize(size) => tcb.snd.learn_mss(Some(size)),
            Agreed::WindowScale(theirs, ours) => {
                tcb.scaled = true;
                tcb.snd.scale = theirs;
                tcb.rcv.scale = ours;
            }
            Agreed::Sack => tcb.sack = true,
            Agreed::Timestamps => tcb.timestamping.enabled = true,
        }
    }

    /// Whether a connection is established, and nothing of it was sent yet.
    pub fn may_agree(&self, id: SocketId) -> bool {
        let tcb = self.connection(id);
        tcb.is_some_and(|tcb| tcb.state == State::Established && tcb.tally.sent == 0)
    }

    /// The peer's segment size, as it said.
    pub fn peer_mss(&self, id: SocketId) -> Option<u16> {
        self.connection(id).map(|tcb| tcb.snd.peer_mss())
    }
}

impl Tcb {
    /// Goes on where another connection was, with a peer of which nothing is known yet.
    fn resume(&mut self, now: Instant, places: Places, pool: &mut Pool) {
        self.repair = true;
        self.learn_syn(now, Seq(places.receive) - 1, 0, &Options::default());
        self.snd.acknowledge(pool, self.snd.nxt);
        self.snd.wl2 = self.snd.una;
        self.rcv.advertise_unscaled();
        if let Some(offset) = places.timestamp_offset {
            self.timestamping.offset = offset;
        }
        self.establish(now);
    }
}
