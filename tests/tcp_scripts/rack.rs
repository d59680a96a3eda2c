//! Loss found by time, tail loss probes, and what turns out not to have been lost: RFC 8985, RFC 4015, RFC 3708, RFC 5682.

use crate::retransmission::FOUR;
use crate::script::run;

/// A round trip of 40 ms.
const SACK: &str = "
        ! connect
        > S 0:0(0)
        +0.04
        < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>
        > . 1:1(0) ack 1
";

/// The same with timestamps.
const TIMESTAMPS: &str = "
        ! connect
        > S 0:0(0) <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
        +0.04
        < S. 0:0(0) ack 1 win 65535 <mss 1012,sackOK,TS val 1 ecr 0>
        > . 1:1(0) ack 1
";

fn four(rest: &str) {
    run(&format!("{SACK}{FOUR}{rest}"));
}

/// Section 7: the last segment is lost, and sent again after two round trips. That no duplicate is reported is late news
/// of that loss.
#[test]
fn tail_loss_probe() {
    four(
        "
        +0.08 > P. 3001:4001(1000) ack 1
        +0.04
        < . 1:1(0) ack 4001 win 65535
        ! send 1000
        > P. 4001:5001(1000) ack 1
        = cwnd 10000
        +0.04
        < . 1:1(0) ack 5001 win 65535
        = cwnd 5000
    ",
    );
}

/// A probe that was needless is reported as a duplicate, and costs nothing.
#[test]
fn needless_probe() {
    four(
        "
        +0.08 > P. 3001:4001(1000) ack 1
        < . 1:1(0) ack 4001 win 65535
        +0.04
        < . 1:1(0) ack 4001 win 65535 <sack 3001:4001>
        ! send 1000
        > P. 4001:5001(1000) ack 1
        < . 1:1(0) ack 5001 win 65535
        = cwnd 10000
    ",
    );
}

/// The SACK of the probe shows the whole tail lost.
#[test]
fn lost_tail() {
    four(
        "
        +0.08 > P. 3001:4001(1000) ack 1
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 3001:4001>
        > . 1:1001(1000) ack 1
        +0.04
        < . 1:1(0) ack 1001 win 65535 <sack 3001:4001>
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
    ",
    );
}

/// One segment alone is not probed for: its ACK may be delayed, and the retransmission timer is sooner.
#[test]
fn single_segment() {
    run(&format!(
        "{SACK}
        ! send 500
        > P. 1:501(500) ack 1
        +0.24 > P. 1:501(500) ack 1
    "
    ));
}

/// Section 6.2 step 4: what comes within a quarter of a round trip after what was sent later is not lost.
#[test]
fn reordered_within_a_quarter() {
    four(
        "
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 1001:2001>
        +0.009
        < . 1:1(0) ack 2001 win 65535
        = reordering 1 2
        < . 1:1(0) ack 2001 win 65535 <sack 3001:4001>
        +0.009
        < . 1:1(0) ack 4001 win 65535
        = cwnd 10000
    ",
    );
}

/// What comes later than that is, though fewer than three segments overtook it.
#[test]
fn overtaken_by_a_quarter() {
    four(
        "
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 1001:2001>
        +0.01 > . 1:1001(1000) ack 1
    ",
    );
}

/// A retransmission is lost as well: what was sent after it shows that.
#[test]
fn lost_retransmission() {
    run(&format!(
        "{SACK}
        ! send 8000
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
        > . 3001:4001(1000) ack 1
        > . 4001:5001(1000) ack 1
        > . 5001:6001(1000) ack 1
        > . 6001:7001(1000) ack 1
        > P. 7001:8001(1000) ack 1
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 1001:8001>
        > . 1:1001(1000) ack 1
        ! send 1000
        > P. 8001:9001(1000) ack 1
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 1001:9001>
        > . 1:1001(1000) ack 1
        +0.04
        < . 1:1(0) ack 9001 win 65535
        = error None
    "
    ));
}

/// RFC 3708: all that was sent again is reported as duplicates: nothing was lost, and the window is as it was.
#[test]
fn duplicates_undo() {
    four(
        "
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        = cwnd 2000
        +0.02
        < . 1:1(0) ack 4001 win 65535
        +0.02
        < . 1:1(0) ack 4001 win 65535 <sack 1:1001>
        = cwnd 10000
    ",
    );
}

/// Duplicates that are reported later, as of a needless probe, say nothing of a loss that was one.
#[test]
fn later_duplicates_do_not_undo() {
    four(
        "
        +0.04
        < . 1:1(0) ack 1 win 65535 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        +0.04
        < . 1:1(0) ack 4001 win 65535
        = cwnd 2000
        ! send 1000
        > P. 4001:5001(1000) ack 1
        +0.04
        < . 1:1(0) ack 5001 win 65535
        ! send 2000
        > . 5001:6001(1000) ack 1
        > P. 6001:7001(1000) ack 1
        +0.08 > P. 6001:7001(1000) ack 1
        < . 1:1(0) ack 7001 win 65535
        < . 1:1(0) ack 7001 win 65535 <sack 6001:7001>
        = cwnd 3000
    ",
    );
}

/// RFC 4015: the ACK of what was sent again echoes the timestamp of the first sending.
#[test]
fn timestamps_undo() {
    run(&format!(
        "{TIMESTAMPS}{FOUR}
        +0.04
        < . 1:1(0) ack 1 win 65535 <TS val 2 ecr 40,sack 1001:4001>
        > . 1:1001(1000) ack 1
        = cwnd 2000
        +0.02
        < . 1:1(0) ack 4001 win 65535 <TS val 3 ecr 40>
        = cwnd 10000
        = reordering 1 4
    "
    ));
}

/// RFC 5682: after a timeout what was not sent again arrives. It is not sent again, and the window is as it was.
#[test]
fn needless_timeout() {
    four(
        "
        +0.08 > P. 3001:4001(1000) ack 1
        +0.24 > . 1:1001(1000) ack 1
        = cwnd 1000
        < . 1:1(0) ack 2001 win 65535
        = cwnd 10000
        < . 1:1(0) ack 4001 win 65535
        ! send 1000
        > P. 4001:5001(1000) ack 1
    ",
    );
}
