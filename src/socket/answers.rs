//! What other processes ask about sockets of this one's stack.
//!
//! The calls are those of the program itself, but none of them waits, and none lets the kernel
//! serve the socket: the descriptors are in another process's hands.

use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::address::{self, Given};
use super::bind::{Place, protocol};
use super::{
    Family, Kind, Socket, Stage, State, accept, beyond, bind, connect, datagram, lifecycle,
};
use super::{errno, error_queue, options, queues, receive, send, way};
use crate::driver::{
    Answer, Connecting, Description, Endpoint, EndpointId, Engine, Question, Role, Shown,
};
use crate::sys::user::Buffers;

/// Answers `question` about `id`, of which `fd` is a descriptor. ENOTSOCK: it is gone.
pub(super) fn answer(
    engine: &mut Engine,
    id: EndpointId,
    fd: RawFd,
    question: &Question,
) -> Answer {
    let socket = socket_of(engine, id).ok_or(Errno::NOTSOCK)?;
    // The program's own number is closed, perhaps: then the asker's is good for the moment.
    let lent = engine.endpoints.get_mut(id).filter(|held| held.program < 0);
    let lent = lent.map(|held| held.program = fd).is_some();
    if lent {
        engine.note_holders(id, fd);
    }
    if lent && engine.pass_reset(id) {
        return Err(Errno::NOTSOCK);
    }
    if lent && socket.kind == Kind::Datagram {
        engine.pass_notices(id);
    }
    let answer = call(engine, &socket, fd, question);
    if lent && socket.kind == Kind::Datagram {
        engine.stay_readable(id);
    }
    let id = socket.state().endpoint.unwrap_or(id);
    if lent {
        engine.end_loan(id);
    }
    engine.finish_pass();
    answer
}

/// The socket that `id` belongs to.
pub(super) fn socket_of(engine: &mut Engine, id: EndpointId) -> Option<Arc<Socket>> {
    let record = engine.endpoints.get(id)?.record.clone()?;
    let socket = record.downcast::<Socket>().ok()?;
    let own = socket.state().endpoint == Some(id);
    Some(if own {
        socket
    } else {
        // Another process has accepted it from this listener.
        accept::inherit(engine, &socket, id, false)
    })
}

fn call(engine: &mut Engine, socket: &Arc<Socket>, fd: RawFd, question: &Question) -> Answer {
    if let Question::Receive { flags, room } = question {
        return receive::receive_in(engine, fd, socket, *flags, *room);
    }
    if let Question::Give {
        flags,
        stamping,
        payload,
    } = question
    {
        let data = Buffers::of(payload);
        return send::send_in(engine, fd, socket, &data, (*flags, *stamping))
            .map(|count| (count as u32).to_ne_bytes().to_vec());
    }
    let mut state = socket.state();
    let state = &mut *state;
    match question {
        Question::Describe => {
            if let Some(id) = state.endpoint {
                engine.offer_again(id);
            }
            Ok(describe(engine, socket, state).encode())
        }
        Question::Get { level, name, room } => {
            options::get_in(Some(engine), socket, state, (*level, *name), *room)
        }
        Question::Show => Ok(shown(engine, socket, state)?.encode()),
        Question::Count { request } => queues::count_in(engine, fd, socket, state, *request)
            .map(|count| (count as i32).to_ne_bytes().to_vec()),
        Question::ErrorEntry { room } => {
            let room = usize::try_from(*room).unwrap_or(0);
            error_queue::take_in(engine, socket, state, room).map(|entry| entry.encode())
        }
        Question::Edges => {
            let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
            let endpoint = engine.endpoints.get_mut(id);
            endpoint.ok_or(Errno::NOTSOCK)?.edges = true;
            Ok(engine.connections_come(id).to_ne_bytes().to_vec())
        }
        question => act(engine, fd, socket, state, question).map(|()| Vec::new()),
    }
}

/// What is to be done, and has no other answer than that it is.
fn act(
    engine: &mut Engine,
    fd: RawFd,
    socket: &Arc<Socket>,
    state: &mut State,
    question: &Question,
) -> Result<(), Errno> {
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    match question {
        Question::Set { level, name, value } => {
            options::set_in(engine, socket, state, (*level, *name), value)
        }
        Question::Shutdown { how } => lifecycle::shutdown_in(engine, fd, socket, state, *how),
        Question::Connect { address, call } => connect_in(engine, socket, state, address, *call),
        Question::Bind { address } => match bind::place(engine, socket, state, address)? {
            Place::Stack(local) => bind::bind_in(engine, socket, state, local),
            Place::Kernel(_) => Err(Errno::NETUNREACH),
        },
        Question::Listen { backlog } => bind::listen_in(engine, socket, state, *backlog),
        Question::Send {
            flags,
            head,
            payload,
        } => {
            // What was written to the pair before it leaves before it.
            engine.look_at(id);
            datagram::answer(engine, socket, state, (*flags, head, payload))
        }
        Question::Open => datagram::answer_bind(engine, socket, state),
        Question::PutBack { errno } => {
            let known = (1..4096).contains(errno);
            let errno = known.then(|| Errno::from_raw_os_error(*errno));
            let error = errno.and_then(errno::read).ok_or(Errno::INVAL)?;
            engine.put_error_back(id, error);
            Ok(())
        }
        Question::PassMark => {
            engine.pass_mark(id);
            Ok(())
        }
        // Who has the engine sees to that.
        Question::Linger => Ok(()),
        Question::Await { .. }
        | Question::Share { .. }
        | Question::Describe
        | Question::Get { .. }
        | Question::Show
        | Question::Count { .. }
        | Question::Edges
        | Question::ErrorEntry { .. }
        | Question::Give { .. }
        | Question::Receive { .. } => Err(Errno::INVAL),
    }
}

/// What it shows to poll(2), and the error it tells next.
fn shown(engine: &mut Engine, socket: &Socket, state: &State) -> Result<Shown, Errno> {
    let id = state.endpoint.ok_or(Errno::NOTSOCK)?;
    match socket.kind {
        Kind::Datagram => engine.withdraw(id),
        Kind::Stream => engine.take_lone_mark(id),
    }
    let pending = engine.endpoints.get(id).and_then(|held| held.error);
    Ok(Shown {
        error: pending.map_or(0, |error| errno::of(error).raw_os_error()),
        full: beyond::is_full(engine, id, state),
        ..engine.shown(id)
    })
}

fn describe(engine: &Engine, socket: &Socket, state: &State) -> Description {
    Description {
        inet6: socket.family() == Family::Inet6,
        datagram: socket.kind == Kind::Datagram,
        listening: state.stage == Stage::Listening,
        connected: !matches!(state.stage, Stage::Idle | Stage::Listening),
        local: state.local,
        remote: connect::peer_in(engine, socket, state),
        former: state.former,
    }
}

/// connect(2) without waiting. ENETUNREACH: only the kernel could serve the peer.
fn connect_in(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    address: &[u8],
    call: Connecting,
) -> Result<(), Errno> {
    let given = address::read(address, connect::family_of(socket, state, address));
    if socket.kind == Kind::Stream {
        if given == Ok(Given::Unspecified) {
            connect::disconnect(engine, socket, state)?;
            state.note_disconnect();
            engine.wake_all();
            return Ok(());
        }
        // As on Linux, what the socket is decides before what else is wrong with the address.
        if is_connected_already(engine, socket, state, call)? {
            return Ok(());
        }
    }
    let given = match given {
        Ok(Given::V4(_)) if state.options.v6_only => Err(Errno::NETUNREACH),
        given => given,
    };
    if let Ok(Given::V4(remote)) = given {
        let way = way::decide(engine, protocol(socket.kind), state, remote)?;
        way.ok_or(Errno::NETUNREACH)?;
    }
    match (socket.kind, given) {
        (_, Ok(Given::V6(_) | Given::AnyV6(_))) => Err(Errno::NETUNREACH),
        (Kind::Datagram, given) => datagram::connect(engine, socket, state, given).map(drop),
        (Kind::Stream, Ok(Given::Unspecified)) => Err(Errno::AFNOSUPPORT),
        (Kind::Stream, Ok(Given::V4(remote))) => {
            connect::begin(engine, socket, state, remote, call == Connecting::Fast)
        }
        (Kind::Stream, Err(errno)) => Err(errno),
    }
}

/// What connect(2) of a TCP socket answers by what that is already; false: it may begin.
fn is_connected_already(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    state: &mut State,
    call: Connecting,
) -> Result<bool, Errno> {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get_mut(id));
    let role = endpoint.as_ref().map(|endpoint| endpoint.role);
    if call == Connecting::Waited && state.stage == Stage::Idle {
        // Another thread, or process, has given the attempt up.
        let error = endpoint.and_then(Endpoint::take_error);
        return Err(error.map_or(Errno::CONNABORTED, errno::of));
    }
    if matches!(call, Connecting::First | Connecting::Fast)
        && state.stage == Stage::Connecting
        && !matches!(role, Some(Role::Connecting(_)))
    {
        state.stage = Stage::Connected;
    }
    connect::standing(engine, socket, state).map(|done| done.is_some())
}
