//! The side that has the engine.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

use super::super::door::{Door, Stay};
use super::super::endpoint::EndpointId;
use super::super::engine::TOKEN_DESK;
use super::super::keeper;
use super::super::{Engine, HOOKS};
use super::name::desk;
use super::questions::{Answer, Question, encode, encode_renewed};
use super::{LONGEST_QUESTION, Name, Successor};
use crate::control::log;
use crate::sys::owned::OwnedFd;
use crate::sys::{local, pair, strerror};

impl Engine {
    /// Opens the desk; without it other processes make do with what a pair answers.
    pub(in crate::driver) fn open_desk(&mut self, token: u64) {
        let opened = Door::open(&desk(self.id)).and_then(|door| {
            self.set.add(&door, token, EventFlags::IN)?;
            Ok(door)
        });
        match opened {
            Ok(door) => self.doors.desk = Some(door),
            Err(errno) => log::debug(format_args!(
                "other processes cannot ask about this one's sockets: {}",
                strerror::of(errno)
            )),
        }
    }

    /// Opens it in another process than before; whether it is open.
    pub(in crate::driver) fn reopen_desk(&mut self) -> bool {
        self.open_desk(TOKEN_DESK);
        self.doors.desk.is_some()
    }

    /// Does one piece of work at the desk, to which somebody has come.
    pub(in crate::driver) fn serve_desk(&mut self) {
        let visits = self
            .doors
            .desk
            .as_mut()
            .map(|desk| desk.visits(LONGEST_QUESTION));
        for visit in visits.unwrap_or_default() {
            if keeper::serve_forked(self, &visit) {
                continue;
            }
            match visit.stays {
                Some(Stay::Lingers(lingerer)) => {
                    self.linger(lingerer, visit.user, visit.client);
                    continue;
                }
                Some(old @ Stay::Replaces { .. }) => {
                    // Before he is told, by the end of the connection.
                    drop(old);
                    continue;
                }
                None => {}
            }
            let Some(fd) = visit.descriptors.first() else {
                continue;
            };
            let question = Question::decode(&visit.message).ok_or(Errno::INVAL);
            if let Ok(Question::Share { endpoints }) = &question {
                let answer = self.share_farther(fd, endpoints);
                // Who does not take it has gone.
                let _ = pair::give(&visit.client, &encode(&answer));
                continue;
            }
            let id = self.of(fd);
            if let Ok(Question::Await { news }) = question {
                if let Ok(id) = id {
                    self.await_news(id, news, visit.user, visit.client);
                }
                continue;
            }
            let lingerer = match question {
                Ok(Question::Linger) => id.ok().and_then(|id| self.lingerer(id)),
                _ => None,
            };
            let answer = question.and_then(|question| self.answer(&question, id?, fd));
            let other = id.ok().and_then(|id| self.replacement(id));
            // Who has asked may close it next, and his epoll sets tell of it as long as anybody has it.
            drop(visit.descriptors);
            // Who does not take it has gone.
            let stays = match other {
                Some((endpoint, program, old)) => {
                    let engine = self.id;
                    let message = encode_renewed(&answer, Name { engine, endpoint });
                    let _ = pair::give_descriptor(&visit.client, &message, program.as_fd());
                    Some(Stay::Replaces { _old: old })
                }
                None => {
                    let _ = pair::give(&visit.client, &encode(&answer));
                    lingerer.map(Stay::Lingers)
                }
            };
            if let (Some(stays), Some(desk)) = (stays, &mut self.doors.desk) {
                desk.keep(visit.user, visit.client, stays);
            }
        }
    }

    /// A process forked from this one, which shows its `lifeline`, passes on what it has of these. EACCES: it is none.
    fn share_farther(&mut self, lifeline: &OwnedFd, endpoints: &[EndpointId]) -> Answer {
        if !self.is_lifeline(lifeline) {
            return Err(Errno::ACCESS);
        }
        for &id in endpoints {
            let id = self.successor(id).map_or(id, Successor::id);
            self.share(id);
        }
        self.finish_pass();
        Ok(Vec::new())
    }

    fn answer(&mut self, question: &Question, id: EndpointId, fd: &OwnedFd) -> Answer {
        let hooks = HOOKS.get().ok_or(Errno::NOSYS)?;
        let successor = self.successor(id);
        let successor = successor.map(|held| (held.id, held.program.as_raw_fd()));
        let (id, fd) = successor.unwrap_or((id, fd.as_raw_fd()));
        (hooks.answered)(self, id, fd, question)
    }

    /// The endpoint that a descriptor is of.
    fn of(&self, fd: &OwnedFd) -> Result<EndpointId, Errno> {
        match self.endpoints.of_descriptor(fd) {
            Some(id) => Ok(id),
            None => self.of_name(fd),
        }
    }

    /// The endpoint by whose name a descriptor goes. EACCES: it is not its to bear.
    fn of_name(&self, fd: &OwnedFd) -> Result<EndpointId, Errno> {
        let name = Name::of(fd.as_raw_fd())
            .filter(|name| name.engine == self.id)
            .ok_or(Errno::NOTSOCK)?;
        let maker = local::peer_user(fd)?;
        let others = maker != 0 && maker != local::own_user();
        if others || self.guest(name.endpoint).is_some() {
            return Err(Errno::ACCESS);
        }
        Ok(name.endpoint)
    }
}
