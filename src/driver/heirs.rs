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

use core::mem::replace;
use core::time::Duration;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::Engine;
use super::door::Door;
use super::engine::TOKEN_HEIR;
use super::family::await_answer;
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::{clock, pair};

/// Heirs of one user that can be asked. What others hold is found to be in use for a moment longer.
const MOST: u32 = 64;
/// How long they may take: they may be waiting for their processor.
const PATIENCE: Duration = Duration::from_millis(700);
/// What is said; it means nothing.
const QUESTION: [u8; 1] = [0];

fn name(number: u32) -> String {
    format!("sidestack/heirs/{}/{number}", local::own_user())
}

impl Engine {
    /// Takes a name, for who is about to serve without a program.
    pub(super) fn open_to_questions(&mut self) {
        let door = (0..MOST).find_map(|number| Door::open(&name(number)).ok());
        self.heirs_door =
            door.filter(|door| self.set.add(door, TOKEN_HEIR, EventFlags::IN).is_ok());
    }

    /// Looks at all that may have been closed, for those who have asked.
    pub(super) fn serve_questions(&mut self) {
        let asked = self
            .heirs_door
            .as_mut()
            .map(|door| door.visits(QUESTION.len()));
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

/// A port is in use, perhaps by an heir: waits until all have looked. Whether it is worth another attempt.
pub(super) fn await_heirs() -> bool {
    let asked = ask_all().unwrap_or_default();
    let deadline = clock::monotonic() + PATIENCE.as_nanos() as u64;
    for heir in &asked {
        let _ = await_answer(heir, deadline);
    }
    !asked.is_empty()
}

/// Connections to all, on which they were asked.
fn ask_all() -> Result<Vec<OwnedFd>, Errno> {
    let mut asked = Vec::new();
    let mut next = local::socket(Sort::Messages)?;
    for number in 0..MOST {
        if local::connect_on(&next, name(number).as_bytes()).is_err() {
            continue;
        }
        let heir = replace(&mut next, local::socket(Sort::Messages)?);
        let is_own = local::peer_user(&heir) == Ok(local::own_user());
        if is_own && pair::give(&heir, &QUESTION).is_ok() {
            asked.push(heir);
        }
    }
    Ok(asked)
}
