//! When acknowledgments are sent: RFC 9293 section 3.8.6.3, RFC 5681 section 4.2.

use core::time::Duration;

use crate::closing::ESTABLISHED;
use crate::script::{Script, run};
use crate::stack::tcp::TcpOptions;

/// After the sixteen quick ACKs of the start: the peer's segments have 1,000 bytes.
pub(crate) fn past_the_start() -> String {
    let mut lines = String::from(ESTABLISHED);
    for i in 0..16 {
        let (from, to) = (1 + i * 1000, 1001 + i * 1000);
        lines += &format!("< . {from}:{to}(1000) ack 1 win 65535\n> . 1:1(0) ack {to}\n");
    }
    lines
}

fn taking(lines: &str) {
    let mut script = Script::new();
    script.takes = true;
    script.run(&(past_the_start() + lines));
}

/// At the start every segment is acknowledged at once: the peer is in slow start.
#[test]
fn quick_at_the_start() {
    run(&past_the_start());
}

#[test]
fn one_segment_waits() {
    taking(
        "
        < . 16001:17001(1000) ack 1 win 65535
        +0.04 > . 1:1(0) ack 17001
    ",
    );
}

/// As Linux: what is less than a segment, or the last for now, may be all that the peer can send before it is acknowledged
/// (Nagle's algorithm).
#[test]
fn the_last_segment_for_now_does_not_wait() {
    taking(
        "
        < P. 16001:16101(100) ack 1 win 65535
        > . 1:1(0) ack 16101
        < P. 16101:17101(1000) ack 1 win 65535
        > . 1:1(0) ack 17101
    ",
    );
}

/// RFC 9293 SHLD-19: every second full segment.
#[test]
fn every_second_segment() {
    taking(
        "
        < . 16001:17001(1000) ack 1 win 65535
        < . 17001:18001(1000) ack 1 win 65535
        > . 1:1(0) ack 18001
        < . 18001:19001(1000) ack 1 win 65535
        +0.04 > . 1:1(0) ack 19001
    ",
    );
}

/// Many segments put together below (GRO) count as many.
#[test]
fn super_packet() {
    taking(
        "
        < . 16001:26001(10000) ack 1 win 65535
        > . 1:1(0) ack 26001
    ",
    );
}

#[test]
fn data_carries_the_ack() {
    taking(
        "
        < . 16001:17001(1000) ack 1 win 65535
        +0.01
        ! send 10
        > P. 1:11(10) ack 17001
        +0.1
        < . 17001:17001(0) ack 11 win 65535
    ",
    );
}

/// A conversation: once we answer within the delay, ACKs wait for the answer, even at the start; until one does not come.
#[test]
fn interactive() {
    run(&format!(
        "{ESTABLISHED}
        < P. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101
        ! send 10
        > P. 1:11(10) ack 101
        < P. 101:201(100) ack 11 win 65535
        +0.04 > . 11:11(0) ack 201
        < P. 201:301(100) ack 11 win 65535
        > . 11:11(0) ack 301
    "
    ));
}

/// TCP_QUICKACK.
#[test]
fn quickack() {
    let mut script = Script::new();
    script.takes = true;
    script.options.quickack = Some(true).into();
    script.run(
        &(past_the_start()
            + "
        < P. 16001:16101(100) ack 1 win 65535
        > . 1:1(0) ack 16101
    "),
    );
}

/// Who will send first, and says so, leaves the handshake's last ACK to the data, for a while.
#[test]
fn with_data() {
    let opening = "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        = state Established
    ";
    let by_option = |option: fn(&mut TcpOptions), rest: &str| {
        let mut script = Script::new();
        option(&mut script.options);
        script.run(&format!("{opening}{rest}"));
    };
    let options: [fn(&mut TcpOptions); 2] = [
        |options| options.quickack = Some(false).into(),
        |options| options.defer_accept = Duration::from_secs(1),
    ];
    for option in options {
        by_option(
            option,
            "
            +0.1
            ! send 10
            > P. 1:11(10) ack 1
        ",
        );
        by_option(option, "+0.2 > . 1:1(0) ack 1");
    }
}

/// RFC 5681 section 4.2: out of order, and when a hole is filled, at once.
#[test]
fn out_of_order() {
    taking(
        "
        < . 17001:18001(1000) ack 1 win 65535
        > . 1:1(0) ack 16001
        < . 19001:20001(1000) ack 1 win 65535
        > . 1:1(0) ack 16001
        < . 16001:17001(1000) ack 1 win 65535
        > . 1:1(0) ack 18001
        < . 18001:19001(1000) ack 1 win 65535
        > . 1:1(0) ack 20001
        = taken 20000
    ",
    );
}

/// Data received before is acknowledged at once: its sender waits for that.
#[test]
fn duplicate() {
    taking(
        "
        < . 15001:16001(1000) ack 1 win 65535
        > . 1:1(0) ack 16001
        = taken 16000
    ",
    );
}

/// RFC 9293 section 3.10.7.4: what was never sent cannot be acknowledged.
#[test]
fn ack_of_the_future() {
    run(&format!(
        "{ESTABLISHED}
        < P. 1:11(10) ack 500 win 65535
        > . 1:1(0) ack 1
        = received 0
    "
    ));
}

/// RFC 5961 section 5: nor what is long past.
#[test]
fn ack_of_the_distant_past() {
    run(&format!(
        "{ESTABLISHED}
        < P. 1:11(10) ack -100000 win 65535
        > . 1:1(0) ack 1
        = received 0
    "
    ));
}

#[test]
fn no_ack_at_all() {
    run(&format!(
        "{ESTABLISHED}
        < P 1:11(10) win 65535
        = received 0
    "
    ));
}

/// An ACK from before the connection is none of its peer's, however large the window.
#[test]
fn ack_older_than_the_connection() {
    run("
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460,wscale 7>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        ! accept
        < P. 1:11(10) ack -1000 win 65535
        > . 1:1(0) ack 1
        = received 0
        ! send 10
        > P. 1:11(10) ack 1
        < P. 1:11(10) ack 11 win 65535
        > . 11:11(0) ack 11
        < P. 11:21(10) ack 1 win 65535
        > . 11:11(0) ack 21
    ");
}

fn answering(lines: &str) {
    let mut script = Script::new();
    script.takes = true;
    script.answers = true;
    script.run(lines);
}

/// A short connection's answers carry its ACKs: of a short segment, of a FIN.
#[test]
fn answers_carry_them() {
    answering(
        "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        ! send 64
        > P. 1:65(64) ack 1
        < P. 1:65(64) ack 65 win 65535
        ! send 64
        > P. 65:129(64) ack 65
        < F. 65:65(0) ack 129 win 65535
        ! close
        > F. 129:129(0) ack 66
        < . 66:66(0) ack 130 win 65535
    ",
    );
}

/// The answer may not come, and nobody may say so.
#[test]
fn without_an_answer() {
    answering(
        "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        < P. 1:65(64) ack 1 win 65535
        +0.04 > . 1:1(0) ack 65
        < F. 65:65(0) ack 1 win 65535
        +0.04 > . 1:1(0) ack 66
    ",
    );
}

/// Who has sent a full segment, or too early, may wait for the ACK to go on.
#[test]
fn what_waits_for_no_answer() {
    answering(
        "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>
        > . 1:1(0) ack 1
        < . 1:1461(1460) ack 1 win 65535
        > . 1:1(0) ack 1461
        < P. 1561:1661(100) ack 1 win 65535
        > . 1:1(0) ack 1461 <sack 1561:1661>
        < F. 1661:1661(0) ack 1 win 65535
        > . 1:1(0) ack 1461 <sack 1561:1661>
    ",
    );
}
