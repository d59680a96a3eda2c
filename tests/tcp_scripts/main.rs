//! TCP by packet scripts: one script a behaviour. See [`script`] for how they read.

#[path = "../../src/stack/mod.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use only part of the stack"
)]
mod stack;

mod parse;
mod script;

mod acks;
mod closing;
mod congestion;
mod fast_open;
mod icmp;
mod keepalive;
mod listening;
mod opening;
mod options;
mod rack;
mod receiving;
mod resets;
mod retransmission;
mod sending;
mod time_wait;
mod window;
