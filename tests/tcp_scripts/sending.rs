//! What is sent when: Nagle, cork, push, urgent, super-packets.

use crate::closing::ESTABLISHED;
use crate::script::{Script, run};
use crate::stack::sendings::{Stage, Stamps};

fn established(rest: &str) {
    run(&format!("{ESTABLISHED}{rest}"));
}

/// RFC 9293 section 3.7.4.
#[test]
fn nagle() {
    established(
        "
        ! send 10
        > P. 1:11(10) ack 1
        ! send 10
        ! send 10
        < . 1:1(0) ack 11 win 65535
        > P. 11:31(20) ack 1
    ",
    );
}

/// A full segment does not wait, and its tail waits only for a small one (Minshall).
#[test]
fn nagle_and_full_segments() {
    established(
        "
        ! send 1500
        > . 1:1461(1460) ack 1
        > P. 1461:1501(40) ack 1
        ! send 1500
        > . 1501:2961(1460) ack 1
        < . 1:1(0) ack 1501 win 65535
        > P. 2961:3001(40) ack 1
    ",
    );
}

#[test]
fn nodelay() {
    let mut script = Script::new();
    script.options.nodelay = true;
    script.run(&format!(
        "{ESTABLISHED}
        ! send 10
        > P. 1:11(10) ack 1
        ! send 10
        > P. 11:21(10) ack 1
    "
    ));
}

#[test]
fn nodelay_set_later_pushes() {
    let mut script = Script::new();
    script.run(&format!(
        "{ESTABLISHED}
        ! send 10
        > P. 1:11(10) ack 1
        ! send 10
    "
    ));
    script.options.nodelay = true;
    script.run(
        "
        ! options
        > P. 11:21(10) ack 1
    ",
    );
}

/// MSG_MORE: the small end waits for what follows.
#[test]
fn more() {
    established(
        "
        ! send_more 100
        ! send 100
        > P. 1:201(200) ack 1
    ",
    );
}

#[test]
fn more_sends_full_segments() {
    established(
        "
        ! send_more 1500
        > . 1:1461(1460) ack 1
        ! send 100
        > P. 1461:1601(140) ack 1
    ",
    );
}

/// TCP_CORK holds back for 200 ms at most.
#[test]
fn cork_ends() {
    let mut script = Script::new();
    script.options.cork = true;
    script.run(&format!(
        "{ESTABLISHED}
        ! send 100
        +0.2 > P. 1:101(100) ack 1
    "
    ));
}

#[test]
fn uncorking_pushes() {
    let mut script = Script::new();
    script.options.cork = true;
    script.run(&format!(
        "{ESTABLISHED}
        ! send 100
        +0.1
    "
    ));
    script.options.cork = false;
    script.run(
        "
        ! options
        > P. 1:101(100) ack 1
    ",
    );
}

/// As Linux: who waits for room can add nothing to a small segment, so neither Nagle's algorithm nor MSG_MORE holds it.
#[test]
fn who_waits_for_room_holds_nothing_back() {
    let mut script = Script::new();
    script.options.send_buffer = Some(300);
    script.run(&format!(
        "{ESTABLISHED}
        ! send 100
        > P. 1:101(100) ack 1
        ! send_more 250
        ! send_refused 100
        > P. 101:351(250) ack 1
    "
    ));
}

#[test]
fn nor_does_the_cork() {
    let mut script = Script::new();
    script.options.cork = true;
    script.options.send_buffer = Some(300);
    script.run(&format!(
        "{ESTABLISHED}
        ! send 350
        ! send_refused 100
        > P. 1:351(350) ack 1
    "
    ));
}

/// RFC 9293 MUST-30, MUST-62: the pointer points to the byte after the urgent one.
#[test]
fn urgent() {
    established(
        "
        ! send_urgent 10
        > PU. 1:11(10) ack 1 urg 10
        < . 1:1(0) ack 11 win 65535
        ! send 10
        > P. 11:21(10) ack 1
    ",
    );
}

fn with_super_packets(lines: &str) {
    let mut script = Script::with(|config| config.super_packets = true);
    script.run(&format!("{ESTABLISHED}{lines}"));
}

#[test]
fn super_packet() {
    with_super_packets(
        "
        ! send 10000
        > P. 1:10001(10000) ack 1
    ",
    );
}

/// A tail that is not full goes only if it is the last data, and Nagle lets it.
#[test]
fn super_packet_and_nagle() {
    with_super_packets(
        "
        ! send 10
        > P. 1:11(10) ack 1
        ! send 5000
        > . 11:4391(4380) ack 1
        < . 1:1(0) ack 4391 win 65535
        > P. 4391:5011(620) ack 1
    ",
    );
}

#[test]
fn super_packet_and_windows() {
    with_super_packets(
        "
        < . 1:1(0) ack 1 win 5000
        ! send 20000
        > . 1:4381(4380) ack 1
        < . 1:1(0) ack 4381 win 65535
        > . 4381:18981(14600) ack 1
    ",
    );
}

/// A sender that waited longer than its timeout starts again from the initial window (RFC 2861).
#[test]
fn after_idle() {
    with_super_packets(
        "
        ! send 14600
        > P. 1:14601(14600) ack 1
        < . 1:1(0) ack 14601 win 65535
        = cwnd 29200
        +10
        ! send 29200
        > . 14601:29201(14600) ack 1
    ",
    );
}

/// A small piece of a large window waits for more room while the next ACK is near.
#[test]
fn super_packet_waits_for_room() {
    with_super_packets(
        "
        ! send 30000
        > . 1:14601(14600) ack 1
        +0.01
        < . 1:1(0) ack 1461 win 65535
        < . 1:1(0) ack 4381 win 65535
        > . 14601:23361(8760) ack 1
    ",
    );
}

/// SO_MAX_PACING_RATE: what one segment takes at that rate the next one waits; an ACK does not.
#[test]
fn paced() {
    let mut script = Script::new();
    script.options.pacing_rate = Some(14_600);
    script.run(&format!(
        "{ESTABLISHED}
        ! send 4000
        > . 1:1461(1460) ack 1
        +0.1 > . 1461:2921(1460) ack 1
        < P. 1:2921(2920) ack 2921 win 65535
        > . 2921:2921(0) ack 2921
        +0.1 > P. 2921:4001(1080) ack 2921
        < . 2921:2921(0) ack 4001 win 65535
    "
    ));
}

/// SO_TIMESTAMPING: each call's last byte is told of once when it is sent, however often that is, and
/// when it is acknowledged.
#[test]
fn stamped() {
    let mut script = Script::new();
    script.options.stamps = Stamps {
        scheduled: false,
        sent: true,
        acknowledged: true,
    };
    script.run(&format!(
        "{ESTABLISHED}
        ! send 2000
        > . 1:1461(1460) ack 1
        > P. 1461:2001(540) ack 1
        +0.2 > . 1:1461(1460) ack 1
        < . 1:1(0) ack 2001 win 65535
        ! send 10
        > P. 2001:2011(10) ack 1
        < . 1:1(0) ack 2011 win 65535
    "
    ));
    let told: Vec<(Stage, u32)> = core::iter::from_fn(|| script.tcp.poll_sending())
        .map(|sending| (sending.stage, sending.key))
        .collect();
    let expected = [
        (Stage::Sent, 1999),
        (Stage::Acknowledged, 1999),
        (Stage::Sent, 2009),
        (Stage::Acknowledged, 2009),
    ];
    assert_eq!(told, expected);
}
