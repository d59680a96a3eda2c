//! Doors: where other processes come with a request.
//!
//! A listener with an abstract name and those who have connected to it, in an epoll set of their
//! own, which is readable when there is something to do. A request is one message, descriptors may
//! come with it, and the connection is good for one; but who [stays](Door::keep) is heard again.
//!
//! 1. Nobody is waited for. Who has connected and not asked yet is kept in a list that is bounded for
//!    each user, so that nobody keeps another user's programs from being heard.
//! 2. A look at the door takes a bounded number of events.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::family::HangsUp;
use super::lingering::Lingerer;
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{Set, no_event};
use crate::sys::{pair, raw};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Clients that have connected and not asked yet: of one user, and in all. The oldest goes.
const OF_USER: usize = 8;
const IN_ALL: usize = 256;
/// Events of one look.
const EVENTS: usize = 16;

/// The listener's token; a client's is his number.
const LISTENER: u64 = 0;

/// A door.
pub(super) struct Door {
    set: Set,
    listener: OwnedFd,
    /// The oldest first.
    waiting: Vec<Client>,
    /// The number of the last client.
    last: u64,
}

struct Client {
    number: u64,
    user: u32,
    connection: OwnedFd,
    stays: Option<Stay>,
}

/// Why a client who was answered stays until he says more, or goes.
pub(super) enum Stay {
    /// He is about to close a descriptor, and to wait.
    Lingers(Lingerer),
    /// He is about to put another descriptor in the place of the one that he has shown: what sleeps there is told by him
    /// before it hangs up.
    Replaces { _old: Option<HangsUp> },
}

/// Who has to go, by his place, before one more of `user`'s comes: the oldest of his, if there are as many as one user may
/// have, else of all. `users` are those who are there, the oldest first.
pub(super) fn surplus(
    users: impl Iterator<Item = u32> + Clone,
    user: u32,
    of_user: usize,
    in_all: usize,
) -> Option<usize> {
    let mut his = users.clone().zip(0..).filter(|&(held, _)| held == user);
    let oldest = his.clone().next().map(|(_, at)| at);
    match his.nth(of_user - 1) {
        Some(_) => oldest,
        None => (users.count() >= in_all).then_some(0),
    }
}

/// A request.
pub(super) struct Visit {
    /// Who asks (SO_PEERCRED).
    pub(super) user: u32,
    /// Where the answer goes.
    pub(super) client: OwnedFd,
    /// What is asked.
    pub(super) message: Vec<u8>,
    /// What came with it.
    pub(super) descriptors: Vec<OwnedFd>,
    /// Why he has stayed since another request.
    pub(super) stays: Option<Stay>,
}

impl Door {
    /// Listens under an abstract name.
    ///
    /// # Errors
    /// EADDRINUSE: somebody else does.
    pub(super) fn open(name: &str) -> Result<Self, Errno> {
        Self::new(local::listen_as(Sort::Messages, name.as_bytes(), BACKLOG)?)
    }

    /// Listens on a descriptor that does already.
    ///
    /// # Errors
    /// It cannot be watched.
    pub(super) fn new(listener: OwnedFd) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        let set = Set::new()?;
        set.add(&listener, LISTENER, EventFlags::IN)?;
        Ok(Self {
            set,
            listener,
            waiting: Vec::new(),
            last: LISTENER,
        })
    }

    /// The requests that are there, of at most `longest` bytes. There may be more.
    pub(super) fn visits(&mut self, longest: usize) -> Vec<Visit> {
        let mut events = [no_event(); EVENTS];
        let count = self.set.ready(&mut events);
        let mut visits = Vec::new();
        for event in &events[..count] {
            match event.data.u64() {
                LISTENER => self.let_in(),
                number => visits.extend(self.hear(number, longest)),
            }
        }
        visits
    }

    fn let_in(&mut self) {
        let Ok(connection) = local::accept(&self.listener) else {
            return;
        };
        let Ok(user) = local::peer_user(&connection) else {
            return;
        };
        self.expect(user, connection, None);
    }

    /// Lets a client stay who was answered: he is heard once more.
    pub(super) fn keep(&mut self, user: u32, client: OwnedFd, stays: Stay) {
        self.expect(user, client, Some(stays));
    }

    fn expect(&mut self, user: u32, connection: OwnedFd, stays: Option<Stay>) {
        let users = self.waiting.iter().map(|held| held.user);
        if let Some(oldest) = surplus(users, user, OF_USER, IN_ALL) {
            self.dismiss(oldest);
        }
        self.last += 1;
        let number = self.last;
        if self.set.add(&connection, number, EventFlags::IN).is_ok() {
            self.waiting.push(Client {
                number,
                user,
                connection,
                stays,
            });
        }
    }

    /// Takes a client from the list.
    fn dismiss(&mut self, at: usize) -> Client {
        let client = self.waiting.remove(at);
        // A forked child may still hold a copy, so closing alone would not end the watch.
        self.set.remove(&client.connection);
        client
    }

    /// Takes what a client says; he waits no more. `None`: nothing that could be answered.
    fn hear(&mut self, number: u64, longest: usize) -> Option<Visit> {
        let at = self.waiting.iter().position(|held| held.number == number)?;
        let Client {
            user,
            connection,
            stays,
            ..
        } = self.dismiss(at);
        let len = raw::unread(connection.as_raw_fd()).unwrap_or(longest);
        let mut message = vec![0; len.min(longest)];
        let (count, descriptors) = pair::take_descriptors(&connection, &mut message).ok()?;
        message.truncate(count);
        Some(Visit {
            user,
            client: connection,
            message,
            descriptors,
            stays,
        })
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}
