//! Opening a connection: RFC 9293 section 3.5.

use crate::script::{Script, run};

#[test]
fn active() {
    run("
        ! connect
        > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
        = state SynSent
        +0.01
        < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 500 ecr 0,nop,wscale 7>
        > . 1:1(0) ack 1 win 1024 <TS val 10 ecr 500>
        = state Established
    ");
}

#[test]
fn passive() {
    run("
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 500 ecr 0,nop,wscale 7>
        > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 0 ecr 500,wscale 7>
        = half_open 1
        < . 1:1(0) ack 1 win 500 <TS val 501 ecr 0>
        = half_open 0
        = queued 1
        ! accept
        = state Established
    ");
}

/// Options are granted only to those who offered them (RFC 7323 section 2.2, RFC 2018 section 2).
#[test]
fn passive_without_options() {
    run("
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1 win 65535 <mss 1460>
        < . 1:1(0) ack 1 win 65535
        ! accept
        ! send 600
        > . 1:537(536) ack 1 win 65535
        > P. 537:601(64) ack 1
    ");
}

/// RFC 9293 figure 8, MUST-10.
#[test]
fn simultaneous() {
    run("
        ! connect
        > S 0:0(0)
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
        = state SynReceived
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        = state Established
    ");
}

#[test]
fn simultaneous_completed_by_a_bare_ack() {
    run("
        ! connect
        > S 0:0(0)
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        = state Established
    ");
}

/// RFC 9293 section 3.10.7.3: an ACK of something else is answered with a RST, and waiting goes on.
#[test]
fn bad_ack_in_syn_sent() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 77 win 65535
        > R 77:77(0)
        = state SynSent
        < . 0:0(0) ack 0 win 65535
        > R 0:0(0)
        = state SynSent
    ");
}

/// Linux's timing: four retransmissions a second apart, then doubling.
#[test]
fn syn_retransmission() {
    let mut script = Script::new();
    script.options.syn_count = 3;
    script.run(
        "
        ! connect
        > S 0:0(0)
        +1 > S 0:0(0)
        +1 > S 0:0(0)
        +1 > S 0:0(0)
        +1 > S 0:0(0)
        +1 > S 0:0(0)
        +2 > S 0:0(0)
        +4 > S 0:0(0)
        +7.9
        = state SynSent
        +0.2
        = state Closed
        = error Some(TimedOut)
        = error None
    ",
    );
}

#[test]
fn user_timeout_ends_an_attempt() {
    let mut script = Script::new();
    script.options.user_timeout = Some(core::time::Duration::from_millis(2500));
    script.run(
        "
        ! connect
        > S 0:0(0)
        +1 > S 0:0(0)
        +1 > S 0:0(0)
        +0.6
        = error Some(TimedOut)
    ",
    );
}

#[test]
fn syn_ack_retransmission() {
    run("
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
        +1 > S. 0:0(0) ack 1
        +2 > S. 0:0(0) ack 1
        +4 > S. 0:0(0) ack 1
        +8 > S. 0:0(0) ack 1
        +16 > S. 0:0(0) ack 1
        +33
        = half_open 0
        = connections 0
    ");
}

#[test]
fn repeated_syn_is_answered_again() {
    run("
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
    ");
}

#[test]
fn data_with_the_last_ack() {
    run("
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460>
        > S. 0:0(0) ack 1
        < P. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101
        ! accept
        = received 100
    ");
}

/// A SYN-ACK with data (RFC 9293 section 3.10.7.3): the data counts.
#[test]
fn data_with_the_syn_ack() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:50(50) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 51
        = received 50
    ");
}

/// RFC 6528: the same ends get a later number, other ends an unrelated one.
#[test]
fn isn_moves_forward() {
    let mut script = Script::new();
    script.run(
        "
        ! connect
        > S 0:0(0)
        < R. 0:0(0) ack 1
        = error Some(ConnectionRefused)
        +0.5
        ! connect
        > S 0:0(0)
    ",
    );
}

/// As Linux: an ACK that answers none of our SYNs, by its number or by what it echoes, is that of an old
/// connection; our RST ends that, and the SYN follows at once.
#[test]
fn answers_of_an_old_connection() {
    run("
        ! connect
        > S 0:0(0)
        +0.1
        < . 500:500(0) ack 77
        > R 77:77(0)
        +0.008 > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 5 ecr 4294967000>
        > R 1:1(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 5 ecr 100000>
        > R 1:1(0)
        = state SynSent
        < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 5 ecr 108>
        > . 1:1(0) ack 1
        = state Established
    ");
}
