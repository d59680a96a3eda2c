//! Wire formats: each file has a checked parse of untrusted bytes into a plain `Repr`, its
//! inverse `emit`, and a Display in the manner of tcpdump.

pub mod seq;
pub mod tcp;
