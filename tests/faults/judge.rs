//! What must have become of each connection, given what has befallen its processes.

use std::collections::BTreeMap;

use crate::account::{Account, Fate};
use crate::book::{Entry, How, Kind};
use crate::harm::{Harm, Killed};
use crate::program::Cast;

/// A connection as its client and its server knew it.
#[derive(Debug)]
struct Connection {
    asked: Entry,
    /// `None`: no server has greeted it, or one that keeps no book.
    served: Option<Entry>,
}

pub(crate) struct Judge<'run> {
    pub(crate) cast: Cast,
    pub(crate) harm: &'run Harm,
    /// The first processes of the servers and of the clients.
    pub(crate) server: u32,
    pub(crate) asked: BTreeMap<usize, Entry>,
    pub(crate) served: BTreeMap<usize, Entry>,
    /// What was accepted without becoming one of these.
    pub(crate) strangers: Vec<Entry>,
}

/// What is told of a run that failed.
const SHOWN: usize = 10;
/// Milliseconds.
const LATE: u64 = 500;
/// Milliseconds after which Linux repeats a SYN-ACK for the first time.
const FIRST_REPEAT: u64 = 1000;

/// What a run counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) hows: BTreeMap<How, usize>,
    pub(crate) account: Account,
    pub(crate) wrong: Vec<String>,
    /// Connections that were reset because their stack was killed just when it changed them, by process.
    pub(crate) resets: BTreeMap<u32, Vec<String>>,
}

impl Judge<'_> {
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.account.runs = 1;
        for (number, asked) in &self.asked {
            let connection = Connection {
                asked: *asked,
                served: self.served.get(number).copied(),
            };
            *tally.hows.entry(asked.how).or_default() += 1;
            let served = connection.served.map_or(0, |served| served.received);
            tally.account.received += asked.received + served;
            match self.judge(&connection, &mut tally) {
                Ok(fate) => *tally.account.fates.entry(fate).or_default() += 1,
                Err(why) => {
                    tally.account.wrong += 1;
                    if tally.wrong.len() < SHOWN {
                        let perhaps = self.perhaps(asked);
                        tally
                            .wrong
                            .push(format!("{why}: {number}, {connection:?}{perhaps}"));
                    }
                }
            }
        }
        let most = 1 + self.harm.executors.len();
        let too_many = |(pid, resets): (&u32, &Vec<String>)| {
            let count = resets.len();
            (count > most).then(|| format!("{count} connections of {pid} were reset by its death"))
        };
        tally.wrong.extend(tally.resets.iter().filter_map(too_many));
        tally
    }

    /// What a server may have noted of a connection that it did not come to know.
    fn perhaps(&self, asked: &Entry) -> String {
        let near = |stranger: &&Entry| {
            (asked.began..=lasted(asked).saturating_add(LATE)).contains(&stranger.began)
        };
        let near = self.strangers.iter().filter(near);
        near.map(|stranger| format!("\n  perhaps {stranger:?}"))
            .collect()
    }

    fn killed(&self, pid: u32) -> Option<&Killed> {
        self.harm.killed.iter().find(|killed| killed.pid == pid)
    }

    /// The process on our side that has the stack of the connection.
    fn owner(&self, connection: &Connection) -> u32 {
        match self.cast.serves {
            true => self.server,
            false => connection.asked.maker,
        }
    }

    /// Those who had the connection, or may have had it, and were killed.
    fn struck(&self, connection: &Connection) -> Vec<&Killed> {
        let Connection { asked, served } = connection;
        let while_it_was = |killed: &Killed| {
            // Who hands connections on may learn of a death late.
            (asked.began.saturating_sub(LATE)..=lasted(asked)).contains(&killed.at)
        };
        let had = |killed: &&Killed| match served {
            Some(served) => killed.pid == asked.pid || killed.pid == served.pid,
            // Who has accepted a connection that nobody has greeted is not known.
            None => {
                let may_serve = killed.side == self.cast.servers() && self.accepts(killed.pid);
                killed.pid == asked.pid || may_serve && while_it_was(killed)
            }
        };
        self.harm.killed.iter().filter(had).collect()
    }

    /// Whether the process may have a connection that it was not given by its parent.
    fn accepts(&self, pid: u32) -> bool {
        pid != self.server || self.cast.model.first_accepts()
    }

    /// The process that has the stack of the connection, if it was killed before that had ended.
    fn lost_owner(&self, connection: &Connection) -> Option<&Killed> {
        let killed = self.killed(self.owner(connection))?;
        (killed.at <= lasted(&connection.asked)).then_some(killed)
    }

    /// When nobody was there any more who accepts.
    fn server_gone(&self) -> Option<u64> {
        let first = self.killed(self.server)?;
        let Some(workers) = self.cast.model.workers() else {
            return Some(first.at);
        };
        // Who was killed just before is not replaced.
        let rest = |killed: &&Killed| {
            killed.pid != self.server
                && killed.side == self.cast.servers()
                && killed.at + LATE > first.at
        };
        let rest: Vec<_> = self.harm.killed.iter().filter(rest).collect();
        let last = rest.iter().map(|killed| killed.at).max();
        (rest.len() >= workers).then_some(last.unwrap_or(first.at))
    }

    fn judge(&self, connection: &Connection, tally: &mut Tally) -> Result<Fate, String> {
        let Connection { asked, served } = connection;
        let struck = self.struck(connection);
        let owner = self.lost_owner(connection);
        if asked.wrong > 0 || served.is_some_and(|served| served.wrong > 0) {
            return Err("other bytes came than were sent".to_owned());
        }
        // Without a keeper nobody is there to tell the peer.
        let executors = self.harm.executors.iter().filter(|_| owner.is_some());
        let mut dead = struck.iter().copied().chain(owner).chain(executors);
        if dead.any(|killed| !killed.kept) {
            return Ok(Fate::Orphaned);
        }
        if struck.is_empty() {
            return self.should_live(connection, owner, tally);
        }
        let hangs = |entry: &Entry| match entry.how {
            How::Hung => true,
            How::Open => self.killed(entry.pid).is_none(),
            _ => false,
        };
        let lost = self.resets_get_lost() && self.delivery(connection).is_none();
        if !lost && (hangs(asked) || served.as_ref().is_some_and(hangs)) {
            return Err("a peer was left hanging".to_owned());
        }
        self.was_delivered(connection, owner, tally)
    }

    /// A reset is not sent again to a peer that is silent.
    fn resets_get_lost(&self) -> bool {
        self.cast.impaired || !self.harm.apart.is_empty()
    }

    fn should_live(
        &self,
        connection: &Connection,
        owner: Option<&Killed>,
        tally: &mut Tally,
    ) -> Result<Fate, String> {
        let Connection { asked, served } = connection;
        let server_gone =
            served.is_none() && self.server_gone().is_some_and(|at| at <= asked.ended);
        // A program that had nothing left for a connection has closed it.
        let dropped = self.harm.exhausted
            && served.is_none_or(|served| matches!(served.how, How::Dropped | How::Open));
        let turned_away = match asked.how {
            How::Lived => return Ok(Fate::Lived),
            How::Refused => server_gone,
            How::Reset => server_gone || dropped || self.was_forgotten(connection),
            How::Ended => server_gone || dropped,
            How::Unreached => self.apart_from(asked.began, asked.ended),
            How::Dropped => self.harm.exhausted,
            How::Hung => dropped && self.resets_get_lost(),
            How::Open => false,
        };
        match (asked.how, owner) {
            _ if turned_away => Ok(Fate::TurnedAway),
            (How::Reset | How::Ended, Some(owner)) => Ok(tally.reset_with(owner, connection)),
            _ => Err("it should have lived".to_owned()),
        }
    }

    /// Whether there was no way between the two at some time of these.
    fn apart_from(&self, from: u64, to: u64) -> bool {
        let overlaps = |(began, ended): &(u64, u64)| from <= *ended && *began <= to;
        from <= to && self.harm.apart.iter().any(overlaps)
    }

    /// Whether the kernel's listener may have forgotten it: it does so with a client that has not answered, and to whom
    /// it can not repeat its SYN-ACK for want of a way. What that client sends afterwards is answered by a reset.
    fn was_forgotten(&self, connection: &Connection) -> bool {
        let Connection { asked, served } = connection;
        let opening = served.is_none() && asked.received == 0;
        !self.cast.serves && opening && self.apart_from(asked.began + FIRST_REPEAT, asked.ended)
    }

    /// The one who sends to the other, where a kernel would deliver all of it though the one was killed.
    fn delivery<'c>(&self, connection: &'c Connection) -> Option<(&'c Entry, &'c Entry)> {
        let Connection { asked, served } = connection;
        let served = served.as_ref()?;
        let (from, to) = match asked.kind {
            Kind::Pull => (served, asked),
            Kind::Push => (asked, served),
            // There are bytes that nobody has read, so the connection may be reset.
            Kind::Echo | Kind::Http => return None,
        };
        self.killed(to.pid).is_none().then_some((from, to))
    }

    /// What `send` had accepted of a killed process has come, as far as it is known.
    fn was_delivered(
        &self,
        connection: &Connection,
        owner: Option<&Killed>,
        tally: &mut Tally,
    ) -> Result<Fate, String> {
        let delivery = self.delivery(connection);
        let Some((from, to)) = delivery.filter(|(from, _)| self.killed(from.pid).is_some()) else {
            return Ok(Fate::Ended);
        };
        if to.how == How::Reset {
            let fate = owner.map(|owner| tally.reset_with(owner, connection));
            return fate.ok_or("what was sent is lost".to_owned());
        }
        tally.account.left += from.sent;
        tally.account.delivered += to.received.min(from.sent);
        match to.received < from.sent {
            true => Err("not all that was sent has come".to_owned()),
            false => Ok(Fate::Ended),
        }
    }
}

impl Tally {
    /// Counts a connection that was reset because its stack was killed.
    fn reset_with(&mut self, owner: &Killed, connection: &Connection) -> Fate {
        let resets = self.resets.entry(owner.pid).or_default();
        resets.push(format!("{connection:?}"));
        Fate::Reset
    }
}

/// When it ended, in monotonic milliseconds.
fn lasted(entry: &Entry) -> u64 {
    match entry.ended {
        0 => u64::MAX,
        ended => ended,
    }
}
