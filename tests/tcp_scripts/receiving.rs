//! Taking in data: overlaps, holes, SACK, D-SACK.

use crate::script::run;

const SACK: &str = "
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>
        > . 1:1(0) ack 1
";

fn sack(lines: &str) {
    run(&format!("{SACK}{lines}"));
}

/// RFC 2018 section 4: the block that changed last comes first.
#[test]
fn blocks_in_order_of_arrival() {
    sack(
        "
        < . 101:201(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:201>
        < . 301:401(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 301:401 101:201>
        < . 501:601(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 501:601 301:401 101:201>
        < . 201:251(50) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:251 501:601 301:401>
        < . 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 251 <sack 501:601 301:401>
        < . 251:301(50) ack 1 win 65535
        > . 1:1(0) ack 401 <sack 501:601>
        < . 401:501(100) ack 1 win 65535
        > . 1:1(0) ack 601
        = received 600
    ",
    );
}

#[test]
fn ranges_that_meet_become_one() {
    sack(
        "
        < . 101:201(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:201>
        < . 301:401(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 301:401 101:201>
        < . 151:351(200) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:401>
        < . 1:151(150) ack 1 win 65535
        > . 1:1(0) ack 401
        = received 400
    ",
    );
}

/// RFC 2883: a duplicate is reported first.
#[test]
fn duplicate_sack() {
    sack(
        "
        < . 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101
        < . 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101 <sack 1:101>
        < . 201:301(100) ack 1 win 65535
        > . 1:1(0) ack 101 <sack 201:301>
        < . 201:301(100) ack 1 win 65535
        > . 1:1(0) ack 101 <sack 201:301>
    ",
    );
}

/// What overlaps on the left is cut.
#[test]
fn partly_old() {
    sack(
        "
        < . 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 101
        < . 51:151(100) ack 1 win 65535
        > . 1:1(0) ack 151 <sack 51:101>
        = received 150
    ",
    );
}

/// What reaches beyond the window is cut, and nothing of it counts.
#[test]
fn beyond_the_window() {
    let mut script = crate::script::Script::new();
    script.options.receive_buffer = Some(1000);
    script.run(
        "
        ! connect
        > S 0:0(0) win 1000
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        < . 1:1301(1300) ack 1 win 65535
        > . 1:1(0) ack 1001 win 0
        = received 1000
        < . 1001:1301(300) ack 1 win 65535
        > . 1:1(0) ack 1001 win 0
        < . 2001:2301(300) ack 1 win 65535
        > . 1:1(0) ack 1001 win 0
        = received 1000
    ",
    );
}

/// More ranges than are kept: what does not fit is dropped, and nothing else suffers.
#[test]
fn too_many_ranges() {
    let mut lines = String::new();
    for i in 1..=40 {
        let (from, to) = (1 + i * 20, 11 + i * 20);
        lines += &format!("< . {from}:{to}(10) ack 1 win 65535\n> . 1:1(0) ack 1\n");
    }
    let filled = "
        < . 1:1001(1000) ack 1 win 65535
        > . 1:1(0) ack 1001
        = received 1000
    ";
    run(&format!("{}{lines}{filled}", crate::closing::ESTABLISHED));
}

/// A range grows where it is although no further range would fit.
#[test]
fn fin_out_of_order_with_data() {
    sack(
        "
        < F. 101:201(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:201>
        < . 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 202
        = state CloseWait
        = received 200
    ",
    );
}

/// RFC 793's urgent bytes are read in line.
#[test]
fn urgent_data_is_data() {
    sack(
        "
        < PU. 1:11(10) ack 1 win 65535 urg 10
        > . 1:1(0) ack 11
        = received 10
    ",
    );
}

/// Data of ours does not hide from the peer what arrived out of order.
#[test]
fn blocks_go_beside_data() {
    sack(
        "
        ! send 10
        > P. 1:11(10) ack 1
        ! send 10
        < . 101:201(100) ack 11 win 65535
        > P. 11:21(10) ack 1
        > . 21:21(0) ack 1 <sack 101:201>
    ",
    );
}
