//! setsockopt(2) of IPPROTO_TCP (tcp(7)).

use rustix::io::Errno;

use super::Options;
use super::set::{flag, integer, ranged};

/// TCP_WINDOW_CLAMP never gets smaller, in bytes (half of SOCK_MIN_RCVBUF).
const LEAST_CLAMP: i32 = 1152;
/// Longest time between two retransmissions, in seconds (TCP_RTO_MAX).
const LONGEST_PERIOD: i32 = 120;

/// `None`: not one of ours.
pub(super) fn set_tcp(options: &mut Options, name: i32, value: &[u8]) -> Option<Result<(), Errno>> {
    let set = |field: &mut bool| flag(value).map(|on| *field = on);
    let ranged = |range, field: &mut i32| ranged(value, range).map(|number| *field = number);
    Some(match name {
        libc::TCP_NODELAY => set(&mut options.no_delay),
        libc::TCP_CORK => set(&mut options.cork),
        libc::TCP_QUICKACK => flag(value).map(|on| options.quick_ack = Some(on)),
        libc::TCP_MAXSEG => integer(value).and_then(|size| match size {
            0 | 88..=32767 => {
                options.max_segment = size as u16;
                Ok(())
            }
            _ => Err(Errno::INVAL),
        }),
        libc::TCP_KEEPIDLE => ranged(1..=32767, &mut options.keep_idle),
        libc::TCP_KEEPINTVL => ranged(1..=32767, &mut options.keep_interval),
        libc::TCP_KEEPCNT => ranged(1..=127, &mut options.keep_count),
        libc::TCP_SYNCNT => ranged(1..=127, &mut options.syn_count),
        libc::TCP_LINGER2 => integer(value).map(|seconds| {
            options.linger2 = match seconds {
                ..0 => -1,
                0 => 60,
                _ => seconds.min(120),
            };
        }),
        libc::TCP_DEFER_ACCEPT => {
            integer(value).map(|seconds| options.defer_accept = retransmissions(seconds))
        }
        libc::TCP_WINDOW_CLAMP => integer(value).map(|size| set_clamp(options, size)),
        libc::TCP_USER_TIMEOUT => super::set::ranged(value, 0..=i32::MAX)
            .map(|millis| options.user_timeout = millis.unsigned_abs()),
        libc::TCP_NOTSENT_LOWAT => {
            integer(value).map(|size| options.not_sent_low_water = size as u32)
        }
        _ => return None,
    })
}

fn set_clamp(options: &mut Options, size: i32) {
    options.window_clamp = match size {
        0 => 0,
        _ => size.max(LEAST_CLAMP).unsigned_abs(),
    };
}

/// Seconds as a number of SYN-ACK retransmissions, whose intervals double from one second.
fn retransmissions(seconds: i32) -> u8 {
    let mut total = 0;
    let mut count = 0;
    while total < seconds && count < u8::MAX {
        count += 1;
        total += period(count);
    }
    count
}

/// Seconds before the given retransmission, from the one before it.
fn period(count: u8) -> i32 {
    (1 << (count - 1).min(7)).min(LONGEST_PERIOD)
}

/// TCP_DEFER_ACCEPT in seconds, as it reads back.
pub(super) fn deferral(retransmissions: u8) -> i32 {
    (1..=retransmissions).map(period).sum()
}
