//! What `ss` tells of the stack's ends of the pairs, and of those behind which the stack has no socket.

use core::fmt::Write;
use core::time::Duration;
use rustix::fd::AsRawFd;

use super::super::endpoint::{Endpoint, EndpointId, Role};
use super::super::{Engine, HOOKS};
use super::sockets::Words;
use crate::control::ephemeral::Protocol;
use crate::sys::wait::{entry, poll_for};

/// Events of an end that are told of if they are there.
const EVENTS: [(i16, &str); 4] = [
    (libc::POLLIN, "in"),
    (libc::POLLRDHUP, "rdhup"),
    (libc::POLLHUP, "hup"),
    (libc::POLLERR, "err"),
];

impl Engine {
    /// Endpoints that keep the process serving, though the stack has no socket of theirs.
    pub(super) fn without_socket(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.endpoints.ids().filter(|&id| {
            let held = self.endpoints.get(id);
            held.is_some_and(|held| held.socket().is_none() && held.has_address())
        })
    }

    /// The words of such a one's line.
    pub(super) fn words_without_socket(&self, id: EndpointId) -> Option<Words<'static>> {
        let endpoint = self.endpoints.get(id)?;
        let described = HOOKS.get().zip(endpoint.record.as_ref());
        let account = described.and_then(|(hooks, record)| (hooks.described)(record));
        let bound = account.and_then(|account| account.bound);
        Some(Words {
            protocol: match bound {
                Some((Protocol::Udp, _)) => "udp",
                _ => "tcp",
            },
            state: match endpoint.role {
                Role::Ended => "CLOSED",
                _ => "UNCONN",
            },
            received: 0,
            sent: 0,
            local: bound.map(|(_, local)| local),
            peer: None,
        })
    }
}

/// Appends where the program's side of an endpoint is, and what it has to say that nobody has heard yet.
pub(super) fn describe(endpoint: &Endpoint, text: &mut String) {
    // A String takes everything.
    if endpoint.program >= 0 {
        let _ = write!(text, " fd:{}", endpoint.program);
    }
    if endpoint.is_held_elsewhere() {
        text.push_str(" shared:yes");
    }
    let Some(end) = &endpoint.end else {
        text.push_str(" end:none");
        return;
    };
    let _ = write!(text, " end:{}", end.as_raw_fd());
    let mut fds = [entry(end.as_raw_fd(), libc::POLLIN | libc::POLLRDHUP)];
    // Without events nothing is told of it.
    let _ = poll_for(&mut fds, Some(Duration::ZERO), None);
    for (event, name) in EVENTS {
        if fds[0].revents & event != 0 {
            let _ = write!(text, ",{name}");
        }
    }
    for (name, value) in [
        ("filler", endpoint.filler),
        ("in_flight", endpoint.in_flight),
    ] {
        if value > 0 {
            let _ = write!(text, " {name}:{value}");
        }
    }
}
