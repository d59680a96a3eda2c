//! Waiting, and who moves the frames meanwhile.

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::{AsFd, AsRawFd, RawFd};
use rustix::io::Errno;

use super::delivery::Direct;
use super::endpoint::EndpointId;
use super::notice::Collector;
use super::sleepers::Sleepers;
use super::{Engine, Guard, beds, lock};
use crate::stack::ids::SocketId;
use crate::sys::handlers::{self, Sleep};
use crate::sys::wait::{SignalMask, entry, poll_asleep};
use crate::sys::wake::{Bell, Timer};
use crate::sys::{cancel, clock, signal};

/// Who drives the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// Nobody; the background thread will, if it stays so.
    Empty,
    /// A thread of the program that waits in a call of ours: the wait's number.
    Thread(u64),
    /// The background thread.
    Background,
}

/// Who drives, and who waits besides.
pub(super) struct Driving {
    pub(super) seat: Seat,
    /// Waits that have taken the seat.
    waits: u64,
    /// A thread of the program sleeps in the seat, and was not woken yet.
    holder_sleeps: bool,
    /// Wakes whoever has the seat.
    pub(super) wake: Bell,
    /// Calls that wait while another thread drives.
    pub(super) beside: Sleepers,
    /// Sockets were settled since the call that waits looked last.
    changed: bool,
    /// The last wait has slept.
    idle: bool,
    /// Passes made by threads of the program, and by the background thread.
    pub(super) passes: [u64; 2],
}

impl Driving {
    /// Nobody does.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            seat: Seat::Empty,
            waits: 0,
            holder_sleeps: false,
            wake: Bell::new()?,
            beside: Sleepers::new(),
            changed: false,
            idle: false,
            passes: [0; 2],
        })
    }
}

/// Rings for the stack's next deadline.
pub(super) struct Alarm {
    pub(super) timer: Timer,
    /// When it will, in monotonic nanoseconds.
    at: u64,
}

impl Alarm {
    /// One that is not set.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            timer: Timer::new()?,
            at: u64::MAX,
        })
    }

    /// It has rung.
    pub(super) fn silence(&mut self) {
        self.timer.sleep();
        self.at = u64::MAX;
    }
}

/// What a call waits with.
#[derive(Default)]
pub struct Wait<'a> {
    /// When to give up, in nanoseconds of the monotonic clock.
    pub deadline: Option<u64>,
    /// Descriptors of the program whose readiness ends the wait too.
    pub fds: &'a mut [libc::pollfd],
    /// Whose call it is, if it sleeps in a socket.
    pub caller: Option<Caller<'a>>,
    /// The caller, if it may be told of events directly.
    pub collector: Option<Collector>,
    /// The socket the caller takes from by itself: its pair need not be told meanwhile.
    pub own: Option<SocketId>,
    /// While the program is mostly idle, wait before looking: `fds` tell the same.
    pub wait_first: bool,
    /// Signals blocked while waiting (ppoll(2), epoll_pwait(2)).
    pub mask: Option<SignalMask>,
}

/// A call that sleeps in a socket, and goes on with it whatever becomes of the number.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The socket.
    pub id: EndpointId,
    /// Its descriptor, which `ready` keeps true.
    pub fd: &'a Cell<RawFd>,
    /// Events of it that end the wait while another thread drives: else what the call waits for changes by the stack
    /// alone.
    pub events: i16,
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran; whether it asks for the call to be restarted (SA_RESTART).
    Signal {
        /// So do all that ran.
        restarts: bool,
    },
    /// The thread is to end (pthread_cancel(3)).
    Cancelled,
}

/// How many program descriptors a wait polls without a heap allocation.
const FEW: usize = 6;
/// How many descriptors of ours it polls besides.
const MOST_OURS: usize = 2;

/// Waits until `ready` gives something, driving the stack if nobody else does.
///
/// `direct` is where bytes for the caller's socket may go at once. `ready` is called with the
/// engine locked: before any waiting (but see [`Wait::wait_first`]) and after each pass.
pub fn wait<T>(
    guard: &mut Guard,
    request: &mut Wait<'_>,
    mut direct: Option<&mut Direct<'_>>,
    mut ready: impl FnMut(&mut Engine, Option<&mut Direct<'_>>) -> Option<T>,
) -> Result<T, Interruption> {
    let since = handlers::runs();
    guard.driving.changed = false;
    if !(request.wait_first
        && guard.driving.idle
        && guard.short_cuts.noticed.is_empty()
        && guard.endpoints.beyond.is_empty())
        && let Some(value) = ready(guard, direct.as_deref_mut())
    {
        return Ok(value);
    }
    let own = direct.as_ref().map(|direct| direct.socket).or(request.own);
    let place = guard.take_seat(request, own);
    let result = loop {
        let drives = guard.is_seated(place);
        let now = guard.time;
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            break Err(Interruption::TimedOut);
        }
        if let Some(restarts) = handlers::ran(since) {
            break Err(Interruption::Signal { restarts });
        }
        let link_left = drives && core::mem::take(&mut guard.intake.left);
        let changed = core::mem::take(&mut guard.driving.changed);
        let woken = if link_left || drives && changed {
            Ok(Ready {
                link: link_left,
                ends: false,
                slept: false,
            })
        } else if drives {
            wait_driving(guard, request, now)
        } else {
            wait_beside(guard, request, now)
        };
        match woken {
            Ok(ready) if drives => {
                guard.pass(ready, direct.as_deref_mut());
                guard.driving.changed = false;
                if handlers::any_wait() {
                    // What the pass has raised is handled before the call goes on.
                    asleep(guard, request.socket(), None, || {});
                }
            }
            Ok(_) => {}
            Err(Errno::INTR) => {
                if let Some(value) = ready(guard, direct.as_deref_mut()) {
                    break Ok(value);
                }
                match interruption(since) {
                    Some(interruption) => break Err(interruption),
                    None => continue,
                }
            }
            // The descriptors are the program's: whatever is wrong with them, its own call on
            // them says it best.
            Err(_) => break Err(Interruption::TimedOut),
        }
        if let Some(value) = ready(guard, direct.as_deref_mut()) {
            break Ok(value);
        }
    };
    if guard.is_seated(place) {
        guard.leave_seat();
    }
    guard.let_go(request.socket());
    result
}

impl Wait<'_> {
    fn socket(&self) -> Option<EndpointId> {
        self.caller.map(|caller| caller.id)
    }
}

/// What has interrupted a wait whose thread had seen those handlers run before. `None`: nothing that ends it.
fn interruption(since: handlers::Runs) -> Option<Interruption> {
    match (handlers::ran(since), cancel::called()) {
        (_, Some(true)) => Some(Interruption::Cancelled),
        (Some(restarts), _) => Some(Interruption::Signal { restarts }),
        (None, Some(false)) => None,
        // By a handler that is not in our hands.
        (None, None) => Some(Interruption::Signal {
            restarts: signal::all_restart(),
        }),
    }
}

/// Which of the engine's own descriptors are ready.
pub(super) struct Ready {
    pub(super) link: bool,
    pub(super) ends: bool,
    /// The wait took longer than a look would.
    pub(super) slept: bool,
}

/// A poll that takes longer than this many nanoseconds has slept.
const SLEPT: u64 = 5_000;

fn wait_driving(guard: &mut Guard, request: &mut Wait<'_>, now: u64) -> Result<Ready, Errno> {
    let timeout = remaining(request.deadline, now);
    let mut ready = if request.fds.is_empty() && guard.link.has_frame() {
        guard.ready_at_once()
    } else {
        guard.send_in_lull();
        guard.set_alarm();
        let own = guard.descriptors();
        let (socket, mask) = (request.socket(), request.mask);
        guard.driving.holder_sleeps = true;
        let fds = &mut *request.fds;
        let woken = asleep(guard, socket, None, || {
            cancel::interruptible(|| poll_with_own(own, fds, timeout, mask.as_ref()))
        });
        let woken = woken.ok_or(Errno::INTR)?;
        guard.driving.holder_sleeps = false;
        woken?
    };
    ready.slept = guard.time.saturating_sub(now) > SLEPT;
    guard.driving.idle = ready.slept;
    guard.short_cuts.kernel_news |= request.fds.iter().any(|polled| polled.revents != 0);
    Ok(ready)
}

fn remaining(deadline: Option<u64>, now: u64) -> Option<Duration> {
    deadline.map(|at| Duration::from_nanos(at.saturating_sub(now)))
}

fn wait_beside(guard: &mut Guard, request: &mut Wait<'_>, now: u64) -> Result<Ready, Errno> {
    let timeout = remaining(request.deadline, now);
    let (socket, mask) = (request.socket(), request.mask);
    let mut own = request
        .caller
        .map(|caller| entry(caller.fd.get(), caller.events));
    let fds = match &mut own {
        Some(own) => core::slice::from_mut(own),
        None => &mut *request.fds,
    };
    let (room, bell) = guard.driving.beside.enter();
    let woken = asleep(guard, socket, Some(room), || {
        cancel::interruptible(|| poll_with([bell], fds, timeout, mask.as_ref()))
    });
    let woken = woken.ok_or(Errno::INTR)?;
    guard.driving.beside.leave(room);
    woken?;
    guard.short_cuts.kernel_news = true;
    Ok(Ready {
        link: false,
        ends: false,
        slept: true,
    })
}

/// Runs `sleep` unlocked, in a call on `socket`. `None`: a handler has run, and what the thread holds was given up.
fn asleep<T>(
    guard: &mut Guard,
    socket: Option<EndpointId>,
    room: Option<u32>,
    sleep: impl FnOnce() -> T,
) -> Option<T> {
    let name = socket.map(EndpointId::token);
    guard.lie_down(socket);
    let woken = guard.asleep(Sleep::Here { room, socket: name }, sleep);
    if woken.is_some() {
        guard.rise(socket);
    }
    woken
}

/// Gives up what a thread holds that sleeps: one of the program's handlers is about to run in it.
pub(super) fn give_up(how: Sleep) {
    let (room, socket) = match how {
        Sleep::Here { room, socket } => (room, socket),
        Sleep::Abroad { bed } => return beds::give_up(bed),
        Sleep::Alone => return,
    };
    let Some(mut guard) = lock() else { return };
    match room {
        None => {
            guard.driving.holder_sleeps = false;
            guard.leave_seat();
        }
        Some(room) => guard.driving.beside.leave(room),
    }
    let socket = socket.and_then(|name| guard.endpoints.of_token(name));
    guard.rise(socket);
    guard.let_go(socket);
}

impl Engine {
    /// The engine's descriptors: the link's, and what watches all the others. Not an epoll set of both:
    /// it would be told of each frame, though nobody waits.
    pub(super) fn descriptors(&self) -> [RawFd; 2] {
        [
            self.link.wait_fd().as_raw_fd(),
            self.set.as_fd().as_raw_fd(),
        ]
    }

    /// What a wait finds that need not be made, since the link is known to have frames. The pass looks
    /// at the ends if it has not for a while.
    pub(super) fn ready_at_once(&mut self) -> Ready {
        self.time = clock::monotonic();
        Ready {
            link: true,
            ends: true,
            slept: false,
        }
    }
}

impl Guard {
    /// Polls the engine's descriptors and `extra`, unlocked, for those who serve it all the time.
    pub(super) fn poll(
        &mut self,
        extra: &mut [libc::pollfd],
        timeout: Option<Duration>,
        mask: Option<&SignalMask>,
    ) -> Result<Ready, Errno> {
        if extra.is_empty() && self.link.has_frame() {
            return Ok(self.ready_at_once());
        }
        self.send_in_lull();
        let own = self.descriptors();
        self.unlocked(|| poll_with_own(own, extra, timeout, mask))
    }
}

/// Polls the engine's descriptors and some of the program's.
pub(super) fn poll_with_own(
    own: [RawFd; 2],
    extra: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<&SignalMask>,
) -> Result<Ready, Errno> {
    let [link, ends] = poll_with(own, extra, timeout, mask)?;
    Ok(Ready {
        link,
        ends,
        slept: true,
    })
}

/// Polls some descriptors of ours and of the program's; which of ours are readable.
pub(super) fn poll_with<const OURS: usize>(
    ours: [RawFd; OURS],
    extra: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<&SignalMask>,
) -> Result<[bool; OURS], Errno> {
    let mut few = [entry(-1, 0); FEW + MOST_OURS];
    let mut many = Vec::new();
    let count = extra.len() + OURS;
    let fds = if extra.len() <= FEW {
        &mut few[..count]
    } else {
        many.resize(count, entry(-1, 0));
        &mut many[..]
    };
    let (first, rest) = fds.split_at_mut(OURS);
    for (polled, fd) in first.iter_mut().zip(ours) {
        *polled = entry(fd, libc::POLLIN);
    }
    rest.copy_from_slice(extra);
    poll_asleep(fds, timeout, mask)?;
    for (to, from) in extra.iter_mut().zip(&fds[OURS..]) {
        to.revents = from.revents;
    }
    Ok(core::array::from_fn(|at| fds[at].revents != 0))
}

impl Engine {
    /// Takes the seat for `request`, which takes the bytes of `own` by itself, unless another
    /// thread of the program has it. The number of the wait, if it has the seat now.
    fn take_seat(&mut self, request: &Wait<'_>, own: Option<SocketId>) -> Option<u64> {
        match self.driving.seat {
            Seat::Thread(_) => return None,
            Seat::Background => self.call_background_off(),
            Seat::Empty => {}
        }
        self.driving.waits += 1;
        self.driving.seat = Seat::Thread(self.driving.waits);
        self.short_cuts.collecting = request.collector;
        self.short_cuts.direct = own;
        if request.collector.is_none() {
            // Some may wait where we do not see them, and this may take long.
            self.settle_lagging();
        }
        Some(self.driving.waits)
    }

    /// Whether the wait that took the seat as `place` has it still.
    fn is_seated(&self, place: Option<u64>) -> bool {
        place.is_some_and(|wait| self.driving.seat == Seat::Thread(wait))
    }

    /// Gives the seat up; [`Engine::patrol`] sees to what follows.
    pub(super) fn leave_seat(&mut self) {
        self.driving.seat = Seat::Empty;
        self.short_cuts.direct = None;
        self.short_cuts.collecting = None;
        self.last.served = self.time;
    }

    /// Sees to it that whoever waits wakes in time for the stack. The alarm may ring early, when
    /// what it was set for has moved; setting it anew each time would cost more.
    pub(super) fn set_alarm(&mut self) {
        if let Some(at) = self.next_deadline()
            && at < self.alarm.at
        {
            self.alarm.timer.start_at(at);
            self.alarm.at = at;
        }
    }

    /// Sockets have changed though nothing came from the link, because something turned round in
    /// the stack: the thread that sleeps in the seat is woken, once, since telling it may have been
    /// left to its short cuts; one that is about to sleep looks again.
    pub(super) fn tell_holder(&mut self) {
        self.driving.changed = true;
        if core::mem::take(&mut self.driving.holder_sleeps) {
            self.driving.wake.ring();
        }
    }

    /// Wakes the holder of the seat because what it sleeps for has changed.
    pub fn kick(&mut self) {
        if self.driving.seat != Seat::Empty {
            self.driving.wake.ring();
        }
    }

    /// Wakes all who sleep: a descriptor has been replaced, or shows what its pair does not tell.
    pub fn wake_all(&mut self) {
        self.kick();
        self.driving.beside.wake();
    }
}
