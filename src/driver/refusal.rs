//! Why the stack cannot serve a process, in words that tell what to do.

use core::fmt;
use rustix::io::Errno;

use super::keeper::{self, Answered};
use crate::control::settings::{Address, Settings};
use crate::sys::{descriptor, local, strerror};

/// What keeps an engine from being built.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) reason: String,
    /// It is the right to open a packet socket, which a keeper may have.
    pub(super) no_right: bool,
}

impl<T: Into<String>> From<T> for Obstacle {
    fn from(reason: T) -> Self {
        Self {
            reason: reason.into(),
            no_right: false,
        }
    }
}

/// Why the stack cannot serve.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) required: bool,
    /// What keepers said, if it was theirs to help.
    pub(super) keeper: Answered,
}

impl Refusal {
    /// One in which keepers have no part.
    pub(super) fn new(reason: impl Into<String>, required: bool) -> Self {
        Self {
            reason: reason.into(),
            required,
            keeper: Answered::Nobody,
        }
    }

    /// What it comes to, once keepers are asked: they may serve a process that only lacks the right.
    pub(super) fn of(obstacle: Obstacle, settings: &Settings) -> Self {
        let mut refusal = Self::new(obstacle.reason, settings.required);
        if !obstacle.no_right {
            return refusal;
        }
        if let Some(variable) = needs_own_stack(settings) {
            refusal.reason = format!("{}; {variable} needs a stack of one's own", refusal.reason);
            return refusal;
        }
        refusal.keeper = keeper::greet(settings.interface.as_deref());
        match refusal.keeper {
            Answered::Denied => {
                let user = local::own_user();
                refusal.reason = format!(
                    "user {user} has no right to open a packet socket, and the keeper does not admit \
                     him (sidestack keeper --allow-user {user})"
                );
            }
            Answered::OtherInterface => {
                refusal.reason = format!("{}; the keeper drives another interface", refusal.reason);
            }
            Answered::OtherVersion => {
                refusal.reason = format!(
                    "{}; the keeper is of another version of the library: start it anew",
                    refusal.reason
                );
            }
            Answered::Admitted | Answered::Nobody => {}
        }
        refusal
    }
}

/// What of the settings a keeper could not heed.
fn needs_own_stack(settings: &Settings) -> Option<&'static str> {
    let asked = [
        (settings.address != Address::Host, "SIDESTACK_ADDRESS"),
        (settings.pcap.is_some(), "SIDESTACK_PCAP"),
        (settings.impair.is_some(), "SIDESTACK_IMPAIR"),
    ];
    asked
        .into_iter()
        .find(|(set, _)| *set)
        .map(|(_, name)| name)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.keeper == Answered::Denied {
            "socket calls fail"
        } else if self.required {
            "socket calls fail, as SIDESTACK_REQUIRED asks"
        } else {
            "this program runs on the kernel's stack"
        };
        write!(f, "{}; {rest}", self.reason)
    }
}

/// The program's descriptors do not suffice for the stack's own, too.
pub(super) fn no_descriptors() -> String {
    let limit = descriptor::program_limit().unwrap_or_else(descriptor::real_limit);
    format!(
        "too few descriptors are left for a stack: the limit is {} (ulimit -n)",
        limit.soft
    )
}

/// Why there is no packet socket.
pub(super) fn explain_packet_socket(errno: Errno, interface: &str) -> Obstacle {
    match errno {
        Errno::PERM | Errno::ACCESS => Obstacle {
            no_right: true,
            ..Obstacle::from(
                "no right to open a packet socket: CAP_NET_RAW is missing; run as root or with that \
                 capability in the ambient set (`sidestack doctor` says how; not by setcap on the \
                 program, which makes the loader ignore LD_PRELOAD)",
            )
        },
        Errno::MFILE => no_descriptors().into(),
        Errno::NFILE => "no descriptor left for the packet socket".into(),
        Errno::NOPROTOOPT => "the kernel is too old for the packet socket's options".into(),
        errno => format!(
            "cannot open a packet socket on interface \"{interface}\": {}",
            strerror::of(errno)
        )
        .into(),
    }
}
