//! Keeping our descriptors out of the program's way.

use super::limit;
use super::lock::{self, Mutex};
use super::owned::OwnedFd;
use super::spare;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// First number our own descriptors may have; 0 while no region is set apart.
static FLOOR: AtomicU32 = AtomicU32::new(0);

/// How many numbers the region holds.
pub(super) const REGION: u64 = 400_000;

/// What the program believes its limits are, where the real ones are higher.
static PROGRAM_LIMIT: Mutex<Option<ProgramLimit>> = Mutex::new(None);

/// Whether our region lies above the program's numbers: the real soft limit was raised for it.
static APART: AtomicBool = AtomicBool::new(false);

/// Whether the program may have numbers of our region, too: that is among its own, or was until the program lowered its
/// limit, or the limit was raised past where the region begins.
static SHARED: AtomicBool = AtomicBool::new(true);

/// The real soft limit that has room for our region.
static RAISED: AtomicU64 = AtomicU64::new(0);

/// The soft limit that the program had before it has lowered it, or at its first socket.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Whether the real soft limit is the program's all the same: it has lowered it itself, and counts on that.
static KEPT: AtomicBool = AtomicBool::new(false);

/// Held while the limit is not kept for a moment.
static MOMENT: Mutex<()> = Mutex::new(());

/// The lowest limit that is kept. Under a lower one waiting would fail: poll(2) takes no more entries than it, and some
/// are ours.
const LEAST_KEPT: u64 = 8;

/// The real soft limit while threads are in `with_program_limit`.
struct Lowered {
    threads: u32,
    from: u64,
}

static LOWERED: Mutex<Lowered> = Mutex::new(Lowered {
    threads: 0,
    from: 0,
});

/// Frees what another thread had locked at the fork.
///
/// # Safety
/// The calling thread is the only one of its process, and is in none of the functions here.
pub unsafe fn free_lock() {
    // SAFETY: as the caller says.
    unsafe { lock::free(&PROGRAM_LIMIT) };
    // SAFETY: as the caller says.
    unsafe { lock::free(&LOWERED) };
    // SAFETY: as the caller says.
    unsafe { lock::free(&MOMENT) };
}

/// Limits on descriptors (RLIMIT_NOFILE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramLimit {
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// The kernel's own limits of this process.
pub fn real_limit() -> ProgramLimit {
    let Rlimit { current, maximum } = limit::of(Resource::Nofile);
    ProgramLimit {
        soft: current.unwrap_or(u64::MAX),
        hard: maximum.unwrap_or(u64::MAX),
    }
}

/// Sets a region of descriptor numbers apart above the program's soft limit, raising the real
/// limits as far as allowed. Where that is not far at all, the region is the upper quarter of the
/// program's own numbers, which it is least likely to reach. One that is set apart already stays.
pub fn set_apart() {
    if is_apart() {
        return;
    }
    let mut believed = PROGRAM_LIMIT.lock();
    let real = real_limit();
    BEGUN.fetch_max(real.soft, Ordering::Relaxed);
    let soft = real.soft.min(u64::from(u32::MAX / 4));
    let wanted = soft + REGION;
    // Beyond the hard limit only with CAP_SYS_RESOURCE.
    let raised = [
        (wanted, real.hard.max(wanted)),
        (real.hard.min(wanted), real.hard),
    ]
    .into_iter()
    .filter(|(raised, _)| *raised >= soft + soft / 4)
    .find(|&(raised, hard)| set_limit(raised, hard));
    APART.store(raised.is_some(), Ordering::Relaxed);
    SHARED.store(raised.is_none(), Ordering::Relaxed);
    let floor = match raised {
        Some((raised, _)) => {
            RAISED.store(raised, Ordering::Relaxed);
            let hard = believed.map_or(real.hard, |limit| limit.hard);
            *believed = Some(ProgramLimit { soft, hard });
            let kept = is_to_be_kept(soft);
            KEPT.store(kept, Ordering::Relaxed);
            if kept {
                set_limit(soft, real_limit().hard);
            }
            soft
        }
        None => soft - soft / 4,
    };
    FLOOR.store(floor as u32, Ordering::Relaxed);
}

fn set_limit(soft: u64, hard: u64) -> bool {
    let limit = Rlimit {
        current: Some(soft),
        maximum: (hard != u64::MAX).then_some(hard),
    };
    setrlimit(Resource::Nofile, limit).is_ok()
}

/// The limits the program sees; `None` while they are the real ones.
pub fn program_limit() -> Option<ProgramLimit> {
    *PROGRAM_LIMIT.lock()
}

/// Whether our region lies above the program's numbers.
pub fn is_apart() -> bool {
    APART.load(Ordering::Relaxed)
}

/// Whether the program's limit forbids it the number, though the real one does not.
pub fn is_beyond_limit(fd: RawFd) -> bool {
    is_apart() && program_limit().is_some_and(|limit| u64::from(fd.unsigned_abs()) >= limit.soft)
}

/// Whether the real soft limit is to be this one of the program's.
fn is_to_be_kept(soft: u64) -> bool {
    (LEAST_KEPT..BEGUN.load(Ordering::Relaxed)).contains(&soft)
}

/// The program changes its limits below our region. The real soft one follows if that is a lower one than it has begun
/// with: what opens files and no socket is then kept to it, too.
pub fn set_program_limit(limit: ProgramLimit) {
    let kept = is_to_be_kept(limit.soft);
    if limit.soft > u64::from(floor()) {
        SHARED.store(true, Ordering::Relaxed);
    }
    *PROGRAM_LIMIT.lock() = Some(limit);
    KEPT.store(kept, Ordering::Relaxed);
    let raised = RAISED.fetch_max(limit.soft, Ordering::Relaxed);
    let _moment = MOMENT.lock();
    let soft = if kept {
        limit.soft
    } else {
        raised.max(limit.soft)
    };
    set_limit(soft, real_limit().hard);
}

/// Whether the program may have a hard limit that is higher than the one it believes in: the real one follows.
pub fn may_raise(hard: u64) -> bool {
    let right =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    let real = real_limit();
    right && (hard <= real.hard || set_limit(real.soft, hard))
}

/// Runs `work`, which makes descriptors of which not all are to stay among the program's numbers, with room for them.
pub fn with_room<T>(work: impl FnOnce() -> T) -> T {
    if !KEPT.load(Ordering::Relaxed) || !is_apart() {
        return work();
    }
    let _moment = MOMENT.lock();
    let real = real_limit();
    set_limit(RAISED.load(Ordering::Relaxed), real.hard);
    let made = work();
    set_limit(real.soft, real.hard);
    made
}

/// The program changes its limits where no region lies above them. One among its numbers does, if it keeps below that
/// from now on. A lower hard limit is only believed in, since the real one could not be raised again and there would be
/// no room for the region. False: the kernel has to judge.
pub fn lower(wanted: ProgramLimit) -> bool {
    let mut believed = PROGRAM_LIMIT.lock();
    let real = real_limit();
    let hard = believed.map_or(real.hard, |limit| limit.hard);
    BEGUN.fetch_max(real.soft, Ordering::Relaxed);
    // A program that wants no descriptors at all confines itself, and means it.
    let is_right = (1..=wanted.hard).contains(&wanted.soft) && wanted.hard <= hard;
    let room = BEGUN.load(Ordering::Relaxed).min(real.hard);
    if is_right && (wanted.soft..room).contains(&u64::from(floor())) {
        drop(believed);
        RAISED.store(room, Ordering::Relaxed);
        APART.store(true, Ordering::Relaxed);
        set_program_limit(wanted);
        return true;
    }
    if is_right && wanted.hard < real.hard && set_limit(wanted.soft, real.hard) {
        *believed = Some(wanted);
        return true;
    }
    if let Some(limit) = believed.take() {
        set_limit(real.soft, limit.hard);
    }
    false
}

/// The process gives our region up, but may set one apart again.
pub fn leave_region() {
    LOWERED.lock().threads = 0;
    SHARED.store(true, Ordering::Relaxed);
    if APART.swap(false, Ordering::Relaxed)
        && let Some(limit) = program_limit()
    {
        set_limit(limit.soft, real_limit().hard);
    }
}

/// Whether our descriptors leave `count` numbers, as they do where they do not lie among the program's: else that is tried
/// by as many copies of `one`.
pub fn leaves(count: usize, one: BorrowedFd<'_>) -> bool {
    let spare = |_| fcntl_dupfd_cloexec(one, 0).map(OwnedFd::from);
    is_apart() || (0..count).map(spare).collect::<Result<Vec<_>, _>>().is_ok()
}

/// Puts the real limits back to what the program believes, before the process becomes another
/// program.
pub fn restore_limit() {
    APART.store(false, Ordering::Relaxed);
    if let Some(limit) = PROGRAM_LIMIT.lock().take() {
        set_limit(limit.soft, limit.hard);
    }
}

/// Runs `work` under the soft limit the program believes in: it starts a program, whose children should see that, or
/// makes descriptors inside the C library.
pub fn with_program_limit<T>(work: impl FnOnce() -> T) -> T {
    let Some(limit) = program_limit().filter(|_| is_apart()) else {
        return work();
    };
    let _meanwhile = Meanwhile::lowered(limit.soft);
    work()
}

/// A thread in `with_program_limit`. The first one lowers the limit, the last one raises it again.
struct Meanwhile;

impl Meanwhile {
    fn lowered(soft: u64) -> Self {
        let mut lowered = LOWERED.lock();
        lowered.threads += 1;
        if lowered.threads == 1 {
            let _moment = MOMENT.lock();
            let real = real_limit();
            lowered.from = real.soft;
            set_limit(soft, real.hard);
        }
        Self
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        let mut lowered = LOWERED.lock();
        // None is left in a process that was forked meanwhile, and has given our region up.
        if lowered.threads == 1 {
            let _moment = MOMENT.lock();
            set_limit(lowered.from, real_limit().hard);
        }
        lowered.threads = lowered.threads.saturating_sub(1);
    }
}

/// In a vfork(2) child, whose limits are its own but whose memory is not: puts the real limits to
/// what the program believes.
pub fn lower_for_exec() {
    if let Some(limit) = program_limit() {
        set_limit(limit.soft, limit.hard);
    }
}

/// First number of our own region; 0 if there is none.
pub fn floor() -> u32 {
    FLOOR.load(Ordering::Relaxed)
}

/// Numbers below this are told one by one whether they are ours.
const TOLD: usize = 1 << 20;
/// A bit for each number that a descriptor of ours has, in our region or where that was full.
static OURS: [AtomicU64; TOLD / 64] = [const { AtomicU64::new(0) }; TOLD / 64];

/// Whether the program must leave `fd` alone: what we have put into our region, or left where it was since that was full.
/// (The program may get into our region, too: the kernel no longer keeps calls as open(2) below the program's limit.)
pub fn is_ours(fd: RawFd) -> bool {
    let Ok(number) = u32::try_from(fd) else {
        return false;
    };
    match OURS.get(number as usize / 64) {
        Some(word) => word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1,
        None => is_apart() && number >= floor(),
    }
}

/// Whether it is told by the number.
pub(super) fn mark_ours(fd: RawFd) -> bool {
    let word = OURS.get(fd as usize / 64);
    let mark = |word: &AtomicU64| word.fetch_or(1 << (fd as usize % 64), Ordering::Relaxed);
    word.map(mark).is_some()
}

/// The descriptor is about to be closed, or given away. Whether its number was known to be ours.
pub(super) fn forget(fd: RawFd) -> bool {
    let bit = 1 << (fd as usize % 64);
    let word = OURS.get(fd as usize / 64);
    word.is_some_and(|word| {
        word.load(Ordering::Relaxed) & bit != 0
            && word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    })
}

/// Closes all that is ours but for `kept`, in a process that has given up all it knew of, as a forked child does first: the
/// stack's ends and packet sockets are its parent's business. What is still in the hands of other threads is closed, too.
pub fn close_ours_but(kept: &[RawFd]) {
    spare::forget();
    let told = match !SHARED.load(Ordering::Relaxed) && close_runs(floor(), kept) {
        // There is little among the program's own numbers, if anything.
        true => (floor() as usize).div_ceil(64).min(OURS.len()),
        false => OURS.len(),
    };
    let mut run = None;
    for (at, word) in OURS[..told].iter().enumerate() {
        // To read is to leave untouched memory what it is.
        let ours = match word.load(Ordering::Relaxed) {
            0 => 0,
            _ => word.swap(0, Ordering::Relaxed),
        };
        let numbers = at as u32 * 64..(at as u32 + 1) * 64;
        if ours == 0 && run.is_none() {
            continue;
        }
        for number in numbers {
            let closes = ours >> (number % 64) & 1 == 1 && !kept.contains(&(number as RawFd));
            match (run, closes) {
                (None, true) => run = Some(number),
                (Some(first), false) => {
                    close_run(first, number - 1);
                    run = None;
                }
                _ => {}
            }
        }
    }
    if let Some(first) = run {
        close_run(first, told as u32 * 64 - 1);
    }
    for &fd in kept {
        mark_ours(fd);
    }
}

/// Calls `close` for the runs of numbers from `first` to `last` that are not ours.
pub fn between_ours(first: u32, last: u32, mut close: impl FnMut(u32, u32)) {
    if floor() == 0 {
        return close(first, last);
    }
    let mut start = first;
    let words = (start as usize / 64)..=(last as usize / 64).min(OURS.len() - 1);
    for at in words.filter(|&at| OURS[at].load(Ordering::Relaxed) != 0) {
        let numbers = at as u32 * 64..(at as u32 + 1) * 64;
        let numbers = start.max(numbers.start)..numbers.end.min(last.saturating_add(1));
        for ours in numbers.filter(|&number| is_ours(number as RawFd)) {
            if start < ours {
                close(start, ours - 1);
            }
            start = ours + 1;
        }
    }
    // What is not told one by one is ours in a region above the program's numbers.
    let last = match is_apart() {
        true => last.min(floor().max(TOLD as u32) - 1),
        false => last,
    };
    if start <= last {
        close(start, last);
    }
}

/// Closes everything but what is ours: in a process that has nothing of the program's.
pub fn close_all_but_ours() {
    between_ours(0, u32::MAX, |first, last| {
        close_run(first, last);
    });
}

/// Closes everything but `kept`: in a process that has nothing else in use.
pub fn close_all_but(kept: &[RawFd]) {
    spare::forget();
    close_runs(0, kept);
}

/// What `make` makes, in our region.
///
/// # Errors
/// Those of `make`, and of [`moved`].
pub fn high<T: Into<OwnedFd>>(make: impl FnOnce() -> Result<T, Errno>) -> Result<OwnedFd, Errno> {
    moved(with_room(make)?)
}

/// Moves `fd` into our region, close-on-exec. With the region full it stays where it is, and without one it is left alone.
///
/// # Errors
/// Those of fcntl(2).
pub fn moved(fd: impl Into<OwnedFd>) -> Result<OwnedFd, Errno> {
    let mut fd = fd.into();
    let floor = floor();
    if floor == 0 {
        return Ok(fd);
    }
    // Else the program has used its own numbers up.
    if (fd.as_raw_fd() as u32) < floor {
        match copy(fd.as_fd()) {
            // INVAL: the limit is lower for a moment, see `with_program_limit`.
            Err(Errno::MFILE | Errno::INVAL) => {}
            moved => return moved,
        }
    }
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    fd.mark();
    Ok(fd)
}

/// Another descriptor of the same thing, in our region. Not for a moment it has a number that the
/// program may be about to get in another thread.
///
/// # Errors
/// EMFILE, EINVAL: the region is full, or out of reach for a moment.
pub fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let copy = with_room(|| fcntl_dupfd_cloexec(fd, floor() as RawFd))?;
    let mut copy = OwnedFd::from(copy);
    copy.mark();
    Ok(copy)
}

/// Closes every number from `first` on but those of `kept`.
fn close_runs(mut first: u32, kept: &[RawFd]) -> bool {
    let kept = kept.iter().map(|&fd| fd as u32);
    let mut kept: Vec<u32> = kept.filter(|&number| number >= first).collect();
    kept.sort_unstable();
    kept.iter().all(|&number| {
        let run = (first, number.wrapping_sub(1));
        first = number + 1;
        run.1 < run.0 || close_run(run.0, run.1)
    }) && close_run(first, u32::MAX)
}

fn close_run(first: u32, last: u32) -> bool {
    // SAFETY: close_range takes three integers; no memory is passed. Nobody in this process uses the
    // descriptors that are closed: what owned them was given up.
    let closed = unsafe {
        syscalls::syscall3(
            syscalls::Sysno::close_range,
            first as usize,
            last as usize,
            0,
        )
    };
    closed.is_ok()
}
