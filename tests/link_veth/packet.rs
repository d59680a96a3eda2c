use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::control::filter::FilterSpec;
use crate::control::mirror::Mirror;
use crate::control::ports::PortSet;
use crate::frames::{self, End};
use crate::link::{Checksum, Frame, Gso, Link, MAX_SLICES, Offload, PacketSocket, RECEIVE_BUFFER};
use crate::netns::{Namespace, Pair};

pub const PORT: u16 = 9000;

/// A packet socket on each side, for [`PORT`], and where they are.
pub struct Sockets {
    pub pair: Pair,
    pub left: PacketSocket,
    pub right: PacketSocket,
    pub left_end: End,
    pub right_end: End,
}

impl Sockets {
    pub fn new() -> Self {
        let pair = Pair::new();
        let (left, left_end) = open(&pair.left);
        let (right, right_end) = open(&pair.right);
        Self {
            pair,
            left,
            right,
            left_end,
            right_end,
        }
    }

    pub fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        frames::udp(self.left_end, self.right_end, payload)
    }
}

pub fn spec(address: Ipv4Addr, port: u16) -> FilterSpec {
    let mut ports = PortSet::default();
    ports.insert(port);
    FilterSpec {
        destinations: vec![address],
        own_address: false,
        tcp_ports: ports.clone(),
        udp_ports: ports,
    }
}

fn open(namespace: &Namespace) -> (PacketSocket, End) {
    namespace.run(|| {
        let mirror = Mirror::open(None).expect("mirror");
        let facts = mirror.facts();
        let end = End {
            hardware: facts.interface.hardware_address,
            address: facts.addresses[0].address,
            port: PORT,
        };
        let filter = spec(end.address, PORT).program(4096);
        let socket = PacketSocket::open(facts.interface.index, &filter).expect("packet socket");
        (socket, end)
    })
}

pub fn whole(header: &[u8]) -> Frame<'_> {
    Frame {
        header,
        payload: &[],
        offload: None,
        ..Frame::default()
    }
}

/// A received frame, copied.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrived {
    pub bytes: Vec<u8>,
    pub checksum: Checksum,
    pub gso_size: u16,
}

/// The next frame, waiting for it for a moment.
pub fn receive(socket: &mut PacketSocket, buffer: &mut [u8]) -> Option<Arrived> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if let Some(received) = socket.receive(buffer).expect("receive") {
            return Some(Arrived {
                bytes: received.bytes.to_vec(),
                checksum: received.checksum,
                gso_size: received.gso_size,
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

#[test]
fn frames_reach_the_kernel_of_the_peer() {
    let mut sockets = Sockets::new();
    let peer = sockets
        .pair
        .right
        .run(|| UdpSocket::bind(("0.0.0.0", PORT)))
        .expect("socket");
    peer.set_read_timeout(Some(Duration::from_secs(1)))
        .expect("timeout");
    let frames: Vec<Vec<u8>> = (0..100u8).map(|n| sockets.datagram(&[n])).collect();
    // Header and payload in several slices.
    let payloads: Vec<[&[u8]; 2]> = frames
        .iter()
        .map(|frame| [&frame[34..40], &frame[40..]])
        .collect();
    let batch: Vec<Frame<'_>> = frames
        .iter()
        .zip(&payloads)
        .map(|(frame, payload)| Frame {
            header: &frame[..34],
            payload,
            offload: None,
            ..Frame::default()
        })
        .collect();
    assert_eq!(sockets.left.transmit(&batch[..1]), Ok(1));
    assert_eq!(sockets.left.transmit(&batch[1..]), Ok(99));
    for n in 0..100 {
        let mut buffer = [0; 8];
        assert_eq!(peer.recv(&mut buffer).expect("datagram"), 1);
        assert_eq!(buffer[0], n);
    }
    assert_eq!(sockets.left.statistics().transmitted, 100);
    // What leaves does not come back.
    assert_eq!(sockets.left.receive(&mut [0; RECEIVE_BUFFER]), Ok(None));
}

#[test]
fn super_packets_arrive_whole_and_trusted() {
    let mut sockets = Sockets::new();
    let payload = vec![7; 60_000];
    let header = frames::tcp_header(sockets.left_end, sockets.right_end, payload.len());
    let frame = Frame {
        header: &header,
        payload: &[&payload[..1000], &payload[1000..]],
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
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let received = receive(&mut sockets.right, &mut buffer).expect("frame");
    assert_eq!(received.bytes.len(), 60_054);
    assert_eq!(
        (received.checksum, received.gso_size),
        (Checksum::Trusted, 1460)
    );
    assert_eq!(&received.bytes[..54], &header[..]);
    assert!(received.bytes[54..] == payload[..]);
}

#[test]
fn a_device_without_offloads_gets_segments_with_checksums() {
    let mut sockets = Sockets::new();
    sockets.pair.left.ethtool("-K va tso off gso off tx off");
    expect_segments(&mut sockets, 5000);
}

/// Where the kernel cuts a super-packet up, it may be longer than its IP header can say.
#[test]
fn a_device_without_offloads_takes_long_frames() {
    let mut sockets = Sockets::new();
    sockets.pair.left.ethtool("-K va tso off gso off tx off");
    // Before Linux 6.6 they are refused, and it is known that they are.
    if sockets.left.takes_long() {
        expect_segments(&mut sockets, 250_000);
    }
    assert_eq!(receive(&mut sockets.right, &mut [0; 100]), None);
}

/// Sends a super-packet on the left, and looks at what arrives on the right.
fn expect_segments(sockets: &mut Sockets, len: usize) {
    let payload = vec![7; len];
    let header = frames::tcp_header(sockets.left_end, sockets.right_end, payload.len());
    let pieces: Vec<&[u8]> = payload.chunks(16 << 10).collect();
    let frame = Frame {
        header: &header,
        payload: &pieces,
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
    let mut buffer = vec![0; RECEIVE_BUFFER];
    for piece in payload.chunks(1460) {
        let received = receive(&mut sockets.right, &mut buffer).expect("segment");
        let bytes = received.bytes;
        assert_eq!((bytes.len(), received.gso_size), (54 + piece.len(), 0));
        let length = 40 + piece.len() as u16;
        assert_eq!(bytes[16..18], length.to_be_bytes());
        let pseudo = frames::sum(&bytes[26..34]) + 6 + (20 + piece.len() as u32);
        let sum = frames::sum(&bytes[34..]) + pseudo;
        assert_eq!(frames::fold(sum), 0xffff);
    }
    assert_eq!(receive(&mut sockets.right, &mut buffer), None);
}

#[test]
fn a_plain_frame_must_be_verified() {
    let mut sockets = Sockets::new();
    let frame = sockets.datagram(b"hello");
    assert_eq!(sockets.left.transmit(&[whole(&frame)]), Ok(1));
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let received = receive(&mut sockets.right, &mut buffer).expect("frame");
    assert_eq!(received.checksum, Checksum::Verify);
    assert_eq!(received.bytes, frame);
}

#[test]
fn cut_frames_are_dropped_and_counted() {
    let mut sockets = Sockets::new();
    let frame = sockets.datagram(&[0; 500]);
    assert_eq!(
        sockets.left.transmit(&[whole(&frame), whole(&frame[..60])]),
        Ok(2)
    );
    let mut small = [0; 100];
    let received = receive(&mut sockets.right, &mut small).expect("the second");
    assert_eq!(received.bytes.len(), 60);
    assert_eq!(sockets.right.statistics().receive_unusable, 1);
}

#[test]
fn the_filter_can_be_replaced() {
    let mut sockets = Sockets::new();
    let frame = sockets.datagram(b"hello");
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let address = sockets.right_end.address;
    for (port, admitted) in [(PORT + 1, false), (PORT, true)] {
        spec(address, port)
            .install(4096, |program| sockets.right.set_filter(program))
            .expect("filter");
        assert_eq!(sockets.left.transmit(&[whole(&frame)]), Ok(1));
        assert_eq!(receive(&mut sockets.right, &mut buffer).is_some(), admitted);
    }
}

#[test]
fn a_filter_of_hundreds_of_ports_is_taken() {
    let sockets = Sockets::new();
    let mut many = spec(sockets.right_end.address, PORT);
    for port in (1..1000).map(|n| n * 60) {
        many.tcp_ports.insert(port);
        many.udp_ports.insert(port);
    }
    let start = Instant::now();
    for _ in 0..10 {
        many.install(4096, |program| sockets.right.set_filter(program))
            .expect("filter");
    }
    eprintln!("a filter of 2,000 ports: {:?}", start.elapsed() / 10);
}

/// Frames that are more than a small queue holds.
const FLOOD: usize = 400;

#[test]
fn loss_at_the_link_is_counted() {
    let mut sockets = Sockets::new();
    let frame = sockets.datagram(&[0; 1400]);
    // A small queue, so that few frames fill it: more would overflow the kernel's own of each
    // processor, which all namespaces share.
    let queue = sockets.right.wait_fd();
    sockopt::set_socket_recv_buffer_size(queue, 64 << 10).expect("a small queue");
    let batch = vec![whole(&frame); FLOOD];
    let mut sent = 0;
    while sent < batch.len() {
        sent += sockets.left.transmit(&batch[sent..]).expect("transmit");
    }
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let mut count = 0;
    let start = Instant::now();
    while count < FLOOD as u64 && start.elapsed() < Duration::from_secs(5) {
        while let Ok(Some(_)) = sockets.right.receive(&mut buffer) {}
        let statistics = sockets.right.statistics();
        count = statistics.received + statistics.receive_lost;
    }
    let statistics = sockets.right.statistics();
    assert!(statistics.receive_lost > 0);
    assert_eq!(count, FLOOD as u64);
    assert_eq!(
        sockets.right.statistics(),
        statistics,
        "reading does not reset"
    );
}

#[test]
fn errors_of_the_interface() {
    let mut sockets = Sockets::new();
    let frame = sockets.datagram(&[0; 1600]);
    assert_eq!(sockets.left.transmit(&[whole(&frame)]), Err(Errno::MSGSIZE));
    let small = sockets.datagram(&[0; 16]);
    assert_eq!(
        sockets.left.transmit(&[whole(&small), whole(&frame)]),
        Ok(1)
    );
    let slices: [&[u8]; 1 + MAX_SLICES] = [&[0]; 1 + MAX_SLICES];
    let scattered = Frame {
        header: &small,
        payload: &slices,
        offload: None,
        ..Frame::default()
    };
    assert_eq!(sockets.left.transmit(&[scattered]), Err(Errno::INVAL));

    let mut buffer = vec![0; RECEIVE_BUFFER];
    let answer = receive(&mut sockets.left, &mut buffer).expect("ICMP port unreachable");
    assert_eq!(answer.bytes[23], 1, "{answer:?}");
    sockets.pair.left.ip("link set va down");
    assert_eq!(sockets.left.receive(&mut buffer), Err(Errno::NETDOWN));
    assert_eq!(sockets.left.receive(&mut buffer), Ok(None));
    assert_eq!(sockets.left.transmit(&[whole(&small)]), Err(Errno::NETDOWN));
    sockets.pair.left.ip("link set va up");
    assert_eq!(sockets.left.transmit(&[whole(&small)]), Ok(1));
    sockets.pair.left.ip("link del va");
    assert_eq!(sockets.left.receive(&mut buffer), Err(Errno::NETDOWN));
    assert_eq!(sockets.left.transmit(&[whole(&small)]), Err(Errno::NXIO));
}
