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
        > . 1:1(0) ack 101 <sack 201:301 201:301>
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

/// RFC 6093: the urgent byte is the one before the pointer; it is in the stream, and a run by itself.
#[test]
fn urgent_byte_in_its_place() {
    sack(
        "
        < PU. 1:11(10) ack 1 win 65535 urg 10
        > . 1:1(0) ack 11
        < P. 11:14(3) ack 1 win 65535
        > . 1:1(0) ack 14
        = received 13
        = urgent Some(9)
        = run 9
        ! read 9
        = urgent Some(0)
        = run 1
        ! read 1
        = urgent None
        = run 3
    ",
    );
}

/// A pointer may come before its byte, and a later one takes its place; an old one is nothing new.
#[test]
fn urgent_pointer_ahead() {
    sack(
        "
        < U. 1:1(0) ack 1 win 65535 urg 5
        = urgent Some(4)
        < PU. 1:3(2) ack 1 win 65535 urg 9
        > . 1:1(0) ack 3
        = urgent Some(8)
        < PU. 3:5(2) ack 1 win 65535 urg 3
        > . 1:1(0) ack 5
        = urgent Some(8)
        ! read 4
        < P. 5:15(10) ack 1 win 65535
        > . 1:1(0) ack 15
        = run 4
        < PU. 15:16(1) ack 1 win 65535 urg 0
        > . 1:1(0) ack 16
        = urgent Some(10)
        ! read 11
        < U. 1:16(15) ack 1 win 65535 urg 2
        > . 1:1(0) ack 16 <sack 1:16>
        = urgent None
    ",
    );
}

/// A pointer beyond the end of the stream changes nothing about that end.
#[test]
fn urgent_pointer_beyond_the_end() {
    sack(
        "
        < FU. 1:3(2) ack 1 win 65535 urg 60000
        > . 1:1(0) ack 4
        = run 2
        = fin_received true
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

/// The ACK of a FIN, or of data before it, was lost: what comes again is answered, each time.
#[test]
fn repeated_fin() {
    sack(
        "
        < FP. 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 12
        < FP. 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 12 <sack 1:12>
        < F. 11:11(0) ack 1 win 65535
        > . 1:1(0) ack 12 <sack 11:12>
        < . 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 12 <sack 1:11>
        ! shutdown
        > F. 1:1(0) ack 12
        = state LastAck
        < F. 11:11(0) ack 1 win 65535
        > . 2:2(0) ack 12 <sack 11:12>
        < . 12:12(0) ack 2 win 65535
        = state Closed
    ",
    );
}

/// RFC 5681 section 4.2: a FIN that comes too early says that something is missing.
#[test]
fn fin_out_of_order() {
    sack(
        "
        < F. 101:101(0) ack 1 win 65535
        > . 1:1(0) ack 1
        < . 1:101(100) ack 1 win 65535
        > . 1:1(0) ack 102
        = state CloseWait
    ",
    );
}

/// RFC 2883 section 4: a duplicate among what waits is followed by the range it lies in.
#[test]
fn duplicate_of_what_waits() {
    sack(
        "
        < . 101:201(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 101:201>
        < . 301:401(100) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 301:401 101:201>
        < . 121:131(10) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 121:131 101:201 301:401>
        < . 121:131(10) ack 1 win 65535
        > . 1:1(0) ack 1 <sack 121:131 101:201 301:401>
    ",
    );
}
