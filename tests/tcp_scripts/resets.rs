//! RST in every state, and what RFC 5961 makes of forged ones.

use crate::closing::ESTABLISHED;
use crate::script::run;

fn established(rest: &str) {
    run(&format!("{ESTABLISHED}{rest}"));
}

#[test]
fn refused() {
    run("
        ! connect
        > S 0:0(0)
        < R. 0:0(0) ack 1
        = state Closed
        = error Some(ConnectionRefused)
    ");
}

/// RFC 9293 section 3.10.7.3: a RST that acknowledges nothing, or the wrong thing, is ignored.
#[test]
fn bad_resets_in_syn_sent() {
    run("
        ! connect
        > S 0:0(0)
        < R 0:0(0)
        < R. 0:0(0) ack 5
        = state SynSent
    ");
}

#[test]
fn reset_after_simultaneous_open() {
    run("
        ! connect
        > S 0:0(0)
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < R 1:1(0)
        = error Some(ConnectionRefused)
    ");
}

#[test]
fn in_established() {
    established(
        "
        < R 1:1(0)
        = state Closed
        = error Some(ConnectionReset)
    ",
    );
}

/// What was received before the RST can be read after it.
#[test]
fn data_survives() {
    established(
        "
        < P. 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 11
        < R. 11:11(0) ack 1
        = state Closed
        = received 10
    ",
    );
}

/// RFC 5961 section 3.2.
#[test]
fn elsewhere_in_the_window() {
    established(
        "
        < R 101:101(0)
        > . 1:1(0) ack 1
        = state Established
        < R -10:-10(0)
        < R 10000000:10000000(0)
        < R 102:102(0)     # one challenge ACK in half a second is enough
        = state Established
        +0.6
        < R 101:101(0)
        > . 1:1(0) ack 1
        < R 1:1(0)
        = state Closed
    ",
    );
}

/// RFC 9293 MUST-66: a RST counts though the window is zero.
#[test]
fn with_zero_window() {
    let mut script = crate::script::Script::new();
    script.options.receive_buffer = Some(1000);
    script.run(
        "
        ! connect
        > S 0:0(0) win 1000
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        < P. 1:1001(1000) ack 1 win 65535
        > . 1:1(0) ack 1001 win 0
        < R 1001:1001(0)
        = state Closed
        = received 1000
    ",
    );
}

/// RFC 5961 section 4.2.
#[test]
fn syn_in_established() {
    established(
        "
        < S 1:1(0) win 100
        > . 1:1(0) ack 1
        +1
        < S 99999999:99999999(0) win 100
        > . 1:1(0) ack 1
        = state Established
    ",
    );
}

#[test]
fn in_fin_wait_1() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < R. 1:1(0) ack 1
        = error Some(ConnectionReset)
    ",
    );
}

#[test]
fn in_fin_wait_2() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 65535
        < R. 1:1(0) ack 2
        = error Some(ConnectionReset)
    ",
    );
}

#[test]
fn in_close_wait() {
    established(
        "
        < F. 1:1(0) ack 1 win 65535
        > . 1:1(0) ack 2
        < R. 2:2(0) ack 1
        = error Some(BrokenPipe)
    ",
    );
}

#[test]
fn in_closing() {
    established(
        "
        ! shutdown
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 1 win 65535
        > . 2:2(0) ack 2
        < R. 2:2(0) ack 1
        = state Closed
        = time_wait 0
    ",
    );
}

#[test]
fn in_last_ack() {
    established(
        "
        < F. 1:1(0) ack 1 win 65535
        > . 1:1(0) ack 2
        ! shutdown
        > F. 1:1(0) ack 2
        < R. 2:2(0) ack 1
        = state Closed
    ",
    );
}

#[test]
fn of_an_orphan_frees_it() {
    established(
        "
        ! close
        > F. 1:1(0) ack 1
        < R. 1:1(0) ack 1
        = connections 0
    ",
    );
}

/// As Linux: the peer had sent what waits out of order when it gave up.
#[test]
fn behind_what_waits() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>
        > . 1:1(0) ack 1
        < . 101:201(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:201>
        < R 200:200(0)
        > . 1:1(0) ack 1 <sack 101:201>
        = state Established
        < R 201:201(0)
        = error Some(ConnectionReset)
    ");
}

/// As Linux: some send the number of their FIN again.
#[test]
fn with_the_number_of_the_fin() {
    established(
        "
        < F. 1:1(0) ack 1 win 65535
        > . 1:1(0) ack 2
        < R 0:0(0)
        = state CloseWait
        < R 1:1(0)
        = error Some(BrokenPipe)
    ",
    );
}
