//! A socket is a socket in every process that holds it.
//!
//! Descriptors reach other processes by fork(2), execve(2) and SCM_RIGHTS. There they read, write
//! and poll by themselves, through the pair. What a pair cannot answer (names, options, errors),
//! the process asks of the *owner*: whoever has the engine now, the process that made the socket
//! or its heir.
//!
//! ```text
//!   program's end ── its name says: engine, endpoint
//!        │
//!   asker ── question, with the descriptor ──► \0sidestack/stack/<engine> ──► owner
//!         ◄────────────── answer ─────────────
//! ```
//!
//! A socket's program end is given an abstract name (unix(7)) before it leaves a process that
//! knows what it is, so whoever holds the descriptor knows too, without a table. A forked child
//! needs none: it knows from its parent's memory.
//!
//! 1. A question is one message with the descriptor it is about, an answer one message. Both are
//!    bounded and checked ([`questions`] has them all).
//! 2. Who asks proves by the descriptor that the socket is his to ask about. The owner looks at its
//!    name, and at who made the pair: that must be the owner's own user, or root. A keeper, which
//!    makes pairs for others, knows its descriptors one by one ([`guests`](super::guests)). That sockets go farther than to
//!    forked processes is said of all at once: who says so shows its [`lifeline`](super::lifeline).
//!    It closes the descriptor before it answers.
//! 3. Who asks shows the descriptor to nobody but its maker's user, his own, or root.
//!    Where the socket has another pair than that descriptor's, the program's end goes with the answer ([`successors`]).
//! 4. The asker waits with an end, and holds no lock meanwhile. Without an answer it makes do with
//!    the pair's own.
//!    One question has its answer once there is news ([`waiters`]): who asks that waits for it beside the pair.
//! 5. The owner's part is one short piece of work of a pass, like the window's, and never a wait.

mod asker;
mod name;
mod owner;
mod questions;
mod successors;
mod waiters;

pub use asker::{Served, ask, ask_and_stay, ask_briefly, await_news, take_leave};
pub use name::Name;
pub use questions::{Answer, Connecting, Description, Question, Shown};

pub(super) use asker::{await_answer, reach, share};
pub(super) use name::desk;
pub(super) use successors::{HangsUp, Successor};
pub(super) use waiters::Waiter;

/// Bytes of the longest question, which has a datagram in it, and of the longest answer.
const LONGEST_QUESTION: usize = 64 * 1024 + 256;
const LONGEST: usize = 4096 + 64;
