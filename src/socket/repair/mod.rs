//! TCP_REPAIR: how programs that move connections (CRIU, say) take them apart, and put them together.
//!
//! 1. A right, CAP_NET_ADMIN, is needed; a kernel socket says whether the program has it.
//! 2. Before there is a connection everything is kept here. `connect` opens it without a word, and what is said after
//!    that goes to the stack. If the kernel is to serve the socket, it is told all of it before.
//! 3. Under repair MSG_PEEK reads either queue, and `send` fills it, as TCP_REPAIR_QUEUE says.
//! 4. A connection of another process's stack is not taken apart: ENOPROTOOPT.

mod calls;
mod options;

pub use calls::{receive, send};
pub use options::{get, is_name, set};

use rustix::fd::RawFd;

use crate::stack::tcp::{Places, Windows};
use crate::sys::raw;

/// TCP_REPAIR_QUEUE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// Neither.
    #[default]
    None,
    /// What was received.
    Receive,
    /// What was sent, or is to be.
    Send,
}

/// What was said of a socket's repair.
#[derive(Clone, Debug, Default)]
pub struct Repair {
    /// It is under repair.
    pub on: bool,
    /// It shares its port with whoever has it; SO_REUSEADDR reads so.
    pub shares: bool,
    /// Which queue is meant.
    pub queue: Queue,
    /// Where a connection will go on.
    pub places: Places,
    /// Its windows, which mean nothing before it stands.
    windows: Windows,
}

impl Repair {
    /// Says it again to a kernel socket.
    pub fn replay(&self, kernel: RawFd) {
        let say = |name, value: i32| {
            let _ = raw::setsockopt(kernel, libc::IPPROTO_TCP, name, &value.to_ne_bytes());
        };
        if self.on || self.places != Places::default() {
            say(libc::TCP_REPAIR, 1);
        }
        for (queue, place) in [
            (Queue::Receive, self.places.receive),
            (Queue::Send, self.places.send),
        ] {
            say(libc::TCP_REPAIR_QUEUE, queue as i32);
            say(libc::TCP_QUEUE_SEQ, place.cast_signed());
        }
        say(libc::TCP_REPAIR_QUEUE, self.queue as i32);
        if !self.on {
            say(libc::TCP_REPAIR, -1);
        }
    }
}
