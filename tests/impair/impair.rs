use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::frames::{self, End};
use crate::link::{Checksum, Frame, Gso, Impair, Impairments, Link, Offload, RECEIVE_BUFFER};
use crate::wire::Wire;

const MS: u64 = 1_000_000;

fn impaired(text: &str) -> Impair<Wire> {
    let mut impairments = Impairments::parse(text).expect(text);
    impairments.seed = impairments.seed.or(Some(1));
    Impair::new(Wire::new(), impairments)
}

/// Frame `number`, of `length` bytes.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame
}

fn transmit(link: &mut Impair<Wire>, bytes: &[u8], offload: Option<Offload>) {
    let frame = Frame {
        header: bytes,
        payload: &[],
        offload,
        ..Frame::default()
    };
    assert_eq!(link.transmit(&[frame]), Ok(1));
}

/// The numbers of the frames that left.
fn left(link: &Impair<Wire>) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    link.inner()
        .left
        .iter()
        .map(|(bytes, _)| number(bytes))
        .collect()
}

/// The share of 20,000 frames that left.
fn share_left(text: &str) -> f64 {
    let mut link = impaired(text);
    (0..20_000).for_each(|n| transmit(&mut link, &numbered(n, 64), None));
    left(&link).len() as f64 / 20_000.0
}

#[test]
fn nothing_asked_nothing_changed() {
    let mut link = impaired("");
    (0..100).for_each(|n| transmit(&mut link, &numbered(n, 64), None));
    assert_eq!(left(&link), (0..100).collect::<Vec<_>>());
    assert_eq!(link.next_deadline(), None);
}

#[test]
fn shares_are_kept() {
    let near = |measured: f64, expected: f64| (measured - expected).abs() < 0.01;
    assert!(near(share_left("loss=10%"), 0.9));
    assert!(near(share_left("loss=0.5"), 0.5));
    assert!(near(share_left("duplicate=10%"), 1.1));
    assert!(near(share_left("loss=100%"), 0.0));
}

#[test]
fn the_seed_repeats_it() {
    let run = |text| {
        let mut link = impaired(text);
        (0..1000).for_each(|n| transmit(&mut link, &numbered(n, 64), None));
        left(&link)
    };
    assert_eq!(run("loss=30%,seed=5"), run("loss=30%,seed=5"));
    assert_ne!(run("loss=30%,seed=5"), run("loss=30%,seed=6"));
}

#[test]
fn delay_and_jitter_keep_the_order() {
    let mut link = impaired("delay=20ms,jitter=5ms");
    link.advance(7 * MS);
    (0..100).for_each(|n| transmit(&mut link, &numbered(n, 64), None));
    assert!(left(&link).is_empty());
    let first = link.next_deadline().expect("deadline");
    assert!((22 * MS..=32 * MS).contains(&first), "{first}");
    link.advance(first - 1);
    assert!(left(&link).is_empty());
    link.advance(first);
    assert!(!left(&link).is_empty());
    link.advance(32 * MS);
    assert_eq!(left(&link), (0..100).collect::<Vec<_>>());
    assert_eq!(link.next_deadline(), None);
}

#[test]
fn reordered_frames_overtake_or_are_overtaken() {
    for (text, end) in [("delay=10ms,reorder=20%", 10 * MS), ("reorder=20%", MS)] {
        let mut link = impaired(text);
        (0..1000).for_each(|n| transmit(&mut link, &numbered(n, 64), None));
        link.advance(end);
        let mut numbers = left(&link);
        assert!(!numbers.is_sorted(), "{text}");
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn the_rate_spaces_frames() {
    // 1,250 bytes are 10,000 bits: a millisecond at 10 Mbit/s.
    let mut link = impaired("rate=10mbit");
    (0..10).for_each(|n| transmit(&mut link, &numbered(n, 1250), None));
    for milliseconds in 0..=10 {
        link.advance(milliseconds * MS);
        assert_eq!(left(&link).len() as u64, milliseconds);
    }
}

#[test]
fn the_queue_is_bounded() {
    let mut link = impaired("delay=1s");
    (0..40_000).for_each(|n| transmit(&mut link, &numbered(n, 64), None));
    link.advance(2000 * MS);
    assert_eq!(left(&link).len(), 16_384);
    assert_eq!(link.statistics().impaired, 40_000 - 16_384);

    let mut link = impaired("delay=1s");
    (0..1000).for_each(|n| transmit(&mut link, &numbered(n, 64 << 10), None));
    link.advance(2000 * MS);
    assert_eq!(left(&link).len(), 512);
}

#[test]
fn a_full_link_is_tried_again() {
    let mut wire = Wire::new();
    wire.room = 0;
    let mut link = Impair::new(wire, Impairments::default());
    transmit(&mut link, &numbered(1, 64), None);
    assert_eq!(link.next_deadline(), Some(MS));
    link.advance(MS);
    assert_eq!(link.next_deadline(), Some(2 * MS));
    assert!(left(&link).is_empty());
}

#[test]
fn inbound_frames_meet_the_same() {
    let mut wire = Wire::new();
    for n in 0..1000 {
        wire.arriving
            .push_back((numbered(n, 100), Checksum::Trusted));
    }
    let impairments = Impairments::parse("delay=5ms,loss=10%").expect("impairments");
    let mut link = Impair::new(wire, impairments);
    let mut buffer = vec![0; RECEIVE_BUFFER];
    for _ in 0..10 {
        assert_eq!(link.receive(&mut buffer), Ok(None));
    }
    assert_eq!(link.next_deadline(), Some(5 * MS));
    link.advance(5 * MS);
    let mut count = 0;
    while let Some(received) = link.receive(&mut buffer).expect("receive") {
        assert_eq!(
            (received.bytes.len(), received.checksum),
            (100, Checksum::Trusted)
        );
        count += 1;
    }
    assert!((850..950).contains(&count), "{count}");
    assert_eq!(link.statistics().received, count);
    assert_eq!(link.statistics().impaired, 1000 - count);
}

fn ends() -> (End, End) {
    let end = |number| End {
        hardware: [2, 0, 0, 0, 0, number],
        address: Ipv4Addr::new(10, 0, 0, number),
        port: 80,
    };
    (end(1), end(2))
}

/// A TCP frame to be completed by the link.
fn tcp(payload_len: usize, gso: Option<Gso>) -> (Vec<u8>, Offload) {
    let (from, to) = ends();
    let mut frame = frames::tcp_header(from, to, payload_len);
    frame.extend(vec![7; payload_len]);
    let offload = Offload {
        checksum_start: 34,
        checksum_offset: 16,
        gso,
    };
    (frame, offload)
}

fn checksum_is_right(frame: &[u8]) -> bool {
    let pseudo = frames::sum(&frame[26..34]) + 6 + (frame.len() - 34) as u32;
    frames::fold(frames::sum(&frame[34..]) + pseudo) == 0xffff
}

#[test]
fn corruption_can_be_noticed() {
    let (frame, offload) = tcp(101, None);
    let mut places = HashMap::new();
    for seed in 0..200 {
        let mut link = impaired(&format!("corrupt=100%,seed={seed}"));
        transmit(&mut link, &frame, Some(offload));
        let (bytes, offload) = &link.inner().left[0];
        assert_eq!(*offload, None);
        assert_eq!(bytes[..14], frame[..14], "it still arrives somewhere");
        let header_right = frames::fold(frames::sum(&bytes[14..34])) == 0xffff;
        assert!(!header_right || !checksum_is_right(bytes));
        *places.entry(header_right).or_insert(0) += 1;
    }
    assert_eq!(places.len(), 2, "{places:?}");
}

#[test]
fn a_corrupt_super_packet_is_lost() {
    let gso = Gso {
        size: 1460,
        header_len: 54,
    };
    let (frame, offload) = tcp(10_000, Some(gso));
    let mut link = impaired("corrupt=100%");
    transmit(&mut link, &frame, Some(offload));
    assert!(left(&link).is_empty());
    let wrong = Offload {
        checksum_start: 60_000,
        checksum_offset: 60_000,
        gso: None,
    };
    transmit(&mut link, &frame, Some(wrong));
    assert_eq!(link.statistics().impaired, 2);
}

#[test]
fn nobody_vouches_for_corrupt_inbound_frames() {
    let mut wire = Wire::new();
    for length in 1..200 {
        wire.arriving
            .push_back((vec![0; length], Checksum::Trusted));
    }
    let impairments = Impairments::parse("corrupt=1").expect("impairments");
    let mut link = Impair::new(wire, impairments);
    let mut buffer = vec![0; RECEIVE_BUFFER];
    for length in 1..200 {
        let received = link.receive(&mut buffer).expect("receive").expect("frame");
        assert_eq!(
            (received.bytes.len(), received.checksum),
            (length, Checksum::Verify)
        );
        let ones: u32 = received.bytes.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(ones, 1);
    }
}

#[test]
fn descriptions_are_read() {
    let text = "loss=1%, delay=20ms,jitter=500us,reorder=2%,duplicate=1.5%,corrupt=0.1%,\
                rate=100Mbit,seed=7";
    let all = Impairments::parse(text).expect("impairments");
    let percent = |number: f64| number / 100.0;
    assert_eq!((all.loss, all.reorder), (percent(1.0), percent(2.0)));
    assert_eq!((all.duplicate, all.corrupt), (percent(1.5), percent(0.1)));
    assert_eq!((all.delay, all.jitter), (20 * MS, MS / 2));
    assert_eq!(
        (all.rate.map(u64::from), all.seed),
        (Some(100_000_000), Some(7))
    );
    assert_eq!(Impairments::parse(""), Ok(Impairments::default()));
}

#[test]
fn wrong_descriptions_are_explained() {
    let wrong = [
        "loss",
        "loss=",
        "loss=101%",
        "loss=-1%",
        "loss=nan",
        "loss=1e2",
        "delay=20",
        "delay=x",
        "delay=1h",
        "rate=0bit",
        "rate=10",
        "seed=x",
        "seed=-1",
        "lost=1%",
        "=",
        "loss=1%=2",
    ];
    for text in wrong {
        let error = Impairments::parse(text).expect_err(text).to_string();
        let start = format!("unknown item \"{text}\" in SIDESTACK_IMPAIR; expected ");
        assert!(error.starts_with(&start), "{error}");
    }
    // Far too much is as good as for ever.
    let huge = Impairments::parse("delay=99999999999999999999s,rate=1bit").expect("impairments");
    let mut link = Impair::new(Wire::new(), huge);
    transmit(&mut link, &numbered(1, 60_000), None);
    assert!(link.next_deadline().is_some());
}
