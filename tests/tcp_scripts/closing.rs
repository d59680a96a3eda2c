//! Closing, in every order: RFC 9293 section 3.6.

use crate::script::{Script, run};

/// An established connection of ours at 1, the peer's at 1.
pub(crate) const ESTABLISHED: &str = "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
";

fn established(rest: &str) {
    run(&format!("{ESTABLISHED}{rest}"));
}

/// RFC 9293 figure 12.
#[test]
fn we_close_first() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        = state FinWait1
        < . 1:1(0) ack 2 win 65535
        = state FinWait2
        < F. 1:1(0) ack 2 win 65535
        > . 2:2(0) ack 2
        = state Closed
        = error None
        = time_wait 1
        +61
        = time_wait 0
    ",
    );
}

#[test]
fn the_peer_closes_first() {
    established(
        "
        < F. 1:1(0) ack 1 win 65535
        > . 1:1(0) ack 2
        = state CloseWait
        = fin_received true
        ! send 10
        > P. 1:11(10) ack 2
        < . 2:2(0) ack 11 win 65535
        ! shutdown
        > F. 11:11(0) ack 2
        = state LastAck
        < . 2:2(0) ack 12 win 65535
        = state Closed
        = time_wait 0
    ",
    );
}

/// RFC 9293 figure 13.
#[test]
fn both_close_at_once() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 1 win 65535
        > . 2:2(0) ack 2
        = state Closing
        < . 2:2(0) ack 2 win 65535
        = state Closed
        = time_wait 1
    ",
    );
}

#[test]
fn fin_and_ack_of_fin_together() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 65535
        > . 2:2(0) ack 2
        = time_wait 1
    ",
    );
}

#[test]
fn fin_rides_on_the_last_data() {
    established(
        "
        ! send_more 100
        ! shutdown
        > FP. 1:101(100) ack 1
    ",
    );
}

#[test]
fn fin_with_data() {
    established(
        "
        < FP. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 102
        = received 100
        = state CloseWait
    ",
    );
}

/// The FIN counts only when everything before it is there.
#[test]
fn fin_before_its_data() {
    established(
        "
        < F. 101:101(0) ack 1 win 65535
        > . 1:1(0) ack 1
        = fin_received false
        < P. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 102
        = fin_received true
    ",
    );
}

#[test]
fn half_closed_still_receives() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        < P. 1:101(100) ack 2 win 65535
        > . 2:2(0) ack 101
        = received 100
        = state FinWait2
    ",
    );
}

#[test]
fn fin_is_retransmitted() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        +0.2 > F. 1:1(0) ack 1
        +0.4 > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        = state FinWait2
    ",
    );
}

/// RFC 2525 section 2.17, RFC 9293 section 3.6.1.
#[test]
fn close_with_unread_data_resets() {
    established(
        "
        < P. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101
        ! close
        > R. 1:1(0) ack 101
        = connections 0
    ",
    );
}

/// RFC 7323 section 3.2: a reset has a timestamp, too.
#[test]
fn a_reset_has_a_timestamp() {
    run("
        ! connect
        > S 0:0(0) <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
        +0.01
        < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 500 ecr 0,wscale 7>
        > . 1:1(0) ack 1 <TS val 10 ecr 500>
        < P. 1:101(100) ack 1 win 512 <TS val 501 ecr 10>
        > . 1:1(0) ack 101 <TS val 10 ecr 501>
        ! close
        > R. 1:1(0) ack 101 <TS val 10 ecr 501>
        = connections 0
    ");
}

#[test]
fn data_after_close_is_reset() {
    established(
        "
        ! close
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        < P. 1:101(100) ack 2 win 65535
        > R. 2:2(0)
        = connections 0
    ",
    );
}

/// Linux's tcp_fin_timeout and TCP_LINGER2.
#[test]
fn fin_wait_2_of_an_orphan_ends() {
    established(
        "
        ! close
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        +59
        = connections 1
        +2
        = connections 0
    ",
    );
}

/// TCP_LINGER2 below zero: the peer is told that its end is not waited for, as on Linux.
#[test]
fn fin_wait_2_of_who_does_not_wait_is_reset() {
    let mut script = Script::new();
    script.options.linger2 = None;
    script.run(&format!(
        "{ESTABLISHED}
        ! close
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        +0 > R. 2:2(0) ack 1
        = connections 0
    "
    ));
}

#[test]
fn fin_wait_2_with_a_user_lasts() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        +3600
        = state FinWait2
    ",
    );
}

#[test]
fn close_in_syn_sent() {
    run("
        ! connect
        > S 0:0(0)
        ! close
        = connections 0
        +10
    ");
}

#[test]
fn shutdown_in_syn_received_waits() {
    run("
        ! connect
        > S 0:0(0)
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
        ! shutdown
        < . 1:1(0) ack 1 win 65535
        > F. 1:1(0) ack 1
        = state FinWait1
    ");
}

#[test]
fn orphan_gives_up_sooner() {
    established(
        "
        ! send 10
        > P. 1:11(10) ack 1
        ! close
        > F. 11:11(0) ack 1
        +0.2 > FP. 1:11(10) ack 1
        +0.4 > FP. 1:11(10) ack 1
        +0.8 > FP. 1:11(10) ack 1
        +1.6 > FP. 1:11(10) ack 1
        +3.2 > FP. 1:11(10) ack 1
        +6.4 > FP. 1:11(10) ack 1
        +12.8 > FP. 1:11(10) ack 1
        +25.6 > FP. 1:11(10) ack 1
        +52
        = connections 0
    ",
    );
}

#[test]
fn abort() {
    established(
        "
        ! send 10
        > P. 1:11(10) ack 1
        ! abort
        > R. 11:11(0) ack 1
        = connections 0
    ",
    );
}
