//! `recv` and `send` under repair.

use rustix::io::Errno;

use super::Queue;
use crate::driver::{Engine, Role};
use crate::socket::{State, errno};
use crate::sys::user::Buffers;

/// Bytes copied at a time.
const PIECE: usize = 4096;

/// What recv(2) does: `None`, what it always does.
pub fn receive(
    engine: &Engine,
    state: &State,
    data: &Buffers<'_>,
    flags: i32,
) -> Option<Result<usize, Errno>> {
    let repair = state.options.repair.as_deref().filter(|repair| repair.on)?;
    let queue = repair.queue;
    if flags & libc::MSG_OOB != 0 {
        return None;
    }
    match queue {
        _ if flags & libc::MSG_PEEK == 0 => Some(Err(Errno::PERM)),
        Queue::None => Some(Err(Errno::INVAL)),
        Queue::Receive => None,
        Queue::Send => Some(peek_sent(engine, state, data)),
    }
}

/// EFAULT: there is more.
fn peek_sent(engine: &Engine, state: &State, data: &Buffers<'_>) -> Result<usize, Errno> {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    let Some(Role::Connection(connection)) = endpoint.map(|endpoint| endpoint.role) else {
        return Ok(0);
    };
    let mut piece = [0; PIECE];
    let mut copied = 0;
    loop {
        let count = engine.stack.tcp_peek_sent(connection, copied, &mut piece);
        if count == 0 {
            return Ok(copied);
        }
        if data.put(copied, &piece[..count]) < count {
            return Err(Errno::FAULT);
        }
        copied += count;
    }
}

/// What send(2) does: `None`, what it always does.
pub fn send(
    engine: &mut Engine,
    state: &State,
    data: &Buffers<'_>,
) -> Option<Result<usize, Errno>> {
    let repair = state.options.repair.as_deref().filter(|repair| repair.on)?;
    let endpoint = engine.endpoints.get(state.endpoint?)?;
    let Role::Connection(connection) = endpoint.role else {
        return None;
    };
    if endpoint.write_finished || engine.is_closed(connection) {
        return None;
    }
    let now = engine.now();
    let sent = match repair.queue {
        Queue::None => Err(Errno::INVAL),
        _ if data.len() == 0 => Ok(0),
        Queue::Receive => match engine.stack.tcp_put_received(now, connection, data.runs(0)) {
            0 => Err(Errno::NOMEM),
            count => Ok(count),
        },
        Queue::Send => {
            let sent = engine.stack.tcp_put_sent(now, connection, data.runs(0));
            sent.map_err(errno::of)
        }
    };
    engine.finish_pass();
    Some(sent)
}
