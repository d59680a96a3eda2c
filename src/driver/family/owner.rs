//! The side that has the engine.

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

use super::super::door::{Door, Stay};
use super::super::endpoint::EndpointId;
use super::super::engine::{Renewed, TOKEN_DESK};
use super::super::guests::Guest;
use super::super::keeper;
use super::super::{Engine, HOOKS};
use super::name::desk;
use super::questions::{Answer, Question, encode, encode_renewed};
use super::{LONGEST_QUESTION, Name};
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
                Some(Stay::Replaces { .. }) => continue,
                None => {}
            }
            let Some(fd) = visit.descriptors.first() else {
                continue;
            };
            let question = Question::decode(&visit.message).ok_or(Errno::INVAL);
            if let Ok(Question::Await { news }) = question {
                if let Ok(id) = self.of(fd) {
                    self.await_news(id, news, visit.user, visit.client);
                }
                continue;
            }
            let lingerer = match question {
                Ok(Question::Linger) => self.of(fd).ok().and_then(|id| self.lingerer(id)),
                _ => None,
            };
            let answer = question.and_then(|question| self.answer(&question, fd));
            // Who has asked may close it next, and his epoll sets tell of it as long as anybody has it.
            drop(visit.descriptors);
            // Who does not take it has gone.
            let stays = match self.doors.renewed.take() {
                Some(renewed) => {
                    let (engine, endpoint) = (self.id, renewed.id);
                    let message = encode_renewed(&answer, Name { engine, endpoint });
                    let program = renewed.program.as_fd();
                    let _ = pair::give_descriptor(&visit.client, &message, program);
                    Some(Stay::Replaces { _end: renewed.end })
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

    fn answer(&mut self, question: &Question, fd: &OwnedFd) -> Answer {
        let id = self.of(fd)?;
        let hooks = HOOKS.get().ok_or(Errno::NOSYS)?;
        (hooks.answered)(self, id, fd.as_raw_fd(), question)
    }

    /// The endpoint that a descriptor is of.
    fn of(&self, fd: &OwnedFd) -> Result<EndpointId, Errno> {
        match self.endpoints.of_descriptor(fd) {
            Some(id) => Ok(id),
            None => self.of_name(fd),
        }
    }

    /// A socket that other processes have, and this one does not, is `id` from now on, no longer `old`: who asks just now
    /// gets the program's end of its pair, to put it in the place of the one that he has.
    pub fn hand_on(&mut self, old: EndpointId, id: EndpointId, program: OwnedFd) {
        let guest = self
            .endpoints
            .get_mut(old)
            .and_then(|held| held.guest.take());
        if let Some(guest) = guest {
            self.endpoints.guests.leave(guest);
            let cookie = local::cookie(&program).unwrap_or_default();
            self.enter_guest(id, Guest { cookie, ..guest });
        }
        self.share(id);
        self.note_holders(id, program.as_raw_fd());
        self.watch_end(id);
        let end = self.endpoints.get_mut(old).and_then(|held| held.end.take());
        self.doors.renewed = Some(Renewed { id, program, end });
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
