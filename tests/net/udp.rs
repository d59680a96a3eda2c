//! UDP: datagrams out and in, which socket gets what, bounds.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::stack::counters::Drop;
use crate::stack::error::Error;
use crate::stack::ethernet::{Checksum, Facts};
use crate::stack::ids::SocketId;
use crate::stack::ip_options::IpOptions;
use crate::stack::passing::Passing;
use crate::stack::sink::{Datagram, NoSink, Sink};
use crate::stack::udp::{PathMtuDiscovery, UdpOptions};
use crate::stack::wire::ipv4;
use crate::support::host::{FAR, Host, PEER, ROUTER, US, at, datagram};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn open(host: &mut Host, local: SocketAddrV4) -> SocketId {
    host.stack.udp_open(local, &UdpOptions::default()).unwrap()
}

#[test]
fn datagrams_keep_their_bounds_and_their_order() {
    let mut host = Host::own();
    let id = open(&mut host, at(ANY, 9));
    for data in [&b"one"[..], b"", b"three"] {
        host.receive(&datagram(at(PEER, 7), at(US, 9), data));
    }
    assert_eq!(host.dirty(), [id], "named once");
    let status = host.stack.udp_status(id).unwrap();
    assert_eq!((status.queued, status.receive_len), (3, 8));
    let front = host.stack.udp_front(id).unwrap();
    let expected = Datagram {
        from: at(PEER, 7),
        to: US,
        len: 3,
        ttl: 61,
        tos: 0,
        segment: 0,
        fragment: 0,
        stamp: 0,
        drops: 0,
        options: IpOptions::NONE,
    };
    assert_eq!(front, expected);
    assert_eq!(host.received(id).unwrap(), b"one");
    assert_eq!(host.received(id).unwrap(), b"");
    assert_eq!(host.received(id).unwrap(), b"three");
    assert_eq!(host.received(id), None);
}

#[test]
fn what_the_buffer_cannot_hold_is_lost() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    host.receive(&datagram(at(PEER, 7), at(US, 9), b"a long one"));
    host.receive(&datagram(at(PEER, 7), at(US, 9), b"next"));
    let mut buffer = [0; 4];
    assert_eq!(host.stack.udp_peek(id, &mut buffer), 4);
    assert_eq!(host.stack.udp_receive(id, &mut buffer).unwrap().len, 10);
    assert_eq!(&buffer, b"a lo");
    assert_eq!(host.received(id).unwrap(), b"next");
}

#[test]
fn pieces_are_sent_as_one() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let pieces: [&[u8]; 4] = [b"o", b"", b"ne ", &[b'x'; 1000]];
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &pieces)
        .unwrap();
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][42..], pieces.concat());
    let (ip, _) = ipv4::parse(&frames[0][14..]).unwrap();
    assert!(ip.dont_fragment);
    assert_eq!((ip.ttl, ip.tos), (64, 0));
}

#[test]
fn the_best_match_gets_the_datagram() {
    let mut host = Host::own();
    let any = open(&mut host, at(ANY, 9));
    let bound = open(&mut host, at(US, 9));
    let connected = open(&mut host, at(US, 9));
    host.stack
        .udp_connect(connected, Some(at(PEER, 7)))
        .unwrap();
    host.receive(&datagram(at(PEER, 7), at(US, 9), b"for the connected"));
    host.receive(&datagram(at(PEER, 8), at(US, 9), b"for the bound"));
    assert_eq!(host.received(connected).unwrap(), b"for the connected");
    assert_eq!(host.received(bound).unwrap(), b"for the bound");
    host.stack.udp_close(bound);
    host.receive(&datagram(at(PEER, 8), at(US, 9), b"for any"));
    assert_eq!(host.received(any).unwrap(), b"for any");
    assert_eq!(host.received(connected), None);
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let mut host = Host::own();
    let id = open(&mut host, at(ANY, 9));
    host.stack.udp_connect(id, Some(at(PEER, 7))).unwrap();
    let local = |host: &Host| host.stack.udp_status(id).unwrap().local;
    assert_eq!(local(&host), at(US, 9));
    host.receive(&datagram(at(PEER, 8), at(US, 9), b"other port"));
    host.receive(&datagram(at(FAR, 7), at(US, 9), b"other host"));
    assert_eq!(host.drops(Drop::UdpNoSocket), 2);
    host.receive(&datagram(at(PEER, 7), at(US, 9), b"peer"));
    assert_eq!(host.received(id).unwrap(), b"peer");
    host.stack.udp_connect(id, None).unwrap();
    assert_eq!(local(&host), at(ANY, 9));
    host.receive(&datagram(at(FAR, 7), at(US, 9), b"other host"));
    assert_eq!(host.received(id).unwrap(), b"other host");
}

#[test]
fn sharers_of_a_port_each_get_their_senders() {
    let mut host = Host::own();
    let options = UdpOptions {
        reuse_port: true,
        ..UdpOptions::default()
    };
    let ids = [(); 4].map(|()| host.stack.udp_open(at(US, 9), &options).unwrap());
    for round in 0..2 {
        for port in 1000..1200 {
            host.receive(&datagram(at(PEER, port), at(US, 9), &port.to_be_bytes()));
        }
        let counts = ids.map(|id| host.stack.udp_status(id).unwrap().queued);
        assert!(
            counts.iter().all(|&count| count > 20 * (round + 1)),
            "{counts:?}"
        );
        assert!(
            counts.iter().all(|&count| count % (round + 1) == 0),
            "{counts:?}"
        );
    }
}

#[test]
fn the_receive_buffer_bounds_the_queue() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    for _ in 0..1000 {
        host.receive(&datagram(at(PEER, 7), at(US, 9), b""));
    }
    let status = host.stack.udp_status(id).unwrap();
    assert_eq!(status.queued, 212_992 / 768);
    assert_eq!(status.drops, 1000 - 212_992 / 768);
    assert_eq!(host.drops(Drop::UdpQueueFull), status.drops);
}

#[test]
fn a_full_pool_loses_datagrams_and_recovers() {
    let mut host = Host::own();
    let options = UdpOptions {
        receive_buffer: Some(usize::MAX),
        ..UdpOptions::default()
    };
    let id = host.stack.udp_open(at(US, 9), &options).unwrap();
    let mut received = 0;
    for _ in 0..2 {
        for _ in 0..2000 {
            host.receive(&datagram(at(PEER, 7), at(US, 9), &[1; 1000]));
        }
        while let Some(data) = host.received(id) {
            assert_eq!(data, [1; 1000]);
            received += 1;
        }
    }
    assert_eq!(received % 2, 0, "as many fit the second time");
    // Of the region, seven tenths are for queues.
    assert!((1400..1500).contains(&received), "{received}");
}

#[test]
fn checksums_are_verified_unless_there_is_none() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let mut frame = datagram(at(PEER, 7), at(US, 9), b"hello");
    frame[44] ^= 1;
    host.receive(&frame);
    assert_eq!(host.drops(Drop::UdpChecksum), 1);
    frame[40..42].fill(0);
    host.receive(&frame);
    assert_eq!(host.received(id).unwrap(), b"hemlo");
}

#[test]
fn a_length_beyond_the_packet_is_malformed_and_bytes_behind_are_ignored() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let frame = datagram(at(PEER, 7), at(US, 9), b"hello");
    for len in [0, 7, 14, 0xffff_u16] {
        let mut frame = frame.clone();
        frame[38..40].copy_from_slice(&len.to_be_bytes());
        host.receive(&frame);
    }
    assert_eq!(host.drops(Drop::UdpMalformed), 4);
    let mut frame = frame;
    frame[38..40].copy_from_slice(&10_u16.to_be_bytes());
    frame[40..42].fill(0);
    host.receive(&frame);
    assert_eq!(host.received(id).unwrap(), b"he");
}

#[test]
fn a_datagram_beyond_the_mtu_is_cut_or_refused() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let data: Vec<u8> = (0..4001_u32).map(|n| (n * n) as u8).collect();
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[&data[..999], &data[999..]])
        .unwrap();
    let mut whole = Vec::new();
    for frame in host.frames() {
        let (ip, header_len) = ipv4::parse(&frame[14..]).unwrap();
        assert!(frame.len() <= 1514 && !ip.dont_fragment);
        assert_eq!(usize::from(ip.fragment_offset), whole.len());
        whole.extend_from_slice(&frame[14 + header_len..]);
        assert_eq!(ip.more_fragments, whole.len() < 8 + data.len());
    }
    let sum = crate::stack::wire::checksum::Sum::pseudo_header(US, PEER, ipv4::UDP, whole.len());
    assert_eq!(sum.add(&whole).finish(), 0);
    assert_eq!(whole[8..], data);
    let options = UdpOptions {
        path_mtu_discovery: PathMtuDiscovery::Do,
        ..UdpOptions::default()
    };
    host.stack.udp_set_options(id, &options);
    let refused = host.stack.udp_send(host.now, id, at(PEER, 7), &[&data]);
    assert_eq!(refused, Err(Error::MessageSize));
}

#[test]
fn impossible_sends_are_refused() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let mut send = |to, data: &[u8]| host.stack.udp_send(host.now, id, to, &[data]);
    assert_eq!(send(at(PEER, 7), &[0; 65_508]), Err(Error::MessageSize));
    assert_eq!(send(at(PEER, 7), &[0; 65_507]), Ok(()));
    let broadcast = Ipv4Addr::new(10, 0, 0, 255);
    assert_eq!(send(at(broadcast, 7), b"x"), Err(Error::Access));
    assert_eq!(
        send(at(Ipv4Addr::LOCALHOST, 7), b"x"),
        Err(Error::NetworkUnreachable)
    );
    host.stack.set_routes(Vec::new());
    let sent = host.stack.udp_send(host.now, id, at(FAR, 7), &[b"x"]);
    assert_eq!(sent, Err(Error::NetworkUnreachable));
    host.stack.udp_close(id);
    let sent = host.stack.udp_send(host.now, id, at(PEER, 7), &[b"x"]);
    assert_eq!(sent, Err(Error::Invalid));
    assert_eq!(host.stack.udp_status(id), None);
}

#[test]
fn the_send_buffer_fills_and_drains() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let mut sent = 0;
    while host
        .stack
        .udp_send(host.now, id, at(PEER, 7), &[b"x"])
        .is_ok()
    {
        sent += 1;
    }
    assert_eq!(sent, 212_992 / 769 + 1);
    let refused = host.stack.udp_send(host.now, id, at(PEER, 7), &[b"x"]);
    assert_eq!(refused, Err(Error::WouldBlock));
    assert!(host.dirty().is_empty());
    assert_eq!(host.sent().len(), sent);
    assert_eq!(host.dirty(), [id]);
    assert_eq!(host.stack.udp_status(id).unwrap().send_space, 212_992);
}

#[test]
fn what_was_sent_before_a_close_is_sent() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    host.stack
        .udp_send(host.now, id, at(PEER, 7), &[b"last"])
        .unwrap();
    host.stack.udp_close(id);
    assert_eq!(host.sent(), ["IP 10.0.0.1.9 > 10.0.0.2.7: UDP, length 4"]);
}

#[test]
fn broadcasts_reach_all_who_listen_and_need_permission_to_send() {
    let mut host = Host::own();
    let broadcast = Ipv4Addr::new(10, 0, 0, 255);
    let first = open(&mut host, at(ANY, 9));
    let second = open(&mut host, at(ANY, 9));
    let bound = open(&mut host, at(US, 9));
    for to in [broadcast, Ipv4Addr::BROADCAST] {
        let mut frame = datagram(at(PEER, 7), at(to, 9), b"all");
        frame[..6].fill(0xff);
        host.receive(&frame);
    }
    for id in [first, second] {
        assert_eq!(host.received(id).unwrap(), b"all");
        assert_eq!(host.received(id).unwrap(), b"all");
    }
    assert_eq!(host.received(bound), None);
    let options = UdpOptions {
        broadcast: true,
        ..UdpOptions::default()
    };
    host.stack.udp_set_options(first, &options);
    host.stack.learn_neighbor(host.now, ROUTER, [2; 6]);
    for to in [broadcast, Ipv4Addr::BROADCAST] {
        host.stack
            .udp_send(host.now, first, at(to, 7), &[b"all"])
            .unwrap();
        assert_eq!(host.frames()[0][..6], [0xff; 6]);
    }
}

/// Takes the first datagram and refuses the rest.
struct First(Option<Vec<u8>>);

impl Sink for First {
    fn deliver(&mut self, _: SocketId, _: &[u8], _: &mut Passing) -> usize {
        0
    }

    fn deliver_datagram(&mut self, _: SocketId, _: &Datagram, data: &[u8]) -> bool {
        let taken = self.0.is_none();
        self.0.get_or_insert_with(|| data.to_vec());
        taken
    }
}

#[test]
fn a_datagram_is_offered_before_it_is_queued() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 9));
    let mut sink = First(None);
    for data in [b"one", b"two"] {
        host.receive_into(&datagram(at(PEER, 7), at(US, 9), data), &mut sink);
    }
    assert_eq!(sink.0.as_deref(), Some(&b"one"[..]));
    sink.0 = None;
    host.receive_into(&datagram(at(PEER, 7), at(US, 9), b"three"), &mut sink);
    assert_eq!(sink.0, None, "order holds while something is queued");
    assert_eq!(host.received(id).unwrap(), b"two");
    assert_eq!(host.received(id).unwrap(), b"three");
}

#[test]
fn a_moved_socket_receives_at_its_new_address() {
    let mut host = Host::own();
    let id = open(&mut host, at(ANY, 9));
    host.stack.udp_set_local(id, at(US, 10));
    host.receive(&datagram(at(PEER, 7), at(US, 9), b"old"));
    host.receive(&datagram(at(PEER, 7), at(US, 10), b"new"));
    assert_eq!(host.received(id).unwrap(), b"new");
    assert_eq!(host.received(id), None);
}

#[test]
fn a_stale_handle_names_nothing() {
    let mut host = Host::own();
    let old = open(&mut host, at(US, 9));
    host.stack.udp_close(old);
    let new = open(&mut host, at(US, 9));
    assert_eq!(old.index, new.index);
    host.receive(&datagram(at(PEER, 7), at(US, 9), b"new"));
    assert_eq!(host.received(old), None);
    assert_eq!(host.dirty(), [new]);
    host.stack.udp_close(old);
    assert_eq!(host.received(new).unwrap(), b"new");
}

#[test]
fn what_was_put_together_below_comes_apart_unless_asked_for_whole() {
    let mut host = Host::own();
    let id = open(&mut host, at(US, 5000));
    let joined = datagram(at(PEER, 7), at(US, 5000), &[7; 250]);
    let facts = Facts {
        segment: 100,
        ..Facts::plain(Checksum::Trusted)
    };
    let take = |host: &mut Host| {
        host.stack
            .receive_frame(host.now, &joined, facts, &mut NoSink);
        let mut lens = Vec::new();
        while let Some(datagram) = host.stack.udp_receive(id, &mut []) {
            lens.push((datagram.len, datagram.segment));
        }
        lens
    };
    assert_eq!(take(&mut host), [(100, 0), (100, 0), (50, 0)]);
    let options = UdpOptions {
        receive_joined: true,
        ..UdpOptions::default()
    };
    host.stack.udp_set_options(id, &options);
    assert_eq!(take(&mut host), [(250, 100)]);
}
