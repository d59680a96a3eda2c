//! What the stack is told from outside: configuration, the kernel's view of the network, and the
//! ports the kernel lets it have.
//!
//! ```text
//!   SIDESTACK_*, TOML ──► settings ┐
//!   /proc/sys ──────────► limits   ├──► driver ──► stack
//!   rtnetlink ──────────► mirror   ┘       │
//!                                          ├──► lease, ephemeral: ports held in the kernel
//!                                          ├──► filter: what the packet socket lets in
//!                                          ├──► cutoff: what the kernel need not see besides
//!                                          ├──► vault: what holds ports when we are dead
//!                                          ├──► stand_in: connections on ports given back
//!                                          └──► dialect: names that processes find each other by
//! ```
//!
//! 1. The kernel grants a port before the stack uses it (see [`lease`]), and takes it back by
//!    itself when the process is gone.
//! 2. The filter admits a superset of what the stack serves; what it admits beyond that is
//!    ignored by the stack. So a filter may be coarser than the set of ports, never finer.
//! 3. Everything read from the environment or the kernel may be missing or nonsense: that is an
//!    error with a sentence for the user, or a default, never a panic.
//! 4. The types here are plain values; the driver turns them into the stack's.

mod config;
pub mod cutoff;
pub mod dialect;
pub mod ephemeral;
pub mod filter;
mod interfaces;
pub mod lease;
pub mod limits;
pub mod log;
pub mod low_ports;
pub mod mirror;
pub mod ports;
pub mod routes;
mod rtnetlink;
mod rules;
pub mod settings;
mod signing;
mod silence;
mod sink;
pub mod stand_in;
pub mod vault;
