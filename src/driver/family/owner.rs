//! The side that has the engine.

use once_cell::sync::OnceCell;
use rustix::event::epoll::EventFlags;
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::io::Errno;

use super::super::Engine;
use super::super::endpoint::EndpointId;
use super::name::desk;
use super::words::{Answer, Question, encode};
use super::{LONGEST, Name};
use crate::control::log;
use crate::sys::local::{self, Sort};
use crate::sys::{pair, words};

/// Clients that have connected and not asked yet: they are about to.
const CLIENTS: usize = 8;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Tokens used, from the desk's first: the listener's, then one a client.
pub(in crate::driver) const TOKENS: u64 = 1 + CLIENTS as u64;

/// Answers a question about an endpoint, of which the descriptor is a program's.
pub type Answerer = fn(&mut Engine, EndpointId, RawFd, &Question) -> Answer;

static ANSWERER: OnceCell<Answerer> = OnceCell::new();

/// Has questions answered by `answerer`.
pub fn on_question(answerer: Answerer) {
    // All calls name the same one.
    let _ = ANSWERER.set(answerer);
}

/// Where questions are asked.
pub(in crate::driver) struct Desk {
    listener: OwnedFd,
    first_token: u64,
    clients: [Option<OwnedFd>; CLIENTS],
    /// Clients kept so far: says which place is the oldest.
    count: usize,
}

impl Engine {
    /// Opens the desk; without it other processes make do with what a pair answers.
    pub(in crate::driver) fn open_desk(&mut self, first_token: u64) {
        let opened = local::listen_as(Sort::Messages, desk(self.id).as_bytes(), BACKLOG).and_then(
            |listener| {
                self.set.add(&listener, first_token, EventFlags::IN)?;
                Ok(listener)
            },
        );
        match opened {
            Ok(listener) => {
                self.desk = Some(Desk {
                    listener,
                    first_token,
                    clients: [const { None }; CLIENTS],
                    count: 0,
                });
            }
            Err(errno) => log::debug(format_args!(
                "other processes cannot ask about this one's sockets: {}",
                words::of(errno)
            )),
        }
    }

    /// Does one piece of work at the desk: something came for its `index`th descriptor.
    pub(in crate::driver) fn serve_desk(&mut self, index: u64) {
        let Some(mut desk) = self.desk.take() else {
            return;
        };
        match (index as usize).checked_sub(1) {
            None => {
                if let Ok(client) = local::accept(&desk.listener)
                    && !self.serve_asker(&client)
                {
                    self.keep_asker(&mut desk, client);
                }
            }
            Some(place) => {
                let client = &desk.clients[place];
                if client
                    .as_ref()
                    .is_none_or(|client| self.serve_asker(client))
                    && let Some(client) = desk.clients[place].take()
                {
                    // A forked child may still hold a copy, so closing alone would not end the watch.
                    self.set.remove(&client);
                }
            }
        }
        self.desk = Some(desk);
    }

    fn keep_asker(&mut self, desk: &mut Desk, client: OwnedFd) {
        let place = desk.count % CLIENTS;
        desk.count += 1;
        if let Some(oldest) = desk.clients[place].take() {
            self.set.remove(&oldest);
        }
        let token = desk.first_token + 1 + place as u64;
        if self.set.add(&client, token, EventFlags::IN).is_ok() {
            desk.clients[place] = Some(client);
        }
    }

    /// Reads a question and answers it; false: it has not come yet.
    fn serve_asker(&mut self, client: &OwnedFd) -> bool {
        let mut message = [0; LONGEST];
        match pair::take_message(client, &mut message, true) {
            Ok((count, Some(fd))) => {
                let answer = self.answer(&message[..count], &fd);
                // Who does not take it has gone.
                let _ = pair::give(client, &encode(&answer));
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            _ => true,
        }
    }

    fn answer(&mut self, message: &[u8], fd: &OwnedFd) -> Answer {
        let question = Question::decode(message).ok_or(Errno::INVAL)?;
        let name = Name::of(fd.as_raw_fd())
            .filter(|name| name.engine == self.id)
            .ok_or(Errno::NOTSOCK)?;
        let maker = local::peer_user(fd)?;
        if maker != 0 && maker != local::own_user() {
            return Err(Errno::ACCESS);
        }
        let answerer = ANSWERER.get().ok_or(Errno::NOSYS)?;
        answerer(self, name.endpoint, fd.as_raw_fd(), &question)
    }
}
