//! The engine: one stack, its link, its endpoints, and the pass that serves them.

use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::collections::VecDeque;

use super::convert::checksum;
use super::delivery::{Delivery, Direct};
use super::door::Door;
use super::endpoint::{EndpointId, Endpoints};
use super::estate::Will;
use super::inspect::{self, Office, Window};
use super::lifeline::Lifelines;
use super::orphans::{Orphans, TOKEN_ORPHANS};
use super::ports::Ports;
use super::seat::{Ready, Seat};
use super::sharing::Groups;
use super::sleepers::Sleepers;
use crate::control::mirror::Mirror;
use crate::control::settings::Settings;
use crate::link::Link;
use crate::stack::Stack;
use crate::stack::config::Limits;
use crate::stack::ethernet::Facts;
use crate::stack::ids::SocketId;
use crate::stack::time::Instant;
use crate::stack::transmit::Transmit;
use crate::sys::clock;
use crate::sys::heap;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{Set, no_event};
use crate::sys::wake::{Bell, Timer};

/// Tokens of the engine's own descriptors in its set; endpoints' tokens have the top bit clear.
pub(super) const TOKEN_WAKE: u64 = 1 << 63;
pub(super) const TOKEN_CONTROL: u64 = TOKEN_WAKE + 1;
pub(super) const TOKEN_ALARM: u64 = TOKEN_WAKE + 2;
pub(super) const TOKEN_KEEPER: u64 = TOKEN_WAKE + 3;
pub(super) const TOKEN_DESK: u64 = TOKEN_WAKE + 4;
pub(super) const TOKEN_HEIR: u64 = TOKEN_WAKE + 5;
/// The window's tokens: from this one on.
pub(super) const TOKEN_WINDOW: u64 = TOKEN_WAKE + 16;
const TOKEN_WINDOW_END: u64 = TOKEN_WINDOW + inspect::TOKENS;
/// A group's token: this plus protocol and port.
pub(super) const TOKEN_GROUP: u64 = TOKEN_WAKE + (1 << 36);
/// A lifeline's token: this plus its fork's number.
pub(super) const TOKEN_LIFELINE: u64 = TOKEN_WAKE + (1 << 40);
/// A lease's token: this plus protocol and port.
pub(super) const TOKEN_LEASE: u64 = TOKEN_WAKE + (1 << 32);

/// Frames sent with one system call at most.
pub(super) const BATCH: usize = 16;
/// Frames drained in one pass at most, so that a flood does not keep a call from returning.
const DRAIN: usize = 256;
/// Bytes drained for a waiter of an epoll set before it gets its events: more would leave the
/// processor's cache before the program reads it.
const COLLECTED: usize = 256 * 1024;
/// Bytes after which what the stack has to say (acknowledgements) is sent before draining on.
const FLUSH_AFTER: usize = 512 * 1024;
/// Room for the largest super-packet with its link header.
const FRAME: usize = 66 * 1024;
/// Rounds of settling and sending in one pass at most, before others have their turn.
const ROUNDS: usize = 32;
/// How many drains in a row may take a frame without asking whether there is another.
const LONE_CHECK: u32 = 16;
/// How often, in nanoseconds, a program that never waits has its ends looked at.
const GLANCE: u64 = 500_000;

/// Everything of one process's stack. See the module's page for who may touch it when.
pub struct Engine {
    /// By chance: what other processes know the engine by, in whichever process it is.
    pub(super) id: u64,
    /// The protocols.
    pub stack: Stack,
    /// The stack's ends of the pairs.
    pub endpoints: Endpoints,
    /// Ports leased from the kernel.
    pub ports: Ports,
    /// What the user asked for.
    pub settings: Settings,
    pub(super) link: Box<dyn Link + Send>,
    pub(super) mirror: Option<Mirror>,
    /// Watches everything but the link: ends, alarm, bell, rtnetlink, leases, window.
    pub(super) set: Set,
    /// Wakes whoever has the seat.
    pub(super) wake: Bell,
    /// Calls the background thread off the seat.
    pub(super) background_bell: Bell,
    /// The patrol's.
    pub(super) timer: Timer,
    pub(super) seat: Seat,
    /// Waits that have taken the seat.
    pub(super) waits: u64,
    /// A thread of the program sleeps in the seat, and was not woken yet.
    pub(super) holder_sleeps: bool,
    /// Sockets were settled since the call that waits looked last.
    pub(super) changed: bool,
    /// Rings for the stack's next deadline.
    pub(super) alarm: Timer,
    /// When it will ring, in monotonic nanoseconds.
    pub(super) alarm_at: u64,
    /// Now, in monotonic nanoseconds: when the lock was taken, or the last wait ended.
    pub(super) time: u64,
    /// The last wait has slept.
    pub(super) idle: bool,
    /// When the ends were last looked at by the way.
    glanced_at: u64,
    /// When frames were last taken from the link.
    drained_at: u64,
    /// When the link was last served, in monotonic nanoseconds.
    pub(super) served_at: u64,
    /// The patrol timer runs, or the background thread is about to look.
    pub(super) patrolled: bool,
    /// How long the seat may stay empty.
    pub(super) patrol_interval: Duration,
    pub(super) background_runs: bool,
    /// The memory file.
    pub(super) memory: OwnedFd,
    /// Where a frame is taken to, and what is moved by the way: a program's threads may have little stack.
    pub(super) frame: Box<[u8]>,
    pub(super) batch: Box<[Transmit; BATCH]>,
    /// Drains in a row, each after a sleep, that found one frame only.
    lone: u32,
    /// The system's limits, as the stack was told them.
    pub(super) limits: Limits,
    /// The socket whose bytes the waiting thread takes itself.
    pub(super) direct: Option<SocketId>,
    /// Endpoints whose pairs were not brought up to date for the sake of a short cut.
    pub(super) lagging: Vec<EndpointId>,
    /// Endpoints that show POLLERR, or did when it was last looked.
    pub beyond: Vec<EndpointId>,
    /// The epoll set whose waiter drives and collects events from us.
    pub(super) collecting: Option<RawFd>,
    /// Calls that wait while another thread drives.
    pub(super) beside: Sleepers,
    /// The last drain stopped because its caller had enough: there is probably more.
    pub(super) link_left: bool,
    /// Endpoints the waiter is to be told of, in the order of their news.
    pub(super) noticed: VecDeque<EndpointId>,
    /// Scratch of `begin_collecting`.
    pub(super) kept: Vec<EndpointId>,
    /// Something was passed to a descriptor, or the kernel says so: its sets are worth a look.
    pub(super) kernel_news: bool,
    /// Frames given up because the link took no more.
    pub(super) link_full: u64,
    /// Frames taken from the link, for [`Engine::due_relief`].
    pub(super) received: u64,
    /// How many of them were no super-packets.
    pub(super) singles: u64,
    /// Whether the kernel was spared our packets, or cannot be.
    pub(super) cut_off: bool,
    /// Whether a ring was asked for.
    pub(super) ring_asked: bool,
    /// What the link is to go on by as soon as nobody waits for it.
    pub(super) successor: Option<OwnedFd>,
    /// Passes made by threads of the program, and by the background thread.
    pub(super) passes: [u64; 2],
    /// What this process is to whom it serves.
    pub(super) office: Office,
    /// Where `sidestack ss` looks in.
    pub(super) window: Option<Window>,
    /// Where other processes ask about the sockets they hold.
    pub(super) desk: Option<Door>,
    /// Where an heir is asked to look.
    pub(super) heirs_door: Option<Door>,
    /// Processes that share ports with this one.
    pub(super) groups: Groups,
    /// Connections of this process on ports that it has given back.
    pub(super) orphans: Orphans,
    /// Forked processes that have copies of the program's descriptors.
    pub(super) lifelines: Lifelines,
    /// What a keeper has, for the case that the process is killed.
    pub(super) will: Will,
}

/// What [`Engine::new`] is put together from.
pub(super) struct Parts {
    pub(super) id: u64,
    pub(super) stack: Stack,
    pub(super) ports: Ports,
    pub(super) settings: Settings,
    pub(super) link: Box<dyn Link + Send>,
    pub(super) mirror: Option<Mirror>,
    pub(super) memory: OwnedFd,
}

impl Engine {
    pub(super) fn new(parts: Parts, limits: Limits) -> Result<Self, Errno> {
        let set = Set::new()?;
        let wake = Bell::new()?;
        set.add(&wake, TOKEN_WAKE, EventFlags::IN)?;
        let alarm = Timer::new()?;
        set.add(&alarm, TOKEN_ALARM, EventFlags::IN)?;
        if let Some(mirror) = &parts.mirror {
            set.add(mirror.fd(), TOKEN_CONTROL, EventFlags::IN)?;
        }
        let mut engine = Self {
            id: parts.id,
            stack: parts.stack,
            endpoints: Endpoints::default(),
            ports: parts.ports,
            settings: parts.settings,
            link: parts.link,
            mirror: parts.mirror,
            set,
            wake,
            background_bell: Bell::new()?,
            timer: Timer::new()?,
            seat: Seat::Empty,
            waits: 0,
            holder_sleeps: false,
            changed: false,
            alarm,
            alarm_at: u64::MAX,
            time: clock::monotonic(),
            idle: false,
            glanced_at: 0,
            drained_at: 0,
            served_at: clock::monotonic(),
            patrolled: false,
            patrol_interval: super::background::PATROL,
            background_runs: false,
            memory: parts.memory,
            frame: vec![0; FRAME].into_boxed_slice(),
            batch: Box::new(core::array::from_fn(|_| Transmit::default())),
            lone: 0,
            limits,
            direct: None,
            lagging: Vec::new(),
            beyond: Vec::new(),
            collecting: None,
            beside: Sleepers::default(),
            link_left: false,
            noticed: VecDeque::new(),
            kept: Vec::new(),
            kernel_news: true,
            link_full: 0,
            received: 0,
            singles: 0,
            cut_off: false,
            ring_asked: false,
            successor: None,
            passes: [0; 2],
            office: Office::default(),
            window: None,
            desk: None,
            heirs_door: None,
            groups: Groups::default(),
            orphans: Orphans::default(),
            lifelines: Lifelines::default(),
            will: Will::new(),
        };
        engine.open_window(TOKEN_WINDOW);
        Ok(engine)
    }

    /// Now, as the stack counts time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.time)
    }

    /// When the stack or the link must be served next, in monotonic nanoseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let stack = self.stack.next_deadline().map(Instant::as_nanos);
        let deadlines = [stack, self.link.next_deadline(), self.groups.retry_at];
        deadlines.into_iter().flatten().min()
    }

    /// Whether anything could happen that the program would not see by itself.
    pub(super) fn has_work(&self) -> bool {
        !self.endpoints.is_empty() || self.window.is_some() || self.next_deadline().is_some()
    }

    /// Serves everything once: frames that are there, news of the ends, timers, output, and the
    /// endpoints that changed. `ready` says which of them are worth a look.
    pub(super) fn pass(&mut self, ready: Ready, direct: Option<&mut Direct<'_>>) {
        self.passes[usize::from(self.seat == Seat::Background)] += 1;
        // Frames that the link has held back (see `Impair`) are not seen by a poll.
        let held_back = self.link.next_deadline().is_some_and(|at| at <= self.time);
        let frames = if ready.link || held_back {
            self.drain(ready.slept && !held_back, direct)
        } else {
            0
        };
        if ready.link && frames == 0 {
            // What it was is told by rtnetlink, too, and better.
            let _ = self.link.take_error();
        }
        // Descriptors stay ready until they are looked at: that can wait a little while frames arrive.
        let overdue = self.time.saturating_sub(self.glanced_at) > GLANCE;
        if ready.ends && (frames == 0 || overdue) {
            self.glanced_at = self.time;
            self.look_at_ends();
        }
        self.finish_pass();
    }

    /// Looks once at the link without waiting, unless another thread is about to.
    pub fn glance(&mut self, direct: Option<&mut Direct<'_>>) {
        self.glance_for(None, direct);
    }

    /// The same for a waiter of an epoll set, which may be told of events directly.
    pub fn glance_for(&mut self, set: Option<RawFd>, direct: Option<&mut Direct<'_>>) {
        if self.seat == Seat::Empty {
            self.collecting = set;
            self.drain(false, direct);
            if self.time.saturating_sub(self.glanced_at) > GLANCE {
                self.glanced_at = self.time;
                self.look_at_ends();
            }
            self.finish_pass();
            self.collecting = None;
            self.served_at = self.time;
        }
    }

    /// Timers, output and endpoints: what follows every change to the stack.
    pub fn finish_pass(&mut self) {
        let now = self.now();
        if self.next_deadline().is_some_and(|at| at <= now.as_nanos()) {
            if self.drained_at != self.time {
                // What the timer waits for may have come while this process had no processor.
                self.take_arrived();
            }
            self.link.advance(now.as_nanos());
            self.stack.receive_timeout(now);
        }
        self.serve_groups();
        self.flush(now);
        let mut rounds = 0;
        // What turns round in the stack may have changed others.
        while self.settle_dirty(now) {
            self.flush(now);
            rounds += 1;
            if rounds == ROUNDS {
                self.link_left = true;
                break;
            }
        }
        self.give_back_unlistened();
        if self.lacks_copies() {
            self.copy_ends();
        }
        self.refill_vault();
        self.link.flush();
    }

    /// Takes what waits at the link, and answers nothing yet.
    pub(super) fn take_arrived(&mut self) {
        for _ in 0..ROUNDS {
            if self.drain(false, None) == 0 {
                return;
            }
        }
    }

    /// Takes frames from the link; how many.
    fn drain(&mut self, slept: bool, mut direct: Option<&mut Direct<'_>>) -> usize {
        let now = self.now();
        self.drained_at = self.time;
        self.stack.tcp_set_short(heap::is_short());
        self.link.advance(now.as_nanos());
        let mut unflushed = 0;
        let mut drained = 0;
        let mut count = 0;
        self.link_left = false;
        // Where frames come one by one, asking for a second one costs a system call for nothing.
        // Should there be one, the link stays readable; and now and then it is asked all the same.
        let limit = if slept && !self.lone.is_multiple_of(LONE_CHECK) {
            1
        } else {
            DRAIN
        };
        while count < limit {
            let nobody_waits = self.nobody_waits();
            let Ok(Some(received)) = self.link.receive(&mut self.frame) else {
                break;
            };
            count += 1;
            unflushed += received.bytes.len();
            drained += received.bytes.len();
            self.singles += u64::from(received.gso_size == 0);
            let mut sink = Delivery {
                endpoints: &mut self.endpoints,
                set: &self.set,
                collecting: self.collecting,
                nobody_waits,
                direct: direct.as_deref_mut(),
            };
            self.stack.receive_frame(
                now,
                received.bytes,
                Facts {
                    checksum: checksum(received.checksum),
                    segment: received.gso_size,
                    stamp: received.stamp,
                },
                &mut sink,
            );
            let enough = self.collecting.is_some() && drained >= COLLECTED;
            if enough || direct.as_ref().is_some_and(|direct| direct.full) {
                self.link_left = true;
                break;
            }
            if unflushed >= FLUSH_AFTER {
                self.flush(now);
                unflushed = 0;
            }
        }
        self.received += count as u64;
        self.lone = if slept && count == 1 {
            self.lone.wrapping_add(1)
        } else {
            0
        };
        count
    }

    /// Takes the events of everything but the link.
    fn look_at_ends(&mut self) {
        let mut events = [no_event(); 64];
        loop {
            let count = self.set.ready(&mut events);
            for event in &events[..count] {
                self.serve_event(event.data.u64(), event.flags);
            }
            if count < events.len() {
                return;
            }
        }
    }

    fn serve_event(&mut self, token: u64, flags: EventFlags) {
        match token {
            TOKEN_WAKE => self.wake.silence(),
            TOKEN_CONTROL => self.receive_news(),
            TOKEN_KEEPER => self.lose_keeper(),
            TOKEN_ALARM => {
                self.alarm.sleep();
                self.alarm_at = u64::MAX;
            }
            TOKEN_WINDOW..TOKEN_WINDOW_END => self.serve_window(token - TOKEN_WINDOW),
            TOKEN_DESK => self.serve_desk(),
            TOKEN_HEIR => self.serve_questions(),
            line if line >= TOKEN_LIFELINE => self.serve_lifeline((line - TOKEN_LIFELINE) as u32),
            orphans if orphans >= TOKEN_ORPHANS => self.serve_orphans(orphans - TOKEN_ORPHANS),
            group if group >= TOKEN_GROUP => self.serve_group(group - TOKEN_GROUP),
            lease if lease >= TOKEN_LEASE => self.serve_lease(lease - TOKEN_LEASE),
            token => {
                if let Some(id) = self.endpoints.of_token(token) {
                    self.serve_end(id, flags);
                }
            }
        }
    }
}
