//! Who runs the stack, and how its sockets meet their descriptors.
//!
//! ```text
//!   a thread in recv, poll, epoll_wait …        the background thread
//!            │ seat                                   │ seat, while nobody else has it
//!            ▼                                        ▼
//!     wait for link, ends, alarm ──► pass: drain link → ends → timers → transmit → settle
//! ```
//!
//! Whoever waits, drives. The [`seat`] says who: the thread that waits in a call of ours takes it,
//! moves the frames itself, and leaves it with what it came for. The [`background`] thread takes a
//! seat that stays empty, so that acknowledgements, timers and descriptors used behind our back
//! are served while the program computes. What outlives the process is served by an [`heir`]; who binds a port has
//! [`heirs`] look whether it is free by now.
//!
//! An [`endpoint`] is the stack's end of the pair whose other end is the program's descriptor.
//! To [`settle`] it makes the one agree with the other: bytes, end of stream, errors, room to send.
//! Two short cuts spare the pair: [`delivery`] copies from the frame to the call that waits,
//! [`notice`] tells an epoll set's waiter directly. [`filler`] keeps a descriptor from being
//! writable. [`urgent`] data has neither. [`errors`] has the error queues of MSG_ERRQUEUE, and what
//! shows POLLERR, which a pair cannot.
//!
//! [`start`] builds the engine, or says why not; [`news`] of the interface, its addresses and routes
//! change it. [`ports`] has the books of who uses which port, and what of it the kernel holds;
//! [`sharing`] agrees with other processes on those of several, and [`orphans`] has connections on
//! ports that are given back, as they are once [`unlistened`].
//!
//! [`family`] answers other processes that hold its sockets, who come to its [`door`]; a [`keeper`]
//! serves processes that may not have a stack of their own. [`estate`] is what goes on when a process
//! is killed. [`inspect`] answers `sidestack ss`.
//!
//! 1. One lock ([`lock`]) guards the engine: stack, link, endpoints, ports, seat. It is not held
//!    while waiting, but for a link that takes no more frames (2 ms at most), and across fork(2).
//!    Who has it runs no handler of the program's ([`handlers`]). A thread that asks for it while it
//!    has it (a handler that was set past the C library) is refused and goes by the descriptor alone.
//! 2. Only the holder of the lock writes to an endpoint's pair, so "the pair was empty" stays
//!    true until the lock is released.
//! 3. Bytes for the program are in three places, oldest first: the pair, the receive queue, the
//!    frame being processed. They move forward only.
//! 4. Bytes from the program likewise: the send queue, the pair, the call in progress.
//! 5. While the lock is free, one of three holds: somebody has the seat, and waits for the link
//!    and the stack's next deadline; the seat is empty, and the patrol timer runs or the
//!    background thread is about to look; or there is nothing to serve.

mod admitted;
mod asleep;
mod background;
pub mod beds;
mod calls;
mod choice;
mod convert;
mod datagrams;
mod delivery;
mod door;
mod ending;
mod endpoint;
mod engine;
mod envelope;
mod errors;
mod estate;
mod family;
mod filler;
mod forks;
mod guests;
mod heir;
mod heirs;
mod holders;
mod holding;
mod inspect;
mod intake;
mod interface;
pub mod keeper;
mod kernel_side;
mod lagging;
mod leasing;
mod left;
mod lifeline;
mod lingering;
mod listeners;
mod mlock;
mod news;
mod notice;
mod orphans;
mod output;
mod passed;
mod ports;
mod process;
mod refusal;
mod rights;
mod seat;
mod settle;
mod sharing;
mod sleepers;
mod start;
mod unlistened;
mod urgent;
mod uses;

pub use background::is_only_company;
pub use delivery::Direct;
pub use endpoint::{Endpoint, EndpointId, Handed, Record, Role};
pub use engine::Engine;
pub use envelope::{Arrived, Departing};
pub use errors::{Entry, has_notice};
pub use estate::note_set_out;
pub use family::{
    Answer, Connecting, Description, Name, Question, Served, Shown, ask, ask_and_stay, ask_briefly,
    await_news, take_leave,
};
pub use guests::Asker;
pub use heir::before_exec;
pub use heirs::await_successors;
pub use holders::Reuse;
pub use left::Left;
pub use lifeline::{announce_use, end_at_exec, share_farther};
pub use mlock::around_mlockall;
pub use notice::{Collector, Watcher};
pub use passed::{Passed, count_passed, sockets_passed};
pub use ports::{Lease, Wish};
pub use process::{after_fork_child, after_fork_parent, before_fork, finish, watch_forks};
pub use rights::keep_right;
pub use seat::{Caller, Interruption, Wait, wait};
pub use start::{Service, before_chroot, engine_id, is_guest, refusal, service, system_limits};
pub use urgent::Mark;

use core::net::SocketAddrV4;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::OnceLock;

use self::keeper::Create;
use crate::control::ephemeral::Protocol;
use crate::sys::clock;
use crate::sys::handlers::{self, Sleep};
use crate::sys::lock::{Mutex, MutexGuard};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::poll_for;

/// What the upper layer has to do and to say where only the driver knows that it is time.
static HOOKS: OnceLock<&Hooks> = OnceLock::new();

/// Hooks of the upper layer.
pub struct Hooks {
    /// Keeps other threads from changing its tables while this one forks.
    pub hold: fn(),
    /// Ends that, in the parent.
    pub release: unsafe fn(),
    /// Frees its locks in an heir, whose only thread has none of them.
    pub free: unsafe fn(),
    /// This is a forked child, whose only thread has none of its locks; the id of the engine that was given up, or 0 where
    /// there was none.
    pub inherited: unsafe fn(u64),
    /// The engine was given up to an heir; its id.
    pub disowned: fn(u64),
    /// What is to be known of a socket should this process be killed; `None`: not at the moment.
    pub described: fn(&Record) -> Option<Account>,
    /// Whether its descriptors were given the name by which other programs know them.
    pub is_set_out: fn(&Record) -> bool,
    /// Makes the record of an endpoint that a dead process has left, of what it has said of it.
    pub revived: fn(&mut Engine, EndpointId, &[u8]),
    /// The last descriptor of a socket that has not come farther than bind(2), or whose connection has
    /// ended, is closed. No socket's state is locked.
    pub closed: fn(&mut Engine, EndpointId, &Record),
    /// Answers a question about an endpoint, of which the descriptor is a program's.
    pub answered: fn(&mut Engine, EndpointId, RawFd, &Question) -> Answer,
    /// Makes the socket that another process wants.
    pub created: fn(&mut Engine, &Create, Asker) -> Result<Created, Errno>,
}

/// The endpoint and the program's descriptor. `None`: only the kernel can serve its first address.
pub type Created = Option<(EndpointId, OwnedFd)>;

/// What an upper layer says of a socket to who goes on with it when this process is killed.
#[derive(Debug, Default)]
pub struct Account {
    /// What the upper layer there is told.
    pub text: Vec<u8>,
    /// What the socket was bound to: all addresses, unless the program has chosen one, and port 0, as long as it has
    /// none.
    pub bound: Option<(Protocol, SocketAddrV4)>,
}

/// Has the hooks called from now on.
pub fn set_hooks(hooks: &'static Hooks) {
    // All calls name the same ones.
    let _ = HOOKS.set(hooks);
}

static ENGINE: Mutex<Option<Box<Engine>>> = Mutex::new(None);

/// Makes an engine this process's, which has had none.
fn take_in(engine: Engine) -> Guard {
    estate::note_bell(Some(&engine.driving.wake));
    *ENGINE.lock() = Some(Box::new(engine));
    handlers::enter();
    Guard(ENGINE.lock(), Section)
}

/// The engine, locked. (First the lock goes, then the section ends.)
pub struct Guard(MutexGuard<'static, Option<Box<Engine>>>, Section);

/// Who holds the lock is in a section: no handler of the program's runs meanwhile (see
/// [`handlers`]), and the thread must not ask for it again.
struct Section;

impl Drop for Section {
    fn drop(&mut self) {
        handlers::leave();
    }
}

/// How long a call that has lost the engine waits for the end of its process.
const ENDING: Duration = Duration::from_secs(10);

/// What a call unwinds with whose process gave the engine up while it waited.
pub struct GivenUp;

/// Ends the call of a thread that waited when the engine was given up: the process is about to end, or
/// to become another program, and the thread with it. Only if it does not come to that the call returns.
fn leave() {
    handlers::leave();
    let _ = poll_for(&mut [], Some(ENDING), None);
    handlers::enter();
    std::panic::resume_unwind(Box::new(GivenUp));
}

impl Guard {
    /// Runs `work` with the lock released.
    fn unlocked<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let result = MutexGuard::unlocked(&mut self.0, || {
            handlers::leave();
            let result = work();
            handlers::enter();
            result
        });
        self.go_on();
        result
    }

    /// Runs `sleep` with the lock released, in a wait that handlers of the program's may end or
    /// leave. `None`: one has run, and what the wait holds was given up.
    fn asleep<T>(&mut self, how: Sleep, sleep: impl FnOnce() -> T) -> Option<T> {
        let result = MutexGuard::unlocked(&mut self.0, || handlers::asleep(how, sleep));
        self.go_on();
        result
    }

    /// After the lock was released: is the engine there still, and what time is it?
    fn go_on(&mut self) {
        if self.0.is_none() {
            MutexGuard::unlocked(&mut self.0, leave);
        }
        self.time = clock::monotonic();
    }
}

impl Deref for Guard {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        self.0
            .as_deref()
            .expect("a guard is only made around an engine")
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Engine {
        self.0
            .as_deref_mut()
            .expect("a guard is only made around an engine")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(engine) = self.0.as_deref_mut() {
            engine.patrol();
        }
    }
}

/// Whether this thread holds the lock: then it must not wait for another process.
pub fn is_inside() -> bool {
    handlers::in_section()
}

/// The process's engine, if there is one and this thread does not hold it already (invariant 1).
pub fn lock() -> Option<Guard> {
    if handlers::enter() {
        return None;
    }
    let section = Section;
    let guard = ENGINE.lock();
    if guard.is_none() {
        return None;
    }
    let mut guard = Guard(guard, section);
    guard.time = clock::monotonic();
    Some(guard)
}
