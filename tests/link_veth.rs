//! The packet socket, the leases and the mirror against the kernel, over a veth pair of their own.
//! Needs root.

#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../src/control/mod.rs"]
mod control;
#[expect(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of it"
)]
#[path = "../src/link/mod.rs"]
mod link;
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../src/sys/mod.rs"]
mod sys;

#[path = "common/frames.rs"]
mod frames;
#[path = "common/netns.rs"]
mod netns;

#[path = "link_veth/cutoff.rs"]
mod cutoff;
#[path = "link_veth/lease.rs"]
mod lease;
#[path = "link_veth/mirror.rs"]
mod mirror;
#[path = "link_veth/packet.rs"]
mod packet;
#[path = "link_veth/ring.rs"]
mod ring;
#[path = "link_veth/stand_in.rs"]
mod stand_in;
