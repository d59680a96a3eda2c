//! TIME-WAIT: RFC 9293 section 3.6.1, RFC 6191.

use crate::script::run;

/// A connection with timestamps that we closed first.
const TIME_WAIT: &str = "
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460,TS val 1000 ecr 0>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535 <TS val 1001 ecr 0>
        ! accept
        ! close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 65535 <TS val 1002 ecr 0>
        > . 2:2(0) ack 2
        = time_wait 1
        = connections 0
";

fn time_wait(rest: &str) {
    run(&format!("{TIME_WAIT}{rest}"));
}

#[test]
fn lasts_a_minute() {
    time_wait(
        "
        +59
        = time_wait 1
        +2
        = time_wait 0
    ",
    );
}

/// The peer did not get our last ACK. The minute starts again.
#[test]
fn repeated_fin() {
    time_wait(
        "
        +50
        < F. 1:1(0) ack 2 win 65535 <TS val 50000 ecr 0>
        > . 2:2(0) ack 2
        +50
        = time_wait 1
        +11
        = time_wait 0
    ",
    );
}

#[test]
fn newer_syn_opens_a_successor() {
    time_wait(
        "
        +0.2
        < S 5000:5000(0) win 65535 <mss 1460,TS val 1200 ecr 0>
        > S. 0:0(0) ack 5001
        = time_wait 0
        = half_open 1
    ",
    );
}

/// A later timestamp is enough, even with an earlier sequence number.
#[test]
fn syn_with_newer_timestamp() {
    time_wait(
        "
        +2
        < S -5000:-5000(0) win 65535 <mss 1460,TS val 3000 ecr 0>
        > S. 0:0(0) ack -4999
    ",
    );
}

#[test]
fn old_syn_gets_the_last_ack() {
    time_wait(
        "
        +2
        < S -5000:-5000(0) win 65535 <mss 1460,TS val 900 ecr 0>
        > . 2:2(0) ack 2
        = time_wait 1
    ",
    );
}

/// As Linux, with tcp_rfc1337 off.
#[test]
fn reset_ends_it() {
    time_wait(
        "
        < R 2:2(0)
        = time_wait 0
    ",
    );
}

#[test]
fn plain_ack_is_ignored() {
    time_wait(
        "
        < . 2:2(0) ack 2 win 65535 <TS val 1003 ecr 0>
        = time_wait 1
    ",
    );
}

#[test]
fn number_is_bounded() {
    let mut script = crate::script::Script::with(|config| config.limits.max_time_wait = 1);
    script.run(TIME_WAIT);
    script.run(
        "
        ! peer_port 3001
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        ! accept
        ! close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 65535
        > . 2:2(0) ack 2
        = time_wait 1
        < S 9000:9000(0) win 65535
        > S. 0:0(0) ack 9001
    ",
    );
}

/// As on Linux: with timestamps, this side may open a successor from a port that was chosen for it.
#[test]
fn successor_from_this_side() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 1000 ecr 0>
        > . 1:1(0) ack 1
        ! close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 65535 <TS val 1002 ecr 0>
        > . 2:2(0) ack 2
        = time_wait 1
        ! connect
        > S 0:0(0)
        = time_wait 0
    ");
}

/// As Linux: an old one does not.
#[test]
fn old_reset_does_not_end_it() {
    time_wait(
        "
        < R 2:2(0) <TS val 900 ecr 0>
        = time_wait 1
        < . 2:2(0) ack 1 win 65535 <TS val 900 ecr 0>
        > . 2:2(0) ack 2
    ",
    );
}

/// The peer waits for the answer to data and FIN; one empty segment in half a second has one.
#[test]
fn what_is_answered() {
    time_wait(
        "
        < F. 1:1(0) ack 2 win 65535 <TS val 1003 ecr 0>
        > . 2:2(0) ack 2
        < F. 1:1(0) ack 2 win 65535 <TS val 1003 ecr 0>
        > . 2:2(0) ack 2
        < . 900:900(0) ack 2 win 65535 <TS val 1003 ecr 0>
        > . 2:2(0) ack 2
        < . 900:900(0) ack 2 win 65535 <TS val 1003 ecr 0>
    ",
    );
}
