//! A stack that adopts what a dead process left does what the kernel does with a dead process's sockets.

use std::time::Duration;

use zerocopy::IntoBytes;

use crate::stack::counters::Drop;
use crate::stack::ids::SocketId;
use crate::stack::layout::{Damage, Memory};
use crate::stack::passing::{Road, Way};
use crate::stack::tcp::{State, TcpOptions};
use crate::stack::wire::ethernet;
use crate::stack::wire::tcp::{Flags, Seq};
use crate::support::host::{Host, PEER, US, hardware, segment};
use crate::support::region::Region;
use crate::tcp::{CLIENT, SERVER, accepted, header, repr};

/// What a stack on which `life` happened leaves, with a stack that adopts it and closes all.
fn adopted<T>(life: impl FnOnce(&mut Host) -> T) -> (Host, T) {
    let (mut host, left) = restored(life);
    host.stack.tcp_reset_all_but(host.now, |_| false);
    host.stack.tcp_close_all_but(host.now, |_| false);
    (host, left)
}

/// The same, before all is closed.
fn restored<T>(life: impl FnOnce(&mut Host) -> T) -> (Host, T) {
    let (region, mut host) = started();
    let left = life(&mut host);
    let (mut host, restored) = Host::restored(US, region.again(), host.now);
    assert_eq!((restored.reset, restored.unreadable), (0, 0));
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    (host, left)
}

/// A stack, and its memory.
fn started() -> (Region, Host) {
    let (region, bytes) = Region::new(1 << 20);
    let mut host = Host::with_config(US, bytes, |_| {});
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    host.frames();
    (region, host)
}

/// Flags, sequence number and length of what the stack sends now.
fn sent(host: &mut Host) -> Vec<(Flags, Seq, usize)> {
    let frames = host.frames();
    let segment = |frame: &Vec<u8>| {
        let repr = header(frame);
        (repr.flags, repr.seq, frame.len() - 34 - repr.header_len())
    };
    let segments = frames
        .iter()
        .filter(|frame| frame[12..14] == ethernet::IPV4.to_be_bytes());
    segments.map(segment).collect()
}

const RESET: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
const LAST: Flags = Flags(Flags::FIN.0 | Flags::PSH.0 | Flags::ACK.0);

#[test]
fn what_was_accepted_is_delivered_and_then_the_end() {
    let (mut host, next) = adopted(|host| {
        let (id, next) = accepted(host);
        host.stack
            .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(b"farewell"), false)
            .unwrap();
        next
    });
    assert_eq!(sent(&mut host), [(LAST, Seq(next), 8)]);
    let ack = repr(Flags::ACK.with(Flags::FIN), 1001, next + 9);
    host.receive(&segment(PEER, US, &ack, b""));
    assert_eq!(sent(&mut host), [(Flags::ACK, Seq(next + 9), 0)]);
    assert!(host.stack.tcp_is_done());
    assert_eq!(
        (host.stack.tcp_time_wait_len(), host.stack.pool_used()),
        (1, 0)
    );
}

#[test]
fn what_was_received_and_not_read_is_answered_with_a_reset() {
    let (mut host, next) = adopted(|host| {
        let (_, next) = accepted(host);
        host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b"unread"));
        host.frames();
        next
    });
    assert_eq!(sent(&mut host), [(RESET, Seq(next), 0)]);
    assert_eq!(host.stack.tcp_connections().count(), 0);
}

#[test]
fn so_is_what_was_passed_on_and_not_read() {
    for read in [false, true] {
        let (mut host, next) = adopted(|host| {
            let (id, next) = accepted(host);
            host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b"passed"));
            let road = host.stack.take_road().unwrap();
            host.stack.tcp_begin_passing(id, Way::ToUser, road);
            host.stack.tcp_consume(host.now, id, 6);
            if read {
                host.stack.tcp_all_read(id);
            }
            host.frames();
            next
        });
        let flags = if read {
            Flags::FIN.with(Flags::ACK)
        } else {
            RESET
        };
        assert_eq!(sent(&mut host), [(flags, Seq(next), 0)]);
    }
}

/// What the kernel notes when it has moved so many bytes.
fn note(road: &mut Road, moved: usize) {
    road.head[7] = 0;
    road.head.as_mut_bytes()[56..60].copy_from_slice(&(moved as u32).to_ne_bytes());
}

#[test]
fn bytes_on_their_way_to_the_user_have_come_as_far_as_is_noted() {
    for moved in [0, 2, 6] {
        let (host, id) = restored(|host| {
            let (id, next) = accepted(host);
            host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b"passed"));
            let road = host.stack.take_road().unwrap();
            host.stack.tcp_begin_passing(id, Way::ToUser, road);
            note(road, moved);
            id
        });
        assert_eq!(host.stack.tcp_received(id), &b"passed"[moved..]);
        assert_eq!(host.stack.tcp_status(id).unwrap().state, State::Established);
    }
}

#[test]
fn bytes_on_their_way_from_the_user_are_sent() {
    let (mut host, next) = adopted(|host| {
        let (id, next) = accepted(host);
        host.stack
            .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(b"first "), false)
            .unwrap();
        let road = host.stack.take_road().unwrap();
        host.stack.tcp_begin_passing(id, Way::FromUser, road);
        road.bytes[..6].copy_from_slice(b"second");
        note(road, 6);
        next
    });
    assert_eq!(sent(&mut host), [(LAST, Seq(next), 12)]);
}

#[test]
fn those_that_are_queued_are_sent_once() {
    let (mut host, next) = adopted(|host| {
        let (id, next) = accepted(host);
        let road = host.stack.take_road().unwrap();
        host.stack.tcp_begin_passing(id, Way::FromUser, road);
        road.bytes[..6].copy_from_slice(b"second");
        note(road, 6);
        host.stack
            .tcp_send_all(
                host.now,
                id,
                core::iter::once::<&[u8]>(&road.bytes[..6]),
                false,
            )
            .unwrap();
        next
    });
    assert_eq!(sent(&mut host), [(LAST, Seq(next), 6)]);
}

#[test]
fn filler_on_its_way_is_counted() {
    for (way, left) in [(Way::Filling, 150), (Way::Emptying, 50)] {
        let (host, id) = restored(|host| {
            let (id, _) = accepted(host);
            host.stack.tcp_note_filler(id, 100);
            let road = host.stack.take_road().unwrap();
            host.stack.tcp_begin_passing(id, way, road);
            note(road, 50);
            id
        });
        assert_eq!(host.stack.tcp_filler(id), left);
    }
}

#[test]
fn an_urgent_byte_that_had_passed_is_announced_no_more() {
    for passed in [false, true] {
        let (host, id) = restored(|host| {
            let (id, next) = accepted(host);
            let mut urgent = repr(Flags::ACK.with(Flags::URG), 1001, next);
            urgent.urgent = 1;
            host.receive(&segment(PEER, US, &urgent, b"!"));
            let road = host.stack.take_road().unwrap();
            host.stack.tcp_begin_passing(id, Way::ToUser, road);
            note(road, usize::from(passed));
            host.frames();
            id
        });
        let offset = host.stack.tcp_urgent_offset(id);
        assert_eq!(offset, (!passed).then_some(0));
    }
}

#[test]
fn a_reset_waits_for_a_way() {
    let (region, mut host) = started();
    let (_, next) = accepted(&mut host);
    host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b"unread"));
    let (mut host, _) = Host::restored(US, region.again(), host.now);
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    // The interface lost its address, and its routes with it, when the process died.
    host.lose_ways();
    host.stack.tcp_reset_all_but(host.now, |_| false);
    host.stack.tcp_close_all_but(host.now, |_| false);
    assert_eq!(sent(&mut host), []);
    assert!(host.stack.tcp_is_done() && !host.stack.tcp_is_empty());
    host.find_ways();
    assert_eq!(sent(&mut host), [(RESET, Seq(next), 0)]);
    assert!(host.stack.tcp_is_empty());
}

#[test]
fn no_way_is_waited_for_without_end() {
    let (region, mut host) = started();
    let (_, next) = accepted(&mut host);
    host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b"unread"));
    let (mut host, _) = Host::restored(US, region.again(), host.now);
    host.lose_ways();
    host.stack.tcp_reset_all_but(host.now, |_| false);
    host.stack.tcp_close_all_but(host.now, |_| false);
    assert_eq!(sent(&mut host), []);
    host.now = host.stack.next_deadline().expect("it waits");
    host.stack.receive_timeout(host.now);
    assert!(host.stack.tcp_is_empty());
    host.find_ways();
    assert_eq!(sent(&mut host), []);
}

#[test]
fn nobody_accepts_any_more() {
    let (mut host, next) = adopted(|host| {
        let options = TcpOptions::default();
        host.stack.tcp_listen(SERVER, 8, &options).unwrap();
        let mut syn = repr(Flags::SYN, 1000, 0);
        host.receive(&segment(PEER, US, &syn, b""));
        let next = header(&host.frames()[0]).seq.0 + 1;
        // One waits to be accepted, one is half open.
        host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b""));
        syn.source_port = CLIENT.port() + 1;
        host.receive(&segment(PEER, US, &syn, b""));
        host.frames();
        next
    });
    assert_eq!(sent(&mut host), [(RESET, Seq(next), 0)]);
    let left = (
        host.stack.tcp_listeners().count(),
        host.stack.tcp_connections().count(),
    );
    assert_eq!(left, (0, 0));
    host.receive(&segment(PEER, US, &repr(Flags::SYN, 2000, 0), b""));
    assert_eq!(sent(&mut host), [(RESET, Seq(0), 0)]);
}

/// A listener whose next connection is offered.
fn offered(host: &mut Host) -> (SocketId, SocketId, u32) {
    let options = TcpOptions::default();
    let listener = host.stack.tcp_listen(SERVER, 8, &options).unwrap();
    host.receive(&segment(PEER, US, &repr(Flags::SYN, 1000, 0), b""));
    let next = header(&host.frames()[0]).seq.0 + 1;
    host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, next), b""));
    let connection = host.stack.tcp_offer(listener).unwrap();
    (listener, connection, next)
}

#[test]
fn what_was_offered_is_as_if_nobody_had_accepted_it() {
    let (mut host, (_, _, next)) = adopted(offered);
    assert_eq!(sent(&mut host), [(RESET, Seq(next), 0)]);
    assert_eq!(host.stack.tcp_connections().count(), 0);
}

#[test]
fn what_was_offered_and_taken_is_its_users() {
    let (mut host, (_, next)) = adopted(|host| {
        let (listener, connection, next) = offered(host);
        host.stack.tcp_taken(listener);
        (connection, next)
    });
    let end = Flags(Flags::FIN.0 | Flags::ACK.0);
    assert_eq!(sent(&mut host), [(end, Seq(next), 0)]);
}

#[test]
fn what_was_offered_is_taken_from_a_stack_that_goes_on() {
    let (mut host, (listener, connection, next)) = restored(offered);
    assert_eq!(host.stack.tcp_offered(listener), Some(connection));
    host.stack.tcp_close(host.now, connection);
    let end = Flags(Flags::FIN.0 | Flags::ACK.0);
    assert_eq!(sent(&mut host), [(end, Seq(next), 0)]);
    // The listener has nothing to say about a connection that is closed by its user.
    host.stack.tcp_close(host.now, listener);
    assert_eq!(sent(&mut host), []);
}

#[test]
fn users_who_go_on_accept_in_order() {
    let (mut host, listener) = restored(|host| {
        let options = TcpOptions::default();
        let listener = host.stack.tcp_listen(SERVER, 8, &options).unwrap();
        for port in [7, 3, 5] {
            let mut syn = repr(Flags::SYN, 1000, 0);
            syn.source_port = port;
            host.receive(&segment(PEER, US, &syn, b""));
            let next = header(&host.frames()[0]).seq.0 + 1;
            let mut ack = repr(Flags::ACK, 1001, next);
            ack.source_port = port;
            host.receive(&segment(PEER, US, &ack, b""));
        }
        listener
    });
    assert_eq!(host.stack.tcp_listener_status(listener).unwrap().queued, 3);
    for port in [7, 3, 5] {
        let id = host.stack.tcp_accept(listener).unwrap();
        assert_eq!(host.stack.tcp_status(id).unwrap().remote.port(), port);
    }
}

#[test]
fn remains_stay_until_their_time_is_over() {
    let (mut host, next) = adopted(|host| {
        let (id, next) = accepted(host);
        host.stack.tcp_close(host.now, id);
        let ack = repr(Flags::ACK.with(Flags::FIN), 1001, next + 1);
        host.frames();
        host.receive(&segment(PEER, US, &ack, b""));
        host.frames();
        assert_eq!(host.stack.tcp_time_wait_len(), 1);
        next
    });
    host.advance(Duration::from_secs(59));
    let fin = repr(Flags::ACK.with(Flags::FIN), 1001, next + 1);
    host.receive(&segment(PEER, US, &fin, b""));
    assert_eq!(sent(&mut host), [(Flags::ACK, Seq(next + 1), 0)]);
    host.advance(Duration::from_secs(61));
    assert_eq!(host.stack.tcp_time_wait_len(), 0);
}

#[test]
fn what_is_no_memory_file_is_not_opened() {
    let open = |change: fn(&mut [u8])| {
        let (region, bytes) = Region::new(1 << 20);
        Memory::create(bytes).unwrap();
        change(region.again());
        Memory::open(region.again()).err()
    };
    assert_eq!(open(|_| {}), None);
    assert_eq!(open(|bytes| bytes[0] ^= 1), Some(Damage::Magic));
    assert_eq!(open(|bytes| bytes[8] ^= 1), Some(Damage::Version));
    assert_eq!(open(|bytes| bytes[16] ^= 1), Some(Damage::Size));
    let (_, bytes) = Region::new(1 << 20);
    assert_eq!(Memory::open(&mut bytes[..16]).err(), Some(Damage::Size));
}

#[test]
fn ports_of_what_was_found_are_named() {
    let (region, mut host) = started();
    accepted(&mut host);
    let (_, restored) = Host::restored(US, region.again(), host.now);
    let ports: Vec<_> = restored.ports().collect();
    assert_eq!(ports, [SERVER.port(); 2]);
    assert!(restored.connections[0].has_user);
}

/// Others may have connections on the port, which are not this stack's to reset.
#[test]
fn nobody_else_is_reset_on_a_port_that_may_be_shared() {
    for reuse_port in [false, true] {
        let (mut host, ()) = restored(|host| {
            let options = TcpOptions {
                reuse_port,
                ..TcpOptions::default()
            };
            host.stack.tcp_listen(SERVER, 8, &options).unwrap();
        });
        host.receive(&segment(PEER, US, &repr(Flags::ACK, 1001, 77), b""));
        assert_eq!(sent(&mut host).len(), usize::from(!reuse_port));
    }
}

/// Accepts `many` connections of different clients, and sends `data` on each without letting it leave.
fn spoken(host: &mut Host, many: u16, data: &[u8]) {
    let options = TcpOptions::default();
    let listener = host.stack.tcp_listen(SERVER, 64, &options).unwrap();
    let mut accepted = Vec::new();
    for client in (0..many).map(|n| CLIENT.port() + n) {
        let mut syn = repr(Flags::SYN, 1000, 0);
        (syn.source_port, syn.options.mss) = (client, Some(1460));
        host.receive(&segment(PEER, US, &syn, b""));
        let next = header(&host.frames()[0]).seq.0 + 1;
        let mut ack = repr(Flags::ACK, 1001, next);
        ack.source_port = client;
        host.receive(&segment(PEER, US, &ack, b""));
        accepted.push(host.stack.tcp_accept(listener).unwrap());
    }
    for id in accepted {
        host.stack
            .tcp_send_all(host.now, id, core::iter::once::<&[u8]>(data), false)
            .unwrap();
    }
}

#[test]
fn what_has_no_room_while_the_neighbor_is_asked_for_is_sent_after() {
    const MANY: u16 = 30;
    let (region, mut host) = started();
    spoken(&mut host, MANY, &[7; 10_000]);
    let (mut host, _) = Host::restored(US, region.again(), host.now);
    host.stack.tcp_reset_all_but(host.now, |_| false);
    host.stack.tcp_close_all_but(host.now, |_| false);
    assert_eq!(sent(&mut host), []);
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    let sent = sent(&mut host);
    let bytes: usize = sent.iter().map(|segment| segment.2).sum();
    assert_eq!(bytes, usize::from(MANY) * 10_000);
    assert_eq!(host.drops(Drop::NeighborQueueFull), 0);
}

/// What the stack answers a SYN from [`CLIENT`] with.
fn answer_to_syn(host: &mut Host) -> Seq {
    host.receive(&segment(PEER, US, &repr(Flags::SYN, 1000, 0), b""));
    let answers = sent(host);
    let [(flags, iss, _)] = answers[..] else {
        panic!("one answer: {answers:?}");
    };
    assert_eq!(flags, Flags::SYN.with(Flags::ACK));
    iss
}

/// A listener that goes on takes the cookies that were sent (RFC 4987 section 3.6): nothing is kept of their connections,
/// and a client that has one takes its connection for opened.
#[test]
fn cookies_open_connections_of_who_goes_on() {
    let (region, bytes) = Region::new(1 << 20);
    let mut host = Host::with_config(US, bytes, |config| config.limits.max_syn_backlog = 0);
    host.stack.learn_neighbor(host.now, PEER, hardware(PEER));
    host.frames();
    let options = TcpOptions::default();
    let listener = host.stack.tcp_listen(SERVER, 8, &options).unwrap();
    let cookie = answer_to_syn(&mut host);
    assert_eq!(host.stack.tcp_connections().count(), 0);

    let (mut host, _) = Host::restored(US, region.again(), host.now);
    let ack = repr(Flags::ACK, 1001, cookie.0 + 1);
    host.receive(&segment(PEER, US, &ack, b"hello"));
    let accepted = host.stack.tcp_accept(listener).unwrap();
    assert_eq!(host.stack.tcp_received(accepted), b"hello");
}

/// RFC 6528 section 3: numbers of connections between the same ends go on growing.
#[test]
fn initial_sequence_numbers_go_on() {
    let listen = |host: &mut Host| {
        let options = TcpOptions::default();
        host.stack.tcp_listen(SERVER, 8, &options).unwrap();
        answer_to_syn(host)
    };
    let (mut host, before) = adopted(listen);
    host.now = host.now + Duration::from_millis(40);
    host.receive(&segment(PEER, US, &repr(Flags::RST, 1001, 0), b""));
    host.frames();
    let after = listen(&mut host);
    assert_eq!(after, before + 10_000);
}
