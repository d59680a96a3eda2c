//! Options on the wire: parsing what no peer should send, and obeying what they say.

use crate::script::{Script, run};
use crate::stack::wire::tcp::{self, Flags, Options, Repr, Seq, Timestamps};

fn header(options: &[u8]) -> Vec<u8> {
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    let mut bytes = vec![0; 20];
    bytes[12] = (((20 + padded.len()) / 4) << 4) as u8;
    bytes.extend(padded);
    bytes
}

fn parse(options: &[u8]) -> Options {
    tcp::parse(&header(options)).expect("a header").0.options
}

/// RFC 9293 MUST-6: an unknown option is skipped.
#[test]
fn unknown_options() {
    let options = parse(&[253, 6, 1, 2, 3, 4, 77, 2, 1, 2, 4, 2, 0]);
    assert_eq!(options.mss, Some(512));
}

/// RFC 9293 MUST-7: an impossible length ends the options and harms nothing.
#[test]
fn impossible_lengths() {
    assert_eq!(parse(&[2, 4, 5, 180, 8, 0, 3, 3]).mss, Some(1460));
    assert_eq!(parse(&[8, 1, 2, 4, 5, 180]), Options::default());
    assert_eq!(parse(&[3, 200]), Options::default());
    assert_eq!(parse(&[1, 1, 1, 2]), Options::default());
    assert_eq!(parse(&[2, 3, 5, 1]), Options::default());
    assert_eq!(parse(&[5, 7, 1, 2, 3, 4, 5]).sack.as_slice(), []);
}

#[test]
fn every_header_of_every_length() {
    for offset in 0..16_u8 {
        for len in 0..64 {
            for fill in [0, 1, 2, 3, 4, 5, 8, 255] {
                let mut bytes = vec![fill; len];
                if let Some(place) = bytes.get_mut(12) {
                    *place = offset << 4;
                }
                let header_len = usize::from(offset) * 4;
                let fits = (20..=len).contains(&header_len);
                assert_eq!(tcp::parse(&bytes).is_ok(), fits, "{offset} {len} {fill}");
            }
        }
    }
}

#[test]
fn emitted_and_parsed() {
    let mut options = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 1, echo: 2 }),
        ..Options::default()
    };
    options.sack.push(Seq(5), Seq(9));
    let repr = Repr {
        source_port: 1,
        destination_port: 2,
        seq: Seq(3),
        ack: Seq(4),
        flags: Flags::SYN.with(Flags::ACK).with(Flags::AE),
        window: 5,
        urgent: 6,
        options,
    };
    let mut bytes = vec![0xff; repr.header_len()];
    repr.emit(&mut bytes);
    assert_eq!(tcp::parse(&bytes), Ok((repr, bytes.len())));
    let shown = "Se. 3:13(10) ack 4 win 5 <mss 1460,sackOK,TS val 1 ecr 2,wscale 7,sack 5:9>";
    assert_eq!(repr.display(10).to_string(), shown);
}

/// RFC 9293 MUST-16 with RFC 6691: options come out of the peer's MSS.
#[test]
fn mss_less_options() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 500,TS val 1 ecr 0>
        > . 1:1(0) ack 1
        ! send 1000
        > . 1:489(488) ack 1
        > . 489:977(488) ack 1
        > P. 977:1001(24) ack 1
    ");
}

/// An MSS of next to nothing is not obeyed: it would cost a header a byte.
#[test]
fn absurd_mss() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1>
        > . 1:1(0) ack 1
        ! send 50
        > . 1:49(48) ack 1
        > P. 49:51(2) ack 1
    ");
}

#[test]
fn user_bounds_the_segment() {
    let mut script = Script::new();
    script.options.max_segment = Some(1000);
    script.run(
        "
        ! connect
        > S 0:0(0) <mss 1000,sackOK,TS val 0 ecr 0,wscale 7>
        < S. 0:0(0) ack 1 win 65535 <mss 1460>
        > . 1:1(0) ack 1
        ! send 1500
        > . 1:1001(1000) ack 1
        > P. 1001:1501(500) ack 1
    ",
    );
}

/// RFC 7323 section 2.3: more than 14 counts as 14.
#[test]
fn absurd_window_scale() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 200>
        > . 1:1(0) ack 1 win 1024
        = state Established
    ");
}

/// RFC 7323 section 5: an older timestamp is dropped and answered.
#[test]
fn paws() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 1000 ecr 0>
        > . 1:1(0) ack 1 win 65535 <TS val 0 ecr 1000>
        < P. 1:11(10) ack 1 win 65535 <TS val 999 ecr 0>
        > . 1:1(0) ack 1 win 65535 <TS val 0 ecr 1000>
        = received 0
        < P. 1:11(10) ack 1 win 65535 <TS val 1000 ecr 0>
        > . 1:1(0) ack 11 win 65525 <TS val 0 ecr 1000>
        < R 11:11(0) <TS val 1 ecr 0>
        = state Closed
    ");
}

/// RFC 7323 section 5.5: a connection idle for 24 days accepts any timestamp.
#[test]
fn paws_of_old() {
    run("
        ! connect
        > S 0:0(0)
        < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 1000 ecr 0>
        > . 1:1(0) ack 1
        +2200000
        < P. 1:11(10) ack 1 win 65535 <TS val 5 ecr 0>
        > . 1:1(0) ack 11
        = received 10
    ");
}

/// TCP_WINDOW_CLAMP bounds the window, however much room there is.
#[test]
fn window_clamp() {
    let mut script = Script::new();
    script.options.window_clamp = Some(4096);
    script.run(
        "
        ! listen 5
        < S 0:0(0) win 65535 <mss 1000>
        > S. 0:0(0) ack 1 win 4096
        < . 1:1(0) ack 1 win 65535
        < P. 1:1001(1000) ack 1 win 65535
        > . 1:1(0) ack 1001 win 4096
        < P. 1001:2001(1000) ack 1 win 65535
        > . 1:1(0) ack 2001 win 4096
    ",
    );
}

/// What is dropped does not make the peer's own segments look old.
#[test]
fn timestamps_of_forged_segments() {
    let answer = "> . 1:1(0) ack 11";
    let forged = [
        ("S 11:11(0)", answer),
        (". 11:21(10) ack 70000", answer),
        ("P 11:21(10)", ""),
    ];
    for (segment, answer) in forged {
        run(&format!(
            "
            ! connect
            > S 0:0(0)
            < S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 1000 ecr 0>
            > . 1:1(0) ack 1
            < . 1:11(10) ack 1 win 65535 <TS val 1001 ecr 0>
            > . 1:1(0) ack 11
            < {segment} win 65535 <TS val 100000000 ecr 0>
            {answer}
            < . 11:21(10) ack 1 win 65535 <TS val 1002 ecr 0>
            > . 1:1(0) ack 21
            = received 20
        "
        ));
    }
}
