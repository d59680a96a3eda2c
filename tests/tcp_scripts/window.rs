//! Windows: RFC 9293 section 3.8.6.

use crate::acks::past_the_start;
use crate::closing::ESTABLISHED;
use crate::script::{Script, run};

fn established(rest: &str) {
    run(&format!("{ESTABLISHED}{rest}"));
}

/// A receive queue of this many bytes, and a segment size of half of it.
fn small(bytes: usize, lines: &str) {
    let mut script = Script::new();
    script.options.receive_buffer = Some(bytes);
    script.run(&format!("{ESTABLISHED}{lines}"));
}

/// RFC 9293 MUST-39: the window opens by a segment or half the queue, or not at all.
#[test]
fn silly_window_is_avoided_by_the_receiver() {
    small(
        2000,
        "
        < P. 1:1001(1000) ack 1 win 65535
        > . 1:1(0) ack 1001 win 1000
        < P. 1001:2001(1000) ack 1 win 65535
        > . 1:1(0) ack 2001 win 0
        ! read 1
        ! read 500
        +1
        ! read 499
        > . 1:1(0) ack 2001 win 1000
        = received 1000
    ",
    );
}

/// While the peer knows of half the room, more room is no news.
#[test]
fn no_update_without_need() {
    established(
        "
        < P. 1:1001(1000) ack 1 win 65535
        > . 1:1(0) ack 1001
        ! read 1000
        +1
    ",
    );
}

/// RFC 9293 SHLD-14: the right edge does not move left, even when nothing is read.
#[test]
fn right_edge_stays() {
    small(
        2000,
        "
        < P. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101 win 1900
        < P. 101:201(100) ack 1 win 65535
        > . 1:1(0) ack 201 win 1800
    ",
    );
}

/// RFC 9293 MUST-38: no segment for a sliver of window.
#[test]
fn silly_window_is_avoided_by_the_sender() {
    established(
        "
        < . 1:1(0) ack 1 win 20
        ! send 1000
        +0.1
    ",
    );
}

/// RFC 9293 MUST-36, MUST-37: probes, ever slower, and no end while they are answered.
#[test]
fn zero_window_probes() {
    established(
        "
        < . 1:1(0) ack 1 win 0
        ! send 1000
        +0.2 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +0.4 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +0.8 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +1.6 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        > P. 1:1001(1000) ack 1
    ",
    );
}

/// RFC 9293 MUST-34: a window taken back is no reason to lose what was sent.
#[test]
fn window_shrinks() {
    established(
        "
        ! send 2920
        > . 1:1461(1460) ack 1
        > P. 1461:2921(1460) ack 1
        < . 1:1(0) ack 1461 win 500
        +0.2 > P. 1461:2921(1460) ack 1
        < . 1:1(0) ack 2921 win 65535
        = unacked 0
    ",
    );
}

/// RFC 6429, RFC 9293 MUST-35: a peer with its window shut is alive while it answers, even if it
/// took the window back from what was sent.
#[test]
fn window_taken_back_for_an_hour() {
    let mut lines = format!("{ESTABLISHED}\n! send 1000\n> P. 1:1001(1000) ack 1\n");
    lines += "< . 1:1(0) ack 1 win 0\n";
    let mut timeout = 0.2;
    for _ in 0..40 {
        lines += &format!("+{timeout} > P. 1:1001(1000) ack 1\n< . 1:1(0) ack 1 win 0\n");
        timeout = f64::min(timeout * 2.0, 120.0);
    }
    lines += "< . 1:1(0) ack 1001 win 65535\n= state Established\n= unacked 0\n";
    run(&lines);
}

/// A window smaller than a segment is used when nothing else moves.
#[test]
fn small_window_after_a_stall() {
    established(
        "
        < . 1:1(0) ack 1 win 200
        ! send 1000
        +0.2 > . 1:201(200) ack 1
        < . 1:1(0) ack 201 win 65535
        > P. 201:1001(800) ack 1
    ",
    );
}

/// As Linux: no segment is longer than half of the largest window the peer has had.
#[test]
fn half_a_window() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 2000 <mss 1460>
        > . 1:1(0) ack 1
        ! send 3000
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        < . 1:1(0) ack 2001 win 2400
        > P. 2001:3001(1000) ack 1
    ");
}

#[test]
fn window_limits() {
    established(
        "
        < . 1:1(0) ack 1 win 3000
        ! send 10000
        > . 1:1461(1460) ack 1
        > . 1461:2921(1460) ack 1
        < . 1:1(0) ack 2921 win 3000
        > . 2921:4381(1460) ack 1
        > . 4381:5841(1460) ack 1
    ",
    );
}

/// RFC 7323 section 2.3: windows are shifted after the handshake, not in it.
#[test]
fn scaled() {
    run("
        ! connect
        > S 0:0(0) win 65535
        < S. 0:0(0) ack 1 win 1000 <mss 500,wscale 4>
        > . 1:1(0) ack 1 win 1024
        ! send 3500
        > . 1:501(500) ack 1
        > . 501:1001(500) ack 1
        < . 1:1(0) ack 1001 win 50
        > . 1001:1501(500) ack 1
        < . 1:1(0) ack 1501 win 200
        > . 1501:2001(500) ack 1
        > . 2001:2501(500) ack 1
        > . 2501:3001(500) ack 1
        > P. 3001:3501(500) ack 1
    ");
}

/// An older segment does not tell the window (SND.WL1, SND.WL2).
#[test]
fn old_window_is_ignored() {
    established(
        "
        < P. 1:11(10) ack 1 win 5000
        > . 1:1(0) ack 11
        < . 1:1(0) ack 1 win 0
        > . 1:1(0) ack 11
        ! send 100
        > P. 1:101(100) ack 11
    ",
    );
}

/// The queue's bound grows while the user reads as fast as data comes.
#[test]
fn receive_buffer_is_tuned() {
    let mut script = Script::new();
    script.takes = true;
    let mut lines = String::from(ESTABLISHED).replace("mss 1460", "mss 1460,wscale 7");
    for i in 0..64 {
        let (from, to) = (1 + i * 60_000, 60_001 + i * 60_000);
        lines += &format!("+0.0005\n< . {from}:{to}(60000) ack 1 win 65535\n> . 1:1(0) ack {to}\n");
    }
    script.run(&lines);
    let id = script.tcp.connections().next().expect("a connection");
    let status = script.tcp.status(id).expect("a connection");
    assert!(status.receive_limit > 200_000, "{}", status.receive_limit);
}

/// Where the peer's window ends is where it takes our ACKs, though it has moved left.
#[test]
fn acks_in_a_window_that_shrank() {
    established(
        "
        ! send 3000
        > . 1:1461(1460) ack 1
        > . 1461:2921(1460) ack 1
        > P. 2921:3001(80) ack 1
        < . 1:1(0) ack 1461 win 500
        < P. 1:11(10) ack 1461 win 500
        > . 1961:1961(0) ack 11
        < . 11:11(0) ack 3001 win 65535
        < P. 11:21(10) ack 3001 win 65535
        > . 3001:3001(0) ack 21
    ",
    );
}

/// As Linux: what acknowledges something new tells the window, though its text was sent before.
#[test]
fn window_with_older_text() {
    established(
        "
        < P. 11:21(10) ack 1 win 65535
        > . 1:1(0) ack 1
        ! send 3000
        > . 1:1461(1460) ack 1
        > . 1461:2921(1460) ack 1
        > P. 2921:3001(80) ack 1
        < P. 1:11(10) ack 1461 win 1540
        > . 3001:3001(0) ack 21
        ! send 3000
        < . 21:21(0) ack 3001 win 65535
        > . 3001:4461(1460) ack 21
        > . 4461:5921(1460) ack 21
        > P. 5921:6001(80) ack 21
    ",
    );
}

/// As Linux: data that nobody is left to miss does not wait for ever, though the peer answers.
#[test]
fn orphan_before_a_shut_window() {
    let mut lines = String::from(
        "
        < . 1:1(0) ack 1 win 0
        ! send 10
        ! close
    ",
    );
    let mut probe = 0.2;
    while probe < 120.0 {
        lines += &format!("+{probe} > . 0:0(0) ack 1\n< . 1:1(0) ack 1 win 0\n");
        probe *= 2.0;
    }
    established(&format!("{lines}\n+121\n= gone"));
}

/// The user bounds the window to less than a segment (TCP_WINDOW_CLAMP): it opens by half of that. Then to more (SO_RCVBUF),
/// and the peer hears of it.
#[test]
fn window_bounded_below_a_segment() {
    let mut script = Script::new();
    script.options.receive_buffer = Some(2920);
    script.run(&format!(
        "{ESTABLISHED}
        < . 1:1461(1460) ack 1 win 65535
        > . 1:1(0) ack 1461 win 1460
        < P. 1461:2921(1460) ack 1 win 65535
        > . 1:1(0) ack 2921 win 0
    "
    ));
    script.options.window_clamp = Some(1000);
    script.run(
        "
        ! options
        ! read 2920
        > . 1:1(0) ack 2921 win 1000
    ",
    );
    script.options.window_clamp = Some(3000);
    script.run(
        "
        ! options
        > . 1:1(0) ack 2921 win 2920
    ",
    );
}

/// The peer drops a probe, with the ACK in it: the delayed one is sent all the same.
#[test]
fn probes_do_not_acknowledge() {
    let mut script = Script::new();
    script.takes = true;
    script.run(&format!(
        "{}
        < . 16001:16001(0) ack 1 win 0
        ! send 1000
        +0.19
        < . 16001:17001(1000) ack 1 win 0
        +0.01 > . 0:0(0) ack 17001
        +0.03 > . 1:1(0) ack 17001
    ",
        past_the_start()
    ));
}
