//! Handles: what stands for a socket outside the stack, and in place of pointers inside it.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// A socket of the stack. Stale handles (the socket is gone, its place reused) are recognised by
/// their generation and refused.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    TryFromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(C)]
pub struct SocketId {
    /// What kind of socket, hence which table.
    pub kind: Kind,
    /// Place in the table.
    pub index: u32,
    /// How often the place was reused.
    pub generation: u32,
}

/// The tables of sockets.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    TryFromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(u32)]
pub enum Kind {
    /// A TCP connection (or an attempt at one).
    Connection,
    /// A TCP listener.
    Listener,
    /// A UDP socket.
    Datagram,
}
