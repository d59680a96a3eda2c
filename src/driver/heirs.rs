//! Asking heirs to look.
//!
//! On Linux a port is free once the last descriptor of its socket is closed. Where an heir or executor serves that, it
//! learns of it a moment later. So whoever finds a port in use asks all of its user to look at what was closed, and
//! tries again.
//!
//! ```text
//!   who binds ── connects, says something ──► \0sidestack/heirs/<uid>/<number>   an heir
//!             ◄── closes the connection, once it has looked ──
//! ```
//!
//! 1. An heir has its name before the process ends whose heir it is: who has waited for that end finds it.
//! 2. What was closed before the question is let go before the answer.
//! 3. Who waits for heirs has no lock: one may be stopped.

use core::mem::replace;
use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::Engine;
use super::door::Door;
use super::engine::TOKEN_HEIR;
use super::estate;
use super::family::await_answer;
use crate::control::ephemeral::Protocol;
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::{clock, pair};

/// Heirs of one user that can be asked. What others hold is found to be in use for a moment longer.
const MOST: u32 = 64;
/// How long they may take: they may be waiting for their processor.
const PATIENCE: Duration = Duration::from_millis(700);
/// What is said; it means nothing.
const QUESTION: [u8; 1] = [0];

fn name(user: u32, number: u32) -> String {
    format!("sidestack/heirs/{user}/{number}")
}

impl Engine {
    /// Takes a name, for who is about to serve without a program.
    pub(super) fn open_to_questions(&mut self) {
        let user = local::own_user();
        let door = (0..MOST).find_map(|number| Door::open(&name(user, number)).ok());
        self.doors.heirs =
            door.filter(|door| self.set.add(door, TOKEN_HEIR, EventFlags::IN).is_ok());
    }

    /// Looks at all that may have been closed, for those who have asked.
    pub(super) fn serve_questions(&mut self) {
        let door = self.doors.heirs.as_mut();
        let asked = door.map(|door| door.visits(QUESTION.len()));
        if asked.as_ref().is_none_or(Vec::is_empty) {
            return;
        }
        let ids: Vec<_> = self.endpoints.ids().collect();
        for id in ids {
            self.look_at(id);
        }
        self.finish_pass();
        // That the connections end now is the answer.
        drop(asked);
    }
}

/// A port is in use, perhaps for a process that is dead: waits, without the lock, for those of `user`
/// who go on for such, first for who has yet to begin, then for who has yet to look. Whether it is
/// worth another attempt.
pub fn await_successors(protocol: Protocol, user: u32) -> bool {
    let begun = protocol == Protocol::Tcp && estate::await_executors(user, PATIENCE);
    await_heirs(user) || begun
}

/// Waits until all heirs have looked; whether there are any.
fn await_heirs(user: u32) -> bool {
    let asked = ask_all(user).unwrap_or_default();
    let deadline = clock::monotonic() + PATIENCE.as_nanos() as u64;
    for heir in &asked {
        let _ = await_answer(heir, deadline);
    }
    !asked.is_empty()
}

/// Connections to all, on which they were asked.
fn ask_all(user: u32) -> Result<Vec<OwnedFd>, Errno> {
    let mut asked = Vec::new();
    let mut next = local::socket(Sort::Messages)?;
    for number in 0..MOST {
        if local::connect_on(&next, name(user, number).as_bytes()).is_err() {
            continue;
        }
        let heir = replace(&mut next, local::socket(Sort::Messages)?);
        if local::peer_user(&heir) == Ok(user) && pair::give(&heir, &QUESTION).is_ok() {
            asked.push(heir);
        }
    }
    Ok(asked)
}
