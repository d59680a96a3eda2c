//! The keeper: it has the wills of its user's processes.
//!
//! It is given its listening descriptor by the process that starts it, and ends by itself once it was
//! not needed for a minute.
//!
//! 1. A process is a client from the moment it connects. Its first message is its will, most often; what
//!    comes next, most often the end of the connection, says that it has ended.
//!    One that leaves nothing says so before: what it has given is closed here after its end all the same, since who
//!    closes a packet socket last waits ([`Collected`](crate::sys::collected::Collected)).
//! 2. Who connects when the keeper is about to end is either refused, and starts another one, or heard
//!    to the end: the listener is shut first, then emptied.
//! 3. After SIGTERM it takes no more clients, and ends when it has none left, or soon after: who is
//!    left then starts another one.
//! 4. An executor is an orphan that the keeper has a connection to. It says when it has given back the
//!    ports that it could ([`STARTED`]), and keeps TIME-WAIT as long as it is not cut off. What it goes on with the
//!    keeper has, too, at first as the dead process has left it, then as the executor does: if that is killed, it makes
//!    another one. Of executors that end soon one after the other there are only some: what is left may be the cause.
//! 5. Who finds a port in use may ask whether that was a dead process's ([`QUESTION`]): the answer comes
//!    when all that died before have been seen to. Any user may, whose sockets a process of this one's may have served;
//!    there is room for some of them, and nothing else is heard of them.

use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use rustix::net::Shutdown;
use std::collections::BTreeMap;

use super::executor::Estate;
use super::messages::{LONGEST, QUESTION, REVOCATION, STARTED};
use super::reach::own_name;
use crate::control::log;
use crate::control::settings::Settings;
use crate::sys::fork::fork_detached;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{Set, entry, no_event, poll_for};
use crate::sys::{clock, environment, local, pair, signal, strerror};

/// How long it stays without anything to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long after SIGTERM it waits for its clients to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// Most clients; each has six descriptors.
const MOST: usize = 8192;
/// Most clients that are other users', and of one of these.
const MOST_STRANGERS: usize = 64;
const MOST_OF_STRANGER: usize = 8;
/// Executors that may sit out TIME-WAIT at a time.
const MOST_EXECUTORS: usize = 64;
/// Most executors of one stack in a row that do not last for so long.
const MOST_TRIES: u32 = 16;
const LASTING: Duration = Duration::from_secs(10);
/// Events looked at in one go.
const EVENTS: usize = 16;

/// The listener's token; a client's is its number.
const LISTENER: u64 = 0;

/// Is the keeper, listening on this descriptor, as long as one is needed; the process's exit status.
pub fn keep(listener: OwnedFd) -> i32 {
    let variables = environment::variables();
    if let Ok(loaded) = Settings::load(variables, "") {
        // Without the file there is nobody to tell.
        let _ = log::configure(loaded.settings.log, loaded.settings.log_file.as_deref());
    }
    // So that no file system is kept in use. There is no other directory that is always there.
    let _ = rustix::process::chdir("/");
    // The library that started it may have been replaced since by the one that it has loaded.
    if local::name_of(listener.as_raw_fd()) != Some(own_name().into_bytes()) {
        log::error("the program that starts this keeper has another version of the library");
        return 1;
    }
    match Keeper::new(listener) {
        Ok(mut keeper) => {
            keeper.serve();
            0
        }
        Err(errno) => {
            log::error(format_args!("there is no keeper: {}", strerror::of(errno)));
            1
        }
    }
}

struct Client {
    connection: OwnedFd,
    who: Who,
}

impl Client {
    /// Whose it is, if that is another user.
    fn stranger(&self) -> Option<u32> {
        match self.who {
            Who::Stranger(user) => Some(user),
            Who::Asker(user) => user,
            _ => None,
        }
    }
}

enum Who {
    /// It has not said anything yet.
    Newcomer,
    /// A process that is to be followed.
    Testator(Estate),
    /// Nothing of it is to be seen to. It has not ended yet, and is not to be the last that has this.
    Intestate(Estate),
    /// It is this other user's, and has not said anything yet.
    Stranger(u32),
    /// It waits to hear that the dead are seen to, perhaps another user's.
    Asker(Option<u32>),
    Executor(Executor),
}

/// It goes on with what a dead process has left.
struct Executor {
    /// What another goes on with if it is killed.
    estate: Option<Estate>,
    /// Whether it has given back the ports it could.
    started: bool,
    /// When it was made, in monotonic nanoseconds.
    made_at: u64,
    /// How many there were that soon ended, it included.
    tries: u32,
}

struct Keeper {
    set: Set,
    listener: Option<OwnedFd>,
    signals: OwnedFd,
    clients: BTreeMap<u64, Client>,
    /// How many there were.
    count: u64,
    executors: usize,
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
            clients: BTreeMap::new(),
            count: LISTENER,
            executors: 0,
            ends_at: clock::monotonic() + nanoseconds(IDLE),
            asked: false,
        })
    }

    fn serve(&mut self) {
        // Executors go on without it.
        while self.listener.is_some() || self.clients.len() > self.executors {
            let now = clock::monotonic();
            let mut clients = self.clients.values();
            let is_timed = self.asked || clients.all(|client| client.stranger().is_some());
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
        let served = self
            .clients
            .values()
            .any(|client| client.stranger().is_none());
        if count > 0 && served && !self.asked {
            self.ends_at = clock::monotonic() + nanoseconds(IDLE);
        }
        if count < EVENTS {
            self.answer_askers();
        }
    }

    /// Whether there was anybody.
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
        let who = match local::peer_user(&connection) {
            Ok(user) if user == local::own_user() => {
                (self.clients.len() < MOST).then_some(Who::Newcomer)
            }
            Ok(user) => self.has_room_for(user).then_some(Who::Stranger(user)),
            Err(_) => None,
        };
        if let Some(who) = who {
            self.enter(connection, who);
        }
        true
    }

    /// Whether one more of another user's may come in.
    fn has_room_for(&self, user: u32) -> bool {
        let strangers = self.clients.values().filter_map(Client::stranger);
        let strangers: Vec<u32> = strangers.collect();
        let of_user = strangers.iter().filter(|&&held| held == user).count();
        strangers.len() < MOST_STRANGERS && of_user < MOST_OF_STRANGER
    }

    fn enter(&mut self, connection: OwnedFd, who: Who) {
        let number = self.count + 1;
        let events = EventFlags::IN | EventFlags::RDHUP;
        if self.set.add(&connection, number, events).is_ok() {
            self.count = number;
            self.clients.insert(number, Client { connection, who });
        }
    }

    /// A client has said something, or has ended.
    fn hear(&mut self, number: u64) {
        let Some(Client { connection, who }) = self.clients.remove(&number) else {
            return;
        };
        let mut message = [0; LONGEST];
        let (message, descriptors) = match pair::take_descriptors(&connection, &mut message) {
            Ok((count, descriptors)) => (&message[..count], descriptors),
            Err(Errno::AGAIN | Errno::INTR) => {
                self.clients.insert(number, Client { connection, who });
                return;
            }
            Err(_) => (&[][..], Vec::new()),
        };
        let who = match who {
            Who::Newcomer if message == QUESTION => Some(Who::Asker(None)),
            Who::Stranger(user) if message == QUESTION => Some(Who::Asker(Some(user))),
            Who::Newcomer => {
                let process = local::peer_process(&connection);
                Estate::of(message, descriptors, process).map(Who::Testator)
            }
            Who::Testator(estate) if message == REVOCATION => Some(Who::Intestate(estate)),
            Who::Testator(estate) => {
                self.execute(estate, 1);
                None
            }
            Who::Intestate(estate) => {
                estate.close_apart();
                None
            }
            Who::Executor(executor) => self.hear_executor(executor, message, descriptors),
            Who::Asker(_) | Who::Stranger(_) => None,
        };
        match who {
            Some(who) => drop(self.clients.insert(number, Client { connection, who })),
            None => self.dismiss(&connection),
        }
    }

    fn dismiss(&mut self, connection: &OwnedFd) {
        // An executor has a copy of it for a moment, so closing alone would not end the watch.
        self.set.remove(connection);
        if let Some(listener) = &self.listener {
            // In case that there was no room for others.
            let _ = self.set.add(listener, LISTENER, EventFlags::IN);
        }
    }

    /// An executor has said something, or has ended.
    fn hear_executor(
        &mut self,
        mut executor: Executor,
        message: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> Option<Who> {
        if message == STARTED {
            executor.started = true;
            return Some(Who::Executor(executor));
        }
        if !message.is_empty() && message != REVOCATION {
            // Its own will. What was left before goes with this.
            let own = Estate::of(message, descriptors, None);
            if let Some(before) = core::mem::replace(&mut executor.estate, own) {
                before.close_apart();
            }
            return Some(Who::Executor(executor));
        }
        self.executors -= 1;
        let estate = executor.estate?;
        let lasted = clock::monotonic() - executor.made_at;
        match executor.tries {
            _ if message == REVOCATION => estate.close_apart(),
            _ if lasted >= nanoseconds(LASTING) => self.execute(estate, 1),
            tries if tries < MOST_TRIES => self.execute(estate, tries + 1),
            _ => log::warn("what a process left is lost: who goes on with it does not last"),
        }
        None
    }

    fn execute(&mut self, estate: Estate, tries: u32) {
        let Ok((here, there)) = pair::make_own() else {
            log::warn("what a process left is lost: no descriptor is left");
            return;
        };
        let mut left = Some((estate, there));
        let run = || {
            if let Some((estate, there)) = left.take() {
                estate.execute(there);
            }
        };
        if !signal::with_all_blocked(|| fork_detached(run)) {
            log::warn("no process can be made, or is known to be");
        }
        // Whether there is one is known by the connection, whose other end it alone has then.
        self.executors += 1;
        let executor = Executor {
            estate: left.map(|(estate, _)| estate),
            started: false,
            made_at: clock::monotonic(),
            tries,
        };
        self.enter(here, Who::Executor(executor));
        if self.executors > MOST_EXECUTORS {
            self.cut_off_oldest();
        }
    }

    fn cut_off_oldest(&mut self) {
        let oldest = self
            .clients
            .iter()
            .find_map(|(&number, client)| matches!(client.who, Who::Executor(_)).then_some(number));
        if let Some(Client { connection, .. }) =
            oldest.and_then(|number| self.clients.remove(&number))
        {
            self.executors -= 1;
            self.dismiss(&connection);
        }
    }

    /// Answers who waits for the dead to be seen to, if they are.
    fn answer_askers(&mut self) {
        let starts = |client: &Client| matches!(&client.who, Who::Executor(made) if !made.started);
        if self.clients.values().any(starts) {
            return;
        }
        let asks = |client: &Client| matches!(client.who, Who::Asker(_));
        let asking = self.clients.iter().filter(|(_, client)| asks(client));
        let asking: Vec<u64> = asking.map(|(&number, _)| number).collect();
        for number in asking {
            if let Some(Client { connection, .. }) = self.clients.remove(&number) {
                // The end of the connection is answer enough.
                self.dismiss(&connection);
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
