//! Until a connect(2) that blocks has ended.

use core::cell::Cell;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::sync::Arc;

use super::bind::Rest;
use super::connect::restart;
use super::waiting::{deadline, resume};
use super::{Socket, Stage, errno, table};
use crate::driver::{Caller, EndpointId, Engine, Guard, Role, Wait, wait};

/// Waits for it. `unfinished`: what the call says once it may not wait any longer.
pub(super) fn complete(
    engine: &mut Guard,
    fd: RawFd,
    socket: &Arc<Socket>,
    id: EndpointId,
    unfinished: Errno,
) -> Result<Rest, Errno> {
    let fd = Cell::new(fd);
    let state = socket.state();
    let (timeout, disconnects) = (state.options.send_timeout, state.disconnects);
    drop(state);
    let deadline = deadline(timeout);
    loop {
        let role = engine.endpoints.get(id).map(|endpoint| endpoint.role);
        if engine.seat_is_taken() && matches!(role, Some(Role::Connecting(_))) {
            // Another thread drives: this one waits on the descriptor, which must not be writable.
            engine.stuff(id);
        }
        let mut request = Wait {
            deadline,
            caller: Some(Caller {
                id,
                fd: &fd,
                events: libc::POLLOUT,
            }),
            ..Wait::default()
        };
        let outcome = wait(engine, &mut request, None, |engine, _| {
            let endpoint = engine.endpoints.get(id);
            if let Some(endpoint) = endpoint {
                table::follow(&fd, socket, endpoint.program);
            }
            match endpoint.map(|endpoint| endpoint.role) {
                Some(Role::Connecting(_)) => None,
                other => Some(other),
            }
        });
        match outcome {
            Ok(Some(Role::Connection(_))) => {
                let mut state = socket.state();
                state.stage = Stage::Connected;
                state.connect_unconfirmed = false;
                return Ok(Rest::Done);
            }
            Ok(_) => return failed(engine, socket, id, disconnects),
            Err(interruption) => {
                if let Err(errno) = resume(interruption, timeout) {
                    engine.stuff(id);
                    return Err(match errno {
                        Errno::AGAIN => unfinished,
                        errno => errno,
                    });
                }
            }
        }
    }
}

/// An attempt to connect has failed, or was given up.
fn failed(
    engine: &mut Engine,
    socket: &Arc<Socket>,
    id: EndpointId,
    disconnects: u32,
) -> Result<Rest, Errno> {
    let mut state = socket.state();
    // Another thread may have given it up, and a fresh endpoint is in its place.
    if state.disconnects != disconnects {
        return Err(Errno::PIPE);
    }
    let held = state.endpoint.unwrap_or(id);
    let endpoint = engine.endpoints.get_mut(held);
    let error = endpoint.and_then(|endpoint| endpoint.take_error());
    if held == id {
        restart(engine, socket, &mut state, None)?;
        let fresh = state.endpoint;
        drop(state);
        if let Some(fresh) = fresh {
            // The call may have been all that was left of the socket.
            engine.look_whether_closed(fresh);
        }
    }
    Err(error.map_or(Errno::CONNABORTED, errno::of))
}
