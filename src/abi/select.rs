//! select(2) and pselect(2), by way of poll(2).

use core::ffi::c_int;
use core::time::Duration;
use rustix::io::Errno;

use super::border::{fail, read, serve, values, write};
use super::next;
use super::poll::{signal_mask, timeout_of};
use crate::socket::{readiness, table};
use crate::sys::wait::{SignalMask, entry};
use crate::sys::{clock, raw};

/// Bits in a word of a set.
const BITS: usize = usize::BITS as usize;

/// What makes a descriptor readable, writable and exceptional (fs/select.c's table, select(2)).
const READABLE: i16 =
    libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND | libc::POLLHUP | libc::POLLERR;
const WRITABLE: i16 = libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND | libc::POLLERR;
const EXCEPTIONAL: i16 = libc::POLLPRI;

/// One of the program's three sets, as words.
struct Set<'a>(Option<&'a mut [usize]>);

impl Set<'_> {
    /// # Safety
    /// `set` is the program's, or null; sets may be longer than an fd_set.
    unsafe fn new(set: *mut libc::fd_set, count: usize) -> Result<Self, Errno> {
        if set.is_null() {
            return Ok(Self(None));
        }
        // SAFETY: the caller's promise.
        unsafe { values(set.cast::<usize>(), count.div_ceil(BITS)) }.map(|words| Self(Some(words)))
    }

    fn has(&self, fd: usize) -> bool {
        self.0
            .as_ref()
            .is_some_and(|words| words[fd / BITS] >> (fd % BITS) & 1 == 1)
    }

    fn clear(&mut self) {
        if let Some(words) = &mut self.0 {
            words.fill(0);
        }
    }

    fn insert(&mut self, fd: usize) {
        if let Some(words) = &mut self.0 {
            words[fd / BITS] |= 1 << (fd % BITS);
        }
    }
}

/// How many descriptors the sets are about. Programs say getdtablesize(3), and mean FD_SETSIZE: the kernel knows by
/// the length of its table of descriptors, which is ours, too. So what is behind an fd_set counts up to the last that
/// is open, before the first that is not.
///
/// # Safety
/// As the program promises for select(2).
unsafe fn meant(count: c_int, sets: [*mut libc::fd_set; 3]) -> c_int {
    let words = usize::try_from(count).unwrap_or(0).div_ceil(BITS);
    let first = libc::FD_SETSIZE / BITS;
    let mut known = first;
    for at in first..words {
        let mut named = 0;
        for set in sets.iter().filter(|set| !set.is_null()) {
            // SAFETY: it is only looked at if it is there; any bytes are a word.
            match unsafe { read(set.cast::<usize>().wrapping_add(at)) } {
                Ok(word) => named |= word,
                Err(_) => return (known * BITS) as c_int,
            }
        }
        let mut fds = (0..BITS).filter(|bit| named >> bit & 1 == 1);
        if fds.any(|bit| raw::fcntl((at * BITS + bit) as c_int, libc::F_GETFD, 0).is_err()) {
            break;
        }
        if named != 0 {
            known = at + 1;
        }
    }
    count.min((known * BITS) as c_int)
}

struct Sets<'a> {
    read: Set<'a>,
    write: Set<'a>,
    except: Set<'a>,
}

impl Sets<'_> {
    fn events(&self, fd: usize) -> i16 {
        let mut events = 0;
        if self.read.has(fd) {
            events |= libc::POLLIN;
        }
        if self.write.has(fd) {
            events |= libc::POLLOUT;
        }
        if self.except.has(fd) {
            events |= libc::POLLPRI;
        }
        events
    }

    fn entries(&self, count: usize) -> Vec<libc::pollfd> {
        let named = (0..count).filter(|&fd| self.events(fd) != 0);
        named
            .map(|fd| entry(fd as c_int, self.events(fd)))
            .collect()
    }

    /// Leaves in the sets what is ready; how many bits.
    fn report(&mut self, entries: &[libc::pollfd]) -> Result<c_int, Errno> {
        if entries
            .iter()
            .any(|polled| polled.revents & libc::POLLNVAL != 0)
        {
            return Err(Errno::BADF);
        }
        for set in [&mut self.read, &mut self.write, &mut self.except] {
            set.clear();
        }
        let mut bits = 0;
        for polled in entries {
            let fd = polled.fd as usize;
            let mut note = |asked: i16, ready: i16, set: &mut Set<'_>| {
                if polled.events & asked != 0 && polled.revents & ready != 0 {
                    set.insert(fd);
                    bits += 1;
                }
            };
            note(libc::POLLIN, READABLE, &mut self.read);
            note(libc::POLLOUT, WRITABLE, &mut self.write);
            note(libc::POLLPRI, EXCEPTIONAL, &mut self.except);
        }
        Ok(bits)
    }
}

/// The sets and the entries to poll for them, if one of those is ours.
///
/// # Safety
/// As the program promises for select(2).
unsafe fn with_ours<'a>(
    count: c_int,
    sets: [*mut libc::fd_set; 3],
) -> Option<(Sets<'a>, Vec<libc::pollfd>)> {
    let count = usize::try_from(count).ok()?;
    // SAFETY: the caller's promise.
    let sets = unsafe {
        Sets {
            read: Set::new(sets[0], count).ok()?,
            write: Set::new(sets[1], count).ok()?,
            except: Set::new(sets[2], count).ok()?,
        }
    };
    let entries = sets.entries(count);
    entries
        .iter()
        .any(|polled| table::is_met(polled.fd))
        .then_some((sets, entries))
}

/// `None`: make the call on the descriptors.
fn wait(
    sets: &mut Sets<'_>,
    entries: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
) -> Option<Result<c_int, Errno>> {
    let outcome = readiness::poll(entries, timeout, mask)?;
    Some(outcome.and_then(|_| sets.report(entries)))
}

/// Whether there is no time where one is said to be: the kernel says so, but the C library looks at it before.
///
/// # Safety
/// As the program promises for select(2).
unsafe fn is_astray<T: Copy>(timeout: *const T) -> bool {
    // SAFETY: the caller's promise.
    !timeout.is_null() && unsafe { read(timeout) }.is_err()
}

/// select(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn select(
    count: c_int,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> c_int {
    // SAFETY: the program's own argument.
    if unsafe { is_astray(timeout) } {
        return fail(Errno::FAULT);
    }
    // SAFETY: the program's own arguments.
    let count = unsafe { meant(count, [readable, writable, exceptional]) };
    // SAFETY: the program's own arguments.
    let by_kernel =
        || unsafe { next::SELECT.get()(count, readable, writable, exceptional, timeout) };
    // SAFETY: the program's own arguments.
    let ours = unsafe { with_ours(count, [readable, writable, exceptional]) };
    let Some((mut sets, mut entries)) = ours else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        let limit = if timeout.is_null() {
            None
        } else {
            // SAFETY: the program's own timeout.
            Some(span(&unsafe { read(timeout) }?)?)
        };
        let before = clock::monotonic();
        let Some(outcome) = wait(&mut sets, &mut entries, limit, None) else {
            return Ok(None);
        };
        if let Some(limit) = limit {
            let passed = Duration::from_nanos(clock::monotonic() - before);
            let left = limit.saturating_sub(passed);
            let left = libc::timeval {
                tv_sec: left.as_secs() as libc::time_t,
                tv_usec: libc::suseconds_t::from(left.subsec_micros()),
            };
            // SAFETY: read above. Linux leaves the time that was left (select(2)).
            unsafe { write(timeout, left) }?;
        }
        outcome.map(Some)
    })
}

fn span(timeval: &libc::timeval) -> Result<Duration, Errno> {
    let seconds = u64::try_from(timeval.tv_sec).map_err(|_| Errno::INVAL)?;
    let micros = u64::try_from(timeval.tv_usec).map_err(|_| Errno::INVAL)?;
    Ok(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
}

/// pselect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pselect(
    count: c_int,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    timeout: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> c_int {
    // SAFETY: the program's own argument.
    if unsafe { is_astray(timeout) } {
        return fail(Errno::FAULT);
    }
    // SAFETY: the program's own arguments.
    let count = unsafe { meant(count, [readable, writable, exceptional]) };
    // SAFETY: the program's own arguments.
    let by_kernel =
        || unsafe { next::PSELECT.get()(count, readable, writable, exceptional, timeout, mask) };
    // SAFETY: the program's own arguments.
    let ours = unsafe { with_ours(count, [readable, writable, exceptional]) };
    let Some((mut sets, mut entries)) = ours else {
        return by_kernel();
    };
    serve(by_kernel, move || {
        // SAFETY: the program's own arguments.
        let (limit, mask) = unsafe { (timeout_of(timeout)?, signal_mask(mask)?) };
        wait(&mut sets, &mut entries, limit, mask).transpose()
    })
}
