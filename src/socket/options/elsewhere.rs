//! Options of a socket whose stack is in another process.

use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::set::{ONLY_KERNEL, PEEK_OFFSET, WAITS, integer, store};
use super::{Options, address_form, kernel, path, stamping};
use crate::driver::{self, Question};
use crate::socket::bind::Rest;
use crate::socket::served::{go_over, may_go_over};
use crate::socket::{Socket, away, urgent, watched};
use crate::sys::raw;

/// Options of a connection that its pair heeds by itself: how urgent data is read, and where MSG_PEEK begins.
const PAIRS: [(i32, i32); 2] = [urgent::INLINE, PEEK_OFFSET];

/// Has the owner set an option. Times to wait count for the descriptor, too, on which this process
/// waits. `None`: no other process has the socket's stack, or it does not answer.
pub(super) fn set(
    fd: RawFd,
    socket: &Arc<Socket>,
    (level, name): (i32, i32),
    value: &[u8],
) -> Option<Result<Rest, Errno>> {
    socket.away()?;
    // What takes a right is for who asks to have, and the owner may have it.
    let permitted = kernel::permit(socket, (level, name), value)
        .and_then(|()| kernel::permit_interface(socket, (level, name), value));
    if let Err(errno) = permitted {
        return Some(Err(errno));
    }
    let value = value.to_vec();
    let question = Question::Set { level, name, value };
    let answer = away::ask(fd, socket, &question)?;
    let Question::Set { value, .. } = &question else {
        return None;
    };
    match answer {
        Ok(_) if (level, name) == address_form::OPTION => {
            away::refresh(fd, socket);
            Some(Ok(Rest::Done))
        }
        Ok(_) => {
            if WAITS.contains(&(level, name)) || (level, name) == urgent::INLINE {
                let _ = raw::setsockopt(fd, level, name, value);
            }
            note_set(socket, (level, name), value);
            watched::watch(socket);
            Some(Ok(Rest::Done))
        }
        Err(ONLY_KERNEL) => {
            // The owner may have rights that this process does not.
            let options = socket.state().options.clone();
            let set = kernel::set(socket, &options, (level, name), value);
            Some(set.and_then(|()| match may_go_over(socket) {
                true => go_over(socket).map(|()| Rest::Kernel),
                false => Err(Errno::NOPROTOOPT),
            }))
        }
        Err(errno) => Some(Err(errno)),
    }
}

/// The owner has set an option. What it means to calls that this process makes on the pair counts here; should the
/// socket be had fresh, all of it. (Another process may have said otherwise since.)
fn note_set(socket: &Socket, option: (i32, i32), value: &[u8]) {
    let mut state = socket.state();
    state.past.forget_lengths();
    let limits = driver::system_limits();
    let before = path::chosen_by(&state.options);
    if store(socket, &mut state, option, value, limits, |_| true) == Ok(true) {
        state.options.note(option, value);
    }
    if path::is_anew(&before, &state.options, option) {
        state.past.forget_path();
    }
    if option == (libc::IPPROTO_UDP, kernel::UDP_CORK) && !state.options.cork {
        state.past.forget_held();
    }
}

impl Options {
    /// Remembers what was set on a socket that no engine of this process's has.
    pub(super) fn note(&mut self, (level, name): (i32, i32), value: &[u8]) {
        self.remember(level, name, value);
        if stamping::is_name((level, name)) {
            let flags = integer(value).unwrap_or(0).cast_unsigned();
            self.stamping.set(name, flags, None);
        }
    }
}

/// Says to an accepted connection's pair what it has of its listener's: its owner knows what that had when it came.
pub fn tell_pair_of(fd: RawFd, socket: &Socket) {
    let said = socket.state().options.said.clone();
    for (level, name) in PAIRS {
        let room = size_of::<i32>() as i32;
        if said
            .iter()
            .any(|said| (said.level, said.name) == (level, name))
            && let Some(Ok(value)) = away::ask(fd, socket, &Question::Get { level, name, room })
        {
            let _ = raw::setsockopt(fd, level, name, &value);
        }
    }
}
