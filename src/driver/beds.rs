//! Calls that sleep in sockets of other processes' stacks ([`family`](super::family)), and whom poll(2) does not tell of
//! what other threads do meanwhile.
//!
//! Such a call sleeps by the number it was given. As on Linux it goes on with its socket when another thread closes that,
//! or puts something else in its place: so it has a *bed*, where it finds a copy then. Where the owner has made another
//! pair for the socket, what it slept in is over. Whoever does that rings the bell (see [`sleepers`](super::sleepers)), also for
//! those who wait for readiness, and look again. In a process with one thread nobody has a bed.
//!
//! A handler of the program's that runs at any moment of a sleep ends it (EINTR), also right before the thread sleeps.
//!
//! 1. The lock is taken in a section, and is the last one a thread takes.
//! 2. A handler of the program's may never return: it has the bed of its thread given up before. The call makes another.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;

use super::Name;
use super::seat::poll_with;
use super::sleepers::Sleepers;
use crate::sys::handlers::{self, Sleep};
use crate::sys::lock::Mutex;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{SignalMask, borrow, poll_asleep, poll_for};
use crate::sys::{cancel, descriptor, process};

static BEDS: Mutex<Beds> = Mutex::new(Beds::new());
/// Whether there was ever any: who closes what nobody sleeps in looks no further.
static ANY: AtomicBool = AtomicBool::new(false);

/// Where a call sleeps: the number, and the socket's name as it knows it.
pub type Place = (RawFd, Name);

/// How a sleep ended.
pub struct Woken {
    /// As poll(2) has it.
    pub ready: Result<usize, Errno>,
    /// Another thread has changed something: it may not be what poll(2) tells.
    pub rung: bool,
    /// The number is still the socket's.
    pub there: bool,
    /// What the number was that is lost.
    pub kept: Option<OwnedFd>,
    /// The socket has another pair.
    pub moved: bool,
}

/// What becomes of one call.
struct News {
    /// Its number is -1 once that is lost.
    place: Option<Place>,
    /// Where it sleeps.
    room: Option<u32>,
    kept: Option<OwnedFd>,
    moved: bool,
}

struct Beds {
    bells: Sleepers,
    beds: Vec<Option<News>>,
    free: Vec<u32>,
}

impl Beds {
    const fn new() -> Self {
        Self {
            bells: Sleepers::new(),
            beds: Vec::new(),
            free: Vec::new(),
        }
    }

    fn make(&mut self, place: Option<Place>) -> u32 {
        let news = Some(News {
            place,
            room: None,
            kept: None,
            moved: false,
        });
        if let Some(number) = self.free.pop() {
            self.beds[number as usize] = news;
            return number;
        }
        self.beds.push(news);
        (self.beds.len() - 1) as u32
    }

    /// The bell by which to sleep. `None`: there is news already.
    fn begin(&mut self, number: u32) -> Option<RawFd> {
        let news = self.beds.get_mut(number as usize)?.as_mut()?;
        if news.kept.is_some() || news.moved {
            return None;
        }
        let (room, bell) = self.bells.enter();
        news.room = Some(room);
        Some(bell)
    }

    /// A sleep is over; what has become of the call.
    fn end(&mut self, number: u32) -> Option<(Option<OwnedFd>, bool)> {
        let news = self.beds.get_mut(number as usize)?.as_mut()?;
        if let Some(room) = news.room.take() {
            self.bells.leave(room);
        }
        let kept = news.kept.take();
        if let (Some(_), Some((number, _))) = (&kept, &mut news.place) {
            *number = -1;
        }
        Some((kept, news.moved))
    }

    fn give_up(&mut self, number: u32) -> Option<News> {
        let news = self.beds.get_mut(number as usize)?.take()?;
        self.free.push(number);
        if let Some(room) = news.room {
            self.bells.leave(room);
        }
        Some(news)
    }

    fn in_use(&mut self) -> impl Iterator<Item = &mut News> {
        self.beds.iter_mut().flatten()
    }
}

fn locked<T>(work: impl FnOnce(&mut Beds) -> T) -> T {
    handlers::section(|| work(&mut BEDS.lock()))
}

fn if_any<T>(work: impl FnOnce(&mut Beds) -> T) -> Option<T> {
    ANY.load(Ordering::SeqCst).then(|| locked(work))
}

/// A call's bed, from its first sleep to its end.
pub struct Bed {
    place: Option<Place>,
    number: Option<u32>,
}

impl Bed {
    /// Of a call at `place`, if it is about one socket.
    pub const fn new(place: Option<Place>) -> Self {
        Self {
            place,
            number: None,
        }
    }

    /// ppoll(2), if `is_there` says that the call is where it thinks it is, once others would tell it.
    pub fn sleep(
        &mut self,
        is_there: impl Fn() -> bool,
        fds: &mut [libc::pollfd],
        timeout: Option<Duration>,
        mask: Option<&SignalMask>,
    ) -> Woken {
        if process::is_single_threaded() || handlers::in_section() {
            return Woken {
                ready: cancel::interruptible(|| sleep_alone(fds, timeout, mask)),
                rung: false,
                there: true,
                kept: None,
                moved: false,
            };
        }
        let (number, bell) = handlers::section(|| {
            ANY.store(true, Ordering::SeqCst);
            let number = self.lie_down();
            let bell = BEDS.lock().begin(number);
            (number, bell.filter(|_| is_there()))
        });
        let slept = match bell {
            Some(bell) => cancel::interruptible(|| poll_with([bell], fds, timeout, mask)),
            None => Ok([true]),
        };
        // In this order: what was lost before the look was kept before it.
        let there = is_there();
        let (undisturbed, news) = handlers::section(|| {
            let undisturbed = handlers::lies_down();
            (undisturbed, undisturbed.then(|| BEDS.lock().end(number)))
        });
        let (kept, moved) = news.flatten().unwrap_or_default();
        if let (Some(_), Some((number, _))) = (&kept, &mut self.place) {
            // It may be another socket's by now.
            *number = -1;
        }
        let ready = match slept.map(|_| ready(fds)) {
            Ok(0) if !undisturbed => Err(Errno::INTR),
            ready => ready,
        };
        Woken {
            rung: undisturbed && slept == Ok([true]),
            ready,
            there,
            kept,
            moved,
        }
    }

    /// The bed's number: of a new one, if a handler has run since.
    fn lie_down(&mut self) -> u32 {
        match self.number.filter(|_| handlers::lies_down()) {
            Some(number) => number,
            None => {
                let number = BEDS.lock().make(self.place);
                handlers::lie_down(Sleep::Abroad { bed: number });
                *self.number.insert(number)
            }
        }
    }
}

/// How many of them are ready.
fn ready(fds: &[libc::pollfd]) -> usize {
    fds.iter().filter(|polled| polled.revents != 0).count()
}

/// ppoll(2) where no other thread could change anything.
fn sleep_alone(
    fds: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<&SignalMask>,
) -> Result<usize, Errno> {
    let first = fds.first().map(|polled| polled.fd);
    if handlers::in_section() {
        return poll_for(fds, timeout, mask);
    }
    handlers::lie_down(Sleep::Alone);
    let slept = poll_asleep(fds, timeout, mask);
    if handlers::rise() {
        return slept;
    }
    // The handler has taken the first one's number away.
    if let (Some(polled), Some(fd)) = (fds.first_mut(), first) {
        polled.fd = fd;
        polled.revents &= !libc::POLLNVAL;
    }
    match slept.map(|_| ready(fds)) {
        Ok(0) => Err(Errno::INTR),
        slept => slept,
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let left = locked(|beds| handlers::rise().then(|| beds.give_up(number)));
            drop(left);
        }
    }
}

/// A handler of the program's is about to run in a thread that has that bed.
pub(super) fn give_up(number: u32) {
    drop(locked(|beds| beds.give_up(number)));
}

/// The numbers are about to be closed, or to become something else: who sleeps by them keeps what they are. Before the
/// upper layer forgets what that was.
pub fn keep(numbers: &RangeInclusive<RawFd>) {
    if_any(|beds| {
        for bed in beds.in_use() {
            if let Some((fd, _)) = bed.place
                && numbers.contains(&fd)
                && bed.kept.is_none()
            {
                // If it fails, the call finds the socket closed.
                bed.kept = descriptor::copy(borrow(fd)).ok();
            }
        }
    });
}

/// Whether anybody does.
pub fn is_kept(fd: RawFd) -> bool {
    let by_it = |bed: &&mut News| bed.place.is_some_and(|(number, _)| number == fd);
    if_any(|beds| beds.in_use().filter(by_it).any(|bed| bed.kept.is_some())) == Some(true)
}

/// The socket of that name has another pair now.
pub fn note_moved(name: Name) {
    if_any(|beds| {
        for bed in beds.in_use() {
            bed.moved |= bed.place.is_some_and(|(_, held)| held == name);
        }
    });
}

/// All look who sleep.
pub fn wake() {
    if_any(|beds| beds.bells.wake());
}

/// Before fork(2): keeps other threads from changing anything, so that the child finds it whole.
pub(super) fn hold() {
    core::mem::forget(BEDS.lock());
}

/// After it, in the parent.
///
/// # Safety
/// The thread has called [`hold`].
pub(super) unsafe fn release() {
    // SAFETY: as the caller says.
    unsafe { BEDS.force_unlock() };
}

/// After it, in the child: those who sleep are not here.
///
/// # Safety
/// As of [`release`].
pub(super) unsafe fn release_in_child() {
    // SAFETY: as the caller says.
    unsafe { BEDS.force_unlock() };
    *BEDS.lock() = Beds::new();
}
