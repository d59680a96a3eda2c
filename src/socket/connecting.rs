//! connect(2) in a process that does not have the stack of the socket.

use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::address::{self, Given};
use super::bind::Rest;
use super::served::{go_over, may_go_over};
use super::sleeper::Sleeper;
use super::{Kind, Socket, Stage, State, away, watched};
use crate::driver::{Connecting, Question};

/// connect(2) of a socket whose stack is in another process: that process connects it, and this one
/// waits.
pub(super) fn connect(
    fd: RawFd,
    socket: &Arc<Socket>,
    address: &[u8],
    flags: i32,
) -> Result<Rest, Errno> {
    let call = match socket.state().connect_unconfirmed {
        true => Connecting::Again,
        false if flags & libc::MSG_FASTOPEN != 0 => Connecting::Fast,
        false => Connecting::First,
    };
    let address = address.to_vec();
    let question = Question::Connect {
        address: address.clone(),
        call,
    };
    let disconnects = address::read(&address, socket.family()) == Ok(Given::Unspecified);
    if disconnects {
        socket.state().note_disconnect();
    }
    let Some(answer) = away::ask(fd, socket, &question) else {
        return Ok(Rest::Kernel);
    };
    if answer == Err(Errno::NETUNREACH) && may_go_over(socket) {
        return go_over(socket).map(|()| Rest::Kernel);
    }
    if socket.kind == Kind::Datagram {
        away::refresh(fd, socket);
        return answer.map(|_| Rest::Done);
    }
    match answer {
        Err(errno @ Errno::INPROGRESS) => begun(fd, socket, address, flags, errno),
        Err(errno @ Errno::ALREADY) if away::waits(fd, flags) => {
            begun(fd, socket, address, flags, errno)
        }
        answer => {
            answered(fd, socket, answer.map(drop))?;
            if matches!(call, Connecting::First | Connecting::Fast) && !disconnects {
                let mut state = socket.state();
                note_begun(&mut state);
                state.connect_unconfirmed = call == Connecting::Fast && !away::waits(fd, flags);
            }
            Ok(Rest::Done)
        }
    }
}

/// It has an address now.
fn note_begun(state: &mut State) {
    state.stage = Stage::Connected;
    state.opening = true;
}

/// What the other process says of an attempt to connect that was begun before.
fn answered(fd: RawFd, socket: &Arc<Socket>, answer: Result<(), Errno>) -> Result<(), Errno> {
    let unconfirmed = core::mem::take(&mut socket.state().connect_unconfirmed);
    match answer {
        Err(Errno::ISCONN) if unconfirmed => Ok(()),
        Err(Errno::ALREADY) => {
            socket.state().connect_unconfirmed = unconfirmed;
            answer
        }
        Err(Errno::CONNABORTED) => {
            Err(away::pending_error(fd, socket).unwrap_or(Errno::CONNABORTED))
        }
        answer => answer,
    }
}

/// The other process has begun to connect it: waits for the end, if the call may wait; `unfinished`, if that does not come.
fn begun(
    fd: RawFd,
    socket: &Arc<Socket>,
    address: Vec<u8>,
    flags: i32,
    unfinished: Errno,
) -> Result<Rest, Errno> {
    let mut state = socket.state();
    note_begun(&mut state);
    state.connect_unconfirmed = true;
    let disconnects = state.disconnects;
    drop(state);
    watched::watch(socket);
    if !away::waits(fd, flags) {
        return Err(unfinished);
    }
    let waiting = Sleeper::to_send(fd, socket);
    match waiting.wait_for(libc::POLLOUT) {
        Err(Errno::AGAIN) => return Err(unfinished),
        // Another thread has given it up.
        Err(Errno::PIPE) => {}
        waited => waited?,
    }
    if socket.state().disconnects != disconnects {
        return Err(Errno::PIPE);
    }
    let fd = waiting.fd();
    let call = Connecting::Waited;
    let answer = away::ask_for_end(fd, socket, &Question::Connect { address, call });
    match answer {
        // Another thread has given it up, and the descriptor is about to be replaced, or was just now.
        Some(Err(Errno::NOTSOCK)) => {
            Err(away::pending_error(fd, socket).unwrap_or(Errno::CONNRESET))
        }
        Some(answer) => answered(fd, socket, answer.map(drop)).map(|()| Rest::Done),
        None => match away::pending_error(fd, socket) {
            None => Ok(Rest::Done),
            Some(errno) => Err(errno),
        },
    }
}
