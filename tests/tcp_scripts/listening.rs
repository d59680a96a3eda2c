//! LISTEN, the SYN queue and the accept queue.

use crate::script::{Script, run};

/// RFC 9293 section 3.10.7.2.
#[test]
fn what_is_no_syn() {
    run("
        ! listen 5
        < . 1:1(0) ack 99 win 100
        > R 99:99(0)
        < R 1:1(0)
        < F 1:1(0) win 100
        < _ 1:1(0) win 100
        = connections 0
    ");
}

/// RFC 9293 section 3.10.7.1.
#[test]
fn nobody_listens() {
    run("
        < S 5000:5000(0) win 100
        > R. 0:0(0) ack 5001
        < . 1:1(0) ack 77777 win 100
        > R 77777:77777(0)
        < R 1:1(0)
        < P 1:11(10) win 100
        > R. 0:0(0) ack 11
    ");
}

/// listen(2) with a backlog of n lets n + 1 connections complete; then SYNs are dropped.
#[test]
fn backlog() {
    run("
        ! listen 0
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        = queued 1
        ! peer_port 3001
        < S 0:0(0) win 65535
        +2
        ! accept
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
    ");
}

/// The last ACK of the handshake is dropped, too, and what follows of the SYN-ACK's repetition.
#[test]
fn last_ack_with_a_full_queue() {
    run("
        ! listen 0
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        ! peer_port 3001
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        = queued 1
        ! peer_port 3000
        < . 1:1(0) ack 1 win 65535
        = queued 1
        +1 > S. 0:0(0) ack 1
        ! accept
        < . 1:1(0) ack 1 win 65535
        = queued 1
    ");
}

#[test]
fn reset_of_a_half_open_connection() {
    run("
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < R 1:1(0)
        = half_open 0
        = connections 0
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
    ");
}

/// As Linux: what was reset before it was accepted is still accepted, with its data and its error.
#[test]
fn reset_before_accept() {
    run("
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < P. 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 11
        < R. 11:11(0) ack 1
        = queued 1
        ! accept
        = state Closed
        = received 10
        = error Some(ConnectionReset)
        ! close
        = gone
    ");
}

#[test]
fn closing_the_listener_resets_what_was_not_accepted() {
    run("
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        ! close_listener
        > R. 1:1(0) ack 1
        = connections 0
        < S 9000:9000(0) win 65535
        > R. 0:0(0) ack 9001
    ");
}

#[test]
fn closing_the_listener_forgets_what_is_half_open() {
    run("
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        ! close_listener
        = connections 0
    ");
}

#[test]
fn bad_ack_in_syn_received() {
    run("
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 50 win 65535
        > R 50:50(0)
        = half_open 1
        < . 1:1(0) ack 1 win 65535
        = queued 1
    ");
}

#[test]
fn syn_queue_is_bounded() {
    let mut script = Script::with(|config| {
        config.limits.max_syn_backlog = 1;
        config.limits.syn_cookies = false;
    });
    script.run(
        "
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        ! peer_port 3001
        < S 0:0(0) win 65535
        = half_open 1
    ",
    );
}

/// With the queue of half-open connections full.
fn cookies(lines: &str) {
    let mut script = Script::with(|config| config.limits.max_syn_backlog = 1);
    script.run(&format!(
        "
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        ! peer_port 3001
        {lines}"
    ));
}

/// RFC 4987 section 3.6: a SYN leaves nothing here, and its ACK opens the connection, which has all that
/// the SYN offered.
#[test]
fn cookie() {
    cookies(
        "
        < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 500 ecr 0,wscale 3>
        > S. 0:0(0) ack 1 win 65535
        = half_open 1
        = connections 1
        ! peer_port 3000
        < R 1:1(0)
        ! peer_port 3001
        = connections 0
        +30
        < . 1:1(0) ack 1 win 1000 <TS val 530 ecr 32>
        = queued 1
        ! accept
        = state Established
        = mss 1448
        ! send 10000
        > . 1:1449(1448) ack 1
        > . 1449:2897(1448) ack 1
        > . 2897:4345(1448) ack 1
        > . 4345:5793(1448) ack 1
        > . 5793:7241(1448) ack 1
        < . 1:1(0) ack 1 win 1000 <TS val 530 ecr 32,sack 1449:5793>
        > . 1:1449(1448) ack 1
        < . 1:1(0) ack 7241 win 0 <TS val 540 ecr 32>
    ",
    );
}

/// Without timestamps there is neither SACK nor scaling.
#[test]
fn cookie_without_timestamps() {
    cookies(
        "
        < S 0:0(0) win 65535 <mss 600,sackOK,wscale 3>
        > S. 0:0(0) ack 1 <mss 1460>
        < P. 1:11(10) ack 1 win 2000
        > . 1:1(0) ack 11
        = queued 1
        ! accept
        = mss 536
        = received 10
    ",
    );
}

/// What is not a cookie of ours, or one from another place or time, opens nothing.
#[test]
fn forged_cookies() {
    cookies(
        "
        < . 1:1(0) ack 12345
        > R 12345:12345(0)
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 2
        > R 2:2(0)
        < . 2:2(0) ack 1
        > R 1:1(0)
        = connections 1
    ",
    );
    cookies(
        "
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < R 1:1(0)
        ! peer_port 3000
        < R 1:1(0)
        ! peer_port 3001
        +129
        < . 1:1(0) ack 1
        > R 1:1(0)
    ",
    );
}

fn deferring(lines: &str) {
    let mut script = Script::new();
    script.options.defer_accept = core::time::Duration::from_secs(3);
    script.run(&format!(
        "
        ! listen 5
        < S 0:0(0) win 65535
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        = queued 0
        {lines}"
    ));
}

/// TCP_DEFER_ACCEPT: the bare ACK does not complete the handshake, data does.
#[test]
fn defer_accept() {
    deferring(
        "
        +0.5
        < P. 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 11
        = queued 1
    ",
    );
}

/// When the time is over, the SYN-ACK asks for the ACK again.
#[test]
fn defer_accept_ends() {
    deferring(
        "
        +3 > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        = queued 1
    ",
    );
}
