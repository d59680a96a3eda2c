//! SO_LINGER of a connection whose stack is in another process; see the driver's `lingering`.

use core::time::Duration;
use rustix::fd::{AsRawFd, RawFd};

use super::{Kind, Socket, Stage};
use crate::driver::{self, Question};
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{entry, poll_for};
use crate::sys::{clock, pair, raw};

/// How long an owner may take to hear of a close(2) that waits for nothing else: on Linux it would not wait at all.
const HEARING: Duration = Duration::from_millis(250);

/// A close(2) that the owner knows of.
pub(super) struct Lingering {
    desk: OwnedFd,
    /// In monotonic nanoseconds.
    deadline: u64,
}

impl Lingering {
    /// Before the descriptor is closed. `None`: there is nothing to wait for. Where the connection is not to linger at all, or
    /// has something unread, its reset is.
    pub(super) fn announce(fd: RawFd, socket: &Socket) -> Option<Self> {
        let name = socket.away()?;
        if socket.kind != Kind::Stream || driver::is_inside() {
            return None;
        }
        let (linger, stage) = {
            let state = socket.state();
            (state.options.linger, state.stage)
        };
        let is_unread =
            || stage != Stage::Listening && raw::unread(fd).is_ok_and(|count| count > 0);
        let patience = match linger {
            Some(Duration::ZERO) => HEARING,
            _ if is_unread() => HEARING,
            linger => linger?,
        };
        let deadline = clock::monotonic().saturating_add(patience.as_nanos() as u64);
        let ((answer, _), desk) = driver::ask_briefly(fd, name, &Question::Linger, patience)?;
        answer.ok()?;
        Some(Self { desk, deadline })
    }

    /// After that: waits, unless others have the connection still. A signal ends it. However it ends, close(2) succeeds
    /// (socket(7), SO_LINGER).
    pub(super) fn wait(self) {
        if pair::finish(&self.desk).is_ok() {
            let mut fds = [entry(self.desk.as_raw_fd(), libc::POLLIN)];
            let left = self.deadline.saturating_sub(clock::monotonic());
            let _ = poll_for(&mut fds, Some(Duration::from_nanos(left)), None);
        }
    }
}
