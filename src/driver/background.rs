//! The background thread: takes the seat when it stays empty.
//!
//! While threads of the program drive, it costs one timer expiry a patrol interval at most, and
//! nothing at all while one of them waits for long.

use core::cell::Cell;
use core::time::Duration;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::sync::Arc;

use super::seat::Seat;
use super::{Engine, estate, lock};
use crate::control::cutoff::{CutOff, Step};
use crate::control::log;
use crate::link::PacketSocket;
use crate::sys::owned::OwnedFd;
use crate::sys::process::{self, least_stack};
use crate::sys::wait::{entry, poll_for};
use crate::sys::wake::{Bell, Timer};
use crate::sys::{signal, strerror};

/// How long the seat may stay empty before the background thread takes it.
pub(super) const PATROL: Duration = Duration::from_millis(2);
/// The same for a program that was found to drive by itself again and again: the longer it has,
/// the more seldom it is disturbed.
const PATROL_MOST: Duration = Duration::from_millis(16);

/// Frames after which a program has so much to receive that to make it cost less is worth some ten
/// milliseconds of this thread.
const MUCH: u64 = 4096;

/// Looks at the link at most until what was left in its old socket is taken.
const MOST_LEFT: usize = 64;

/// Stack of the thread, in bytes, besides what the C library needs of it: it runs a pass, no recursion.
const THREAD_STACK: usize = 256 * 1024;

/// What the engine has of the thread.
pub(super) struct Background {
    pub(super) runs: bool,
    /// Calls it off the seat.
    bell: Bell,
    /// The patrol's, and the will's.
    pub(super) timer: Timer,
    /// That runs for the patrol, or the thread is about to look.
    pub(super) patrolled: bool,
    /// How long the seat may stay empty.
    interval: Duration,
}

impl Background {
    /// None runs yet.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            runs: false,
            bell: Bell::new()?,
            timer: Timer::new()?,
            patrolled: false,
            interval: PATROL,
        })
    }
}

thread_local! {
    /// Whether this is the background thread.
    static IS_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

impl Engine {
    /// Called whenever the lock is released: sees to it that an empty seat does not stay so.
    pub(super) fn patrol(&mut self) {
        if !IS_BACKGROUND.get() {
            self.prepare_will();
        }
        if self.driving.seat != Seat::Empty {
            // Who sleeps in the seat polls the alarm, too.
            self.set_alarm();
            self.patrol_for_will();
            return;
        }
        self.take_up_successor();
        if self.background.patrolled || !self.has_work() {
            return;
        }
        if !self.background.runs {
            self.background.runs = start();
        }
        self.background.patrolled = true;
        self.background.timer.start(self.background.interval);
    }

    /// What there is to be done so that receiving costs less, once the program has received enough.
    /// A ring is for who receives more single frames than super-packets, which it would delay.
    fn due_relief(&mut self) -> Option<Relief> {
        let intake = &mut self.intake;
        let cut_off = !intake.cut_off && intake.frames >= MUCH;
        let singles = intake.singles >= MUCH && intake.singles > intake.frames / 2;
        let ring = !intake.ring_asked && singles;
        intake.cut_off |= cut_off;
        intake.ring_asked |= ring;
        let retired = self.link.retire();
        let due = cut_off || ring || retired.is_some();
        if !due || self.is_confined() {
            return None;
        }
        Some(Relief {
            interface: self.mirror.as_ref()?.facts().interface.index,
            ring,
            retired,
            cut_off: self.ports.cut_off().filter(|_| cut_off).cloned(),
        })
    }

    /// Goes on by the link's successor. Nobody may wait for the link: the seat is empty, or the background thread's,
    /// which does this.
    fn take_up_successor(&mut self) {
        let Some(successor) = self.intake.successor.take() else {
            return;
        };
        match self.link.succeed(successor) {
            // What is left to others is to be this one, too.
            Ok(()) => self.endpoints.recalled = true,
            Err(errno) => log::debug(format_args!("no receive ring: {}", strerror::of(errno))),
        }
        // Nobody will be told of what is left in the old socket.
        for _ in 0..MOST_LEFT {
            let ready = self.ready_at_once();
            self.pass(ready, None);
            if !self.link.has_frame() {
                break;
            }
        }
        self.last.served = self.time;
    }

    fn lengthen_patrol(&mut self) {
        self.background.interval = (self.background.interval * 2).min(PATROL_MOST);
    }

    /// Tells the background thread that a thread of the program has taken the seat.
    pub(super) fn call_background_off(&mut self) {
        self.background.bell.ring();
    }
}

/// Whether the background thread is the only one besides the caller: to the program there is none.
pub fn is_only_company() -> bool {
    let runs = lock().is_some_and(|engine| engine.background.runs);
    runs && process::threads() == Some(2)
}

fn start() -> bool {
    signal::with_all_blocked(|| {
        std::thread::Builder::new()
            .name("sidestack".into())
            .stack_size(THREAD_STACK + least_stack())
            .spawn(run)
            .is_ok()
    })
}

/// What the thread does until the process ends or, in a forked child, until the engine is gone.
fn run() {
    IS_BACKGROUND.set(true);
    let mut seated_at = 0;
    while let Some(mut guard) = lock().and_then(estate::attend) {
        if let Some(relief) = guard.due_relief() {
            drop(guard);
            relief.bring();
            continue;
        }
        let idle = guard.time.saturating_sub(guard.last.served);
        if guard.driving.seat == Seat::Empty
            && u128::from(idle) * 2 >= guard.background.interval.as_nanos()
        {
            seated_at = guard.time;
            guard.driving.seat = Seat::Background;
            guard.settle_lagging();
        }
        match guard.driving.seat {
            Seat::Background => {
                // Only for a program that is away for long: one that is soon back is disturbed.
                if u128::from(guard.time.saturating_sub(seated_at)) > PATROL_MOST.as_nanos() {
                    guard.background.interval = PATROL;
                }
                guard.take_up_successor();
                drive(guard);
            }
            Seat::Empty => {
                guard.background.patrolled = true;
                guard.lengthen_patrol();
                guard.background.timer.start(guard.background.interval);
                sleep(guard);
            }
            Seat::Thread(_) => {
                guard.lengthen_patrol();
                guard.background.patrolled = false;
                guard.patrol_for_will();
                sleep(guard);
            }
        }
    }
}

/// What makes receiving cost less.
struct Relief {
    interface: u32,
    /// Its frames are to come by a ring.
    ring: bool,
    /// The socket they came by before.
    retired: Option<OwnedFd>,
    cut_off: Option<Arc<CutOff>>,
}

impl Relief {
    /// Brings it, where the rights and the kernel allow it.
    fn bring(&self) {
        let prepared = self.ring.then(|| PacketSocket::prepare(self.interface));
        match prepared {
            Some(Ok(successor)) => {
                if let Some(mut guard) = lock() {
                    guard.intake.successor = Some(successor);
                }
            }
            Some(Err(errno)) => {
                log::debug(format_args!("no receive ring: {}", strerror::of(errno)))
            }
            None => {}
        }
        if let Some(retired) = &self.retired {
            let _ = PacketSocket::set_aside(retired, self.interface);
        }
        // Who forks has the lock.
        let unforked = |step: Step<'_>| match lock() {
            Some(_engine) => step(),
            None => Err(Errno::CANCELED),
        };
        let cut_off = self.cut_off.as_ref();
        if let Some(Err(errno)) = cut_off.map(|cut_off| cut_off.install(unforked)) {
            log::debug(format_args!(
                "the kernel sees our packets, too: {}",
                strerror::of(errno)
            ));
        }
    }
}

/// One wait and one pass in the seat.
fn drive(mut guard: super::Guard) {
    guard.set_alarm();
    let mut bell = [entry(
        guard.background.bell.as_fd().as_raw_fd(),
        libc::POLLIN,
    )];
    let timeout = guard.will_is_due();
    let ready = guard.poll(&mut bell, timeout, None);
    if bell[0].revents != 0 {
        guard.background.bell.silence();
    }
    if guard.driving.seat == Seat::Background
        && let Ok(ready) = ready
    {
        guard.pass(ready, None);
    }
}

/// Sleeps until the patrol timer runs out.
fn sleep(mut guard: super::Guard) {
    let timer = guard.background.timer.as_fd().as_raw_fd();
    guard.unlocked(|| {
        let mut fds = [entry(timer, libc::POLLIN)];
        let _ = poll_for(&mut fds, None, None);
    });
    guard.background.timer.sleep();
}
