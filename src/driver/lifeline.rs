//! Lifelines: how a process learns that a forked one uses its sockets, and that none has them any more.
//!
//! After fork(2) the child may use every socket that existed, where this process does not see it. Before it uses the first
//! it *announces* that, in memory of both ([`Announced`]), rings this process's bell, and waits until it was heard: what
//! short cuts had left in queues is in the pairs then. From there on what existed at the fork has no short cuts. A child that
//! uses none, as one that only writes a snapshot, costs them nothing.
//!
//! The child holds the write end of a pipe, its *lifeline*, as does
//! whatever it forks; when the last of them has ended or executed another program, the pipe hangs
//! up, and the sockets are this process's alone again: once all events are served that came before, since the pairs' tell
//! what they have written, if anything.
//!
//! 1. A socket that goes farther than that (the child passes it on, or keeps it across execve(2)) is
//!    shared for good: the child has its owner told (`Question::Share`).
//! 2. A lifeline is inherited by a program that is executed where no hook sees it.
//! 3. It also shows who may ask the parent for sockets of its stack (see the [`keeper`](super::keeper)).
//! 4. Where no lifeline can be made, what existed at the fork is shared for good.
//! 5. The order of what is sent needs no answer: this process looks for announcements before each `send`. Who is not heard
//!    in time, or finds that this process is stopped, goes on: what is in a queue comes later than it could.
//! 6. When it is killed, an executor takes no short cuts, and says so once all is in the pairs that was in queues
//!    ([`Announced::end`]).

use core::cell::Cell;
use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use rustix::fs::fstat;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::Engine;
use super::endpoint::{Endpoint, EndpointId, Role};
use super::engine::TOKEN_LIFELINE;
use super::family::{self, Name};
use super::forks;
use crate::sys::announced::{Announced, LINES};
use crate::sys::descriptor;
use crate::sys::local;
use crate::sys::lock::{self, Mutex};
use crate::sys::owned::OwnedFd;
use crate::sys::process;
use crate::sys::raw;
use crate::sys::wait::{borrow, poll_now};
use crate::sys::wake;

/// Forked processes that are watched at a time, where our descriptors do not lie among the program's
/// own numbers, and where they do.
const MOST: usize = LINES;
const MOST_AMONG: usize = 64;

/// How long a process waits to be heard: its parent may be waiting for its processor.
const PATIENCE: Duration = Duration::from_secs(1);

/// The lifelines this process holds, the newest last.
static HELD: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// The lifeline of a process this one was forked from.
struct Line {
    parent: Parent,
    fd: OwnedFd,
    /// Where its use of what it has inherited is announced, and by which line.
    announced: &'static Announced,
    place: usize,
    /// The bell of who hears that: this process's copy has the same number.
    bell: RawFd,
}

/// A process this one was forked from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent {
    /// Its engine.
    pub(super) engine: u64,
    /// Its user, as far as this process knows.
    pub(super) user: u32,
    /// What shows that this process descends from it.
    pub(super) lifeline: RawFd,
    /// Which process it was at the fork, as far as this one can see it.
    process: Option<Pid>,
}

impl Parent {
    /// Whether nothing is left of the parent, nor of who went on for it.
    fn is_gone(self) -> bool {
        // Nobody has the lifeline's other end.
        poll_now(self.lifeline, 0) & libc::POLLERR != 0
    }

    /// Whether it hears nothing now.
    fn is_stopped(self) -> bool {
        self.process.is_some_and(process::is_stopped)
    }
}

/// The lifelines this process watches.
#[derive(Default)]
pub(super) struct Lifelines {
    /// The child's end, across a fork, and its line.
    fresh: Option<(OwnedFd, usize)>,
    /// The forks whose processes live.
    living: Vec<Living>,
    /// Where they announce that they use what they have, and its file; `None`: there was none yet.
    announced: Option<(&'static Announced, OwnedFd)>,
    /// Who goes on when this process is killed has a copy of that.
    pub(super) announced_copied: bool,
    /// Announcements that were heard.
    heard: u32,
    /// One has ended, and what existed then still counts as shared.
    ended: bool,
    /// The last fork that cannot be watched.
    endless: u32,
    /// Forks of whose lifelines no copy was made for who goes on when this process is killed.
    pub(super) uncopied: Vec<u32>,
}

/// A fork whose processes live.
struct Living {
    number: u32,
    /// The read end of its lifeline.
    read: OwnedFd,
    /// By which line it announces.
    place: usize,
    /// It has.
    in_use: bool,
}

impl Lifelines {
    /// All that are watched.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.living.iter().map(|held| held.number).collect()
    }

    /// The end of a lifeline that is watched.
    pub(super) fn end_of(&self, number: u32) -> Option<BorrowedFd<'_>> {
        let mut living = self.living.iter();
        living
            .find(|held| held.number == number)
            .map(|held| held.read.as_fd())
    }

    /// The file in which forked processes announce what they use.
    pub(super) fn announced_file(&self) -> Option<BorrowedFd<'_>> {
        self.announced.as_ref().map(|(_, file)| file.as_fd())
    }

    /// Takes up the file of a process that is dead, if it is one.
    pub(super) fn take_up_announced(&mut self, file: OwnedFd) {
        let announced = Announced::open(&file).ok();
        self.announced = announced.map(|announced| (announced, file));
    }

    /// Nobody need be heard any more: nothing has short cuts, nor will have, and all is in the pairs.
    pub(super) fn end_announcements(&self) {
        if let Some((announced, _)) = &self.announced {
            announced.end();
        }
    }

    /// Forks whose processes live, as far as that is known.
    pub(super) fn len(&self) -> usize {
        self.living.len()
    }

    /// A line that none of them has. `None`: it could not be announced by.
    fn free_place(&mut self) -> Option<usize> {
        let announced = match &self.announced {
            Some((announced, _)) => announced,
            None => self.announced.insert(Announced::new().ok()?).0,
        };
        let is_free = |place: &usize| self.living.iter().all(|held| held.place != *place);
        let place = (0..LINES).find(is_free)?;
        announced.clear(place);
        Some(place)
    }

    /// The last fork whose processes live, and the last of those whose use what they have.
    fn newest(&self) -> (u32, u32) {
        let numbers = |used: bool| {
            let held = self.living.iter().filter(move |held| held.in_use || !used);
            held.map(|held| held.number).max().unwrap_or(0)
        };
        (
            numbers(false).max(self.endless),
            numbers(true).max(self.endless),
        )
    }
}

/// The numbers of the lifelines this process holds.
pub(super) fn held() -> Vec<RawFd> {
    let held = HELD.lock();
    let numbers = held
        .iter()
        .flat_map(|line| [line.fd.as_raw_fd(), line.bell]);
    numbers.collect()
}

/// Those this process was forked from, the nearest first.
pub(super) fn parents() -> Vec<Parent> {
    HELD.lock().iter().rev().map(|line| line.parent).collect()
}

/// Lets them go: this process has nothing of the program's.
pub(super) fn release() {
    for line in HELD.lock().drain(..) {
        let _ = raw::close(line.bell);
    }
}

/// This process is about to become another program, or is its vfork(2) child that is: lifelines
/// end here if all that goes on is `shared` for good (invariant 1).
pub fn end_at_exec(shared: bool) {
    let flags = match shared {
        true => rustix::io::FdFlags::CLOEXEC,
        false => rustix::io::FdFlags::empty(),
    };
    for line in HELD.lock().iter() {
        // Of a descriptor that is open: it cannot fail.
        let _ = rustix::io::fcntl_setfd(&line.fd, flags);
    }
}

/// This process is about to use what it has inherited from the one that had `engine`.
pub fn announce_use(engine: u64) {
    let with = |lines: &[Line]| {
        let line = lines
            .iter()
            .rev()
            .find(|line| line.parent.engine == engine)?;
        Some((line.announced, line.place, line.bell, line.parent))
    };
    let line = with(&HELD.lock());
    if let Some((announced, place, bell, parent)) = line {
        let announcement = announced.announce(place);
        wake::ring(borrow(bell));
        // Most have heard before it could be found out how they are.
        let has_waited = Cell::new(false);
        let is_in_vain = || parent.is_gone() || has_waited.replace(true) && parent.is_stopped();
        announcement.await_hearing(PATIENCE, is_in_vain);
    }
}

/// What this process has of sockets of those it was forked from goes farther than to processes it forks itself: tells their
/// owners (invariant 1); whether all have heard it. Others need not be told, who made it known as they passed theirs on.
pub fn share_farther(sockets: &[Name]) -> bool {
    parents().into_iter().fold(true, |heard, parent| {
        let own = sockets.iter().filter(|name| name.engine == parent.engine);
        let own: Vec<_> = own.map(|name| name.endpoint).collect();
        (own.is_empty() || family::share(parent, &own)) && heard
    })
}

/// Whether this process was forked from one that watches it.
pub(super) fn is_held() -> bool {
    !HELD.lock().is_empty()
}

/// Frees the lock.
///
/// # Safety
/// The calling thread is the only one of its process, and does not have it.
pub(super) unsafe fn free_lock() {
    // SAFETY: as the caller says.
    unsafe { lock::free(&HELD) };
}

impl Engine {
    /// Before a fork: what exists is the child's, too, until the lifeline ends, which it soon does if none comes of it.
    /// Whoever goes on when this process is killed knows of that before the child is there.
    pub(super) fn prepare_lifeline(&mut self) {
        if self.endpoints.is_empty() {
            return;
        }
        let number = self.endpoints.count_fork();
        if let Some((read, write)) = self.make_line()
            && let Some(place) = self.lifelines.free_place()
            && self.watch(number, read, Some(place))
        {
            self.lifelines.fresh = Some((write, place));
            self.lifelines.uncopied.push(number);
        } else {
            self.lifelines.endless = number;
        }
        self.note_forks();
        for id in self.endpoints.such(Endpoint::is_to_be_left) {
            self.leave_to_others(id);
        }
        self.copy_ends();
    }

    /// What existed at a fork whose processes live is theirs, too, and shared if they use it.
    fn note_forks(&mut self) {
        let (living, in_use) = self.lifelines.newest();
        forks::note(living, in_use);
    }

    /// Both ends of another lifeline; `None`: there can be none.
    fn make_line(&self) -> Option<(OwnedFd, OwnedFd)> {
        let most = match descriptor::is_apart() {
            true => MOST,
            false => MOST_AMONG,
        };
        if self.lifelines.living.len() >= most {
            return None;
        }
        let make = || pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (read, write) = descriptor::with_room(make).ok()?;
        Some((
            descriptor::moved(read).ok()?,
            descriptor::moved(write).ok()?,
        ))
    }

    /// After it, in the child: the engine is about to be given up, the lifeline is kept.
    pub(super) fn hold_lifeline(&mut self) {
        if let Some((write, place)) = self.lifelines.fresh.take()
            && let Some((announced, _)) = self.lifelines.announced
            && rustix::io::fcntl_setfd(&write, rustix::io::FdFlags::empty()).is_ok()
        {
            let parent = Parent {
                engine: self.id,
                user: local::own_user(),
                lifeline: write.as_raw_fd(),
                process: rustix::process::getppid(),
            };
            HELD.lock().push(Line {
                parent,
                fd: write,
                announced,
                place,
                bell: self.driving.wake.as_fd().as_raw_fd(),
            });
        }
    }

    /// Whether `fd` is the lifeline of a process forked from this one.
    pub(super) fn is_lifeline(&self, fd: &OwnedFd) -> bool {
        let Ok(shown) = fstat(fd) else { return false };
        // Both ends of a pipe are one file.
        self.lifelines.living.iter().any(|held| {
            fstat(&held.read)
                .is_ok_and(|held| (held.st_dev, held.st_ino) == (shown.st_dev, shown.st_ino))
        })
    }

    /// After it, in the parent: the child alone holds the lifeline.
    pub(super) fn leave_lifeline(&mut self) {
        self.lifelines.fresh = None;
    }

    /// Watches the lifeline of another process's fork, whose processes cannot announce anything here.
    pub(super) fn watch_line(&mut self, number: u32, read: OwnedFd) {
        self.watch(number, read, None);
        self.note_forks();
    }

    /// Watches a lifeline; whether that can be. `place`: by which line its processes announce that they use what they have.
    fn watch(&mut self, number: u32, read: OwnedFd, place: Option<usize>) -> bool {
        let token = TOKEN_LIFELINE + u64::from(number);
        let watched = self.set.add(&read, token, EventFlags::HUP).is_ok();
        if watched {
            self.lifelines.living.push(Living {
                number,
                read,
                place: place.unwrap_or(LINES),
                in_use: place.is_none(),
            });
        }
        watched
    }

    /// The lifeline of a fork has ended.
    pub(super) fn serve_lifeline(&mut self, number: u32) {
        let living = &mut self.lifelines.living;
        if let Some(at) = living.iter().position(|held| held.number == number) {
            let ended = living.swap_remove(at);
            self.set.remove(&ended.read);
            self.lifelines.ended = true;
        }
    }

    /// All events of the ends were served. Where a lifeline's was among them, so were those of whatever its processes had
    /// written before: what existed at that fork and at no later one whose processes live is this process's alone.
    pub(super) fn end_sharing(&mut self) {
        if !core::mem::take(&mut self.lifelines.ended) {
            return;
        }
        let before = forks::in_use();
        self.note_forks();
        for id in self.born_between(forks::in_use(), before) {
            let Some(endpoint) = self.endpoints.get_mut(id) else {
                continue;
            };
            match endpoint.role {
                Role::Datagram(socket) => self.take_datagrams(id, socket),
                Role::Listener(socket) => {
                    self.offer_connection(id, socket);
                    self.watch_end(id);
                }
                // What they have written is taken once there is a connection.
                Role::Connecting(_) => endpoint.overflow = true,
                Role::Connection(_) | Role::Undecided | Role::Ended => {}
            }
        }
    }

    /// Hears what forked processes have announced, if they have: they use what existed at their fork from now on.
    #[inline]
    pub fn hear_forks(&mut self) {
        if let Some((announced, _)) = self.lifelines.announced {
            let count = announced.count();
            if count != self.lifelines.heard {
                self.begin_sharing(announced, count);
            }
        }
    }

    #[cold]
    fn begin_sharing(&mut self, announced: &Announced, count: u32) {
        self.lifelines.heard = count;
        for held in &mut self.lifelines.living {
            held.in_use |= held.place < LINES && announced.is_by(held.place);
        }
        let before = forks::in_use();
        self.note_forks();
        // They may accept, which shows in another way than that they do not.
        for id in self.born_between(before, forks::in_use()) {
            let role = self.endpoints.get(id).map(|held| held.role);
            if matches!(role, Some(Role::Listener(_))) {
                self.watch_end(id);
            }
        }
        self.settle_lagging();
        announced.hear(count);
    }

    /// What existed at the fork `last`, and not yet at the fork `first`.
    fn born_between(&self, first: u32, last: u32) -> Vec<EndpointId> {
        if first >= last {
            return Vec::new();
        }
        let between = first..last;
        self.endpoints.such(|held| between.contains(&held.born))
    }
}
