//! Retransmission: RFC 6298, RFC 6675, RFC 6582, RFC 3042.

use crate::closing::ESTABLISHED;
use crate::script::{Script, run};

const SACK: &str = "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>
        > . 1:1(0) ack 1
";

/// Ten segments of 1,000 bytes, all the initial window allows, and more to send.
const TEN: &str = "
        ! send 20000
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
        > . 3001:4001(1000) ack 1
        > . 4001:5001(1000) ack 1
        > . 5001:6001(1000) ack 1
        > . 6001:7001(1000) ack 1
        > . 7001:8001(1000) ack 1
        > . 8001:9001(1000) ack 1
        > . 9001:10001(1000) ack 1
";

fn established(rest: &str) {
    run(&format!("{ESTABLISHED}{rest}"));
}

fn sack(rest: &str) {
    run(&format!("{SACK}{TEN}{rest}"));
}

fn no_sack(rest: &str) {
    run(&format!("{}{TEN}{rest}", SACK.replace(",sackOK", "")));
}

/// RFC 6298 section 5.5: the timeout doubles.
#[test]
fn backoff() {
    established(
        "
        ! send 10
        > P. 1:11(10) ack 1
        +0.2 > P. 1:11(10) ack 1
        +0.4 > P. 1:11(10) ack 1
        +0.8 > P. 1:11(10) ack 1
        +1.6 > P. 1:11(10) ack 1
        < . 1:1(0) ack 11 win 65535
        ! send 10
        > P. 11:21(10) ack 1
        +0.2 > P. 11:21(10) ack 1
    ",
    );
}

/// The timeout follows the round-trip time.
#[test]
fn timeout_follows_the_round_trip() {
    run("
        ! connect
        > S 0:0(0)
        +0.5
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        ! send 10
        > P. 1:11(10) ack 1
        +1.5 > P. 1:11(10) ack 1
    ");
}

/// Linux's tcp_retries2.
#[test]
fn gives_up() {
    let mut lines = String::from(ESTABLISHED);
    lines += "! send 10\n> P. 1:11(10) ack 1\n";
    let mut timeout = 0.2;
    for _ in 0..15 {
        lines += &format!("+{timeout} > P. 1:11(10) ack 1\n");
        timeout = f64::min(timeout * 2.0, 120.0);
    }
    lines += "+121\n= state Closed\n= error Some(TimedOut)\n";
    run(&lines);
}

#[test]
fn user_timeout() {
    let mut script = Script::new();
    script.options.user_timeout = Some(core::time::Duration::from_secs(1));
    script.run(&format!(
        "{ESTABLISHED}
        ! send 10
        > P. 1:11(10) ack 1
        +0.2 > P. 1:11(10) ack 1
        +0.4 > P. 1:11(10) ack 1
        +0.41
        = error Some(TimedOut)
    "
    ));
}

/// RFC 3042 and RFC 6675: two SACKed segments let two new ones out, the third begins recovery.
#[test]
fn fast_retransmit() {
    sack(
        "
        < . 1:1(0) ack 1 win 65535 <sack 1001:2001>
        > . 10001:11001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:3001>
        > . 11001:12001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 12001 win 65535
        = cwnd 5000
        > . 12001:13001(1000) ack 1
        > . 13001:14001(1000) ack 1
        > . 14001:15001(1000) ack 1
        > . 15001:16001(1000) ack 1
        > . 16001:17001(1000) ack 1
    ",
    );
}

/// Several holes are filled in one round trip.
#[test]
fn several_holes() {
    sack(
        "
        < . 1:1(0) ack 1 win 65535 <sack 1001:2001>
        > . 10001:11001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:2001 3001:4001>
        > . 11001:12001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:2001 3001:10001>
        > . 1:1001(1000) ack 1
        > . 2001:3001(1000) ack 1
        > . 12001:13001(1000) ack 1
        < . 1:1(0) ack 2001 win 65535 <sack 3001:12001>
        > . 13001:14001(1000) ack 1
        > . 14001:15001(1000) ack 1
        > . 15001:16001(1000) ack 1
    ",
    );
}

/// Four segments of 1,000 bytes, and no more to send.
pub(crate) const FOUR: &str = "
        ! send 4000
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
        > P. 3001:4001(1000) ack 1
";

/// What fills a hole without having been sent again was overtaken: seen, and by how many segments.
#[test]
fn reordering_is_noted() {
    run(&format!(
        "{SACK}{FOUR}
        < . 1:1(0) ack 1 win 65535 <sack 1001:3001>
        = reordering 0 0
        < . 1:1(0) ack 3001 win 65535
        = reordering 1 3
    "
    ));
}

/// What one ACK tells of has come in any order: the ACK between may be lost.
#[test]
fn blocks_of_one_ack_have_no_order() {
    run(&format!(
        "{SACK}{FOUR}
        < . 1:1(0) ack 1 win 65535 <sack 3001:4001 1001:2001>
        = reordering 0 0
    "
    ));
}

/// What was sent again says nothing of the order.
#[test]
fn retransmission_is_no_reordering() {
    run(&format!(
        "{SACK}{FOUR}
        < . 1:1(0) ack 1 win 65535 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 4001 win 65535
        = reordering 0 0
    "
    ));
}

/// RFC 2883: what arrived twice is reported below the ACK, or within another block.
#[test]
fn duplicates_are_counted() {
    run(&format!(
        "{SACK}{FOUR}
        < . 1:1(0) ack 1001 win 65535 <sack 1:1001>
        = duplicates 1
        < . 1:1(0) ack 1001 win 65535 <sack 2001:3001 2001:4001>
        = duplicates 2
    "
    ));
}

/// How often the timer ran out, how often for the first time in a row, and how long it took to get
/// over that.
#[test]
fn timeouts_are_counted() {
    established(
        "
        ! send 10
        > P. 1:11(10) ack 1
        +0.2 > P. 1:11(10) ack 1
        +0.4 > P. 1:11(10) ack 1
        = timeouts 2 1 0
        +0.1
        < . 1:1(0) ack 11 win 65535
        = timeouts 2 1 500
    ",
    );
}

/// The window grows while all is sent again, also where the peer's window had limited what was in flight.
#[test]
fn slow_start_after_a_timeout_within_a_small_window() {
    run(&format!(
        "{SACK}
        < . 1:1(0) ack 1 win 4000{FOUR}
        +0.002 > P. 3001:4001(1000) ack 1
        +0.2 > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1001 win 4000
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
    "
    ));
}

/// A retransmission that is lost is sent again when what was sent after it arrives.
#[test]
fn lost_retransmission() {
    sack(
        "
        < . 1:1(0) ack 1 win 65535 <sack 1001:10001>
        > . 1:1001(1000) ack 1
        > . 10001:11001(1000) ack 1
        > . 11001:12001(1000) ack 1
        > . 12001:13001(1000) ack 1
        > . 13001:14001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:14001>
        > . 1:1001(1000) ack 1
        > . 14001:15001(1000) ack 1
        > . 15001:16001(1000) ack 1
        > . 16001:17001(1000) ack 1
        > . 17001:18001(1000) ack 1
    ",
    );
}

/// RFC 6582: without SACK, each partial acknowledgment shows the next hole.
#[test]
fn new_reno() {
    no_sack(
        "
        < . 1:1(0) ack 1 win 65535
        > . 10001:11001(1000) ack 1
        < . 1:1(0) ack 1 win 65535
        > . 11001:12001(1000) ack 1
        < . 1:1(0) ack 1 win 65535
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 3001 win 65535
        > . 3001:4001(1000) ack 1
        < . 1:1(0) ack 12001 win 65535
        > . 12001:13001(1000) ack 1
        > . 13001:14001(1000) ack 1
        > . 14001:15001(1000) ack 1
        > . 15001:16001(1000) ack 1
        > . 16001:17001(1000) ack 1
    ",
    );
}

/// RFC 5681 section 3.1: after a timeout one segment, then slow start over what was lost.
#[test]
fn timeout() {
    sack(
        "
        +0.002 > . 10001:11001(1000) ack 1
        +0.2 > . 1:1001(1000) ack 1
        = cwnd 1000
        < . 1:1(0) ack 1001 win 65535
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
        < . 1:1(0) ack 3001 win 65535
        > . 3001:4001(1000) ack 1
        > . 4001:5001(1000) ack 1
        > . 5001:6001(1000) ack 1
        > . 6001:7001(1000) ack 1
        < . 1:1(0) ack 7001 win 65535
        > . 7001:8001(1000) ack 1
        > . 8001:9001(1000) ack 1
        > . 9001:10001(1000) ack 1
        > . 10001:11001(1000) ack 1
        > . 11001:12001(1000) ack 1
    ",
    );
}

/// What was SACKed is not sent again after a timeout.
#[test]
fn timeout_keeps_what_was_sacked() {
    sack(
        "
        < . 1:1(0) ack 1 win 65535 <sack 1001:3001>
        > . 10001:11001(1000) ack 1
        > . 11001:12001(1000) ack 1
        +0.001 > . 1:1001(1000) ack 1
        +0.199 > . 1:1001(1000) ack 1
        < . 1:1(0) ack 3001 win 65535
        > . 3001:4001(1000) ack 1
        > . 4001:5001(1000) ack 1
    ",
    );
}

/// SACK blocks that cannot be are ignored.
#[test]
fn absurd_blocks() {
    sack(
        "
        < . 1:1(0) ack 1 win 65535 <sack 5001:4001 50000:60000 -100:10001>
        < . 1:1(0) ack 1 win 65535 <sack 1:1>
    ",
    );
}

/// An ACK takes the deadline away, which is told until it has come: then it is known that nothing is due.
#[test]
fn what_was_acknowledged_is_due_no_more() {
    let mut script = Script::new();
    script.run(
        "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        ! send 100
        > P. 1:101(100) ack 1
    ",
    );
    let told = script.tcp.next_deadline().expect("it waits for the ACK");
    script.tcp.put_off_timers(told);
    assert_eq!(script.tcp.next_deadline(), Some(told));
    script.run("< . 1:1(0) ack 101 win 65535");
    assert_eq!(script.tcp.next_deadline(), Some(told));
    script.tcp.put_off_timers(told);
    assert_eq!(script.tcp.next_deadline(), None);
}
