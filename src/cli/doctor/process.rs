//! What the process gets from the system: descriptors and socket pairs.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::cli::os_error;

/// Descriptors a server with a thousand connections needs, its own and the stack's.
const ENOUGH_DESCRIPTORS: u64 = 4096;

pub(super) fn check() -> Vec<Finding> {
    vec![check_descriptors(), check_pair()]
}

fn check_descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let shown = |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string());
    let found = format!(
        "{} for the program, {} with the stack's own",
        shown(limit.current),
        shown(limit.maximum)
    );
    match (limit.current, limit.maximum) {
        (_, None) => Finding::ok("descriptors", found),
        (Some(soft), Some(hard))
            if hard >= ENOUGH_DESCRIPTORS && hard >= soft.saturating_mul(2) =>
        {
            Finding::ok("descriptors", found)
        }
        _ => Finding::warn(
            "descriptors",
            format!("{found}: each socket takes one of either"),
            "raise the hard limit: ulimit -Hn 65536 as root, LimitNOFILE= in a systemd unit, \
             /etc/security/limits.conf for a user",
        ),
    }
}

fn check_pair() -> Finding {
    let flags = SocketFlags::CLOEXEC;
    match socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None) {
        Ok(_) => Finding::ok("socket pairs", "AF_UNIX pairs can be made"),
        Err(errno) => Finding::fail(
            "socket pairs",
            format!("socketpair: {}", os_error(errno)),
            "raise the descriptor limit, or lift the seccomp filter that forbids AF_UNIX",
        ),
    }
}
