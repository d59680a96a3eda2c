//! The only system calls of our own.
//!
//! Inside the library `libc::close` and everything in std that owns a descriptor resolve to *our*
//! exported symbols. So the library's own descriptors go through rustix with its raw Linux
//! backend, which enters the kernel directly; what rustix has no words for goes through
//! `syscalls`. Nothing here touches errno.

pub mod announced;
pub mod async_io;
pub mod bpf;
pub mod cancel;
pub mod clock;
pub mod cmsg;
pub mod collected;
pub mod copies;
pub mod datagram;
pub mod descriptor;
pub mod environment;
pub mod ethtool;
pub mod file;
pub mod filter;
pub mod fork;
pub mod handlers;
pub mod heap;
pub mod limit;
pub mod local;
pub mod lock;
pub mod mapping;
pub mod netlink;
pub mod option;
pub mod owned;
pub mod packet;
pub mod pair;
pub mod process;
pub mod raw;
pub mod reserve;
pub mod ring;
pub mod sealed;
pub mod signal;
pub mod signature;
pub mod spare;
pub mod spawn;
pub mod strerror;
pub mod user;
pub mod wait;
pub mod wake;
pub mod witness;
