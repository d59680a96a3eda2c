//! The engine: one stack, its link, its endpoints, and the pass that serves them.

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::background::Background;
use super::delivery::Direct;
use super::door::Door;
use super::endpoint::Endpoints;
use super::estate::Will;
use super::family::Waiter;
use super::inspect::{self, Office, Window};
use super::intake::Intake;
use super::lifeline::Lifelines;
use super::lingering::Lingering;
use super::notice::{Collector, ShortCuts};
use super::orphans::{Orphans, TOKEN_ORPHANS};
use super::output::Output;
use super::ports::Ports;
use super::seat::{Alarm, Driving, Ready, Seat};
use super::sharing::Groups;
use crate::control::mirror::Mirror;
use crate::control::settings::Settings;
use crate::link::Link;
use crate::stack::Stack;
use crate::stack::config::Limits;
use crate::stack::passing::Road;
use crate::stack::time::Instant;
use crate::sys::clock;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{Set, no_event};

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

/// Room for the largest super-packet with its link header.
const FRAME: usize = 66 * 1024;
/// Rounds of settling and sending in one pass at most, before others have their turn.
pub(super) const ROUNDS: usize = 32;
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
    /// The system's limits, as the stack was told them.
    pub(super) limits: Limits,
    /// The memory file.
    pub(super) memory: OwnedFd,
    /// By which bytes pass between connections and pairs.
    pub(super) road: &'static mut Road,
    /// Frames in and out.
    pub(super) link: Box<dyn Link + Send>,
    /// What the kernel says of the interface; `None`: it says nothing.
    pub(super) mirror: Option<Mirror>,
    /// Watches everything but the link: ends, alarm, bell, rtnetlink, leases, window.
    pub(super) set: Set,
    /// Who drives, and who waits.
    pub(super) driving: Driving,
    /// Who does if nobody else does.
    pub(super) background: Background,
    /// Wakes them for the stack's sake.
    pub(super) alarm: Alarm,
    /// Now, in monotonic nanoseconds: when the lock was taken, or the last wait ended.
    pub(super) time: u64,
    /// When it was last looked at what.
    pub(super) last: Last,
    /// What came by the link.
    pub(super) intake: Intake,
    /// What leaves by it.
    pub(super) output: Output,
    /// Where a frame is taken to, and what is moved by the way: a program's threads may have little stack.
    pub(super) frame: Box<[u8]>,
    /// What descriptors are not told, for who is.
    pub(super) short_cuts: ShortCuts,
    /// What this process is to whom it serves.
    pub(super) office: Office,
    /// Where others may ask it something.
    pub(super) doors: Doors,
    /// Processes that share ports with this one.
    pub(super) groups: Groups,
    /// Connections of this process on ports that it has given back.
    pub(super) orphans: Orphans,
    /// Forked processes that have copies of the program's descriptors.
    pub(super) lifelines: Lifelines,
    /// Other processes whose close(2) waits.
    pub(super) lingering: Lingering,
    /// What a keeper has, for the case that the process is killed.
    pub(super) will: Will,
}

/// Moments, in monotonic nanoseconds.
#[derive(Default)]
pub(super) struct Last {
    /// Frames were taken from the link, if there were any.
    pub(super) drained: u64,
    /// The link was served.
    pub(super) served: u64,
    /// The ends were looked at by the way.
    glanced: u64,
}

/// Where others may ask something.
#[derive(Default)]
pub(super) struct Doors {
    /// `sidestack ss`, to look in.
    pub(super) window: Option<Window>,
    /// Other processes, about the sockets they hold.
    pub(super) desk: Option<Door>,
    /// Who has asked there to be told of news.
    pub(super) waiters: Vec<Waiter>,
    /// Who finds a port in use, an heir.
    pub(super) heirs: Option<Door>,
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
    pub(super) road: &'static mut Road,
}

impl Engine {
    pub(super) fn new(parts: Parts, limits: Limits) -> Result<Self, Errno> {
        let set = Set::new()?;
        let (driving, alarm) = (Driving::new()?, Alarm::new()?);
        set.add(&driving.wake, TOKEN_WAKE, EventFlags::IN)?;
        set.add(&alarm.timer, TOKEN_ALARM, EventFlags::IN)?;
        if let Some(mirror) = &parts.mirror {
            set.add(mirror.fd(), TOKEN_CONTROL, EventFlags::IN)?;
        }
        let time = clock::monotonic();
        let mut engine = Self {
            id: parts.id,
            stack: parts.stack,
            endpoints: Endpoints::default(),
            ports: parts.ports,
            settings: parts.settings,
            limits,
            memory: parts.memory,
            road: parts.road,
            link: parts.link,
            mirror: parts.mirror,
            set,
            driving,
            background: Background::new()?,
            alarm,
            time,
            last: Last {
                served: time,
                ..Last::default()
            },
            intake: Intake::default(),
            output: Output::default(),
            frame: vec![0; FRAME].into_boxed_slice(),
            short_cuts: ShortCuts::new(),
            office: Office::default(),
            doors: Doors::default(),
            groups: Groups::default(),
            orphans: Orphans::default(),
            lifelines: Lifelines::default(),
            lingering: Lingering::default(),
            will: Will::new(),
        };
        engine.open_window(TOKEN_WINDOW);
        Ok(engine)
    }

    /// Now, as the stack counts time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.time)
    }

    /// When the stack, the link or what the driver has of connections must be served next, in monotonic nanoseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let stack = self.stack.next_deadline().map(Instant::as_nanos);
        let orphans = self.orphans.next_deadline().map(Instant::as_nanos);
        let deadlines = [
            stack,
            orphans,
            self.link.next_deadline(),
            self.groups.retry_at,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether anything could happen that the program would not see by itself.
    pub(super) fn has_work(&self) -> bool {
        !self.endpoints.is_empty() || self.doors.window.is_some() || self.next_deadline().is_some()
    }

    /// Serves everything once: frames that are there, news of the ends, timers, output, and the
    /// endpoints that changed. `ready` says which of them are worth a look.
    pub(super) fn pass(&mut self, ready: Ready, direct: Option<&mut Direct<'_>>) {
        self.driving.passes[usize::from(self.driving.seat == Seat::Background)] += 1;
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
        let overdue = self.time.saturating_sub(self.last.glanced) > GLANCE;
        if ready.ends && (frames == 0 || overdue) {
            self.last.glanced = self.time;
            self.look_at_ends();
        }
        self.finish_pass();
    }

    /// Looks once at the link without waiting, unless another thread is about to.
    pub fn glance(&mut self, direct: Option<&mut Direct<'_>>) {
        self.glance_for(None, direct);
    }

    /// The same for who is about to wait, and may be told of events directly.
    pub fn glance_for(&mut self, collector: Option<Collector>, direct: Option<&mut Direct<'_>>) {
        if self.driving.seat == Seat::Empty {
            self.short_cuts.collecting = collector;
            self.drain(false, direct);
            if self.time.saturating_sub(self.last.glanced) > GLANCE {
                self.last.glanced = self.time;
                self.look_at_ends();
                self.stack.receive_lull();
            }
            self.finish_pass();
            self.short_cuts.collecting = None;
            self.last.served = self.time;
        }
    }

    /// [`finish_pass`](Self::finish_pass) for who is about to wait, and may be told of events directly.
    pub(super) fn finish_pass_for(&mut self, collector: Option<Collector>) {
        if self.driving.seat == Seat::Empty {
            self.short_cuts.collecting = collector;
            self.finish_pass();
            self.short_cuts.collecting = None;
        } else {
            self.finish_pass();
        }
    }

    /// Timers, output and endpoints: what follows every change to the stack.
    pub fn finish_pass(&mut self) {
        let now = self.now();
        self.stack.put_off_timers(now);
        if self.next_deadline().is_some_and(|at| at <= now.as_nanos()) {
            if self.last.drained != self.time {
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
                self.intake.left = true;
                break;
            }
        }
        self.give_back_unlistened();
        self.end_lingering();
        if self.lacks_copies() {
            self.copy_ends();
        }
        self.refill_vault();
        self.link.flush();
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
                return self.end_sharing();
            }
        }
    }

    fn serve_event(&mut self, token: u64, flags: EventFlags) {
        match token {
            TOKEN_WAKE => {
                self.driving.wake.silence();
                self.hear_forks();
            }
            TOKEN_CONTROL => self.receive_news(),
            TOKEN_KEEPER => self.lose_keeper(),
            TOKEN_ALARM => self.alarm.silence(),
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
