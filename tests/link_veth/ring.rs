//! The receive ring, and how a packet socket comes to it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::fstat;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt;
use rustix::time::Timespec;

use crate::control::mirror::Mirror;
use crate::frames;
use crate::link::{Checksum, Frame, Gso, Link, Offload, PacketSocket, RECEIVE_BUFFER};
use crate::packet::{Arrived, PORT, Sockets, receive, spec, whole};

/// More frames than the ring has slots.
const FLOOD: usize = 2500;

/// Has the right socket succeeded by one with a ring.
fn succeed(sockets: &mut Sockets) {
    let successor = sockets.pair.right.run(|| {
        let mirror = Mirror::open(None).expect("mirror");
        PacketSocket::prepare(mirror.facts().interface.index).expect("socket with a ring")
    });
    sockets.right.succeed(successor).expect("to be succeeded");
}

fn with_ring() -> Sockets {
    let mut sockets = Sockets::new();
    succeed(&mut sockets);
    assert_eq!(sockets.right.receive(&mut [0; RECEIVE_BUFFER]), Ok(None));
    sockets
}

fn is_readable(socket: &PacketSocket) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket.wait_fd(), PollFlags::IN)];
    let none = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&none)).expect("poll") == 1
}

/// Sends a super-packet of this many bytes of payload, all of them `byte`.
fn send_long(sockets: &mut Sockets, byte: u8, len: usize) {
    let payload = vec![byte; len];
    let header = frames::tcp_header(sockets.left_end, sockets.right_end, len);
    let frame = Frame {
        header: &header,
        payload: &[&payload],
        offload: Some(Offload {
            checksum_start: 34,
            checksum_offset: 16,
            gso: Some(Gso {
                size: 1460,
                header_len: 54,
            }),
        }),
        ..Frame::default()
    };
    assert_eq!(sockets.left.transmit(&[frame]), Ok(1));
}

fn send(sockets: &mut Sockets, payload: &[u8]) {
    let frame = sockets.datagram(payload);
    assert_eq!(sockets.left.transmit(&[whole(&frame)]), Ok(1));
}

#[test]
fn frames_of_before_and_after_come_in_order() {
    let mut sockets = Sockets::new();
    for n in 0..50 {
        send(&mut sockets, &[n]);
    }
    succeed(&mut sockets);
    assert!(sockets.right.has_frame());
    for n in 50..100 {
        send(&mut sockets, &[n]);
    }
    let mut buffer = vec![0; RECEIVE_BUFFER];
    for n in 0..100 {
        let received = receive(&mut sockets.right, &mut buffer).expect("frame");
        assert_eq!(received.bytes, sockets.datagram(&[n]));
        assert_eq!(received.checksum, Checksum::Verify);
    }
    assert_eq!(sockets.right.receive(&mut buffer), Ok(None));
    let statistics = sockets.right.statistics();
    assert_eq!((statistics.received, statistics.receive_lost), (100, 0));
}

#[test]
fn long_frames_keep_their_place_among_the_others() {
    let mut sockets = with_ring();
    let mut buffer = vec![0; RECEIVE_BUFFER];
    // The second round goes beyond the ring's end.
    for n in 0..400 {
        let n = n as u8;
        send(&mut sockets, &[n]);
        send_long(&mut sockets, n, 60_000);
        send(&mut sockets, &[n; 1472]);
        send_long(&mut sockets, n, 1461);
        let mut next = || receive(&mut sockets.right, &mut buffer).expect("frame");
        let (short, longest, full, long) = (next(), next(), next(), next());
        assert_eq!(short.bytes, sockets.datagram(&[n]));
        assert_eq!(full.bytes, sockets.datagram(&[n; 1472]));
        for (arrived, len) in [(longest, 60_000), (long, 1461)] {
            let Arrived {
                bytes,
                checksum,
                gso_size,
            } = arrived;
            assert_eq!((checksum, gso_size), (Checksum::Trusted, 1460));
            assert_eq!(bytes.len(), 54 + len);
            assert!(bytes[54..].iter().all(|&byte| byte == n));
        }
    }
    assert_eq!(sockets.right.statistics().receive_lost, 0);
}

#[test]
fn what_is_lent_goes_back_at_the_end_of_a_pass() {
    let mut sockets = with_ring();
    assert!(!sockets.right.has_frame() && !is_readable(&sockets.right));
    send(&mut sockets, b"hello");
    assert!(sockets.right.has_frame() && is_readable(&sockets.right));
    let mut buffer = vec![0; RECEIVE_BUFFER];
    assert!(
        sockets
            .right
            .receive(&mut buffer)
            .expect("receive")
            .is_some()
    );
    assert!(!sockets.right.has_frame());
    sockets.right.flush();
    assert!(!is_readable(&sockets.right));
    // Nothing is given back twice.
    sockets.right.flush();
    send(&mut sockets, b"again");
    let received = receive(&mut sockets.right, &mut buffer).expect("frame");
    assert_eq!(received.bytes, sockets.datagram(b"again"));
}

#[test]
fn what_the_ring_has_no_room_for_is_counted() {
    let mut sockets = with_ring();
    let frame = sockets.datagram(&[0; 1400]);
    for _ in 0..FLOOD {
        assert_eq!(sockets.left.transmit(&[whole(&frame)]), Ok(1));
    }
    let statistics = drained(&mut sockets, FLOOD as u64);
    assert!(statistics.0 > 1000 && statistics.1 > 0, "{statistics:?}");
    // It goes on.
    send(&mut sockets, b"hello");
    let mut buffer = vec![0; RECEIVE_BUFFER];
    assert!(receive(&mut sockets.right, &mut buffer).is_some());
}

#[test]
fn long_frames_the_queue_has_no_room_for_are_counted() {
    let mut sockets = with_ring();
    sockopt::set_socket_recv_buffer_size(sockets.right.wait_fd(), 64 << 10).expect("a small queue");
    for n in 0..20 {
        send_long(&mut sockets, n, 60_000);
        send(&mut sockets, &[n]);
    }
    let (received, lost) = drained(&mut sockets, 40);
    assert!(received > 20 && lost > 0, "{received} and {lost}");
}

/// Receives until `sent` frames are accounted for: received and lost ones.
fn drained(sockets: &mut Sockets, sent: u64) -> (u64, u64) {
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let start = Instant::now();
    loop {
        while let Ok(Some(_)) = sockets.right.receive(&mut buffer) {}
        let statistics = sockets.right.statistics();
        let counts = (statistics.received, statistics.receive_lost);
        if counts.0 + counts.1 == sent {
            return counts;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{counts:?}");
    }
}

#[test]
fn an_interface_that_goes_down_is_told_once() {
    let mut sockets = with_ring();
    let mut buffer = vec![0; RECEIVE_BUFFER];
    sockets.pair.right.ip("link set vb down");
    assert!(is_readable(&sockets.right));
    assert_eq!(sockets.right.receive(&mut buffer), Ok(None));
    assert_eq!(sockets.right.take_error(), Some(Errno::NETDOWN));
    assert_eq!(sockets.right.take_error(), None);
    assert!(!is_readable(&sockets.right));
    sockets.pair.right.ip("link set vb up");
    send(&mut sockets, b"hello");
    assert!(receive(&mut sockets.right, &mut buffer).is_some());
}

#[test]
fn an_error_does_not_part_long_frames_from_their_slots() {
    let mut sockets = with_ring();
    let mut buffer = vec![0; RECEIVE_BUFFER];
    send_long(&mut sockets, 1, 60_000);
    sockets.pair.right.ip("link set vb down");
    assert_eq!(sockets.right.receive(&mut buffer), Err(Errno::NETDOWN));
    sockets.pair.right.ip("link set vb up");
    send(&mut sockets, b"hello");
    let long = receive(&mut sockets.right, &mut buffer).expect("frame");
    assert_eq!(long.bytes.len(), 60_054);
    let short = receive(&mut sockets.right, &mut buffer).expect("frame");
    assert_eq!(short.bytes, sockets.datagram(b"hello"));
}

/// Whether a forked process would have this socket's ring (proc_pid_smaps(5), "dc": do not copy).
fn is_inherited(socket: &PacketSocket) -> bool {
    let inode = fstat(socket.wait_fd()).expect("fstat").st_ino;
    // The other tests' rings are in this process, too.
    let name = format!("socket:[{inode}]");
    let maps = fs::read_to_string("/proc/self/smaps").expect("smaps");
    let mut ring = maps.lines().skip_while(|line| !line.ends_with(&name));
    let flags = ring.find(|line| line.starts_with("VmFlags:"));
    !flags.expect("a ring").contains(" dc")
}

#[test]
fn only_who_goes_on_with_the_link_has_the_ring() {
    let mut sockets = with_ring();
    assert!(!is_inherited(&sockets.right));
    sockets.right.let_inherit(true).expect("advice");
    assert!(is_inherited(&sockets.right));
    sockets.right.let_inherit(false).expect("advice");
    assert!(!is_inherited(&sockets.right));
}

/// Who cannot have the ring goes on by the socket that was set aside.
#[test]
fn the_socket_before_is_set_aside_and_taken_up_again() {
    let mut sockets = with_ring();
    let retired = sockets.right.retire().expect("the socket before");
    assert!(sockets.right.retire().is_none());
    let index = sockets.pair.right.run(|| {
        let mirror = Mirror::open(None).expect("mirror");
        mirror.facts().interface.index
    });
    PacketSocket::set_aside(&retired, index).expect("to be set aside");
    send(&mut sockets, &[1]);
    let mut buffer = vec![0; RECEIVE_BUFFER];
    receive(&mut sockets.right, &mut buffer).expect("a frame by the ring");

    PacketSocket::take_back(retired.as_fd(), index).expect("to be taken back");
    let mut taken_up = PacketSocket::adopt(retired);
    let filter = spec(sockets.right_end.address, PORT).program(4096);
    taken_up.set_filter(&filter).expect("filter");
    send(&mut sockets, &[2]);
    let received = receive(&mut taken_up, &mut buffer).expect("a frame without a ring");
    assert_eq!(received.bytes.last(), Some(&2));
}

/// What had arrived for a process that died is there for who goes on with its sockets.
#[test]
fn what_arrived_is_found_by_who_goes_on() {
    let mut sockets = with_ring();
    let mut buffer = vec![0; RECEIVE_BUFFER];
    for byte in 1..=4 {
        send(&mut sockets, &[byte]);
    }
    for _ in 0..2 {
        receive(&mut sockets.right, &mut buffer).expect("a frame by the ring");
    }
    // The one taken last was not given back.
    let copy = |fd: BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, 0).expect("a copy");
    let plain = copy(sockets.right.plain_fd());
    let successor = copy(sockets.right.successor_fd().expect("the one with the ring"));
    let mut heir = PacketSocket::adopt_both(plain.into(), successor.into()).expect("the ring");
    for wanted in [2, 3, 4] {
        let received = receive(&mut heir, &mut buffer).expect("a frame that had arrived");
        assert_eq!(received.bytes.last(), Some(&wanted));
    }
    assert_eq!(heir.receive(&mut buffer), Ok(None));
}
