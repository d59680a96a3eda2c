//! The protocols: Ethernet, ARP, IPv4, ICMP, UDP and TCP as one state machine.
//!
//! ```text
//!   receive_frame ──► ethernet ──► arp
//!                        │
//!                        ▼
//!                      ipv4 ──► icmp
//!                        │  └──► udp  ──► Sink / queue ─► udp_receive
//!                        ▼
//!                       tcp  ──► Sink / queue ─► tcp_received, tcp_consume
//!
//!   tcp_send, udp_send ─► queues ─► poll_transmit ─► one (super-)frame at a time
//! ```
//!
//! The stack does no input or output, has no clock, no thread, no errno and imports nothing of
//! this crate. `now` and randomness are arguments.
//!
//! The grammar of its names and the one drain rule:
//!
//! 1. `receive_*` takes something in, `poll_*` gives something out, user calls carry their
//!    protocol's name (`tcp_connect`, `udp_send`).
//! 2. After any `receive_*` or user call: `poll_transmit` until it gives nothing, then
//!    `poll_dirty` until it gives nothing, then be back by `next_deadline()` with
//!    `receive_timeout`.
//! 3. `poll_dirty` names a socket whose outside may have changed; what changed is read from its
//!    status. A socket is named at most once per pass, so the driver's work is bounded.
//! 4. Every byte that arrives is untrusted. Nothing here panics on input or grows without bound.
//! 5. Connections are plain data with handles ([`SocketId`]) in place of pointers; their bytes
//!    live in the [`pool::Pool`]'s one region.

#![forbid(unsafe_code)]

pub mod error;
pub mod ids;
pub mod pool;
pub mod tcp;
pub mod time;
pub mod wire;
