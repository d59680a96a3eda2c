//! Sockets that were left to the kernel, by reason.
//!
//! Counted for the whole process, engine or not: some are passed on because there is no engine.

use core::sync::atomic::{AtomicU64, Ordering};

/// Why a socket, or a datagram, is the kernel's to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A type or protocol of the Internet families that the stack does not have (raw sockets).
    Protocol,
    /// The stack cannot serve this process at all.
    Refused,
    /// Opened by a signal handler that interrupted a call of ours.
    SignalHandler,
    /// An IPv6 address.
    Inet6,
    /// Bound to an address that is not the driven interface's.
    LocalAddress,
    /// Connected to where the kernel routes by another interface: loopback, for one.
    Destination,
    /// A datagram to such a destination, sent by the kernel socket that holds our port.
    Datagram,
    /// A connection from loopback, accepted by that socket.
    Loopback,
    /// A question about a socket of another process's stack, which that did not answer.
    Unanswered,
    /// Given an option that only the kernel has (filters, keys, multicast, another interface).
    Option,
    /// Without an address yet when it went to another program.
    Fresh,
}

impl Passed {
    const ALL: [Self; 11] = [
        Self::Protocol,
        Self::Refused,
        Self::SignalHandler,
        Self::Inet6,
        Self::LocalAddress,
        Self::Destination,
        Self::Datagram,
        Self::Loopback,
        Self::Unanswered,
        Self::Option,
        Self::Fresh,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::SignalHandler => "signal_handler",
            Self::Inet6 => "inet6",
            Self::LocalAddress => "local_address",
            Self::Destination => "destination",
            Self::Option => "option",
            Self::Fresh => "fresh",
            Self::Datagram => "datagram",
            Self::Loopback => "loopback",
            Self::Unanswered => "unanswered",
        }
    }
}

static COUNTS: [AtomicU64; Passed::ALL.len()] = [const { AtomicU64::new(0) }; Passed::ALL.len()];

/// Counts one.
pub fn count_passed(reason: Passed) {
    COUNTS[reason as usize].fetch_add(1, Ordering::Relaxed);
}

/// How many were passed on, by the reason's name.
pub fn passed() -> impl Iterator<Item = (&'static str, u64)> {
    Passed::ALL.into_iter().map(|reason| {
        (
            reason.name(),
            COUNTS[reason as usize].load(Ordering::Relaxed),
        )
    })
}

/// How many sockets were passed on, for any reason.
pub fn sockets_passed() -> u64 {
    let all = COUNTS.iter().map(|count| count.load(Ordering::Relaxed));
    let others = [Passed::Datagram, Passed::Unanswered];
    let others = others.map(|reason| COUNTS[reason as usize].load(Ordering::Relaxed));
    all.sum::<u64>() - others.iter().sum::<u64>()
}

/// Forgets all: in a forked child.
pub(super) fn forget() {
    COUNTS
        .iter()
        .for_each(|count| count.store(0, Ordering::Relaxed));
}
