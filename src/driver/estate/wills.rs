//! The keeper: it has the wills of its user's processes.
//!
//! It is given its listening descriptor by the process that starts it, and ends by itself once it was
//! not needed for a minute.
//!
//! 1. A process is a client from the moment it connects. Its first message is its will; what comes
//!    next, most often the end of the connection, says that it has ended.
//! 2. Who connects when the keeper is about to end is either refused, and starts another one, or heard
//!    to the end: the listener is shut first, then emptied.
//! 3. After SIGTERM it takes no more clients, and ends when it has none left, or soon after: who is
//!    left then starts another one.

use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::HashMap;

use super::executor::Estate;
use super::words::{LONGEST, REVOCATION};
use crate::control::log;
use crate::control::settings::Settings;
use crate::sys::wait::{Set, entry, no_event, poll_for};
use crate::sys::{clock, local, pair, process, signal, words};

/// How long it stays without anything to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long after SIGTERM it waits for its clients to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// Most clients; each has four descriptors.
const MOST: usize = 8192;
/// Events looked at in one go.
const EVENTS: usize = 16;

/// The listener's token; a client's is its number.
const LISTENER: u64 = 0;

/// Is the keeper, listening on this descriptor, as long as one is needed; the process's exit status.
pub fn keep(listener: OwnedFd) -> i32 {
    let variables = process::environment();
    if let Ok(loaded) = Settings::load(variables, "") {
        // Without the file there is nobody to tell.
        let _ = log::configure(loaded.settings.log, loaded.settings.log_file.as_deref());
    }
    // So that no file system is kept in use. There is no other directory that is always there.
    let _ = rustix::process::chdir("/");
    match Keeper::new(listener) {
        Ok(mut keeper) => {
            keeper.serve();
            0
        }
        Err(errno) => {
            log::error(format_args!("there is no keeper: {}", words::of(errno)));
            1
        }
    }
}

struct Client {
    connection: OwnedFd,
    /// Once it has come.
    will: Option<Estate>,
}

struct Keeper {
    set: Set,
    listener: Option<OwnedFd>,
    signals: OwnedFd,
    clients: HashMap<u64, Client>,
    /// How many there were.
    count: u64,
    /// A pipe that hangs up when the keeper is gone: the end that executors watch, and ours.
    lifeline: (OwnedFd, OwnedFd),
    /// When it ends if nothing happens, in monotonic nanoseconds.
    ends_at: u64,
    /// A signal has asked it to end.
    asked: bool,
}

impl Keeper {
    fn new(listener: OwnedFd) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        let set = Set::new()?;
        set.add(&listener, LISTENER, EventFlags::IN)?;
        Ok(Self {
            set,
            listener: Some(listener),
            signals: signal::descriptor_for(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?,
            clients: HashMap::new(),
            count: LISTENER,
            lifeline: pipe_with(PipeFlags::CLOEXEC)?,
            ends_at: clock::monotonic() + nanoseconds(IDLE),
            asked: false,
        })
    }

    fn serve(&mut self) {
        while self.listener.is_some() || !self.clients.is_empty() {
            let now = clock::monotonic();
            let is_timed = self.asked || self.clients.is_empty();
            if is_timed && now >= self.ends_at {
                match self.listener {
                    Some(_) => self.stop_listening(),
                    None => return,
                }
                continue;
            }
            let timeout = is_timed.then(|| Duration::from_nanos(self.ends_at - now));
            let signals = if self.asked {
                -1
            } else {
                self.signals.as_raw_fd()
            };
            let mut fds = [
                entry(self.set.as_fd().as_raw_fd(), libc::POLLIN),
                entry(signals, libc::POLLIN),
            ];
            if !matches!(poll_for(&mut fds, timeout, None), Ok(_) | Err(Errno::INTR)) {
                return;
            }
            if fds[1].revents != 0 {
                self.asked = true;
                self.stop_listening();
                self.ends_at = clock::monotonic() + nanoseconds(FAREWELL);
            }
            self.look();
        }
    }

    /// See the module, 2.
    fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            let _ = rustix::net::shutdown(&listener, Shutdown::Read);
            while self.let_in(&listener) {}
        }
    }

    fn look(&mut self) {
        let mut events = [no_event(); EVENTS];
        let count = self.set.ready(&mut events);
        for event in &events[..count] {
            match event.data.u64() {
                LISTENER => {
                    if let Some(listener) = self.listener.take() {
                        self.let_in(&listener);
                        self.listener = Some(listener);
                    }
                }
                number => self.hear(number),
            }
        }
        if count > 0 && !self.asked {
            self.ends_at = clock::monotonic() + nanoseconds(IDLE);
        }
    }

    /// Whether there was anybody. The keeper's own user may come in.
    fn let_in(&mut self, listener: &OwnedFd) -> bool {
        let connection = match local::accept(listener) {
            Ok(connection) => connection,
            Err(Errno::MFILE | Errno::NFILE) => {
                // Until a client goes nobody can come, and nobody is to be woken for it.
                self.set.remove(listener);
                return false;
            }
            Err(_) => return false,
        };
        let known = local::peer_user(&connection) == Ok(local::own_user());
        let number = self.count + 1;
        let events = EventFlags::IN | EventFlags::RDHUP;
        if known && self.clients.len() < MOST && self.set.add(&connection, number, events).is_ok() {
            self.count = number;
            let will = None;
            self.clients.insert(number, Client { connection, will });
        }
        true
    }

    /// A client has said something, or has ended.
    fn hear(&mut self, number: u64) {
        let Some(mut client) = self.clients.remove(&number) else {
            return;
        };
        let mut message = [0; LONGEST];
        let heard = pair::take_descriptors(&client.connection, &mut message);
        match (client.will.take(), heard) {
            (will, Err(Errno::AGAIN | Errno::INTR)) => {
                client.will = will;
                self.clients.insert(number, client);
                return;
            }
            (None, Ok((count, descriptors))) => {
                client.will = Estate::of(&message[..count], descriptors);
                if client.will.is_some() {
                    self.clients.insert(number, client);
                    return;
                }
            }
            (Some(_), Ok((count, _))) if message[..count] == *REVOCATION => {}
            (Some(will), _) => self.execute(will),
            (None, Err(_)) => {}
        }
        self.dismiss(&client.connection);
    }

    fn dismiss(&mut self, connection: &OwnedFd) {
        self.set.remove(connection);
        // In case that there was no room for others.
        if let Some(listener) = &self.listener {
            let _ = self.set.add(listener, LISTENER, EventFlags::IN);
        }
    }

    fn execute(&self, will: Estate) {
        let lifeline = self.lifeline.0.as_raw_fd();
        let mut will = Some(will);
        let run = || {
            if let Some(will) = will.take() {
                will.execute(lifeline);
            }
        };
        if !signal::with_all_blocked(|| process::fork_detached(run)) {
            log::warn("what a process left is lost: no process can be made");
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
