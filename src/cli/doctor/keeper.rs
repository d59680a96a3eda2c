//! Whether a keeper serves this user, who has not got the right himself.
//!
//! What is said is written down in src/driver/keeper/requests.rs: `h` and an interface's name, to which
//! `y` is yes, and `n` with an errno value no.

use std::time::Duration;

use rustix::fd::AsRawFd;
use rustix::io::Errno;

use super::Finding;
use crate::control::dialect::Keeper;
use crate::control::settings::Settings;
use crate::sys::local::{Sort, connect_to, own_user, peer_user};
use crate::sys::pair::{give, take};
use crate::sys::wait::{entry, poll_for};

/// How long a keeper may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A finding if there is a keeper, of root's or of the user's own; `ok` if it serves him.
pub(super) fn check(settings: &Settings) -> Option<Finding> {
    let interface = settings.interface.as_deref().unwrap_or_default();
    [0, own_user()]
        .into_iter()
        .filter_map(|keeper| explain(keeper, ask(keeper, interface)?))
        .min_by_key(|finding| finding.verdict)
}

fn explain(keeper: u32, answer: Result<(), Errno>) -> Option<Finding> {
    let (what, user) = ("keeper", own_user());
    Some(match answer {
        Ok(()) => Finding::ok(
            what,
            format!("the keeper of user {keeper} serves user {user}"),
        ),
        Err(Errno::ACCESS) => Finding::refuse(
            what,
            format!("the keeper of user {keeper} does not admit user {user}: sockets get EACCES"),
            format!("have it started with --allow-user {user}, see sidestack-keeper(8)"),
        ),
        Err(Errno::NODEV) => Finding::fail(
            what,
            format!("the keeper of user {keeper} drives another interface"),
            "leave --interface out",
        ),
        Err(Errno::PERM) => Finding::fail(
            what,
            format!("another user has the name of the keeper of user {keeper}"),
            format!(
                "`ss -xlp` shows who listens at @{}",
                Keeper::Sockets.name(keeper)
            ),
        ),
        Err(Errno::PROTO) => Finding::fail(
            what,
            format!("the keeper of user {keeper} is of another version"),
            "start it anew",
        ),
        Err(_) => return None,
    })
}

/// What the keeper says; `None`: there is none. EPERM: somebody else has its name. EPROTO: it is of another version.
fn ask(keeper: u32, interface: &str) -> Option<Result<(), Errno>> {
    let name = Keeper::Sockets.name(keeper);
    let Ok(door) = connect_to(Sort::Messages, name.as_bytes()) else {
        let other = Keeper::Sockets.is_of_other_version(keeper);
        return other.then_some(Err(Errno::PROTO));
    };
    // The name is free for all.
    if peer_user(&door) != Ok(keeper) {
        return Some(Err(Errno::PERM));
    }
    give(&door, format!("h{interface}").as_bytes()).ok()?;
    let mut fds = [entry(door.as_raw_fd(), libc::POLLIN)];
    poll_for(&mut fds, Some(PATIENCE), None).ok()?;
    let mut answer = [0; 16];
    let count = take(&door, &mut answer).ok()?;
    match answer[..count] {
        [b'y'] => Some(Ok(())),
        [b'n', a, b, c, d] => {
            let errno = i32::from_ne_bytes([a, b, c, d]);
            Some(Err(Errno::from_raw_os_error(errno.clamp(1, 4095))))
        }
        _ => None,
    }
}
