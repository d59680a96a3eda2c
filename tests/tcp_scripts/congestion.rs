//! The congestion window: RFC 5681, RFC 6928, RFC 9438.

use crate::script::Script;
use crate::stack::tcp::{Congestion, LONG_PAYLOAD};

const START: &str = "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,wscale 7>
        > . 1:1(0) ack 1
        < . 1:1(0) ack 1 win 65535
";

fn script() -> Script {
    let mut script = Script::with(|config| config.super_packets = true);
    script.options.send_buffer = Some(4 << 20);
    script
}

/// RFC 6928.
#[test]
fn initial_window() {
    script().run(&format!(
        "{START}
        ! send 20000
        > . 1:10001(10000) ack 1
    "
    ));
}

/// What the kernel cuts up may be longer than IPv4 can say, where the path takes it in a millisecond.
#[test]
fn long_super_packets() {
    let mut near = script();
    near.longest = LONG_PAYLOAD;
    near.run(&format!(
        "{START}
        ! send 400000
        > . 1:10001(10000) ack 1
        +0.001 < . 1:1(0) ack 10001 win 65535
        > . 10001:30001(20000) ack 1
        +0.001 < . 1:1(0) ack 30001 win 65535
        > . 30001:70001(40000) ack 1
        +0.001 < . 1:1(0) ack 70001 win 65535
        > . 70001:150001(80000) ack 1
        +0.001 < . 1:1(0) ack 150001 win 65535
        > . 150001:310001(160000) ack 1
    "
    ));
    let mut far = script();
    far.longest = LONG_PAYLOAD;
    let start = START.replace("< S.", "+0.01 < S.");
    far.run(&format!(
        "{start}
        ! send 400000
        > . 1:10001(10000) ack 1
        +0.01 < . 1:1(0) ack 10001 win 65535
        > . 10001:30001(20000) ack 1
        +0.01 < . 1:1(0) ack 30001 win 65535
        > . 30001:70001(40000) ack 1
        +0.01 < . 1:1(0) ack 70001 win 65535
        > . 70001:135001(65000) ack 1
        > . 135001:150001(15000) ack 1
    "
    ));
}

#[test]
fn slow_start() {
    script().run(&format!(
        "{START}
        ! send 100000
        > . 1:10001(10000) ack 1
        < . 1:1(0) ack 10001 win 65535
        = cwnd 20000
        > . 10001:30001(20000) ack 1
        < . 1:1(0) ack 30001 win 65535
        = cwnd 40000
        > . 30001:70001(40000) ack 1
    "
    ));
}

/// RFC 7661: a window that is not used does not grow.
#[test]
fn unused_window() {
    script().run(&format!(
        "{START}
        ! send 2000
        > P. 1:2001(2000) ack 1
        < . 1:1(0) ack 2001 win 65535
        = cwnd 10000
    "
    ));
}

/// RFC 5681 section 3.1: after loss half, then a segment more a round trip.
#[test]
fn reno() {
    script().run(&format!(
        "{START}
        ! send 100000
        > . 1:10001(10000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:10001>
        > . 1:1001(1000) ack 1
        > . 10001:14001(4000) ack 1
        = cwnd 5000
        < . 1:1(0) ack 14001 win 65535
        = cwnd 5000
        > . 14001:19001(5000) ack 1
        < . 1:1(0) ack 19001 win 65535
        = cwnd 6000
        > . 19001:25001(6000) ack 1
    "
    ));
}

/// RFC 9438 section 4.6: seven tenths are left after loss.
#[test]
fn cubic() {
    let mut script = script();
    script.options.congestion = Some(Congestion::Cubic);
    script.run(&format!(
        "{START}
        ! send 100000
        > . 1:10001(10000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:10001>
        > . 1:1001(1000) ack 1
        > . 10001:16001(6000) ack 1
        = cwnd 7000
    "
    ));
}

/// RFC 9937: while more is in flight than the threshold, a segment is sent for every two that arrive; then one for each.
#[test]
fn proportional_rate_reduction() {
    script().run(&format!(
        "{START}
        ! send 100000
        > . 1:10001(10000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        = cwnd 7500
        < . 1:1(0) ack 1 win 65535 <sack 1001:5001>
        > . 10001:11001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:6001>
        < . 1:1(0) ack 1 win 65535 <sack 1001:7001>
        = cwnd 5000
        < . 1:1(0) ack 1 win 65535 <sack 1001:8001>
        > . 11001:12001(1000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 1001:10001>
        > . 12001:14001(2000) ack 1
        < . 1:1(0) ack 10001 win 65535
        = cwnd 5000
        > . 14001:15001(1000) ack 1
    "
    ));
}

/// Where most of the window is lost, no more is sent than arrives, and a segment besides for an ACK that acknowledges
/// something and shows no further loss.
#[test]
fn most_of_the_window_is_lost() {
    script().run(&format!(
        "{START}
        ! send 100000
        > . 1:10001(10000) ack 1
        < . 1:1(0) ack 1 win 65535 <sack 7001:10001>
        > . 1:3001(3000) ack 1
        < . 1:1(0) ack 1001 win 65535 <sack 7001:10001>
        > . 3001:5001(2000) ack 1
        < . 1:1(0) ack 3001 win 65535 <sack 7001:10001>
        > . 5001:7001(2000) ack 1
        > . 10001:11001(1000) ack 1
    "
    ));
}
