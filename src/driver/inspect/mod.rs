//! The window: how `sidestack ss` and `sidestack stat` look into a running process.
//!
//! ```text
//!   sidestack ss ──► \0sidestack/<pid> ──► accept ──► read a line ──► answer, piece by piece
//! ```
//!
//! A listening socket with an abstract name in the process's network namespace, watched in the
//! engine's set like everything else and so served by whoever drives. What is said on it, and how
//! an answer looks, stands in src/cli/show.rs.
//!
//! 1. One event costs one short piece of work, never a wait: a client is accepted, or its line is
//!    read, or one piece of its answer is sent.
//! 2. An answer is made as the client takes it, so a slow one costs a list of handles and no more.
//!    What is between two pieces may change, as in the kernel's own socket lists.
//! 3. A few clients are served at a time; one more ends the oldest. So nobody has to be timed.
//! 4. Only the process's own user and root are answered, and a keeper's guests, who are shown their own sockets. One
//!    place is for them all, so that they keep nobody else from being answered.

mod counters;
mod ends;
mod sockets;

use core::mem;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use self::sockets::Row;
use super::Engine;
use super::guests::Guests;
use crate::control::log;
use crate::sys::heap;
use crate::sys::local::{self, Sort};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::Set;
use crate::sys::{pair, raw, strerror};

/// Clients served at a time.
const CLIENTS: usize = 4;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Bytes of the longest request.
const LINE: usize = 64;
/// Bytes after which a piece of an answer is long enough.
const PIECE: usize = 8 * 1024;

/// Tokens used, from the window's first: the listener's, then one a client.
pub(super) const TOKENS: u64 = 1 + CLIENTS as u64;

/// What the process is to the sockets that it serves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Office {
    /// They are its own, and of processes forked from it.
    #[default]
    Program,
    /// It goes on for a program that has ended.
    Heir,
    /// It goes on for a program that was killed.
    Executor,
    /// It serves programs that may not have a stack.
    Keeper,
}

impl Office {
    const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Heir => "heir",
            Self::Executor => "executor",
            Self::Keeper => "keeper",
        }
    }
}

/// The socket and its clients.
pub(super) struct Window {
    listener: OwnedFd,
    first_token: u64,
    clients: [Option<Client>; CLIENTS],
    /// Clients so far: says which place is the oldest.
    count: usize,
}

struct Client {
    stream: OwnedFd,
    /// The guest who asks.
    guest: Option<u32>,
    stage: Stage,
}

enum Stage {
    /// Its request, as far as it has come.
    Asking(Vec<u8>),
    /// The piece of the answer that is on its way, and the sockets that come after it.
    Answering {
        piece: Vec<u8>,
        sent: usize,
        rows: Vec<Row>,
    },
}

/// What becomes of a client after a piece of work.
#[derive(PartialEq)]
enum Next {
    Stay,
    Go,
}

impl Window {
    /// Opens the window in `set`.
    fn open(set: &Set, first_token: u64) -> Result<Self, Errno> {
        let name = format!("sidestack/{}", raw::process_id());
        let listener = local::listen_as(Sort::Bytes, name.as_bytes(), BACKLOG)?;
        set.add(&listener, first_token, EventFlags::IN)?;
        Ok(Self {
            listener,
            first_token,
            clients: [const { None }; CLIENTS],
            count: 0,
        })
    }

    fn admit(&mut self, set: &Set, guests: &Guests) {
        let Ok(stream) = local::accept(&self.listener) else {
            return;
        };
        let guest = match local::peer_user(&stream) {
            Ok(user) if user == local::own_user() || user == 0 => None,
            Ok(user) if guests.has(user) => Some(user),
            _ => return,
        };
        let place = match guest {
            Some(_) => CLIENTS - 1,
            None => self.count % (CLIENTS - 1),
        };
        self.count += usize::from(guest.is_none());
        self.dismiss(set, place);
        let token = self.first_token + 1 + place as u64;
        if set.add(&stream, token, EventFlags::IN).is_ok() {
            let stage = Stage::Asking(Vec::new());
            self.clients[place] = Some(Client {
                stream,
                guest,
                stage,
            });
        }
    }

    fn dismiss(&mut self, set: &Set, place: usize) {
        if let Some(client) = self.clients[place].take() {
            // A forked child may still hold a copy, so closing alone would not end the watch.
            set.remove(&client.stream);
        }
    }
}

impl Engine {
    /// Opens the window; without it the process goes on unseen.
    pub(super) fn open_window(&mut self, first_token: u64) {
        match Window::open(&self.set, first_token) {
            Ok(window) => self.doors.window = Some(window),
            Err(errno) => log::debug(format_args!(
                "sidestack ss and stat will not see this process: {}",
                strerror::of(errno)
            )),
        }
    }

    /// Opens the window under this process's own number, the engine having changed hands: its old
    /// name belongs to whoever goes on under the old number.
    pub(super) fn reopen_window(&mut self) {
        let Some(mut window) = self.doors.window.take() else {
            return;
        };
        for place in 0..CLIENTS {
            window.dismiss(&self.set, place);
        }
        self.set.remove(&window.listener);
        let first_token = window.first_token;
        drop(window);
        self.open_window(first_token);
    }

    /// Does one piece of work for the window: something came for its `index`th descriptor.
    pub(super) fn serve_window(&mut self, index: u64) {
        let Some(mut window) = self.doors.window.take() else {
            return;
        };
        match (index as usize).checked_sub(1) {
            None => window.admit(&self.set, &self.endpoints.guests),
            Some(place) => {
                if let Some(client) = &mut window.clients[place]
                    && self.serve_client(client, window.first_token + index) == Next::Go
                {
                    window.dismiss(&self.set, place);
                }
            }
        }
        self.doors.window = Some(window);
    }

    fn serve_client(&mut self, client: &mut Client, token: u64) -> Next {
        match &mut client.stage {
            Stage::Asking(line) => {
                let next = read_line(&client.stream, line);
                let Some(request) = line.strip_suffix(b"\n") else {
                    return next;
                };
                let (piece, rows) = self.begin_answer(request, client.guest);
                client.stage = Stage::Answering {
                    piece,
                    sent: 0,
                    rows,
                };
                match self.set.modify(&client.stream, token, EventFlags::OUT) {
                    Ok(()) => Next::Stay,
                    Err(_) => Next::Go,
                }
            }
            Stage::Answering { piece, sent, rows } => {
                match pair::give(&client.stream, &piece[*sent..]) {
                    Ok(count) => *sent += count,
                    Err(Errno::AGAIN | Errno::INTR) => return Next::Stay,
                    Err(_) => return Next::Go,
                }
                if *sent < piece.len() {
                    return Next::Stay;
                }
                *sent = 0;
                piece.clear();
                self.list_sockets(rows, piece);
                if piece.is_empty() {
                    Next::Go
                } else {
                    Next::Stay
                }
            }
        }
    }

    /// The beginning of the answer, and what is left to be listed; `guest`: of his.
    fn begin_answer(&mut self, request: &[u8], guest: Option<u32>) -> (Vec<u8>, Vec<Row>) {
        match request {
            _ if heap::is_short() => (b"error: no memory is left\n".into(), Vec::new()),
            b"ss" => (sockets::HEADER.into(), self.rows(guest)),
            b"stat" if guest.is_some() => (b"error: it counts for all users\n".into(), Vec::new()),
            b"stat" => (self.counters().into_bytes(), Vec::new()),
            _ => (b"error: the requests are ss and stat\n".into(), Vec::new()),
        }
    }

    /// Moves rows from the end of `rows` to `piece` until that is long enough.
    fn list_sockets(&self, rows: &mut Vec<Row>, piece: &mut Vec<u8>) {
        let mut text = String::from_utf8(mem::take(piece)).unwrap_or_default();
        while text.len() < PIECE
            && let Some(row) = rows.pop()
        {
            self.write_row(row, &mut text);
        }
        *piece = text.into_bytes();
    }
}

/// Reads on in the request; it is complete once it ends in a newline.
fn read_line(stream: &OwnedFd, line: &mut Vec<u8>) -> Next {
    let mut buffer = [0; LINE];
    match pair::take(stream, &mut buffer[line.len()..]) {
        // The end of the stream, or a line that is too long.
        Ok(0) => Next::Go,
        Ok(count) => {
            let start = line.len();
            line.extend_from_slice(&buffer[start..start + count]);
            if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
                line.truncate(end + 1);
            }
            Next::Stay
        }
        Err(Errno::AGAIN | Errno::INTR) => Next::Stay,
        Err(_) => Next::Go,
    }
}
