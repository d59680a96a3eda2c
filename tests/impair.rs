//! Impairments and captures, around a link made of queues.

#[expect(
    dead_code,
    unused_imports,
    reason = "the packet socket is not tested here"
)]
#[path = "../src/link/mod.rs"]
mod link;
#[expect(dead_code, reason = "link needs all of it")]
#[path = "../src/sys/mod.rs"]
mod sys;

#[path = "common/frames.rs"]
mod frames;

#[path = "impair/capture.rs"]
mod capture;
#[path = "impair/impair.rs"]
mod impair;
#[path = "impair/wire.rs"]
mod wire;
