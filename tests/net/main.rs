//! The stack as its driver sees it: frames in, frames out, user calls, and a clock of the test's.
//!
//! Each file is a protocol; `wire` has two stacks talk over a bad Ethernet, `hostile` gives one
//! what no peer would send.

#[path = "../../src/stack/mod.rs"]
pub mod stack;
#[path = "../support/simulation/mod.rs"]
mod support;

mod adoption;
mod arp;
mod damaged;
mod hostile;
mod icmp;
mod ip_options;
mod ipv4;
mod loopback;
mod reassembly;
mod sharing;
mod stalls;
mod tcp;
mod transfer;
mod udp;
mod wire;
