//! Fast Open (RFC 7413).

use crate::script::Script;

/// Clients and servers may (net.ipv4.tcp_fastopen).
const BOTH: u32 = 3;

fn server() -> Script {
    let mut script = Script::with(|config| config.limits.fast_open = BOTH);
    script.options.fast_open = 2;
    script
}

fn client() -> Script {
    Script::with(|config| config.limits.fast_open = BOTH)
}

/// The cookie that the secret of these scripts makes of their addresses.
const COOKIE: &str = "FO 35b7876c15dbcee3";

/// Lines of a client that gets a cookie, and leaves.
const GETS_COOKIE: &str = "
    ! connect_fast 100
    = fast 0
    > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 7,FO>
    < S. 0:0(0) ack 1 win 65535 <mss 1460,FO 0123456789abcdef>
    > . 1:1(0) ack 1
    = fast_open NoCookie
    ! abort
    > R. 1:1(0) ack 1
";

#[test]
fn cookie_is_asked_for_and_shown() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_fast 100
        = fast 100
        > S 0:100(100) <mss 1460,sackOK,TS val 0 ecr 0,wscale 7,FO 0123456789abcdef>
        < S. 0:0(0) ack 101 win 65535 <mss 1460>
        > . 101:101(0) ack 1
        = state Established
        = unacked 0
        = fast_open Taken
        ! send 10
        > P. 101:111(10) ack 1
    ",
    );
}

/// What the server did not take goes again, at once.
#[test]
fn data_that_is_not_acknowledged_goes_again() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_fast 100
        > S 0:100(100)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,FO ffff456789abcdef>
        > P. 1:101(100) ack 1
        = fast_open NotAcknowledged
        < . 1:1(0) ack 101 win 65535
        = unacked 0
        ! abort
        > R. 101:101(0) ack 1
        ! connect_fast 100
        > S 0:100(100) <mss 1460,sackOK,TS val 0 ecr 0,wscale 7,FO ffff456789abcdef>
    ",
    );
}

#[test]
fn part_of_the_data_is_acknowledged() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_fast 100
        > S 0:100(100)
        < S. 0:0(0) ack 41 win 65535 <mss 1460>
        > P. 41:101(60) ack 1
        < . 1:1(0) ack 101 win 65535
        = unacked 0
    ",
    );
}

/// An ACK of more than was sent is none of ours.
#[test]
fn ack_beyond_the_data() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_fast 100
        > S 0:100(100)
        < S. 0:0(0) ack 102 win 65535 <mss 1460>
        > R 102:102(0)
        = state SynSent
    ",
    );
}

/// A SYN that is sent again is a plain one, for what may not like the option; and then the server is left alone for a while.
#[test]
fn lost_syn_is_repeated_without() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_fast 100
        > S 0:100(100)
        +1 > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1000 ecr 0,wscale 7>
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > P. 1:101(100) ack 1
        = fast_open SentAgain
        ! abort
        > R. 101:101(0) ack 1
        ! connect_fast 100
        = fast 0
        > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
        ! abort
        +119
        ! connect_fast 100
        = fast 0
        > S 0:0(0)
        ! abort
        +1.1
        ! connect_fast 100
        = fast 100
        > S 0:100(100)
    ",
    );
}

/// No more goes with the SYN than the server's segments hold, with all options there may be.
#[test]
fn syn_has_room_for_so_much() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_fast 3000
        = fast 1420
        > S 0:1420(1420)
    ",
    );
}

/// TCP_FASTOPEN_CONNECT: connect(2) sends nothing, if it has a cookie.
#[test]
fn syn_waits_for_data() {
    client().run(
        "
        ! connect_held 0
        > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 7,FO>
        < S. 0:0(0) ack 1 win 65535 <mss 1460,FO 0123456789abcdef>
        > . 1:1(0) ack 1
        ! abort
        > R. 1:1(0) ack 1
        ! connect_held 1
        +10
        = state SynSent
        ! open_fast 10
        > S 0:10(10)
        +1 > S 0:0(0)
        < S. 0:0(0) ack 11 win 65535 <mss 1460>
        > . 11:11(0) ack 1
    ",
    );
}

/// While a SYN waits, another connection finds that data with a SYN does not get through: what it has waited for follows the
/// handshake.
#[test]
fn syn_that_has_waited_in_vain() {
    client().run(GETS_COOKIE).run(
        "
        ! connect_held 1
        ! swap
        ! peer_port 3001
        ! connect_fast 100
        > S 0:100(100)
        +1 > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > P. 1:101(100) ack 1
        ! abort
        > R. 101:101(0) ack 1
        ! swap
        ! peer_port 3000
        ! open_fast 50
        = fast 50
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > P. 1:51(50) ack 1
    ",
    );
}

/// Nobody may: net.ipv4.tcp_fastopen is 0.
#[test]
fn nobody_may() {
    let mut script = Script::with(|config| config.limits.fast_open = 0);
    script.options.fast_open = 5;
    script.run(
        "
        ! connect_fast 100
        = fast 0
        > S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
        ! abort
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460,FO>
        > S. 0:0(0) ack 1 win 65535 <mss 1460>
    ",
    );
}

#[test]
fn server_gives_a_cookie() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:0(0) win 65535 <mss 1460,FO>
        > S. 0:0(0) ack 1 win 65535 <mss 1460,{COOKIE}>
        = half_open 1
        = queued 0
    "
    ));
}

/// A wrong one is as none: the right one is given, the data is not taken.
#[test]
fn wrong_cookie() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:100(100) win 65535 <mss 1460,FO 1111111111111111>
        > S. 0:0(0) ack 1 win 65535 <mss 1460,{COOKIE}>
        = queued 0
        < P. 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101
        = queued 1
    "
    ));
}

/// The connection is accepted, and answers, before the handshake ends.
#[test]
fn right_cookie() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:100(100) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 101 win 65535 <mss 1460>
        = half_open 0
        = queued 1
        ! accept
        = state SynReceived
        = received 100
        = fast_open Taken
        ! read 100
        ! send 500
        > P. 1:501(500) ack 101
        < . 101:101(0) ack 501 win 65535
        = state Established
        = unacked 0
    "
    ));
}

/// The SYN-ACK is repeated alone; what was sent waits for the handshake's end.
#[test]
fn lost_syn_ack() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:100(100) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 101
        ! accept
        ! send 500
        > P. 1:501(500) ack 101
        +1 > S. 0:0(0) ack 101
        < S 0:100(100) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 101
        < . 101:101(0) ack 1 win 65535
        = state Established
        +1 > P. 1:501(500) ack 101
        < . 101:101(0) ack 501 win 65535
        = unacked 0
    "
    ));
}

#[test]
fn closed_before_the_handshake_ends() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:100(100) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 101
        ! accept
        ! read 100
        ! send 10
        > P. 1:11(10) ack 101
        ! close
        > F. 11:11(0) ack 101
        < . 101:101(0) ack 12 win 65535
        < F. 101:101(0) ack 12 win 65535
        > . 12:12(0) ack 102
        = time_wait 1
    "
    ));
}

#[test]
fn reset_before_the_handshake_ends() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:100(100) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 101
        ! accept
        < R 101:101(0)
        = state Closed
        = error Some(ConnectionReset)
    "
    ));
}

/// A listener lets in so many at a time; of those that were reset it remembers for a minute.
#[test]
fn few_are_let_in_at_a_time() {
    server().run(&format!(
        "
        ! listen 5
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 2
        ! peer_port 3001
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 2
        = queued 2
        ! peer_port 3002
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 1
        < R 1:1(0)
        ! peer_port 3001
        < . 2:2(0) ack 1 win 65535
        ! peer_port 3000
        < R 2:2(0)
        ! peer_port 3003
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 2
        < R 2:2(0)
        ! accept
        ! accept
        ! accept
        ! peer_port 3004
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 1
        < R 1:1(0)
        +61
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 2
    "
    ));
}

/// A listener that has said nothing gives no cookies, and takes none.
#[test]
fn listener_without() {
    Script::with(|config| config.limits.fast_open = BOTH).run(&format!(
        "
        ! listen 5
        < S 0:100(100) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 1 win 65535 <mss 1460>
    "
    ));
}

/// All listeners do, by net.ipv4.tcp_fastopen, with no more than somaxconn at a time.
#[test]
fn all_listeners() {
    let mut script = Script::with(|config| {
        config.limits.fast_open = 0x402;
        config.limits.somaxconn = 1;
    });
    script.run(&format!(
        "
        ! listen 5
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 2
        = queued 1
        < R 2:2(0)
        ! peer_port 3001
        < S 0:1(1) win 65535 <mss 1460,{COOKIE}>
        > S. 0:0(0) ack 1
    "
    ));
}
