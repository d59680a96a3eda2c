//! Sockets that a keeper makes for processes which may not have a stack of their own.

use rustix::io::Errno;

use super::address::{self, Given};
use super::bind::{self, Place, protocol};
use super::{Family, Kind, Socket, State, connect, create, datagram, way};
use crate::driver::keeper::{self, Create, First, Plan};
use crate::driver::{Asker, Created, Engine};
use crate::sys::pair;

/// Is the keeper of `plan` until a signal ends it; the process's exit status.
pub fn keep(plan: Plan) -> i32 {
    create::hook();
    keeper::run(plan)
}

/// Makes the socket that is wanted.
pub(super) fn make(engine: &mut Engine, wanted: &Create, asker: Asker) -> Result<Created, Errno> {
    engine.make_room()?;
    let family = match wanted.inet6 {
        true => Family::Inet6,
        false => Family::Inet,
    };
    let kind = match wanted.datagram {
        true => Kind::Datagram,
        false => Kind::Stream,
    };
    let socket = Socket::new(family, kind, false, None);
    let mut state = socket.state();
    state.options.v6_only = wanted.v6_only;
    if !is_served(engine, &socket, &state, &wanted.first)? {
        return Ok(None);
    }
    let pair = pair::make(kind == Kind::Datagram, false, true)?;
    create::enter(engine, pair.stack, -1, &socket, &mut state);
    let id = state.endpoint.ok_or(Errno::NETDOWN)?;
    // Whoever has it may close it before it comes farther.
    engine.watch_end(id);
    let opened = engine.welcome(id, asker, &pair.program).and_then(|()| {
        match (kind, &wanted.first) {
            // Its datagrams come through the pair from now on.
            (Kind::Datagram, First::Any | First::Remote(_)) => {
                datagram::opened(engine, &socket, &mut state).map(drop)
            }
            _ => Ok(()),
        }
    });
    match opened {
        Ok(()) => Ok(Some((id, pair.program))),
        Err(errno) => {
            engine.forget(id);
            Err(errno)
        }
    }
}

/// Whether the stack is to serve a socket's first address.
fn is_served(
    engine: &Engine,
    socket: &Socket,
    state: &State,
    first: &First,
) -> Result<bool, Errno> {
    match first {
        // It listens to IPv6 alone.
        First::Any if socket.kind == Kind::Stream && state.options.v6_only => Ok(false),
        First::Any => Ok(true),
        First::Local(address) => {
            let place = bind::place(engine, socket, state, address)?;
            Ok(matches!(place, Place::Stack(_)))
        }
        First::Remote(bytes) => {
            match address::read(bytes, connect::family_of(socket, state, bytes))? {
                Given::V4(remote) => way::decide(engine, protocol(socket.kind), state, remote)
                    .map(|way| way.is_some()),
                _ => Ok(false),
            }
        }
    }
}
