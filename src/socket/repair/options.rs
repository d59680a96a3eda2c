//! The options (tcp(7); CRIU's libsoccr has the order of their use).

use rustix::io::Errno;

use super::{Queue, Repair};
use crate::driver::{Engine, Role};
use crate::socket::options::{integer, kernel_says};
use crate::socket::{Socket, State};
use crate::stack::ids::SocketId;
use crate::stack::tcp::{Agreed, Places, Windows};

/// `sizeof(struct tcp_repair_window)` and `sizeof(struct tcp_repair_opt)`.
const WINDOW: usize = 20;
const OPTION: usize = 8;
/// The largest shift of a window (RFC 7323 section 2.3).
const MAX_SCALE: u32 = 14;
/// Kinds of options in a TCP header.
const SEGMENT_SIZE: u32 = 2;
const WINDOW_SCALE: u32 = 3;
const SACK_PERMITTED: u32 = 4;
const TIMESTAMPS: u32 = 8;

/// Whether an option of a TCP socket is one of these. (TCP_REPAIR_OPTIONS cannot be read.)
pub fn is_name(name: i32) -> bool {
    matches!(
        name,
        libc::TCP_REPAIR
            | libc::TCP_REPAIR_QUEUE
            | libc::TCP_QUEUE_SEQ
            | libc::TCP_REPAIR_OPTIONS
            | libc::TCP_REPAIR_WINDOW
            | libc::TCP_TIMESTAMP
    )
}

/// The socket's connection, if it has one that is not over.
fn live(engine: &Engine, state: &State) -> Option<SocketId> {
    match engine.endpoints.get(state.endpoint?)?.role {
        Role::Connecting(connection) | Role::Connection(connection) => {
            (!engine.is_closed(connection)).then_some(connection)
        }
        _ => None,
    }
}

/// The clock that timestamps count by, in milliseconds.
fn clock(engine: &mut Engine) -> u32 {
    engine.now().as_millis_wrapping()
}

/// setsockopt(2) of a socket that the engine serves.
pub fn set(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    name: i32,
    value: &[u8],
) -> Result<(), Errno> {
    let number = integer(value)?;
    let connection = live(engine, state);
    let mut repair = state.options.repair.as_deref().cloned().unwrap_or_default();
    match name {
        libc::TCP_REPAIR => set_repair(engine, socket, state, &mut repair, number)?,
        libc::TCP_REPAIR_QUEUE if !repair.on => return Err(Errno::PERM),
        libc::TCP_REPAIR_QUEUE => {
            repair.queue = match number {
                0 => Queue::None,
                1 => Queue::Receive,
                2 => Queue::Send,
                _ => return Err(Errno::INVAL),
            };
        }
        libc::TCP_QUEUE_SEQ if connection.is_some() || is_listener(engine, state) => {
            return Err(Errno::PERM);
        }
        libc::TCP_QUEUE_SEQ => match repair.queue {
            Queue::None => return Err(Errno::INVAL),
            Queue::Receive => repair.places.receive = number.cast_unsigned(),
            Queue::Send => repair.places.send = number.cast_unsigned(),
        },
        libc::TCP_TIMESTAMP if !repair.on => return Err(Errno::PERM),
        libc::TCP_TIMESTAMP => {
            let offset = number.cast_unsigned().wrapping_sub(clock(engine));
            repair.places.timestamp_offset = Some(offset);
            if let Some(connection) = connection {
                engine.stack.tcp_set_timestamp_offset(connection, offset);
            }
        }
        libc::TCP_REPAIR_WINDOW => set_windows(engine, connection, &mut repair, value)?,
        _ if !repair.on => return Err(Errno::INVAL),
        _ => agree(engine, connection, value)?,
    }
    state.options.repair = Some(Box::new(repair));
    Ok(())
}

fn is_listener(engine: &Engine, state: &State) -> bool {
    let endpoint = state.endpoint.and_then(|id| engine.endpoints.get(id));
    endpoint.is_some_and(|endpoint| matches!(endpoint.role, Role::Listener(_)))
}

fn set_repair(
    engine: &mut Engine,
    socket: &Socket,
    state: &mut State,
    repair: &mut Repair,
    how: i32,
) -> Result<(), Errno> {
    if is_listener(engine, state) {
        return Err(Errno::PERM);
    }
    kernel_says(socket, (libc::IPPROTO_TCP, libc::TCP_REPAIR), how)?;
    let connection = live(engine, state);
    repair.on = how == 1;
    repair.shares = repair.on;
    if repair.on {
        repair.queue = Queue::None;
        if let Some(connection) = connection {
            engine.stack.tcp_begin_repair(connection);
        }
        return Ok(());
    }
    state.options.reuse_address = false;
    if let Some(connection) = connection {
        let now = engine.now();
        engine.stack.tcp_end_repair(now, connection, how == 0);
        engine.finish_pass();
    }
    Ok(())
}

fn set_windows(
    engine: &mut Engine,
    connection: Option<SocketId>,
    repair: &mut Repair,
    value: &[u8],
) -> Result<(), Errno> {
    if !repair.on {
        return Err(Errno::PERM);
    }
    let words: &[u8; WINDOW] = value.try_into().map_err(|_| Errno::INVAL)?;
    let word =
        |at: usize| u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let windows = Windows {
        snd_wl1: word(0),
        snd_wnd: word(4),
        max_wnd: word(8),
        rcv_wnd: word(12),
        rcv_wup: word(16),
    };
    let fits = match connection {
        Some(connection) => engine.stack.tcp_set_windows(connection, &windows),
        None => windows.is_sound(repair.places.receive),
    };
    if !fits {
        return Err(Errno::INVAL);
    }
    repair.windows = windows;
    Ok(())
}

/// TCP_REPAIR_OPTIONS: as many as are whole.
fn agree(engine: &mut Engine, connection: Option<SocketId>, value: &[u8]) -> Result<(), Errno> {
    let connection = connection.filter(|&connection| engine.stack.tcp_may_agree(connection));
    let connection = connection.ok_or(Errno::PERM)?;
    for option in value.chunks_exact(OPTION) {
        let code = integer(option)?.cast_unsigned();
        let value = integer(&option[4..])?.cast_unsigned();
        let agreed = match (code, value) {
            (SEGMENT_SIZE, size) => Agreed::SegmentSize(size as u16),
            (WINDOW_SCALE, shifts) => {
                let (theirs, ours) = (shifts & 0xffff, shifts >> 16);
                if theirs.max(ours) > MAX_SCALE {
                    return Err(Errno::FBIG);
                }
                Agreed::WindowScale(theirs as u8, ours as u8)
            }
            (SACK_PERMITTED, 0) => Agreed::Sack,
            (TIMESTAMPS, 0) => Agreed::Timestamps,
            (SACK_PERMITTED | TIMESTAMPS, _) => return Err(Errno::INVAL),
            _ => continue,
        };
        engine.stack.tcp_agree(connection, agreed);
    }
    Ok(())
}

/// getsockopt(2), as far as there is something to say: of SO_REUSEADDR and TCP_MAXSEG under repair, too.
pub fn get(
    engine: Option<&mut Engine>,
    state: &State,
    option: (i32, i32),
    room: i32,
) -> Option<Result<Vec<u8>, Errno>> {
    let nothing = Repair::default();
    let repair = state.options.repair.as_deref().unwrap_or(&nothing);
    let engine = engine?;
    let connection = live(engine, state);
    let int = |value: i32| Some(Ok(value.to_ne_bytes().to_vec()));
    match option {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) if repair.shares => int(2),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) if repair.on => {
            let size = engine.stack.tcp_peer_mss(connection?)?;
            int(size.into())
        }
        (libc::IPPROTO_TCP, libc::TCP_REPAIR) => int(repair.on.into()),
        (libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE) if repair.on => int(repair.queue as i32),
        (libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE) => Some(Err(Errno::INVAL)),
        (libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ) => {
            let places = places(engine, connection, repair);
            match repair.queue {
                Queue::None => Some(Err(Errno::INVAL)),
                Queue::Receive => int(places.receive.cast_signed()),
                Queue::Send => int(places.send.cast_signed()),
            }
        }
        (libc::IPPROTO_TCP, libc::TCP_TIMESTAMP) => {
            let offset = places(engine, connection, repair).timestamp_offset;
            int(clock(engine)
                .wrapping_add(offset.unwrap_or(0))
                .cast_signed())
        }
        (libc::IPPROTO_TCP, libc::TCP_REPAIR_WINDOW) => {
            Some(windows(engine, connection, repair, room))
        }
        _ => None,
    }
}

fn places(engine: &Engine, connection: Option<SocketId>, repair: &Repair) -> Places {
    let places = connection.and_then(|connection| engine.stack.tcp_places(connection));
    places.unwrap_or(repair.places)
}

fn windows(
    engine: &Engine,
    connection: Option<SocketId>,
    repair: &Repair,
    room: i32,
) -> Result<Vec<u8>, Errno> {
    if room != WINDOW as i32 {
        return Err(Errno::INVAL);
    }
    if !repair.on {
        return Err(Errno::PERM);
    }
    let windows = connection.and_then(|connection| engine.stack.tcp_windows(connection));
    let windows = windows.unwrap_or(repair.windows);
    let words = [
        windows.snd_wl1,
        windows.snd_wnd,
        windows.max_wnd,
        windows.rcv_wnd,
        windows.rcv_wup,
    ];
    Ok(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}
