//! What a process leaves when it dies without a word, and who goes on with it.
//!
//! ```text
//!   process                                       keeper                     executor
//!     │ will: memory file, packet socket, vault ──► kept, not looked at
//!     │ leases ── copies ──► vault (a queue) ═════► not read
//!     │ ends that others share ──► another queue ═► not read
//!     ✝ kill -9
//!       connection hangs up ──────────────────────► fork ─────────────────► opens the memory,
//!                                                                            closes every socket as
//!                                                                            the kernel would, and
//!                                                                            serves until that is done
//! ```
//!
//! A process whose stack has TCP to look after, or sockets that others hold, makes a [`will`]: it finds a keeper or starts one
//! ([`reach`]), and gives it what it takes to go on with its stack. The keeper does nothing with it
//! while the process lives, and learns of its end by the connection, which the kernel closes. Then an
//! [`executor`], a process of its own, restores the stack and carries on.
//!
//! Sockets that other processes have live on: copies of the stack's ends of their pairs ([`ends`]) are in a queue,
//! and the executor makes endpoints of them again ([`heritage`]). Those of which nothing lies in the memory file, UDP's
//! and bound ones, the upper layer opens anew, by what it had said of them.
//!
//! 1. Nothing waits for the keeper, and nothing depends on it: without one, what is not acknowledged
//!    when the process is killed is lost.
//! 2. Whoever has the engine has the connection: an heir inherits it with all the rest, so that the
//!    keeper watches over the heir then.
//! 3. The memory file has one stack at a time: the executor opens it when every process that had the
//!    connection is gone.
//! 4. The keeper has what was left until the executor has made a will of its own, and that then. So another goes on if
//!    the executor is killed. In the queues it only looks: until its will takes their place it gives nothing back, and
//!    hands nothing on that the next one would not find.
//! 5. What a keeper is given comes from a process of its own user, who may be anybody. It is looked at
//!    by the executor only, which serves nobody else.

mod ends;
mod executor;
mod heritage;
mod leases;
mod messages;
mod ports;
mod reach;
mod will;
mod wills;

pub(super) use ends::note_bell;
pub use ends::note_set_out;
pub(super) use reach::await_executors;
pub(super) use will::{Will, attend, provide, serve_alone};
pub use wills::keep;
