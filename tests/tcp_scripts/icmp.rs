//! ICMP errors: RFC 9293 section 3.9.2.2, RFC 5927, RFC 1191.

use crate::closing::ESTABLISHED;
use crate::script::run;

/// As Linux: what answers the SYN ends the attempt.
#[test]
fn in_syn_sent() {
    run("
        ! connect
        > S 0:0(0)
        ! unreachable
        = state Closed
        = error Some(HostUnreachable)
    ");
}

/// RFC 9293 MUST-56: in a connection it is only noted.
#[test]
fn in_established() {
    run(&format!(
        "{ESTABLISHED}
        ! send 10
        > P. 1:11(10) ack 1
        ! unreachable
        = state Established
        = error Some(HostUnreachable)
        = error None
        < . 1:1(0) ack 11 win 65535
    "
    ));
}

/// RFC 5927 section 4: what quotes nothing in flight is ignored.
#[test]
fn about_nothing_in_flight() {
    run(&format!(
        "{ESTABLISHED}
        ! unreachable
        = error None
        ! mtu 600
        ! send 1000
        > P. 1:1001(1000) ack 1
    "
    ));
}

/// RFC 1191: segments become smaller, and what was too big is sent again at once.
#[test]
fn fragmentation_needed() {
    run(&format!(
        "{ESTABLISHED}
        ! send 2920
        > . 1:1461(1460) ack 1
        > P. 1461:2921(1460) ack 1
        ! mtu 1000
        > . 1:961(960) ack 1
        > . 961:1921(960) ack 1
        > . 1921:2881(960) ack 1
        > P. 2881:2921(40) ack 1
        = mss 960
        < . 1:1(0) ack 2921 win 65535
    "
    ));
}

/// Nobody is talked into segments of next to nothing.
#[test]
fn absurd_mtu() {
    run(&format!(
        "{ESTABLISHED}
        ! send 1000
        > P. 1:1001(1000) ack 1
        ! mtu 68
        > . 1:513(512) ack 1
        > P. 513:1001(488) ack 1
        = mss 512
    "
    ));
}
